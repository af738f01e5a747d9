"""Makes calls through boto3: one call a line of standard input, one answer a line of standard output."""

import json
import sys
import traceback

import boto3
from botocore import xform_name
from botocore.exceptions import ClientError

client = boto3.client("mailmanager")


def outputs(operation, input, page_size=0):
    name = xform_name(operation)
    if not page_size:
        return [getattr(client, name)(**input)]
    return list(client.get_paginator(name).paginate(**input, PaginationConfig={"PageSize": page_size}))


def answer(call):
    try:
        pages = outputs(**call)
    except ClientError as error:
        return {"refused": error.response["Error"]["Code"]}
    except Exception:
        return {"broken": traceback.format_exc()}
    for page in pages:
        page.pop("ResponseMetadata", None)
    return {"outputs": pages}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line)), default=str), flush=True)

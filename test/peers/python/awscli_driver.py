"""Makes calls through the AWS CLI, as its command does: one call a line of standard input, one answer a line of standard
output."""

import contextlib
import io
import json
import re
import sys

from awscli.clidriver import create_clidriver
from botocore import xform_name

driver = create_clidriver()


def answer(operation, input, page_size=0):
    if page_size:  # as an option it would turn the CLI's paginator off
        input = {**input, "PageSize": page_size}
    args = ["mailmanager", xform_name(operation, "-"), "--output", "json", "--cli-input-json", json.dumps(input)]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = driver.main(args)
    if status == 0:
        return {"outputs": [json.loads(out.getvalue() or "{}")]}
    refused = re.search(r"An error occurred \((\w+)\)", err.getvalue())
    return {"refused": refused.group(1)} if refused else {"broken": f"{args}: {status}: {err.getvalue()}"}


for line in sys.stdin:
    print(json.dumps(answer(**json.loads(line))), flush=True)

"""The relay scenario through boto3."""

import datetime

import boto3

client = boto3.client("mailmanager")


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except client.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == code, error
    else:
        raise AssertionError(f"not refused with {code}")


create = dict(
    RelayName="over-boto3",
    ServerName="relay.example.com",
    ServerPort=2600,
    Authentication={"NoAuthentication": {}},
)
relay_id = client.create_relay(**create, ClientToken="token")["RelayId"]
assert client.create_relay(**create, ClientToken="token")["RelayId"] == relay_id
refused("ConflictException", client.create_relay, **create)
refused("ConflictException", client.create_relay, **{**create, "ServerPort": 1}, ClientToken="token")
refused("ValidationException", client.create_relay, **{**create, "RelayName": "no spaces"})

relay = client.get_relay(RelayId=relay_id)
assert relay["Authentication"] == {"NoAuthentication": {}}, relay
age = datetime.datetime.now(datetime.timezone.utc) - relay["CreatedTimestamp"]
assert abs(age.total_seconds()) < 60, relay
client.update_relay(RelayId=relay_id, ServerPort=25)
assert client.get_relay(RelayId=relay_id)["ServerPort"] == 25
pages = client.get_paginator("list_relays").paginate()
assert [r["RelayId"] for page in pages for r in page["Relays"]] == [relay_id]
client.delete_relay(RelayId=relay_id)
refused("ResourceNotFoundException", client.get_relay, RelayId=relay_id)
print("over-boto3: ok")

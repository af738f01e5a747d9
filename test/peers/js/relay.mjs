// The relay scenario through the AWS SDK for JavaScript. Usage: node relay.mjs json|cbor
import assert from "node:assert/strict";
import {
  MailManagerClient,
  CreateRelayCommand,
  GetRelayCommand,
  ListRelaysCommand,
  UpdateRelayCommand,
  DeleteRelayCommand,
  ListTagsForResourceCommand,
  CreateRuleSetCommand,
  GetRuleSetCommand,
  DeleteRuleSetCommand,
} from "@aws-sdk/client-mailmanager";
import { AwsSmithyRpcV2CborProtocol } from "@aws-sdk/core/protocols";

const cbor = process.argv[2] === "cbor";
const client = new MailManagerClient({
  maxAttempts: 1,
  ...(cbor ? { protocol: AwsSmithyRpcV2CborProtocol } : {}),
});

// What is on the wire shows that the protocol is the one asked for.
client.middlewareStack.add(
  (next) => async (args) => {
    const type = args.request.headers["content-type"];
    assert.equal(type, cbor ? "application/cbor" : "application/x-amz-json-1.0");
    return next(args);
  },
  { step: "finalizeRequest", priority: "low" },
);

const name = cbor ? "over-cbor" : "over-json";
const create = {
  RelayName: name,
  ServerName: "relay.example.com",
  ServerPort: 2600,
  Authentication: { NoAuthentication: {} },
  ClientToken: `token-${name}`,
  Tags: [{ Key: "stage", Value: "test" }],
};

const { RelayId } = await client.send(new CreateRelayCommand(create));
assert.match(RelayId, /^r-[a-z2-7]{24}$/);
assert.equal((await client.send(new CreateRelayCommand(create))).RelayId, RelayId, "a retry makes nothing new");

await assert.rejects(client.send(new CreateRelayCommand({ ...create, ServerPort: 2601 })), { name: "ConflictException" });
await assert.rejects(client.send(new CreateRelayCommand({ ...create, ClientToken: undefined })), { name: "ConflictException" });
await assert.rejects(client.send(new CreateRelayCommand({ ...create, ClientToken: "other", ServerPort: 0 })), {
  name: "ValidationException",
});

const relay = await client.send(new GetRelayCommand({ RelayId }));
assert.equal(relay.RelayName, name);
assert.equal(relay.ServerPort, 2600);
assert.deepEqual(relay.Authentication, { NoAuthentication: {} });
assert.ok(relay.CreatedTimestamp instanceof Date && Math.abs(Date.now() - relay.CreatedTimestamp) < 60_000);

await client.send(new UpdateRelayCommand({ RelayId, ServerName: "other.example.com" }));
const updated = await client.send(new GetRelayCommand({ RelayId }));
assert.equal(updated.ServerName, "other.example.com");
assert.equal(updated.ServerPort, 2600, "what was not named has changed");

const { Relays } = await client.send(new ListRelaysCommand({}));
assert.ok(Relays.some((r) => r.RelayId === RelayId && r.RelayName === name));
const { Tags } = await client.send(new ListTagsForResourceCommand({ ResourceArn: relay.RelayArn }));
assert.deepEqual(Tags, [{ Key: "stage", Value: "test" }]);

// A rule set has unions within lists within structures, and a double.
const rules = [
  {
    Name: "large",
    Conditions: [{ NumberExpression: { Evaluate: { Attribute: "MESSAGE_SIZE" }, Operator: "GREATER_THAN", Value: 1.5 } }],
    Actions: [{ AddHeader: { HeaderName: "X-Large", HeaderValue: "yes" } }, { Relay: { Relay: RelayId, MailFrom: "PRESERVE" } }],
  },
];
const { RuleSetId } = await client.send(new CreateRuleSetCommand({ RuleSetName: name, Rules: rules }));
const set = await client.send(new GetRuleSetCommand({ RuleSetId }));
assert.deepEqual(set.Rules[0].Conditions, rules[0].Conditions);
assert.deepEqual(set.Rules[0].Actions, rules[0].Actions);
await client.send(new DeleteRuleSetCommand({ RuleSetId }));

await client.send(new DeleteRelayCommand({ RelayId }));
await assert.rejects(client.send(new GetRelayCommand({ RelayId })), { name: "ResourceNotFoundException" });
console.log(`${name}: ok`);

// Makes calls through the AWS SDK for JavaScript: one call a line of standard input, one answer a line of standard output.
// Usage: node driver.mjs json|cbor
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import * as sdk from "@aws-sdk/client-mailmanager";
import { AwsSmithyRpcV2CborProtocol } from "@aws-sdk/core/protocols";

const cbor = process.argv[2] === "cbor";
const client = new sdk.MailManagerClient({
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

async function outputs({ operation, input, page_size: pageSize }) {
  const plain = ({ $metadata, ...output }) => output;
  if (!pageSize) {
    return [plain(await client.send(new sdk[`${operation}Command`](input)))];
  }
  const pages = [];
  for await (const page of sdk[`paginate${operation}`]({ client, pageSize }, input)) {
    pages.push(plain(page));
  }
  return pages;
}

async function answer(call) {
  try {
    return { outputs: await outputs(call) };
  } catch (error) {
    return error instanceof sdk.MailManagerServiceException ? { refused: error.name } : { broken: String(error.stack) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await answer(JSON.parse(line))));
}

// The reference library of Standard Webhooks (npm) judges what receiver.py recorded.
//
//     node verify.mjs NODE_MODULES RECORD PATH COUNT SECRET [WRONG_SECRET]

import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";

const [modules, record, path, count, secret, ...wrong] = process.argv.slice(2);
const { Webhook } = createRequire(modules + "/")("standardwebhooks");

const lines = fs.readFileSync(record, "utf8").trim().split("\n").map((line) => JSON.parse(line));
const requests = lines.filter((request) => request.path === path);
assert.ok(requests.length >= Number(count), `${path}: ${requests.length}`);
for (const { headers, body } of requests) {
  const text = Buffer.from(body, "latin1").toString("utf8");
  const fields = Object.fromEntries(headers);
  const event = new Webhook(secret).verify(text, fields);
  assert.equal(event.specversion, "1.0");
  assert.throws(() => new Webhook(secret).verify(text + " ", fields));
  assert.throws(() => new Webhook(secret).verify(text, { ...fields, "webhook-id": "another" }));
  for (const other of wrong) assert.throws(() => new Webhook(other).verify(text, fields));
}

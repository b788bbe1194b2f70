// Node: fetch reads Server-Sent Events as they stream, http holds an XMS stream, both see what fetch publishes.

import assert from "node:assert/strict";
import http from "node:http";

const url = process.argv[2];
const call = "c2dcaa4f-2b31-425c-b491-f2537d4c8738";

/** The events of a stream, one at a time: their ids and their data. */
async function* serverSentEvents(path, headers = {}) {
  const reply = await fetch(url + path, { headers: { Accept: "text/event-stream", ...headers } });
  assert.equal(reply.status, 200);
  assert.equal(reply.headers.get("content-type"), "text/event-stream");
  let text = "";
  for await (const piece of reply.body.pipeThrough(new TextDecoderStream())) {
    text += piece;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const fields = text.slice(0, end).split("\n").map((line) => line.split(/: ?(.*)/s));
      const field = (name) => fields.filter(([n]) => n === name).map(([, value]) => value);
      if (field("retry").length > 0) yield { opened: true };
      if (field("data").length > 0) {
        yield { id: field("id")[0], event: field("event")[0], data: JSON.parse(field("data").join("\n")) };
      }
    }
  }
}

/** A request of node:http, with its whole answer, or with the answer's stream (on a connection of its own). */
function ask(method, path, body, { streaming = false } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request(url + path, { method, agent: streaming ? false : undefined }, (reply) => {
      if (streaming) return resolve(reply);
      let text = "";
      reply.setEncoding("utf8").on("data", (piece) => (text += piece)).on("end", () => resolve({ reply, text }));
    });
    request.on("error", reject).end(body);
  });
}

async function publish(events, type = "application/json") {
  const reply = await fetch(`${url}/v1/events`, { method: "POST", headers: { "Content-Type": type }, body: events });
  assert.equal(reply.status, 202, await reply.clone().text());
  return (await reply.json()).accepted;
}

const events = serverSentEvents("/v1/events?subject=call%2F" + call);
assert.deepEqual((await events.next()).value, { opened: true });

const subscribe = '<web_service version="1.0"><eventhandler><eventsubscribe/></eventhandler></web_service>';
const { reply, text } = await ask("POST", "/default/eventhandlers?appid=app", subscribe);
assert.equal(reply.statusCode, 201);
const path = text.match(/href="([^"]+)"/)[1] + "?appid=app";
const stream = await ask("GET", path, undefined, { streaming: true });
assert.equal(stream.statusCode, 200);
const chunks = [];
const ended = new Promise((resolve, reject) => stream.on("end", resolve).on("error", reject));
const counted = new Promise((resolve) => {
  // Node hands out HTTP chunks one by one; one event is one chunk.
  stream.setEncoding("latin1").on("data", (chunk) => chunks.push(chunk) === 51 && resolve());
});

const lines = Array.from({ length: 50 }, (_, n) =>
  JSON.stringify({ id: `e${n}`, source: "node", type: "call.dtmf", subject: `call/${call}`, data: { digits: `${n % 10}`, n } }),
);
const accepted = await publish(lines.join("\n"), "application/x-ndjson");
assert.deepEqual(accepted.map(({ id }) => id), lines.map((_, n) => `e${n}`));

const seen = [];
while (seen.length < 50) seen.push((await events.next()).value);
seen.forEach(({ id, data }, n) => {
  assert.match(id, /^[0-9a-f]+-[0-9]+$/);
  assert.equal(id.split("-")[1], String(accepted[n].seq));
  assert.equal(data.id, `e${n}`);
  assert.equal(data.specversion, "1.0");
  assert.deepEqual(data.data, { digits: `${n % 10}`, n });
});
await events.return();

await counted;
chunks.forEach((chunk, n) => {
  const [digits, ...xml] = chunk.split("\r\n");
  assert.equal(parseInt(digits, 16), xml.join("\r\n").length);
  if (n > 0) assert.ok(chunk.includes(`<event_data name="n" value="${n - 1}" />`), chunk);
});
assert.ok(chunks[0].includes('type="keepalive"'));

// Back again, from the middle on: everything after it, once.
const resumed = serverSentEvents("/v1/events", { "Last-Event-ID": seen[29].id });
assert.deepEqual((await resumed.next()).value, { opened: true });
for (let n = 30; n < 50; n += 1) assert.equal((await resumed.next()).value.data.id, `e${n}`);
await resumed.return();

assert.equal((await ask("DELETE", path)).reply.statusCode, 204);
await ended;
assert.equal((await ask("GET", path)).reply.statusCode, 404);
process.exit(0);

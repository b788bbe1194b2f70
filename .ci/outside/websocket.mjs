// npm ws at iSymphony's Event API: who may come in, the vendor page's filters, fragments with pings between them, the
// server's own pings, closes, frames that break the protocol.
//
//     node websocket.mjs NODE_MODULES SERVER WEBSOCKET CA.pem
//
// SERVER is where events are published, WEBSOCKET the beginning of the websocket's address (ws:// or wss://).

import assert from "node:assert/strict";
import { once } from "node:events";
import fs from "node:fs";
import { createRequire } from "node:module";

const [modules, server, websocket, ca] = process.argv.slice(2);
const WebSocket = createRequire(modules + "/")("ws");

const PATH = "/communication_manager/ws/event";
const USER = "manager:example-password";
const TIMEOUT_MS = 30_000;

const file = (name) => fs.readFileSync(new URL(name, import.meta.url), "utf8");
const events = JSON.parse(file("isymphony-events.json"));
const pageFilters = file("isymphony-filters.txt").split("\n== ").slice(1).map((part) => {
  const [labels, ...message] = part.trimEnd().split("\n");
  return { labels: labels.split(" "), message: message.join("\n") };
});

/** A promise that fails if it takes too long. */
function soon(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), TIMEOUT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A websocket whose messages are taken one at a time. */
class Client {
  #waiting = [];
  #taken = [];

  constructor({ user = USER, path = PATH, ...options } = {}) {
    this.socket = new WebSocket(websocket + path, { auth: user, ca: fs.readFileSync(ca), ...options });
    this.socket.on("message", (data, binary) => {
      assert.ok(!binary);
      const message = JSON.parse(data.toString());
      const taker = this.#waiting.shift();
      if (taker) taker(message);
      else this.#taken.push(message);
    });
    // A server that breaks a connection off says so here as well as with "close".
    this.socket.on("error", () => {});
    this.closed = new Promise((resolve) => this.socket.on("close", (code) => resolve(code)));
  }

  static async open(options) {
    const client = new Client(options);
    await soon(once(client.socket, "open"), "the handshake");
    return client;
  }

  next() {
    if (this.#taken.length > 0) return Promise.resolve(this.#taken.shift());
    return soon(new Promise((resolve) => this.#waiting.push(resolve)), "a message");
  }

  async reply(type, correlationId = null) {
    const { time, error, ...rest } = await this.next();
    assert.deepEqual(rest, { correlationId, type });
    assert.equal(typeof time, "number");
    assert.equal(typeof error, type === "error" ? "string" : "undefined");
    return error;
  }

  async labels(count) {
    const labels = [];
    while (labels.length < count) labels.push((await this.next()).label);
    return labels;
  }

  async close(code, reason) {
    this.socket.close(code, reason);
    assert.equal(await soon(this.closed, "the close"), code);
  }
}

async function publish(batch) {
  const reply = await fetch(`${server}/v1/events`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(batch),
  });
  assert.equal(reply.status, 202, await reply.text());
}

/** The answer to a handshake that must not succeed. */
async function refused(options) {
  const { socket } = new Client(options);
  const [, reply] = await soon(once(socket, "unexpected-response"), "a refusal");
  reply.destroy();
  return reply;
}

for (const user of [undefined, "manager:wrong"]) {
  const { statusCode, headers } = await refused({ user: user ?? null });
  assert.equal(statusCode, 401);
  assert.equal(headers["www-authenticate"], 'Basic realm="communication_manager", charset="UTF-8"');
}
assert.equal((await refused({ path: "/communication_manager" })).statusCode, 404);
assert.equal((await refused({ origin: "http://elsewhere.example" })).statusCode, 403);
const old = await refused({ protocolVersion: 8 });
assert.deepEqual([old.statusCode, old.headers["sec-websocket-version"]], [426, "13"]);

// Every event, then the filters of the vendor's page: what got through besides what must, stands before the next reply.
const client = await Client.open({ origin: websocket.replace("ws", "http"), perMessageDeflate: true });
assert.equal(client.socket.extensions, "");
await publish(events);
assert.deepEqual(await client.labels(events.length), events.map(({ data }) => data.label));
for (const { labels, message } of pageFilters) {
  client.socket.send(message);
  if (labels[0] === "error") {
    assert.match(await client.reply("error"), /\{"property":"<property name>","value":"<filter value>"\}/);
    continue;
  }
  await client.reply("success", message.includes('"123456"') ? "123456" : null);
  await publish(events);
  assert.deepEqual(await client.labels(labels.length), labels, message);
}

// Another's filters are its own; replies come in order.
const other = await Client.open();
const dial = '{"type":"filter","correlationId":1,"filters":[{"property":"label","value":"last-dial"}]}';
for (const message of [dial, "oops", dial.replace(":1,", ':"two",')]) other.socket.send(message);
await other.reply("success", 1);
await other.reply("error");
await other.reply("success", "two");
await publish(events);
assert.deepEqual(await other.labels(1), ["last-dial"]);
assert.equal((await client.labels(6)).at(-1), "last-dial");

// Fragments, with a ping between them that is answered before the message is whole; fragments of a byte.
const ping = async (data) => {
  const pong = once(other.socket, "pong");
  other.socket.ping(data);
  assert.equal((await soon(pong, "a pong"))[0].toString(), data);
};
other.socket.send(dial.slice(0, 20), { fin: false });
await ping("between");
other.socket.send(dial.slice(20, 21), { fin: false });
await ping("");
other.socket.send(dial.slice(21), { fin: true });
await other.reply("success", 1);
for (const [at, byte] of [...dial].entries()) other.socket.send(byte, { fin: at === dial.length - 1 });
await other.reply("success", 1);
other.socket.send(Buffer.from([0]), { binary: true });
assert.match(await other.reply("error"), /text/);

// The server asks whether anybody is there.
await soon(once(other.socket, "ping"), "a ping of the server");

await other.close(4000, "bye");
await client.close(1000);

for (const [send, code] of [
  [(socket) => socket.send(dial, { mask: false }), 1002],
  [(socket) => socket.send(Buffer.from([0x7b, 0xff]), { binary: false }), 1007],
  [(socket) => socket.send(" ".repeat(64 * 1024 + 1)), 1009],
  [(socket) => { for (let n = 0; n < 64; n += 1) socket.send(" ".repeat(1025), { fin: false }); }, 1009],
]) {
  const broken = await Client.open();
  send(broken.socket);
  assert.equal(await soon(broken.closed, `the close ${code}`), code);
}

// Who hangs up without a word does no harm.
(await Client.open()).socket.terminate();
const last = await Client.open();
await last.close(1000);
process.exit(0);

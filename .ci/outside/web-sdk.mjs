// W40: the vendor's Web SDK, unmodified, in headless Chromium: a session, statuses of a stream, a warning after a hook
// that failed, data both ways, an operation that nobody serves, a session that the backend declines.
//
//     node web-sdk.mjs NODE_MODULES CHROMIUM SERVER WEBSOCKET RECORD
//
// SERVER is where events are published, WEBSOCKET the address for the SDK, RECORD what receiver.py wrote of the backend.

import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";

const [modules, executablePath, server, websocket, record] = process.argv.slice(2);
const require = createRequire(modules + "/");
const { chromium } = require("playwright-core");
const sdk = require.resolve("@flashphoner/websdk/flashphoner-no-flash.js");

const TIMEOUT_MS = 30_000;

/** What the backend was asked of an application from `first` on: the content, and the hook's name as `hook`. */
function hooks(app, first = 0) {
  const requests = fs.readFileSync(record, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
  return requests
    .map(({ path, body }) => ({ parts: path.split("/"), body }))
    .filter(({ parts }) => parts.at(-2) === app)
    .map(({ parts, body }) => ({ ...JSON.parse(Buffer.from(body, "latin1").toString()), hook: parts.at(-1) }))
    .slice(first);
}

/** Waits for a hook call that is as `expected` says. */
async function hook(app, first, expected) {
  for (const begin = Date.now(); Date.now() < begin + TIMEOUT_MS; ) {
    const found = hooks(app, first).find((call) => Object.entries(expected).every(([key, value]) => call[key] === value));
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`no hook ${JSON.stringify(expected)} among ${JSON.stringify(hooks(app, first))}`);
}

async function post(path, content, status) {
  const reply = await fetch(server + path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(content),
  });
  assert.equal(reply.status, status, await reply.text());
}

// The page comes from another origin than the websocket, as the vendor's pages do.
const pages = http.createServer((request, reply) => {
  reply.setHeader("Content-Type", request.url === "/sdk.js" ? "text/javascript" : "text/html");
  reply.end(request.url === "/sdk.js" ? fs.readFileSync(sdk) : "<!doctype html><div id=display></div><script src=sdk.js></script>");
});
await new Promise((resolve) => pages.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${pages.address().port}`;

// The certificate's authority is none of the browser's.
const browser = await chromium.launch({ executablePath, args: ["--ignore-certificate-errors"] });
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(origin);

  /** Waits until the page's list of what happened has an entry with this name, and takes it off. */
  const happened = async (name) => {
    await page.waitForFunction((name) => window.log.some((entry) => entry.name === name), name).catch(async (error) => {
      const log = await page.evaluate(() => window.log);
      throw new Error(`no ${name} among ${JSON.stringify(log)}, page errors ${JSON.stringify(errors)}`, { cause: error });
    });
    return page.evaluate((name) => window.log.splice(window.log.findIndex((entry) => entry.name === name), 1)[0], name);
  };

  const open = (appKey) => page.evaluate(([urlServer, appKey]) => {
    window.log = [];
    const note = (name, value) => window.log.push({ name, value: JSON.parse(JSON.stringify(value ?? null)) });
    window.note = note;
    const { SESSION_STATUS } = Flashphoner.constants;
    window.session = Flashphoner.createSession({ urlServer, appKey, custom: { agent: "Jürgen" } });
    for (const status of ["ESTABLISHED", "DISCONNECTED", "FAILED"]) {
      window.session.on(SESSION_STATUS[status], () => note(status));
    }
    window.session.on(SESSION_STATUS.WARN, (value) => note("WARN", value));
    window.session.on(SESSION_STATUS.APP_DATA, (value) => note("APP_DATA", value));
  }, [websocket, appKey]);
  await page.evaluate(() => Flashphoner.init({}));

  const first = hooks("sdk").length;
  await open("sdk");
  await happened("ESTABLISHED");
  const connect = await hook("sdk", first, { hook: "connect" });
  assert.equal(connect.custom.agent, "Jürgen");
  const established = await hook("sdk", first, { hook: "ConnectionStatusEvent", status: "ESTABLISHED" });
  assert.equal(established.sessionId, connect.sessionId);
  assert.equal(established.origin, origin);

  // A stream of the SDK's, whose statuses come from elsewhere.
  const stream = (name) => page.evaluate((name) => {
    const stream = window.session.createStream({ name, display: document.getElementById("display") });
    for (const status of ["PLAYING", "FAILED", "STOPPED"]) {
      stream.on(Flashphoner.constants.STREAM_STATUS[status], () => window.note(status, { id: stream.id(), info: stream.getInfo() }));
    }
    (window.streams ??= {})[name] = stream;
    return stream.id();
  }, name);
  const publish = (media_session_id, data) => post("/v1/events", {
    type: "stream.status",
    appkey: "sdk",
    sessionid: connect.sessionId,
    data: { media_session_id, ...data },
  }, 202);

  const good = await stream("good");
  await publish(good, { name: "good", status: "PLAYING" });
  assert.equal((await happened("PLAYING")).value.id, good);
  await hook("sdk", first, { hook: "StreamStatusEvent", mediaSessionId: good, status: "PLAYING" });

  // The client has the event before the backend is called, a warning after the backend's bad answer; the stream goes on.
  const broken = await stream("broken");
  await publish(broken, { name: "broken", status: "PLAYING" });
  assert.equal((await happened("PLAYING")).value.id, broken);
  const warning = (await happened("WARN")).value;
  assert.equal(warning.info, "REST hook StreamStatusEvent failed: HTTP 500");
  assert.equal(await page.evaluate(() => window.streams.broken.status()), "PLAYING");
  await publish(good, { name: "good", status: "STOPPED" });
  assert.equal((await happened("STOPPED")).value.id, good);

  // Data to the backend, which the SDK takes for accepted once the server says so, and data from it.
  await page.evaluate(() => {
    window.session.sendData({ text: "to the backend" }).then(() => window.note("ACCEPTED"), (error) => window.note("REFUSED", error));
  });
  await happened("ACCEPTED");
  const sent = await hook("sdk", first, { hook: "OnDataEvent" });
  assert.equal(sent.payload.text, "to the backend");
  const { nodeId, sessionId } = connect;
  await post("/rest-api/data/send", { nodeId, operationId: "o1", sessionId, payload: { text: "from the backend" } }, 200);
  assert.equal((await happened("APP_DATA")).value.payload.text, "from the backend");
  await post("/rest-api/data/send", { nodeId, operationId: "o2", sessionId: "nobody", payload: {} }, 404);

  // Nobody plays streams here: the operation's own event says so.
  const played = await stream("played");
  await page.evaluate(() => window.streams.played.play());
  const failed = (await happened("FAILED")).value;
  assert.equal(failed.id, played);
  assert.equal(failed.info, "operation not supported");
  await hook("sdk", first, { hook: "playStream", mediaSessionId: played });

  await page.evaluate(() => window.session.disconnect());
  await happened("DISCONNECTED");
  await hook("sdk", first, { hook: "ConnectionStatusEvent", status: "DISCONNECTED", sessionId });

  // The backend answers 403: a warning that says so, and the end.
  await open("closed");
  assert.match((await happened("WARN")).value.info, /403/);
  await happened("DISCONNECTED");
  assert.deepEqual(errors, []);
} finally {
  await browser.close();
  pages.close();
}

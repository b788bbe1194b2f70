// What Node's own server, whose parser is llhttp, makes of inputs: frames on stdin, a line of JSON for each on stdout.
//
//     node llhttp.mjs <INPUTS >LINES

import http from 'node:http';
import { Duplex } from 'node:stream';
import { readFileSync } from 'node:fs';

function verdict(input) {
  return new Promise((resolve) => {
    const requests = [];
    let why = 'more';
    const server = http.createServer({ insecureHTTPParser: false });
    server.httpAllowHalfOpen = true;
    const take = (request, response) => {
      const content = [];
      request.on('data', (piece) => content.push(piece));
      request.on('end', () => {
        const fields = [];
        for (let at = 0; at < request.rawHeaders.length; at += 2) fields.push(request.rawHeaders.slice(at, at + 2));
        requests.push({
          method: request.method,
          target: request.url,
          fields,
          content: Buffer.concat(content).toString('hex'),
        });
      });
      // Without a listener an abort would end the process.
      request.on('error', () => {});
      response?.end();
    };
    for (const name of ['request', 'checkContinue', 'checkExpectation']) server.on(name, take);
    server.on('connect', (request) => { why = 'CONNECT'; });
    // What came before the fault is still on its way to its listeners, so the socket stays.
    server.on('clientError', (error) => { why = error.code ?? String(error); });
    const socket = new Duplex({
      read() {},
      write(piece, encoding, done) { done(); },
    });
    server.emit('connection', socket);
    socket.push(input);
    socket.push(null);
    // All events of what came at once are there before a timer's.
    setTimeout(() => {
      socket.destroy();
      resolve({ requests, why });
    }, 20);
  });
}

const input = readFileSync(0);
const inputs = [];
for (let at = 0; at < input.length;) {
  const length = input.readUInt32BE(at);
  inputs.push(input.subarray(at + 4, at + 4 + length));
  at += 4 + length;
}
for (let at = 0; at < inputs.length; at += 100) {
  const verdicts = await Promise.all(inputs.slice(at, at + 100).map(verdict));
  process.stdout.write(verdicts.map((one) => `${JSON.stringify(one)}\n`).join(''));
}

"""Many calls a second through a real Asterisk: each call's start and end at every output, how late, and what the server holds.

    python3 load.py --offhook H:P --asterisk PORT --sipp ROOT --scenario FILE --receiver PORT --server PID --rate N --seconds N

Both run already. SIPp calls an extension that answers at once and hangs up half a second later. Python's standard library alone.
Prints a line for each output; ends with 1 if a start or an end is missing anywhere, or came twice.
"""

import argparse
import asyncio
import base64
import calendar
import collections
import json
import os
import re
import secrets
import struct
import sys
import time

parser = argparse.ArgumentParser()
for name in ("offhook", "asterisk", "sipp", "scenario", "receiver", "server", "rate", "seconds"):
    parser.add_argument(f"--{name}", required=True)
arguments = parser.parse_args()
HOST, PORT = arguments.offhook.split(":")
CALLS = int(arguments.rate) * int(arguments.seconds)
ENDS = {"call.incoming": "start", "call.hangup": "end", "incoming": "start", "hangup": "end", "callIncoming": "start"}
PATIENCE_S = 60


class Output:
    """What came at one output: when each call's start and end did, and how often."""

    def __init__(self, name):
        self.name, self.times, self.seen = name, {}, collections.Counter()

    def tell(self, kind, call):
        if kind in ENDS:
            self.times.setdefault((ENDS[kind], call), time.time())
            self.seen[(ENDS[kind], call)] += 1

    def count(self, end):
        return sum(1 for which, _ in self.times if which == end)


async def asked(method, path, body=b"", **fields):
    """A request, and its answer's head; what follows is the caller's."""
    reader, writer = await asyncio.open_connection(HOST, int(PORT), limit=1 << 22)
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: {HOST}:{PORT}\r\nContent-Length: {len(body)}\r\n{fields}\r\n".encode() + body)
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    assert re.match(r"HTTP/1\.1 (2..|101) ", head), head
    return head, reader, writer


async def sse(output, times):
    _, reader, _ = await asked("GET", "/v1/events?type=call.incoming&type=call.hangup")
    while line := await reader.readline():
        if line.startswith(b"data: "):
            event = json.loads(line[6:])
            call = event["data"]["call_id"]
            output.tell(event["type"], call)
            if event["type"] in ENDS:
                times[(ENDS[event["type"]], call)] = event["time"]


async def xms(output):
    body = b'<web_service version="1.0"><eventhandler><eventsubscribe action="add" type="incoming"/>' \
        b'<eventsubscribe action="add" type="hangup"/></eventhandler></web_service>'
    head, reader, writer = await asked("POST", "/default/eventhandlers?appid=app", body, Content_Type="application/xml")
    answer = await reader.readexactly(int(re.search(r"(?i)content-length: (\d+)", head).group(1)))
    identifier = re.search(r'identifier="([^"]*)"', answer.decode()).group(1)
    writer.close()
    _, reader, _ = await asked("GET", f"/default/eventhandlers/{identifier}?appid=app")
    event = re.compile(r'<event type="([^"]*)" resource_id="([^"]*)"')
    text = ""
    while data := await reader.read(1 << 16):
        *whole, text = (text + data.decode()).split("</web_service>")
        for part in whole:
            if found := event.search(part):
                output.tell(*found.groups())


async def isymphony(output):
    user = base64.b64encode(b"manager:example-password").decode()
    _, reader, writer = await asked(
        "GET", "/communication_manager/ws/event", Authorization=f"Basic {user}", Upgrade="websocket", Connection="Upgrade",
        Sec_WebSocket_Version="13", Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==")
    filters = [{"property": "type", "value": kind} for kind in ("callIncoming", "hangup")]
    text = json.dumps({"type": "filter", "filters": filters}).encode()
    mask = secrets.token_bytes(4)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
    assert len(text) < 126, "one byte holds its length"
    writer.write(struct.pack("!BB", 0x81, 0x80 | len(text)) + mask + masked)
    while True:
        first, length = await reader.readexactly(2)
        if length == 126:
            length, = struct.unpack("!H", await reader.readexactly(2))
        text = await reader.readexactly(length)
        if first & 0x0F == 9:
            writer.write(struct.pack("!BB", 0x8A, 0x80 | length) + bytes(4) + text)
        elif first & 0x0F == 1:
            event = json.loads(text)
            output.tell(event["type"], event.get("callSegmentId"))


def webhook(output):
    async def serve(reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                body = await reader.readexactly(int(re.search(r"(?i)content-length: (\d+)", head).group(1)))
                events = json.loads(body)
                for event in events if isinstance(events, list) else [events]:
                    output.tell(event["type"], event["data"]["call_id"])
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    return asyncio.start_server(serve, "127.0.0.1", int(arguments.receiver), limit=1 << 22)


def held_kb():
    """Memory of the server that is its own."""
    with open(f"/proc/{arguments.server}/status") as status:
        return int(re.search(r"RssAnon:\s+(\d+)", status.read()).group(1))


def used_s():
    """Time of the processor that the server has used."""
    with open(f"/proc/{arguments.server}/stat") as stat:
        return sum(map(int, stat.read().rsplit(") ", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def percentile(sorted_values, of_hundred):
    return sorted_values[min(len(sorted_values) - 1, len(sorted_values) * of_hundred // 100)]


async def watch(samples):
    while True:
        samples.append(held_kb())
        await asyncio.sleep(2)


async def main():
    outputs = [Output(name) for name in ("SSE", "XMS", "iSymphony", "webhook")]
    times, samples = {}, []
    await webhook(outputs[3])
    tasks = [asyncio.create_task(task) for task in (sse(outputs[0], times), xms(outputs[1]), isymphony(outputs[2]), watch(samples))]
    await asyncio.sleep(1)
    began, used = time.time(), used_s()
    sipp = await asyncio.create_subprocess_exec(
        "chroot", arguments.sipp, "/usr/bin/sipp", f"127.0.0.1:{arguments.asterisk}", "-sf", arguments.scenario, "-i", "127.0.0.1",
        "-r", arguments.rate, "-m", str(CALLS), "-l", "20000", "-nostdin", "-recv_timeout", "20000", "-s", "5560000",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL)
    code = await sipp.wait()
    took, cores = time.time() - began, (used_s() - used) / (time.time() - began)
    print(f"SIPp ended with {code}: {CALLS} calls in {took:.1f} s, {CALLS / took:.0f} a second; "
          f"the server used {100 * cores:.1f} % of a core", flush=True)
    late = time.time() + PATIENCE_S
    while time.time() < late and any(output.count(end) < CALLS for output in outputs for end in ("start", "end")):
        broken = [task for task in tasks if task.done()]
        assert not broken, broken[0].exception()
        await asyncio.sleep(0.2)
    moments = {key: time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S") for key, text in times.items()}
    epoch = {key: calendar.timegm(moment) + float("0" + times[key][19:].rstrip("Z")) for key, moment in moments.items()}
    right = True
    for output in outputs:
        starts, ends = output.count("start"), output.count("end")
        twice = sum(1 for times_seen in output.seen.values() if times_seen > 1)
        lags = sorted(1_000 * (at - epoch[key]) for key, at in output.times.items() if key in epoch)
        right = right and (starts, ends, twice) == (CALLS, CALLS, 0)
        print(f"{output.name}: {starts} starts, {ends} ends, {twice} twice; later than Asterisk's own time by "
              f"{percentile(lags, 50):.1f} ms (p50), {percentile(lags, 99):.1f} ms (p99), {lags[-1]:.1f} ms at most")
    quarter = max(1, len(samples) // 4)
    print(f"memory of the server: {samples[0]} KB before, {max(samples[:quarter * 2])} KB at most in the first half, "
          f"{max(samples[quarter * 2:])} KB in the second")
    sys.stdout.flush()
    # Whoever still listens is not waited for.
    os._exit(0 if right and code == 0 else 1)


asyncio.run(main())

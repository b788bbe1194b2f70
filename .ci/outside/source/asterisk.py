"""Asterisk as a source: phones call, and what happens is asserted at every output and against what Asterisk says is open.

    python3 asterisk.py --binary B --shards N --folder F --root R --scratch S --port P --manager M --relay L --listener A --record F

The folder has offhook.toml, in which the source's address is the relay's: between offhook and Asterisk stands a relay that can be
cut. Both are started, killed and started again by this program. Python's standard library alone.
"""

import argparse
import atexit
import base64
import collections
import http.client
import json
import pathlib
import re
import secrets
import socket
import struct
import subprocess
import threading
import time
import urllib.parse

from phone import Phone, until
from sep import run

parser = argparse.ArgumentParser()
for name in ("binary", "shards", "folder", "root", "scratch", "port", "manager", "relay", "listener", "record"):
    parser.add_argument(f"--{name}", required=True)
arguments = parser.parse_args()
FOLDER, OUTSIDE = pathlib.Path(arguments.folder), pathlib.Path(arguments.root + arguments.scratch)
HOST = f"127.0.0.1:{arguments.listener}"
CONFIG = f"{arguments.scratch}/etc/asterisk.conf"


class Process:
    """A program that is started again after it was killed."""

    def __init__(self, command, log):
        self.command, self.log = command, open(log, "ab")
        self.process = None
        atexit.register(self.kill)

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def shut(one):
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class Relay:
    """What stands between the two. While it is cut, whoever connects is refused."""

    def __init__(self, port, to):
        self.port, self.to, self.listener, self.open = port, to, None, []

    def restore(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, args=[self.listener], daemon=True).start()

    def cut(self):
        # A listener that somebody waits at is closed by shutting it down first.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for one in self.open:
            shut(one)
        self.open = []

    def accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                client.close()
                continue
            self.open += [client, server]
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self.carry, args=pair, daemon=True).start()

    @staticmethod
    def carry(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        shut(source)
        shut(target)


asterisk = Process(["chroot", arguments.root, "/usr/sbin/asterisk", "-f", "-n", "-C", CONFIG], OUTSIDE / "said")
offhook = Process(
    [arguments.binary, "--config", str(FOLDER / "offhook.toml"), "--listen", HOST, "--data", str(FOLDER / "data"), "--shards", arguments.shards],
    FOLDER / "server.log")
relay = Relay(int(arguments.relay), int(arguments.manager))


def console(line):
    command = ["chroot", arguments.root, "/usr/sbin/asterisk", "-C", CONFIG, "-rx", line]
    return subprocess.run(command, capture_output=True, text=True).stdout


def request(method, path, body=None, **fields):
    connection = http.client.HTTPConnection(HOST, timeout=20)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in fields.items()})
    return connection.getresponse()


def answers():
    try:
        return request("GET", "/readyz").status == 200
    except OSError:
        return False


class Events:
    """All events, as GET /v1/events tells them; after a restart it goes on where it was. What is asked for is what came since
    all was quiet."""

    def __init__(self):
        self.found, self.last, self.quiet = [], None, 0

    def listen(self):
        more = {"Last_Event_ID": self.last} if self.last else {}
        answer = request("GET", "/v1/events", **more)
        assert answer.status == 200, answer.status
        threading.Thread(target=self.gather, args=[answer], daemon=True).start()

    def gather(self, answer):
        try:
            for line in answer:
                if line.startswith(b"id: "):
                    self.last = line[4:].decode().strip()
                elif line.startswith(b"data: "):
                    self.found.append(json.loads(line[6:]))
        except (OSError, http.client.HTTPException, ValueError):
            pass

    def of(self, kind, **facts):
        return [event for event in self.found[self.quiet:] if event["type"] == kind and facts.items() <= event.get("data", {}).items()]

    def until(self, kind, times=1, **facts):
        def told():
            return f"{kind} {facts}; the last were {[(event['type'], event.get('subject')) for event in self.found[-12:]]}"

        found = until(lambda: len(found := self.of(kind, **facts)) >= times and found, told)
        assert len(found) == times, f"{kind} {facts} {len(found)} times"
        return found[-1]

    def open(self):
        """The calls and the contacts that are open, where nothing may begin or end twice."""
        calls, contacts, ended = set(), set(), set()
        for event in [*self.found]:
            data, subject = event.get("data", {}), event.get("subject", "")
            if event["type"] == "call.hangup":
                assert subject in calls, f"{subject} ended twice, or never began"
                calls.remove(subject)
                ended.add(subject)
            elif subject.startswith("call/") and "channel" in data:
                assert subject not in ended, f"{event} after its end"
                assert event["type"] != "call.incoming" or subject not in calls, f"{subject} began twice"
                calls.add(subject)
            elif event["type"] == "sip.reg":
                contact = (data["aor"], data["contact_uri"])
                contacts.add(contact) if data["contact_state"] == "active" else contacts.discard(contact)
        return calls, contacts


def there():
    """The calls and the contacts that Asterisk says are open."""
    lines = console("core show channels concise").splitlines()
    calls = {"call/" + line.split("!")[-1] for line in lines if line.startswith("PJSIP/")}
    return calls, set(re.findall(r"Contact:\s+([^/\s<]+)/(sip:\S+)", console("pjsip show contacts")))


def agrees():
    until(lambda: events.open() == there(), lambda: f"{events.open()} to be {there()}")


def quiet():
    """All calls are over, on both sides."""
    until(lambda: there()[0] == set(), lambda: f"the end of {there()[0]}")
    agrees()
    events.quiet = len(events.found)
    for phone in phones:
        phone.mode = "answers"
        phone.calls.clear()


class Xms:
    """An eventhandler and its stream."""

    def __init__(self):
        body = '<web_service version="1.0"><eventhandler><eventsubscribe action="add" type="any"/></eventhandler></web_service>'
        answer = request("POST", "/default/eventhandlers?appid=app", body, Content_Type="application/xml")
        identifier = re.search(r'identifier="([^"]*)"', answer.read().decode()).group(1)
        self.found = []
        stream = request("GET", f"/default/eventhandlers/{identifier}?appid=app")
        threading.Thread(target=self.gather, args=[stream], daemon=True).start()
        until(lambda: any("keepalive" in text for text in self.found), lambda: "the stream of XMS")

    def gather(self, stream):
        text = ""
        try:
            while data := stream.read1():
                *whole, text = (text + data.decode()).split("</web_service>")
                self.found += whole
        except (OSError, http.client.HTTPException, ValueError):
            pass

    def kinds(self, call):
        texts = [text for text in self.found if f'resource_id="{call}"' in text]
        return [re.search(r'<event type="([^"]*)"', text).group(1) for text in texts]


class Isymphony:
    """A websocket, narrowed to one extension."""

    def __init__(self, extension):
        self.socket = socket.create_connection(("127.0.0.1", int(arguments.listener)))
        user = base64.b64encode(b"manager:example-password").decode()
        lines = ("GET /communication_manager/ws/event HTTP/1.1", f"Host: {HOST}", f"Authorization: Basic {user}", "Upgrade: websocket",
                 "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", "")
        self.socket.sendall("\r\n".join(lines).encode())
        self.stream, self.found = self.socket.makefile("rb"), []
        while self.stream.readline().strip():
            pass
        narrow = json.dumps({"type": "filter", "filters": [{"property": "extensionNumber", "value": extension}]}).encode()
        mask = secrets.token_bytes(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(narrow))
        self.socket.sendall(struct.pack("!BB", 0x81, 0x80 | len(narrow)) + mask + masked)
        threading.Thread(target=self.gather, daemon=True).start()
        until(lambda: any(event["type"] == "success" for event in self.found), lambda: "the filter")

    def gather(self):
        while head := self.stream.read(2):
            length = head[1] & 0x7F
            if length == 126:
                length = struct.unpack("!H", self.stream.read(2))[0]
            text = self.stream.read(length)
            if head[0] & 0x0F == 1:
                self.found.append(json.loads(text))

    def kinds(self, call):
        return [event["type"] for event in self.found if event.get("callSegmentId") == call]


def received(path):
    """What the receiver got there."""
    file = pathlib.Path(arguments.record)
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return [request for request in map(json.loads, lines) if request["path"].split("?")[0] == path]


def hooked(subject):
    """The types that the webhook got of a subject, repeats left out, as they are in order."""
    bodies = [json.loads(request["body"]) for request in received("/ok/crm")]
    return [*dict.fromkeys((body["id"], body["type"]) for body in bodies if body["subject"] == subject)]


def every_output_has_the_call():
    xms, panel = Xms(), Isymphony("101")
    call = trunk.call("5551000").until("up")
    linked = events.until("call.link_start", extension_2="101", did_1="5551000")
    time.sleep(1)
    call.hang_up()
    first, called = (linked["data"][name] for name in ("call_id_1", "call_id_2"))
    hangup = events.until("call.hangup", call_id=called, reason="Normal Clearing", cause=16)
    assert linked["appid"] == "app" and linked["account"] == "acme" and linked["source"] == "pbx", linked
    assert hangup["data"]["linked_id"] == first and hangup["data"]["talk_duration"] >= 1, hangup
    events.until("call.hangup", call_id=first)
    kinds = [event["type"] for event in events.found if event.get("subject") == f"call/{called}"]
    assert kinds == ["call.dial", "call.ringing", "call.answered", "call.dial", "call.hangup"], kinds
    kinds = [event["type"] for event in events.found if event.get("subject") == f"call/{first}"]
    assert kinds == ["call.incoming", "call.connected", "call.link_start", "call.link_end", "call.hangup"], kinds
    until(lambda: xms.kinds(first) == ["incoming", "connected", "hangup"], lambda: f"XMS, of the caller: {xms.kinds(first)}")
    until(lambda: xms.kinds(called) == ["ringing", "answered", "hangup"], lambda: f"XMS, of the called: {xms.kinds(called)}")
    wanted = ["dial", "callRinging", "callAnswered", "dial", "hangup"]
    until(lambda: panel.kinds(called) == wanted, lambda: f"iSymphony: {panel.kinds(called)}")
    assert panel.kinds(first) == [], panel.kinds(first)
    counted = collections.Counter(["call.dial", "call.ringing", "call.answered", "call.dial", "call.hangup"])
    until(lambda: collections.Counter(kind for _, kind in hooked(f"call/{called}")) == counted, lambda: f"webhook: {hooked(f'call/{called}')}")
    recording = events.until("recording.ended", call_id=first)["data"]
    assert recording["duration"] >= 1 and recording["file_name"].endswith(f"{first}.wav"), recording
    query = urllib.parse.urlencode({"ucid": first, "file": recording["file_name"], "ani": "trunk"}, quote_via=urllib.parse.quote, safe="")
    until(lambda: [request["path"] for request in received("/ok/isr")] == [f"/ok/isr?{query}"] * 2, lambda: f"ISR: {received('/ok/isr')}")
    quiet()


def a_call_that_is_not_answered():
    for mode, end, status in (("is busy", None, "BUSY"), ("rings", "cancel", "CANCEL")):
        bob.mode = mode
        call = alice.call("101").until("rings" if end else "over")
        if end:
            dialled = events.until("call.ringing")
            assert dialled["data"]["extension"] == "101", dialled
            call.cancel()
        events.until("call.dial", state="end", status=status)
        quiet()


def a_call_that_is_held():
    call = alice.call("101").until("up")
    agrees()
    call.hold(True)
    held = events.until("call.status", status="HOLD")
    assert held["data"]["extension"] == "100", held
    call.hold(False)
    events.until("call.status", status="ESTABLISHED", call_id=held["data"]["call_id"])
    call.hang_up()
    quiet()


def digits():
    call = alice.call("500").until("up")
    events.until("call.connected", called_number="500")
    for digit in "5#":
        call.press(digit)
        events.until("call.dtmf", digits=digit)
    call.hang_up()
    quiet()


def transfers():
    call = alice.call("101").until("up")
    leg = bob.called().until("up")
    # Asterisk refuses to transfer what is answered and not yet linked.
    events.until("call.link_start", extension_1="100", extension_2="101")
    leg.transfer("102")
    events.until("call.transfer", transfer="blind", called_number="102", transferer_number="101", extension="100", status="Success")
    carol.called().until("up")
    events.until("call.link_start", extension_1="100", extension_2="102")
    agrees()
    call.hang_up()
    quiet()
    call = alice.call("101").until("up")
    first, second = bob.called().until("up"), bob.call("102").until("up")
    events.until("call.link_start", extension_1="100", extension_2="101")
    events.until("call.link_start", extension_1="101", extension_2="102")
    first.transfer(second)
    events.until("call.transfer", transfer="attended", called_number="102", extension="100", status="Success")
    events.until("call.link_start", extension_1="100", extension_2="102")
    until(lambda: len(there()[0]) == 2, lambda: "the transferer's legs to end")
    agrees()
    call.hang_up()
    quiet()


def local_channels():
    for number in ("110", "111"):
        call = alice.call(number).until("up")
        events.until("call.link_start", extension_1="100", extension_2="101")
        time.sleep(1)
        agrees()
        assert len(events.of("call.link_start")) == 1 and not events.of("call.link_end")
        call.hang_up()
        quiet()
    assert not [event for event in events.found if "Local/" in event.get("data", {}).get("channel", "")]


def a_conference():
    one, other = alice.call("200").until("up"), bob.call("200").until("up")
    for extension in ("100", "101"):
        events.until("conference.join", conference_id="sales", extension=extension)
    agrees()
    one.hang_up()
    events.until("conference.leave", conference_id="sales", extension="100")
    other.hang_up()
    events.until("conference.leave", conference_id="sales", extension="101")
    quiet()


def a_queue():
    call = alice.call("300").until("up")
    events.until("queue.join", queue="support", extension="100")
    events.until("agent.called", queue="support", agent="Carol", extension="102")
    carol.called().until("up")
    connected = events.until("agent.connected", queue="support", agent="Carol")
    events.until("queue.leave", queue="support", extension="100")
    # Of a caller who hangs up before they are linked, a queue does not always say that his call is complete.
    events.until("call.link_start", call_id_2=connected["data"]["agent_call_id"])
    agrees()
    call.hang_up()
    events.until("agent.completed", queue="support", agent="Carol", reason="caller")
    quiet()
    console("queue add member PJSIP/101 to support penalty 1 as Bob")
    events.until("agent.login", queue="support", agent="Bob", extension="101")
    console("queue pause member PJSIP/101 queue support reason lunch")
    events.until("agent.paused", agent="Bob", reason="lunch")
    console("queue remove member PJSIP/101 from support")
    events.until("agent.logout", queue="support", agent="Bob")


def states():
    for state in ("RINGING", "INUSE"):
        console(f"devstate change Custom:lamp {state}")
        events.until("device.state", device="Custom:lamp", state=state, extension="103")
    events.until("extension.state", extension="103", state="InUse")
    inbox = OUTSIDE / "spool/voicemail/default/100/INBOX"
    inbox.mkdir(parents=True)
    (inbox / "msg0000.txt").touch()
    events.until("sip.message_summary", account="100@default", waiting=True, new=1, old=0)
    bob.register(0)
    events.until("sip.reg", aor="101", contact_state="terminated", state="terminated")
    bob.register()
    quiet()


def a_cut_connection():
    """While it is cut one call ends, one goes on, one begins, and a phone goes away."""
    ends, stays = alice.call("101").until("up"), bob.call("102").until("up")
    for one, other in (("100", "101"), ("101", "102")):
        events.until("call.link_start", extension_1=one, extension_2=other)
    agrees()
    relay.cut()
    events.until("source.down")
    before = len(events.found)
    ends.hang_up()
    begins = alice.call("500").until("up")
    carol.register(0)
    until(lambda: len(there()[0]) == 3, lambda: "the call to end")
    relay.restore()
    events.until("source.up")
    agrees()
    missed = [event for event in events.found[before:] if event.get("data", {}).get("reason") == "resync"]
    kinds = collections.Counter(event["type"] for event in missed if event["type"].startswith(("call.", "sip.reg")))
    assert kinds == {"call.link_end": 1, "call.hangup": 2, "call.incoming": 1, "call.connected": 1, "sip.reg": 1}, kinds
    for call in (stays, begins):
        call.hang_up()
    carol.register()
    quiet()


def asterisk_is_killed():
    alice.call("101").until("up")
    agrees()
    began = events.open()[0]
    asterisk.kill()
    asterisk.start()
    events.until("source.up")
    for subject in began:
        events.until("call.hangup", reason="resync", call_id=subject.removeprefix("call/"))
    for phone in phones:
        phone.register()
    quiet()


def offhook_is_killed():
    ends, stays = alice.call("101").until("up"), bob.call("102").until("up")
    agrees()
    offhook.kill()
    ends.hang_up()
    until(lambda: len(there()[0]) == 2, lambda: "the call to end")
    offhook.start()
    until(answers, lambda: "offhook")
    events.listen()
    events.until("source.up")
    agrees()
    stays.hang_up()
    quiet()


relay.restore()
asterisk.start()
until(lambda: "System uptime" in console("core show uptime"), lambda: "Asterisk")
offhook.start()
until(answers, lambda: "offhook")
events = Events()
events.listen()
events.until("source.up")
phones = alice, bob, carol, trunk = [
    Phone(user, int(arguments.port), name) for user, name in (("100", "Alice"), ("101", "Bob"), ("102", "Carol"), ("trunk", "Mike"))]
for phone in phones:
    phone.register()
agrees()
run([every_output_has_the_call, a_call_that_is_not_answered, a_call_that_is_held, digits, transfers, local_channels, a_conference, a_queue,
     states, a_cut_connection, asterisk_is_killed, offhook_is_killed])
offhook.process.terminate()
assert offhook.process.wait(timeout=20) == 0, "its exit code"
asterisk.process.terminate()
asterisk.process.wait(timeout=20)

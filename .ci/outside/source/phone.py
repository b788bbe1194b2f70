"""A phone that speaks just enough SIP over UDP: it registers, calls, answers, holds, transfers, and sends silence."""

import re
import secrets
import socket
import struct
import threading
import time

TIMEOUT_S = 20
SILENCE = b"\xff" * 160
PACKET_S = 0.02


def until(condition, what):
    deadline = time.monotonic() + TIMEOUT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what()}"
        time.sleep(0.02)
    return found


def uri_of(field):
    return re.search("<([^>]+)>", field).group(1)


class Call:
    """One call of a phone, as it was called or calls."""

    def __init__(self, phone, call_id, own, other, target, cseq):
        self.phone, self.id, self.own, self.other, self.target = phone, call_id, own, other, target
        self.cseq, self.state, self.direction = cseq, "new", "sendrecv"
        self.final = {}
        self.invite = self.branch = self.media = None

    def until(self, *states):
        until(lambda: self.state in states, lambda: f"{states} at {self.phone.user}: {self.state}")
        return self

    def sdp(self):
        lines = ("v=0", f"o=- 1 {self.cseq} IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
                 f"m=audio {self.phone.rtp.getsockname()[1]} RTP/AVP 0", "a=rtpmap:0 PCMU/8000", f"a={self.direction}", "")
        return "\r\n".join(lines)

    def request(self, method, body="", *fields, kind="application/sdp", cseq=None, branch=None):
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        branch = branch or "z9hG4bK" + secrets.token_hex(6)
        self.phone.send(
            f"{method} {self.target} SIP/2.0", f"Via: SIP/2.0/UDP {self.phone.address};branch={branch};rport", "Max-Forwards: 70",
            f"From: {self.own}", f"To: {self.other}", f"Call-ID: {self.id}", f"CSeq: {cseq} {method}",
            f"Contact: <sip:{self.phone.user}@{self.phone.address}>", *fields, *([f"Content-Type: {kind}"] if body else ()), body=body)
        return branch

    def answer(self):
        self.phone.answer(self.invite, "200 OK", self)
        self.state = "up"

    def cancel(self):
        self.request("CANCEL", cseq=1, branch=self.branch)
        self.until("over")

    def hang_up(self):
        self.request("BYE")
        self.state = "over"

    def hold(self, held):
        """Until it is agreed: of two requests at a time one gets 491, and is made again (RFC 3261 section 14.1)."""
        self.direction = "sendonly" if held else "sendrecv"
        code = 491
        while code == 491:
            self.branch = self.request("INVITE", self.sdp())
            cseq = self.cseq
            code = until(lambda: self.final.get(cseq), lambda: f"an answer to INVITE {cseq} of {self.phone.user}")
        assert code == 200, code

    def press(self, digit):
        self.request("INFO", f"Signal={digit}\r\nDuration=160\r\n", kind="application/dtmf-relay")

    def transfer(self, to):
        """To an extension (blind), or to the other end of another call (attended)."""
        if isinstance(to, Call):
            theirs, ours = (re.search("tag=([^;>]+)", field).group(1) for field in (to.other, to.own))
            target = f"{uri_of(to.other)}?Replaces={to.id}%3Bto-tag%3D{theirs}%3Bfrom-tag%3D{ours}"
        else:
            target = f"sip:{to}@127.0.0.1:{self.phone.server}"
        self.request("REFER", "", f"Refer-To: <{target}>", f"Referred-By: <sip:{self.phone.user}@{self.phone.address}>")

    def speak(self, sdp):
        """Sends silence to where the session description says, as long as the call is up."""
        port = re.search(r"m=audio (\d+)", sdp)
        if port and not self.media:
            self.media = threading.Thread(target=self.send_silence, args=[int(port.group(1))], daemon=True)
            self.media.start()

    def send_silence(self, port):
        number = 0
        while self.state != "over":
            if self.state == "up":
                head = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * 160, 7)
                self.phone.rtp.sendto(head + SILENCE, ("127.0.0.1", port))
                number += 1
            time.sleep(PACKET_S)


class Phone:
    """A user of Asterisk. `mode` says what becomes of calls to it: it answers, rings, or is busy."""

    def __init__(self, user, server, name=""):
        self.user, self.server, self.name, self.mode = user, server, name or user, "answers"
        self.calls, self.registered, self.registrations = {}, 0, 0
        self.sip, self.rtp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for one in (self.sip, self.rtp):
            one.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.sip.getsockname()[1]}"
        self.registration = secrets.token_hex(6)
        threading.Thread(target=self.listen, daemon=True).start()

    def send(self, *lines, body=""):
        text = "\r\n".join((*lines, f"Content-Length: {len(body)}", "", body))
        self.sip.sendto(text.encode(), ("127.0.0.1", self.server))

    def register(self, expires=600):
        """Asks for so many seconds; 0 goes away."""
        wanted = self.registrations = self.registrations + 1
        own = f"<sip:{self.user}@127.0.0.1>"
        self.send(
            f"REGISTER sip:127.0.0.1:{self.server} SIP/2.0", f"Via: SIP/2.0/UDP {self.address};branch=z9hG4bK{secrets.token_hex(6)};rport",
            "Max-Forwards: 70", f"From: {own};tag={secrets.token_hex(4)}", f"To: {own}", f"Call-ID: {self.registration}",
            f"CSeq: {wanted} REGISTER", f"Contact: <sip:{self.user}@{self.address}>", f"Expires: {expires}", "User-Agent: desk/1.0")
        until(lambda: self.registered == wanted, lambda: f"the registration of {self.user}")

    def call(self, extension):
        target = f"sip:{extension}@127.0.0.1:{self.server}"
        own = f'"{self.name}" <sip:{self.user}@127.0.0.1>;tag={secrets.token_hex(4)}'
        call = Call(self, secrets.token_hex(6), own, f"<{target}>", target, 0)
        self.calls[call.id] = call
        call.state = "calling"
        call.branch = call.request("INVITE", call.sdp())
        return call

    def called(self):
        """The call to this phone that rings or is up."""
        def found():
            return next((call for call in [*self.calls.values()] if call.invite and call.state in ("rings", "up")), None)

        return until(found, lambda: f"a call to {self.user}")

    def listen(self):
        while True:
            head, _, body = self.sip.recv(65536).decode().partition("\r\n\r\n")
            first, *lines = head.split("\r\n")
            fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines if ":" in line]
            if fields:
                handle = self.answered if first.startswith("SIP/2.0") else self.asked
                handle(first.split(), fields, {name.lower(): value for name, value in fields}, body)

    def answered(self, first, _, field, body):
        code, method = int(first[1]), field["cseq"].split()[1]
        call = self.calls.get(field["call-id"])
        if method == "REGISTER" and code == 200:
            self.registered = int(field["cseq"].split()[0])
        if not call or method != "INVITE" or code == 100:
            return
        if call.state in ("calling", "rings"):
            call.other = field["to"]
            call.state = "rings" if code < 200 else call.state
        if code >= 200:
            if code < 300:
                call.target = uri_of(field["contact"])
            call.request("ACK", cseq=int(field["cseq"].split()[0]), branch=call.branch if code >= 300 else None)
            if call.state != "over" and code != 491:
                call.state = "up" if code < 300 else "over"
            call.speak(body)
            call.final[int(field["cseq"].split()[0])] = code

    def asked(self, first, fields, field, body):
        method, call = first[0], self.calls.get(field.get("call-id"))
        if method == "INVITE" and not call:
            own = f"{field['to']};tag={secrets.token_hex(4)}"
            call = Call(self, field["call-id"], own, field["from"], uri_of(field["contact"]), 100)
            call.invite = fields
            self.calls[call.id] = call
            call.speak(body)
            if self.mode == "is busy":
                call.state = "over"
                return self.answer(fields, "486 Busy Here", call, sdp=False)
            call.state = "rings"
            self.answer(fields, "180 Ringing", call, sdp=False)
            if self.mode == "answers":
                call.answer()
        elif method == "INVITE":
            self.answer(fields, "200 OK", call)
        elif method == "CANCEL":
            self.answer(fields, "200 OK", call, sdp=False)
            self.answer(call.invite, "487 Request Terminated", call, sdp=False)
            call.state = "over"
        elif method != "ACK":
            self.answer(fields, "200 OK", call, sdp=False)
            if method == "BYE" and call:
                call.state = "over"

    def answer(self, fields, status, call, sdp=True):
        kept = [f"{name}: {value}" for name, value in fields if name.lower() in ("via", "from", "call-id", "cseq")]
        to = next(value for name, value in fields if name.lower() == "to")
        body = call.sdp() if sdp else ""
        kind = ["Content-Type: application/sdp"] if sdp else []
        to = f"To: {call.own if call and 'tag=' not in to else to}"
        self.send(f"SIP/2.0 {status}", *kept, to, f"Contact: <sip:{self.user}@{self.address}>", *kind, body=body)

"""What a phone does towards a server of SIP, over UDP: PUBLISH, REGISTER and OPTIONS. Python's standard library alone.

    python3 agent.py options PORT       exits with 0 once somebody answers there
"""

import random
import socket
import sys
import time

TIMEOUT_S = 10


def token():
    return f"{random.getrandbits(48):012x}"


class Phone:
    """One address of record at a server on loopback; each request is repeated until its final answer is there."""

    def __init__(self, aor, port):
        self.aor = aor
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.connect(("127.0.0.1", port))
        self.own = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.calls, self.cseq = {}, 0
        self.etags = {}

    def request(self, method, uri, *fields, body="", timeout=TIMEOUT_S):
        """The status, and the answer's fields by name in lower case."""
        self.cseq += 1
        branch = "z9hG4bK" + token()
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP {self.own};rport;branch={branch}",
            "Max-Forwards: 70",
            f"From: <{self.aor}>;tag={token()}",
            f"To: <{self.aor}>",
            f"Call-ID: {self.calls.setdefault(method, token())}",
            f"CSeq: {self.cseq} {method}",
            *fields,
            f"Content-Length: {len(body.encode())}",
            "",
            body,
        ]
        deadline, wait = time.monotonic() + timeout, 0.1
        while time.monotonic() < deadline:
            self.socket.settimeout(wait)
            wait = min(2 * wait, 1)
            try:
                self.socket.send("\r\n".join(lines).encode())
                while True:
                    head = self.socket.recv(65535).decode().split("\r\n\r\n")[0].split("\r\n")
                    if not head[0].startswith("SIP/2.0 "):
                        continue
                    found = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
                    status = int(head[0].split()[1])
                    if branch in found["via"] and status >= 200:
                        return status, found
            except (TimeoutError, ConnectionRefusedError):
                time.sleep(0.02)
        raise AssertionError(f"nobody answered {method} {uri}")

    def publish(self, event, content_type, body):
        """RFC 3903: the first makes the state, those after it replace it."""
        fields = [f"Event: {event}", f"Content-Type: {content_type}", "Expires: 600"]
        if event in self.etags:
            fields.append(f"SIP-If-Match: {self.etags[event]}")
        status, answer = self.request("PUBLISH", self.aor, *fields, body=body)
        assert status == 200, (event, status)
        self.etags[event] = answer["sip-etag"]

    def register(self, expires):
        contact = f"<sip:{self.aor.split(':')[1].split('@')[0]}@{self.own}>"
        domain = "sip:" + self.aor.split("@")[1]
        status, _ = self.request("REGISTER", domain, f"Contact: {contact}", f"Expires: {expires}")
        assert status == 200, status


if __name__ == "__main__":
    name, port = sys.argv[1:]
    assert name == "options", name
    try:
        Phone("sip:somebody@127.0.0.1", int(port)).request(
            "OPTIONS", f"sip:127.0.0.1:{port}", "Contact: <sip:somebody@127.0.0.1>", timeout=0.3)
    except AssertionError:
        sys.exit(1)

"""Python's ssl at listeners with TLS: what is no TLS, names, certificates of clients, resumption, the PROXY protocol, and
certificates that are exchanged by SIGHUP while streams are open and connections come and go.

    python listener_tls.py PROCESS LOG CERTIFICATES MAIN REQUIRED ANNOUNCED PLAIN
"""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import sys
import threading
import time

PROCESS, LOG, TLS = int(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
MAIN, REQUIRED, ANNOUNCED, PLAIN = [(host, int(port)) for host, port in (at.split(":") for at in sys.argv[4:8])]
TIMEOUT_S = 30
STREAMS = 20


def context(ca="ca", own=None, version=None):
    made = ssl.create_default_context(cafile=TLS / f"{ca}.pem")
    if own:
        made.load_cert_chain(TLS / f"{own}.pem", TLS / f"{own}.key")
    if version:
        made.minimum_version = made.maximum_version = version
    return made


def connect(address, made=None, name="localhost", before=b"", session=None):
    plain = socket.create_connection(address, TIMEOUT_S)
    plain.sendall(before)
    return (made or context()).wrap_socket(plain, server_hostname=name, session=session)


def ask(conn, path="/healthz", fields=""):
    conn.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n".encode())
    answer = http.client.HTTPResponse(conn)
    answer.begin()
    return answer.status, answer.read()


def served(name):
    """The certificate in a file, as a peer shows it."""
    return ssl.PEM_cert_to_DER_cert(re.search("-----BEGIN.*-----END CERTIFICATE-----", (TLS / f"{name}.pem").read_text(), re.S)[0])


def until(condition):
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def refused(kinds, *args, **options):
    try:
        with connect(*args, **options) as conn:
            # With TLS 1.3 a client learns last that it is refused.
            status, _ = ask(conn)
    except kinds as error:
        return str(error)
    raise AssertionError(f"answered with {status}")


def what_must_not_pass():
    assert "Hostname mismatch" in refused(ssl.SSLCertVerificationError, MAIN, name="nobody.example")
    assert "certificate verify failed" in refused(ssl.SSLCertVerificationError, MAIN, context("other"))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        with connect(REQUIRED, context(own="client", version=version)) as conn:
            assert ask(conn)[0] == 200
        refused((ssl.SSLError, ConnectionError, http.client.HTTPException), REQUIRED, context(version=version))
        refused((ssl.SSLError, ConnectionError, http.client.HTTPException), REQUIRED, context(own="stranger", version=version))
    with socket.create_connection(MAIN, TIMEOUT_S) as conn:
        status, text = ask(conn)
        assert status == 400 and b"https://" in text, text


def names_and_sessions():
    for name, expected in (("localhost", "good"), ("elsewhere.example", "misnamed")):
        with connect(MAIN, name=name) as conn:
            assert conn.getpeercert(True) == served(expected)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        made, session = context(version=version), None
        for reused in (False, True, True):
            with connect(MAIN, made, session=session) as conn:
                assert ask(conn)[0] == 200
                assert conn.session_reused == reused, (version, reused)
                # Tickets of TLS 1.3 come behind the handshake, before the answer.
                session = conn.session
    # Both ends are said: a server that ends a connection says so, and does not cut it off.
    with connect(MAIN) as conn:
        assert ask(conn, fields="Connection: close\r\n")[0] == 200
        assert conn.recv(1) == b""
        conn.unwrap()


def announced():
    def header(address):
        return b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + socket.inet_aton(address) + bytes([10, 0, 0, 1, 0, 7, 0, 8])

    for address, status in (("192.0.2.7", 403), ("127.0.0.1", 200)):
        with connect(ANNOUNCED, before=header(address)) as conn:
            assert ask(conn, "/metrics")[0] == status
    with socket.create_connection(ANNOUNCED, TIMEOUT_S) as conn:
        conn.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert conn.recv(100) == b"", "who says nothing for whom it speaks is not answered"


class Stream(threading.Thread):
    """Reads events until one with the subject `last`."""

    def __init__(self):
        super().__init__()
        self.conn = connect(MAIN)
        self.conn.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.subjects = []
        self.answer = http.client.HTTPResponse(self.conn)
        self.answer.begin()
        assert self.answer.status == 200
        assert self.answer.readline().startswith(b"retry:")
        self.start()

    def run(self):
        while "last" not in self.subjects[-1:]:
            line = self.answer.readline()
            assert line, "the stream ended"
            if line.startswith(b"data:"):
                self.subjects.append(json.loads(line[5:])["subject"])


def publish(subject):
    conn = http.client.HTTPConnection(*PLAIN, timeout=TIMEOUT_S)
    body = json.dumps({"type": "call.ringing", "subject": subject})
    conn.request("POST", "/v1/events", body, {"Content-Type": "application/json"})
    answer = conn.getresponse()
    answer.read()
    assert answer.status == 202, answer.status
    conn.close()


def exchange(name):
    """Lets the server serve another certificate."""
    for end in ("pem", "key"):
        shutil.copy(TLS / f"{name}.{end}", TLS / f"served.{end}")
    os.kill(PROCESS, signal.SIGHUP)


def exchanged_under_load():
    streams = [Stream() for _ in range(STREAMS)]
    good, renewed = served("good"), served("renewed")
    shown, failures, over = [], [], threading.Event()

    def come_and_go():
        # A session that is taken up again shows no certificate: each has a context of its own.
        while not over.is_set():
            try:
                with connect(MAIN) as conn:
                    assert ask(conn)[0] == 200
                    shown.append(conn.getpeercert(True))
            except Exception as error:  # noqa: BLE001
                failures.append(repr(error))
                return

    comers = [threading.Thread(target=come_and_go) for _ in range(2)]
    for comer in comers:
        comer.start()
    count = 0

    def publish_until(condition):
        nonlocal count
        deadline = time.monotonic() + TIMEOUT_S
        while not condition():
            assert time.monotonic() < deadline and not failures, failures
            publish(f"call/{count}")
            count += 1

    publish_until(lambda: len(shown) >= 5)
    exchange("renewed")
    publish_until(lambda: shown[-5:] == [renewed] * 5)
    # A key that does not fit: the log says so, and all stays as it is.
    shutil.copy(TLS / "good.pem", TLS / "served.pem")
    os.kill(PROCESS, signal.SIGHUP)
    publish_until(lambda: "is not the key of the first certificate" in LOG.read_text())
    before = len(shown)
    publish_until(lambda: len(shown) >= before + 5)
    exchange("good")
    publish_until(lambda: shown[-5:] == [good] * 5)
    over.set()
    for comer in comers:
        comer.join()
    assert not failures, failures
    changes = [shown[0]] + [new for old, new in zip(shown, shown[1:]) if new != old]
    assert {good, renewed} == set(changes), "nothing else was shown"
    publish("last")
    expected = [f"call/{n}" for n in range(count)] + ["last"]
    for stream in streams:
        stream.join(TIMEOUT_S)
        assert stream.subjects == expected, "the streams that were open got everything"
        stream.conn.close()
    print(f"{len(shown)} connections came and went, {count} events reached {STREAMS} streams")


what_must_not_pass()
names_and_sessions()
announced()
exchanged_under_load()

"""A receiver of webhooks that fails in every way, by the first part of the path. Python's standard library alone.

    python3 receiver.py --record requests.jsonl [--tls cert.pem key.pem [--client-ca ca.pem]]

Says `receiver on http://127.0.0.1:PORT` on stdout; each whole request becomes one line of the record. A path may go on
(`/500/crm`): the record tells who was meant. `POST /switch/500` with a word such as `ok` as its body makes `/500` behave
as `/ok` from then on, `POST /switch/500` without a body ends that: so a receiver recovers.
"""

import argparse
import json
import socket
import ssl
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HUGE_BYTES = 1 << 20
TRICKLE_S = 0.01
# Connections that are never answered end with the receiver, or when the peer goes.
HANG_S = 600


class Record:
    """The requests so far, as JSON lines."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")
        self.lock = threading.Lock()

    def add(self, **fields):
        with self.lock:
            self.file.write(json.dumps(fields) + "\n")
            self.file.flush()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = HANG_S

    def handle_any(self):
        self.content = body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = self.path.lstrip("/").split("?")[0].split("/")[0]
        if name == "switch":
            self.switch(body.decode())
            return
        certificate = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        self.server.record.add(
            method=self.command,
            path=self.path,
            headers=[[key.lower(), value] for key, value in self.headers.items()],
            body=body.decode("latin-1"),
            time=time.time(),
            connection=self.client_address[1],
            client_certificate=bool(certificate),
        )
        behaviour = self.server.switched.get(name, name)
        answer = getattr(self, "answer_" + behaviour.replace("-", "_"), None)
        if answer is not None:
            answer()
        elif behaviour.isdigit():
            self.reply(int(behaviour))
        else:
            self.reply(404)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def switch(self, behaviour):
        name = self.path.split("/")[2]
        if behaviour:
            self.server.switched[name] = behaviour
        else:
            self.server.switched.pop(name, None)
        self.reply(204)

    def reply(self, status, fields=(), content=b""):
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def answer_ok(self):
        self.reply(200, [("Content-Type", "application/json")], b"{}")

    def answer_backend(self):
        """A WCS backend, which tells `connect` what it wants of other hooks, and fails for what is called "broken"."""
        content = json.loads(self.content)
        if content.get("name") == "broken":
            self.reply(500)
            return
        if self.path.endswith("/connect"):
            content["restClientConfig"] = {"StreamStatusEvent": {"restOnError": "FAIL"}}
        self.reply(200, [("Content-Type", "application/json")], json.dumps(content).encode())

    def answer_503_retry_after(self):
        self.reply(503, [("Retry-After", "1")])

    def answer_429(self):
        self.reply(429, [("Retry-After", "1")])

    def answer_301(self):
        self.reply(301, [("Location", "/followed")])

    def answer_hang(self):
        """No answer, until the peer gives up."""
        self.connection.settimeout(HANG_S)
        self.close_connection = True
        try:
            while self.connection.recv(4096):
                pass
        except OSError:
            pass

    def answer_reset(self):
        """Half a head, then a reset instead of an end."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
        self.wfile.flush()
        # SO_LINGER with no time: close() drops what is queued and sends RST.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def answer_garbage(self):
        self.wfile.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n\x00\xff" * 8)
        self.close_connection = True

    def answer_trickle(self):
        """A whole answer, a byte at a time."""
        for byte in b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok":
            self.wfile.write(bytes([byte]))
            time.sleep(TRICKLE_S)

    def answer_huge(self):
        self.reply(200, [("Content-Type", "text/plain")], b"x" * HUGE_BYTES)

    def answer_close(self):
        self.close_connection = True
        self.reply(200, [("Connection", "close")], b"bye")

    def answer_chunked(self):
        self.wfile.write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1;a=b\r\no\r\n1\r\nk\r\n0\r\nTrailer-Field: x\r\n\r\n"
        )

    def abort(self):
        self.close_connection = True
        self.server.aborted.add(self.connection)
        self.connection.close()

    def finish(self):
        # After an abort there is nothing to flush.
        try:
            super().finish()
        except (OSError, ValueError):
            pass

    def log_message(self, *_):
        pass


class Receiver(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, record, context):
        super().__init__(("127.0.0.1", 0), Handler)
        self.record = record
        self.context = context
        self.switched = {}
        self.aborted = set()

    def finish_request(self, request, client_address):
        # In the connection's own thread, so that a slow handshake holds nobody up.
        if self.context is not None:
            request.settimeout(HANG_S)
            request = self.context.wrap_socket(request, server_side=True)
        try:
            super().finish_request(request, client_address)
        finally:
            if request in self.aborted:
                self.aborted.discard(request)
            else:
                self.hang_up(request)

    @staticmethod
    def hang_up(request):
        try:
            request.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        request.close()

    def shutdown_request(self, request):
        request.close()

    def handle_error(self, request, client_address):
        pass


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--record", required=True)
    arguments.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    arguments.add_argument("--client-ca")
    arguments = arguments.parse_args()
    context = None
    if arguments.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*arguments.tls)
        if arguments.client_ca:
            context.load_verify_locations(arguments.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    receiver = Receiver(Record(arguments.record), context)
    scheme = "https" if context else "http"
    print(f"receiver on {scheme}://127.0.0.1:{receiver.server_port}", flush=True)
    receiver.serve_forever()


main()

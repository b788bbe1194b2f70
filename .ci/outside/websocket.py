"""PyPI websockets at iSymphony's Event API: who may come in, every event, the vendor page's filters, fragments, pings,
closes, frames that break the protocol.

    python websocket.py SERVER WEBSOCKET CA.pem [--until-shutdown]

SERVER is where events are published, WEBSOCKET the beginning of the websocket's address (ws:// or wss://). With
`--until-shutdown` nothing is checked but the close of a server that stops, once `open` has been said.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import pathlib
import ssl
import urllib.parse
import urllib.request

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

HERE = pathlib.Path(__file__).parent
PATH = "/communication_manager/ws/event"
USER = "manager:example-password"
TIMEOUT_S = 30
MESSAGE_BYTES_MAX = 64 * 1024


def page_filters():
    """The vendor page's filters: what each lets through, and its text."""
    for part in (HERE / "isymphony-filters.txt").read_text().split("\n== ")[1:]:
        labels, message = part.split("\n", 1)
        yield labels.split(), message.rstrip("\n")


EVENTS = json.loads((HERE / "isymphony-events.json").read_text())


class Server:
    def __init__(self, http_url, websocket_url, ca):
        self.http_url = http_url
        self.url = urllib.parse.urlsplit(websocket_url)
        self.tls = ssl.create_default_context(cafile=ca) if self.url.scheme == "wss" else None

    def connect(self, user=USER, path=PATH, **options):
        user = f"{user}@" if user else ""
        return connect(
            f"{self.url.scheme}://{user}{self.url.netloc}{path}",
            ssl=self.tls,
            proxy=None,
            ping_interval=None,
            open_timeout=TIMEOUT_S,
            close_timeout=TIMEOUT_S,
            **options,
        )

    async def publish(self, events):
        await asyncio.to_thread(self.post, events)

    def post(self, events):
        request = urllib.request.Request(
            f"{self.http_url}/v1/events", json.dumps(events).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as reply:
            assert reply.status == 202, reply.status

    def ask(self, method, path, fields):
        """A plain request: its status and fields."""
        kind = http.client.HTTPSConnection if self.tls else http.client.HTTPConnection
        options = {"context": self.tls} if self.tls else {}
        connection = kind(self.url.hostname, self.url.port, timeout=TIMEOUT_S, **options)
        with contextlib.closing(connection):
            connection.request(method, path, headers=fields)
            reply = connection.getresponse()
            reply.read()
            return reply.status, reply.headers


async def receive(websocket):
    text = await asyncio.wait_for(websocket.recv(), TIMEOUT_S)
    assert isinstance(text, str), text
    return json.loads(text)


async def reply(websocket, kind="success", correlation=None):
    """The next message, which must be a reply of exactly this form."""
    message = await receive(websocket)
    keys = ["correlationId"] + (["error"] if kind == "error" else []) + ["time", "type"]
    assert list(message) == keys and message["type"] == kind, message
    assert message["correlationId"] == correlation and isinstance(message["time"], int), message
    return message.get("error")


async def closed(websocket, code, what="a close"):
    try:
        await asyncio.wait_for(websocket.wait_closed(), TIMEOUT_S)
    except TimeoutError as late:
        raise AssertionError(f"{what}: not closed") from late
    assert websocket.close_code == code, (what, code, websocket.close_code, websocket.close_reason)


async def refused(status, attempt):
    try:
        websocket = await attempt
    except InvalidStatus as refusal:
        assert refusal.response.status_code == status, (status, refusal.response)
        return refusal.response.headers
    await websocket.close()
    raise AssertionError(f"let in instead of {status}")


async def check_handshakes(server):
    for user in (None, "manager:wrong"):
        fields = await refused(401, server.connect(user=user))
        assert fields["WWW-Authenticate"] == 'Basic realm="communication_manager", charset="UTF-8"', fields
    await refused(404, server.connect(path="/communication_manager/ws/other"))
    await refused(501, server.connect(path="/communication_manager/rest/agents"))
    await refused(403, server.connect(origin="http://elsewhere.example"))
    own = server.url._replace(scheme="https" if server.tls else "http").geturl()
    for origin in (own, "https://crm.example.com"):
        async with server.connect(origin=origin, subprotocols=["chat"]) as websocket:
            assert websocket.subprotocol is None and not websocket.protocol.extensions, websocket.response

    for method, fields, status, field in [
        ("GET", {}, 426, ("Upgrade", "websocket")),
        ("POST", {}, 405, ("Allow", "GET")),
        ("GET", handshake("8"), 426, ("Sec-WebSocket-Version", "13")),
        ("GET", handshake("13", key="short"), 400, None),
    ]:
        found, headers = await asyncio.to_thread(server.ask, method, PATH, fields | credentials())
        assert found == status, (method, fields, found)
        assert field is None or headers[field[0]] == field[1], (status, headers.items())


def handshake(version, key="dGhlIHNhbXBsZSBub25jZQ=="):
    return {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": version,
        "Sec-WebSocket-Key": key,
    }


def credentials():
    return {"Authorization": "Basic bWFuYWdlcjpleGFtcGxlLXBhc3N3b3Jk"}


async def check_events(server):
    async with server.connect() as websocket:
        await server.publish(EVENTS)
        found = [await receive(websocket) for _ in EVENTS]
    assert [event["label"] for event in found] == [event["data"]["label"] for event in EVENTS], found
    for event in found:
        assert list(event) == sorted(event), event
        assert isinstance(event["time"], int) and event["time"] > 1_700_000_000_000, event
        assert isinstance(event["coreServerId"], str) and len(event["coreServerId"]) == 36, event
    by_label = {event["label"]: event for event in found}
    assert by_label["login-mikey"]["port"] == 57042 and by_label["login-mikey"]["type"] == "userLogin", found
    assert by_label["status-mikey"]["userCreated"] is True and by_label["status-mikey"]["returnTime"] == -1, found
    hangup = by_label["hangup-nobody"]
    assert hangup["type"] == "hangup" and hangup["callSegmentId"] == "c1" and hangup["username"] is None, hangup
    assert hangup["callerIdNumber"] == "+15550100" and hangup["extensionNumber"] == "101" and hangup["did"] is None
    assert by_label["link-end"]["username1"] == "mikey" and by_label["link-end"]["username2"] == "mike", found


async def check_page_filters(server):
    async with server.connect() as websocket:
        for labels, message in page_filters():
            await websocket.send(message)
            if labels == ["error"]:
                error = await reply(websocket, "error")
                assert '{"property":"<property name>","value":"<filter value>"}' in error, error
                continue
            # Whatever got through besides what must, stands before this reply.
            await reply(websocket, correlation="123456" if '"123456"' in message else None)
            await server.publish(EVENTS)
            found = [(await receive(websocket))["label"] for _ in labels]
            assert found == labels, (message, found)


async def check_filters(server):
    async with server.connect() as websocket:
        for filters, labels in [
            ([("port", "57042")], ["login-mikey"]),
            ([("port", 57042)], ["login-mikey"]),
            ([("userCreated", "true"), ("returnTime", -1)], ["status-mikey"]),
            ([("username1", "*")], ["link-end"]),
            ([("extensionNumber", "101"), ("type", "hangup"), ("type", "dial")], ["dial", "hangup-nobody"]),
            ([("username", "mi*"), ("label", "last-dial")], []),
            ([("Username", "mikey"), ("label", "last-dial")], []),
            ([], [event["data"]["label"] for event in EVENTS]),
        ]:
            filters = [{"property": name, "value": value} for name, value in filters]
            await websocket.send(json.dumps({"type": "filter", "correlationId": 7, "filters": filters}))
            await reply(websocket, correlation=7)
            await server.publish(EVENTS)
            found = [(await receive(websocket))["label"] for _ in labels]
            assert found == labels, (filters, found)


async def check_errors(server):
    async with server.connect() as websocket:
        only = {"type": "filter", "filters": [{"property": "label", "value": "dial"}]}
        await websocket.send(json.dumps(only))
        await reply(websocket)
        good = {"property": "type", "value": "dial"}
        for message, words, correlation in [
            ("not JSON", "", None),
            ("[]", "", None),
            ("{}", "type", None),
            ({"type": "filters", "filters": []}, "filters", None),
            ({"type": "filter", "correlationId": "a"}, "filters", "a"),
            ({"type": "filter", "correlationId": 1.5, "filters": [good, {"property": "x"}]}, "filters[1]", 1.5),
            ({"type": "filter", "filters": [good, good, {"property": "x", "value": None}]}, "filters[2]", None),
            ({"type": "filter", "correlationId": {}, "filters": []}, "correlationId", None),
            ('{"type":"filter","type":"filter","filters":[]}', "type", None),
            ("[" * 1000, "", None),
        ]:
            await websocket.send(message if isinstance(message, str) else json.dumps(message))
            error = await reply(websocket, "error", correlation)
            assert words in error, (message, error)
        await websocket.send(b"\x00")
        assert "text" in await reply(websocket, "error")
        # All of it has left the filter as it was.
        await server.publish(EVENTS)
        assert (await receive(websocket))["label"] == "dial"


async def check_frames(server):
    async with server.connect() as websocket:
        message = '{"type":"filter","correlationId":"Jürgen","filters":[{"property":"type","value":"dial"}]}'
        encoded = message.encode()
        middle = encoded.index(b"\xc3") + 1

        async def fragments():
            """The second begins within a character; a ping between them is answered before the message is whole."""
            yield encoded[:middle]
            await asyncio.wait_for(await websocket.ping(b"between"), TIMEOUT_S)
            yield encoded[middle:]

        await websocket.send(fragments(), text=True)
        await reply(websocket, correlation="Jürgen")
        await websocket.send(list(message))
        await reply(websocket, correlation="Jürgen")
        for payload in (b"", b"x" * 125):
            await asyncio.wait_for(await websocket.ping(payload), TIMEOUT_S)
        # A burst leaves in order and whole.
        await server.publish([{"type": "call.dial", "data": {"n": n}} for n in range(500)])
        assert [(await receive(websocket))["n"] for _ in range(500)] == list(range(500))
        # A message of the greatest size.
        long = message[:-1] + " " * (MESSAGE_BYTES_MAX - len(encoded)) + "}"
        await websocket.send(long)
        await reply(websocket, correlation="Jürgen")


async def check_closes(server):
    for code, reason in [(1000, ""), (1001, "going away"), (4321, "x" * 123)]:
        async with server.connect() as websocket:
            await websocket.close(code, reason)
            await closed(websocket, code)

    # What a client must not send, and what it hears.
    masked = b"\x00\x00\x00\x00"
    for name, frames, code in [
        ("not masked", b"\x81\x02{}", 1002),
        ("a reserved bit", b"\xc1\x80" + masked, 1002),
        ("a reserved opcode", b"\x83\x80" + masked, 1002),
        ("a fragmented ping", b"\x09\x80" + masked, 1002),
        ("a long ping", b"\x89\xfe\x00\x7e" + masked + b"x" * 126, 1002),
        ("a continuation of nothing", b"\x80\x80" + masked, 1002),
        ("a message within another", b"\x01\x81" + masked + b"{" + b"\x81\x81" + masked + b"{", 1002),
        ("a length that is too long by its form", b"\x81\xfe\x00\x02" + masked + b"{}", 1002),
        ("a length beyond 63 bits", b"\x81\xff" + b"\xff" * 8 + masked, 1002),
        ("a close of one byte", b"\x88\x81" + masked + b"x", 1002),
        ("a close with a code of nobody's", b"\x88\x82" + masked + b"\x03\xed", 1002),
        ("no UTF-8", b"\x81\x82" + masked + b"\xc3\x28", 1007),
        ("too long", b"\x81\xff" + (1 << 40).to_bytes(8) + masked, 1009),
    ]:
        async with server.connect() as websocket:
            websocket.transport.write(frames)
            await closed(websocket, code, name)

    async with server.connect() as websocket:
        with contextlib.suppress(ConnectionClosed):
            await websocket.send("x" * (MESSAGE_BYTES_MAX + 1))
        await closed(websocket, 1009)
    async with server.connect() as websocket:
        await websocket.send(b"{\xff", text=True)
        await closed(websocket, 1007)


async def until_shutdown(server):
    async with server.connect() as websocket:
        print("open", flush=True)
        await closed(websocket, 1001)


async def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("server")
    arguments.add_argument("websocket")
    arguments.add_argument("ca")
    arguments.add_argument("--until-shutdown", action="store_true")
    arguments = arguments.parse_args()
    server = Server(arguments.server, arguments.websocket, arguments.ca)
    if arguments.until_shutdown:
        await until_shutdown(server)
        return
    await check_handshakes(server)
    await check_events(server)
    await check_page_filters(server)
    await check_filters(server)
    await check_errors(server)
    await check_frames(server)
    await check_closes(server)


asyncio.run(main())

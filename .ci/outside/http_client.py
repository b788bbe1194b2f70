"""Python's http.client: POST and the streaming GET on one connection, PUT, events read by their length, DELETE."""

import http.client
import json
import sys
import urllib.parse

TIMEOUT_S = 30
CALL = "c2dcaa4f-2b31-425c-b491-f2537d4c8738"


def connect(url):
    address = urllib.parse.urlsplit(url)
    return http.client.HTTPConnection(address.hostname, address.port, timeout=TIMEOUT_S)


def ask(connection, method, path, body=None, content_type=None):
    headers = {"Content-Type": content_type} if content_type else {}
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    return reply, reply.read().decode()


def document(*subscriptions):
    return '<web_service version="1.0"><eventhandler>%s</eventhandler></web_service>' % "".join(subscriptions)


def next_event(stream):
    """One event: its length in hex digits, CR LF, and so many bytes of XML with nothing after them."""
    line = stream.readline()
    assert line.endswith(b"\r\n"), line
    digits = line[:-2].decode()
    length = int(digits, 16)
    assert digits == f"{length:x}", digits
    xml = stream.read(length)
    assert len(xml) == length and xml.startswith(b'<web_service version="1.0">\r\n'), xml
    assert xml.endswith(b"</web_service>"), xml
    return xml.decode("ascii")


def publish(connection, events):
    reply, body = ask(connection, "POST", "/v1/events", json.dumps(events), "application/json")
    assert reply.status == 202, (reply.status, body)
    assert len(json.loads(body)["accepted"]) == len(events), body


def main(url):
    xms, other = connect(url), connect(url)
    collection = "/default/eventhandlers?appid=app"
    reply, body = ask(xms, "POST", collection, document("<eventsubscribe/>"), "application/xml")
    assert reply.status == 201 and reply.getheader("Content-Type") == "application/xml", reply.status
    href = body.split('href="')[1].split('"')[0]
    assert href.startswith("/default/eventhandlers/"), href
    assert reply.getheader("Location") == url + href, reply.getheader("Location")
    instance = href + "?appid=app"

    reply, body = ask(other, "PUT", instance, document('<eventsubscribe type="end_play"/>'))
    assert reply.status == 200 and body.count("<eventsubscribe") == 2, body
    both = '<eventsubscribe action="remove" type="any"/><eventsubscribe type="info"/>'
    reply, body = ask(other, "PUT", instance, document(both))
    assert reply.status == 200 and ' type="any"' not in body, body

    # Before the stream opens: kept for it.
    early = {"type": "call.info", "subject": f"call/{CALL}", "data": {"content": "early"}}
    publish(other, [early])

    # The same connection becomes the stream.
    xms.request("GET", instance)
    stream = xms.getresponse()
    assert stream.status == 200 and stream.chunked, stream.status
    assert stream.getheader("Content-Type") == "text/plain", stream.getheader("Content-Type")
    assert 'type="keepalive"' in next_event(stream)
    assert 'value="early"' in next_event(stream)

    burst = [dict(early, data={"content": f"J\u00fcrgen {n}", "n": n, "gone": None, "yes": True}) for n in range(100)]
    ringing = {"type": "call.ringing", "subject": f"call/{CALL}"}
    publish(other, burst + [ringing] + [{"type": "media.end_play", "subject": f"call/{CALL}"}])
    for n in range(100):
        event = next_event(stream)
        assert f'<event_data name="content" value="J&#252;rgen {n}" />' in event, event
        assert f'<event_data name="n" value="{n}" />' in event and 'name="yes" value="true"' in event, event
        assert "gone" not in event, event
    assert 'type="end_play"' in next_event(stream), "ringing is not subscribed to"

    reply, body = ask(other, "GET", collection)
    assert reply.status == 200 and 'size="1"' in body, body
    reply, body = ask(other, "DELETE", instance)
    assert reply.status == 204 and body == "", (reply.status, body)
    assert reply.getheader("Content-Length") is None and reply.getheader("Transfer-Encoding") is None
    assert stream.read() == b"", "the stream ends cleanly, with nothing after the last event"
    reply, body = ask(other, "GET", instance)
    assert reply.status == 404 and '<error code="404"' in body, body

    # Every refusal leaves the connection usable.
    for method, path, content, status in [
        ("POST", collection, "<web_service>", 400),
        ("POST", collection, "x" * 70_000, 413),
        ("POST", "/default/eventhandlers", document("<eventsubscribe/>"), 400),
        ("PATCH", collection, None, 405),
        ("GET", "/default/calls?appid=app", None, 200),
        ("POST", "/v1/events", "{}", 415),
    ]:
        reply, body = ask(other, method, path, content)
        assert reply.status == status, (method, path, reply.status, body)
        assert status != 405 or reply.getheader("Allow"), "405 names what is allowed"


main(sys.argv[1])

"""What hooks.sh checks in the receiver's record and in lists of dead letters.

    python3 hooks.py good RECORD COUNT NAME...
    python3 hooks.py bad FOLDER RECORD
"""

import json
import pathlib
import re
import sys

# What the reason of each destination's dead letters must speak of.
REASONS = {
    "500": "500",
    "503-retry-after": "503",
    "429": "429",
    "301": "301",
    "hang": "no answer in time|timeout",
    "reset": "closed|reset|cut",
    "garbage": "HTTP",
    "refused": "no connection|refused",
    "isr-500": "500",
    "isr-400": "400",
}


def requests(record):
    return [json.loads(line) for line in pathlib.Path(record).read_text().splitlines()]


def header(request, name):
    return dict(request["headers"]).get(name)


def good(record, count, *names):
    kept, kept_requests = set(), 0
    for name in names:
        firsts, by_subject, connections = {}, {}, set()
        for request in requests(record):
            if request["path"] != f"/{name}/webhook":
                continue
            assert request["method"] == "POST", request
            assert header(request, "content-type") == "application/cloudevents+json", request
            assert header(request, "webhook-signature") is None, "there is no secret"
            assert int(header(request, "content-length")) == len(request["body"]), request
            event = json.loads(request["body"])
            connections.add(request["connection"])
            identity = header(request, "webhook-id")
            assert firsts.setdefault(event["id"], identity) == identity, "a repeat has the same webhook-id"
            by_subject.setdefault(event["subject"], []).append(event["data"]["n"])
        assert len(firsts) == int(count), (name, len(firsts))
        assert len(set(firsts.values())) == len(firsts), "each event has a webhook-id of its own"
        for subject, numbers in by_subject.items():
            assert list(dict.fromkeys(numbers)) == sorted(set(numbers)), (name, subject, numbers)
        # Keep-alive: connections are reused wherever the receiver lets them be, by whichever destination comes next.
        if name in ("ok", "chunked"):
            kept |= connections
            kept_requests += int(count)
    assert len(kept) < kept_requests, f"{len(kept)} connections for {kept_requests} requests"
    # 4 s is what the destination that hangs waits for each answer.
    hung = min(request["time"] for request in requests(record) if request["path"] == "/hang/webhook")
    last = max(request["time"] for request in requests(record) if request["path"] == "/ok/webhook")
    assert last < hung + 4, f"a destination that hangs delayed another: {last - hung} s"
    isr = [request for request in requests(record) if request["path"].startswith("/ok/isr")]
    assert {request["path"] for request in isr} == {"/ok/isr?aors=sip%3A1%40h&ucid=u%201"}, isr
    assert all(request["method"] == "GET" and request["body"] == "" for request in isr), isr
    wcs = [request for request in requests(record) if request["path"] == "/ok/wcs/StreamStatusEvent"]
    body = json.loads(wcs[0]["body"])
    assert list(body)[:3] == ["nodeId", "appKey", "sessionId"] and body["appKey"] == "good", body
    assert body["sessionId"] == "s1" and body["status"] == "PUBLISHING", body


def bad(folder, record):
    for name, pattern in REASONS.items():
        for line in (pathlib.Path(folder) / f"dead-{name}").read_text().splitlines():
            letter = json.loads(line)
            assert letter["destination"] == name, letter
            # Later letters of a subject wait behind its first, and may die without an attempt of their own.
            if letter["attempts"] > 0:
                assert re.search(pattern, letter["reason"]), (name, letter["reason"])
    tried = [request["time"] for request in requests(record) if request["path"] == "/500/webhook"]
    assert len(tried) > 1, "500 is tried again"


{"good": good, "bad": bad}[sys.argv[1]](*sys.argv[2:])

"""The SIP Event Package API as its clients use it: documents over HTTP, callbacks out of the receiver's record, and the events
beside them as Server-Sent Events. Python's standard library alone."""

import datetime
import http.client
import json
import pathlib
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ElementTree
from xml.sax.saxutils import quoteattr

SEP = "http://voip.co.uk/api/sep/2009-06"
RLMI = "urn:ietf:params:xml:ns:rlmi"
LISTS = "urn:ietf:params:xml:ns:resource-lists"
CANONICAL = "/v/2009-06/sep"
TIMEOUT_S = 30


def until(condition, what, timeout=TIMEOUT_S):
    """Waits for what is true, and gives it back."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what() if callable(what) else what}"
        time.sleep(0.02)
    return found


def document(event=None, uris=(), notify=None, expires_s=None, accept=()):
    """A <subscribe> document; what is left out is not in it."""
    event = f" event={quoteattr(event)}" if event else ""
    text = f'<?xml version="1.0"?>\n<subscribe xmlns="{SEP}"{event}>'
    if uris:
        entries = "".join(f"<entry uri={quoteattr(uri)}/>" for uri in uris)
        text += f'<resource-lists xmlns="{LISTS}"><list>{entries}</list></resource-lists>'
    if notify:
        text += f"<notify url={quoteattr(notify)}/>"
    if expires_s is not None:
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=expires_s)
        text += f"<expires>{end.isoformat(timespec='seconds')}</expires>"
    return text + "".join(f"<accept>{kind}</accept>" for kind in accept) + "</subscribe>"


class Instance:
    """One <instance>: the state of one SIP dialog."""

    def __init__(self, element):
        self.id, self.state, self.reason = (element.get(name) for name in ("id", "state", "reason"))
        self.status = element.get(f"{{{SEP}}}status")
        self.body = next(iter(element), None)
        carried = self.body is not None and self.body.tag == f"{{{SEP}}}body"
        self.type = self.body.get("type") if carried else None
        self.text = self.body.text if carried else None

    def has(self, path, text=None, **attributes):
        """Whether its body has such an element, whatever its namespace."""
        if self.body is None:
            return False
        found = [self.body, *self.body.findall(f".//{{*}}{path}")] if path else [self.body]
        return any(
            element.tag.endswith("}" + path)
            and (text is None or (element.text or "").strip() == text)
            and all(element.get(name) == value for name, value in attributes.items())
            for element in found
        )

    def __repr__(self):
        body = "" if self.body is None else ElementTree.tostring(self.body, "unicode")
        return f"<{self.id} {self.state} {self.reason} {self.status} {body}>"


class Shown:
    """A <subscription> document."""

    def __init__(self, content):
        root = ElementTree.fromstring(content)
        assert root.tag == f"{{{SEP}}}subscription", root.tag
        listed = root.find(f"{{{RLMI}}}list")
        assert listed.get("fullState") == "true", listed.attrib
        self.event, self.ended, self.version = root.get("event"), root.get("ended"), int(listed.get("version"))
        self.resources = {
            resource.get("uri"): [Instance(element) for element in resource.findall(f"{{{RLMI}}}instance")]
            for resource in listed.findall(f"{{{RLMI}}}resource")
        }

    def all(self):
        return [instance for instances in self.resources.values() for instance in instances]

    def of(self, uri):
        """The one instance of a resource, or none."""
        instances = self.resources[uri]
        assert len(instances) <= 1, instances
        return instances[0] if instances else None

    def __repr__(self):
        return f"version {self.version}, ended {self.ended}, {self.resources}"


class Api:
    def __init__(self, url):
        self.url = url
        self.address = urllib.parse.urlsplit(url).netloc

    def ask(self, method, path, body=None, **fields):
        connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in fields.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def subscribe(self, event, *uris, **wanted):
        status, fields, content = self.ask("POST", CANONICAL, document(event, uris, **wanted), Content_Type="text/xml")
        assert status == 201, (status, content)
        assert fields["Location"].startswith(self.url + CANONICAL + "/"), fields["Location"]
        assert list(Shown(content).resources) == list(uris), content
        return Subscription(self, fields["Location"])


class Subscription:
    def __init__(self, api, location):
        self.api, self.location = api, location
        self.path = urllib.parse.urlsplit(location).path

    def shown(self):
        status, fields, content = self.api.ask("GET", self.path)
        assert status == 200, (status, content)
        assert fields["Content-Type"] == "application/xml;charset=UTF-8", fields["Content-Type"]
        return Shown(content)

    def until(self, condition, what, timeout=TIMEOUT_S):
        """Waits until the document is so; gives it back."""
        last = None

        def holds():
            nonlocal last
            last = self.shown()
            return condition(last) and last

        return until(holds, lambda: f"{what}; shown: {last}", timeout)

    def put(self, **wanted):
        status, _, content = self.api.ask("PUT", self.path, document(**wanted), Content_Type="text/xml")
        assert status == 200, (status, content)
        return Shown(content)

    def delete(self):
        status, _, content = self.api.ask("DELETE", self.path)
        assert (status, content) == (204, b""), (status, content)
        assert self.api.ask("GET", self.path)[0] == 410, "after DELETE"


class Callback:
    def __init__(self, request):
        self.fields = dict(request["headers"])
        self.shown = Shown(request["body"].encode("latin-1"))


def requests(record, path):
    """What the receiver got there, in order."""
    text = pathlib.Path(record).read_text() if pathlib.Path(record).exists() else ""
    # The last line may be half written.
    found = [request for request in map(json.loads, text.split("\n")[:-1]) if request["path"] == path]
    assert all(request["method"] == "POST" for request in found), found
    return found


def callbacks(record, path):
    """The documents that the receiver got there, repeats left out."""
    found = {}
    for callback in map(Callback, requests(record, path)):
        found.setdefault(callback.fields["offhook-delivery-id"], callback)
    return list(found.values())


class Events:
    """What GET /v1/events tells of SIP, gathered in a thread."""

    def __init__(self, api):
        self.found = []
        connection = http.client.HTTPConnection(api.address, timeout=TIMEOUT_S)
        connection.request("GET", "/v1/events?type=sip.*")
        self.answer = connection.getresponse()
        assert self.answer.status == 200, self.answer.status
        threading.Thread(target=self.gather, daemon=True).start()

    def gather(self):
        try:
            for line in self.answer:
                if line.startswith(b"data: "):
                    self.found.append(json.loads(line[6:]))
        except (OSError, http.client.HTTPException):
            pass

    def until(self, kind, **facts):
        def found():
            return next((event for event in self.found if event["type"] == kind and facts.items() <= event["data"].items()), None)

        return until(found, lambda: f"{kind} with {facts}; there were {self.found}")


def run(checks):
    """Each check by its name, which begins with the line of the protocol's list that it is for."""
    for check in checks:
        started = time.monotonic()
        check()
        print(f"  {check.__name__} ({time.monotonic() - started:.1f} s)", flush=True)

"""SIPp: scenarios made of steps, and the processes that play them.

A scenario is a list of steps, each a piece of SIPp's XML. What one SUBSCRIBE says is kept in variables, so that it can be
answered after a NOTIFY has gone before.
"""

import atexit
import itertools
import pathlib
import re
import shutil
import subprocess
import tempfile
from xml.sax.saxutils import quoteattr

import ports

KEPT = {"via": "Via:", "from": "From:", "to": "To:", "cseq": "CSeq:", "event": "Event:"}
OWN = "[local_ip]:[local_port]"
CONTACT = f"Contact: <sip:target@{OWN};transport=[transport]>"
# A request in a dialog: To has the tag that `answer` and `notify` give.
TAGGED = "To:[^\r\n]*;tag=[0-9]+-a"
# What the notifiers say where nothing else matters.
SUMMARY = "application/simple-message-summary"

labels = itertools.count()


def message(*lines, body=""):
    text = "\n".join(line for line in lines if line)
    length = "[len]" if body else "0"
    return f"<send><![CDATA[\n{text}\nContent-Length: {length}\n\n{body}\n]]></send>"


def subscribe(*has, lacks=(), credentials=None, held=""):
    """A SUBSCRIBE comes. `has` are patterns of header fields, `lacks` of what must not be there, `credentials` a user and his
    password, for which whatever Authorization comes must be right, `held` tells it from another that is answered later."""
    actions = [f'<ereg regexp=".*" search_in="hdr" header="{field}" assign_to="{name}{held}"/>' for name, field in KEPT.items()]
    actions.append('<ereg regexp="sips?:[^>]*" search_in="hdr" header="Contact:" assign_to="target"/>')
    for pattern in has:
        actions.append(f'<ereg regexp={quoteattr(pattern)} search_in="msg" check_it="true" assign_to="seen"/>')
    for pattern in lacks:
        actions.append(f'<ereg regexp={quoteattr(pattern)} search_in="msg" check_it_inverse="true" assign_to="seen"/>')
    step = '<recv request="SUBSCRIBE"><action>' + "".join(actions)
    if credentials:
        user, password = credentials
        step += f'<verifyauth assign_to="right" username="{user}" password="{password}"/>'
    step += "</action></recv>"
    if credentials:
        label = f"right-{next(labels)}"
        step += f'<nop next="{label}" test="right"/><nop><action><error message="the digest is wrong"/></action></nop>'
        step += f'<label id="{label}"/>'
    return step


def answer(status, *fields, tag="[call_number]-a", held=""):
    """To the SUBSCRIBE that came last, or to the one so `held`. Without `tag` its To field has one already."""
    to = f"To:[$to{held}]" + (f";tag={tag}" if tag else "")
    via, sender, cseq = (f"{field}:[${name}{held}]" for field, name in (("Via", "via"), ("From", "from"), ("CSeq", "cseq")))
    return message(f"SIP/2.0 {status}", via, sender, to, "Call-ID: [call_id]", cseq, CONTACT, *fields)


def notify(cseq, state, body="", *fields, tag="[call_number]-a", event="[$event]", answered=200, our_tag=""):
    """A NOTIFY, and its answer."""
    state = f"Subscription-State: {state}" if state else ""
    kind = f"Content-Type: {SUMMARY}" if body else ""
    sent = message(
        "NOTIFY [$target] SIP/2.0",
        f"Via: SIP/2.0/[transport] {OWN};rport;branch=[branch]",
        "Max-Forwards: 70",
        f"From: <sip:probe@{OWN}>;tag={tag}",
        f"To:[$from]{our_tag}",
        "Call-ID: [call_id]",
        f"CSeq: {cseq} NOTIFY",
        CONTACT,
        f"Event: {event}",
        state,
        kind,
        *fields,
        body=body,
    )
    return sent + f'<recv response="{answered}"/>'


def granted(seconds):
    return f"Expires: {seconds}"


def active(seconds):
    return f"active;expires={seconds}"


def second_call(*steps):
    """What is different for the call after the first: steps to its end. Stands behind the first step of all."""
    label = f"first-{next(labels)}"
    return (
        '<nop><action><assignstr assign_to="number" value="[call_number]"/>'
        '<strcmp assign_to="unlike" variable="number" value="1"/>'
        '<test assign_to="first" variable="unlike" compare="equal" value="0"/></action></nop>'
        f'<nop next="{label}" test="first"/>' + "".join(steps) + f'<nop next="end"/><label id="{label}"/>'
    )


def unsubscribed(cseq, *has, **wanted):
    """The end of a subscription, as RFC 6665, section 4.1.2.3 wants it."""
    return (
        subscribe("Expires: 0", TAGGED, *has, **wanted)
        + answer("200 OK", "Expires: 0", tag=None)
        + notify(cseq, "terminated;reason=timeout")
    )


def summary(word):
    return f"Messages-Waiting: {word}"


def scenario(name, *steps):
    text = "".join(steps)
    used = ",".join(sorted(set(re.findall('assign_to="([^"]*)"', text))))
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="{name}">\n'
        + text
        + f'<label id="end"/><Reference variables="{used}"/></scenario>\n'
    )


class Sipp:
    """One SIPp in a root of unpacked packages. It ends by itself when its calls are over, with 0 if each went as it should."""

    def __init__(self, root, arguments, transport="udp", files=(), port=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=f"{root}/tmp"))
        inside = f"/tmp/{self.folder.name}"
        for name, text in files:
            (self.folder / name).write_text(text)
        self.port = port or ports.free()
        self.said = open(self.folder / "said", "wb")
        self.process = subprocess.Popen(
            ["chroot", root, "/usr/bin/sipp", *(argument.replace("@", inside + "/") for argument in arguments),
             "-i", "127.0.0.1", "-p", str(self.port), "-t", {"udp": "u1", "tcp": "t1", "tls": "l1"}[transport], "-nostdin",
             "-trace_err", "-error_file", f"{inside}/errors", "-trace_msg", "-message_file", f"{inside}/messages"],
            stdin=subprocess.DEVNULL, stdout=self.said, stderr=subprocess.STDOUT)
        atexit.register(self.end)

    def done(self):
        """Whether it is through; it must not have failed."""
        status = self.process.poll()
        assert status in (None, 0), f"SIPp ended with {status}:\n{self.told()}"
        return status == 0

    def told(self):
        files = (self.folder / name for name in ("errors", "messages"))
        return "\n".join(file.read_text(errors="replace") for file in files if file.exists())

    def messages(self, pattern):
        """How many of the messages so far match."""
        file = self.folder / "messages"
        return len(re.findall(pattern, file.read_text(errors="replace"), re.M)) if file.exists() else 0

    def end(self):
        atexit.unregister(self.end)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.said.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def listens(transport, port):
    """Whether somebody has that port, as /proc tells."""
    return f" 0100007F:{int(port):04X} " in pathlib.Path("/proc/net", transport).read_text()

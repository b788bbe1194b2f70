"""Asterisk as the peer: a lamp of its dialplan, calls that SIPp makes to a phone that SIPp plays, voicemail, and what is refused.

    python3 asterisk.py URL PORT PHONE ROOT SCRATCH SIPP RECEIVER RECORD

URL is the server's, PORT Asterisk's, PHONE the port of its phone 100, ROOT the root that it runs in, SCRATCH its folder in there,
SIPP the root that has SIPp.
"""

import pathlib
import subprocess
import sys

from sep import Api, Events, callbacks, run, until
from sipp import Sipp, listens

URL, PORT, PHONE, ROOT, SCRATCH, SIPP, RECEIVER, RECORD = sys.argv[1:]

api = Api(URL)
# The subscriptions so far, each with the path of its callbacks.
made = []


def uri(extension):
    return f"sip:{extension}@127.0.0.1:{PORT}"


def subscribe(event, to, path):
    subscription = api.subscribe(event, to, notify=RECEIVER + path)
    made.append((subscription, path))
    return subscription


def console(line):
    command = ["chroot", ROOT, "/usr/sbin/asterisk", "-C", f"{SCRATCH}/etc/asterisk.conf", "-rx", line]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def shown_in_turn(path, uri):
    """The states of the dialog in the callbacks there, equal neighbours once, and the ids that it had."""
    states, ids = [], set()
    for callback in callbacks(RECORD, path):
        instance = callback.shown.of(uri)
        if instance is None or instance.body is None:
            continue
        assert instance.has("dialog-info", state="full"), instance
        for dialog in instance.body.findall("{*}dialog"):
            ids.add(dialog.get("id"))
            state = dialog.findtext("{*}state")
            if states[-1:] != [state]:
                states.append(state)
    return states, ids


def in_turn(path, uri, *states):
    """Waits until the dialog has gone through these states, all under one id."""
    until(lambda: shown_in_turn(path, uri) == (list(states), {uri[4:].split("@")[0]}),
          lambda: f"{states}; there were {shown_in_turn(path, uri)}")


def s56_a_lamp():
    events = Events(api)
    lamp = uri(102)
    subscription = subscribe("dialog", lamp, "/ok/lamp")
    # An idle phone is terminated, from the first document on.
    subscription.until(lambda shown: shown.of(lamp) and shown.of(lamp).has("state", "terminated"), "the first document")
    for state, word in (("RINGING", "early"), ("INUSE", "confirmed"), ("NOT_INUSE", "terminated")):
        console(f"devstate change Custom:lamp {state}")
        events.until("sip.dialog", entity=lamp, dialog_id="102", state=word)
        subscription.until(lambda shown: shown.of(lamp).has("state", word), word)
    in_turn("/ok/lamp", lamp, "terminated", "early", "confirmed", "terminated")


def s56_each_call_is_seen():
    phone = uri(100)
    subscription = subscribe("dialog", phone, "/ok/phone")
    subscription.until(lambda shown: shown.of(phone) and shown.of(phone).has("state", "terminated"), "the first document")
    scenario = (pathlib.Path(__file__).parent / "phone.xml").read_text()
    called = Sipp(SIPP, ["-sf", "@phone.xml", "-m", "2"], files=[("phone.xml", scenario)], port=int(PHONE))
    until(lambda: listens("udp", PHONE), "the phone")
    seen = ["terminated"]
    for _ in range(2):
        caller = Sipp(SIPP, ["-sn", "uac", "-s", "100", "-m", "1", "-d", "500", f"127.0.0.1:{PORT}"])
        until(caller.done, lambda: f"the call's end; the phone saw {called.told()}")
        caller.end()
        seen += ["early", "confirmed", "terminated"]
        in_turn("/ok/phone", phone, *seen)
    until(called.done, "the phone's calls")
    called.end()


def s56_message_summary():
    events = Events(api)
    phone = uri(100)
    subscription = subscribe("message-summary", phone, "/ok/voicemail")
    found = subscription.until(lambda shown: shown.of(phone) and shown.of(phone).text, "the first summary").of(phone)
    assert "Messages-Waiting: no\n" in found.text and found.type == "application/simple-message-summary", found
    inbox = pathlib.Path(ROOT + SCRATCH, "spool/voicemail/default/100/INBOX")
    inbox.mkdir(parents=True)
    (inbox / "msg0000.txt").touch()
    subscription.until(lambda shown: "Voice-Message: 1/0" in shown.of(phone).text, "the message")
    events.until("sip.message_summary", new=1, old=0)
    def told():
        return any("Messages-Waiting: yes" in callback.shown.of(phone).text for callback in callbacks(RECORD, "/ok/voicemail"))

    until(told, "its callback")


def s56_presence():
    lamp = uri(102)
    subscription = subscribe("presence", lamp, "/ok/presence")
    subscription.until(lambda shown: shown.of(lamp) and shown.of(lamp).has("basic"), "the first document")
    console("devstate change Custom:lamp UNAVAILABLE")
    subscription.until(lambda shown: shown.of(lamp).has("basic", "closed"), "the lamp to be away")
    console("devstate change Custom:lamp NOT_INUSE")
    subscription.until(lambda shown: shown.of(lamp).has("basic", "open"), "the lamp to be back")
    until(lambda: len(callbacks(RECORD, "/ok/presence")) >= 2, "callbacks")


def s56_reg_is_refused_with_489():
    for event in ("reg", "vq-rtcpxr"):
        subscription = api.subscribe(event, uri(100))
        found = subscription.until(lambda shown: shown.of(uri(100)), "an answer").of(uri(100))
        assert (found.state, found.reason, found.status) == ("terminated", "rejected", "489"), found
        subscription.delete()


def s37_all_ends():
    for subscription, _ in made:
        subscription.delete()
    until(lambda: "0 active subscriptions" in console("pjsip show subscriptions inbound"), "the end of all at Asterisk")
    # Asterisk 16 sends no NOTIFY for Expires 0, so that this waits for Timer N.
    for _, path in made:
        until(lambda: [callback.shown.ended for callback in callbacks(RECORD, path)][-1:] == ["deleted"], "the last callback", 60)


run([s56_a_lamp, s56_each_call_is_seen, s56_message_summary, s56_presence, s56_reg_is_refused_with_489, s37_all_ends])

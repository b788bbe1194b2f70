"""Kamailio as the peer: every package, lists, refusals, and what is left there after a stop, a restart and a kill.

    python3 kamailio.py GROUP URL PORT ROOT SCRATCH RECEIVER RECORD KEPT

GROUP is one below, URL the server's, PORT Kamailio's, ROOT the root that it runs in, SCRATCH its folder in there, KEPT the file
in which one group leaves word for the next.
"""

import email
import json
import os
import pathlib
import subprocess
import sys

from agent import Phone
from sep import Api, Events, Subscription, callbacks, requests, run, until

GROUP, URL, PORT, ROOT, SCRATCH, RECEIVER, RECORD, KEPT = sys.argv[1:]
KEPT = pathlib.Path(KEPT)

ALICE, BOB, TEAM = "sip:alice@example.test", "sip:bob@example.test", "sip:team-list@example.test"
api = Api(URL)
alice, bob = Phone(ALICE, int(PORT)), Phone(BOB, int(PORT))


def watchers():
    """Kamailio's subscriptions as dictionaries, without those of its list server to itself."""
    command = ["chroot", ROOT, "/usr/sbin/kamcmd", "-s", f"unix:{SCRATCH}/control", "db_text.dump"]
    subprocess.run(command, check=True, capture_output=True)
    head, *rows = pathlib.Path(ROOT + SCRATCH, "tables/active_watchers").read_text().splitlines()
    names = [column.split("(")[0] for column in head.split()]
    # Colons within a value are escaped.
    found = [dict(zip(names, (value.replace("\0", ":") for value in row.replace("\\:", "\0").split(":")))) for row in rows]
    return [row for row in found if not row["contact"].startswith(f"sip:127.0.0.1:{PORT}")]


def watched(event):
    """Whom somebody subscribes to, sorted."""
    return sorted(row["presentity_uri"] for row in watchers() if row["event"] == event)


def until_watched(event, *uris):
    until(lambda: watched(event) == sorted(uris), lambda: f"{event} of {uris} at Kamailio; there is {watchers()}")


def presence(basic, note="here"):
    # Kamailio makes one document of all that is published: each run needs a tuple of its own.
    return (
        f'<?xml version="1.0"?><presence xmlns="urn:ietf:params:xml:ns:pidf" entity="{ALICE}"><tuple id="t{os.getpid()}"><status>'
        f"<basic>{basic}</basic></status><note>{note}</note></tuple></presence>"
    )


def dialogs(version, state):
    return (
        f'<?xml version="1.0"?><dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="{version}" state="full" '
        f'entity="{ALICE}"><dialog id="d-1" call-id="c-1" direction="recipient"><state>{state}</state></dialog></dialog-info>'
    )


def summary(new):
    waiting = "yes" if new else "no"
    return f"Messages-Waiting: {waiting}\r\nMessage-Account: {ALICE}\r\nVoice-Message: {new}/8 (0/2)\r\n"


def active(*uris):
    """Whether each of them has one active instance."""
    return lambda shown: all(found and found.state == "active" for found in map(shown.of, uris))


def in_order(path, location):
    """The callbacks there: one a change, each whole, each about this subscription."""
    found = callbacks(RECORD, path)
    for callback in found:
        assert callback.fields["content-location"] == location, callback.fields
        assert callback.fields["content-type"] == "application/xml;charset=UTF-8", callback.fields
    versions = [callback.shown.version for callback in found]
    assert not versions or versions == list(range(versions[0], versions[0] + len(versions))) and versions[0] > 0, versions
    return [callback.shown for callback in found]


def bodies(path):
    return [request["body"] for request in requests(RECORD, path)]


def ends(subscription, path, event):
    """DELETE, seen from all sides."""
    subscription.delete()
    until_watched(event)
    last = until(lambda: [shown for shown in in_order(path, subscription.location) if shown.ended], "the last callback")
    assert [shown.ended for shown in last] == ["deleted"], last
    assert all((found.state, found.reason) == ("terminated", "timeout") for found in last[0].all()), last


def s42_presence():
    events = Events(api)
    subscription = api.subscribe("presence", ALICE, BOB, notify=f"{RECEIVER}/ok/presence")
    first = subscription.until(active(ALICE, BOB), "the first NOTIFYs, which are empty")
    assert first.of(ALICE).body is None and not callbacks(RECORD, "/ok/presence"), first
    for basic in ("open", "closed"):
        alice.publish("presence", "application/pidf+xml", presence(basic))
        subscription.until(lambda shown: shown.of(ALICE).has("basic", basic), basic)
        told = lambda: any(one.of(ALICE).has("basic", basic) for one in in_order("/ok/presence", subscription.location))
        until(told, f"a callback with {basic}")
        events.until("sip.presence", entity=ALICE, status=basic)
    assert subscription.shown().of(BOB).body is None
    ends(subscription, "/ok/presence", "presence")


def s42_message_summary():
    events = Events(api)
    subscription = api.subscribe("message-summary", ALICE, notify=f"{RECEIVER}/ok/mwi")
    for new in (2, 0):
        alice.publish("message-summary", "application/simple-message-summary", summary(new))
        text = summary(new).replace("\r\n", "\n")
        found = subscription.until(lambda shown: shown.of(ALICE) and shown.of(ALICE).text == text, text)
        assert found.of(ALICE).type == "application/simple-message-summary", found
        events.until("sip.message_summary", account=ALICE, new=new)

    # The multipart form has the very bytes.
    status, fields, content = api.ask("GET", subscription.path, Accept="multipart/related")
    whole = email.message_from_bytes(f"Content-Type: {fields['Content-Type']}\r\n\r\n".encode() + content)
    root, part = whole.get_payload()
    assert (status, fields["Offhook-Event"], fields["Content-Location"]) == (200, "message-summary", subscription.location)
    assert root.get_content_type() == "application/rlmi+xml" and root["Content-ID"] == whole.get_param("start"), content
    assert f'cid="{part["Content-ID"].strip("<>")}"' in root.get_payload(), content
    assert part.get_payload(decode=True) == summary(0).encode(), content
    until(lambda: len(in_order("/ok/mwi", subscription.location)) >= 2, "a callback for each change")
    ends(subscription, "/ok/mwi", "message-summary")


def s42_reg():
    events = Events(api)
    subscription = api.subscribe("reg", ALICE, notify=f"{RECEIVER}/ok/reg")
    subscription.until(active(ALICE), "the first NOTIFY")
    alice.register(600)
    subscription.until(lambda shown: shown.of(ALICE).has("uri", f"sip:alice@{alice.own}"), "the contact")
    events.until("sip.reg", aor=ALICE, contact_uri=f"sip:alice@{alice.own}", contact_state="active")
    alice.register(0)
    events.until("sip.reg", contact_uri=f"sip:alice@{alice.own}", contact_state="terminated")
    desk = Phone(ALICE, int(PORT))
    desk.register(600)
    found = subscription.until(lambda shown: shown.of(ALICE).has("uri", f"sip:alice@{desk.own}"), "the other contact")
    # What has ended is shown once; Kamailio numbers each of its documents 0.
    assert found.of(ALICE).has("reginfo", state="full") and not found.of(ALICE).has("uri", f"sip:alice@{alice.own}"), found
    shown = in_order("/ok/reg", subscription.location)
    assert sum(one.of(ALICE).has("contact", state="terminated") for one in shown) == 1, shown
    desk.register(0)
    ends(subscription, "/ok/reg", "reg")


def s42_dialog():
    events = Events(api)
    subscription = api.subscribe("dialog", ALICE, notify=f"{RECEIVER}/ok/dialog")
    subscription.until(active(ALICE), "the first NOTIFY")
    states = ("early", "confirmed", "terminated")
    for version, state in enumerate(states):
        alice.publish("dialog", "application/dialog-info+xml", dialogs(version, state))
        events.until("sip.dialog", entity=ALICE, dialog_id="d-1", state=state)
        until(lambda: any(one.of(ALICE).has("state", state) for one in in_order("/ok/dialog", subscription.location)), state)
    ends(subscription, "/ok/dialog", "dialog")


def s42_vq_rtcpxr_is_refused_with_489():
    for event in ("vq-rtcpxr", "rtcp-stats"):
        subscription = api.subscribe(event, ALICE)
        found = subscription.until(lambda shown: shown.of(ALICE), "an answer").of(ALICE)
        assert (found.state, found.reason, found.status) == ("terminated", "rejected", "489"), found
        subscription.delete()


def s41_a_resource_list():
    subscription = api.subscribe("presence", TEAM, notify=f"{RECEIVER}/ok/list")
    found = subscription.until(lambda shown: len(shown.resources) == 3, "the list's resources")
    assert list(found.resources) == [TEAM, ALICE, BOB], found
    for basic in ("open", "closed"):
        alice.publish("presence", "application/pidf+xml", presence(basic, "in the list"))
        subscription.until(lambda shown: shown.of(ALICE) and shown.of(ALICE).has("basic", basic), basic)
    # Kamailio tells changes as partial documents: what they do not name stays.
    assert list(subscription.shown().resources) == [TEAM, ALICE, BOB]
    shown = until(lambda: in_order("/ok/list", subscription.location), "callbacks")
    assert any(TEAM in one.resources and ALICE in one.resources for one in shown), shown
    subscription.delete()
    until_watched("presence")


def s35_a_new_list_changes_the_difference_only():
    subscription = api.subscribe("presence", ALICE)
    until_watched("presence", ALICE)
    kept = watchers()[0]["callid"]
    subscription.put(uris=[ALICE, BOB])
    until_watched("presence", ALICE, BOB)
    assert {row["callid"] for row in watchers() if row["presentity_uri"] == ALICE} == {kept}, watchers()
    subscription.put(uris=[BOB])
    until_watched("presence", BOB)
    assert list(subscription.shown().resources) == [BOB]
    subscription.delete()
    until_watched("presence")


def s43_a_large_request_goes_over_tcp():
    # More than fits into 1,300 bytes.
    accept = ["application/pidf+xml", *(f"application/vnd.example.{number}{'-presence' * 9}+xml" for number in range(14))]
    subscription = api.subscribe("presence", ALICE, accept=accept)
    until_watched("presence", ALICE)
    assert [row["socket_info"].split(":")[0] for row in watchers()] == ["tcp"], watchers()
    alice.publish("presence", "application/pidf+xml", presence("open", "over TCP"))
    subscription.until(lambda shown: shown.of(ALICE).has("note", "over TCP"), "a NOTIFY over TCP")
    subscription.delete()
    until_watched("presence")


def s33_a_callback_of_410_ends_it():
    subscription = api.subscribe("presence", BOB, notify=f"{RECEIVER}/410/callback")
    subscription.until(active(BOB), "the first NOTIFY")
    bob.publish("presence", "application/pidf+xml", presence("open"))
    until(lambda: api.ask("GET", subscription.path)[0] == 410, "the end")
    until_watched("presence")
    assert len(callbacks(RECORD, "/410/callback")) == 1


def s38_it_expires():
    subscription = api.subscribe("dialog", BOB, notify=f"{RECEIVER}/ok/expires", expires_s=5)
    until_watched("dialog", BOB)
    last = until(lambda: [shown for shown in in_order("/ok/expires", subscription.location) if shown.ended], "the last callback")
    assert [shown.ended for shown in last] == ["expired"], last
    assert api.ask("GET", subscription.path)[0] == 410
    until_watched("dialog")


def the_same_in_json():
    uris = [ALICE, {"uri": BOB, "name": "Bob"}]
    wish = {"package": "presence", "uris": uris, "expires": 600, "callback": f"{RECEIVER}/ok/json"}
    status, fields, content = api.ask("POST", "/v1/subscriptions", json.dumps(wish), Content_Type="application/json")
    made = json.loads(content)
    assert status == 201 and [one["uri"] for one in made["resources"]] == [ALICE, BOB], (status, content)
    path = f"/v1/subscriptions/{made['id']}"
    assert fields["Location"] == URL + path, fields["Location"]

    def note():
        first = json.loads(api.ask("GET", path)[2])["resources"][0]
        return [one["state"] for one in first["instances"]] == ["active"] and "in JSON" in first["instances"][0].get("body", "")

    until_watched("presence", ALICE, BOB)
    alice.publish("presence", "application/pidf+xml", presence("open", "in JSON"))
    until(note, lambda: api.ask("GET", path))
    until(lambda: any("in JSON" in body for body in bodies("/ok/json")), "a callback")
    assert api.ask("DELETE", path)[0] == 204
    until_watched("presence")
    until(lambda: json.loads(bodies("/ok/json")[-1]).get("ended") == "deleted", "the last callback")


def s15_and_s52_min_expires_and_202():
    subscription = api.subscribe("presence", ALICE, expires_s=20)
    subscription.until(active(ALICE), "the subscription that was asked for again")
    until_watched("presence", ALICE)
    subscription.delete()
    until_watched("presence")


def left_behind():
    """Subscriptions that a stop must end, or a restart find again."""
    made = {}
    for event in ("presence", "dialog", "message-summary"):
        subscription = api.subscribe(event, ALICE, BOB, notify=f"{RECEIVER}/ok/kept-{event}")
        subscription.until(active(ALICE, BOB), event)
        until_watched(event, ALICE, BOB)
        made[event] = subscription
    alice.publish("presence", "application/pidf+xml", presence("open", "before"))
    made["presence"].until(lambda shown: shown.of(ALICE).has("note", "before"), "a state")
    KEPT.write_text(json.dumps({
        "locations": {event: subscription.path for event, subscription in made.items()},
        "calls": {row["callid"]: int(row["remote_cseq"]) for row in watchers()},
    }))


def in_flight():
    """Subscriptions that were acknowledged a moment ago, of which SIP has said nothing yet, or half of it."""
    made = {event: api.subscribe(event, ALICE, BOB) for event in ("presence", "dialog", "message-summary")}
    KEPT.write_text(json.dumps({"locations": {event: subscription.path for event, subscription in made.items()}}))


def s46_what_was_acknowledged_is_there():
    for subscription in kept().values():
        subscription.until(active(ALICE, BOB), "a new dialog")


def s46_nothing_is_left_at_the_peer():
    # What a kill left behind ends when its NOTIFY, which is repeated for 32 s, gets 481.
    until(lambda: not watchers(), lambda: f"the end of {watchers()}", 60)


def kept():
    """The subscriptions of a start before, without what its address was."""
    return {event: Subscription(api, URL + path) for event, path in json.loads(KEPT.read_text())["locations"].items()}


def s46_the_dialogs_are_refreshed():
    assert kept()["presence"].shown().of(ALICE).has("note", "before"), "the last state is there at once"
    calls = json.loads(KEPT.read_text())["calls"]

    def refreshed():
        there = {row["callid"]: int(row["remote_cseq"]) for row in watchers()}
        return there.keys() == calls.keys() and all(there[call] > cseq for call, cseq in calls.items())

    until(refreshed, lambda: f"refreshes of {calls}; there is {watchers()}")
    KEPT.write_text(json.dumps({
        "locations": json.loads(KEPT.read_text())["locations"],
        "calls": {row["callid"]: int(row["remote_cseq"]) for row in watchers()},
    }))


def s46_the_dialogs_are_new():
    """After Kamailio has forgotten all: 481 to each refresh."""
    for event in kept():
        until_watched(event, ALICE, BOB)


def s46_changes_arrive_again():
    subscription = kept()["presence"]
    before = subscription.shown().version
    alice.publish("presence", "application/pidf+xml", presence("closed", f"after {before}"))
    after = subscription.until(lambda shown: shown.of(ALICE).has("note", f"after {before}"), "a change")
    assert after.version > before, (before, after)
    told = lambda: any(one.shown.of(ALICE).has("note", f"after {before}") for one in callbacks(RECORD, "/ok/kept-presence"))
    until(told, "its callback")
    alice.publish("presence", "application/pidf+xml", presence("open", "before"))
    subscription.until(lambda shown: shown.of(ALICE).has("note", "before"), "the state before")


def s46_all_can_be_ended():
    for subscription in kept().values():
        subscription.delete()
    s46_nothing_is_left_at_the_peer()


GROUPS = {
    "packages": [
        s42_presence,
        s42_message_summary,
        s42_reg,
        s42_dialog,
        s42_vq_rtcpxr_is_refused_with_489,
        s41_a_resource_list,
        s35_a_new_list_changes_the_difference_only,
        s43_a_large_request_goes_over_tcp,
        s33_a_callback_of_410_ends_it,
        s38_it_expires,
        the_same_in_json,
    ],
    "strict": [s15_and_s52_min_expires_and_202],
    "begin": [left_behind],
    "ended": [s46_nothing_is_left_at_the_peer],
    "refreshed": [s46_the_dialogs_are_refreshed, s46_changes_arrive_again],
    "new": [s46_the_dialogs_are_new, s46_changes_arrive_again],
    "hurry": [in_flight],
    "arrived": [s46_what_was_acknowledged_is_there, s46_all_can_be_ended],
    "end": [s46_all_can_be_ended],
}
run(GROUPS[GROUP])

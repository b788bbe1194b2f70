"""SIPp as the notifier, over UDP, TCP and, some of it, TLS: orders and refusals that no other peer shows when it is asked to.

    python3 notifiers.py URL ROOT CERTIFICATES

URL is the server's, ROOT has SIPp, CERTIFICATES is a folder with good.pem and good.key for it. All of it goes on at once.
"""

import pathlib
import re
import sys
import threading
import time

from sep import Api
from sipp import TAGGED, Sipp, active, answer, granted, listens, notify, scenario, second_call, subscribe, summary, unsubscribed

URL, ROOT, CERTIFICATES = sys.argv[1:]
api = Api(URL)

# How the server may say who it is.
CREDENTIALS = ("gateway", "example-password")


class Notifier:
    """A SIPp with one scenario, and a subscription to what it says."""

    def __init__(self, transport, name, steps, calls=1, event="message-summary"):
        text, arguments, files = scenario(name, *steps), ["-sf", "@scenario.xml", "-m", str(calls)], []
        uri = "sip:probe@127.0.0.1:{}"
        if transport == "tcp":
            uri += ";transport=tcp"
        if transport == "tls":
            # RFC 3261, section 12.1.1: who is asked with sips answers with it.
            uri = uri.replace("sip:", "sips:")
            text = re.sub("(<|SUBSCRIBE )sip:", r"\1sips:", text).replace(";transport=[transport]", "")
            arguments += ["-tls_cert", "@good.pem", "-tls_key", "@good.key"]
            files = [(name, pathlib.Path(CERTIFICATES, name).read_text()) for name in ("good.pem", "good.key")]
        self.sipp = Sipp(ROOT, arguments, transport, [("scenario.xml", text), *files])
        self.uri = uri.format(self.sipp.port)
        self.wait_for(lambda: listens("udp" if transport == "udp" else "tcp", self.sipp.port), "SIPp to listen")
        self.subscription = api.subscribe(event, self.uri)

    def wait_for(self, condition, what, timeout=60):
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}\n{self.sipp.told()}"
            self.sipp.done()
            time.sleep(0.05)

    def until(self, condition, what, timeout=60):
        """Waits until the resource's instances are so."""
        found = []

        def holds():
            found[:] = self.subscription.shown().resources[self.uri]
            return condition(found)

        try:
            self.wait_for(holds, what, timeout)
        except AssertionError as fault:
            raise AssertionError(f"{fault}\nshown: {found}") from None
        return list(found)

    def says(self, *words):
        """Waits until there is one active instance for each of these bodies."""
        wanted = sorted(summary(word) for word in words)
        self.until(
            lambda found: all(one.state == "active" for one in found)
            and sorted((one.text or "").strip() for one in found) == wanted,
            words,
        )

    def ended(self, reason, status=None):
        so = [("terminated", reason, status)]
        return self.until(lambda found: [(one.state, one.reason, one.status) for one in found] == so, reason)

    def over(self):
        """SIPp has seen all that it waited for."""
        self.wait_for(self.sipp.done, "the end of the scenario")
        self.sipp.end()

    def delete(self):
        self.subscription.delete()
        self.over()


def s10_s11_s13_notify_before_200(transport):
    route = "Record-Route: <sip:[local_ip]:[local_port];transport=[transport];lr>"
    notifier = Notifier(transport, "NOTIFY before the 200", [
        subscribe("Event: message-summary", "Accept: application/simple-message-summary", lacks=[TAGGED]),
        notify(1, active(6), summary("yes"), route),
        answer("200 OK", granted(6), route),
        subscribe("SUBSCRIBE sip:target@", "Route: .sips?:127[^>]*;lr", TAGGED),
        answer("200 OK", granted(60), tag=None),
        notify(2, active(60), summary("no")),
        unsubscribed(3),
    ])
    notifier.says("yes")
    notifier.says("no")
    notifier.delete()


def s17_no_notify(transport):
    notifier = Notifier(transport, "no NOTIFY at all", [subscribe(), answer("200 OK", granted(3600))])
    notifier.over()
    # Timer N is 32 s.
    found = notifier.subscription.until(
        lambda shown: [one.reason for one in shown.resources[notifier.uri]] == ["timeout"], "Timer N", 60)
    assert [(one.state, one.status) for one in found.all()] == [("terminated", None)], found
    notifier.subscription.delete()


def s15_min_expires(transport):
    notifier = Notifier(transport, "423", [
        subscribe(),
        answer("423 Interval Too Brief", "Min-Expires: 7200"),
        subscribe("Expires: 7200"),
        answer("200 OK", granted(7200)),
        notify(1, active(7200), summary("yes")),
        unsubscribed(2),
    ])
    notifier.says("yes")
    notifier.delete()


def challenge(status, nonce, *more, algorithm="MD5"):
    field = "Proxy-Authenticate" if status.startswith("407") else "WWW-Authenticate"
    more = "".join(f", {one}" for one in more)
    return answer(status, f'{field}: Digest realm="example.test", nonce="{nonce}", qop="auth", algorithm={algorithm}{more}')


def challenged(transport, status, algorithm, *has, credentials=None):
    has = [f"Authorization: Digest .*algorithm={algorithm}", 'nonce="one"', "qop=auth", *has]
    notifier = Notifier(transport, f"{status} with {algorithm}", [
        subscribe(lacks=["Authorization"]),
        challenge(status, "one", algorithm=algorithm),
        subscribe(*has, lacks=[TAGGED], credentials=credentials),
        answer("200 OK", granted(60)),
        notify(1, active(60), summary("yes")),
        unsubscribed(2),
    ])
    notifier.says("yes")
    notifier.delete()


def s16_401_md5(transport):
    challenged(transport, "401 Unauthorized", "MD5", credentials=CREDENTIALS)


def s16_401_sha_256(transport):
    challenged(transport, "401 Unauthorized", "SHA-256", credentials=CREDENTIALS)


def s16_407(transport):
    # SIPp judges nothing but Authorization.
    challenged(transport, "407 Proxy Authentication Required", "MD5", "Proxy-Authorization: Digest .*response=.[0-9a-f]+")


def s16_stale(transport):
    notifier = Notifier(transport, "a nonce that is stale", [
        subscribe(),
        challenge("401 Unauthorized", "one"),
        subscribe('nonce="one"', credentials=CREDENTIALS),
        answer("200 OK", granted(6)),
        notify(1, active(6), summary("yes")),
        # Whatever the refresh brings with it.
        subscribe(TAGGED),
        challenge("401 Unauthorized", "two", "stale=true").replace(";tag=[call_number]-a", ""),
        subscribe('nonce="two"', credentials=CREDENTIALS),
        answer("200 OK", granted(60), tag=None),
        notify(2, active(60), summary("no")),
        unsubscribed(3),
    ])
    notifier.says("yes")
    notifier.says("no")
    notifier.delete()


def s16_refused_credentials_are_not_sent_twice(transport):
    notifier = Notifier(transport, "credentials that are refused", [
        subscribe(lacks=["Authorization"]),
        challenge("401 Unauthorized", "one"),
        subscribe("Authorization"),
        challenge("401 Unauthorized", "two"),
    ])
    notifier.over()
    notifier.ended("rejected", "401")
    notifier.subscription.delete()


def s14_481_to_a_refresh(transport):
    notifier = Notifier(transport, "481 to a refresh", [
        subscribe(lacks=[TAGGED]),
        second_call(answer("200 OK", granted(60)), notify(1, active(60), summary("no")), unsubscribed(2)),
        answer("200 OK", granted(6)),
        notify(1, active(6), summary("yes")),
        subscribe(TAGGED),
        answer("481 Subscription Does Not Exist", tag=None),
    ], calls=2)
    notifier.says("yes")
    notifier.says("no")
    notifier.delete()


def s14_503_to_a_refresh(transport):
    notifier = Notifier(transport, "503 to a refresh", [
        subscribe(),
        answer("200 OK", granted(20)),
        notify(1, active(20), summary("yes")),
        subscribe(TAGGED),
        answer("503 Service Unavailable", tag=None),
        subscribe(TAGGED),
        answer("200 OK", granted(60), tag=None),
        notify(2, active(60), summary("no")),
        unsubscribed(3),
    ])
    notifier.says("yes")
    notifier.wait_for(lambda: notifier.sipp.messages("^SIP/2.0 503") > 0, "the 503")
    notifier.says("yes")
    notifier.says("no")
    notifier.delete()


def again(transport, state):
    """The first subscription is ended by the notifier, and a second one follows."""
    return Notifier(transport, state, [
        subscribe(lacks=[TAGGED]),
        second_call(answer("200 OK", granted(60)), notify(1, active(60), summary("no")), unsubscribed(2)),
        answer("200 OK", granted(60)),
        notify(1, active(60), summary("yes")),
        notify(2, f"terminated;{state}"),
    ], calls=2)


def s19_deactivated(transport):
    notifier = again(transport, "reason=deactivated")
    notifier.says("no")
    notifier.delete()


def s19_probation(transport):
    notifier = again(transport, "reason=probation;retry-after=3")
    notifier.ended("probation")
    notifier.says("no")
    notifier.delete()


def s19_giveup(transport):
    notifier = again(transport, "reason=giveup;retry-after=3")
    notifier.ended("giveup")
    notifier.says("no")
    notifier.delete()


def s19_rejected(transport):
    notifier = again(transport, "reason=rejected")
    notifier.ended("rejected")
    # PUT tries again what had ended for good.
    notifier.subscription.put(expires_s=600)
    notifier.says("no")
    notifier.delete()


def s20_404(transport):
    notifier = Notifier(transport, "404", [subscribe(), answer("404 Not Found")])
    notifier.ended("noresource", "404")
    notifier.over()
    notifier.subscription.delete()


def s23_forks(transport):
    notifier = Notifier(transport, "two tags", [
        subscribe(),
        answer("200 OK", granted(600)),
        notify(1, active(600), summary("yes")),
        notify(1, active(600), summary("no"), tag="[call_number]-b"),
        # They come at once, and which of them first is the server's business.
        subscribe("Expires: 0"),
        subscribe("Expires: 0", held="2"),
        answer("200 OK", "Expires: 0", tag=None),
        answer("200 OK", "Expires: 0", tag=None, held="2"),
        notify(2, "terminated;reason=timeout"),
        notify(2, "terminated;reason=timeout", tag="[call_number]-b"),
    ])
    notifier.says("yes", "no")
    notifier.delete()


def s23_a_fork_of_reg_is_refused(transport):
    notifier = Notifier(transport, "two tags of reg", [
        subscribe(),
        answer("200 OK", granted(600)),
        notify(1, active(600)),
        notify(1, active(600), tag="[call_number]-b", answered=481),
        unsubscribed(2),
    ], event="reg")
    notifier.until(lambda found: [one.state for one in found] == ["active"], "one instance")
    notifier.wait_for(lambda: notifier.sipp.messages("^SIP/2.0 481") > 0, "the 481")
    notifier.delete()


def s52_202_without_expires(transport):
    notifier = Notifier(transport, "202, as RFC 3265 had it", [
        subscribe(),
        answer("202 Accepted", granted(6)),
        notify(1, "active", summary("yes")),
        subscribe(TAGGED),
        answer("202 Accepted", granted(60), tag=None),
        notify(2, "active", summary("no")),
        unsubscribed(3),
    ])
    notifier.says("yes")
    notifier.says("no")
    notifier.delete()


def s12_s22_notifies_that_are_refused(transport):
    notifier = Notifier(transport, "NOTIFYs that are refused", [
        subscribe(),
        answer("200 OK", granted(600)),
        notify(10, active(600), summary("yes")),
        notify(9, active(600), summary("no"), answered=500),
        notify(11, active(600), summary("no"), event="no-such", answered=489),
        notify(12, "", summary("no"), answered=400),
        notify(13, active(600), summary("no"), our_tag="x", answered=481),
        notify(14, active(600), summary("last")),
        unsubscribed(15),
    ])
    notifier.says("last")
    notifier.delete()


CHECKS = [
    s10_s11_s13_notify_before_200,
    s17_no_notify,
    s15_min_expires,
    s16_401_md5,
    s16_401_sha_256,
    s16_407,
    s16_stale,
    s16_refused_credentials_are_not_sent_twice,
    s14_481_to_a_refresh,
    s14_503_to_a_refresh,
    s19_deactivated,
    s19_probation,
    s19_giveup,
    s19_rejected,
    s20_404,
    s23_forks,
    s23_a_fork_of_reg_is_refused,
    s52_202_without_expires,
    s12_s22_notifies_that_are_refused,
]

# TLS is another way for the same bytes, and for NOTIFYs on a connection that the server has made.
OVER_TLS = [s10_s11_s13_notify_before_200, s16_401_sha_256, s19_deactivated]


def main():
    failed = []

    def attempt(check, transport):
        started = time.monotonic()
        try:
            check(transport)
        except Exception as fault:  # each of them is told
            failed.append(f"{check.__name__} over {transport}: {fault}")
        else:
            print(f"  {check.__name__} over {transport} ({time.monotonic() - started:.1f} s)", flush=True)

    over = [(check, transport) for check in CHECKS for transport in ("udp", "tcp")] + [(check, "tls") for check in OVER_TLS]
    threads = [threading.Thread(target=attempt, args=one) for one in over]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        sys.exit("\n\n".join(failed))


main()

//! Ten thousand subscriptions at once.

use super::*;
use crate::wire::sip::subscriber::Reason;

const ALL: usize = 10_000;
const REFRESHES: usize = 2_500;
const PER_S: usize = 50;

/// A peer that grants everything. It reads and writes lines, not messages: there are many of them.
struct Granting {
    subscriber: Subscriber,
    now: Now,
    /// When it was asked.
    asked: Vec<Mono>,
}

impl Granting {
    fn serve(&mut self) {
        while let Some(output) = self.subscriber.poll_output() {
            let Output::Datagram { bytes, .. } = output else { panic!("{output:?}") };
            let text = String::from_utf8(bytes).unwrap();
            if text.starts_with("SUBSCRIBE ") {
                self.asked.push(self.now.mono);
                self.grant(&text);
            } else {
                assert!(text.starts_with("SIP/2.0 200 "), "{text}");
            }
        }
        while self.subscriber.poll_event().is_some() {}
    }

    fn grant(&mut self, request: &str) {
        let line = |name: &str| {
            let line = request.split("\r\n").find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap()
        };
        let (from, to, call_id, number) = (line("From"), line("To"), line("Call-ID"), self.asked.len());
        let to = if to.ends_with(";tag=p1") { to.to_owned() } else { format!("{to};tag=p1") };
        let answer = format!(
            "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {}\r\n\
             Expires: 3600\r\nContact: <sip:192.0.2.9>\r\nContent-Length: 0\r\n\r\n",
            line("Via"),
            line("CSeq"),
        );
        let notify = format!(
            "NOTIFY sip:offhook@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKn{number}\r\n\
             From: {to}\r\nTo: {from}\r\nCall-ID: {call_id}\r\nCSeq: {number} NOTIFY\r\nEvent: dialog\r\n\
             Subscription-State: active;expires=3600\r\nContact: <sip:192.0.2.9>\r\nMax-Forwards: 70\r\n\
             Content-Length: 0\r\n\r\n"
        );
        for bytes in [answer, notify] {
            self.subscriber.receive_datagram(self.now, 0, peer(), bytes.as_bytes());
        }
    }

    fn pass_until(&mut self, asked: usize) {
        while self.asked.len() < asked {
            let due = self.subscriber.poll_timeout().expect("something is due");
            self.now.wall.0 += due.since(self.now.mono);
            self.now.mono = due.max(self.now.mono);
            self.subscriber.handle_timeout(self.now);
            self.serve();
        }
    }
}

#[test]
fn one_client_does_not_take_all_room_for_waiting() {
    let mut subscriber = subscriber(1, 1);
    subscriber.agent.settings.limits.sip_requests_per_client = 2;
    let until = Wall(BEGINNING.wall.0 + 100_000_000);
    // The first has its turn at once; two wait, and there is no place for a fourth.
    for (key, client) in [(0, 7), (1, 7), (2, 7), (3, 7), (4, 8)] {
        subscriber.subscribe(BEGINNING, key, Wanted { client, ..wanted() }, until);
    }
    let ended = |key| {
        (
            key,
            Event::Ended {
                dialog: 0,
                reason: Reason::Giveup,
                status: Some(503),
                content: None,
                for_good: false,
            },
        )
    };
    assert_eq!(subscriber.poll_event(), Some(ended(3)));
    assert_eq!(subscriber.poll_event(), None);
    // Which is tried again when there may be room.
    let mut peer = Granting { subscriber, now: BEGINNING, asked: Vec::new() };
    peer.serve();
    peer.pass_until(5);
    let waited_ms = peer.asked[4].since(BEGINNING.mono);
    assert!((29_000..32_000).contains(&waited_ms), "{waited_ms}");
    assert!((0..5).all(|key| peer.subscriber.agent.has_room_for(key)));
    assert_eq!(peer.subscriber.saved(peer.now, 3).count(), 1);
}

#[test]
fn s57_ten_thousand_subscriptions_and_their_refreshes_keep_the_pace() {
    let subscriber = subscriber(1, PER_S as u32);
    let mut peer = Granting { subscriber, now: BEGINNING, asked: Vec::new() };
    let until = Wall(BEGINNING.wall.0 + 100_000_000);
    for key in 0..ALL as u32 {
        peer.subscriber.subscribe(peer.now, key, wanted(), until);
    }
    peer.serve();
    peer.pass_until(ALL);
    let created_ms = peer.now.mono.since(BEGINNING.mono);
    assert!((190_000..230_000).contains(&created_ms), "{created_ms}");
    assert_eq!(peer.subscriber.len(), ALL);
    assert!(peer.subscriber.deadlines.len() <= 2 * ALL + 64);

    peer.pass_until(ALL + REFRESHES);
    for (at, from) in peer.asked.iter().enumerate() {
        let in_one_second = peer.asked[at..].iter().take_while(|to| to.since(*from) < 1_000).count();
        assert!(in_one_second <= PER_S, "{in_one_second} at {from:?}");
    }
    // Those of the first hour stand further apart than what they refresh did.
    let refreshing_ms = peer.asked[ALL + REFRESHES - 1].since(peer.asked[ALL]);
    assert!(refreshing_ms > 70_000, "{refreshing_ms}");
}

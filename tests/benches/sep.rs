//! SIP subscriptions over HTTP in virtual time: what 10,000 of them take of a core and of memory, with one change of each
//! in a minute and their refreshes, for an hour. `cargo bench -p offhook-tests --bench sep`
//!
//! The engine alone is timed; the notifier at the other end is not. The run fails if a mark is missed.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use offhook_core::ground::config::{SipListener, SipTransport};
use offhook_core::{Config, Mono};
use offhook_tests::bare::Bare;
use offhook_tests::sip::notifier::Notifier;

const SUBSCRIPTIONS: u64 = 10_000;
/// One change of each subscription takes so long.
const ROUND_S: u64 = 60;
/// Virtual time after all are there: each is refreshed once in it.
const RUN_S: u64 = 3_600;
const PER_SECOND: u32 = 50;
/// The marks: a part of a core, and bytes of each subscription.
const BUSY_MAX: f64 = 0.10;
const BYTES_MAX: u64 = 4_096;

const PEER: &str = "192.0.2.70:5060";

/// An engine and a notifier, with nothing between them.
struct Stage {
    bare: Bare,
    notifier: Notifier,
    peer: SocketAddr,
    /// Time in the engine.
    busy: Duration,
    /// Bytes that the engine holds: what was allocated in it, less what was given back.
    held: i64,
    /// When SUBSCRIBEs were sent in the last second.
    sent: std::collections::VecDeque<u64>,
    most: usize,
}

impl Stage {
    fn new() -> Stage {
        let mut config = Config::default();
        config.sep.served = true;
        config.sep.domain = "example.test".to_owned();
        let address = "192.0.2.1:5060".parse().expect("an address");
        config.sip.listen.push(SipListener { transport: SipTransport::Udp, address, tls: None });
        config.sip.proxy = Some(format!("sip:{PEER}").into());
        config.sip.requests_per_second = PER_SECOND;
        // What streams resume from is no subscription's.
        config.limits.retained_events = 100;
        Stage {
            bare: Bare::with(config),
            notifier: Notifier::new(PEER),
            peer: PEER.parse().expect("an address"),
            busy: Duration::ZERO,
            held: 0,
            sent: Default::default(),
            most: 0,
        }
    }

    fn timed(&mut self, act: impl FnOnce(&mut Bare)) {
        let start = Instant::now();
        let counted = allocation_counter::measure(|| act(&mut self.bare));
        self.busy += start.elapsed();
        self.held += counted.bytes_current;
    }

    /// Carries datagrams until nobody has anything to say.
    fn converse(&mut self) {
        while !self.bare.datagrams.is_empty() {
            let datagrams = std::mem::take(&mut self.bare.datagrams);
            for datagram in &datagrams {
                if datagram.starts_with(b"SUBSCRIBE ") {
                    self.count_request();
                }
                for said in self.notifier.receive(datagram) {
                    let peer = self.peer;
                    self.timed(|bare| bare.datagram(peer, &said));
                }
            }
            self.held += allocation_counter::measure(|| drop(datagrams)).bytes_current;
        }
    }

    fn count_request(&mut self) {
        let now = self.bare.now().0;
        self.sent.push_back(now);
        while self.sent.front().is_some_and(|at| at + 1_000 <= now) {
            self.sent.pop_front();
        }
        self.most = self.most.max(self.sent.len());
    }

    /// Time passes until then, deadline by deadline.
    fn pass_until(&mut self, end: Mono) {
        while self.bare.now() < end {
            let next = self.bare.next_deadline().map_or(end, |next| next.max(self.bare.now()).min(end));
            self.timed(|bare| bare.wait_until(next));
            self.converse();
        }
    }

    fn change(&mut self, n: u64, round: u64) {
        let state = ["trying", "early", "confirmed", "terminated"][(round % 4) as usize];
        let body = dialog_info(n, round, state);
        for said in self.notifier.change(&uri(n), "application/dialog-info+xml", body.as_bytes()) {
            let peer = self.peer;
            self.timed(|bare| bare.datagram(peer, &said));
        }
        self.converse();
    }
}

fn uri(n: u64) -> String {
    format!("sip:user{n}@example.com")
}

fn dialog_info(n: u64, version: u64, state: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{version}\" \
         state=\"full\" entity=\"{uri}\">\n<dialog id=\"as7d900as8{n}\" call-id=\"a84b4c76e66710{n}\" \
         local-tag=\"1928301774\" remote-tag=\"456887766\" direction=\"recipient\">\n<state>{state}</state>\n\
         <local><identity>{uri}</identity><target uri=\"{uri}\"/></local>\n\
         <remote><identity>sip:caller{n}@example.net</identity></remote>\n</dialog>\n</dialog-info>\n",
        uri = uri(n)
    )
}

fn create(bare: &mut Bare, n: u64) {
    let body = format!(
        "<subscribe xmlns=\"http://voip.co.uk/api/sep/2009-06\" event=\"dialog\">\
         <resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list><entry uri=\"{}\"/></list>\
         </resource-lists><expires>2023-11-20T00:00:00Z</expires></subscribe>",
        uri(n)
    );
    let request = format!(
        "POST /v/2009-06/sep HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let id = bare.connect();
    let reply = bare.feed(id, request.as_bytes(), Some(id));
    assert!(reply.starts_with(b"HTTP/1.1 201 "), "{}", String::from_utf8_lossy(&reply));
    bare.hang_up(id);
}

fn main() {
    let mut stage = Stage::new();
    for n in 0..SUBSCRIPTIONS {
        stage.timed(|bare| create(bare, n));
        stage.converse();
    }
    let paced_s = SUBSCRIPTIONS / u64::from(PER_SECOND);
    stage.pass_until(Mono(stage.bare.now().0 + (paced_s + 60) * 1_000));
    for n in 0..SUBSCRIPTIONS {
        stage.change(n, 1);
    }
    stage.pass_until(Mono(stage.bare.now().0 + 60_000));
    assert_eq!(stage.notifier.dialogs() as u64, SUBSCRIPTIONS, "all are subscribed");
    let bytes = stage.held / SUBSCRIPTIONS as i64;
    let (created, asked) = (std::mem::take(&mut stage.busy), stage.notifier.asked);
    println!(
        "created: {:.0} us each, {bytes} bytes each",
        created.as_secs_f64() * 1e6 / SUBSCRIPTIONS as f64
    );

    let start = stage.bare.now().0;
    let mut n = 0;
    for second in 1..=RUN_S {
        stage.pass_until(Mono(start + second * 1_000));
        while n < second * SUBSCRIPTIONS / ROUND_S {
            stage.change(n % SUBSCRIPTIONS, 2 + n / SUBSCRIPTIONS);
            n += 1;
        }
    }
    let busy = stage.busy.as_secs_f64() / RUN_S as f64;
    println!(
        "an hour: {n} changes, {} refreshes, {:.2} % of a core ({:.0} us a change), at most {} requests in a second",
        stage.notifier.asked - asked,
        busy * 100.0,
        stage.busy.as_secs_f64() * 1e6 / n as f64,
        stage.most
    );
    assert!(stage.notifier.refused == 0 && stage.notifier.dialogs() as u64 == SUBSCRIPTIONS);
    assert!(stage.most <= PER_SECOND as usize, "the pace was exceeded");
    assert!(busy < BUSY_MAX && bytes < BYTES_MAX as i64, "a mark was missed");
}

//! Flows and datagrams, with a dialect that says what it gets in words and sends it back.

use std::sync::{Arc, Mutex};

use rustls::RootCertStore;

use super::*;
use crate::dialect::problem::problem;
use crate::dialect::{Asker, Dialect, Verdict};
use crate::event::Event;
use crate::ground::config::{Config, Listener, ListenerTls, Place, Protocol, Tls, TlsBase};
use crate::ground::id::{ListenerId, Seq};
use crate::ground::time::Wall;
use crate::hub::action::{Action, Completion, Share};
use crate::hub::call::{Call, Caller, EMBEDDER, Target};
use crate::hub::conn::Stream;
use crate::hub::flow::{FlowFault, Found};
use crate::log::record::Record;
use crate::wire::Fault;
use crate::wire::http::head::Head;
use crate::wire::http::reply::Reply;
use crate::wire::tls::server::{Serving, certified};

const PEER: &str = "192.0.2.1:5060";

/// What an [`Echo`] has got, and whether it is done after a stop.
#[derive(Debug, Default)]
struct Heard {
    words: Vec<String>,
    flows: Vec<ConnId>,
    is_busy: bool,
}

/// Sends back what comes; a flow that says `bye` is closed.
#[derive(Debug, Default)]
struct Echo(Arc<Mutex<Heard>>);

impl Echo {
    fn hear(&self, words: String) {
        self.0.lock().unwrap().words.push(words);
    }
}

impl Dialect for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }
    fn claims(&self, _: &Hub, _: &str) -> bool {
        false
    }
    fn judge(&mut self, _: &mut Hub, _: Asker, _: &Head<'_>) -> Verdict {
        Verdict::Refuse(problem(404, "no HTTP here"))
    }
    fn serve(&mut self, _: &mut Hub, _: Asker, _: &Head<'_>, _: &[u8]) {}
    fn refusal(&self, _path: &str, fault: Fault) -> Reply {
        problem(fault.status, fault.reason)
    }
    fn publish(&mut self, _: &mut Hub, _: Seq, _: &Record, _: &Arc<Event>) {}
    fn change(&mut self, _: &mut Hub, _: &Record, _: &[u8]) {}
    fn keepalive(&self, _: &Hub, _: &Stream) -> (&'static [u8], u64) {
        (b"", 1_000)
    }
    fn lags(&self, _: &Hub, _: &Conn) -> bool {
        false
    }
    fn stall_ms(&self, _: &Hub) -> u64 {
        1_000
    }
    fn stop(&mut self, _: &mut Hub) {}

    fn datagram(&mut self, hub: &mut Hub, via: u16, from: SocketAddr, bytes: &[u8]) {
        self.hear(format!("{} bytes of {from} by {via}", bytes.len()));
        hub.send(via, from, bytes);
    }
    fn flow_opened(&mut self, _: &mut Hub, flow: ConnId, from: Option<SocketAddr>, secure: bool, key: u32) {
        let from = from.map_or("ours".to_owned(), |from| from.to_string());
        self.hear(format!("opened: {from}, secure: {secure}, key: {key}"));
        self.0.lock().unwrap().flows.push(flow);
    }
    fn flow_received(&mut self, hub: &mut Hub, flow: ConnId, bytes: &[u8]) {
        self.hear(format!("received: {}", String::from_utf8_lossy(bytes)));
        hub.write_flow(flow, bytes);
        if bytes == b"bye" {
            hub.close_flow(flow);
            hub.write_flow(flow, b"too late");
        }
    }
    fn flow_closed(&mut self, _: &mut Hub, _: ConnId, key: u32, _: Option<FlowFault>) {
        self.hear(format!("closed: {key}"));
    }
    fn looked_up(&mut self, _: &mut Hub, key: u64, found: Found) {
        self.hear(format!("found {key}: {found:?}"));
    }
    fn is_drained(&self) -> bool {
        !self.0.lock().unwrap().is_busy
    }
}

/// An engine with an [`Echo`], whose second listener is the echo's.
struct Side {
    engine: Engine,
    place: u8,
    heard: Arc<Mutex<Heard>>,
    now: Now,
    /// Actions that are no writes.
    actions: Vec<Action>,
}

impl Side {
    fn new(config: Config, tls: Option<ListenerTls>) -> Side {
        let raw = Listener { protocol: Protocol::Sip, tls, ..Listener::default() };
        let config = Config { listeners: vec![Listener::default(), raw], ..config };
        let mut engine = Engine::new(config, Place::default(), 1);
        let echo = Echo::default();
        let (place, heard) = (engine.dialects.len() as u8, Arc::clone(&echo.0));
        engine.dialects.push(Box::new(echo));
        engine.hub.names.push("echo");
        engine.sip = Some(place);
        let wall = Wall::from_rfc3339("2020-01-01T00:00:00Z").unwrap();
        Side { engine, place, heard, now: Now { mono: Mono(1_000), wall }, actions: Vec::new() }
    }

    fn plain() -> Side {
        Side::new(Config::default(), None)
    }

    fn accept(&mut self) -> Option<ConnId> {
        self.engine.accept(self.now, ListenerId(1), PEER.parse().unwrap())
    }

    fn dial(&mut self, key: u32) -> Result<ConnId, Box<str>> {
        self.engine.hub.set_now(self.now);
        self.engine.hub.dial_flow(self.place, key, PEER.parse().unwrap(), None)
    }

    fn receive(&mut self, id: ConnId, bytes: &[u8]) {
        self.engine.receive(self.now, id, bytes);
    }

    fn pass(&mut self, ms: u64) {
        self.now.mono = self.now.mono.plus_ms(ms);
        self.engine.handle_timeout(self.now);
    }

    fn words(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap().words)
    }

    /// What goes out on `id` until nothing more does, by a socket that takes `room` bytes.
    fn written(&mut self, id: ConnId, mut room: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(action) = self.engine.poll_action() {
            if !matches!(action, Action::Flush(flushed) if flushed == id) {
                self.actions.push(action);
                continue;
            }
            while let Some(out) = self.engine.outbound(id) {
                let lent: Vec<u8> = out.slices().iter().flat_map(|slice| slice.to_vec()).collect();
                let taken = &lent[..room.min(lent.len())];
                all.extend_from_slice(taken);
                room -= taken.len();
                let full = taken.len() < lent.len();
                if !self.engine.advance(self.now, id, taken.len()) || full {
                    break;
                }
            }
        }
        all
    }

    fn ended(&mut self, id: ConnId) -> bool {
        self.written(id, 0);
        self.actions.iter().any(|action| matches!(action, Action::Close(closed) if *closed == id))
    }
}

#[test]
fn a_datagram_goes_to_the_dialect_and_back() {
    let mut side = Side::plain();
    side.engine.receive_datagram(side.now, 3, PEER.parse().unwrap(), b"hello");
    assert_eq!(side.words(), ["5 bytes of 192.0.2.1:5060 by 3"]);
    let sent = side.engine.poll_action();
    assert!(
        matches!(&sent, Some(Action::Send { via: 3, to, bytes }) if to.to_string() == PEER && **bytes == *b"hello"),
        "{sent:?}"
    );
    side.engine.datagram_dropped();
    let stats = side.engine.stats();
    assert_eq!((stats.datagrams_received, stats.datagrams_sent, stats.datagrams_dropped), (1, 1, 1));
}

#[test]
fn an_accepted_flow_lives_and_ends() {
    let mut side = Side::plain();
    let id = side.accept().unwrap();
    side.receive(id, b"hello");
    assert_eq!(side.words(), ["opened: 192.0.2.1:5060, secure: false, key: 0", "received: hello"]);
    assert_eq!(side.written(id, 99), b"hello");
    assert_eq!(side.engine.stats().connections_open, 1);
    // What it is still owed leaves before it ends.
    side.receive(id, b"last");
    side.engine.receive_eof(side.now, id);
    assert_eq!(side.words(), ["received: last"]);
    assert_eq!(side.written(id, 99), b"last");
    assert!(side.ended(id));
    assert_eq!(side.words(), ["closed: 0"]);
    // One that breaks.
    let id = side.accept().unwrap();
    side.engine.receive_error(side.now, id);
    assert!(side.ended(id) && side.words().last().unwrap() == "closed: 0");
    assert_eq!(side.engine.stats().connections_open, 0);
}

#[test]
fn the_dialect_closes_after_what_waits() {
    let mut side = Side::plain();
    let id = side.accept().unwrap();
    side.receive(id, b"bye");
    assert_eq!(side.written(id, 1), b"b", "a full socket");
    side.engine.writable(side.now, id);
    assert_eq!(side.written(id, 99), b"ye");
    assert!(side.actions.iter().any(|action| matches!(action, Action::Finish(finished) if *finished == id)));
    assert_eq!(side.words()[1..], ["received: bye", "closed: 0"]);
    // What the peer says by now interests nobody.
    side.receive(id, b"more");
    side.engine.receive_eof(side.now, id);
    assert!(side.ended(id) && side.words().is_empty());
}

#[test]
fn a_peer_that_takes_nothing_is_cut() {
    let mut config = Config::default();
    config.limits.sip_unsent_bytes = 10;
    let mut side = Side::new(config, None);
    let id = side.accept().unwrap();
    side.receive(id, b"12345");
    side.receive(id, b"67890");
    assert!(!side.ended(id));
    side.receive(id, b"!");
    assert!(side.ended(id) && side.words().last().unwrap() == "closed: 0");
    // Few bytes, for too long.
    let id = side.accept().unwrap();
    side.receive(id, b"1");
    assert_eq!(side.written(id, 0), b"");
    side.pass(side.engine.hub.config.limits.write_stall_ms);
    assert!(side.ended(id) && side.words().last().unwrap() == "closed: 0");
}

#[test]
fn there_is_no_room_for_a_refusal() {
    for (connections, per_address) in [(1, 0), (9, 1)] {
        let mut config = Config::default();
        (config.limits.connections, config.limits.connections_per_address) = (connections, per_address);
        let mut side = Side::new(config, None);
        assert!(side.accept().is_some() && side.accept().is_none());
        assert_eq!(side.engine.stats().connections_open, 1);
    }
}

#[test]
fn a_flow_of_our_own_is_dialed() {
    let mut side = Side::plain();
    let id = side.dial(7).unwrap();
    assert_eq!(side.written(id, 0), b"");
    assert!(matches!(side.actions[..], [Action::Dial(dialed, to)] if dialed == id && to.to_string() == PEER));
    assert!(side.words().is_empty());
    // What is written before it is open waits.
    side.engine.hub.write_flow(id, b"first");
    assert_eq!(side.written(id, 99), b"");
    side.engine.complete(side.now, Completion::Dialed(id, Ok(())));
    assert_eq!(side.words(), ["opened: ours, secure: false, key: 7"]);
    assert_eq!(side.written(id, 99), b"first");
    side.receive(id, b"hello");
    assert_eq!(side.written(id, 99), b"hello");
    let stats = side.engine.stats();
    assert_eq!((stats.connections_open, stats.call_connections_open), (0, 1));
    side.engine.receive_eof(side.now, id);
    assert!(side.ended(id) && side.words()[1..] == ["closed: 7"]);
    assert_eq!(side.engine.stats().call_connections_open, 0);
}

#[test]
fn a_dial_that_fails_is_told() {
    let mut config = Config::default();
    config.limits.sip_flows = 1;
    let mut side = Side::new(config, None);
    let id = side.dial(1).unwrap();
    assert_eq!(&*side.dial(2).unwrap_err(), "there is no room for another connection");
    side.engine.complete(side.now, Completion::Dialed(id, Err("refused".into())));
    assert!(side.ended(id) && side.words() == ["closed: 1"]);
    let id = side.dial(3).unwrap();
    side.pass(4_999);
    assert!(!side.ended(id));
    side.pass(1);
    assert!(side.ended(id) && side.words() == ["closed: 3"]);
    // One that nobody wants any more.
    let id = side.dial(4).unwrap();
    side.engine.hub.close_flow(id);
    side.engine.settle();
    side.engine.complete(side.now, Completion::Dialed(id, Ok(())));
    assert!(side.ended(id) && side.words() == ["closed: 4"]);
    assert_eq!(side.engine.hub.calls.flows(), 0);
}

/// What a dialect bounds itself takes no room from the others.
#[test]
fn a_flow_that_is_not_counted_takes_no_room() {
    let mut config = Config::default();
    config.limits.sip_flows = 1;
    let mut side = Side::new(config, None);
    let place = side.place;
    let apart = side.engine.hub.connect_flow(place, 1, PEER.parse().unwrap(), None, 1_000).unwrap();
    let counted = side.dial(2).unwrap();
    side.engine.complete(side.now, Completion::Dialed(apart, Err("refused".into())));
    assert!(side.ended(apart));
    assert_eq!((side.engine.hub.calls.flows(), side.engine.hub.calls.open()), (1, 1));
    assert!(side.dial(3).is_err());
    side.engine.complete(side.now, Completion::Dialed(counted, Err("refused".into())));
    assert!(side.ended(counted));
    assert_eq!((side.engine.hub.calls.flows(), side.engine.hub.calls.open()), (0, 0));
}

#[test]
fn a_name_is_looked_up_once_for_all() {
    let mut side = Side::plain();
    for (key, host) in [(1, "192.0.2.7"), (2, "pbx.example"), (3, "pbx.example"), (4, "2001:db8::1")] {
        side.engine.hub.lookup(side.place, key, host);
    }
    side.engine.handle_timeout(side.now);
    let asked: Vec<Action> = std::iter::from_fn(|| side.engine.poll_action()).collect();
    let [Action::Resolve(ticket, name, Share::Dialects)] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(&**name, "pbx.example");
    side.engine.complete(side.now, Completion::Resolved(*ticket, Err("no such name".into())));
    assert_eq!(
        side.words(),
        [
            "found 1: Ok([192.0.2.7])",
            "found 4: Ok([2001:db8::1])",
            "found 2: Err(\"no such name\")",
            "found 3: Err(\"no such name\")"
        ]
    );
}

#[test]
fn names_of_calls_and_of_dialects_have_places_of_their_own() {
    let mut config = Config::default();
    (config.limits.calls, config.limits.sip_lookups) = (1, 2);
    let mut side = Side::new(config, None);
    let target = Arc::new(Target { host: "a.example".into(), port: 80, tls: None, trusted: true });
    side.engine.hub.call(Call {
        target,
        request: b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        connect_ms: 5_000,
        first_byte_ms: 0,
        total_ms: 5_000,
        content_max: 0,
        caller: Caller { dialect: EMBEDDER, key: 1 },
    });
    for (key, host) in [(1, "a.example"), (2, "b.example"), (3, "c.example"), (4, "b.example")] {
        side.engine.hub.lookup(side.place, key, host);
    }
    side.engine.handle_timeout(side.now);
    let asked = |side: &mut Side| -> Vec<(u64, Box<str>, Share)> {
        let actions = std::iter::from_fn(|| side.engine.poll_action());
        let resolve = |action| {
            let Action::Resolve(ticket, name, share) = action else { return None };
            Some((ticket, name, share))
        };
        actions.filter_map(resolve).collect()
    };
    let all = asked(&mut side);
    let shares: Vec<_> = all.iter().map(|(_, name, share)| (&**name, *share)).collect();
    let expected =
        [("a.example", Share::Calls), ("a.example", Share::Dialects), ("b.example", Share::Dialects)];
    assert_eq!(shares, expected);
    // What is answered makes room.
    side.engine.complete(side.now, Completion::Resolved(all[2].0, Ok(Vec::new())));
    let no_room = "found 3: Err(\"too many names are being resolved\")";
    assert_eq!(side.words(), [no_room, "found 2: Ok([])", "found 4: Ok([])"]);
    side.engine.hub.lookup(side.place, 5, "c.example");
    side.engine.handle_timeout(side.now);
    assert_eq!(asked(&mut side).len(), 1);
}

#[test]
fn a_stop_waits_for_the_dialect() {
    for finishes in [true, false] {
        let mut side = Side::plain();
        let id = side.accept().unwrap();
        side.heard.lock().unwrap().is_busy = true;
        side.engine.complete(side.now, Completion::Stop);
        assert!(!side.ended(id) && !side.engine.is_drained());
        if finishes {
            side.heard.lock().unwrap().is_busy = false;
            side.pass(1_000);
            side.receive(id, b"");
            assert!(!side.engine.is_drained());
            side.written(id, 0);
            side.engine.receive_eof(side.now, id);
        } else {
            side.pass(side.engine.hub.config.limits.shutdown_ms);
        }
        assert!(side.ended(id) && side.engine.is_drained(), "{finishes}");
    }
}

/// A listener's TLS, and what trusts it.
fn sealed() -> (ListenerTls, Config, Tls) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let signed = rcgen::generate_simple_self_signed(["sip.example".to_owned()]).unwrap();
    let pem = signed.cert.pem();
    let certificate = certified(&pem, &signed.signing_key.serialize_pem(), &provider).unwrap();
    let serving = Serving {
        certificates: vec![certificate],
        clients: None,
        only_tls13: false,
        tickets: None,
        sessions: 1,
    };
    let listener = serving.ready(&provider).unwrap().without_alpn();
    let tls = TlsBase { provider, roots: Arc::new(RootCertStore::empty()) };
    let config = Config { tls: Some(tls), ..Config::default() };
    (listener, config, Tls { ca: Some(pem.into()), only_ca: true, ..Tls::default() })
}

/// Moves bytes between two engines until there are none.
fn talk(ours: &mut Side, id: ConnId, theirs: &mut Side, other: ConnId) {
    loop {
        let (there, here) = (ours.written(id, usize::MAX), theirs.written(other, usize::MAX));
        if there.is_empty() && here.is_empty() {
            return;
        }
        for (side, id, bytes) in [(&mut *theirs, other, there), (&mut *ours, id, here)] {
            if !bytes.is_empty() {
                side.receive(id, &bytes);
            }
        }
    }
}

#[test]
fn tls_of_both_sides() {
    let (listener, config, tls) = sealed();
    for (name, agrees) in [("sip.example", true), ("other.example", false)] {
        let mut ours = Side::new(config.clone(), None);
        let mut theirs = Side::new(config.clone(), Some(listener.clone()));
        let other = theirs.accept().unwrap();
        ours.engine.hub.set_now(ours.now);
        let compiled = ours.engine.hub.flow_tls(&tls).unwrap();
        let id =
            ours.engine.hub.dial_flow(ours.place, 5, PEER.parse().unwrap(), Some((&compiled, name))).unwrap();
        ours.written(id, 0);
        ours.engine.complete(ours.now, Completion::Dialed(id, Ok(())));
        talk(&mut ours, id, &mut theirs, other);
        if !agrees {
            assert_eq!((ours.words(), theirs.words()), (vec!["closed: 5".to_owned()], vec![]));
            assert!(theirs.ended(other));
            continue;
        }
        assert_eq!(ours.words(), ["opened: ours, secure: true, key: 5"]);
        assert_eq!(theirs.words(), ["opened: 192.0.2.1:5060, secure: true, key: 0"]);
        assert_eq!((theirs.engine.stats().tls_handshakes, ours.engine.stats().tls_handshakes), (1, 0));
        // The echo of the echo would never end.
        ours.engine.hub.write_flow(id, b"bye");
        talk(&mut ours, id, &mut theirs, other);
        assert_eq!(theirs.words(), ["received: bye", "closed: 0"]);
        assert_eq!(ours.words()[..1], ["received: bye"]);
        assert!(ours.words().is_empty() || ours.ended(id));
    }
}

/// Plain SIP to a port with TLS is no request of HTTP, and gets no answer of HTTP.
#[test]
fn plain_words_to_tls_are_refused_by_tls() {
    let (listener, config, _) = sealed();
    let mut side = Side::new(config, Some(listener));
    let id = side.accept().unwrap();
    side.receive(id, b"OPTIONS sip:a@sip.example SIP/2.0\r\n\r\n");
    let answer = side.written(id, 99);
    assert_eq!(answer.first(), Some(&21), "an alert: {answer:?}");
    assert!(side.words().is_empty());
    // And one that never begins.
    let id = side.accept().unwrap();
    side.pass(side.engine.hub.config.limits.tls_handshake_ms);
    assert!(side.ended(id) && side.words().is_empty());
}

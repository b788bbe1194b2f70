//! What concerns the doorway alone; conversations are in the package of the tests.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::*;
use crate::ground::config::{Listener, ListenerTls};
use crate::ground::time::Wall;
use crate::log::record::{Actor, Body, Header, Origin, VERSION};
use crate::wire::tls::WallClock;
use crate::wire::tls::server::{Serving, certified};

#[test]
fn an_idle_connection_is_closed_once() {
    let mut engine = Engine::new(Config::default(), Place::default(), 1);
    let id = engine.accept(Now::default(), ListenerId(0), "127.0.0.1:1".parse().unwrap()).unwrap();
    let due = engine.poll_timeout().expect("a silent connection has a deadline");
    // A connection that is closing must not arm the deadline that has passed again: this would never return.
    engine.handle_timeout(Now { mono: due, wall: Wall(due.0) });
    assert!(matches!(engine.poll_action(), Some(Action::Close(closed)) if closed == id));
    assert!(engine.poll_action().is_none() && engine.poll_timeout().is_none());
}

/// Takes all that is lent, and gives the actions that are no writes.
fn drain(engine: &mut Engine) -> Vec<Action> {
    let mut others = Vec::new();
    while let Some(action) = engine.poll_action() {
        let Action::Flush(id) = action else {
            others.push(action);
            continue;
        };
        while let Some(lent) = engine.outbound(id).map(|out| out.len()) {
            engine.advance(Now::default(), id, lent);
        }
    }
    others
}

#[test]
fn a_stream_of_http_1_0_ends_at_once() {
    let mut engine = Engine::new(Config::default(), Place::default(), 1);
    let id = engine.accept(Now::default(), ListenerId(0), "127.0.0.1:1".parse().unwrap()).unwrap();
    engine.receive(Now::default(), id, b"GET /v1/events HTTP/1.0\r\n\r\n");
    assert!(drain(&mut engine).is_empty());
    engine.complete(Now::default(), Completion::Stop);
    let ended = drain(&mut engine);
    assert!(matches!(ended[..], [Action::Finish(finished)] if finished == id), "{ended:?}");
}

/// What a start leads to comes before the log's wish to let old records go: only then it is known what is live.
#[test]
fn live_state_is_said_again_only_when_the_start_is_over() {
    let mut engine = Engine::new(Config::default(), Place { keeps_log: true, ..Place::default() }, 1);
    let retire = Record {
        header: Header {
            version: VERSION,
            wall: Wall(0),
            actor: Actor::Server("log"),
            trace: None,
            kept: false,
        },
        origin: Origin::default(),
        body: Body::Retire { through: Seq(7) },
    };
    engine.receive_record(Now::default(), Seq(9), &Arc::new(retire));
    assert!(drain(&mut engine).is_empty());
    engine.complete(Now::default(), Completion::Recovered);
    let said = drain(&mut engine);
    let [Action::Append(records)] = &said[..] else { panic!("{said:?}") };
    let last = records.last().map(|record| &record.body);
    assert!(matches!(last, Some(Body::Retired { through: Seq(7), .. })), "{records:?}");
}

/// A record that was appended while the log had room, and comes back when it has none, is refused like all that waits.
#[test]
fn what_comes_back_to_a_full_log_is_refused() {
    let place = Place { keeps_log: true, ..Place::default() };
    let mut engine = Engine::new(Config::default(), place, 1);
    let id = engine.accept(Now::default(), ListenerId(0), "127.0.0.1:1".parse().unwrap()).unwrap();
    engine.receive(
        Now::default(),
        id,
        b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 23\r\n\r\n\
          {\"type\":\"call.ringing\"}",
    );
    let Some(Action::Append(records)) = engine.poll_action() else { panic!("an event is appended") };
    engine.complete(Now::default(), Completion::Full(true));
    for (record, seq) in records.into_iter().zip(1..) {
        engine.receive_record(Now::default(), Seq(seq), &Arc::new(record));
    }
    let said = engine.outbound(id).expect("nobody waits for room without a word");
    assert!(said.slices()[0].starts_with(b"HTTP/1.1 503 "));
}

/// A client with TLS, and the engine that it talks to.
struct Sealed {
    engine: Engine,
    id: ConnId,
    conn: ClientConnection,
    /// What came, in plain.
    plain: Vec<u8>,
    /// The engine said that it sends nothing more.
    is_ended: bool,
    /// What the engine asked for but for writes.
    others: Vec<Action>,
}

impl Sealed {
    /// After the handshake.
    fn new(tls: &ListenerTls, client: &ClientConfig) -> Sealed {
        let listener = Listener { tls: Some(tls.clone()), ..Listener::default() };
        let config = Config { listeners: vec![listener], ..Config::default() };
        let mut engine = Engine::new(config, Place::default(), 1);
        let id = engine.accept(Now::default(), ListenerId(0), "127.0.0.1:1".parse().unwrap()).unwrap();
        let conn = ClientConnection::new(Arc::new(client.clone()), "h.example".try_into().unwrap()).unwrap();
        let mut sealed = Sealed { engine, id, conn, plain: Vec::new(), is_ended: false, others: Vec::new() };
        sealed.talk();
        assert!(!sealed.conn.is_handshaking());
        sealed
    }

    fn leave_records(&mut self, left: u64) {
        let conn = self.engine.hub.conns.get_mut(self.id).unwrap();
        conn.tls_mut().unwrap().leave_records(left);
    }

    fn ask(&mut self, request: &str) {
        self.conn.writer().write_all(request.as_bytes()).unwrap();
        self.talk();
    }

    /// A heartbeat of SSE falls due.
    fn heartbeat(&mut self, at: u64) {
        self.engine.handle_timeout(Now { mono: Mono(at), wall: Wall(at) });
        self.talk();
    }

    /// Moves bytes both ways until there are none.
    fn talk(&mut self) {
        loop {
            let (mut sent, mut came) = (Vec::new(), Vec::new());
            while self.conn.wants_write() {
                self.conn.write_tls(&mut sent).unwrap();
            }
            if !sent.is_empty() {
                self.engine.receive(self.engine.hub.now, self.id, &sent);
            }
            while let Some(action) = self.engine.poll_action() {
                let Action::Flush(id) = action else {
                    self.others.push(action);
                    continue;
                };
                while let Some(out) = self.engine.outbound(id) {
                    let before = came.len();
                    out.slices().iter().for_each(|slice| came.extend_from_slice(slice));
                    let taken = came.len() - before;
                    self.engine.advance(self.engine.hub.now, id, taken);
                }
            }
            let mut from = &came[..];
            while !from.is_empty() {
                self.conn.read_tls(&mut from).unwrap();
                self.is_ended |= self.conn.process_new_packets().unwrap().peer_has_closed();
                // It ends with the error that there is no more so far.
                let _ = self.conn.reader().read_to_end(&mut self.plain);
            }
            if sent.is_empty() && came.is_empty() {
                return;
            }
        }
    }
}

/// What is taken is sent: a connection of TLS 1.2, whose keys cannot be renewed, ends before they are spent.
#[test]
fn keys_of_tls_1_2_are_not_overused() {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let signed = rcgen::generate_simple_self_signed(["h.example".to_owned()]).unwrap();
    let certificate = certified(&signed.cert.pem(), &signed.signing_key.serialize_pem(), &provider).unwrap();
    let serving = Serving {
        certificates: vec![certificate],
        clients: None,
        only_tls13: false,
        tickets: None,
        sessions: 1,
    };
    let tls = serving.ready(&provider).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(signed.cert.der().clone()).unwrap();
    let clock = WallClock::default();
    clock.set(Wall::from_rfc3339("2020-01-01T00:00:00Z").unwrap());
    for (version, ends) in [(&rustls::version::TLS12, true), (&rustls::version::TLS13, false)] {
        let client = ClientConfig::builder_with_details(Arc::clone(&provider), Arc::new(clock.clone()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        // A stream: one more record goes out, the next one ends it.
        let mut stream = Sealed::new(&tls, &client);
        stream.ask("GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.leave_records(1);
        let mut seen = stream.plain.len();
        assert!(seen > 0);
        for (at, goes_out) in [(15_000, true), (30_000, !ends)] {
            stream.heartbeat(at);
            assert_eq!(
                (stream.plain.len() > seen, stream.is_ended),
                (goes_out, !goes_out),
                "{version:?} {at}"
            );
            seen = stream.plain.len();
        }
        assert_eq!(stream.others.iter().any(|other| matches!(other, Action::Close(_))), ends);
        let is_told =
            |other: &Action| matches!(other, Action::Note(note) if note.text.starts_with("TLS 1.2 with"));
        assert_eq!(stream.others.iter().any(is_told), ends);
        // A reply.
        let mut http = Sealed::new(&tls, &client);
        http.leave_records(0);
        http.ask("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!((http.plain.is_empty(), http.is_ended), (ends, ends), "{version:?}");
        assert_eq!(http.others.iter().any(|other| matches!(other, Action::Close(_))), ends);
    }
}

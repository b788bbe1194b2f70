//! TLS of listeners. The client is rustls as well, in memory, with certificates that live as long as a test.

use std::io::Write as _;
use std::sync::Arc;

use offhook_core::ground::config::Listener;
use offhook_core::hub::action::Level;
use offhook_core::wire::tls::layer::RECORD_BYTES;
use offhook_core::wire::tls::server::{certified, judge_of_clients};
use offhook_core::{Completion, Config};
use offhook_tests::memory::World;
use offhook_tests::memory::read::{chunks, server_sent, take_head, take_reply};
use offhook_tests::memory::write::{get, publish, request};
use proptest::prelude::*;
use rustls::client::Resumption;
use rustls::{ClientConnection, HandshakeKind};

use crate::certificates::{Authority, der};
use crate::common::{COLLECTION, EVERYTHING, document, instance, notes, ringing, ringing_xml};
use crate::tls_client::{Client, Serves, TLS12, TLS13, connected, lines, ours, shake, trusting};

/// What a sealed record has beside its content, at most (RFC 8446 section 5.2, RFC 5246 section 6.2.3).
const RECORD_MORE: usize = 40;

fn events(count: u32) -> Vec<String> {
    (0..count).map(|n| ringing(&n.to_string())).collect()
}

fn subjects(stream: &[u8]) -> Vec<String> {
    let content = chunks(stream).content();
    let subject = |data: String| {
        let event: serde_json::Value = serde_json::from_str(&data).expect("JSON");
        event["subject"].as_str().expect("a subject").to_owned()
    };
    server_sent(&content).into_iter().filter_map(|event| event.data).map(subject).collect()
}

/// Requests, replies and streams, with both versions, however the bytes come.
#[test]
fn https_is_http() {
    let (authority, signed) = ours();
    for version in [TLS12, TLS13] {
        for piece in [1, 7, usize::MAX] {
            let mut world = Serves::with(&[&signed]).world();
            let mut client =
                Client::new(&mut world, &Arc::new(trusting(&authority, None, version)), "h.example");
            client.piece = piece;
            client.talk(&mut world).expect("a handshake");
            assert_eq!(client.conn.protocol_version(), Some(version.version));
            assert_eq!(client.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
            let reply = client.ask(&mut world, publish(r#"{"type":"call.ringing","subject":"call/1"}"#));
            assert_eq!(reply.status, 202, "{}", reply.text());
            let mut stream =
                Client::new(&mut world, &Arc::new(trusting(&authority, None, version)), "h.example");
            // A request that comes with the handshake's last flight.
            stream.conn.writer().write_all(&get("/v1/events")).expect("memory");
            stream.talk(&mut world).expect("a handshake");
            assert_eq!(take_head(&mut stream.plain).expect("a head").status, 200);
            assert_eq!(client.ask(&mut world, publish(ringing("2"))).status, 202);
            stream.talk(&mut world).expect("records");
            assert_eq!(subjects(&stream.plain), ["call/2"]);
            assert_eq!(world.stats().tls_handshakes, 2);
            assert_eq!(world.stats().tls_failures, 0);
        }
    }
}

/// What a server says of itself begins with https.
#[test]
fn locations_are_https() {
    let (authority, signed) = ours();
    let mut world = Serves::with(&[&signed]).world();
    let (mut client, _) = shake(&mut world, trusting(&authority, None, TLS13), "h.example");
    let post = request("POST", COLLECTION, "Content-Type: application/xml\r\n", document(EVERYTHING));
    let reply = client.ask(&mut world, post);
    let location = reply.field("location").expect("a location");
    assert!(location.starts_with("https://localhost/default/eventhandlers/"), "{location}");
}

/// A burst leaves in records of at most 16 KiB, one a write, and an idle connection holds none.
#[test]
fn a_burst_coalesces() {
    let (authority, signed) = ours();
    let mut world = Serves::with(&[&signed]).world();
    let (mut client, _) = shake(&mut world, trusting(&authority, None, TLS13), "h.example");
    client.open(&mut world, get("/v1/events"));
    world.take_writes(client.peer);
    let publisher = connected(&mut world, &authority);
    let mut publisher = publisher;
    publisher.ask(&mut world, publish(format!("[{}]", events(200).join(","))));
    let writes = world.take_writes(client.peer);
    client.talk(&mut world).expect("records");
    let total = client.plain.len();
    assert_eq!(subjects(&client.plain), (0..200).map(|n| format!("call/{n}")).collect::<Vec<_>>());
    assert!(writes.iter().all(|write| *write <= RECORD_BYTES + RECORD_MORE), "{writes:?}");
    assert_eq!(writes.len(), total.div_ceil(RECORD_BYTES), "{writes:?} for {total} bytes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// However little the socket takes at a time, a stream is what it would be, with nothing between the halves of a frame.
    #[test]
    fn a_slow_reader_gets_every_byte_in_order(
        steps in prop::collection::vec((0..4000_usize, 0..3_u32, any::<bool>()), 1..30),
        only_one in any::<bool>(),
    ) {
        let (authority, signed) = ours();
        let mut config = Serves::with(&[&signed]).config();
        config.xms.apps[0].one_write_per_event = only_one;
        let mut world = World::with(config, 1);
        let mut publisher = connected(&mut world, &authority);
        let mut native = connected(&mut world, &authority);
        native.open(&mut world, get("/v1/events"));
        let post = request("POST", COLLECTION, "Content-Type: application/xml\r\n", document(EVERYTHING));
        let reply = publisher.ask(&mut world, post);
        let id = crate::common::identifier(&reply);
        let mut xms = connected(&mut world, &authority);
        xms.open(&mut world, get(&instance(&id)));
        for client in [&native, &xms] {
            world.limit_room(client.peer, 0);
        }
        let mut published = 0;
        for (room, count, waits) in steps {
            for _ in 0..count {
                let reply = publisher.ask(&mut world, publish(ringing(&published.to_string())));
                prop_assert_eq!(reply.status, 202);
                published += 1;
            }
            if waits {
                // Keepalives and heartbeats fall due meanwhile.
                world.pass(5_000);
            }
            world.give_room(native.peer, room);
            world.give_room(xms.peer, room / 2);
        }
        world.lift_limit(native.peer);
        world.lift_limit(xms.peer);
        native.talk(&mut world).expect("records");
        xms.talk(&mut world).expect("records");
        prop_assert_eq!(subjects(&native.plain), (0..published).map(|n| format!("call/{n}")).collect::<Vec<_>>());
        let events = offhook_tests::memory::read::xms_events(&chunks(&xms.plain).content());
        let calls: Vec<String> = events.into_iter().filter(|event| !event.contains("\"keepalive\"")).collect();
        prop_assert_eq!(calls, (0..published).map(|n| ringing_xml(&n.to_string())).collect::<Vec<_>>());
    }
}

/// A peer cannot read a part of a record: what stands in one that was not sent whole waits for the next stream.
#[test]
fn what_a_cut_record_held_is_replayed() {
    let (authority, signed) = ours();
    let mut world = Serves::with(&[&signed]).world();
    let mut publisher = connected(&mut world, &authority);
    let post = request("POST", COLLECTION, "Content-Type: application/xml\r\n", document(EVERYTHING));
    let id = crate::common::identifier(&publisher.ask(&mut world, post));
    let mut stream = connected(&mut world, &authority);
    stream.open(&mut world, get(&instance(&id)));
    publisher.ask(&mut world, publish(ringing("0")));
    stream.talk(&mut world).expect("records");
    // Of the next record all but the last byte is sent.
    world.limit_room(stream.peer, 200);
    publisher.ask(&mut world, publish(format!("[{}]", [ringing("1"), ringing("2")].join(","))));
    stream.talk(&mut world).expect("half a record is no fault");
    let events = offhook_tests::memory::read::xms_events(&chunks(&stream.plain).content());
    assert_eq!(events.last(), Some(&ringing_xml("0")));
    world.break_off(stream.peer);
    let mut again = connected(&mut world, &authority);
    again.open(&mut world, get(&instance(&id)));
    let events = offhook_tests::memory::read::xms_events(&chunks(&again.plain).content());
    assert_eq!(events[1..], [ringing_xml("1"), ringing_xml("2")]);
}

/// A peer that lets its socket run full, and breaks TLS as it reads on: the rest of the record that was begun still goes
/// out, and counts for nothing any more.
#[test]
fn tls_fails_when_half_a_record_is_sent() {
    let (authority, signed) = ours();
    let mut world = Serves::with(&[&signed]).world();
    let mut publisher = connected(&mut world, &authority);
    let mut stream = connected(&mut world, &authority);
    stream.open(&mut world, get("/v1/events"));
    world.limit_room(stream.peer, 200);
    publisher.ask(&mut world, publish(format!("[{}]", [ringing("1"), ringing("2")].join(","))));
    stream.talk(&mut world).expect("half a record is no fault");
    // One turn sees both: there is room, and what came is no record of this session.
    world.queue(stream.peer, [&[23, 3, 3, 0, 32][..], &[0; 32]].concat());
    world.lift_limit(stream.peer);
    // Its peer could read up to the alert that comes behind.
    let said = stream.talk(&mut world);
    assert!(matches!(said, Err(rustls::Error::AlertReceived(_))), "{said:?}");
    world.pass(5_000);
    assert!(world.is_closed(stream.peer));
    assert_eq!(publisher.ask(&mut world, get("/healthz")).status, 200);
}

/// The certificate that has the name, else the first.
#[test]
fn names() {
    let ours = Authority::new("ours");
    let (first, second) = (ours.sign("h.example", (2010, 2030)), ours.sign("*.other.example", (2010, 2030)));
    for (name, offered) in [
        ("h.example", Some(&first)),
        ("www.other.example", Some(&second)),
        ("other.example", None),
        ("192.0.2.1", None),
    ] {
        let mut world = Serves::with(&[&first, &second]).world();
        let (client, outcome) = shake(&mut world, trusting(&ours, None, TLS13), name);
        match offered {
            Some(signed) => {
                outcome.expect("a handshake");
                assert_eq!(client.conn.peer_certificates().expect("a chain")[0], der(&signed.cert));
            }
            None => {
                assert!(outcome.expect_err("a wrong name").to_string().contains("h.example"), "{name}");
                assert!(lines(&mut world).contains("TLS with 127.0.0.1 failed: received fatal alert"));
            }
        }
    }
}

#[test]
fn client_certificates() {
    let (authority, signed) = ours();
    let theirs = Authority::new("theirs");
    let (client, stranger) = (theirs.sign("me", (2010, 2060)), authority.sign("me", (2010, 2060)));
    let expired = theirs.sign("me", (2010, 2014));
    for version in [TLS12, TLS13] {
        for (own, is_optional, fault) in [
            (Some(&client), false, None),
            (Some(&client), true, None),
            (None, true, None),
            (None, false, Some("peer sent no certificates")),
            (Some(&stranger), false, Some("UnknownIssuer")),
            (Some(&stranger), true, Some("UnknownIssuer")),
            (Some(&expired), false, Some("xpired")),
        ] {
            let certificates = [&signed];
            let serves = Serves { clients_of: Some((&theirs, is_optional)), ..Serves::with(&certificates) };
            let mut world = serves.world();
            let (mut client, outcome) = shake(&mut world, trusting(&authority, own, version), "h.example");
            match fault {
                None => {
                    outcome.expect("a handshake");
                    assert_eq!(client.ask(&mut world, get("/healthz")).status, 200);
                }
                Some(part) => {
                    assert!(outcome.expect_err("an alert").to_string().contains("alert"));
                    let notes = lines(&mut world);
                    assert!(notes.contains(part), "{notes}");
                    assert!(world.is_ended(client.peer), "nothing is served");
                    assert_eq!(world.stats().tls_failures, 1);
                }
            }
        }
    }
}

/// A ClientHello of TLS 1.1, as OpenSSL writes it, and TLS 1.2 where 1.3 is the least.
#[test]
fn the_least_version() {
    let (authority, signed) = ours();
    let mut world = Serves::with(&[&signed]).world();
    let peer = world.connect();
    let mut hello = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x02".to_vec();
    hello.extend([7; 32]); // Random.
    hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0, 0, 0]); // No session, one cipher suite, no compression, no extensions.
    assert_eq!(hello.len(), 5 + 0x2f);
    world.send(peer, hello);
    // RFC 5246 section 7.2: a fatal alert.
    assert!(world.take(peer).starts_with(b"\x15\x03\x03\x00\x02\x02"));
    assert!(world.is_finished(peer));
    let said = lines(&mut world);
    assert!(said.contains("the peer offered TLS 1.1, and TLS 1.2 is the least here"), "{said}");
    world.pass(2_000);
    assert!(world.is_closed(peer));

    let mut world = Serves { only_tls13: true, ..Serves::with(&[&signed]) }.world();
    let (_, outcome) = shake(&mut world, trusting(&authority, None, TLS12), "h.example");
    assert!(outcome.expect_err("an alert").to_string().contains("ProtocolVersion"));
    let said = lines(&mut world);
    assert!(said.contains("the peer offered TLS 1.2, and TLS 1.3 is the least here"), "{said}");
}

/// Plain HTTP is answered in its own words; what is neither, by an alert.
#[test]
fn what_is_no_tls() {
    let (_, signed) = ours();
    for split in [1, 5, 1_000] {
        let mut world = Serves::with(&[&signed]).world();
        let peer = world.connect();
        for piece in get("/v1/events").chunks(split) {
            world.send(peer, piece);
        }
        let reply = world.next_reply(peer).expect("an answer in the clear");
        assert_eq!((reply.status, reply.field("connection")), (400, Some("close")));
        assert!(
            reply.text().contains("this port speaks TLS: the URL begins with https://"),
            "{}",
            reply.text()
        );
        assert!(world.is_finished(peer));
        assert_eq!(lines(&mut world), "127.0.0.1 speaks plain HTTP on a port with TLS\n");
    }
    let mut world = Serves::with(&[&signed]).world();
    let peer = world.connect();
    world.send(peer, b"\x80\x2e\x01\x03\x01");
    assert_eq!(world.take(peer).first(), Some(&21), "an alert");
    assert!(lines(&mut world).contains("TLS with 127.0.0.1 failed: the peer speaks no TLS"));
}

#[test]
fn a_handshake_has_ten_seconds() {
    let (authority, signed) = ours();
    let mut hello = Vec::new();
    let config = Arc::new(trusting(&authority, None, TLS13));
    let mut conn = ClientConnection::new(config, "h.example".try_into().expect("a name")).expect("a client");
    conn.write_tls(&mut hello).expect("memory");
    for sent in [&[][..], &hello[..1], &hello[..hello.len() - 1], &hello] {
        let mut world = Serves::with(&[&signed]).world();
        let peer = world.connect();
        world.send(peer, sent);
        world.pass(9_999);
        assert!(!world.is_closed(peer));
        world.pass(1);
        assert!(world.is_closed(peer), "{} bytes", sent.len());
        let [note] = &notes(&mut world)[..] else { panic!("one line") };
        assert_eq!(note.level, Level::Info);
        assert!(note.text.contains("the handshake took too long"), "{note:?}");
    }
    // After it, a request has its own time.
    let mut world = Serves::with(&[&signed]).world();
    let (mut client, _) = shake(&mut world, trusting(&authority, None, TLS13), "h.example");
    world.pass(9_000);
    assert_eq!(client.ask(&mut world, get("/healthz")).status, 200);
    world.pass(20_000);
    assert_eq!(client.ask(&mut world, get("/healthz")).status, 200);
}

/// RFC 8446 section 6.1: every end is said, also that of an idle connection, and half a connection is answered.
#[test]
fn ends_are_said() {
    let (authority, signed) = ours();
    for version in [TLS12, TLS13] {
        let new = |config: Config| {
            let mut world = World::with(config, 1);
            let (client, outcome) = shake(&mut world, trusting(&authority, None, version), "h.example");
            outcome.expect("a handshake");
            (world, client)
        };
        let config = || Serves::with(&[&signed]).config();
        // An answer that ends the connection.
        let (mut world, mut client) = new(config());
        client.ask(&mut world, request("GET", "/healthz", "Connection: close\r\n", ""));
        assert!(client.ended && world.is_finished(client.peer));
        // Idle for too long.
        let (mut world, mut client) = new(config());
        client.ask(&mut world, get("/healthz"));
        world.pass(75_000);
        client.talk(&mut world).expect("records");
        assert!(client.ended && world.is_closed(client.peer));
        // The server stops: an idle connection, and a stream.
        let (mut world, mut client) = new(config());
        let mut stream = connected(&mut world, &authority);
        stream.open(&mut world, get("/v1/events"));
        world.tell(|| Completion::Stop);
        client.talk(&mut world).expect("records");
        stream.talk(&mut world).expect("records");
        assert!(client.ended && world.is_closed(client.peer));
        assert!(stream.ended && stream.plain.ends_with(b"0\r\n\r\n"), "the stream ends in good order");
        world.pass(5_000);
        assert!(world.is_drained());
        // The peer ends its side while an answer is owed, then while none is.
        let (mut world, mut client) = new(config());
        world.hold_durability();
        client.conn.writer().write_all(&publish(ringing("1"))).expect("memory");
        client.conn.send_close_notify();
        client.talk(&mut world).expect("records");
        assert!(!client.ended && !world.is_ended(client.peer));
        world.release_durability();
        client.talk(&mut world).expect("records");
        assert_eq!(take_reply(&mut client.plain, false).expect("an answer").status, 202);
        assert!(client.ended && world.is_closed(client.peer));
        let (mut world, mut client) = new(config());
        client.conn.send_close_notify();
        client.talk(&mut world).expect("records");
        assert!(client.ended && world.is_closed(client.peer));
        // A connection that is ended without a word is closed all the same.
        let (mut world, client) = new(config());
        world.end(client.peer);
        assert!(world.is_closed(client.peer));
    }
}

/// RFC 8446 section 2.2: tickets; without them TLS 1.2 has sessions (RFC 5246 section 7.3).
#[test]
fn sessions_are_taken_up_again() {
    let (authority, signed) = ours();
    for (version, tickets) in [(TLS13, true), (TLS12, true), (TLS13, false), (TLS12, false)] {
        let mut world = Serves { tickets, ..Serves::with(&[&signed]) }.world();
        let mut config = trusting(&authority, None, version);
        config.resumption = Resumption::in_memory_sessions(8);
        let config = Arc::new(config);
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed] {
            let mut client = Client::new(&mut world, &config, "h.example");
            client.talk(&mut world).expect("a handshake");
            let kind = client.conn.handshake_kind();
            assert_eq!(kind, Some(expected), "{:?}, tickets: {tickets}", version.version);
            assert_eq!(client.ask(&mut world, get("/healthz")).status, 200);
        }
    }
}

/// New certificates are for new connections; those that are there go on.
#[test]
fn certificates_are_changed_under_a_stream() {
    let (authority, signed) = ours();
    let renewed = authority.sign("h.example", (2012, 2040));
    let mut world = Serves::with(&[&signed]).world();
    let mut stream = connected(&mut world, &authority);
    stream.open(&mut world, get("/v1/events"));
    // One that is in the middle of its handshake goes on with the old one.
    let mut between = Client::new(&mut world, &Arc::new(trusting(&authority, None, TLS13)), "h.example");
    between.send_sealed(&mut world);
    let config = Serves::with(&[&renewed]).config();
    world.tell(|| Completion::Reloaded(Box::new(config.clone())));
    between.talk(&mut world).expect("a handshake");
    let mut new = connected(&mut world, &authority);
    for (client, signed) in [(&stream, &signed), (&between, &signed), (&new, &renewed)] {
        assert_eq!(client.conn.peer_certificates().expect("a chain")[0], der(&signed.cert));
    }
    assert_eq!(new.ask(&mut world, publish(ringing("1"))).status, 202);
    stream.talk(&mut world).expect("records");
    assert_eq!(subjects(&stream.plain), ["call/1"]);
    // A listener cannot lose its TLS by a reload.
    world.tell(|| {
        Completion::Reloaded(Box::new(Config { listeners: vec![Listener::default()], ..Config::default() }))
    });
    connected(&mut world, &authority);
}

/// A full server closes, where a refusal would cost a handshake.
#[test]
fn a_full_server_closes() {
    let (authority, signed) = ours();
    let mut config = Serves::with(&[&signed]).config();
    config.limits.connections = 1;
    let mut world = World::with(config, 1);
    let mut first = connected(&mut world, &authority);
    assert!(world.try_connect(0, "127.0.0.1:40001").is_none());
    assert_eq!(world.stats().connections_refused, 1);
    assert_eq!(first.ask(&mut world, get("/healthz")).status, 200);
}

/// What a table says is checked where it is read.
#[test]
fn tables_are_checked() {
    let (authority, signed) = ours();
    let other = authority.sign("h.example", (2010, 2030));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (cert, key, fault) in [
        (&*signed.cert, &*signed.key, None),
        ("", &signed.key, Some(("cert", "holds no certificate"))),
        (&signed.key, &signed.key, Some(("cert", "holds no certificate"))),
        (no_der, &signed.key, Some(("cert", "is none"))),
        (&signed.cert, "", Some(("key", "no private key"))),
        (&signed.cert, &signed.cert, Some(("key", "no private key"))),
        (&signed.cert, &other.key, Some(("key", "is not the key of"))),
    ] {
        match (certified(cert, key, &provider), fault) {
            (Ok(_), None) => {}
            (Err((key, text)), Some((expected, part))) => {
                assert!(key == expected && text.contains(part), "{key}: {text}");
            }
            (outcome, fault) => panic!("{outcome:?}, expected {fault:?}"),
        }
    }
    for (ca, part) in [("", "holds no certificate"), (no_der, "is none")] {
        let text = judge_of_clients(ca, false, &provider).expect_err("no authority");
        assert!(text.contains(part), "{text}");
    }
}

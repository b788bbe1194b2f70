//! Calls over TLS: the matrix of a destination's `tls` table. The server is rustls as well, in memory;
//! ours is the layer alone.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use offhook_core::ground::config::{ListenerTls, TlsBase};
use offhook_core::hub::call::{Answer, Call, CallFault, Caller, Target, Tls};
use offhook_core::wire::tls::WallClock;
use offhook_core::wire::tls::layer::{Layer, RECORD_BYTES};
use offhook_core::{Config, Wall};
use offhook_tests::memory::{Peer, World};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use super::certificates::{Authority, Signed, der};

const POST: &str = "POST /hook HTTP/1.1\r\nHost: h.example\r\nContent-Length: 2\r\n\r\nhi";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const ANSWERED: &str = "ok";

/// What a server is like.
struct Serves<'a> {
    signed: &'a Signed,
    tls12: bool,
    clients_of: Option<&'a Authority>,
}

impl Serves<'_> {
    fn config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions: &[_] = if self.tls12 { &[&rustls::version::TLS12] } else { rustls::ALL_VERSIONS };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .expect("versions");
        let builder = match self.clients_of {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let roots = Arc::new(authority.store());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                builder.with_client_cert_verifier(verifier.expect("a verifier"))
            }
        };
        let key = PrivateKeyDer::from_pem_slice(self.signed.key.as_bytes()).expect("a key");
        Arc::new(builder.with_single_cert(vec![der(&self.signed.cert)], key).expect("a certificate"))
    }
}

/// The server's end of a connection.
struct Server {
    peer: Peer,
    conn: ServerConnection,
    /// Requests in plain.
    taken: Vec<u8>,
    /// Bytes that are handed over at a time.
    piece: usize,
}

impl Server {
    /// Moves bytes both ways until there are none.
    fn talk(&mut self, world: &mut World) {
        loop {
            let came = world.take(self.peer);
            let mut from = &came[..];
            while !from.is_empty() {
                self.conn.read_tls(&mut from).expect("memory");
                // What it dislikes it says by an alert, which is sent below.
                let Ok(state) = self.conn.process_new_packets() else { break };
                let mut plain = vec![0; state.plaintext_bytes_to_read()];
                self.conn.reader().read_exact(&mut plain).expect("memory");
                self.taken.extend(plain);
            }
            let mut out = Vec::new();
            while self.conn.wants_write() {
                self.conn.write_tls(&mut out).expect("memory");
            }
            if came.is_empty() && out.is_empty() {
                return;
            }
            for piece in out.chunks(self.piece) {
                world.send(self.peer, piece);
            }
        }
    }

    fn say(&mut self, world: &mut World, text: &[u8]) {
        for record in text.chunks(RECORD_BYTES) {
            self.conn.writer().write_all(record).expect("memory");
            self.talk(world);
        }
    }
}

fn world(roots: RootCertStore) -> World {
    let mut config = Config::default();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    config.tls = Some(TlsBase { provider, roots: Arc::new(roots) });
    let mut world = World::with(config, 1);
    world.set_name("h.example", &["192.0.2.1"]);
    world
}

fn call(tls: &Tls, host: &str, key: u64) -> Call {
    let target = Target { host: host.into(), port: 443, tls: Some(Arc::new(tls.clone())), trusted: true };
    Call {
        target: Arc::new(target),
        request: POST.into(),
        connect_ms: 5_000,
        first_byte_ms: 0,
        total_ms: 15_000,
        content_max: 1 << 20,
        caller: Caller { dialect: 0, key },
    }
}

fn dialed(world: &mut World, serves: &Serves<'_>, piece: usize) -> Server {
    let (peer, _) = world.expect_dial();
    world.accept_dial(peer);
    let conn = ServerConnection::new(serves.config()).expect("a server");
    Server { peer, conn, taken: Vec::new(), piece }
}

/// One call to a server; the content of its answer, or why there is none.
fn attempt(world: &mut World, tls: &Tls, serves: &Serves<'_>) -> Result<String, String> {
    world.call(call(tls, "h.example", 1));
    let mut server = dialed(world, serves, usize::MAX);
    server.talk(world);
    if server.taken == POST.as_bytes() && !server.conn.is_handshaking() {
        server.say(world, OK.as_bytes());
    }
    let mut outcomes = world.take_answers();
    assert_eq!(outcomes.len(), 1, "a verdict at once");
    match outcomes.remove(0).1 {
        Ok(Answer { content, .. }) => Ok(String::from_utf8(content).expect("text")),
        Err(fault @ CallFault::Tls(_)) => {
            assert!(world.is_closed(server.peer), "a refused connection is closed");
            assert!(server.taken.is_empty() || fault.to_string().contains("ertificate"), "nothing was told");
            Err(fault.to_string())
        }
        Err(fault) => panic!("{fault:?}"),
    }
}

fn is(outcome: &Result<String, String>, parts: &[&str]) {
    match outcome {
        Ok(content) => assert_eq!((content.as_str(), parts), (ANSWERED, &[ANSWERED][..])),
        Err(why) => assert!(parts.iter().all(|part| why.contains(part)), "{why:?}, expected {parts:?}"),
    }
}

fn sha256(pem: &str) -> [u8; 32] {
    let provider = rustls::crypto::ring::default_provider();
    let suite = provider.cipher_suites.iter().find_map(|suite| suite.tls13()).expect("TLS 1.3");
    let found = provider
        .cipher_suites
        .iter()
        .filter_map(|suite| suite.tls13())
        .map(|suite| suite.common.hash_provider)
        .find(|hash| hash.output_len() == 32)
        .unwrap_or(suite.common.hash_provider);
    found.hash(&der(pem)).as_ref().try_into().expect("32 bytes")
}

/// `ca`, `only_ca` and the machine's roots.
#[test]
fn authorities() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let (good, foreign) = (ours.sign("h.example", (2010, 2030)), theirs.sign("h.example", (2010, 2030)));
    let by = |signed| Serves { signed, tls12: false, clients_of: None };
    let plain = Tls::default();
    let beside = Tls { ca: Some(theirs.pem.as_str().into()), ..Tls::default() };
    let instead = Tls { only_ca: true, ..beside.clone() };
    for (tls, signed, parts) in [
        (&plain, &good, &[ANSWERED][..]),
        (&plain, &foreign, &["UnknownIssuer", "it offered a certificate for h.example with SHA-256 "]),
        (&beside, &good, &[ANSWERED]),
        (&beside, &foreign, &[ANSWERED]),
        (&instead, &foreign, &[ANSWERED]),
        (&instead, &good, &["UnknownIssuer"]),
    ] {
        is(&attempt(&mut world(ours.store()), tls, &by(signed)), parts);
    }
}

/// Names and times; the time is the engine's: every world begins in 2015.
#[test]
fn names_and_validity() {
    let ours = Authority::new("ours");
    let other = ours.sign("other.example", (2010, 2030));
    let expired = ours.sign("h.example", (2010, 2014));
    let early = ours.sign("h.example", (2020, 2030));
    for (signed, parts) in [
        (&other, &["h.example", "it offered a certificate for other.example"][..]),
        (&expired, &["expired", "h.example"]),
        (&early, &["not valid yet"]),
    ] {
        let serves = Serves { signed, tls12: false, clients_of: None };
        is(&attempt(&mut world(ours.store()), &Tls::default(), &serves), parts);
        let insecure = Tls { insecure: true, ..Tls::default() };
        is(&attempt(&mut world(RootCertStore::empty()), &insecure, &serves), &[ANSWERED]);
        // A pin looks at nothing else.
        let pinned = Tls { pin_sha256: Some(sha256(&signed.cert)), ..Tls::default() };
        is(&attempt(&mut world(RootCertStore::empty()), &pinned, &serves), &[ANSWERED]);
        let wrong = Tls { pin_sha256: Some([7; 32]), ..Tls::default() };
        let hex: String = sha256(&signed.cert).iter().map(|byte| format!("{byte:02x}")).collect();
        is(&attempt(&mut world(ours.store()), &wrong, &serves), &["it offered", &hex]);
    }
}

#[test]
fn client_certificates() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let signed = ours.sign("h.example", (2010, 2030));
    let (client, stranger) = (theirs.sign("me", (2010, 2060)), ours.sign("me", (2010, 2060)));
    let with = |signed: &Signed| Tls {
        client_cert: Some(signed.cert.as_str().into()),
        client_key: Some(signed.key.as_str().into()),
        ..Tls::default()
    };
    for tls12 in [false, true] {
        let serves = Serves { signed: &signed, tls12, clients_of: Some(&theirs) };
        is(&attempt(&mut world(ours.store()), &with(&client), &serves), &[ANSWERED]);
        is(&attempt(&mut world(ours.store()), &Tls::default(), &serves), &["fatal alert"]);
        is(&attempt(&mut world(ours.store()), &with(&stranger), &serves), &["fatal alert"]);
    }
}

#[test]
fn the_least_version() {
    let ours = Authority::new("ours");
    let signed = ours.sign("h.example", (2010, 2030));
    let only_tls13 = Tls { only_tls13: true, ..Tls::default() };
    for (tls, tls12, parts) in [
        (&Tls::default(), true, &[ANSWERED][..]),
        (&only_tls13, false, &[ANSWERED]),
        (&only_tls13, true, &["TLS 1.3", "the least"]),
    ] {
        let serves = Serves { signed: &signed, tls12, clients_of: None };
        is(&attempt(&mut world(ours.store()), tls, &serves), parts);
    }
    // A ServerHello of TLS 1.1, and no TLS at all.
    for (hello, parts) in [
        (&b"\x16\x03\x02\x00\x2c\x02\x00\x00\x28\x03\x02"[..], &["TLS 1.1", "TLS 1.2 is the least"][..]),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", &["speaks no TLS", "HTTP/1.1 400"]),
    ] {
        let mut world = world(ours.store());
        world.call(call(&Tls::default(), "h.example", 1));
        let server = world.expect_accepted("192.0.2.1:443");
        let mut hello = hello.to_vec();
        if hello[0] == 0x16 {
            hello.extend([0; 32]); // Random.
            hello.extend([0, 0xc0, 0x2f, 0, 0, 0]); // No session, a cipher suite, no compression, no extensions.
            assert_eq!(hello.len(), 5 + 0x2c);
        }
        world.send(server, hello);
        let outcomes = world.take_answers();
        let [(1, Err(fault @ CallFault::Tls(_)))] = &outcomes[..] else { panic!("{outcomes:?}") };
        is(&Err(fault.to_string()), parts);
    }
}

/// What is wrong with a table is found before anything is dialed.
#[test]
fn tables_are_checked() {
    let ours = Authority::new("ours");
    let signed = ours.sign("h.example", (2010, 2030));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let base = TlsBase { provider: Arc::clone(&provider), roots: Arc::new(ours.store()) };
    let bare = TlsBase { provider, roots: Arc::new(RootCertStore::empty()) };
    let text = |text: &str| Some(Box::from(text));
    let broken = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let (cert, key) = (text(&signed.cert), text(&signed.key));
    for (tls, base, part) in [
        (Tls::default(), &base, ""),
        (Tls::default(), &bare, "no root certificates"),
        (Tls { only_ca: true, ..Tls::default() }, &base, "`only_ca` needs `ca`"),
        (Tls { ca: text(""), ..Tls::default() }, &base, "`ca` holds no certificate"),
        (Tls { ca: text(broken), ..Tls::default() }, &base, "`ca` is no PEM"),
        (Tls { ca: text(no_der), ..Tls::default() }, &base, "a certificate of `ca` is none"),
        (Tls { client_cert: cert.clone(), ..Tls::default() }, &base, "needs `client_key`"),
        (Tls { client_key: key.clone(), ..Tls::default() }, &base, "needs `client_cert`"),
        (
            Tls { client_cert: cert.clone(), client_key: cert.clone(), ..Tls::default() },
            &base,
            "no private key",
        ),
        (
            Tls { client_cert: text(&ours.pem), client_key: key.clone(), ..Tls::default() },
            &base,
            "`client_cert`",
        ),
        (Tls { client_cert: cert, client_key: key, ..Tls::default() }, &base, ""),
        (Tls { insecure: true, ..Tls::default() }, &bare, ""),
    ] {
        match tls.check(base) {
            Ok(()) => assert_eq!(part, ""),
            Err(why) => assert!(!part.is_empty() && why.contains(part), "{why:?}, expected {part:?}"),
        }
    }
}

/// Bytes in any pieces, bodies of many records, and a connection that carries several calls.
#[test]
fn records_and_reuse() {
    let ours = Authority::new("ours");
    let signed = ours.sign("h.example", (2010, 2030));
    let serves = Serves { signed: &signed, tls12: false, clients_of: None };
    let body = "x".repeat(100_000);
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let mut world = world(ours.store());
    let request = format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    world.call(Call { request: request.clone().into(), ..call(&Tls::default(), "h.example", 1) });
    let mut server = dialed(&mut world, &serves, 1);
    server.talk(&mut world);
    assert!(server.taken == request.as_bytes());
    let writes = world.take_writes(server.peer);
    assert!(writes.iter().all(|n| *n <= RECORD_BYTES + 300), "one record a write: {writes:?}");
    assert!(writes.len() >= 2 + request.len() / RECORD_BYTES);
    server.piece = 1_000;
    server.say(&mut world, long.as_bytes());
    let outcomes = world.take_answers();
    assert!(matches!(&outcomes[..], [(1, Ok(answer))] if answer.content == body.as_bytes()));
    for key in 2..5 {
        server.taken.clear();
        world.call(call(&Tls::default(), "h.example", key));
        server.talk(&mut world);
        assert_eq!(server.taken, POST.as_bytes());
        assert_eq!(world.take_writes(server.peer).len(), 1, "one record, one write");
        server.say(&mut world, OK.as_bytes());
        assert!(matches!(&world.take_answers()[..], [(_, Ok(_))]));
    }
    server.conn.send_close_notify();
    server.talk(&mut world);
    assert!(world.is_closed(server.peer) && world.take_answers().is_empty());
    // The next one resumes the session.
    world.call(call(&Tls::default(), "h.example", 6));
    let mut server = dialed(&mut world, &serves, usize::MAX);
    server.talk(&mut world);
    assert_eq!(server.taken, POST.as_bytes());
}

/// A body that ends with its connection is whole only if the peer says so: a cut may be anybody's doing.
#[test]
fn an_end_without_a_word_is_a_cut() {
    let ours = Authority::new("ours");
    let signed = ours.sign("h.example", (2010, 2030));
    let serves = Serves { signed: &signed, tls12: false, clients_of: None };
    for clean in [true, false] {
        let mut world = world(ours.store());
        world.call(call(&Tls::default(), "h.example", 1));
        let mut server = dialed(&mut world, &serves, usize::MAX);
        server.talk(&mut world);
        server.say(&mut world, b"HTTP/1.1 200 OK\r\n\r\nok");
        if clean {
            server.conn.send_close_notify();
            server.talk(&mut world);
        }
        if !world.is_closed(server.peer) {
            world.end(server.peer);
        }
        match (&world.take_answers()[..], clean) {
            ([(1, Ok(answer))], true) => assert_eq!(answer.content, b"ok"),
            ([(1, Err(CallFault::Cut))], false) => {}
            (other, _) => panic!("{other:?}"),
        }
    }
}

/// The handshake counts as making the connection.
#[test]
fn a_handshake_that_hangs() {
    let ours = Authority::new("ours");
    let mut world = world(ours.store());
    world.call(call(&Tls::default(), "h.example", 1));
    let server = world.expect_accepted("192.0.2.1:443");
    world.pass(5_000);
    assert_eq!(world.take_answers(), [(1, Err(CallFault::ConnectTimeout))]);
    world.call(call(&Tls::default(), "h.example", 2));
    let second = world.expect_accepted("192.0.2.1:443");
    world.end(second);
    assert!(matches!(&world.take_answers()[..], [(2, Err(CallFault::Tls(_)))]));
    assert!(world.is_closed(server) && world.is_closed(second));
}

/// The layer's two sides talk to each other: what listeners will use.
#[test]
fn both_sides_of_the_layer() {
    let ours = Authority::new("ours");
    let signed = ours.sign("h.example", (2010, 2030));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let base = TlsBase { provider, roots: Arc::new(ours.store()) };
    let clock = WallClock::default();
    clock.set(Wall::from_rfc3339("2020-01-01T00:00:00Z").expect("a date"));
    let compiled = Tls::default().compile(&base, &clock).expect("a table");
    let serves = Serves { signed: &signed, tls12: false, clients_of: None };
    let mut client = Layer::client(&compiled, "h.example").expect("a name");
    let mut server = Layer::server(&ListenerTls {
        config: serves.config(),
        clock: WallClock::default(),
        only_tls13: false,
        certified_clients: false,
    })
    .expect("a server");
    let (mut to_client, mut to_server) = (Vec::new(), Vec::new());
    while client.is_handshaking() || server.is_handshaking() {
        carry(&mut client, b"", &mut server, &mut to_server);
        carry(&mut server, b"", &mut client, &mut to_client);
    }
    let text = vec![b'x'; RECORD_BYTES + 1];
    assert_eq!(carry(&mut client, &text, &mut server, &mut to_server), RECORD_BYTES, "one record at most");
    assert_eq!(carry(&mut server, b"back", &mut client, &mut to_client), 4);
    assert!(to_server == text[..RECORD_BYTES] && to_client == b"back");
    assert!(client.outbound().is_empty() && !client.wants_write());
}

/// Seals on one side and opens on the other; how much was sealed.
fn carry(from: &mut Layer, text: &[u8], to: &mut Layer, plain: &mut Vec<u8>) -> usize {
    let taken = from.seal(&[std::io::IoSlice::new(text)]);
    let sealed = from.outbound().to_vec();
    from.advance(sealed.len());
    to.receive(&sealed, plain).expect("sound bytes");
    taken
}

/// An answer that is whole counts, whatever comes behind it in the same read.
#[test]
fn what_was_opened_before_a_failure_counts() {
    let ours = Authority::new("ours");
    let signed = ours.sign("h.example", (2010, 2030));
    let serves = Serves { signed: &signed, tls12: false, clients_of: None };
    let mut world = world(ours.store());
    world.call(call(&Tls::default(), "h.example", 1));
    let mut server = dialed(&mut world, &serves, usize::MAX);
    server.talk(&mut world);
    server.conn.writer().write_all(OK.as_bytes()).expect("memory");
    let mut out = Vec::new();
    server.conn.write_tls(&mut out).expect("memory");
    out.extend([23, 3, 3, 0, 32]);
    out.extend([7; 32]);
    world.send(server.peer, out);
    let answers = world.take_answers();
    assert!(matches!(&answers[..], [(1, Ok(answer))] if answer.content == b"ok"), "{answers:?}");
    assert!(world.is_closed(server.peer));
}

/// The peer hears why it was refused (RFC 8446 section 6.2).
#[test]
fn a_refused_server_gets_an_alert() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let signed = theirs.sign("h.example", (2010, 2030));
    let serves = Serves { signed: &signed, tls12: false, clients_of: None };
    let mut world = world(ours.store());
    world.call(call(&Tls::default(), "h.example", 1));
    let mut server = dialed(&mut world, &serves, usize::MAX);
    server.talk(&mut world);
    let error = server.conn.process_new_packets().expect_err("an alert");
    assert!(matches!(error, rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA)), "{error:?}");
    assert!(world.is_closed(server.peer));
}

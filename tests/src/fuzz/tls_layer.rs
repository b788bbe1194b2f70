//! TLS of both sides. The first byte chooses the side of ours and the versions; what follows are bytes of the wire, or a
//! script of what the two ends do and of what happens to their bytes between them.
//!
//! Keys are random, so no two runs have the same bytes: what is asserted holds for all of them.

use std::io::{IoSlice, Read as _, Write as _};
use std::sync::{Arc, OnceLock};

use offhook_core::Wall;
use offhook_core::ground::config::{ListenerTls, TlsBase};
use offhook_core::wire::tls::layer::{Layer, RECORD_BYTES};
use offhook_core::wire::tls::server::{Serving, certified};
use offhook_core::wire::tls::{Compiled, Tls, WallClock};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};

use super::split;

const NAME: &str = "h.example";

/// A certificate is good at that moment.
const NOW: Wall = Wall(1_767_225_600_000);

/// Sealed bytes that wait at most: a record of plaintext and what it takes to seal it, or a flight of the handshake.
const SEALED_MAX: usize = RECORD_BYTES + 4_096;

/// New keys in a row that are no flood.
const RENEWALS_MAX: u32 = 32;

/// Feeds `data` to our side.
pub fn run(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let (client, only_tls13) = (choice & 1 == 1, choice & 2 == 2);
    if choice & 4 == 0 {
        let whole = take(client, only_tls13, &[data]);
        for pieces in [split::pieces(data), split::bytes(data)] {
            assert_eq!(
                take(client, only_tls13, &pieces),
                whole,
                "what comes of it depends on how it was split"
            );
        }
    } else {
        Pair::new(client, only_tls13).play(data);
    }
}

fn ours(client: bool, only_tls13: bool) -> Layer {
    let site = site();
    let [at_least_12, at_least_13] = &site.listeners;
    let [any, latest] = &site.destinations;
    let layer = match (client, only_tls13) {
        (false, false) => Layer::server(at_least_12),
        (false, true) => Layer::server(at_least_13),
        (true, false) => Layer::client(any, NAME),
        (true, true) => Layer::client(latest, NAME),
    };
    layer.expect("a layer")
}

/// Whether it failed, and what it says of itself afterwards.
#[derive(Debug, PartialEq, Eq)]
struct Taken {
    failed: bool,
    plain: Vec<u8>,
    handshaking: bool,
    ended: bool,
    says: bool,
}

/// Bytes of nobody who has the keys: no plaintext comes of them.
fn take(client: bool, only_tls13: bool, pieces: &[&[u8]]) -> Taken {
    let mut layer = ours(client, only_tls13);
    // A client speaks first.
    layer.seal(&[]);
    let hello = layer.outbound().len();
    assert_eq!((hello > 0, layer.advance(hello)), (client, 0));
    let (mut plain, mut failed) = (Vec::new(), false);
    for piece in pieces {
        if !failed {
            failed = receive(&mut layer, piece, &mut plain).is_err();
        }
    }
    assert!(plain.is_empty() && layer.is_handshaking(), "nobody agreed on keys");
    let (handshaking, ended) = (layer.is_handshaking(), layer.is_ended());
    Taken { failed, plain, handshaking, ended, says: layer.wants_write() }
}

/// Takes bytes, and asserts what holds of the layer afterwards.
fn receive(layer: &mut Layer, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), String> {
    let before = plain.clone();
    let taken = layer.receive(bytes, plain);
    assert!(plain.starts_with(&before), "what was opened before is left alone");
    let Err(why) = &taken else { return taken };
    assert!(layer.is_closing() && !why.is_empty() && why.len() < 1_000, "{why:?}");
    // Whoever goes on all the same gets nothing more.
    let opened = plain.len();
    assert!(layer.receive(bytes, plain).is_ok() && plain.len() == opened, "a failure is the end");
    taken
}

/// Our side, another one, and what is on its way between them.
struct Pair {
    ours: Layer,
    theirs: Connection,
    to_ours: Vec<u8>,
    to_theirs: Vec<u8>,
    /// What each end said and the other got.
    said: [Vec<u8>; 2],
    got: [Vec<u8>; 2],
    /// The way is no longer true.
    tampered: bool,
    failed: bool,
    their_failure: bool,
    they_closed: bool,
    renewals: u32,
}

const OURS: usize = 0;
const THEIRS: usize = 1;

impl Pair {
    fn new(client: bool, only_tls13: bool) -> Pair {
        let site = site();
        let theirs = if client {
            ServerConnection::new(Arc::clone(&site.server)).expect("a server").into()
        } else {
            let name = ServerName::try_from(NAME).expect("a name");
            ClientConnection::new(Arc::clone(&site.client), name).expect("a client").into()
        };
        Pair {
            ours: ours(client, only_tls13),
            theirs,
            to_ours: Vec::new(),
            to_theirs: Vec::new(),
            said: Default::default(),
            got: Default::default(),
            tampered: false,
            failed: false,
            their_failure: false,
            they_closed: false,
            renewals: 0,
        }
    }

    fn play(mut self, script: &[u8]) {
        for step in script.chunks_exact(2) {
            self.step(step[0], usize::from(step[1]));
            self.check();
        }
        for _ in 0..8 {
            self.step(b'm', usize::MAX);
            self.check();
        }
        if !self.tampered {
            assert!(!self.failed && !self.their_failure, "nobody harmed what they said");
            // Behind our goodbye nothing is opened.
            let all_came = self.ours.is_closing() || self.said[THEIRS] == self.got[OURS];
            assert!(all_came && self.said[OURS] == self.got[THEIRS], "all that was said arrived");
        }
    }

    fn step(&mut self, verb: u8, argument: usize) {
        match verb {
            // Bytes move: all of them, or so many.
            b'm' => {
                self.flush();
                let (here, there) = (self.to_ours.len(), self.to_theirs.len());
                self.carry(here.min(argument.saturating_mul(64)), there.min(argument.saturating_mul(64)));
            }
            b'b' => self.carry(self.to_ours.len().min(argument), self.to_theirs.len().min(argument)),
            // Plaintext is said.
            b'w' if !self.theirs.is_handshaking() && !self.their_failure && !self.they_closed => {
                let text = vec![argument as u8; argument * 40];
                let said = self.theirs.writer().write(&text).expect("memory");
                self.said[THEIRS].extend_from_slice(&text[..said]);
            }
            b's' if !self.failed => {
                let text = vec![argument as u8; argument * 80];
                let (front, back) = text.split_at(text.len() / 3);
                let lent = [IoSlice::new(front), IoSlice::new(back)];
                let lent = if self.ours.is_closing() || text.is_empty() { &[][..] } else { &lent };
                let sealed = self.ours.seal(lent);
                assert!(sealed <= text.len().min(RECORD_BYTES), "more than was lent");
                self.said[OURS].extend_from_slice(&text[..sealed]);
            }
            b'k' => {
                drop(self.theirs.refresh_traffic_keys());
                self.renewals += 1;
                // Each costs us an answer, so rustls takes a few in a row (RFC 8446 section 4.6.3).
                self.tampered |= self.renewals > RENEWALS_MAX;
            }
            b'e' if !self.theirs.is_handshaking() => {
                self.theirs.send_close_notify();
                self.they_closed = true;
            }
            b'q' if !self.failed && !self.ours.is_handshaking() => self.ours.close(),
            // Their bytes are harmed on the way.
            b'x' if !self.to_ours.is_empty() => {
                let at = argument % self.to_ours.len();
                self.to_ours[at] ^= 1 << (argument % 8);
                self.tampered = true;
            }
            b'i' => {
                self.to_ours.insert(0, argument as u8);
                self.tampered = true;
            }
            b'd' => {
                self.to_ours.drain(..argument.min(self.to_ours.len()));
                self.tampered = true;
            }
            b'r' => {
                // What was sent is sent again.
                let again = self.to_ours[..argument.min(self.to_ours.len())].to_vec();
                self.to_ours.extend(again);
                self.tampered = true;
            }
            _ => {}
        }
    }

    /// Each end puts what it has to send on the way.
    fn flush(&mut self) {
        while self.theirs.wants_write() {
            self.theirs.write_tls(&mut self.to_ours).expect("memory");
        }
        if !self.ours.wants_write() {
            return;
        }
        self.ours.seal(&[]);
        let sealed = self.ours.outbound().to_vec();
        assert!(sealed.len() <= SEALED_MAX, "{} bytes wait", sealed.len());
        let held = self.ours.held();
        assert_eq!(self.ours.advance(sealed.len()), held, "a record counts when it is sent whole");
        assert!(self.ours.outbound().is_empty() && self.ours.held() == 0);
        self.to_theirs.extend(sealed);
    }

    fn carry(&mut self, to_ours: usize, to_theirs: usize) {
        let bytes: Vec<u8> = self.to_ours.drain(..to_ours).collect();
        if !self.failed && !self.ours.is_ended() {
            self.failed = receive(&mut self.ours, &bytes, &mut self.got[OURS]).is_err();
        }
        let bytes: Vec<u8> = self.to_theirs.drain(..to_theirs).collect();
        let mut from = &bytes[..];
        while !from.is_empty() && !self.their_failure {
            if self.theirs.read_tls(&mut from).expect("memory") == 0 {
                break;
            }
            match self.theirs.process_new_packets() {
                Ok(state) => {
                    let got = &mut self.got[THEIRS];
                    let before = got.len();
                    got.resize(before + state.plaintext_bytes_to_read(), 0);
                    self.theirs.reader().read_exact(&mut got[before..]).expect("memory");
                }
                Err(_) => self.their_failure = true,
            }
        }
    }

    /// Whatever happened on the way, nothing comes that was not said.
    fn check(&self) {
        assert!(self.said[THEIRS].starts_with(&self.got[OURS]), "our side opened what nobody sealed");
        assert!(self.said[OURS].starts_with(&self.got[THEIRS]), "our side sealed what it was not lent");
        assert!(!self.failed || self.tampered || self.their_failure, "a failure has a cause");
    }
}

/// What all runs share.
struct Site {
    listeners: [ListenerTls; 2],
    destinations: [Compiled; 2],
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

fn site() -> &'static Site {
    static SITE: OnceLock<Site> = OnceLock::new();
    SITE.get_or_init(make_site)
}

fn make_site() -> Site {
    let provider = Arc::new(ring::default_provider());
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let mut params = CertificateParams::new(vec![NAME.to_owned()]).expect("parameters");
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let cert = params.self_signed(&key).expect("a certificate");
    let (pem, key_pem) = (cert.pem(), key.serialize_pem());
    let der = || CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate");
    let clock = WallClock::default();
    clock.set(NOW);
    let listener = |only_tls13| {
        let certificates = vec![certified(&pem, &key_pem, &provider).expect("a certificate and its key")];
        let serving = Serving { certificates, clients: None, only_tls13, tickets: None, sessions: 0 };
        let ready = serving.ready(&provider).expect("a listener");
        ready.clock.set(NOW);
        ready
    };
    let mut roots = RootCertStore::empty();
    roots.add(der()).expect("a root");
    let roots = Arc::new(roots);
    let base = TlsBase { provider: Arc::clone(&provider), roots: Arc::clone(&roots) };
    let destination = |only_tls13| {
        let tls = Tls { only_tls13, ..Tls::default() };
        tls.compile(&base, &clock).expect("a destination")
    };
    let mut client = ClientConfig::builder_with_details(Arc::clone(&provider), Arc::new(clock.clone()))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.resumption = Resumption::disabled();
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).expect("a key");
    let server = ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(clock.clone()))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![der()], key)
        .expect("a certificate");
    Site {
        listeners: [listener(false), listener(true)],
        destinations: [destination(false), destination(true)],
        client: Arc::new(client),
        server: Arc::new(server),
    }
}

//! TLS at the clients' end of a connection, so that the clients themselves know nothing of it: what they say is sealed,
//! what they read was opened.
//!
//! Keys and randoms are new on each run, and so are all sealed bytes; their lengths are not, since the keys' kinds, the
//! certificates and what is said are the same. So nothing here may depend on sealed bytes, and a trace has none of them.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use offhook_core::Wall;
use offhook_core::ground::config::{Listener, TlsBase};
use offhook_core::wire::tls::WallClock;
use offhook_core::wire::tls::server::{Serving, certified};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};

/// The server's name in its certificate.
const NAME: &str = "offhook.example";

/// What stands before the 32 bytes of a key of Ed25519 (RFC 8410 section 7).
const KEY_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// A certificate with its key, in PEM; the same on each run.
#[derive(Clone, Debug)]
struct Signed {
    cert: String,
    key: String,
}

impl Signed {
    fn new(names: &[String]) -> Signed {
        let key = KeyPair::try_from([&KEY_HEAD[..], &[7; 32]].concat()).expect("a key of Ed25519");
        let mut params = CertificateParams::new(names).expect("names");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        let cert = params.self_signed(&key).expect("a certificate");
        Signed { cert: cert.pem(), key: key.serialize_pem() }
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.cert.as_bytes()).expect("a certificate")
    }
}

/// What all TLS of a world stands on.
#[derive(Debug)]
pub(super) struct Site {
    provider: Arc<CryptoProvider>,
    clock: WallClock,
    own: Signed,
    client: Arc<ClientConfig>,
}

impl Site {
    pub(super) fn new() -> Site {
        let provider = Arc::new(ring::default_provider());
        let clock = WallClock::default();
        let own = Signed::new(&[NAME.to_owned()]);
        let mut roots = RootCertStore::empty();
        roots.add(own.der()).expect("a root");
        let client = ClientConfig::builder_with_details(Arc::clone(&provider), Arc::new(clock.clone()))
            .with_protocol_versions(&[&TLS13])
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Site { provider, clock, own, client: Arc::new(client) }
    }

    pub(super) fn set_clock(&self, wall: Wall) {
        self.clock.set(wall);
    }

    /// What the server's own connections stand on.
    pub(super) fn base(&self) -> TlsBase {
        TlsBase { provider: Arc::clone(&self.provider), roots: Arc::new(RootCertStore::empty()) }
    }

    /// A listener with TLS.
    pub(super) fn listener(&self) -> Listener {
        let own = certified(&self.own.cert, &self.own.key, &self.provider);
        let certificates = vec![own.expect("a certificate and its key")];
        let serving = Serving { certificates, clients: None, only_tls13: true, tickets: None, sessions: 16 };
        let tls = serving.ready(&self.provider).expect("a listener");
        Listener { tls: Some(tls), ..Listener::default() }
    }

    /// The certificate of a server of others, in PEM, and what it serves with.
    pub(super) fn receiver(&self, name: &str) -> (String, Arc<ServerConfig>) {
        let signed = Signed::new(&[name.to_owned()]);
        let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).expect("a key");
        let clock = Arc::new(self.clock.clone());
        let config = ServerConfig::builder_with_details(Arc::clone(&self.provider), clock)
            .with_protocol_versions(&[&TLS13])
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![signed.der()], key)
            .expect("a certificate");
        (signed.cert, Arc::new(config))
    }
}

/// The clients' end of one connection.
#[derive(Debug)]
pub(super) struct Sealed {
    connection: Connection,
    /// The server has said that it sends nothing more.
    pub(super) ended: bool,
}

impl Sealed {
    /// Of a client of the server.
    pub(super) fn client(site: &Site) -> Sealed {
        let name = ServerName::try_from(NAME).expect("a name");
        Sealed::over(ClientConnection::new(Arc::clone(&site.client), name).expect("a client").into())
    }

    /// Of somebody else's server, which offhook calls.
    pub(super) fn server(config: Arc<ServerConfig>) -> Sealed {
        Sealed::over(ServerConnection::new(config).expect("a server").into())
    }

    fn over(mut connection: Connection) -> Sealed {
        // What is said before there are keys waits.
        connection.set_buffer_limit(None);
        Sealed { connection, ended: false }
    }

    /// Whether keys are agreed on.
    pub(super) fn is_open(&self) -> bool {
        !self.connection.is_handshaking()
    }

    /// Says something, or nothing; gives what is to be sent.
    pub(super) fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        self.connection.writer().write_all(plain).expect("memory");
        self.outbound()
    }

    /// Says that nothing more is said; gives what is to be sent.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        self.connection.send_close_notify();
        self.outbound()
    }

    /// Opens what came, and gives what is to be sent because of it. A failure is a bug: nobody is between the two.
    ///
    /// # Panics
    /// If what came was not sealed by the server.
    pub(super) fn receive(&mut self, mut bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut plain = Vec::new();
        while !bytes.is_empty() && !self.ended {
            self.connection.read_tls(&mut bytes).expect("memory");
            match self.connection.process_new_packets() {
                Ok(state) => {
                    let before = plain.len();
                    plain.resize(before + state.plaintext_bytes_to_read(), 0);
                    self.connection.reader().read_exact(&mut plain[before..]).expect("memory");
                    self.ended = state.peer_has_closed();
                }
                Err(error) => panic!("nobody harmed what was sealed, and TLS failed: {error}"),
            }
        }
        (plain, self.outbound())
    }

    fn outbound(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while self.connection.wants_write() {
            self.connection.write_tls(&mut out).expect("memory");
        }
        out
    }
}

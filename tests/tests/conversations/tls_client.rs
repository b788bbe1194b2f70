//! The client of conversations with TLS: rustls, in memory, and listeners with certificates that live as long as a test.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use offhook_core::Config;
use offhook_core::ground::config::{Listener, ListenerTls};
use offhook_core::wire::tls::server::{Serving, certified, judge_of_clients};
use offhook_tests::memory::read::{Reply, take_head, take_reply};
use offhook_tests::memory::{Peer, World};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, SupportedProtocolVersion};

use crate::certificates::{Authority, Signed, der};
use crate::common::notes_of_peers;

/// What a listener is like.
pub(crate) struct Serves<'a> {
    pub(crate) certificates: &'a [&'a Signed],
    pub(crate) clients_of: Option<(&'a Authority, bool)>,
    pub(crate) only_tls13: bool,
    pub(crate) tickets: bool,
}

impl<'a> Serves<'a> {
    pub(crate) fn with(certificates: &'a [&'a Signed]) -> Serves<'a> {
        Serves { certificates, clients_of: None, only_tls13: false, tickets: true }
    }

    pub(crate) fn ready(&self) -> ListenerTls {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificates =
            self.certificates.iter().map(|signed| certified(&signed.cert, &signed.key, &provider));
        let clients = self.clients_of.map(|(authority, is_optional)| {
            judge_of_clients(&authority.pem, is_optional, &provider).expect("a judge")
        });
        let serving = Serving {
            certificates: certificates.collect::<Result<_, _>>().expect("certificates"),
            clients,
            only_tls13: self.only_tls13,
            tickets: self.tickets.then(|| rustls::crypto::ring::Ticketer::new().expect("tickets")),
            sessions: 16,
        };
        serving.ready(&provider).expect("a listener")
    }

    pub(crate) fn config(&self) -> Config {
        let listener = Listener { tls: Some(self.ready()), ..Listener::default() };
        Config { listeners: vec![listener], ..Config::default() }
    }

    pub(crate) fn world(&self) -> World {
        World::with(self.config(), 1)
    }
}

/// What clients are like.
pub(crate) fn trusting(
    authority: &Authority,
    own: Option<&Signed>,
    version: &'static SupportedProtocolVersion,
) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // The certificates are good for the years around the beginning of all worlds, so its clock is the client's too.
    let clock = offhook_core::wire::tls::WallClock::default();
    clock.set(World::new().now().wall);
    let builder = ClientConfig::builder_with_details(provider, Arc::new(clock))
        .with_protocol_versions(&[version])
        .expect("versions")
        .with_root_certificates(authority.store());
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("a key");
            builder.with_client_auth_cert(vec![der(&own.cert)], key).expect("a certificate")
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

pub(crate) const TLS12: &SupportedProtocolVersion = &rustls::version::TLS12;
pub(crate) const TLS13: &SupportedProtocolVersion = &rustls::version::TLS13;

/// A client's end of a connection.
pub(crate) struct Client {
    pub(crate) peer: Peer,
    pub(crate) conn: ClientConnection,
    /// What came, in plain.
    pub(crate) plain: Vec<u8>,
    /// Bytes that are sent at a time.
    pub(crate) piece: usize,
    /// The engine said that it sends nothing more.
    pub(crate) ended: bool,
}

impl Client {
    pub(crate) fn new(world: &mut World, config: &Arc<ClientConfig>, name: &str) -> Client {
        let peer = world.connect();
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let conn = ClientConnection::new(Arc::clone(config), name).expect("a client");
        Client { peer, conn, plain: Vec::new(), piece: usize::MAX, ended: false }
    }

    /// Moves bytes both ways until there are none, or this side is content with nothing.
    pub(crate) fn talk(&mut self, world: &mut World) -> Result<(), rustls::Error> {
        loop {
            let came = world.take(self.peer);
            let mut from = &came[..];
            while !from.is_empty() {
                self.conn.read_tls(&mut from).expect("memory");
                let state = match self.conn.process_new_packets() {
                    Ok(state) => state,
                    Err(error) => {
                        self.send_sealed(world);
                        return Err(error);
                    }
                };
                let before = self.plain.len();
                self.plain.resize(before + state.plaintext_bytes_to_read(), 0);
                self.conn.reader().read_exact(&mut self.plain[before..]).expect("memory");
                self.ended |= state.peer_has_closed();
            }
            if !self.send_sealed(world) && came.is_empty() {
                return Ok(());
            }
        }
    }

    pub(crate) fn send_sealed(&mut self, world: &mut World) -> bool {
        let mut out = Vec::new();
        while self.conn.wants_write() {
            self.conn.write_tls(&mut out).expect("memory");
        }
        for piece in out.chunks(self.piece) {
            world.send(self.peer, piece);
        }
        !out.is_empty()
    }

    pub(crate) fn say(&mut self, world: &mut World, text: impl AsRef<[u8]>) {
        self.conn.writer().write_all(text.as_ref()).expect("memory");
        self.talk(world).expect("what the engine sends is TLS");
    }

    pub(crate) fn ask(&mut self, world: &mut World, text: impl AsRef<[u8]>) -> Reply {
        self.say(world, text);
        take_reply(&mut self.plain, false).expect("a whole reply")
    }

    pub(crate) fn open(&mut self, world: &mut World, text: impl AsRef<[u8]>) -> Reply {
        self.say(world, text);
        take_head(&mut self.plain).expect("the head of a stream")
    }
}

pub(crate) fn ours() -> (Authority, Signed) {
    let authority = Authority::new("ours");
    let signed = authority.sign("h.example", (2010, 2030));
    (authority, signed)
}

/// A handshake as far as it goes; what the client says of it.
pub(crate) fn shake(
    world: &mut World,
    config: ClientConfig,
    name: &str,
) -> (Client, Result<(), rustls::Error>) {
    let mut client = Client::new(world, &Arc::new(config), name);
    let outcome = client.talk(world);
    (client, outcome)
}

/// What the log says of peers.
pub(crate) fn notes(world: &mut World) -> String {
    let of_peers = notes_of_peers(world).into_iter();
    of_peers.map(|note| note.text + "\n").collect()
}

/// A client whose handshake is done.
pub(crate) fn connected(world: &mut World, authority: &Authority) -> Client {
    let (client, outcome) = shake(world, trusting(authority, None, TLS13), "h.example");
    outcome.expect("a handshake");
    client
}

//! A connection of our own to somebody else's server: dialed, perhaps led through a proxy, perhaps sealed, then asked one
//! request after the other. What is absent here: which call is whose, and which connections wait ([`super`]).

use std::io::IoSlice;
use std::net::SocketAddr;

use crate::ground::time::Mono;
use crate::wire::http::client::Client;
use crate::wire::tls::layer::Layer;

/// Where a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The socket is being connected.
    Dialing,
    /// The proxy was asked to connect.
    Proxying,
    /// TLS is being agreed on.
    Handshaking,
    /// A request is under way.
    Asked,
    /// It waits for the next request.
    Idle,
    /// TLS failed: the peer is told why, and nothing else is said or heard.
    Leaving,
}

/// One connection.
#[derive(Debug)]
pub struct Outgoing {
    /// Its target, by its place.
    pub(super) pool: u32,
    /// Where it leads.
    pub(super) address: SocketAddr,
    /// The call that it is made for, or that is under way on it; none while it is idle.
    pub(super) call: Option<u32>,
    /// Where it stands.
    pub stage: Stage,
    pub(super) client: Client,
    pub(super) tls: Option<Box<Layer>>,
    /// With TLS: what is still to be sealed, and how much of it is.
    pub(super) plain: (Vec<u8>, usize),
    /// The socket has taken the whole request.
    pub(super) sent: bool,
    /// It has carried a request before.
    pub(super) reused: bool,
    /// Counts the reloads before it was dialed.
    pub(super) epoch: u32,
    /// When this stage has taken too long.
    pub due: Mono,
}

impl Outgoing {
    pub(super) fn new(pool: u32, call: u32, address: SocketAddr, epoch: u32, due: Mono) -> Outgoing {
        Outgoing {
            pool,
            address,
            call: Some(call),
            stage: Stage::Dialing,
            client: Client::default(),
            tls: None,
            plain: (Vec::new(), 0),
            sent: false,
            reused: false,
            epoch,
            due,
        }
    }

    /// Whether its bytes go through TLS.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether its request waits, and TLS seals nothing more.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        let waits = self.plain.1 < self.plain.0.len();
        waits && self.tls.as_ref().is_some_and(|layer| layer.is_spent() && !layer.wants_write())
    }

    /// Lends sealed bytes for one write: those that wait, or one record of what is to be sealed.
    pub fn outbound(&mut self) -> &[u8] {
        let Some(layer) = &mut self.tls else { return &[] };
        if layer.outbound().is_empty() {
            let (bytes, done) = &mut self.plain;
            let waits = [IoSlice::new(&bytes[*done..])];
            let lent = if *done < bytes.len() { &waits[..] } else { &[] };
            *done += layer.seal(lent);
        }
        layer.outbound()
    }

    /// The socket took `n` bytes of what was lent sealed; whether more can be lent.
    pub fn advance(&mut self, n: usize) -> bool {
        let Some(layer) = &mut self.tls else { return false };
        layer.advance(n);
        let more = layer.wants_write() || self.plain.1 < self.plain.0.len();
        if !more && self.stage == Stage::Asked {
            self.plain = (Vec::new(), 0);
            self.sent = true;
        }
        more
    }

    /// The socket took all that waited in the clear.
    pub fn drained(&mut self) {
        self.sent |= self.stage == Stage::Asked;
    }
}

//! What a client is: a pure machine that is told what happens and says what it does. It knows no socket and no clock of its
//! own; all that it may use is lent as [`Io`].

use std::net::SocketAddr;
use std::sync::Arc;

use offhook_core::Wall;
use offhook_core::ground::rng::Rng;
use rustls::ServerConfig;

use super::books::Books;
use super::net::{End, LinkId, Net};

/// Something that a client does.
#[derive(Debug)]
pub enum Act {
    /// Connects to a listener.
    Dial(LinkId, u16),
    /// Sends bytes.
    Send(LinkId, Vec<u8>),
    /// Ends its direction and reads on.
    Finish(LinkId),
    /// Closes the connection; what comes on it is lost.
    Close(LinkId),
    /// Wants to be woken at this time.
    Wake(u64),
    /// Sends a datagram from its address.
    Datagram(Vec<u8>),
}

/// What a client may use while it is told something.
pub struct Io<'a> {
    /// The time, in milliseconds.
    pub now: u64,
    /// What the server's clock on the wall shows.
    pub wall: Wall,
    /// The faults are over: the client finishes what it is about, and starts nothing new.
    pub calm: bool,
    /// Randomness.
    pub rng: &'a mut Rng,
    /// What everybody has seen.
    pub books: &'a mut Books,
    /// Gives names to connections.
    pub(super) net: &'a mut Net,
    pub(super) life: u64,
    pub(super) acts: Vec<Act>,
}

impl Io<'_> {
    /// Whether a connection was made with the server that runs now. What still comes of one that is dead may be something
    /// that the log has lost, or has at another place.
    pub fn is_current(&mut self, link: LinkId) -> bool {
        let life = self.life;
        self.net.get(link).is_some_and(|there| there.life == life && !there.closed)
    }

    /// The life of the server that runs now, or ran last.
    #[must_use]
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Connects to the server; the answer is [`Client::connected`] or [`Client::ended`].
    pub fn dial(&mut self, listener: u16) -> LinkId {
        let link = self.net.name();
        self.acts.push(Act::Dial(link, listener));
        link
    }

    /// Sends bytes on a connection.
    pub fn send(&mut self, link: LinkId, bytes: impl Into<Vec<u8>>) {
        self.acts.push(Act::Send(link, bytes.into()));
    }

    /// Ends the client's direction of a connection.
    pub fn finish(&mut self, link: LinkId) {
        self.acts.push(Act::Finish(link));
    }

    /// Closes a connection.
    pub fn close(&mut self, link: LinkId) {
        self.acts.push(Act::Close(link));
    }

    /// Asks to be woken.
    pub fn wake_in(&mut self, ms: u64) {
        self.acts.push(Act::Wake(self.now + ms));
    }

    /// Sends a datagram.
    pub fn datagram(&mut self, bytes: Vec<u8>) {
        self.acts.push(Act::Datagram(bytes));
    }
}

/// A client, or a server of others.
pub trait Client {
    /// What it is, for those who read a trace.
    fn name(&self) -> &'static str;

    /// Where it can be reached, if the server dials it or sends it datagrams.
    fn address(&self) -> Option<SocketAddr> {
        None
    }

    /// What connections of the server's to its address begin with, if that is TLS.
    fn tls(&self) -> Option<Arc<ServerConfig>> {
        None
    }

    /// It was to be woken, or the world begins, or the faults are over.
    fn wake(&mut self, io: &mut Io<'_>);

    /// A connection is made: one of its own, or one of the server's to its address.
    fn connected(&mut self, _io: &mut Io<'_>, _link: LinkId) {}

    /// Bytes came.
    fn received(&mut self, io: &mut Io<'_>, link: LinkId, bytes: &[u8]);

    /// A connection has ended, or could not be made; nothing more comes on it.
    fn ended(&mut self, io: &mut Io<'_>, link: LinkId, how: End);

    /// A datagram came.
    fn datagram(&mut self, _io: &mut Io<'_>, _bytes: &[u8]) {}

    /// After the faults: what it still waits for, in words; `None` if that is nothing.
    fn waits_for(&self, books: &Books) -> Option<String>;

    /// At the end: whether it has seen what it must have seen.
    ///
    /// # Panics
    /// If it has not.
    fn judge(&self, _books: &Books) {}

    /// It leaves: connections are closed by the world.
    fn leave(&mut self, _io: &mut Io<'_>) {}
}

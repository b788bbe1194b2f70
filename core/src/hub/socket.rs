//! Websockets: streams whose peers speak as well. What a dialect does with one stands here; what its peer sends, and
//! how a slow one skips ahead, in [`crate::engine`]'s `sockets`.

use super::Hub;
use super::conn::{Conn, Ending, Stream};
use crate::event::channel::Channel;
use crate::ground::id::ConnId;
use crate::ground::time::Mono;
use crate::hub::conn::Machine;
use crate::wire::http::reply::{Fields, write_upgrade_head};
use crate::wire::ws::frame;
use crate::wire::ws::session::Session;

/// What a stream has more if it is a websocket.
#[derive(Debug)]
pub struct Socket {
    /// The frames that come in.
    pub(crate) session: Session,
    /// What its peer may do.
    pub(crate) terms: Terms,
    /// When the peer was last heard.
    pub(crate) heard_at: Mono,
    /// Since when messages are counted, and how many there were.
    pub(crate) counted: (Mono, u64),
    /// Frames that its feed ever had, less those that this connection has sent or still has to send; wraps around.
    pub(crate) before: u64,
    /// Events that its reader was too slow for and was not told of.
    pub(crate) missed: u64,
    /// Our Close frame is on its way.
    pub(crate) closing: bool,
}

/// What a websocket's peer may do; 0 is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Bytes of one message. Beyond: closed with 1009.
    pub message_bytes: u64,
    /// Messages within `per_ms`. Beyond: closed with 1008.
    pub messages: u64,
    /// See `messages`.
    pub per_ms: u64,
    /// How long it may send nothing, not even a pong. Beyond: closed with 1011.
    pub silence_ms: u64,
}

/// How much may wait for a slow reader that is told what it missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Events.
    pub events: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

/// Why a websocket is closed (RFC 6455 section 7.4.1, and the registry of section 11.7).
#[derive(Clone, Copy, Debug)]
pub struct CloseCode;

impl CloseCode {
    /// Its purpose is fulfilled.
    pub const NORMAL: u16 = 1000;
    /// The server goes down.
    pub const GOING_AWAY: u16 = 1001;
    /// A rule of the server's own was broken.
    pub const POLICY_VIOLATION: u16 = 1008;
    /// The server cannot go on.
    pub const INTERNAL_ERROR: u16 = 1011;
    /// Too slow, or too many: later it may go better.
    pub const TRY_AGAIN_LATER: u16 = 1013;
}

impl Socket {
    /// When a peer that says nothing more is given up.
    #[must_use]
    pub fn silent_at(&self) -> Mono {
        if self.closing || self.terms.silence_ms == 0 {
            return Mono::NEVER;
        }
        self.heard_at.plus_ms(self.terms.silence_ms)
    }

    /// Counts a message; whether there were too many.
    pub(crate) fn count_message(&mut self, now: Mono) -> bool {
        let Terms { messages, per_ms, .. } = self.terms;
        let (since, count) = self.counted;
        self.counted = if now.since(since) >= per_ms { (now, 1) } else { (since, count + 1) };
        messages > 0 && self.counted.1 > messages
    }
}

impl Conn {
    /// A websocket whose Close frame is on its way.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.socket.as_ref().is_some_and(|socket| socket.closing)
    }
}

impl Hub {
    /// Answers an upgrade request with 101 and turns its connection into a websocket. `accept` is what
    /// [`crate::wire::ws::handshake`] made of the request's key. Returns false if the connection is gone.
    pub fn open_socket(
        &mut self,
        id: ConnId,
        accept: &str,
        fields: &Fields,
        stream: Stream,
        terms: Terms,
    ) -> bool {
        let now = self.now.mono;
        let write = |date: &str, out: &mut Vec<u8>| write_upgrade_head(accept, fields, date, out);
        if !self.turn_into(id, stream, 101, write) {
            return false;
        }
        if let Some(conn) = self.conns.get_mut(id) {
            conn.socket = Some(Box::new(Socket {
                session: Session::new(terms.message_bytes),
                terms,
                heard_at: now,
                counted: (now, 0),
                before: 0,
                missed: 0,
                closing: false,
            }));
        }
        self.arm(id);
        true
    }

    /// From here on a websocket's messages may have so many bytes, if that is more than before.
    pub fn raise_message_bytes(&mut self, id: ConnId, message_bytes: u64) {
        if let Some(socket) = self.conns.get_mut(id).and_then(|conn| conn.socket.as_mut()) {
            socket.session.raise_message_max(message_bytes);
        }
    }

    /// Sends a frame of this websocket alone: after what its feed holds for it so far is begun, before the rest.
    pub fn say(&mut self, id: ConnId, frame: Vec<u8>) {
        let Hub { conns, channels, .. } = &mut *self;
        let Some(conn) = conns.get_mut(id) else { return };
        if conn.ending == Ending::No && conn.socket.as_ref().is_some_and(|socket| !socket.closing) {
            let arena = channels.get(usize::from(conn.channel())).map(Channel::arena);
            conn.output.interject_bytes(frame, arena);
            self.flush(id);
        }
    }

    /// Begins to close a websocket (RFC 6455 section 7.1.2): what is queued, a Close frame, and the connection's end once
    /// the peer has answered or its time is up. `reason` has at most 123 bytes.
    pub fn close_socket(&mut self, id: ConnId, code: u16, reason: &str) {
        let is_open = |conn: &Conn| conn.socket.is_some() && !conn.is_closing() && conn.ending == Ending::No;
        if !self.conns.get(id).is_some_and(is_open) {
            return;
        }
        if self.conns.get(id).and_then(|conn| conn.socket.as_ref()).is_some_and(|socket| socket.missed > 0) {
            // What its reader missed stands before what waits, and nobody has told it: nothing follows the hole.
            self.leave_feed(id);
        } else {
            self.unfollow(id);
        }
        let deadline = self.now.mono.plus_ms(self.config.limits.ws_close_ms);
        let Some(conn) = self.conns.get_mut(id) else { return };
        let mut close = Vec::new();
        frame::close(code, reason, &mut close);
        conn.output.push_bytes(close);
        conn.patience = deadline;
        if let Machine::Stream(stream) = &mut conn.machine {
            stream.keepalive_at = Mono::NEVER;
        }
        if let Some(socket) = &mut conn.socket {
            socket.closing = true;
            socket.session.closing();
        }
        self.arm(id);
        self.flush(id);
    }

    /// Ends a feed here; what it holds is not sent.
    fn leave_feed(&mut self, id: ConnId) {
        let Hub { conns, channels, .. } = &mut *self;
        let Some(conn) = conns.get_mut(id) else { return };
        let channel = usize::from(conn.channel());
        if let Some(tail) = conn.output.drop_tail(channels.get(channel).map(Channel::arena)) {
            channels[usize::from(tail.channel)].leave(tail.feed, id.slot);
        }
    }

    /// Ends a websocket after `frame`: its peer has said Close, or broke the protocol. What its feed holds is not sent.
    pub(crate) fn end_socket(&mut self, id: ConnId, frame: Vec<u8>) {
        let deadline = self.now.mono.plus_ms(self.config.limits.ws_close_ms);
        self.leave_feed(id);
        let Some(conn) = self.conns.get_mut(id) else { return };
        if !frame.is_empty() {
            conn.output.push_bytes(frame);
        }
        if let Machine::Stream(stream) = &mut conn.machine {
            stream.keepalive_at = Mono::NEVER;
        }
        if let Some(socket) = &mut conn.socket {
            socket.closing = true;
        }
        conn.ending = Ending::AfterFlush;
        conn.patience = deadline;
        self.arm(id);
        self.flush(id);
    }
}

//! Websockets at the doorway: what their peers send, and how a reader that is too slow skips ahead and is told of it.

use super::Engine;
use crate::event::channel::Channel;
use crate::ground::id::ConnId;
use crate::ground::stats::NotSent;
use crate::hub::Hub;
use crate::hub::conn::{Conn, Machine};
use crate::hub::socket::CloseCode;
use crate::wire::ws::Message;
use crate::wire::ws::frame;
use crate::wire::ws::session::Next;

impl Engine {
    /// Feeds a stream's connection. Of one that is no websocket, what comes is swallowed.
    pub(super) fn hear(&mut self, id: ConnId, mut bytes: &[u8]) {
        let now = self.hub.now.mono;
        loop {
            let Some(conn) = self.hub.conns.get_mut(id) else { return };
            let (Machine::Stream(stream), Some(socket)) = (&conn.machine, &mut conn.socket) else { return };
            let mut reply = Vec::new();
            let next = socket.session.next(&mut bytes, &mut reply);
            if !matches!(next, Next::More) {
                socket.heard_at = now;
            }
            let message = match next {
                Next::More => break,
                Next::Ping | Next::Pong => {
                    if !reply.is_empty() {
                        self.hub.say(id, reply);
                    }
                    continue;
                }
                Next::Close => return self.hub.end_socket(id, reply),
                Next::Broken(broken) => {
                    frame::close(broken.code, broken.reason, &mut reply);
                    return self.hub.end_socket(id, reply);
                }
                Next::Text(text) => Message::Text(text),
                Next::Binary(bytes) => Message::Binary(bytes),
            };
            if socket.count_message(now) {
                self.hub.close_socket(id, CloseCode::POLICY_VIOLATION, "too many messages");
            } else if !socket.closing {
                let stream = stream.clone();
                let dialect = usize::from(stream.dialect);
                // Its answer may end the feed here, and what is gone by now would be gone in silence.
                self.tell_overrun(id);
                self.hub.speaker = stream.dialect;
                self.dialects[dialect].message(&mut self.hub, id, &stream, message);
            }
        }
        self.hub.arm(id);
    }

    /// Whether a reader that is too slow skips ahead, and is told, instead of being cut.
    pub(super) fn skips(&self, conn: &Conn) -> bool {
        conn.socket.is_some() && self.dialects[usize::from(conn.channel())].backlog(&self.hub).is_some()
    }

    /// Lets a slow reader go on at the newest events that may wait for it. What it missed is counted, and told before
    /// them once its socket takes bytes again.
    pub(super) fn skip_ahead(&mut self, id: ConnId) {
        let Some(channel) = self.hub.conns.get(id).map(Conn::channel) else { return };
        let Some(backlog) = self.dialects[usize::from(channel)].backlog(&self.hub) else { return };
        let Hub { conns, channels, stats, names, .. } = &mut self.hub;
        let Some(Conn { output, socket: Some(socket), .. }) = conns.get_mut(id) else { return };
        let Some(home) = channels.get(usize::from(channel)) else { return };
        if output.has_lost_parts(home.arena()) {
            // The rest of a frame that the peer has begun to read is gone.
            return self.hub.doom(id);
        }
        let Some(tail) = output.tail() else { return };
        let feed = home.feed(tail.feed);
        let among_parts = output.frames_among_parts(home.arena());
        let waiting = feed.frames().wrapping_sub(socket.before).wrapping_sub(output.sent_frames());
        let room = backlog.events.saturating_sub(among_parts);
        let mut cursor = tail.cursor.max(feed.floor(home.arena()));
        if waiting > backlog.events {
            cursor = cursor.max(feed.position_of_newest(room, home.arena()));
        }
        if home.arena().end() - cursor > backlog.bytes {
            cursor = cursor.max(feed.position_of_newest_bytes(backlog.bytes, home.arena()));
        }
        if cursor == tail.cursor {
            // All that waits for it may wait.
            return;
        }
        let kept = feed.frames_from(cursor, home.arena());
        let missed = waiting - among_parts - kept;
        output.seek(cursor);
        socket.before = socket.before.wrapping_add(missed);
        socket.missed += missed;
        stats.not_sent(names[usize::from(channel)], NotSent::SlowReader, missed);
    }

    /// If events that a reader had still to get are gone, lets it go on behind them; and tells it what it has missed.
    fn tell_overrun(&mut self, id: ConnId) {
        let Some(conn) = self.hub.conns.get(id) else { return };
        if conn.output.is_overrun(&self.hub.channels, conn.channel()) && self.skips(conn) {
            self.skip_ahead(id);
        }
        self.tell_missed(id);
    }

    /// Tells a websocket's reader what it missed, before it gets more.
    pub(super) fn tell_missed(&mut self, id: ConnId) {
        let Some(conn) = self.hub.conns.get_mut(id) else { return };
        let (Machine::Stream(stream), Some(socket)) = (&conn.machine, &mut conn.socket) else { return };
        let missed = std::mem::take(&mut socket.missed);
        if missed == 0 {
            return;
        }
        let (stream, dialect) = (stream.clone(), usize::from(stream.dialect));
        if let Some(notice) = self.dialects[dialect].missed(&self.hub, &stream, missed) {
            self.hub.say(id, notice);
        }
    }

    /// A socket is full: the frame that it took a part of is this connection's own from here on, so that what its
    /// reader skips begins with a whole one.
    pub(super) fn keep_begun_frame(&mut self, id: ConnId) {
        let Hub { conns, channels, .. } = &mut self.hub;
        let Some(Conn { output, socket: Some(socket), .. }) = conns.get_mut(id) else { return };
        let Some(tail) = output.tail() else { return };
        let Some(arena) = channels.get(usize::from(tail.channel)).map(Channel::arena) else { return };
        if output.keep_begun_frame(arena) {
            socket.before = socket.before.wrapping_add(1);
        }
    }
}

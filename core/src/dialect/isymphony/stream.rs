//! Open websockets: a feed of what the user may see and the filters let through, and the answers to messages.

use std::net::IpAddr;

use super::{Isymphony, read, render};
use crate::dialect::Asker;
use crate::dialect::problem::{no_websocket, problem};
use crate::event::Fact;
use crate::event::filter::{Clause, View};
use crate::event::output::{Lending, Tail};
use crate::ground::id::ConnId;
use crate::ground::network::counted;
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::hub::conn::Stream;
use crate::hub::socket::Terms;
use crate::wire::http::head::Head;
use crate::wire::http::reply::{Fields, Reply};
use crate::wire::ws::{Message, frame, handshake};

/// Types that a line of the log names at most.
const NAMED_MAX: usize = 3;

/// A text frame, alone.
pub(super) fn text(render: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    frame::text(&mut out, render);
    out
}

impl Isymphony {
    /// Why one more websocket is too many, if so.
    pub(super) fn no_room(&self, hub: &Hub, peer: IpAddr) -> Option<Reply> {
        let limits = &hub.config.limits;
        let from_there = self.by_address.of(counted(peer));
        let per_address = limits.isymphony_connections_per_address;
        let full = self.sockets.len() as u64 >= limits.isymphony_connections
            || per_address > 0 && from_there >= per_address;
        full.then(|| problem(503, "there are too many websockets").with("Retry-After", "5"))
    }

    fn enter(&mut self, peer: IpAddr) -> u32 {
        let address = counted(peer);
        self.by_address.enter(address);
        self.sockets.insert(address)
    }

    pub(super) fn leave(&mut self, tag: u32) {
        if let Some(address) = self.sockets.remove(tag) {
            self.by_address.leave(address);
        }
    }

    pub(super) fn open(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>) {
        let accept = match handshake::judge(head) {
            Ok(accept) => accept,
            Err(wrong) => return hub.reply(asker.conn, asker.request, no_websocket(wrong)),
        };
        let limits = &hub.config.limits;
        let terms = Terms {
            message_bytes: limits.isymphony_message_bytes,
            messages: limits.isymphony_messages,
            per_ms: limits.isymphony_messages_ms,
            silence_ms: hub.config.isymphony.silence_ms,
        };
        let tag = self.enter(asker.peer);
        let stream = Stream {
            dialect: self.channel,
            tag,
            lending: Lending::default(),
            keepalive_at: hub.now.mono.plus_ms(hub.config.isymphony.ping_ms),
        };
        if hub.open_socket(asker.conn, &accept, &Fields::new(), stream, terms) {
            self.join(hub, asker.conn, Clause::default());
            hub.arm(asker.conn);
        } else {
            self.leave(tag);
        }
    }

    /// Lets a websocket follow what the filters let through of what its user may see.
    fn join(&self, hub: &mut Hub, id: ConnId, filters: Clause) {
        let view = View::new(vec![filters]);
        let view = match hub.who(id) {
            Some(who) => view.within(&who.only),
            None => view,
        };
        let channel = &mut hub.channels[usize::from(self.channel)];
        let (feed, cursor) = (channel.keep(&view), channel.arena().end());
        hub.follow(id, Tail { channel: self.channel, feed, cursor, catch_up: None });
        hub.channels[usize::from(self.channel)].release(feed);
    }

    pub(super) fn take_message(&mut self, hub: &mut Hub, id: ConnId, message: Message) {
        let wall = hub.now.wall;
        let read = match &message {
            Message::Text(text) => read::filters(text, hub.config.isymphony.lenient, &hub.config.limits),
            Message::Binary(_) => {
                Err(read::Wrong { correlation: Fact::Null, text: "send text frames".to_owned() })
            }
        };
        match read {
            Err(wrong) => hub.say(id, text(|out| render::error(&wrong.correlation, &wrong.text, wall, out))),
            Ok(filters) => {
                self.note_unknown(hub, id, &filters.types);
                // What is queued follows the old filters, and what comes after the answer the new ones.
                hub.unfollow(id);
                hub.say(id, text(|out| render::success(&filters.correlation, wall, out)));
                self.join(hub, id, filters.clause);
            }
        }
    }

    /// A filter for a type that never was is probably a mistake; whoever looks for it finds it in the log.
    fn note_unknown(&self, hub: &mut Hub, id: ConnId, types: &[Box<str>]) {
        let unknown = types.iter().filter(|name| !self.types.contains(*name)).take(NAMED_MAX);
        let unknown: Vec<String> = unknown.map(|name| format!("\"{name}\"")).collect();
        if let Some(conn) = hub.conns.get(id)
            && !unknown.is_empty()
        {
            let text = format!(
                "isymphony: {} filters for the type {}, which no event has had and the vocabulary does not have",
                conn.peer,
                unknown.join(", ")
            );
            hub.note(Level::Warn, text);
        }
    }
}

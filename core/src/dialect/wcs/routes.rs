//! What WCS has over HTTP: the handshake of its websocket, and `POST /rest-api/data/send`, by which a backend sends
//! something to a session's client.

use std::net::SocketAddr;
use std::sync::Arc;

use super::change::Change;
use super::envelope;
use super::messages::text_of;
use super::session::Session;
use super::{FIRST_TAG, NAME, Wcs, append_passing};
use crate::dialect::access::{self, Entry, Users};
use crate::dialect::native::{read::facts, render};
use crate::dialect::problem::{no_websocket, problem, wrong_method};
use crate::dialect::{Asker, Verdict};
use crate::event::Fact;
use crate::event::output::Lending;
use crate::ground::config::{Config, Keepalive, Right};
use crate::ground::deadline::Due;
use crate::ground::time::Mono;
use crate::hub::Hub;
use crate::hub::conn::Stream;
use crate::hub::socket::Terms;
use crate::log::record::Record;
use crate::wire::http::head::Head;
use crate::wire::http::reply::Reply;
use crate::wire::ws::handshake;

/// Where backends send to clients.
const PUSH: &str = "/rest-api/data/send";

/// The longest name of a host that becomes part of a session's (RFC 1035 section 2.3.4).
const HOST_BYTES: usize = 255;

/// Whether a path belongs to WCS, which has none without an application.
pub(super) fn claims(config: &Config, path: &str) -> bool {
    !config.wcs.apps.is_empty() && (path == PUSH || is_websocket(config, path))
}

fn is_websocket(config: &Config, path: &str) -> bool {
    path == "/" || config.wcs.paths.iter().any(|listed| listed == path)
}

pub(super) fn judge(hub: &mut Hub, asker: Asker, head: &Head<'_>) -> Verdict {
    if head.path == PUSH {
        return judge_push(hub, asker, head);
    }
    if let Err(wrong) = handshake::judge(head) {
        return Verdict::Refuse(no_websocket(wrong));
    }
    // Which application it is, the first message tells; here an origin is refused that none of them admits.
    if let Some(origin) = head.field("origin")
        && !hub.config.wcs.apps.iter().any(|app| app.admits(origin))
    {
        let text = format!(
            "its origin {origin} is not listed; allowed_origins = [\"{origin}\"] in a [wcs.apps.NAME] admits it"
        );
        hub.give_reason(None, text);
        return Verdict::Refuse(problem(403, "this origin may use no application"));
    }
    Verdict::Take { content_max: 0, pipelined: false }
}

fn judge_push(hub: &mut Hub, asker: Asker, head: &Head<'_>) -> Verdict {
    if let Some(reply) = access::own_origin(hub, head) {
        return Verdict::Refuse(reply);
    }
    let users = Arc::clone(&hub.config.wcs.push_users);
    let kept_out = if users.is_empty() {
        access::native(hub, asker, head, Right::Publish)
    } else {
        match access::basic(hub, asker, head, Users { key: "push_users", ..Users::of(NAME, &users) }) {
            Entry::Admitted(_) => None,
            Entry::Refused(reply) => Some(Verdict::Refuse(reply)),
            Entry::Waits => Some(Verdict::Wait),
        }
    };
    if let Some(verdict) = kept_out {
        return verdict;
    }
    match head.method {
        "POST" => Verdict::Take { content_max: hub.config.limits.wcs_message_bytes, pipelined: false },
        _ => Verdict::Refuse(wrong_method("POST")),
    }
}

impl Wcs {
    pub(super) fn serve_request(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>, content: &[u8]) {
        if head.path == PUSH {
            if let Err(reply) = self.push(hub, asker, content) {
                hub.reply(asker.conn, asker.request, reply);
            }
            return;
        }
        match handshake::judge(head) {
            Ok(accept) => self.open(hub, asker, head, accept),
            Err(wrong) => hub.reply(asker.conn, asker.request, no_websocket(wrong)),
        }
    }

    fn open(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>, accept: String) {
        let Config { limits, wcs, .. } = &hub.config;
        let (keepalive_at, silence_ms) = match wcs.keepalive {
            Keepalive::None => (Mono::NEVER, 0),
            // The last ping has its time to be answered as well.
            Keepalive::HighLevel | Keepalive::Internal => (
                hub.now.mono.plus_ms(wcs.keepalive_interval_ms),
                wcs.keepalive_interval_ms * (wcs.keepalive_count + 1),
            ),
        };
        let due = hub.now.mono.plus_ms(limits.wcs_connection_ms);
        let terms = Terms {
            // More is taken once the session is open.
            message_bytes: limits.wcs_connection_bytes.min(limits.wcs_message_bytes),
            messages: limits.wcs_messages,
            per_ms: limits.wcs_messages_ms,
            silence_ms,
        };
        let id = self.session_id(hub, asker, head);
        let origin = head.field("origin").map(Into::into);
        let tag = self.sessions.insert(Session::new(id, asker.conn, origin, due));
        let lending = Lending::default();
        let stream = Stream { dialect: self.place, tag, lending, keepalive_at };
        if hub.open_socket(asker.conn, &accept, &Vec::new(), stream, terms) {
            hub.deadlines.arm(due, Due::Dialect(self.place, FIRST_TAG + tag));
        } else {
            self.sessions.remove(tag);
        }
    }

    /// `/clientIP:port/serverIP:port`, as older servers have it; the server is what the client calls it, or the node's
    /// own address where that is longer than a name can be. Where that is taken, because a proxy stands between or
    /// hooks of an earlier session are left, a number follows.
    fn session_id(&self, hub: &mut Hub, asker: Asker, head: &Head<'_>) -> Box<str> {
        let port = hub.conns.get(asker.conn).map_or(0, |conn| conn.port);
        let host = head.host.filter(|host| host.len() <= HOST_BYTES);
        let server = host.unwrap_or(&hub.config.wcs.node_address);
        let id = format!("/{}/{server}", SocketAddr::new(asker.peer, port));
        if port == 0 || self.sessions.tag(&id).is_some() || self.places.contains_key(&*id) {
            return format!("{id}/{:016x}", hub.rng.next_u64()).into();
        }
        id.into()
    }

    /// Sends a backend's words on their way to a session, wherever its socket is.
    fn push(&mut self, hub: &mut Hub, asker: Asker, content: &[u8]) -> Result<(), Reply> {
        let text = std::str::from_utf8(content).map_err(|_| problem(400, "the body is not UTF-8"))?;
        let members = facts(text, &hub.config.limits).map_err(|why| problem(400, &why))?;
        let Some(session) = text_of(&members, "sessionId") else {
            return Err(problem(400, "`sessionId` is missing"));
        };
        if !self.is_reachable(session) {
            return Err(no_session());
        }
        let told = members.iter().filter(|(name, _)| matches!(&**name, "operationId" | "payload"));
        let mut data = Vec::new();
        render::object(&told.cloned().collect::<Vec<(Box<str>, Fact)>>(), &mut data);
        let data = String::from_utf8(data).expect("JSON is UTF-8").into_boxed_str();
        let change = Change::Push { session: session.into(), data };
        append_passing(hub, Some((asker.conn, asker.request)), &change);
        Ok(())
    }

    fn is_reachable(&self, session: &str) -> bool {
        self.places.get(session).is_some_and(|place| !place.gone)
    }

    /// What was pushed has its place among the session's events.
    pub(super) fn pushed(&mut self, hub: &mut Hub, record: &Record, session: &str, data: &str) {
        let reachable = self.is_reachable(session);
        if reachable
            && self.is_here(hub, session)
            && let Some(tag) = self.sessions.tag(session)
            && let Ok(fields) = facts(data, &hub.config.limits)
        {
            self.say(hub, tag, envelope::message("OnDataEvent", &fields));
        }
        if let Some((conn, request)) = record.origin.request
            && hub.is_own(record)
        {
            let reply = if reachable { Reply::new(200, "application/json", "{}") } else { no_session() };
            hub.reply(conn, request, reply);
        }
    }
}

fn no_session() -> Reply {
    problem(404, "no session of this `sessionId` is open")
}

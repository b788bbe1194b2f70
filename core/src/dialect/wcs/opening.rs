//! The beginning and the end of sessions: `connection`, the hook `connect`, what the log says of it, and what the backend
//! hears when the socket has gone.

use std::sync::Arc;

use super::change::Change;
use super::envelope;
use super::hook::Fields;
use super::judge::Outcome;
use super::messages::text_of;
use super::session::{Session, Stage};
use super::table::CONNECT;
use super::{NAME, Wcs, append_passing, publish_own, scope};
use crate::event::Fact;
use crate::ground::config::WcsApp;
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::hub::socket::CloseCode;

/// The application of clients that name none.
const DEFAULT_APP: &str = "defaultApp";

/// The type of a session's own events.
pub(super) const CONNECTION_TYPE: &str = "connection.status";

/// What the log does not hold.
const SECRETS: [&str; 2] = ["authToken", "sipPassword"];

impl Wcs {
    /// A client asks for its session.
    pub(super) fn connect(&mut self, hub: &mut Hub, tag: u32, fields: Fields) {
        let Some(session) = self.sessions.get_mut(tag) else { return };
        let key = text_of(&fields, "appKey").filter(|key| !key.is_empty()).unwrap_or(DEFAULT_APP);
        let app = hub.config.wcs.app(key);
        let refusal = match app {
            None => Some(format!("there is no application {key}")),
            Some(_) if hub.full => Some("the server cannot take sessions at the moment".to_owned()),
            Some(app) => refused_origin(app, session).map(|origin| {
                let text = format!(
                    "wcs: origin {origin} was refused; [wcs.apps.{key}] allowed_origins = [\"{origin}\"] admits it"
                );
                hub.note(Level::Info, text);
                "this origin may not use the application".to_owned()
            }),
        };
        if let Some(info) = refusal {
            return self.decline(hub, tag, &info);
        }
        session.app = key.into();
        session.stage = Stage::Connecting;
        let mut fields = fields;
        set_origin(&mut fields, session);
        let (key, id) = (session.app.clone(), session.id.clone());
        let event = hub.draft("", None, scope(&key, &id), fields);
        self.ask(hub, &key, CONNECT, Arc::new(event));
    }

    /// The hook `connect` has ended.
    pub(super) fn connect_judged(&mut self, hub: &mut Hub, tag: u32, outcome: Outcome) {
        let Some(session) = self.sessions.get_mut(tag) else { return };
        session.stage = Stage::Silent;
        if session.conn.is_none() {
            // Whoever asked is gone, and no session has begun.
            return self.sessions.remove(tag);
        }
        if session.closing {
            return;
        }
        match outcome {
            Outcome::Proceed { fields, policies, .. } => {
                session.policies = policies.unwrap_or_default();
                self.accept(hub, tag, fields);
            }
            Outcome::Decline(failure)
            | Outcome::Stop(failure, _)
            | Outcome::Tell(failure)
            | Outcome::Terminate(failure) => self.decline(hub, tag, &failure.info(CONNECT)),
        }
    }

    /// There is a session: all engines hear of it, then its first event is published.
    fn accept(&mut self, hub: &mut Hub, tag: u32, fields: Fields) {
        let Some(session) = self.sessions.get_mut(tag) else { return };
        session.stage = Stage::Accepted;
        let token = format!("{:016x}{:016x}", hub.rng.next_u64(), hub.rng.next_u64());
        session.secrets = vec![("authToken".into(), Fact::Text(token.into()))];
        let (secrets, fields): (Fields, Fields) =
            fields.into_iter().partition(|(name, _)| SECRETS.contains(&&**name));
        session.secrets.extend(secrets.into_iter().filter(|(name, _)| &**name != "authToken"));
        let identity = ["nodeId", "appKey", "sessionId", "status"];
        session.fields = fields.into_iter().filter(|(name, _)| !identity.contains(&&**name)).collect();
        let (id, app) = (session.id.clone(), session.app.clone());
        append_passing(hub, None, &Change::Opened { session: id, app, shard: hub.place.shard.0 });
        self.publish_status(hub, tag, "ESTABLISHED");
    }

    fn publish_status(&mut self, hub: &mut Hub, tag: u32, status: &str) {
        let Some(session) = self.sessions.get(tag) else { return };
        let facts = with_status(&session.fields, status);
        let scope = scope(&session.app, &session.id);
        publish_own(hub, CONNECTION_TYPE, None, scope, facts);
    }

    /// Another engine's session has this name. Names are of addresses and ports, so somebody in between hides them.
    pub(super) fn opened_elsewhere(&mut self, hub: &mut Hub, id: &str) {
        if let Some(tag) = self.sessions.tag(id) {
            if let Some(session) = self.sessions.get_mut(tag) {
                session.stage = Stage::Silent;
            }
            self.dismiss(hub, tag, "another session has this name; connect again");
        }
    }

    /// A client is not let in: as [`Wcs::dismiss`], and the audit log hears of it.
    fn decline(&mut self, hub: &mut Hub, tag: u32, info: &str) {
        if let Some(conn) = self.sessions.get(tag).and_then(|session| session.conn) {
            hub.tell_declined(conn, NAME, info);
        }
        self.dismiss(hub, tag, info);
    }

    /// `fail`, then the end of the socket; no session begins, or none is left.
    pub(super) fn dismiss(&mut self, hub: &mut Hub, tag: u32, info: &str) {
        self.say(hub, tag, envelope::fail(info));
        self.shut(hub, tag, CloseCode::POLICY_VIOLATION, "refused");
    }

    /// Closes a session's socket.
    pub(super) fn shut(&mut self, hub: &mut Hub, tag: u32, code: u16, reason: &'static str) {
        let Some(session) = self.sessions.get_mut(tag).filter(|session| !session.closing) else { return };
        session.closing = true;
        if let Some(conn) = session.conn {
            hub.close_socket(conn, code, reason);
        }
    }

    /// Sessions of applications that the config has no longer end.
    pub(super) fn dismiss_the_removed(&mut self, hub: &mut Hub) {
        for tag in self.sessions.tags() {
            let gone = |s: &Session| s.stage != Stage::Silent && hub.config.wcs.app(&s.app).is_none();
            if self.sessions.get(tag).is_some_and(gone) {
                self.dismiss(hub, tag, "the application was removed");
            }
        }
    }

    /// `connection` did not come in time.
    pub(super) fn connection_due(&mut self, hub: &mut Hub, tag: u32) {
        let late = |session: &Session| session.stage == Stage::Silent && session.due <= hub.now.mono;
        if self.sessions.get(tag).is_some_and(late) {
            self.dismiss(hub, tag, "no `connection` came in time");
        }
    }

    /// A session's socket has gone.
    pub(super) fn socket_closed(&mut self, hub: &mut Hub, tag: u32) {
        let Some(session) = self.sessions.get_mut(tag) else { return };
        session.conn = None;
        match session.stage {
            Stage::Silent => self.sessions.remove(tag),
            Stage::Connecting | Stage::Ended => {}
            Stage::Accepted | Stage::Open => {
                let is_homeless = hub.config.wcs.app(&session.app).is_none();
                let id = session.id.clone();
                append_passing(hub, None, &Change::Gone { session: id });
                self.publish_status(hub, tag, "DISCONNECTED");
                if is_homeless {
                    // No hook of its application will end, and say that it is over.
                    self.own_status(hub, tag, "DISCONNECTED");
                    self.part(hub, tag);
                }
            }
        }
    }

    /// A session's own event stands in the log: the client hears of its beginning, and may say more from then on, and
    /// nobody after its end.
    pub(super) fn own_status(&mut self, hub: &mut Hub, tag: u32, status: &str) {
        let Some(session) = self.sessions.get_mut(tag) else { return };
        session.said = hub.applied;
        session.stage = match status {
            "DISCONNECTED" => Stage::Ended,
            _ => Stage::Open,
        };
        if let Some(conn) = session.conn.filter(|_| session.stage == Stage::Open) {
            hub.raise_message_bytes(conn, hub.config.limits.wcs_message_bytes);
        }
    }

    /// When the last hook of a session that is gone has ended, its events are no longer this engine's affair. If another
    /// came meanwhile, the record says nothing, and the end of that one's hook tries again.
    pub(super) fn part(&mut self, hub: &mut Hub, tag: u32) {
        let Some(session) = self.sessions.get(tag).filter(|session| session.stage == Stage::Ended) else {
            return;
        };
        if !self.queue.has_session(&session.app, &session.id)
            && let Some(place) = self.places.get(&session.id)
        {
            let change = Change::Closed { session: session.id.clone(), through: place.last.0 };
            append_passing(hub, None, &change);
        }
    }

    /// A session has ended, as far as the log is concerned.
    pub(super) fn closed_through(&mut self, hub: &mut Hub, id: &str, through: u64) {
        let Some(place) = self.places.get(id) else { return };
        let is_own = place.shard == hub.place.shard;
        if place.last.0 > through {
            if let Some(tag) = self.sessions.tag(id).filter(|_| is_own) {
                self.part(hub, tag);
            }
            return;
        }
        self.places.remove(id);
        if let Some(tag) = self.sessions.tag(id).filter(|_| is_own) {
            self.sessions.remove(tag);
        }
    }
}

/// What a session's own event says.
pub(super) fn with_status(fields: &Fields, status: &str) -> Fields {
    let mut facts: Fields = fields.iter().filter(|(name, _)| &**name != "status").cloned().collect();
    facts.push(("status".into(), Fact::Text(status.into())));
    facts
}

/// The handshake's origin, if the application does not admit it.
fn refused_origin<'s>(app: &WcsApp, session: &'s Session) -> Option<&'s str> {
    let origin = session.origin.as_deref()?;
    (!app.admits(origin)).then_some(origin)
}

/// The backend hears where the page came from, whatever the client says.
fn set_origin(fields: &mut Fields, session: &Session) {
    fields.retain(|(name, _)| &**name != "origin");
    fields.extend(session.origin.iter().map(|origin| ("origin".into(), Fact::Text(origin.clone()))));
}

//! Sessions that ended with the process: the log says that they began, and nothing of their end, which their backend
//! hears of after the next start.

use super::change::Change;
use super::hook::Fields;
use super::messages::text_of;
use super::opening::{CONNECTION_TYPE, with_status};
use super::session::Stage;
use super::{Wcs, append, publish_own, scope};
use crate::dialect::native::{read::facts, render};
use crate::event::Event;
use crate::ground::id::Seq;
use crate::hub::Hub;

/// A session of which the log, as far as it was read, does not say that it ended.
#[derive(Debug)]
pub(super) struct Leftover {
    app: Box<str>,
    /// What its ConnectionStatusEvent said, but for the status.
    fields: Fields,
}

impl Wcs {
    /// While the log is read: one of a session's own events.
    pub(super) fn recover_status(&mut self, event: &Event) {
        let (Some(app), Some(session)) = (event.extension("appkey"), event.extension("sessionid")) else {
            return;
        };
        let fields = event.facts().to_vec();
        match text_of(&fields, "status") {
            Some("ESTABLISHED") => {
                self.leftovers.insert(session.into(), Leftover { app: app.into(), fields });
            }
            Some("DISCONNECTED") => drop(self.leftovers.remove(session)),
            Some(_) | None => {}
        }
    }

    /// The log has said again that a session began.
    pub(super) fn begun(&mut self, hub: &Hub, session: &str, app: &str, data: &str) {
        if !hub.recovering {
            if let Some(session) = self.sessions.tag(session).and_then(|tag| self.sessions.get_mut(tag)) {
                session.said = hub.applied;
            }
        } else if let Ok(fields) = facts(data, &hub.config.limits) {
            self.leftovers.insert(session.into(), Leftover { app: app.into(), fields });
        }
    }

    /// All of the log is read, and nobody has their sockets any more.
    pub(super) fn end_leftovers(&mut self, hub: &mut Hub) {
        for (session, Leftover { app, fields }) in std::mem::take(&mut self.leftovers) {
            if self.owns(hub, &app) && hub.config.wcs.app(&app).is_some() {
                let facts = with_status(&fields, "DISCONNECTED");
                publish_own(hub, CONNECTION_TYPE, None, scope(&app, &session), facts);
            }
        }
    }

    /// Says again which of this engine's sessions are open, if that was last said at or before `through`.
    pub(super) fn say_open_sessions(&mut self, hub: &mut Hub, through: Seq) {
        for tag in self.sessions.tags() {
            let Some(session) = self.sessions.get(tag) else { continue };
            if session.stage == Stage::Open && session.conn.is_some() && session.said <= through {
                let mut data = Vec::new();
                render::object(&session.fields, &mut data);
                let data = String::from_utf8(data).expect("JSON is UTF-8").into_boxed_str();
                let (session, app) = (session.id.clone(), session.app.clone());
                append(hub, &Change::Begun { session, app, data });
            }
        }
    }
}

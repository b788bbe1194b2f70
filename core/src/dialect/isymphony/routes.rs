//! iSymphony's addresses, and who may open the websocket: the address first, then the request, then who asks.

use std::sync::Arc;

use super::{Isymphony, NAME};
use crate::dialect::access::{self, Entry, Users};
use crate::dialect::problem::{no_websocket, problem};
use crate::dialect::{Asker, Verdict};
use crate::ground::config::Right;
use crate::hub::Hub;
use crate::wire::http::head::Head;
use crate::wire::http::reply::Reply;
use crate::wire::ws::handshake;

/// Where the websocket is.
pub(super) const EVENTS: &str = "/communication_manager/ws/event";

/// The Live API of the original.
const LIVE: &str = "/communication_manager/rest/";

/// The realm that the original names.
const REALM: &str = "communication_manager";

/// Why nobody may come in, and what would let somebody in.
pub(super) const CLOSED: &str =
    "there are no credentials; [isymphony] users = [{ name = \"...\", password_hash = \"...\" }] opens it";

pub(super) fn claims(path: &str) -> bool {
    path.strip_prefix("/communication_manager").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Isymphony {
    pub(super) fn judge_request(&self, hub: &mut Hub, asker: Asker, head: &Head<'_>) -> Verdict {
        if let Some(reply) = self.refusal(hub, asker, head) {
            return Verdict::Refuse(reply);
        }
        let token =
            hub.config.isymphony.query_token.then(|| access::query_token(hub, asker, head, Right::Read));
        let entry = token.flatten().unwrap_or_else(|| {
            let users = Arc::clone(&hub.config.isymphony.users);
            access::basic(hub, asker, head, Users { realm: REALM, ..Users::of(NAME, &users) })
        });
        match entry {
            Entry::Admitted(_) => Verdict::Take { content_max: 0, pipelined: false },
            Entry::Refused(reply) => Verdict::Refuse(reply),
            Entry::Waits => Verdict::Wait,
        }
    }

    /// Before the log has said `coreServerId`, which stands in every event, nobody can listen.
    fn nameless(&self) -> Option<Reply> {
        let is_nameless = self.core_server.is_none();
        is_nameless.then(|| problem(503, "the server is about to start").with("Retry-After", "1"))
    }

    /// What keeps a request out, whoever asks.
    fn refusal(&self, hub: &mut Hub, asker: Asker, head: &Head<'_>) -> Option<Reply> {
        if let Some(reply) = access::address(hub, asker, NAME, |config| Some(&config.isymphony.allow)) {
            return Some(reply);
        }
        if head.path.starts_with(LIVE) {
            return Some(problem(501, "offhook serves the Event API only"));
        }
        if head.path != EVENTS {
            return Some(problem(404, "no such address under /communication_manager"));
        }
        if !hub.config.is_isymphony_open() {
            hub.give_reason(None, CLOSED);
            return Some(problem(503, "this address is closed: the server has no credentials for it"));
        }
        if let Err(wrong) = handshake::judge(head) {
            return Some(no_websocket(wrong));
        }
        access::origin(hub, head, NAME, |config| &config.isymphony.allowed_origins)
            .or_else(|| self.no_room(hub, asker.peer))
            .or_else(|| self.nameless())
    }
}

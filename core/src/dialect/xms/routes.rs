//! XMS requests: which address is which, who may use it, and what it answers.

use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::change::{Change, Room};
use super::read::edits;
use super::state::Summary;
use super::{NAME, Xms, render};
use crate::dialect::access::{self, Entry, Users};
use crate::dialect::problem::{problem, wrong_method};
use crate::dialect::{Asker, Verdict};
use crate::ground::config::{Only, Right};
use crate::hub::Hub;
use crate::log::record::Body;
use crate::wire::http::head::Head;
use crate::wire::http::query::{Pair, pairs, percent_decode};
use crate::wire::http::reply::Reply;

/// Where operators list all eventhandlers with their counters.
const LISTING: &str = "/v1/xms/eventhandlers";

/// A page of that list.
const PAGE: usize = 1_000;

/// What an address names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place<'a> {
    Collection,
    Instance(&'a str),
    /// A resource that offhook has none of, by its element; an instance of it, if named.
    Foreign(&'static str, bool),
    Listing,
    Unknown,
}

/// Which paths are XMS's is known only with the configured prefix.
pub(super) fn claims(prefix: &str, path: &str) -> bool {
    path == LISTING || path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'))
}

fn place<'a>(prefix: &str, path: &'a str) -> Place<'a> {
    if path == LISTING {
        return Place::Listing;
    }
    let Some(rest) = path.strip_prefix(prefix).and_then(|p| p.strip_prefix('/')) else {
        return Place::Unknown;
    };
    let (collection, id) = rest.split_once('/').unwrap_or((rest, ""));
    let foreign = |element| Place::Foreign(element, !id.is_empty());
    match collection {
        "eventhandlers" if id.is_empty() => Place::Collection,
        "eventhandlers" if !id.contains('/') => Place::Instance(id),
        "calls" => foreign("calls_response"),
        "conferences" => foreign("conferences_response"),
        "mrcps" => foreign("mrcps_response"),
        _ => Place::Unknown,
    }
}

/// A request whose address and application are known good.
struct Request<'a> {
    place: Place<'a>,
    app: String,
    query: Vec<Pair>,
}

impl Request<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

fn no_such_handler() -> Reply {
    render::error(404, "no such eventhandler")
}

fn not_allowed(methods: &'static str) -> Reply {
    render::error(405, &format!("allowed here: {methods}")).with("Allow", methods)
}

impl Xms {
    pub(super) fn judge_request(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>) -> Verdict {
        let take = Verdict::Take { content_max: hub.config.limits.xms_body_bytes, pipelined: false };
        let request = match read_request(hub, head) {
            Ok(request) => request,
            Err(reply) => return Verdict::Refuse(reply),
        };
        if let Some(verdict) = admit(hub, asker, head, &request) {
            return verdict;
        }
        let refusal = match (request.place, head.method) {
            (Place::Listing, "GET" | "HEAD") => None,
            (Place::Listing, _) => Some(wrong_method("GET, HEAD")),
            (Place::Collection, "GET" | "HEAD") => None,
            (Place::Collection, "POST") => self.excess(Room::of(&hub.config.limits), &request.app, None, 0),
            (Place::Collection, _) => Some(not_allowed("GET, HEAD, POST")),
            (Place::Instance(_), "GET" | "HEAD") => refuse_view(&request, head),
            (Place::Instance(_), "PUT" | "DELETE") => None,
            (Place::Instance(_), _) => Some(not_allowed("GET, HEAD, PUT, DELETE")),
            (Place::Foreign(element, false), "GET" | "HEAD") => Some(render::empty_list(element)),
            (Place::Foreign(_, false), "POST") => Some(render::error(501, "offhook serves events only")),
            (Place::Foreign(_, true), "GET" | "HEAD" | "PUT" | "DELETE") => {
                Some(render::error(404, "no such resource: offhook serves events only"))
            }
            (Place::Foreign(_, false), _) => Some(not_allowed("GET, HEAD, POST")),
            (Place::Foreign(_, true), _) => Some(not_allowed("GET, HEAD, PUT, DELETE")),
            (Place::Unknown, _) => Some(render::error(404, "no such address")),
        };
        if let Some(reply) = refusal {
            return Verdict::Refuse(reply);
        }
        if let Place::Instance(id) = request.place
            && self.find(hub, asker, &request.app, id).is_none()
        {
            return Verdict::Refuse(no_such_handler());
        }
        take
    }

    /// Why an application cannot have one more eventhandler with `after` subscriptions, or one of its eventhandlers so
    /// many instead of `before`.
    pub(super) fn excess(&self, room: Room, app: &str, before: Option<usize>, after: usize) -> Option<Reply> {
        let (handlers, subscriptions) = self.state.count(app);
        let all = subscriptions - before.unwrap_or(0) as u64 + after as u64;
        let full = |max: u64, what: &str| {
            let text = format!("the application has {max} {what}, which is all it may have");
            Some(render::error(503, &text).with("Retry-After", "60"))
        };
        if after as u64 > room.subscriptions {
            let max = room.subscriptions;
            Some(render::error(400, &format!("an eventhandler has at most {max} subscriptions")))
        } else if before.is_none() && handlers >= room.handlers {
            full(room.handlers, "eventhandlers")
        } else if all > room.subscriptions_of_app && after > before.unwrap_or(0) {
            full(room.subscriptions_of_app, "subscriptions")
        } else {
            None
        }
    }

    /// The eventhandler of an application, by the id in an address, if all that it delivers is for the one who asks; ids are
    /// compared without regard to case.
    fn find(&self, hub: &Hub, asker: Asker, app: &str, id: &str) -> Option<Uuid> {
        // Other notations of a UUID are no ids of ours.
        let id = (id.len() == 36).then(|| percent_decode(id).ok()).flatten()?.parse().ok()?;
        let only = only(hub, asker);
        self.state.handler(id).filter(|h| *h.app == *app && only.covers(&h.only)).map(|_| id)
    }

    pub(super) fn serve_request(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>, content: &[u8]) {
        let reply = match read_request(hub, head) {
            Err(reply) => Some(reply),
            Ok(request) => match (request.place, head.method) {
                (Place::Listing, _) => Some(self.listing(hub, &request)),
                (Place::Collection, "POST") => self.create(hub, asker, head, &request.app, content),
                (Place::Collection, _) => Some(self.list(hub, asker, &request.app)),
                (Place::Instance(id), method) => match self.find(hub, asker, &request.app, id) {
                    None => Some(no_such_handler()),
                    Some(id) => self.serve_instance(hub, asker, head, method, id, &request, content),
                },
                (Place::Foreign(..) | Place::Unknown, _) => Some(render::error(404, "no such address")),
            },
        };
        if let Some(reply) = reply {
            hub.reply(asker.conn, asker.request, reply);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "all of it is the one request")]
    fn serve_instance(
        &mut self,
        hub: &mut Hub,
        asker: Asker,
        head: &Head<'_>,
        method: &str,
        id: Uuid,
        request: &Request<'_>,
        content: &[u8],
    ) -> Option<Reply> {
        match method {
            "PUT" => match edits(content, &hub.config) {
                Err(reason) => Some(render::error(400, &reason)),
                Ok(edits) => {
                    let room = Room::of(&hub.config.limits);
                    self.append(hub, asker, &Change::Put { id, edits, room });
                    None
                }
            },
            "DELETE" => {
                self.append(hub, asker, &Change::Deleted { id });
                None
            }
            _ if request.value("view").is_some() => {
                let body = self.state.view(&hub.config, id).map(|v| render::handler_state(v.borrow()));
                Some(body.map_or_else(no_such_handler, |body| Reply::new(200, render::XML, body)))
            }
            _ if head.is_head() => {
                Some(Reply { content_type: Some(render::STREAM), endless: true, ..Reply::empty(200) })
            }
            _ => {
                self.append(hub, asker, &Change::Opened { id });
                None
            }
        }
    }

    fn create(
        &mut self,
        hub: &mut Hub,
        asker: Asker,
        head: &Head<'_>,
        app: &str,
        content: &[u8],
    ) -> Option<Reply> {
        let edits = match edits(content, &hub.config) {
            Ok(edits) => edits,
            Err(reason) => return Some(render::error(400, &reason)),
        };
        let room = Room::of(&hub.config.limits);
        let subscriptions = super::read::apply(Vec::new(), &edits).len();
        if let Some(reply) = self.excess(room, app, None, subscriptions) {
            return Some(reply);
        }
        let id = hub.rng.uuid_v4();
        let base = match (&hub.config.xms.public_url, head.host) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Some(host)) => format!("http{}://{host}", if asker.https { "s" } else { "" }),
            // An HTTP/1.0 request without Host: a relative reference is the best that can be said.
            (None, None) => String::new(),
        };
        let location = format!("{base}{}/eventhandlers/{id}", hub.config.xms.prefix);
        self.creating.push((asker.conn, asker.request, location));
        let only = only(hub, asker);
        self.append(hub, asker, &Change::Created { id, app: app.into(), edits, room, only });
        None
    }

    fn append(&self, hub: &mut Hub, asker: Asker, change: &Change) {
        let actor = hub.actor(asker.conn);
        // The opening of a stream is kept as well, though nobody waits until it is durable: whether an eventhandler was idle
        // when the log said that it expires must be the same after a restart.
        hub.append(actor, Some((asker.conn, asker.request)), true, true, Body::Change(NAME, change.encode()));
    }

    fn list(&self, hub: &Hub, asker: Asker, app: &str) -> Reply {
        let views = self.state.views(&hub.config, app, &only(hub, asker));
        let views: Vec<_> = views.iter().map(|v| v.borrow()).collect();
        Reply::new(200, render::XML, render::handlers(&views))
    }

    /// The eventhandlers of all applications as JSON, a page at a time.
    fn listing(&self, hub: &Hub, request: &Request<'_>) -> Reply {
        #[derive(Serialize)]
        struct Page {
            eventhandlers: Vec<Summary>,
            next: Option<String>,
        }
        let limit = match request.value("limit").map(str::parse::<usize>) {
            None => PAGE,
            Some(Ok(limit)) if (1..=10 * PAGE).contains(&limit) => limit,
            Some(_) => return problem(400, "`limit` is a number from 1 to 10000"),
        };
        let after = match request.value("after").map(str::parse::<u64>) {
            None => 0,
            Some(Ok(after)) => after,
            Some(Err(_)) => return problem(400, "`after` is the `next` of the page before"),
        };
        let appid = request.value("appid");
        let mut found = self.state.summaries(hub, self.channel, after, appid, limit + 1);
        let next = (found.len() > limit).then(|| {
            found.truncate(limit);
            found.last().map_or(0, |(order, _)| *order).to_string()
        });
        let page = Page { eventhandlers: found.into_iter().map(|(_, summary)| summary).collect(), next };
        Reply::new(200, "application/json", serde_json::to_vec(&page).unwrap_or_default())
    }
}

/// What the one who asks may see.
fn only(hub: &Hub, asker: Asker) -> Only {
    hub.who(asker.conn).map(|who| who.only.clone()).unwrap_or_default()
}

fn refuse_view(request: &Request<'_>, head: &Head<'_>) -> Option<Reply> {
    match request.value("view") {
        None => None,
        Some("state") if head.field("accept").is_none_or(admits_xml) => None,
        Some("state") => Some(render::error(406, "view=state answers with application/xml")),
        Some(other) => Some(render::error(400, &format!("view={other} is unknown; there is view=state"))),
    }
}

fn admits_xml(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let media = range.split(';').next().unwrap_or_default().trim();
        ["*/*", "application/*", render::XML].iter().any(|m| media.eq_ignore_ascii_case(m))
    })
}

/// What keeps somebody away from an address, if anything does.
fn admit(hub: &mut Hub, asker: Asker, head: &Head<'_>, request: &Request<'_>) -> Option<Verdict> {
    if request.place == Place::Listing {
        return access::native(hub, asker, head, Right::Admin);
    }
    let own_form = |reply: Reply| {
        let text = access::sentence(reply.status);
        Verdict::Refuse(Reply { fields: reply.fields, ..render::error(reply.status, text) })
    };
    let section = format!("xms.app.{}", request.app);
    let refused =
        access::address(hub, asker, &section, |config| config.xms.app(&request.app)?.allow.as_deref());
    if let Some(reply) = refused.or_else(|| access::own_origin(hub, head)) {
        return Some(own_form(reply));
    }
    let users = Arc::clone(&hub.config.xms.app(&request.app)?.users);
    if users.is_empty() {
        return None;
    }
    match access::basic(hub, asker, head, Users::of(&section, &users)) {
        Entry::Admitted(_) => None,
        Entry::Refused(reply) => Some(own_form(reply)),
        Entry::Waits => Some(Verdict::Wait),
    }
}

fn read_request<'a>(hub: &Hub, head: &Head<'a>) -> Result<Request<'a>, Reply> {
    let place = place(&hub.config.xms.prefix, head.path);
    if place == Place::Listing {
        let query =
            pairs(head.query, &['&']).map_err(|text| problem(400, &format!("`{text}` in the query")))?;
        return Ok(Request { place, app: String::new(), query });
    }
    if place == Place::Unknown {
        return Err(render::error(404, "no such address"));
    }
    let query = pairs(head.query, &['&', ';'])
        .map_err(|text| render::error(400, &format!("{text} in the query is not percent-encoded UTF-8")))?;
    let mut appids = query.iter().filter(|(name, _)| name == "appid").map(|(_, value)| value);
    let Some(appid) = appids.next().filter(|appid| !appid.is_empty()) else {
        return Err(render::error(400, "appid is missing"));
    };
    if appids.any(|other| other != appid) {
        return Err(render::error(400, "appid stands twice with different values"));
    }
    let Some(app) = hub.config.xms.app(appid) else {
        return Err(render::error(404, "no such appid"));
    };
    Ok(Request { place, app: app.name.clone(), query })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (path, expected) in [
            ("/default/eventhandlers", Place::Collection),
            ("/default/eventhandlers/", Place::Collection),
            ("/default/eventhandlers/x", Place::Instance("x")),
            ("/default/eventhandlers/x/y", Place::Unknown),
            ("/default/calls", Place::Foreign("calls_response", false)),
            ("/default/calls/7", Place::Foreign("calls_response", true)),
            ("/default/nope", Place::Unknown),
            ("/default/", Place::Unknown),
            ("/v1/xms/eventhandlers", Place::Listing),
        ] {
            assert_eq!(place("/default", path), expected, "{path}");
        }
        assert!(
            claims("/default", "/default/x")
                && !claims("/default", "/defaultx")
                && !claims("/default", "/v1/events")
        );
    }
}

//! Which address is which, who may use it, and what it answers. Both faces, XML under the vendor's path and JSON under
//! `/v1/subscriptions`, show the same subscriptions to the same owners.

use std::sync::Arc;

use uuid::Uuid;

use super::change::Change;
use super::read::{self, Asked, Refusal};
use super::state::{Form, How, Subscription};
use super::{NAME, Sep, json, receiver, render};
use crate::dialect::access::{self, Entry, Users};
use crate::dialect::problem::problem;
use crate::dialect::{Asker, Verdict};
use crate::ground::config::{Config, Right};
use crate::hub::Hub;
use crate::log::record::Body;
use crate::wire::http::head::Head;
use crate::wire::http::query::{Pair, pairs};
use crate::wire::http::reply::Reply;

/// The path of the vendor's page, and the one that it shows in some places instead.
const PATH: &str = "/v/2009-06/sep";
const ALIAS: &str = "/v/2009-01/sep";
/// The same in JSON.
const JSON_PATH: &str = "/v1/subscriptions";

/// A page of the list in JSON, unless the query says otherwise.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;

/// What is said of an id that names nothing that the one who asks may see.
pub(super) const NO_SUCH: &str = "there is no such subscription";

/// The seconds after which there may be room.
const RETRY_S: &str = "60";

/// What is said when there are as many subscriptions as there may be.
pub(super) fn all_made(room: u64) -> String {
    format!("there are {room} subscriptions, which is all there may be")
}

/// What is said when a list would be too much beside all others.
pub(super) fn all_listed(room: u64) -> String {
    format!("all subscriptions may have {room} entries, and with these there would be more")
}

/// What is said of a subscription that has ended.
pub(super) fn has_ended(how: How) -> String {
    match how {
        How::Deleted => "the subscription was deleted",
        How::Expired => "the subscription has expired",
        How::Gone => "the subscription has ended, because its callback answered 410",
    }
    .to_owned()
}

/// In which words a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Face {
    Xml,
    Json,
}

/// What an address names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place<'a> {
    All,
    One(&'a str),
    Unknown,
}

/// Whether a path is one of SEP's.
pub(in crate::dialect) fn claims(path: &str) -> bool {
    place(path).is_some()
}

fn place(path: &str) -> Option<(Face, Place<'_>)> {
    [(PATH, Face::Xml), (ALIAS, Face::Xml), (JSON_PATH, Face::Json)].into_iter().find_map(|(own, face)| {
        let place = match path.strip_prefix(own)? {
            "" | "/" => Place::All,
            rest => match rest.strip_prefix('/')? {
                id if id.contains('/') => Place::Unknown,
                id => Place::One(id),
            },
        };
        Some((face, place))
    })
}

/// In which words requests for a path are answered.
pub(super) fn face(path: &str) -> Face {
    place(path).map_or(Face::Xml, |(face, _)| face)
}

/// What an address does.
fn methods(place: Place<'_>) -> &'static str {
    match place {
        Place::All => "GET, HEAD, POST",
        Place::One(_) => "GET, HEAD, PUT, DELETE",
        Place::Unknown => "",
    }
}

/// The absolute URL of a subscription, as its own form has it.
#[must_use]
pub(super) fn location(base: &str, form: Form, id: Uuid) -> String {
    let path = match form {
        Form::Xml => PATH,
        Form::Json => JSON_PATH,
    };
    format!("{base}{path}/{id}")
}

impl Face {
    fn form(self) -> Form {
        match self {
            Face::Xml => Form::Xml,
            Face::Json => Form::Json,
        }
    }

    /// What is wrong, in its own words.
    pub(super) fn refusal(self, status: u16, text: &str) -> Reply {
        match self {
            Face::Xml => render::error(status, text),
            Face::Json => problem(status, text),
        }
    }

    /// A refusal of the access layer in its own words.
    fn own(self, hub: &Hub, head: &Head<'_>, reply: Reply) -> Reply {
        match self {
            Face::Xml => {
                let text = access::sentence(reply.status);
                Reply { fields: reply.fields, ..render::error(reply.status, text) }
            }
            Face::Json => access::with_cors(hub, head, reply),
        }
    }

    /// A subscription that was made, changed or asked for.
    pub(super) fn document(self, status: u16, subscription: &Subscription, config: &Config) -> Reply {
        let reply = match self {
            Face::Xml => Reply::new(status, render::XML, render::inline(subscription, config)),
            Face::Json => Reply::new(status, json::JSON, json::subscription(subscription)),
        };
        match status {
            201 => reply.with("Location", location(&subscription.base, self.form(), subscription.id)),
            _ => reply,
        }
    }

    fn read(self, content: &[u8], hub: &Hub) -> Result<Asked, Refusal> {
        match self {
            Face::Xml => read::xml(content, &hub.config.limits),
            Face::Json => json::read(content, hub.now.wall)?.within(&hub.config.sip.targets),
        }
    }

    /// Why a request's content cannot be read, if so.
    fn refuse_type(self, head: &Head<'_>) -> Option<Reply> {
        let media =
            head.field("content-type").map(|value| value.split(';').next().unwrap_or_default().trim());
        let is = |name: &str| media.is_some_and(|media| media.eq_ignore_ascii_case(name));
        match self {
            Face::Xml if media.is_none() || is("text/xml") || is("application/xml") => None,
            Face::Xml => Some(self.refusal(415, "taken here: text/xml, application/xml")),
            Face::Json if is("application/json") => None,
            Face::Json => Some(self.refusal(415, "taken here: application/json")),
        }
    }
}

/// What form of a document a client admits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admitted {
    Inline,
    Multipart,
}

/// Reads `Accept`: the best of what it admits, the first of equals. What is no media range does not count; without any
/// that does, everything is admitted.
fn admitted(accept: Option<&str>) -> Option<Admitted> {
    let mut best: Option<(u32, Admitted)> = None;
    let mut ranges = 0;
    for range in accept.unwrap_or_default().split(',') {
        let mut parts = range.split(';').map(str::trim);
        let Some(media) = parts.next().filter(|media| media.contains('/')) else { continue };
        ranges += 1;
        let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        let thousandths = weight.map_or(Some(1.0), |q| q.parse::<f32>().ok()).unwrap_or(0.0) * 1_000.0;
        let form = match media.to_ascii_lowercase().as_str() {
            "*/*" | "application/*" | "application/xml" | "text/*" | "text/xml" => Admitted::Inline,
            "multipart/*" | "multipart/related" => Admitted::Multipart,
            _ => continue,
        };
        let weight = thousandths as u32;
        if weight > 0 && best.is_none_or(|(before, _)| weight > before) {
            best = Some((weight, form));
        }
    }
    if ranges == 0 { Some(Admitted::Inline) } else { best.map(|(_, form)| form) }
}

impl Sep {
    pub(super) fn judge_request(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>) -> Verdict {
        let Some((face, place)) = place(head.path) else {
            return Verdict::Refuse(problem(404, "no such address"));
        };
        if !hub.config.sep.served {
            let text = "SIP subscriptions are not served here: [sip] listen is not set";
            return Verdict::Refuse(face.refusal(404, text));
        }
        if let Some(verdict) = admit(hub, asker, head, face) {
            return verdict;
        }
        let allowed = methods(place);
        let refusal = if place == Place::Unknown {
            Some(face.refusal(404, "no such address"))
        } else if !allowed.split(", ").any(|method| method == head.method) {
            Some(face.refusal(405, &format!("allowed here: {allowed}")).with("Allow", allowed))
        } else {
            let found = match place {
                Place::One(id) => self.find(hub, asker, face, id).map(|_| ()),
                Place::All | Place::Unknown => Ok(()),
            };
            match head.method {
                _ if found.is_err() => found.err(),
                "POST" | "PUT" => face.refuse_type(head),
                "DELETE" => None,
                _ if face == Face::Json => None,
                _ => match (admitted(head.field("accept")), place) {
                    (None, _) | (Some(Admitted::Multipart), Place::All) => {
                        Some(face.refusal(406, "given here: application/xml, and of one multipart/related"))
                    }
                    _ => None,
                },
            }
        };
        match refusal {
            Some(reply) => Verdict::Refuse(with_cors(hub, head, face, reply)),
            None => Verdict::Take { content_max: hub.config.limits.sep_body_bytes, pipelined: false },
        }
    }

    pub(super) fn serve_request(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>, content: &[u8]) {
        let Some((face, place)) = place(head.path) else { return };
        let served = match (place, head.method) {
            (Place::All, "POST") => self.create(hub, asker, head, face, content),
            (Place::All, _) => Err(self.list(hub, asker, head, face)),
            (Place::One(id), "PUT") => self.change_one(hub, asker, face, id, content),
            (Place::One(id), "DELETE") => self.find(hub, asker, face, id).map(|known| known.id).map(|id| {
                let how = How::Deleted;
                self.send(hub, asker, face, &Change::Ended { id, how });
            }),
            (Place::One(id), _) => self.find(hub, asker, face, id).and_then(|known| {
                Err(match admitted(head.field("accept")) {
                    Some(Admitted::Multipart) if face == Face::Xml => {
                        render::multipart_reply(known, &hub.config)
                    }
                    _ => face.document(200, known, &hub.config),
                })
            }),
            (Place::Unknown, _) => Err(face.refusal(404, "no such address")),
        };
        if let Err(reply) = served {
            hub.reply(asker.conn, asker.request, with_cors(hub, head, face, reply));
        }
    }

    /// A subscription of the one who asks, by the id in an address; those of others look like none.
    fn find(&self, hub: &Hub, asker: Asker, face: Face, id: &str) -> Result<&Subscription, Reply> {
        // Other notations of a UUID are no ids of ours.
        let id = (id.len() == 36).then(|| id.parse::<Uuid>().ok()).flatten();
        let known = id.and_then(|id| self.subscriptions.get(id));
        match known.filter(|known| known.owner == owner(hub, asker)) {
            None => Err(face.refusal(404, NO_SUCH)),
            Some(known) => match known.ended {
                Some(ended) => Err(face.refusal(410, &has_ended(ended.how))),
                None => Ok(known),
            },
        }
    }

    fn create(
        &mut self,
        hub: &mut Hub,
        asker: Asker,
        head: &Head<'_>,
        face: Face,
        content: &[u8],
    ) -> Result<(), Reply> {
        let refuse = |refusal: Refusal| refused(face, &refusal);
        let asked = face.read(content, hub).map_err(refuse)?;
        let room = hub.config.limits.sep_subscriptions;
        if self.subscriptions.living() >= room {
            return Err(no_room(face, &all_made(room)));
        }
        let base = match (&hub.config.sep.public_url, head.host) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Some(host)) => format!("http{}://{host}", if asker.https { "s" } else { "" }),
            // An HTTP/1.0 request without Host: a relative reference is the best that can be said.
            (None, None) => String::new(),
        };
        let id = hub.rng.uuid_v4();
        let mut made = asked.made(id, hub.now.wall, &hub.config).map_err(refuse)?;
        made.owner = owner(hub, asker);
        made.base = base.into();
        if let Some(url) = &made.notify {
            let put = receiver::put(id, url, &location(&made.base, made.form, id));
            hub.append(hub.actor(asker.conn), None, false, true, put);
        }
        self.send(hub, asker, face, &Change::Created(Box::new(made)));
        Ok(())
    }

    fn change_one(
        &mut self,
        hub: &mut Hub,
        asker: Asker,
        face: Face,
        id: &str,
        content: &[u8],
    ) -> Result<(), Reply> {
        let known = self.find(hub, asker, face, id)?;
        let asked = face.read(content, hub);
        let put = asked.and_then(|asked| asked.put(known, hub.now.wall, &hub.config));
        let put = put.map_err(|refusal| refused(face, &refusal))?;
        let more =
            put.entries.as_ref().map_or(0, |listed| (listed.len() as u64).saturating_sub(known.count()));
        let room = hub.config.limits.sep_entries_in_all;
        if more > 0 && self.subscriptions.entries() + more > room {
            return Err(no_room(face, &all_listed(room)));
        }
        let id = known.id;
        if let Some(url) = put.notify.as_ref().filter(|url| known.notify.as_ref() != Some(url)) {
            let put = receiver::put(id, url, &location(&known.base, known.form, id));
            hub.append(hub.actor(asker.conn), None, false, true, put);
        }
        self.send(hub, asker, face, &Change::Put { id, put: Box::new(put) });
        Ok(())
    }

    /// Sends a change on its way; its request is answered when it has come.
    fn send(&mut self, hub: &mut Hub, asker: Asker, face: Face, change: &Change) {
        self.asked.push((asker.conn, asker.request, face));
        let actor = hub.actor(asker.conn);
        let request = Some((asker.conn, asker.request));
        hub.append(actor, request, true, true, Body::Change(NAME, change.encode()));
    }

    /// The subscriptions of the one who asks: all of them, or in JSON a page.
    fn list(&self, hub: &Hub, asker: Asker, head: &Head<'_>, face: Face) -> Reply {
        let owner = owner(hub, asker);
        let living = |after: u64| self.subscriptions.of(&owner, after).filter(|s| s.ended.is_none());
        if face == Face::Xml {
            return Reply::new(200, render::XML, render::subscriptions(living(0)));
        }
        let (limit, after) = match page(head) {
            Ok(page) => page,
            Err(reply) => return reply,
        };
        let mut found: Vec<&Subscription> = living(after).take(limit + 1).collect();
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|last| last.born.to_string());
        Reply::new(200, json::JSON, json::list(&found, next))
    }
}

/// `limit` and `after` of a list's query.
fn page(head: &Head<'_>) -> Result<(usize, u64), Reply> {
    let query = pairs(head.query, &['&'])
        .map_err(|text| problem(400, &format!("`{text}` in the query is not percent-encoded UTF-8")))?;
    let value = |name: &str| query.iter().find(|(n, _): &&Pair| n == name).map(|(_, v)| v.as_str());
    let limit = match value("limit").map(str::parse::<usize>) {
        None => PAGE,
        Some(Ok(limit)) if (1..=PAGE_MAX).contains(&limit) => limit,
        Some(_) => return Err(problem(400, &format!("`limit` is a number from 1 to {PAGE_MAX}"))),
    };
    match value("after").map(str::parse::<u64>) {
        None => Ok((limit, 0)),
        Some(Ok(after)) => Ok((limit, after)),
        Some(Err(_)) => Err(problem(400, "`after` is the `next` of the page before")),
    }
}

/// There may be room later.
pub(super) fn no_room(face: Face, text: &str) -> Reply {
    face.refusal(503, text).with("Retry-After", RETRY_S)
}

/// A refusal of what was asked. An address that may not be reached has a status of its own in each face.
fn refused(face: Face, refusal: &Refusal) -> Reply {
    let status = if face == Face::Json && refusal.status == 403 { 422 } else { refusal.status };
    face.refusal(status, &refusal.text)
}

fn with_cors(hub: &Hub, head: &Head<'_>, face: Face, reply: Reply) -> Reply {
    match face {
        Face::Xml => reply,
        Face::Json => access::with_cors(hub, head, reply),
    }
}

/// Whose a subscription is that the one who asks makes.
fn owner(hub: &Hub, asker: Asker) -> Option<Box<str>> {
    hub.who(asker.conn).map(|who| who.name.clone()).filter(|name| !name.is_empty())
}

/// What keeps somebody away, if anything does: a user of `[sep] users` or a token is asked for; where there are neither,
/// it is open to this machine alone.
fn admit(hub: &mut Hub, asker: Asker, head: &Head<'_>, face: Face) -> Option<Verdict> {
    let right = match head.method {
        "GET" | "HEAD" => Right::Read,
        _ => Right::Subscribe,
    };
    let refused = access::address(hub, asker, NAME, |config| config.sep.allow.as_deref());
    let refused = refused.or_else(|| match face {
        Face::Xml => access::own_origin(hub, head),
        Face::Json => access::origin(hub, head, "native", |config| &config.native.allowed_origins),
    });
    if let Some(reply) = refused {
        return Some(Verdict::Refuse(face.own(hub, head, reply)));
    }
    let users = Arc::clone(&hub.config.sep.users);
    let names_user = access::offers(head, "basic") || hub.config.auth.tokens.is_empty();
    let entry = if names_user && !users.is_empty() {
        access::basic(hub, asker, head, Users::of(NAME, &users))
    } else {
        access::bearer(hub, asker, head, right)
    };
    match entry {
        Entry::Admitted(who) if who.only.is_everything() => None,
        Entry::Admitted(who) => {
            // What notifiers will tell cannot be known beforehand.
            let text = "its `only` narrows what it may see, and a subscription shows all that notifiers tell";
            hub.give_reason(Some(&who.name), text);
            Some(Verdict::Refuse(face.refusal(403, access::sentence(403))))
        }
        Entry::Refused(mut reply) => {
            if reply.status == 401 && !users.is_empty() && !names_user {
                reply = reply.with("WWW-Authenticate", access::basic_challenge(NAME));
            }
            Some(Verdict::Refuse(face.own(hub, head, reply)))
        }
        Entry::Waits => Some(Verdict::Wait),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        use Face::{Json, Xml};
        for (path, expected) in [
            ("/v/2009-06/sep", Some((Xml, Place::All))),
            ("/v/2009-01/sep/", Some((Xml, Place::All))),
            ("/v/2009-01/sep/x", Some((Xml, Place::One("x")))),
            ("/v/2009-06/sep/x/y", Some((Xml, Place::Unknown))),
            ("/v/2009-06/sepx", None),
            ("/v/2009-02/sep", None),
            ("/v1/subscriptions", Some((Json, Place::All))),
            ("/v1/subscriptions/x", Some((Json, Place::One("x")))),
            ("/v1/subscriptionsx", None),
        ] {
            assert_eq!(place(path), expected, "{path}");
        }
    }

    #[test]
    fn s5_accept() {
        use Admitted::{Inline, Multipart};
        for (accept, expected) in [
            (None, Some(Inline)),
            (Some("xxxx"), Some(Inline)),
            (Some("*/*"), Some(Inline)),
            (Some("application/*"), Some(Inline)),
            (Some("Text/XML;charset=utf-8"), Some(Inline)),
            (Some("multipart/related"), Some(Multipart)),
            (Some("multipart/related;type=\"application/rlmi+xml\""), Some(Multipart)),
            (Some("text/html"), None),
            (Some("text/html, application/xml;q=0.9"), Some(Inline)),
            (Some("application/xml;q=0.5, multipart/related"), Some(Multipart)),
            (Some("multipart/related, application/xml"), Some(Multipart)),
            (Some("application/xml;q=0"), None),
            (Some(""), Some(Inline)),
        ] {
            assert_eq!(admitted(accept), expected, "{accept:?}");
        }
    }
}

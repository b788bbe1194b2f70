//! Which address is which, who may use it, and what it answers.

use uuid::Uuid;

use super::read::{self, Chosen, Filter, Selection};
use super::{Deliveries, render};
use crate::dialect::problem::{problem, wrong_method};
use crate::dialect::{Asker, Verdict, access, sep};
use crate::ground::config::Right;
use crate::ground::id::Seq;
use crate::ground::time::Wall;
use crate::hub::Hub;
use crate::log::record::Body;
use crate::outbox::Delivery;
use crate::outbox::change::{By, Change, PART, When};
use crate::outbox::dead::{DeadLetter, Death};
use crate::wire::http::head::Head;
use crate::wire::http::query::{Pair, pairs, percent_decode};
use crate::wire::http::reply::Reply;

/// A page, unless the query says otherwise.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1_000;

const WEBHOOKS: &str = "/v1/webhooks";
const ISR: &str = "/v1/isr/destinations";
const DELIVERIES: &str = "/v1/deliveries";
const DEAD_LETTERS: &str = "/v1/dead-letters";

#[derive(Clone, PartialEq, Eq, Debug)]
enum Place {
    /// All destinations of a kind.
    Kind(&'static str),
    /// One of them.
    One(&'static str, String),
    /// One of them that is to get events again.
    Enable(&'static str, String),
    Deliveries,
    DeadLetters,
    DeadLetter(String),
    Redrive,
    Unknown,
}

/// Whether a path is one of the outbox's.
pub(in crate::dialect) fn claims(path: &str) -> bool {
    [WEBHOOKS, ISR, DELIVERIES, DEAD_LETTERS]
        .iter()
        .any(|own| path.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// The address of a destination.
pub(super) fn path_of(kind: &str, name: &str) -> String {
    format!("{}/{name}", if kind == "isr" { ISR } else { WEBHOOKS })
}

fn place(path: &str) -> Place {
    let of_kind = |kind, rest: &str| match rest.split_once('/') {
        _ if rest.is_empty() => Place::Kind(kind),
        None => percent_decode(rest).map_or(Place::Unknown, |name| Place::One(kind, name)),
        Some((name, "enable")) => {
            percent_decode(name).map_or(Place::Unknown, |name| Place::Enable(kind, name))
        }
        Some(_) => Place::Unknown,
    };
    let below = |own: &str| path.strip_prefix(own).map(|rest| rest.strip_prefix('/').unwrap_or(rest));
    if let Some(rest) = below(WEBHOOKS) {
        of_kind("webhook", rest)
    } else if let Some(rest) = below(ISR) {
        of_kind("isr", rest)
    } else if below(DELIVERIES) == Some("") {
        Place::Deliveries
    } else {
        match below(DEAD_LETTERS) {
            Some("") => Place::DeadLetters,
            Some("redrive") => Place::Redrive,
            Some(id) if !id.contains('/') => Place::DeadLetter(id.to_owned()),
            Some(_) | None => Place::Unknown,
        }
    }
}

/// What an address does.
fn methods(place: &Place) -> &'static str {
    match place {
        Place::Kind(_) => "GET, HEAD, POST",
        Place::One(..) => "GET, HEAD, PUT, DELETE",
        Place::Enable(..) | Place::Redrive => "POST",
        Place::DeadLetter(_) => "GET, HEAD, DELETE",
        Place::Deliveries | Place::DeadLetters | Place::Unknown => "GET, HEAD",
    }
}

fn is_json(head: &Head<'_>) -> bool {
    let media = head.field("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    media.trim().eq_ignore_ascii_case("application/json")
}

fn no_such(what: &str) -> Reply {
    problem(404, &format!("there is no such {what}"))
}

impl Deliveries {
    pub(super) fn judge_request(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>) -> Verdict {
        if let Some(verdict) = access::native(hub, asker, head, Right::Admin) {
            return verdict;
        }
        let place = place(head.path);
        let allowed = methods(&place);
        let refusal = if place == Place::Unknown {
            Some(no_such("address under /v1"))
        } else if !allowed.split(", ").any(|method| method == head.method) {
            Some(wrong_method(allowed))
        } else if matches!(head.method, "POST" | "PUT")
            && !matches!(place, Place::Enable(..))
            && !is_json(head)
        {
            Some(problem(415, "taken here: application/json"))
        } else {
            None
        };
        match refusal {
            Some(reply) => Verdict::Refuse(access::with_cors(hub, head, reply)),
            None => Verdict::Take { content_max: hub.config.limits.destination_bytes, pipelined: false },
        }
    }

    /// The answer, unless it waits for a record.
    pub(super) fn serve_request(
        &mut self,
        hub: &mut Hub,
        asker: Asker,
        head: &Head<'_>,
        content: &[u8],
    ) -> Option<Reply> {
        let query = match pairs(head.query, &['&']) {
            Ok(query) => query,
            Err(text) => {
                return Some(problem(400, &format!("`{text}` in the query is not percent-encoded UTF-8")));
            }
        };
        if !matches!(head.method, "GET" | "HEAD") {
            hub.tell_admin(asker.conn, PART, head);
        }
        let served = match (place(head.path), head.method) {
            (Place::Kind(kind), "POST") => self.put(hub, asker, kind, None, content),
            (Place::Kind(kind), _) => Err(render::destinations(&self.outbox, kind)),
            (Place::One(kind, name), "PUT") => self.put(hub, asker, kind, Some(&name), content),
            (Place::One(kind, name), "DELETE") => self.known(kind, &name).and_then(|by| match by {
                By::File => Err(problem(409, "the config file brought this destination: change it there")),
                By::Api => {
                    let (name, by) = (name.as_str().into(), By::Api);
                    append(hub, asker, &Change::Removed { name, by });
                    Ok(())
                }
            }),
            (Place::One(kind, name), _) => self.known(kind, &name).and_then(|_| {
                let destination = self.outbox.destinations().get(name.as_str());
                Err(destination
                    .map_or_else(|| no_such("destination"), |d| render::destination(200, &name, d)))
            }),
            (Place::Enable(kind, name), _) => self.known(kind, &name).map(|_| {
                append(hub, asker, &Change::Enabled { name: name.as_str().into() });
            }),
            (Place::Deliveries, _) => Err(self.list(hub, &query)),
            (Place::DeadLetters, _) => Err(self.list_dead(&query)),
            (Place::DeadLetter(id), method) => self.dead_letter(hub, asker, &id, method),
            (Place::Redrive, _) => self.redrive(hub, asker, content),
            (Place::Unknown, _) => Err(no_such("address under /v1")),
        };
        served.err()
    }

    /// Who brought a destination, if there is one of this kind.
    fn known(&self, kind: &str, name: &str) -> Result<By, Reply> {
        let known = self.outbox.destinations().get(name).filter(|known| *known.kind == *kind);
        known.map(|known| known.by).ok_or_else(|| no_such("destination"))
    }

    fn put(
        &mut self,
        hub: &mut Hub,
        asker: Asker,
        kind: &str,
        name: Option<&str>,
        content: &[u8],
    ) -> Result<(), Reply> {
        let brought = read::destination(hub, kind, name, content)?;
        let all = self.outbox.destinations();
        let known = all.get(&*brought.name);
        // Those of subscriptions have a bound of their own, and no event is held against them.
        let count = || all.values().filter(|destination| *destination.kind != *sep::NAME).count();
        match known {
            None if count() as u64 >= hub.config.limits.outbox_destinations => {
                let text = format!("there are {} destinations, which is all there may be", count());
                return Err(problem(503, &text).with("Retry-After", "60"));
            }
            Some(_) if name.is_none() => return Err(problem(409, "this name is taken")),
            Some(_) | None => {}
        }
        let when = if name.is_none() { When::Free } else { When::FreeOrOwn };
        let read::Brought { name, spec } = brought;
        append(hub, asker, &Change::Put { name, kind: kind.into(), spec, by: By::Api, when });
        Ok(())
    }

    /// A page of what waits, by destination and number.
    fn list(&self, hub: &Hub, query: &[Pair]) -> Reply {
        let limit = match limit(query) {
            Ok(limit) => limit,
            Err(reply) => return reply,
        };
        let state = value(query, "state");
        if state.is_some_and(|state| !matches!(state, "waiting" | "retrying")) {
            return problem(400, "`state` is waiting or retrying");
        }
        let filter = Filter::of(query);
        let (from, after) = match value(query, "after") {
            None => (filter.destination.as_deref().unwrap_or_default(), Seq(0)),
            Some(text) => {
                match text.split_once('.').and_then(|(seq, name)| Some((name, seq.parse().ok()?))) {
                    Some((name, seq)) => (name, Seq(seq)),
                    None => return problem(400, "`after` is the `next` of the page before"),
                }
            }
        };
        let all = self.outbox.deliveries(from, after);
        // Destinations come in the order of their names, so another one after ours ends the search.
        let ours =
            all.take_while(|d| filter.destination.as_ref().is_none_or(|name| **name == **d.destination));
        let mut page: Vec<Delivery<'_>> = ours
            .filter(|d| state.is_none_or(|state| state == d.state()) && filter.admits(d.destination, d.event))
            .take(limit + 1)
            .collect();
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| more).map(|d| format!("{}.{}", d.seq, d.destination));
        render::deliveries(hub, &self.outbox, &page, next)
    }

    /// A page of dead letters, the oldest first.
    fn list_dead(&self, query: &[Pair]) -> Reply {
        let limit = match limit(query) {
            Ok(limit) => limit,
            Err(reply) => return reply,
        };
        let after: Option<Death> = match value(query, "after") {
            None => None,
            Some(text) => {
                let mut parts = text.splitn(3, '.');
                let mut number = || parts.next()?.parse::<u64>().ok();
                let place = number().zip(number()).zip(parts.next().and_then(|id| id.parse::<Uuid>().ok()));
                let place = place.map(|((died, seq), id)| (Wall(died), Seq(seq), id));
                if place.is_none() {
                    return problem(400, "`after` is the `next` of the page before");
                }
                place
            }
        };
        let filter = Filter::of(query);
        let mut page: Vec<&DeadLetter> = self
            .outbox
            .dead()
            .after(after)
            .filter(|letter| filter.admits_dead(letter))
            .take(limit + 1)
            .collect();
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page
            .last()
            .filter(|_| more)
            .map(|letter| format!("{}.{}.{}", letter.died.0, letter.seq, letter.id));
        render::dead_letters(&page, next)
    }

    fn dead_letter(&mut self, hub: &mut Hub, asker: Asker, id: &str, method: &str) -> Result<(), Reply> {
        let id = id.parse::<Uuid>().ok();
        let Some(letter) = id.and_then(|id| self.outbox.dead().get(id)) else {
            return Err(no_such("dead letter"));
        };
        if method != "DELETE" {
            return Err(render::dead_letter(letter));
        }
        append(hub, asker, &Change::Forgotten { ids: vec![letter.id], bound: false });
        Ok(())
    }

    fn redrive(&mut self, hub: &mut Hub, asker: Asker, content: &[u8]) -> Result<(), Reply> {
        let dead = self.outbox.dead();
        let mut ids: Vec<Uuid> = match Selection::read(content)? {
            Chosen::These(ids) => {
                if let Some(missing) = ids.iter().find(|id| dead.get(**id).is_none()) {
                    return Err(no_such(&format!("dead letter {missing}")));
                }
                ids
            }
            Chosen::Matching(filter) => {
                dead.after(None).filter(|letter| filter.admits_dead(letter)).map(|letter| letter.id).collect()
            }
        };
        // In the order of their events, so that those of one subject stay in theirs among themselves.
        ids.sort_by_key(|id| dead.get(*id).map(|letter| letter.seq));
        ids.dedup();
        let most = usize::try_from(hub.config.limits.outbox_redrive_letters).unwrap_or(usize::MAX);
        let more = ids.len().saturating_sub(most);
        ids.truncate(most);
        self.redriving.push((asker.conn, asker.request, more));
        append(hub, asker, &Change::Redriven { ids });
        Ok(())
    }
}

fn append(hub: &mut Hub, asker: Asker, change: &Change) {
    let request = Some((asker.conn, asker.request));
    let actor = hub.actor(asker.conn);
    hub.append(actor, request, true, true, Body::Change(PART, change.encode()));
}

fn value<'q>(query: &'q [Pair], name: &str) -> Option<&'q str> {
    query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

fn limit(query: &[Pair]) -> Result<usize, Reply> {
    match value(query, "limit").map(str::parse::<usize>) {
        None => Ok(PAGE),
        Some(Ok(limit)) if (1..=PAGE_MAX).contains(&limit) => Ok(limit),
        Some(_) => Err(problem(400, &format!("`limit` is a number from 1 to {PAGE_MAX}"))),
    }
}

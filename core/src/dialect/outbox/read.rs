//! Request bodies and queries of the outbox's operators.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::dialect::destination::is_name;
use crate::dialect::problem::problem;
use crate::dialect::{receiver, settled};
use crate::event::Event;
use crate::event::filter::Pattern;
use crate::ground::address::blocked;
use crate::ground::time::Wall;
use crate::hub::Hub;
use crate::outbox::dead::DeadLetter;
use crate::wire::http::query::Pair;
use crate::wire::http::reply::Reply;

/// A destination of a request: its name, and its specification as it will stand in the log.
pub(super) struct Brought {
    pub(super) name: Box<str>,
    pub(super) spec: Box<str>,
}

/// Reads a destination; `name` is that in the path, if there is one.
pub(super) fn destination(
    hub: &Hub,
    kind: &str,
    name: Option<&str>,
    content: &[u8],
) -> Result<Brought, Reply> {
    let map: Map<String, Value> =
        serde_json::from_slice(content).map_err(|e| problem(400, &format!("not a JSON object: {e}")))?;
    if let Some(key) = masked_key(&map) {
        let text = format!("`{key}` is masked as it was shown; send the secret itself");
        return Err(problem(422, &text));
    }
    let own = map.get("name").and_then(Value::as_str);
    let Some(name) = name.or(own).filter(|name| is_name(name)) else {
        return Err(problem(422, "`name`: 1 to 64 letters, digits, `-`, `_` and `.`"));
    };
    let wrong = |wrong: crate::outbox::receiver::Wrong| {
        let key = if wrong.key.is_empty() { String::new() } else { format!("`{}`: ", wrong.key) };
        problem(422, &format!("{key}{}", wrong.detail))
    };
    let spec = Value::Object(map.clone()).to_string();
    let spec = settled(kind, name, &spec, &hub.config).map_err(wrong)?;
    let made = receiver(kind, name, &spec, &hub.config, false).map_err(wrong)?;
    if let Ok(address) = made.target().host.parse::<IpAddr>()
        && let Some(range) = blocked(address, &hub.config.outbox.allow_private)
    {
        let text = format!(
            "`url`: {address} is a {range} address; [outbox] allow_private = [\"{address}\"] in the config opens it"
        );
        return Err(problem(422, &text));
    }
    Ok(Brought { name: name.into(), spec: spec.into() })
}

/// A secret that stands as it is shown: whoever sends it back would overwrite the real one.
fn masked_key(map: &Map<String, Value>) -> Option<&str> {
    map.iter().find_map(|(key, value)| match value {
        Value::String(text) if text == "***" => Some(key.as_str()),
        Value::Object(inner) => masked_key(inner),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    })
}

/// Which dead letters a request means.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Selection {
    id: Option<Uuid>,
    ids: Option<Vec<Uuid>>,
    destination: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    subject: Option<String>,
    before: Option<String>,
    after: Option<String>,
    all: Option<bool>,
}

/// The same, checked.
pub(super) enum Chosen {
    These(Vec<Uuid>),
    Matching(Filter),
}

/// What dead letters and deliveries are listed by.
#[derive(Default)]
pub(super) struct Filter {
    pub(super) destination: Option<String>,
    event_type: Option<Pattern>,
    subject: Option<String>,
    before: Option<Wall>,
    after: Option<Wall>,
}

impl Selection {
    pub(super) fn read(content: &[u8]) -> Result<Chosen, Reply> {
        let selection: Selection = serde_json::from_slice(content).map_err(|e| {
            let status = if e.is_data() { 422 } else { 400 };
            problem(status, &format!("which dead letters? {e}"))
        })?;
        let Selection { id, ids, destination, event_type, subject, before, after, all } = selection;
        let filtered = [&destination, &event_type, &subject, &before, &after].iter().any(|one| one.is_some());
        match (id, ids, filtered, all) {
            (Some(id), None, false, None) => Ok(Chosen::These(vec![id])),
            (None, Some(ids), false, None) => Ok(Chosen::These(ids)),
            (None, None, true, None) | (None, None, false, Some(true)) => {
                let time = |name: &str, text: Option<String>| match text {
                    None => Ok(None),
                    Some(text) => Wall::from_rfc3339(&text)
                        .map(Some)
                        .ok_or_else(|| problem(422, &format!("`{name}` is an RFC 3339 date-time"))),
                };
                Ok(Chosen::Matching(Filter {
                    destination,
                    event_type: event_type.as_deref().map(Pattern::with_wildcards),
                    subject,
                    before: time("before", before)?,
                    after: time("after", after)?,
                }))
            }
            _ => Err(problem(
                422,
                "which dead letters? One of: {\"id\":…}, {\"ids\":[…]}, {\"all\":true}, or a filter of \
                 destination, type, subject, before, after",
            )),
        }
    }
}

impl Filter {
    /// The filter of a list's query.
    pub(super) fn of(query: &[Pair]) -> Filter {
        let value = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        Filter {
            destination: value("destination"),
            event_type: value("type").as_deref().map(Pattern::with_wildcards),
            subject: value("subject"),
            ..Filter::default()
        }
    }

    pub(super) fn admits(&self, destination: &str, event: &Event) -> bool {
        self.destination.as_ref().is_none_or(|d| d == destination)
            && self.event_type.as_ref().is_none_or(|t| t.admits(&event.event_type))
            && self.subject.as_ref().is_none_or(|s| event.subject.as_deref() == Some(s))
    }

    pub(super) fn admits_dead(&self, letter: &DeadLetter) -> bool {
        self.admits(&letter.destination, &letter.event)
            && self.before.is_none_or(|before| letter.died < before)
            && self.after.is_none_or(|after| letter.died > after)
    }
}

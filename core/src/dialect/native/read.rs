//! Publish requests: one event or many, in five forms (CloudEvents 1.0: JSON event format, JSON batch format, HTTP
//! protocol binding; and the two relaxed forms of our own).

use std::collections::BTreeSet;

use data_encoding::BASE64;
use memchr::memchr;
use serde_json::value::RawValue;

use crate::dialect::json::{self, Member};
use crate::event::{Data, Event, Fact};
use crate::ground::limits::Limits;
use crate::ground::rng::Rng;
use crate::ground::time::Wall;
use crate::wire::http::head::Head;
use crate::wire::http::query::percent_decode;

/// The forms, by their media types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `application/json`: one event or an array; `specversion`, `id`, `source` and `time` may be left out.
    Json,
    /// `application/x-ndjson`: one event a line, as relaxed.
    Lines,
    /// `application/cloudevents+json`: one event, strictly.
    Structured,
    /// `application/cloudevents-batch+json`: an array, strictly.
    Batch,
    /// `ce-` header fields, and a body that is the data.
    Binary,
}

/// The media types that are taken, for whoever sent another.
pub const MEDIA_TYPES: &str = "application/json, application/x-ndjson, application/cloudevents+json, \
     application/cloudevents-batch+json, or any type with ce- header fields";

/// What is wrong with a body: with the event at `index`, or with all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// 400, or 413 for too many events.
    pub status: u16,
    /// The event's place in its batch.
    pub index: Option<usize>,
    /// A sentence.
    pub detail: String,
}

/// What an event gets that does not bring it.
#[derive(Debug)]
pub struct Defaults<'a> {
    /// `source`.
    pub source: &'a str,
    /// `time`.
    pub wall: Wall,
    /// Mints `id`.
    pub rng: &'a mut Rng,
    /// Bounds.
    pub limits: &'a Limits,
}

impl Form {
    /// The form of a request, by its header fields; `None` for a media type that is not taken.
    #[must_use]
    pub fn of(head: &Head<'_>) -> Option<Form> {
        let media = head.field("content-type").map(media_type).unwrap_or_default();
        match media.as_str() {
            "application/cloudevents+json" => Some(Form::Structured),
            "application/cloudevents-batch+json" => Some(Form::Batch),
            _ if head.field("ce-specversion").is_some() || head.field("ce-id").is_some() => {
                Some(Form::Binary)
            }
            "application/json" => Some(Form::Json),
            "application/x-ndjson" => Some(Form::Lines),
            _ => None,
        }
    }
}

fn media_type(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Reads all events of a body; one that is wrong spoils all.
///
/// # Errors
/// The first that is wrong.
pub fn events(
    form: Form,
    head: &Head<'_>,
    content: &[u8],
    defaults: &mut Defaults<'_>,
) -> Result<Vec<Event>, Wrong> {
    if form == Form::Binary {
        return binary(head, content, defaults).map(|event| vec![event]).map_err(|detail| whole(&detail));
    }
    let text = std::str::from_utf8(content)
        .map_err(|e| whole(&format!("the body is not UTF-8 after byte {}", e.valid_up_to())))?;
    let strict = matches!(form, Form::Structured | Form::Batch);
    let is_array = text.trim_ascii_start().starts_with('[');
    let max = defaults.limits.batch_events as usize;
    let one = |at: usize, text: &str, defaults: &mut Defaults<'_>| {
        if at >= max {
            return Err(Wrong {
                status: 413,
                index: None,
                detail: format!("a request may hold {max} events"),
            });
        }
        event(text, strict, defaults).map_err(|detail| Wrong { status: 400, index: Some(at), detail })
    };
    match form {
        Form::Json | Form::Batch if is_array => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| whole(&e.to_string()))?;
            items.into_iter().enumerate().map(|(at, item)| one(at, item.get(), defaults)).collect()
        }
        Form::Batch => Err(whole("application/cloudevents-batch+json is an array of events")),
        Form::Lines => text
            .lines()
            .filter(|line| !line.trim_ascii().is_empty())
            .enumerate()
            .map(|(at, line)| one(at, line, defaults))
            .collect(),
        Form::Json | Form::Structured | Form::Binary => Ok(vec![one(0, text, defaults)?]),
    }
}

fn whole(detail: &str) -> Wrong {
    Wrong { status: 400, index: None, detail: detail.to_owned() }
}

fn members<'a>(text: &'a str, limits: &Limits) -> Result<Vec<Member<'a>>, String> {
    let members = json::members(text, limits.event_names).map_err(|e| e.to_string())?;
    match twice(&members) {
        Some(name) => Err(format!("`{name}` stands twice")),
        None => Ok(members),
    }
}

/// The first name that stood before. A few names are compared with each other faster than they are put into a set.
fn twice<'m>(members: &'m [Member<'_>]) -> Option<&'m str> {
    let names = || members.iter().map(|(name, _)| &**name);
    if members.len() <= FEW {
        return names()
            .enumerate()
            .find_map(|(at, name)| names().take(at).any(|n| n == name).then_some(name));
    }
    let mut seen = BTreeSet::new();
    names().find(|name| !seen.insert(*name))
}

/// Names up to which each is compared with all before it.
const FEW: usize = 16;

/// An event's attributes while they are gathered.
#[derive(Default)]
struct Draft {
    version: Option<Box<str>>,
    id: Option<Box<str>>,
    source: Option<Box<str>>,
    event_type: Option<Box<str>>,
    subject: Option<Box<str>>,
    time: Option<Box<str>>,
    content_type: Option<Box<str>>,
    schema: Option<Box<str>>,
    extensions: Vec<(Box<str>, Fact)>,
}

impl Draft {
    /// Sets an attribute of either kind, by its name.
    fn set(&mut self, name: &str, value: Fact) -> Result<(), String> {
        let place = match name {
            "specversion" => &mut self.version,
            "id" => &mut self.id,
            "source" => &mut self.source,
            "type" => &mut self.event_type,
            "subject" => &mut self.subject,
            "time" => &mut self.time,
            "datacontenttype" => &mut self.content_type,
            "dataschema" => &mut self.schema,
            _ => {
                if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) || name.is_empty() {
                    return Err(format!("`{name}`: names of attributes are lower-case letters and digits"));
                }
                match value {
                    Fact::Null => {}
                    Fact::Nested(_) => {
                        return Err(format!("`{name}`: an attribute is a string, number or boolean"));
                    }
                    Fact::Bool(_) | Fact::Number(_) | Fact::Text(_) => {
                        self.extensions.push((name.into(), value));
                    }
                }
                return Ok(());
            }
        };
        *place = match value {
            Fact::Null => None,
            Fact::Text(text) if !text.is_empty() => Some(text),
            Fact::Text(_) => return Err(format!("`{name}` is empty")),
            Fact::Bool(_) | Fact::Number(_) | Fact::Nested(_) => {
                return Err(format!("`{name}` is no string"));
            }
        };
        Ok(())
    }

    fn finish(mut self, data: Data, strict: bool, defaults: &mut Defaults<'_>) -> Result<Event, String> {
        match self.version.as_deref() {
            Some("1.0") => {}
            Some(other) => return Err(format!("`specversion` is `{other}`, and 1.0 is what is taken")),
            None if strict => return Err("`specversion` is missing".to_owned()),
            None => {}
        }
        let needed = |name: &str| Err(format!("`{name}` is missing"));
        if strict && self.id.is_none() {
            return needed("id");
        }
        if strict && self.source.is_none() {
            return needed("source");
        }
        let Some(event_type) = self.event_type else { return needed("type") };
        let (time, wall) = match self.time {
            None => (defaults.wall.to_rfc3339().into_boxed_str(), defaults.wall),
            Some(time) => match Wall::from_rfc3339(&time) {
                Some(wall) => (time, wall),
                None => return Err(format!("`time` is `{time}`, and an RFC 3339 date-time is wanted")),
            },
        };
        let minted = |rng: &mut Rng| rng.uuid_v7(defaults.wall).to_string().into_boxed_str();
        // Whoever reads recordings must not take a failure for a success (isr.md section 3).
        if let Some((_, outcome)) = self.extensions.iter().find(|(name, _)| **name == *"outcome")
            && !matches!(outcome, Fact::Text(text) if matches!(&**text, "success" | "failure"))
        {
            return Err(
                "`outcome` is `success` (as if there were none) or `failure`, and nothing else".to_owned()
            );
        }
        self.extensions.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Event {
            id_given: self.id.is_some(),
            id: self.id.unwrap_or_else(|| minted(defaults.rng)),
            source: self.source.unwrap_or_else(|| defaults.source.into()),
            event_type,
            subject: self.subject,
            time,
            wall,
            content_type: self.content_type,
            schema: self.schema,
            extensions: self.extensions,
            data,
        })
    }
}

fn event(text: &str, strict: bool, defaults: &mut Defaults<'_>) -> Result<Event, String> {
    let mut draft = Draft::default();
    let mut data = Data::None;
    for (name, value) in members(text, defaults.limits)? {
        match &*name {
            "data" | "data_base64" if data != Data::None => {
                return Err("`data` beside `data_base64`".to_owned());
            }
            "data" => data = read_data(value.get(), defaults.limits)?,
            "data_base64" => data = read_base64(value.get())?,
            _ => {
                let value = fact(value.get()).map_err(|e| format!("`{name}`: {e}"))?;
                draft.set(&name, value)?;
            }
        }
    }
    draft.finish(data, strict, defaults)
}

/// An event as this server wrote it ([`super::render::json`]).
///
/// # Errors
/// A sentence.
pub fn stored(text: &str) -> Result<Event, String> {
    let limits = Limits { event_names: u64::MAX, ..Limits::default() };
    let mut rng = Rng::new(0);
    let mut defaults = Defaults { source: "", wall: Wall::default(), rng: &mut rng, limits: &limits };
    event(text, true, &mut defaults)
}

/// The members of a JSON object, in their order.
///
/// # Errors
/// A sentence: no object, a name that stands twice, or more members than an event's `data` may have.
pub fn facts(text: &str, limits: &Limits) -> Result<Vec<(Box<str>, Fact)>, String> {
    named_facts("", members(text, limits)?)
}

/// `path` stands before the names in errors.
fn named_facts(path: &str, members: Vec<Member<'_>>) -> Result<Vec<(Box<str>, Fact)>, String> {
    let named = |(name, value): Member<'_>| {
        let fact = fact(value.get()).map_err(|e| format!("`{path}{name}`: {e}"))?;
        Ok((name.into(), fact))
    };
    members.into_iter().map(named).collect()
}

fn read_data(text: &str, limits: &Limits) -> Result<Data, String> {
    match text.as_bytes().first() {
        Some(b'{') => {
            let members = members(text, limits).map_err(|e| format!("`data`: {e}"))?;
            named_facts("data.", members).map(Data::Facts)
        }
        Some(b'n') => Ok(Data::None),
        _ => Ok(Data::Json(compact(text))),
    }
}

fn read_base64(text: &str) -> Result<Data, String> {
    match fact(text)? {
        Fact::Text(text) if BASE64.decode(text.as_bytes()).is_ok() => Ok(Data::Base64(text)),
        Fact::Null => Ok(Data::None),
        Fact::Bool(_) | Fact::Number(_) | Fact::Text(_) | Fact::Nested(_) => {
            Err("`data_base64` is not base64 (RFC 4648 section 4)".to_owned())
        }
    }
}

/// A JSON value from its source text, which serde_json has checked.
///
/// # Errors
/// What serde_json says of a string with half a surrogate pair.
pub fn fact(text: &str) -> Result<Fact, String> {
    Ok(match text.as_bytes().first() {
        Some(b'n') => Fact::Null,
        Some(b't') => Fact::Bool(true),
        Some(b'f') => Fact::Bool(false),
        Some(b'"') => Fact::Text(match text[1..].strip_suffix('"') {
            Some(plain) if memchr(b'\\', plain.as_bytes()).is_none() => plain.into(),
            Some(_) | None => {
                serde_json::from_str::<String>(text).map_err(|e| e.to_string())?.into_boxed_str()
            }
        }),
        Some(b'{' | b'[') => Fact::Nested(compact(text)),
        _ => Fact::Number(text.into()),
    })
}

/// JSON text without the white space between its tokens.
fn compact(text: &str) -> Box<str> {
    let mut out = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            in_string = c == '"';
        }
        out.push(c);
    }
    out.into_boxed_str()
}

/// Binary content mode (CloudEvents HTTP protocol binding, section 3.1).
fn binary(head: &Head<'_>, content: &[u8], defaults: &mut Defaults<'_>) -> Result<Event, String> {
    let mut draft = Draft::default();
    let mut seen = BTreeSet::new();
    for (name, value) in head.fields() {
        let name = name.to_ascii_lowercase();
        let Some(name) = name.strip_prefix("ce-") else { continue };
        if !seen.insert(name.to_owned()) {
            return Err(format!("`ce-{name}` stands twice"));
        }
        let value = percent_decode(value).map_err(|_| format!("`ce-{name}` is not percent-encoded UTF-8"))?;
        draft.set(name, Fact::Text(value.into_boxed_str()))?;
    }
    let media = head.field("content-type");
    draft.content_type = media.map(Into::into);
    let is_json = media.map(media_type).is_some_and(|m| m == "application/json" || m.ends_with("+json"));
    let data = if content.is_empty() {
        Data::None
    } else if is_json {
        let text = std::str::from_utf8(content).map_err(|_| "the body is not UTF-8".to_owned())?;
        let value: &RawValue = serde_json::from_str(text).map_err(|e| e.to_string())?;
        read_data(value.get(), defaults.limits)?
    } else {
        Data::Base64(BASE64.encode(content).into_boxed_str())
    };
    draft.finish(data, true, defaults)
}

#[cfg(test)]
mod tests;

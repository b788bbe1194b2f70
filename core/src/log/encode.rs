//! Records as bytes. Header fields carry a tag and a length, so that readers pass over those that they do not know; a
//! record of a later version, of an unknown kind or of an unknown part is passed over as a whole, and counted.
//!
//! ```text
//!   version  kind  header's length  { tag  length  value }*  body
//! ```
//!
//! No framing and no checksum here: those are the group's ([`super::group`]).

use std::net::IpAddr;
use std::sync::Arc;

use super::form::{Reader, put_bytes, put_number};
use super::record::{Actor, Body, Header, Origin, Record, VERSION};
use crate::event::{Data, Event, Fact};
use crate::ground::id::{Epoch, Seq};
use crate::ground::time::Wall;

/// The parts of the server that keep state of their own in the log.
pub const PARTS: &[&str] =
    &["xms", "native", "outbox", "wcs", "isr", "webhook", "isymphony", "sep", "source"];

/// Parts that cause records by themselves; another name is read back as `server`.
const SERVERS: &[&str] = &[
    "demo",
    "stream",
    "expiry",
    "log",
    "outbox",
    "config",
    "wcs",
    "isr",
    "webhook",
    "native",
    "xms",
    "isymphony",
    "sep",
    "source",
];

const EVENT: u8 = 1;
const CHANGE: u8 = 2;
const EPOCH: u8 = 3;
const CARRIED: u8 = 4;

const TAG_WALL: u8 = 1;
const TAG_ADDRESS: u8 = 2;
const TAG_SERVER: u8 = 3;
const TAG_TRACE: u8 = 4;
const TAG_NAME: u8 = 5;

/// A record of this version and a known kind whose bytes make no sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken;

/// Appends a record.
///
/// # Panics
/// On a body that is only ever passed on, and on a change of a part that is not among [`PARTS`].
pub fn encode(record: &Record, out: &mut Vec<u8>) {
    let kind = match &record.body {
        Body::Event(_) => EVENT,
        Body::Change(..) => CHANGE,
        Body::Epoch { .. } => EPOCH,
        Body::Carried { .. } => CARRIED,
        Body::Repeat { .. } | Body::Retire { .. } | Body::Retired { .. } => {
            panic!("a passing record is never written")
        }
    };
    out.extend_from_slice(&[record.header.version, kind]);
    header(&record.header, out);
    match &record.body {
        Body::Event(event) => put_event(event, out),
        Body::Change(part, change) => {
            assert!(PARTS.contains(part), "no start would read what {part} writes");
            put_bytes(out, part.as_bytes());
            put_bytes(out, change);
        }
        Body::Carried { through, part, change } => {
            put_number(out, through.0);
            put_bytes(out, part.as_bytes());
            put_bytes(out, change);
        }
        Body::Epoch { epoch, ended } => {
            put_number(out, epoch.0);
            put_number(out, ended.0);
        }
        Body::Repeat { .. } | Body::Retire { .. } | Body::Retired { .. } => {}
    }
}

/// Room for a header's fields; its length takes a byte, or two, and is filled in when the rest is written.
const HEADER_BYTES_MAX: usize = 0xff;

fn header(header: &Header, out: &mut Vec<u8>) {
    let at = out.len();
    out.push(0);
    out.extend_from_slice(&[TAG_WALL, 8]);
    out.extend_from_slice(&header.wall.0.to_le_bytes());
    let room = |out: &Vec<u8>, text: &str| out.len() - at + text.len() + 3 < HEADER_BYTES_MAX;
    match &header.actor {
        Actor::Address(address) => put_address(*address, out),
        Actor::Named(address, name) => {
            put_address(*address, out);
            if room(out, name) {
                out.push(TAG_NAME);
                put_bytes(out, name.as_bytes());
            }
        }
        Actor::Server(part) => {
            out.push(TAG_SERVER);
            put_bytes(out, part.as_bytes());
        }
    }
    if let Some(trace) = &header.trace
        && room(out, trace)
    {
        out.push(TAG_TRACE);
        put_bytes(out, trace.as_bytes());
    }
    let length = out.len() - at - 1;
    assert!(
        length < HEADER_BYTES_MAX,
        "a header's fields are short; names and traces that are not were left out"
    );
    out[at] = length as u8;
    if length > 0x7f {
        out.insert(at + 1, (length >> 7) as u8);
    }
}

fn put_address(address: IpAddr, out: &mut Vec<u8>) {
    out.push(TAG_ADDRESS);
    match address {
        IpAddr::V4(address) => put_bytes(out, &address.octets()),
        IpAddr::V6(address) => put_bytes(out, &address.octets()),
    }
}

/// Appends an event, as it stands in a record; parts that keep events in changes of their own use it as well.
pub fn put_event(event: &Event, out: &mut Vec<u8>) {
    let optional = [&event.subject, &event.content_type, &event.schema];
    let flags =
        optional.iter().zip(0..).fold(0, |flags, (text, bit)| flags | u8::from(text.is_some()) << bit);
    out.push(flags | u8::from(event.id_given) << optional.len());
    for text in [&event.id, &event.source, &event.event_type, &event.time] {
        put_bytes(out, text.as_bytes());
    }
    put_number(out, event.wall.0);
    for text in optional.into_iter().flatten() {
        put_bytes(out, text.as_bytes());
    }
    put_facts(&event.extensions, out);
    match &event.data {
        Data::None => out.push(0),
        Data::Facts(facts) => {
            out.push(1);
            put_facts(facts, out);
        }
        Data::Json(text) => {
            out.push(2);
            put_bytes(out, text.as_bytes());
        }
        Data::Base64(text) => {
            out.push(3);
            put_bytes(out, text.as_bytes());
        }
    }
}

fn put_facts(facts: &[(Box<str>, Fact)], out: &mut Vec<u8>) {
    put_number(out, facts.len() as u64);
    for (name, fact) in facts {
        put_bytes(out, name.as_bytes());
        let (tag, text) = match fact {
            Fact::Null => (0, None),
            Fact::Bool(false) => (1, None),
            Fact::Bool(true) => (2, None),
            Fact::Number(text) => (3, Some(text)),
            Fact::Text(text) => (4, Some(text)),
            Fact::Nested(text) => (5, Some(text)),
        };
        out.push(tag);
        if let Some(text) = text {
            put_bytes(out, text.as_bytes());
        }
    }
}

/// Reads a record back; `None` is one that this version does not know.
///
/// # Errors
/// If a known one cannot be read.
pub fn decode(bytes: &[u8]) -> Result<Option<Record>, Broken> {
    let mut reader = Reader(bytes);
    let (Some(version), Some(kind)) = (reader.byte(), reader.byte()) else { return Err(Broken) };
    if version > VERSION || !matches!(kind, EVENT | CHANGE | EPOCH | CARRIED) {
        return Ok(None);
    }
    let header = take_header(version, &mut reader).ok_or(Broken)?;
    let body = match kind {
        EVENT => Body::Event(Arc::new(take_event(&mut reader).ok_or(Broken)?)),
        EPOCH => {
            let (Some(epoch), Some(ended)) = (reader.number(), reader.number()) else { return Err(Broken) };
            Body::Epoch { epoch: Epoch(epoch), ended: Seq(ended) }
        }
        _ => {
            let through = if kind == CARRIED { Some(Seq(reader.number().ok_or(Broken)?)) } else { None };
            let (Some(part), Some(change)) = (reader.text(), reader.bytes()) else { return Err(Broken) };
            match (PARTS.iter().find(|known| **known == part), through) {
                (None, _) => return Ok(None),
                (Some(part), None) => Body::Change(part, change.into()),
                (Some(part), Some(through)) => Body::Carried { through, part, change: change.into() },
            }
        }
    };
    Ok(Some(Record { header, origin: Origin::NOBODY, body }))
}

fn take_header(version: u8, reader: &mut Reader<'_>) -> Option<Header> {
    let mut fields = Reader(reader.bytes()?);
    let mut header =
        Header { version, wall: Wall(0), actor: Actor::Server("server"), trace: None, kept: true };
    while !fields.0.is_empty() {
        let (tag, value) = (fields.byte()?, fields.bytes()?);
        match tag {
            TAG_WALL => header.wall = Wall(u64::from_le_bytes(value.try_into().ok()?)),
            TAG_ADDRESS => {
                header.actor = Actor::Address(match <[u8; 4]>::try_from(value) {
                    Ok(v4) => v4.into(),
                    Err(_) => <[u8; 16]>::try_from(value).ok()?.into(),
                });
            }
            TAG_NAME => {
                if let Actor::Address(address) = header.actor {
                    header.actor = Actor::Named(address, std::str::from_utf8(value).ok()?.into());
                }
            }
            TAG_SERVER => {
                let known = SERVERS.iter().find(|known| known.as_bytes() == value);
                header.actor = Actor::Server(known.copied().unwrap_or("server"));
            }
            TAG_TRACE => header.trace = Some(std::str::from_utf8(value).ok()?.into()),
            _ => {}
        }
    }
    Some(header)
}

/// Reads what [`put_event`] wrote; `None` if it makes no sense.
pub fn take_event(reader: &mut Reader<'_>) -> Option<Event> {
    let flags = reader.byte()?;
    let id = reader.text()?.into();
    let source = reader.text()?.into();
    let event_type = reader.text()?.into();
    let time = reader.text()?.into();
    let wall = Wall(reader.number()?);
    let mut optional = |bit: u8| -> Option<Option<Box<str>>> {
        if flags & 1 << bit == 0 { Some(None) } else { Some(Some(reader.text()?.into())) }
    };
    let (subject, content_type, schema) = (optional(0)?, optional(1)?, optional(2)?);
    let extensions = take_facts(reader)?;
    let data = match reader.byte()? {
        0 => Data::None,
        1 => Data::Facts(take_facts(reader)?),
        2 => Data::Json(reader.text()?.into()),
        3 => Data::Base64(reader.text()?.into()),
        _ => return None,
    };
    let id_given = flags >> 3 & 1 == 1;
    Some(Event {
        id,
        id_given,
        source,
        event_type,
        subject,
        time,
        wall,
        content_type,
        schema,
        extensions,
        data,
    })
}

fn take_facts(reader: &mut Reader<'_>) -> Option<Vec<(Box<str>, Fact)>> {
    let count = usize::try_from(reader.number()?).ok()?;
    // Each takes two bytes at least, so a wrong count reserves no more than what is there.
    let mut facts = Vec::with_capacity(count.min(reader.0.len() / 2));
    for _ in 0..count {
        let name = reader.text()?.into();
        let fact = match reader.byte()? {
            0 => Fact::Null,
            1 => Fact::Bool(false),
            2 => Fact::Bool(true),
            3 => Fact::Number(reader.text()?.into()),
            4 => Fact::Text(reader.text()?.into()),
            5 => Fact::Nested(reader.text()?.into()),
            _ => return None,
        };
        facts.push((name, fact));
    }
    Some(facts)
}

#[cfg(test)]
mod tests;

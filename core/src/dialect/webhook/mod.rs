//! Native webhooks (`docs/webhooks.md`): events as CloudEvents 1.0 over HTTP (structured, binary or batched), with the
//! header fields of Standard Webhooks 1.0.0. One webhook is one receiver. Absent: patience, order and the log, which are
//! the outbox's.

pub mod read;
mod sign;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use self::sign::Secret;
use super::destination::request::{content, percent_encode};
use super::destination::{Common, again};
use super::native::render;
use crate::event::filter::Clause;
use crate::event::vocabulary::Vocabulary;
use crate::event::{Data, Event, projection};
use crate::ground::digits::Decimal;
use crate::ground::time::Wall;
use crate::hub::call::{Answer, Target};
use crate::outbox::receiver::{Judgement, Letter, Policy, Receiver};

/// How events stand in a request (CloudEvents HTTP protocol binding, section 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// One event, as JSON.
    Structured,
    /// The data alone; attributes are header fields.
    Binary,
    /// A JSON array of events.
    Batch,
}

/// Room for what stands in a request beside its fixed head, its signatures and its events. What they take in memory is
/// more than the names and quotes around their texts.
const VARYING: usize = 128;

/// One webhook.
pub(crate) struct Webhook {
    name: Box<str>,
    filter: Clause,
    mode: Mode,
    secrets: Vec<Secret>,
    /// The head as far as it is always the same.
    head: Box<[u8]>,
    common: Common,
}

impl Webhook {
    fn new(name: &str, filter: Clause, mode: Mode, secrets: Vec<Secret>, common: Common) -> Webhook {
        let content_type = match mode {
            Mode::Structured => "Content-Type: application/cloudevents+json\r\n",
            Mode::Batch => "Content-Type: application/cloudevents-batch+json\r\n",
            Mode::Binary => "",
        };
        let head = format!("POST {} HTTP/1.1\r\n{}{content_type}", common.url.target, common.fields);
        Webhook { name: name.into(), filter, mode, secrets, head: head.into_bytes().into(), common }
    }

    /// Appends the signatures' field with room for them; where the room begins.
    fn leave_room(&self, out: &mut Vec<u8>) -> usize {
        out.extend_from_slice(b"webhook-signature: ");
        let room = out.len();
        for at in 0..self.secrets.len() {
            if at > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(&[b'0'; sign::TEXT]);
        }
        out.extend_from_slice(b"\r\n");
        room
    }

    /// Fills the room; `body` is the body's length.
    fn sign(&self, id: &[u8], timestamp: &[u8], room: usize, body: usize, out: &mut [u8]) {
        let (head, body) = out.split_at_mut(out.len() - body);
        let places = head[room..].chunks_mut(sign::TEXT + 1);
        for (secret, place) in self.secrets.iter().zip(places) {
            secret.sign(id, timestamp, body, &mut place[..sign::TEXT]);
        }
    }
}

impl Receiver for Webhook {
    fn wants(&self, event: &Event, _vocabulary: &Vocabulary) -> bool {
        self.filter.admits(&projection::Native(event))
    }

    fn order(&self, event: &Event) -> Option<Box<str>> {
        event.subject.clone()
    }

    fn request(&self, letters: &[Letter<'_>], wall: Wall, _vocabulary: &Vocabulary) -> Vec<u8> {
        let [first, ..] = letters else { return Vec::new() };
        let events: u64 = letters.iter().map(|letter| letter.event.bytes()).sum();
        let signatures = self.secrets.len() * (sign::TEXT + 1);
        let mut out = Vec::with_capacity(self.head.len() + VARYING + signatures + events as usize);
        out.extend_from_slice(&self.head);
        let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
        let id = message_id(letters).hyphenated().encode_lower(&mut id).as_bytes();
        out.extend_from_slice(b"webhook-id: ");
        out.extend_from_slice(id);
        out.extend_from_slice(b"\r\nwebhook-timestamp: ");
        let timestamp = Decimal::of(wall.0 / 1_000);
        let timestamp = timestamp.as_bytes();
        out.extend_from_slice(timestamp);
        out.extend_from_slice(b"\r\n");
        let room = if self.secrets.is_empty() { None } else { Some(self.leave_room(&mut out)) };
        let mut body = 0;
        let mut write = |out: &mut Vec<u8>, body_of: &dyn Fn(&mut Vec<u8>)| {
            content(out, |out| {
                let start = out.len();
                body_of(out);
                body = out.len() - start;
            });
        };
        match self.mode {
            Mode::Structured => write(&mut out, &|out| render::json(first.event, out)),
            Mode::Batch => write(&mut out, &|out| batch(letters, out)),
            Mode::Binary => {
                attributes(first.event, &mut out);
                write(&mut out, &|out| data(&first.event.data, out));
            }
        }
        if let Some(room) = room {
            self.sign(id, timestamp, room, body, &mut out);
        }
        out
    }

    fn summary(&self, _letter: Letter<'_>, _vocabulary: &Vocabulary) -> String {
        format!("POST {}", self.common.url)
    }

    /// The table of docs/webhooks.md: a receiver that refuses may be mended, so all but 410 is tried again.
    fn judge(&self, answer: &Answer) -> Judgement {
        match answer.status {
            200..=299 => Judgement::Done,
            410 => Judgement::Disable { reason: "the answer was 410: the receiver is gone".to_owned() },
            _ => again(answer),
        }
    }

    fn target(&self) -> &Arc<Target> {
        &self.common.target
    }

    fn policy(&self) -> &Policy {
        &self.common.policy
    }
}

/// What a receiver recognises repeats by. Of several letters it is made of all their ids: were it the first one's, a
/// later request with that letter and another would pass for a repeat.
fn message_id(letters: &[Letter<'_>]) -> Uuid {
    if let [letter] = letters {
        return letter.id;
    }
    let mut digest = Sha256::new();
    letters.iter().for_each(|letter| digest.update(letter.id.as_bytes()));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn batch(letters: &[Letter<'_>], out: &mut Vec<u8>) {
    for (at, letter) in letters.iter().enumerate() {
        out.push(if at == 0 { b'[' } else { b',' });
        render::json(letter.event, out);
    }
    out.push(b']');
}

/// Appends attributes as header fields (section 3.1.3), and the data's media type.
fn attributes(event: &Event, out: &mut Vec<u8>) {
    out.extend_from_slice(b"ce-specversion: 1.0\r\n");
    let named = [
        ("id", Some(&*event.id)),
        ("source", Some(&*event.source)),
        ("type", Some(&*event.event_type)),
        ("subject", event.subject.as_deref()),
        ("time", Some(&*event.time)),
        ("dataschema", event.schema.as_deref()),
    ];
    let named = named.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let extensions = event.extensions.iter().filter_map(|(name, fact)| Some((&**name, fact.as_text()?)));
    for (name, value) in named.chain(extensions) {
        out.extend_from_slice(b"ce-");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        percent_encode(value, |byte| matches!(byte, 0x21..=0x7e) && byte != b'"' && byte != b'%', out);
        out.extend_from_slice(b"\r\n");
    }
    let json = matches!(event.data, Data::Facts(_) | Data::Json(_));
    if let Some(media) = event.content_type.as_deref().or(json.then_some("application/json")) {
        out.extend_from_slice(b"Content-Type: ");
        // It came from a peer: nothing of it may end the line.
        out.extend(media.bytes().filter(|byte| matches!(byte, 0x20..=0x7e)));
        out.extend_from_slice(b"\r\n");
    }
}

fn data(data: &Data, out: &mut Vec<u8>) {
    match data {
        Data::None => {}
        Data::Facts(facts) => render::object(facts, out),
        Data::Json(text) => out.extend_from_slice(text.as_bytes()),
        // It was checked when the event was accepted.
        Data::Base64(text) => out.extend_from_slice(&BASE64.decode(text.as_bytes()).unwrap_or_default()),
    }
}

/// Secrets and credentials are within: nobody sees them in a log.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "webhook {} {}", self.name, self.common.url)
    }
}

//! ISR: Oracle's Interactive Session Recorder tells receivers of recordings by a URL with values in it
//! (`docs/isr.md`). One destination is one receiver: which events it wants ([`parameters`], scope, results), as which
//! request ([`template`]), and what its answers say. Absent: patience, order and the log, which are the outbox's.

pub mod parameters;
pub mod read;
pub mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use self::parameters::{Added, is_failure, value};
use self::template::{Bare, Template};
use crate::dialect::destination::request::content;
use crate::dialect::destination::{Common, again};
use crate::event::Event;
use crate::event::vocabulary::Vocabulary;
use crate::ground::time::Wall;
use crate::hub::call::{Answer, Target};
use crate::outbox::receiver::{Judgement, Letter, Policy, Receiver};
use crate::wire::xml;

/// One destination.
pub(crate) struct Destination {
    name: Box<str>,
    /// Our own event types, and what is sent for each.
    types: BTreeMap<Box<str>, Kind>,
    scope: Scope,
    success: bool,
    failure: bool,
    method: &'static str,
    form: Form,
    bare: Bare,
    check_result: bool,
    delivery_id: bool,
    added: Added,
    common: Common,
}

/// What is sent for one event type.
#[derive(Clone, Debug)]
struct Kind {
    word: Box<str>,
    success: Template,
    failure: Option<Template>,
}

/// Whose events go there.
#[derive(Debug)]
enum Scope {
    /// Everybody's.
    Global,
    /// Those whose attribute of this name has this value.
    Named(&'static str, Box<str>),
}

/// Where the parameters go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Query,
    Form,
}

/// Bounds of an answer's XML that is looked into.
const ANSWER: xml::Bounds = xml::Bounds { depth: 32, attributes: 64 };

impl Destination {
    fn kind(&self, event: &Event) -> Option<&Kind> {
        self.types.get(&*event.event_type)
    }

    /// Appends the template of an event with its values.
    fn expand(&self, event: &Event, out: &mut Vec<u8>) {
        let Some(kind) = self.kind(event) else { return };
        let failure = kind.failure.as_ref().filter(|_| is_failure(event));
        let template = failure.unwrap_or(&kind.success);
        template.expand(self.bare, |name| value(name, &kind.word, event, &self.added), out);
    }

    /// Appends the base URL's path and query, and the template where the query goes on.
    fn target_with(&self, event: &Event, out: &mut Vec<u8>) {
        out.extend_from_slice(self.common.url.target.as_bytes());
        if self.form == Form::Query {
            let before = out.len();
            out.push(if self.common.url.has_query() { b'&' } else { b'?' });
            self.expand(event, out);
            if out.len() == before + 1 {
                out.truncate(before);
            }
        }
    }
}

impl Receiver for Destination {
    fn wants(&self, event: &Event, _vocabulary: &Vocabulary) -> bool {
        let in_scope = match &self.scope {
            Scope::Global => true,
            Scope::Named(attribute, value) => event.extension(attribute) == Some(value),
        };
        in_scope && self.kind(event).is_some() && if is_failure(event) { self.failure } else { self.success }
    }

    /// The recording: its universal call id, else its own id.
    fn order(&self, event: &Event) -> Option<Box<str>> {
        let names = ["UCID", "RECORDINGID", "TMPRECORDINGID"];
        let ids = names.map(|name| value(name, "", event, &self.added));
        let id = ids.iter().find(|id| !id.is_empty());
        id.map(|id| (&**id).into()).or_else(|| event.subject.clone())
    }

    fn request(&self, letters: &[Letter<'_>], _wall: Wall, _vocabulary: &Vocabulary) -> Vec<u8> {
        let [letter, ..] = letters else { return Vec::new() };
        let mut out = Vec::with_capacity(1_024);
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        self.target_with(letter.event, &mut out);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        out.extend_from_slice(self.common.fields.as_bytes());
        if self.delivery_id {
            let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
            out.extend_from_slice(b"Offhook-Delivery-Id: ");
            out.extend_from_slice(letter.id.hyphenated().encode_lower(&mut id).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        match (self.form, self.method) {
            (Form::Form, _) => {
                out.extend_from_slice(b"Content-Type: application/x-www-form-urlencoded\r\n");
                content(&mut out, |out| self.expand(letter.event, out));
            }
            (Form::Query, "GET" | "DELETE") => out.extend_from_slice(b"\r\n"),
            (Form::Query, _) => out.extend_from_slice(b"Content-Length: 0\r\n\r\n"),
        }
        out
    }

    fn summary(&self, letter: Letter<'_>, _vocabulary: &Vocabulary) -> String {
        let url = &self.common.url;
        let mut out = Vec::new();
        self.target_with(letter.event, &mut out);
        if self.form == Form::Form {
            out.push(b' ');
            self.expand(letter.event, &mut out);
        }
        let scheme = if url.https { "https" } else { "http" };
        format!("{} {scheme}://{}{}", self.method, url.authority, String::from_utf8_lossy(&out))
    }

    /// The table of isr.md 2.7.
    fn judge(&self, answer: &Answer) -> Judgement {
        match answer.status {
            200..=299 => match self.check_result.then(|| result_code(answer)).flatten() {
                Some(code) => {
                    Judgement::Retry { reason: format!("the answer's code is {code}"), after_ms: None }
                }
                None => Judgement::Done,
            },
            400 | 405 | 410 | 413 | 414 | 415 | 422 | 501 => {
                Judgement::Dead { reason: format!("the answer was {}", answer.status) }
            }
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

/// The `code` of an XML answer, if it is one and not 0. What cannot be read says nothing: the status counts.
fn result_code(answer: &Answer) -> Option<String> {
    let document = xml::text(&answer.content).ok()?;
    let code = xml::element::text_of(&document, "code", ANSWER).ok()??;
    let code: String = code.trim().chars().take(64).collect();
    (code.parse::<i64>() != Ok(0)).then_some(code)
}

/// Credentials stand in the header fields: nobody sees them in a log.
impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "isr {} {}", self.name, self.common.url)
    }
}

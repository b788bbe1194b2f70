//! The head of a message: its first line and its header fields. It is read to its end even if a line is at fault, so that
//! a request can be refused with a response that finds its sender. What is at fault is judged strictly and here alone:
//! every line ends with CR LF, what identifies a message stands in it once and can be read.
//!
//! What is absent here: the judgement of fields that not every message has.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::fields::{self, Fields, Lines};
use super::grammar::{self, WHITE};
use super::message::{self, Message, Start, Unreadable};
use super::uri::{self, Parts, Uri, Via};

/// What is at fault: the status of the response, and the sentence.
pub(super) type Fault = (u16, &'static str);

/// What could be read of a head, and its first fault.
pub(super) struct Head {
    /// All but its body.
    pub(super) message: Message,
    /// `Content-Length`, if there is one that can be read.
    pub(super) length: Option<usize>,
    pub(super) fault: Option<Fault>,
}

impl Head {
    /// Reads a head. What follows its end is not in `head`.
    pub(super) fn read(head: &[u8], fields_max: usize) -> Head {
        let mut lines = Lines::of(head);
        let (start, mut fault) = match lines.next() {
            Some(first) => read_start(&first),
            None => (None, Some((400, "there is no message"))),
        };
        // Stands for a first line that says neither what is asked nor what is answered: nobody answers it.
        let start = start.unwrap_or(Start::Response { status: 0, reason: Box::default() });
        let mut fields = Fields::default();
        for line in lines {
            fault = fault.or(read_field(&line, &mut fields, fields_max).err());
            if fields.len() > fields_max {
                fault = fault.or(Some((513, "there are more header fields than are taken here")));
                break;
            }
        }
        let message = Message { start, fields, body: Vec::new() };
        let fault = fault.or_else(|| judge(&message).err());
        let length = message.fields.get("Content-Length").and_then(grammar::number);
        Head { message, length, fault }
    }

    /// The refusal of this message.
    pub(super) fn refused(&self, (status, reason): Fault) -> Unreadable {
        let message = &self.message;
        let answerable = message.method().is_some_and(|method| method != "ACK")
            && ["Via", "From", "To", "Call-ID", "CSeq"].iter().all(|name| message.fields.get(name).is_some());
        // Section 21.4.1: the reason phrase names the fault.
        let answer = answerable.then(|| Box::new(Message::response(message, status, reason)));
        Unreadable { reason, answer }
    }
}

/// What could be read of the first line, and its fault.
fn read_start(line: &[u8]) -> (Option<Start>, Option<Fault>) {
    let nothing = |reason| (None, Some((400, reason)));
    let Ok(line) = str::from_utf8(line) else { return nothing("the first line is not UTF-8") };
    if line.contains(char::is_control) {
        return nothing("the first line holds a control character");
    }
    if names_sip(line) {
        return read_status_line(line).map_or_else(nothing, |start| (Some(start), None));
    }
    let Some((method, rest)) = line.split_once(' ').filter(|(method, _)| grammar::is_token(method)) else {
        return nothing("the method is malformed");
    };
    let (uri, version) = rest.rsplit_once(' ').unwrap_or((rest, ""));
    let start = Start::Request { method: method.into(), uri: uri.into() };
    (Some(start), judge_target(uri, version).err())
}

/// Whether a version of SIP stands here, whichever.
fn names_sip(text: &str) -> bool {
    text.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("SIP/"))
}

/// Section 7.2. The space before a reason phrase that is empty may be missing.
fn read_status_line(line: &str) -> Result<Start, &'static str> {
    let (version, rest) = line.split_once(' ').unwrap_or((line, ""));
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        return Err("the response is not of SIP/2.0");
    }
    let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let number = grammar::number(status).filter(|number| status.len() == 3 && (100..700).contains(number));
    Ok(Start::Response { status: number.ok_or("the status is malformed")?, reason: reason.into() })
}

/// Section 7.1. A scheme that is not known here is not malformed.
fn judge_target(uri: &str, version: &str) -> Result<(), Fault> {
    if !names_sip(version) {
        return Err((400, "the request line does not end with the version"));
    }
    if !version.eq_ignore_ascii_case("SIP/2.0") {
        return Err((505, "SIP/2.0 is spoken here"));
    }
    if !uri::is_absolute(uri) {
        return Err((400, "the request URI is malformed"));
    }
    let (scheme, _) = uri.split_once(':').unwrap_or_default();
    if ["sip", "sips"].iter().any(|sip| scheme.eq_ignore_ascii_case(sip)) {
        let uri: Uri = uri.parse().map_err(|malformed: uri::Malformed| (400, malformed.0))?;
        // Section 19.1.1, table 1.
        if uri.headers.is_some() {
            return Err((400, "the request URI has headers"));
        }
    }
    Ok(())
}

/// Adds the field of a line. Of a value that is not text the rest is kept for the answer.
fn read_field(line: &[u8], fields: &mut Fields, fields_max: usize) -> Result<(), Fault> {
    let bad = |reason| Err((400, reason));
    let colon = memchr(b':', line).unwrap_or(line.len());
    let name = str::from_utf8(&line[..colon]).unwrap_or_default().trim_end_matches(WHITE);
    if colon == line.len() {
        return bad("a line of the head has no colon");
    }
    if !grammar::is_token(name) {
        return bad("a header field's name is malformed");
    }
    let value = &line[colon + 1..];
    if memchr2(b'\r', b'\n', value).is_some() {
        return bad("a line of the head does not end with CR LF");
    }
    let text = str::from_utf8(value).map_or_else(|_| String::from_utf8_lossy(value), Cow::Borrowed);
    let name = fields::registered(name);
    let is_taken = matches!(text, Cow::Borrowed(_)) || is_for_people(&name, &text);
    let text = text.trim_matches(WHITE);
    if name == "Via" {
        // One hop a line, so that the first line is the first hop.
        grammar::split(text, b',').take(fields_max.saturating_add(1)).for_each(|hop| fields.push("Via", hop));
    } else {
        fields.add(name, text.into());
    }
    if is_taken { Ok(()) } else { bad("a header field's value is not UTF-8") }
}

/// Whether all that was not UTF-8, and is U+FFFD by now, is for people to read: there are phones that write names in
/// Latin-1. What identifies something must not come to look alike.
fn is_for_people(name: &str, text: &str) -> bool {
    match name {
        "Organization" | "Server" | "Subject" | "User-Agent" => true,
        "From" | "To" | "Contact" => {
            let uri = grammar::find_outside(text, b'<').map(|at| &text[at..]);
            uri.is_some_and(|uri| !uri.contains(char::REPLACEMENT_CHARACTER))
        }
        _ => false,
    }
}

/// What every message must have, each once (section 8.1.1), what most have, and whether it can be read.
type Rule = (&'static str, bool, fn(&str) -> bool, [&'static str; 3]);

macro_rules! rule {
    ($name:literal, $required:literal, $fits:expr) => {
        (
            $name,
            $required,
            $fits,
            [
                concat!($name, " is missing"),
                concat!("there is more than one ", $name),
                concat!($name, " is malformed"),
            ],
        )
    };
}

const RULES: &[Rule] = &[
    rule!("From", true, |value| Parts::read(value).is_ok()),
    rule!("To", true, |value| Parts::read(value).is_ok()),
    rule!("Call-ID", true, |value| !value.is_empty() && !value.contains(WHITE)),
    rule!("CSeq", true, |value| message::cseq(value).is_some()),
    rule!("Max-Forwards", false, |value| grammar::number::<u8>(value).is_some()),
    rule!("Content-Length", false, |value| grammar::number::<u32>(value).is_some()),
    rule!("Content-Type", false, |_| true),
    rule!("Event", false, |_| true),
    rule!("Subscription-State", false, |_| true),
    rule!("Expires", false, |_| true),
];

/// What makes lines a message: the fields without which nobody can tell whose it is, and its length.
fn judge(message: &Message) -> Result<(), Fault> {
    for (name, required, fits, [missing, repeated, malformed]) in RULES {
        let mut lines = message.fields.lines(name);
        match (lines.next(), lines.next()) {
            (None, _) if *required => return Err((400, missing)),
            (None, _) => {}
            (Some(_), Some(_)) => return Err((400, repeated)),
            (Some(value), None) if !fits(value) => return Err((400, malformed)),
            (Some(_), None) => {}
        }
    }
    if message.fields.get("Via").is_none() {
        return Err((400, "Via is missing"));
    }
    if message.fields.lines("Via").any(|via| via.parse::<Via>().is_err()) {
        return Err((400, "Via is malformed"));
    }
    let contacts = message.fields.values("Contact");
    if contacts.filter(|contact| *contact != "*").any(|contact| Parts::read(contact).is_err()) {
        return Err((400, "Contact is malformed"));
    }
    match message.method() {
        Some(method) if message.cseq().is_some_and(|(_, m)| m != method) => {
            Err((400, "CSeq names another method"))
        }
        _ => Ok(()),
    }
}

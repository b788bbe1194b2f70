//! Requests and responses (RFC 3261 section 7). A head is read to its end even if a line of it is at fault, so that a
//! request can be refused with a response that finds its sender; what is at fault is judged strictly and in one place.
//! Every line ends with CR LF: a bare CR or LF is a fault, so that no two readers see different lines.
//!
//! What is absent here: methods' meaning, transactions, and the judgement of fields that not every message has.

use std::borrow::Cow;

use memchr::{memchr, memmem};

use super::Bounds;
use super::fields::{self, Fields, Lines};
use super::grammar::{self, WHITE};
use super::uri::{self, NameAddr, Parts, Uri, Via};

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its first line.
    pub start: Start,
    /// Its header fields.
    pub fields: Fields,
    /// Its body; empty if there is none.
    pub body: Vec<u8>,
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// What is asked.
    Request {
        /// The method; methods are case-sensitive.
        method: Box<str>,
        /// The request URI, as it was written.
        uri: Box<str>,
    },
    /// What is answered.
    Response {
        /// 100 to 699.
        status: u16,
        /// For people; it may be empty.
        reason: Box<str>,
    },
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// A sentence for whoever sent it.
    pub reason: &'static str,
    /// The response to it, if it was a request of which enough could be read; nothing else may be answered.
    pub answer: Option<Box<Message>>,
}

/// What is at fault: the status of the response, and the sentence.
type Fault = (u16, &'static str);

impl Message {
    /// A request without any field.
    #[must_use]
    pub fn request(method: &str, uri: &str) -> Message {
        let start = Start::Request { method: method.into(), uri: uri.into() };
        Message { start, fields: Fields::default(), body: Vec::new() }
    }

    /// The response to a request (section 8.2.6.2): `Via`, `From`, `To`, `Call-ID` and `CSeq` as they came. `To` gets no
    /// tag here.
    #[must_use]
    pub fn response(to: &Message, status: u16, reason: &str) -> Message {
        let mut fields = Fields::default();
        to.fields.lines("Via").for_each(|hop| fields.push("Via", hop));
        for name in ["From", "To", "Call-ID", "CSeq"] {
            to.fields.get(name).into_iter().for_each(|value| fields.push(name, value));
        }
        Message { start: Start::Response { status, reason: reason.into() }, fields, body: Vec::new() }
    }

    /// Reads a whole datagram within the default bounds. A body that is shorter than `Content-Length` is a fault, what
    /// is beyond it is cut off (section 18.3).
    ///
    /// # Errors
    /// The datagram is no message.
    pub fn from_datagram(bytes: &[u8]) -> Result<Message, Unreadable> {
        Message::from_datagram_within(bytes, Bounds::default())
    }

    /// Reads a whole datagram.
    ///
    /// # Errors
    /// The datagram is no message.
    pub fn from_datagram_within(bytes: &[u8], bounds: Bounds) -> Result<Message, Unreadable> {
        let before = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let bytes = &bytes[before..];
        let end = memmem::find(bytes, b"\r\n\r\n").map(|at| at + 4);
        let (head, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        let Head { mut message, length, mut fault } = Head::read(head, bounds.fields);
        if head.len() > bounds.head_bytes {
            fault = fault.or(Some(TOO_LARGE));
        } else if end.is_none() {
            fault = fault.or(Some((400, "the head has no end")));
        }
        let length = length.unwrap_or(rest.len());
        if length > rest.len() {
            fault = fault.or(Some((400, "the body is shorter than Content-Length")));
        }
        match fault {
            Some(fault) => Err(Unreadable::new(&message, fault)),
            None => {
                message.body.extend_from_slice(&rest[..length]);
                Ok(message)
            }
        }
    }

    /// Writes the message. `Content-Length` is always there, and last; what the fields say of it is left out.
    pub fn write(&self, out: &mut Vec<u8>) {
        match &self.start {
            Start::Request { method, uri } => line(out, &[method, " ", uri, " SIP/2.0"]),
            Start::Response { status, reason } => line(out, &["SIP/2.0 ", &status.to_string(), " ", reason]),
        }
        for (name, value) in self.fields.iter().filter(|(name, _)| *name != "Content-Length") {
            line(out, &[name, ": ", value]);
        }
        line(out, &["Content-Length: ", &self.body.len().to_string()]);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.body);
    }

    /// The method of a request.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        match &self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// The request URI.
    #[must_use]
    pub fn uri(&self) -> Option<&str> {
        match &self.start {
            Start::Request { uri, .. } => Some(uri),
            Start::Response { .. } => None,
        }
    }

    /// The status of a response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    /// `Call-ID`; empty in a message of ours that has none yet.
    #[must_use]
    pub fn call_id(&self) -> &str {
        self.fields.get("Call-ID").unwrap_or_default()
    }

    /// `CSeq`: number and method.
    #[must_use]
    pub fn cseq(&self) -> Option<(u32, &str)> {
        cseq(self.fields.get("CSeq")?)
    }

    /// The tag of `From`.
    #[must_use]
    pub fn from_tag(&self) -> Option<&str> {
        tag(self.fields.get("From")?)
    }

    /// The tag of `To`.
    #[must_use]
    pub fn to_tag(&self) -> Option<&str> {
        tag(self.fields.get("To")?)
    }

    /// The hops, the latest first.
    pub fn vias(&self) -> impl Iterator<Item = Via> {
        self.fields.values("Via").filter_map(|via| via.parse().ok())
    }

    /// The first `Contact`; `None` also for `*`.
    #[must_use]
    pub fn contact(&self) -> Option<NameAddr> {
        self.fields.values("Contact").next()?.parse().ok()
    }
}

/// Writes a line; line ends in it become spaces, so that no value can bring a field along.
fn line(out: &mut Vec<u8>, words: &[&str]) {
    let plain = |b| if matches!(b, b'\r' | b'\n') { b' ' } else { b };
    words.iter().for_each(|word| out.extend(word.bytes().map(plain)));
    out.extend_from_slice(b"\r\n");
}

fn cseq(value: &str) -> Option<(u32, &str)> {
    let (number, method) = value.split_once(WHITE)?;
    let number: u32 = grammar::number(number)?;
    let method = method.trim_start_matches(WHITE);
    // Section 8.1.1.5: below 2^31.
    (number < 1 << 31 && grammar::is_token(method)).then_some((number, method))
}

fn tag(value: &str) -> Option<&str> {
    let parts = Parts::read(value).ok()?;
    parts.params.iter().find(|(name, _)| name.eq_ignore_ascii_case("tag"))?.1
}

impl Unreadable {
    fn new(message: &Message, (status, reason): Fault) -> Unreadable {
        let answerable = message.method().is_some_and(|method| method != "ACK")
            && ["Via", "From", "To", "Call-ID", "CSeq"].iter().all(|name| message.fields.get(name).is_some());
        // Section 21.4.1: the reason phrase names the fault.
        let answer = answerable.then(|| Box::new(Message::response(message, status, reason)));
        Unreadable { reason, answer }
    }
}

const TOO_LARGE: Fault = (513, "the head is larger than is taken here");

/// Bytes between messages that keep a connection or a binding alive, and are nothing else.
#[must_use]
pub fn is_keepalive(datagram: &[u8]) -> bool {
    datagram.iter().all(|b| matches!(b, b'\r' | b'\n' | 0))
}

/// What could be read of a head, and its first fault.
pub(super) struct Head {
    pub(super) message: Message,
    pub(super) length: Option<usize>,
    pub(super) fault: Option<Fault>,
}

impl Head {
    /// Reads a head. What follows its end is not in `head`.
    pub(super) fn read(head: &[u8], fields_max: usize) -> Head {
        let mut lines = Lines::of(head);
        let (start, mut fault) = match lines.next().map(|first| read_start(&first)) {
            Some(Ok(start)) => (start, None),
            Some(Err((start, fault))) => (start, Some(fault)),
            None => (no_start(), Some((400, "there is no message"))),
        };
        let mut fields = Fields::default();
        for text in lines {
            fault = fault.or(read_field(&text, &mut fields, fields_max).err());
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

    pub(super) fn refused(&self, status: u16, reason: &'static str) -> Unreadable {
        Unreadable::new(&self.message, (status, reason))
    }
}

/// Stands for a first line that is none: nothing of it is ever answered.
fn no_start() -> Start {
    Start::Response { status: 0, reason: Box::default() }
}

/// The first line, or what could be read of it and its fault.
fn read_start(line: &[u8]) -> Result<Start, (Start, Fault)> {
    let malformed = |reason| (no_start(), (400, reason));
    let line = str::from_utf8(line).map_err(|_| malformed("the first line is not UTF-8"))?;
    if line.contains(char::is_control) {
        return Err(malformed("the first line holds a control character"));
    }
    if line.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("SIP/")) {
        let rest =
            line.split_once(' ').map(|(version, rest)| (version.eq_ignore_ascii_case("SIP/2.0"), rest));
        let Some((true, rest)) = rest else { return Err(malformed("the response is not of SIP/2.0")) };
        let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let status = grammar::number(status).filter(|n| status.len() == 3 && (100..700).contains(n));
        let status = status.ok_or(malformed("the status is malformed"))?;
        return Ok(Start::Response { status, reason: reason.into() });
    }
    let Some((method, rest)) = line.split_once(' ').filter(|(method, _)| grammar::is_token(method)) else {
        return Err(malformed("the method is malformed"));
    };
    let (uri, version) = rest.rsplit_once(' ').unwrap_or((rest, ""));
    let request = || Start::Request { method: method.into(), uri: uri.into() };
    let is_sip = |uri: &str| {
        let (scheme, _) = uri.split_once(':').unwrap_or_default();
        ["sip", "sips"].iter().any(|sip| scheme.eq_ignore_ascii_case(sip))
    };
    let fault = if !version.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("SIP/")) {
        Some((400, "the request line does not end with the version"))
    } else if !version.eq_ignore_ascii_case("SIP/2.0") {
        Some((505, "SIP/2.0 is spoken here"))
    } else if !uri::is_absolute(uri) {
        Some((400, "the request URI is malformed"))
    } else if is_sip(uri) {
        match uri.parse::<Uri>() {
            Err(malformed) => Some((400, malformed.0)),
            // Section 19.1.1, table 1.
            Ok(Uri { headers: Some(_), .. }) => Some((400, "the request URI has headers")),
            Ok(_) => None,
        }
    } else {
        None
    };
    fault.map_or_else(|| Ok(request()), |fault| Err((request(), fault)))
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
    let value = String::from_utf8_lossy(&line[colon + 1..]);
    let text = value.trim_matches(WHITE);
    if text.contains(['\r', '\n']) {
        return bad("a line of the head does not end with CR LF");
    }
    let name = fields::registered(name);
    if name == "Via" {
        // One hop a line, so that the first line is the first hop.
        grammar::split(text, b',').take(fields_max.saturating_add(1)).for_each(|hop| fields.push("Via", hop));
    } else {
        fields.add(name, text.into());
    }
    if let Cow::Owned(_) = value { bad("a header field's value is not UTF-8") } else { Ok(()) }
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
    rule!("CSeq", true, |value| cseq(value).is_some()),
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

#[cfg(test)]
mod tests;

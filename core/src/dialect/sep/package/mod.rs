//! Event packages: what their bodies say, how documents with a part of the state are merged, and the flat facts of what
//! changed. A body that is not what its package promises is carried as it came: nothing is lost.
//!
//! What is absent here: SIP, subscriptions, and any state of its own but [`Ended`]. The document that an instance shows
//! is the state; it is read again when the next one comes.

pub mod carrier;
mod dialog;
mod message_summary;
mod presence;
mod reg;
mod table;
#[cfg(test)]
mod tests;
mod vq_rtcpxr;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

use crate::event::Fact;
use crate::ground::time::Mono;
use crate::wire::xml::Bounds;

pub use table::Ended;

/// Bounds of an XML body, far above what any package needs; beyond, a body is carried as bytes. They are fixed, because
/// what stands in the log must be read again under every config.
pub(super) const XML: Bounds = Bounds { depth: 32, attributes: 64 };

/// An event package.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Package {
    /// `reg`, registrations (RFC 3680).
    Reg,
    /// `dialog`, INVITE-initiated dialogs (RFC 4235).
    Dialog,
    /// `message-summary`, messages that wait (RFC 3842).
    MessageSummary,
    /// `presence` (RFC 3856), in PIDF (RFC 3863).
    Presence,
    /// `vq-rtcpxr`, the quality of voice (RFC 6035).
    VqRtcpxr,
    /// Any other; its bodies are carried.
    Other,
}

impl Package {
    /// The package of an `Event` header field's value, or of the `event` that a client asked for.
    #[must_use]
    pub fn of(event: &str) -> Package {
        match event_name(event) {
            "reg" => Package::Reg,
            "dialog" => Package::Dialog,
            "message-summary" => Package::MessageSummary,
            "presence" => Package::Presence,
            "vq-rtcpxr" => Package::VqRtcpxr,
            _ => Package::Other,
        }
    }

    /// The type of its bodies; `None`: only who asks for it knows.
    #[must_use]
    pub fn accept(self) -> Option<&'static str> {
        match self {
            Package::Reg => Some("application/reginfo+xml"),
            Package::Dialog => Some("application/dialog-info+xml"),
            Package::MessageSummary => Some("application/simple-message-summary"),
            Package::Presence => Some("application/pidf+xml"),
            Package::VqRtcpxr => Some("application/vq-rtcpxr"),
            Package::Other => None,
        }
    }

    /// How long a subscription is asked for, in seconds.
    #[must_use]
    pub fn default_expires_s(self) -> u32 {
        match self {
            // RFC 3680 section 4.4.
            Package::Reg => 3761,
            Package::Dialog
            | Package::MessageSummary
            | Package::Presence
            | Package::VqRtcpxr
            | Package::Other => 3600,
        }
    }

    /// Whether each dialog that a forked SUBSCRIBE makes is an instance of its own (RFC 4235 section 3.9, RFC 3842
    /// section 3.9); else the first alone is kept (RFC 3680 section 4.9, RFC 3856 section 6.9).
    #[must_use]
    pub fn takes_forks(self) -> bool {
        match self {
            Package::Dialog | Package::MessageSummary => true,
            Package::Reg | Package::Presence | Package::VqRtcpxr | Package::Other => false,
        }
    }
}

/// The name that SIP knows for what a client calls `event`: the vendor's `rtcp-stats` is `vq-rtcpxr`.
#[must_use]
pub fn event_name(event: &str) -> &str {
    if event == "rtcp-stats" { "vq-rtcpxr" } else { event }
}

/// A body as an instance shows it; for `reg` and `dialog` the merged, full document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "Kept", into = "Kept")]
pub struct Body {
    /// Its `Content-Type`.
    pub content_type: Box<str>,
    /// The body.
    pub bytes: Box<[u8]>,
}

/// A body in the log.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(rename = "type")]
    content_type: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<Box<str>>,
}

impl From<Kept> for Body {
    fn from(kept: Kept) -> Body {
        let bytes = match (kept.text, kept.base64) {
            (Some(text), _) => text.into_boxed_bytes(),
            (None, Some(base64)) => BASE64.decode(base64.as_bytes()).unwrap_or_default().into(),
            (None, None) => Box::default(),
        };
        Body { content_type: kept.content_type, bytes }
    }
}

impl From<Body> for Kept {
    fn from(body: Body) -> Kept {
        let (text, base64) = match String::from_utf8(body.bytes.into_vec()) {
            Ok(text) => (Some(text.into()), None),
            Err(e) => (None, Some(BASE64.encode(e.as_bytes()).into())),
        };
        Kept { content_type: body.content_type, text, base64 }
    }
}

impl Body {
    /// Its type without parameters.
    fn media_type(&self) -> &str {
        self.content_type.split(';').next().unwrap_or_default().trim()
    }

    fn is_a(&self, media_type: &str) -> bool {
        self.media_type().eq_ignore_ascii_case(media_type)
    }
}

/// What came of a NOTIFY's body.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Taken {
    /// What the instance shows from here on; `None`: what it showed before.
    pub body: Option<Body>,
    /// A report of `vq-rtcpxr`: it counts as a change, even if it says what the one before said.
    pub is_new_report: bool,
    /// States were missed, or are older than what is known: all of it should be asked for.
    pub refresh: bool,
    /// What changed.
    pub items: Vec<Item>,
    /// The body is not what its package promises. It is carried as it came.
    pub unreadable: bool,
}

/// One changed item, for an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// `sip.reg`, `sip.dialog`, …
    pub event_type: &'static str,
    /// Whom or what it is about, as `{type}/{id}`: `aor/…` for a registration, `entity/…` for dialogs and presence,
    /// `account/…` for messages, `call/…` for a report.
    pub subject: Option<Box<str>>,
    /// Names and values; what is not known is left out.
    pub facts: Vec<(Box<str>, Fact)>,
}

impl Item {
    fn new(event_type: &'static str, subject: (&str, Option<&str>)) -> Item {
        let id = subject.1.filter(|id| !id.is_empty());
        let subject = id.map(|id| format!("{}/{id}", subject.0).into());
        Item { event_type, subject, facts: Vec::new() }
    }

    /// Adds a fact, if it is known.
    fn text(mut self, name: &str, value: Option<impl Into<Box<str>>>) -> Item {
        self.facts.extend(value.map(|value| (name.into(), Fact::Text(value.into()))));
        self
    }

    /// Adds a number, if it is known.
    fn number(mut self, name: &str, value: Option<&str>) -> Item {
        self.facts.extend(value.map(|value| (name.into(), Item::number_or_text(value))));
        self
    }

    /// A number, if JSON can write it as it stands.
    fn number_or_text(value: &str) -> Fact {
        let number = value.starts_with(|c: char| c == '-' || c.is_ascii_digit())
            && serde_json::from_str::<&serde_json::value::RawValue>(value).is_ok();
        if number { Fact::Number(value.into()) } else { Fact::Text(value.into()) }
    }
}

/// What a NOTIFY's body changes. `held` is what the instance shows so far; `first`: it is the first since a SUBSCRIBE of
/// our own; `ended` remembers what the document cannot show. An empty body leaves all as it is; one without a type has
/// its package's.
#[must_use]
pub fn take(
    package: Package,
    held: Option<&Body>,
    mut incoming: Body,
    first: bool,
    now: Mono,
    ended: &mut Ended,
) -> Taken {
    if incoming.bytes.is_empty() {
        return Taken::default();
    }
    if incoming.content_type.is_empty() {
        incoming.content_type = package.accept().unwrap_or_default().into();
    }
    let expected = package.accept().is_some_and(|expected| incoming.is_a(expected));
    let read = match package {
        _ if !expected => Ok(None),
        Package::Reg => return table::take(&reg::SHAPE, held, incoming, first, now, ended),
        Package::Dialog => return table::take(&dialog::SHAPE, held, incoming, first, now, ended),
        Package::MessageSummary => message_summary::read(&incoming.bytes).map(Some),
        Package::Presence => presence::read(&incoming.bytes).map(Some),
        Package::VqRtcpxr => vq_rtcpxr::read(&incoming.bytes).map(Some),
        Package::Other => Ok(None),
    };
    let is_new_report = expected && package == Package::VqRtcpxr;
    let changed = is_new_report || held != Some(&incoming);
    Taken {
        unreadable: read.is_err(),
        items: read.ok().flatten().filter(|item| changed && !item.facts.is_empty()).into_iter().collect(),
        body: changed.then_some(incoming),
        is_new_report,
        refresh: false,
    }
}

/// Why a body is not what its package promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Unreadable;

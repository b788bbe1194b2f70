//! Requests and responses (RFC 3261 section 7), and how datagrams hold them.
//!
//! What is absent here: methods' meaning, transactions, and what makes a head one (`head`).

use memchr::memmem;

use super::Bounds;
use super::fields::Fields;
use super::grammar::{self, WHITE};
use super::head::Head;
use super::uri::{NameAddr, Parts, Via};

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
        to.fields.lines("Via").for_each(|hop| fields.add("Via".into(), hop.into()));
        for name in ["From", "To", "Call-ID", "CSeq"] {
            to.fields.get(name).into_iter().for_each(|value| fields.add(name.into(), value.into()));
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
        let mut read = Head::read(head, bounds.fields);
        let length = read.length.unwrap_or(rest.len());
        let fault = read.fault.or(if head.len() > bounds.head_bytes {
            Some((513, "the head is larger than is taken here"))
        } else if end.is_none() {
            Some((400, "the head has no end"))
        } else if length > rest.len() {
            Some((400, "the body is shorter than Content-Length"))
        } else {
            None
        });
        match fault {
            Some(fault) => Err(read.refused(fault)),
            None => {
                read.message.body.extend_from_slice(&rest[..length]);
                Ok(read.message)
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

pub(super) fn cseq(value: &str) -> Option<(u32, &str)> {
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

/// Bytes between messages that keep a connection or a binding alive, and are nothing else.
#[must_use]
pub fn is_keepalive(datagram: &[u8]) -> bool {
    datagram.iter().all(|b| matches!(b, b'\r' | b'\n' | 0))
}

#[cfg(test)]
mod tests;

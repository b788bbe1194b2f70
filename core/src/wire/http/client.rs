//! The client's side of one connection: one request at a time, and the answer that belongs to it, taken off the wire
//! (RFC 9110 section 15, RFC 9112 sections 4 and 6).
//!
//! What is absent here: requests (they are bytes already), redirects, pipelining, sockets, time. Framing is judged as
//! strictly as that of requests: an answer that two readers could cut in two ways is no answer.

use std::mem::MaybeUninit;

use httparse::ParserConfig;

use super::body::Body;
use super::head::{FIELDS_MAX, Framing, HeadEnd};
use crate::ground::limits::Limits;
use crate::ground::time::Wall;
use crate::wire::Step;

/// What every answer begins with.
const BEGINNING: &[u8] = b"HTTP/1.";

/// What a request makes of its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// It was a HEAD: the answer has no content, whatever its fields say.
    pub head_only: bool,
    /// It was a CONNECT: what follows an answer of 2xx is the tunnel.
    pub connect: bool,
    /// Content that is kept; what is beyond it is not read.
    pub content_max: u64,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The status, 200 to 599.
    pub status: u16,
    /// `Retry-After` in milliseconds from now, if there was one that can be read.
    pub retry_after_ms: Option<u64>,
    /// `Content-Type`.
    pub content_type: Option<Box<str>>,
    /// The content, as far as it is kept.
    pub content: Vec<u8>,
    /// There was more than is kept.
    pub cut: bool,
    /// The connection may carry another request.
    pub reusable: bool,
}

/// What the bytes so far mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Nothing yet.
    More,
    /// The answer, and how many of the bytes that were just given belong to it.
    Whole(Response, usize),
    /// This is no answer.
    Fault(&'static str),
}

/// What the end of the connection means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It ends the answer.
    Whole(Response),
    /// No byte of an answer had come.
    Silent,
    /// The answer was not whole.
    Cut,
}

/// The machine.
#[derive(Debug, Default)]
pub struct Client {
    state: State,
    ask: Ask,
    end: HeadEnd,
    /// The beginning of a head that is not whole.
    kept: Vec<u8>,
    /// Bytes of the interim answers before this one.
    interim_bytes: usize,
}

#[derive(Debug, Default)]
enum State {
    /// Nothing was asked.
    #[default]
    Idle,
    Head,
    Content(Response, Rest),
}

/// What is left of a body.
#[derive(Debug)]
enum Rest {
    Framed(Body),
    UntilEnd,
}

/// What the fields of a head say of its body and its connection.
#[derive(Debug, Default)]
struct Fields<'a> {
    length: Option<&'a str>,
    coding: Option<&'a str>,
    close: bool,
    retry_after: Option<&'a str>,
    content_type: Option<&'a str>,
}

impl Client {
    /// A request goes on its way.
    ///
    /// # Panics
    /// If the answer to an earlier one is not whole.
    pub fn ask(&mut self, ask: Ask) {
        assert!(self.is_idle(), "one request is in flight on a connection");
        *self = Client { state: State::Head, ask, ..Client::default() };
    }

    /// Whether no answer is awaited.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether no byte of an answer has come.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        matches!(self.state, State::Head) && self.kept.is_empty() && self.interim_bytes == 0
    }

    /// Bytes that the connection received. After anything but [`Received::More`] nothing is awaited any more.
    pub fn receive(&mut self, wall: Wall, input: &[u8], limits: &Limits) -> Received {
        if self.kept.is_empty() {
            return self.take(wall, input, 0, limits);
        }
        let mut whole = std::mem::take(&mut self.kept);
        let before = whole.len();
        whole.extend_from_slice(input);
        self.take(wall, &whole, before, limits)
    }

    /// The connection has ended; `clean`: on the peer's word. With TLS, an end without it may be anybody's doing.
    pub fn receive_eof(&mut self, clean: bool) -> Ended {
        let silent = self.is_silent() || self.is_idle();
        match std::mem::take(self).state {
            State::Content(response, Rest::UntilEnd) if clean => Ended::Whole(response),
            State::Idle | State::Head if silent => Ended::Silent,
            State::Idle | State::Head | State::Content(..) => Ended::Cut,
        }
    }

    /// Takes what it can of `input`, of which the first `before` bytes were given earlier.
    fn take(&mut self, wall: Wall, mut input: &[u8], before: usize, limits: &Limits) -> Received {
        let given = input.len();
        if self.is_idle() {
            return Received::Fault("bytes that nobody asked for");
        }
        while matches!(self.state, State::Head) {
            let head_bytes = (limits.head_bytes as usize).saturating_sub(self.interim_bytes);
            // What lies beyond the limit is not looked at, so that it cannot matter how much came at once.
            let begins = BEGINNING.len().min(input.len()).min(head_bytes);
            if input[..begins] != BEGINNING[..begins] {
                return self.fault("what came does not begin like an answer of HTTP/1.1");
            }
            let len = match self.end.find(input, head_bytes) {
                Step::Item((), len) => len,
                Step::More => {
                    self.kept = input.to_vec();
                    return Received::More;
                }
                Step::Fault(fault) if fault.status == 431 => {
                    return self.fault("the head is larger than [limits] head_bytes");
                }
                Step::Fault(fault) => return self.fault(fault.reason),
            };
            let (head, rest) = input.split_at(len);
            input = rest;
            self.end = HeadEnd::default();
            if let Err(reason) = self.head(wall, head, limits) {
                return self.fault(reason);
            }
        }
        let State::Content(response, rest) = &mut self.state else { return Received::More };
        let room = self.ask.content_max.saturating_sub(response.content.len() as u64);
        let taken = match rest {
            Rest::Framed(body) => {
                match body.receive(input, room, |b| response.content.extend_from_slice(b)) {
                    Ok(taken) => taken,
                    Err(fault) => return self.fault(fault.reason),
                }
            }
            Rest::UntilEnd => {
                let taken = usize::try_from(room).unwrap_or(usize::MAX).min(input.len());
                response.content.extend_from_slice(&input[..taken]);
                taken
            }
        };
        let is_done = matches!(rest, Rest::Framed(body) if body.is_done());
        let left = input.len() - taken;
        if !is_done && left == 0 {
            return Received::More;
        }
        // Whatever follows an answer that nobody else asked for is not to be trusted.
        response.cut = !is_done;
        response.reusable &= is_done && left == 0;
        let State::Content(response, _) = std::mem::take(self).state else { return Received::More };
        Received::Whole(response, given - left - before)
    }

    /// A whole head came: that of an interim answer, or of the answer.
    fn head(&mut self, wall: Wall, bytes: &[u8], limits: &Limits) -> Result<(), &'static str> {
        let mut slots = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let room = (limits.head_fields as usize).min(FIELDS_MAX);
        let mut parsed = httparse::Response::new(&mut []);
        let config = ParserConfig::default();
        match config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut slots[..room]) {
            Ok(httparse::Status::Complete(n)) if n == bytes.len() => {}
            Ok(_) => return Err("the head is not one whole head"),
            Err(httparse::Error::TooManyHeaders) => {
                return Err("more header fields than [limits] head_fields");
            }
            Err(httparse::Error::Version) => return Err("HTTP/1.1 and HTTP/1.0 are spoken here"),
            Err(httparse::Error::HeaderName) => return Err("a header field's name is malformed"),
            Err(httparse::Error::HeaderValue) => return Err("a header field's value is malformed"),
            Err(_) => return Err("the status line is malformed"),
        }
        let (Some(status), Some(version)) = (parsed.code, parsed.version) else {
            return Err("the status line is malformed");
        };
        match status {
            101 => return Err("the server switches to a protocol that nobody asked for"),
            100..=199 => {
                self.interim_bytes += bytes.len();
                return Ok(());
            }
            200..=599 => {}
            _ => return Err("the status is none"),
        }
        let http11 = version == 1;
        let fields = Fields::read(parsed.headers)?;
        let framing = fields.framing(http11)?;
        let is_bare = self.ask.head_only || matches!(status, 204 | 304);
        let is_tunnel = self.ask.connect && (200..300).contains(&status);
        let rest = match framing {
            _ if is_bare || is_tunnel => Rest::Framed(Body::new(Framing::Length(0), 0)),
            Some(framing) => Rest::Framed(Body::new(framing, limits.chunk_line_bytes)),
            None => Rest::UntilEnd,
        };
        let announced = match &rest {
            Rest::Framed(body) => body.announced().min(self.ask.content_max).min(limits.read_buffer_bytes),
            Rest::UntilEnd => 0,
        };
        let response = Response {
            status,
            retry_after_ms: fields.retry_after.and_then(|text| retry_after_ms(text, wall)),
            content_type: fields.content_type.map(Box::from),
            content: Vec::with_capacity(announced as usize),
            cut: false,
            reusable: http11 && !fields.close && matches!(rest, Rest::Framed(_)),
        };
        self.state = State::Content(response, rest);
        Ok(())
    }

    fn fault(&mut self, reason: &'static str) -> Received {
        *self = Client::default();
        Received::Fault(reason)
    }
}

impl<'a> Fields<'a> {
    fn read(headers: &[httparse::Header<'a>]) -> Result<Fields<'a>, &'static str> {
        let mut fields = Fields::default();
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            // Of repeated fields the first counts, but for those that frame the body: each must agree.
            if is("content-length") {
                for length in text(header)?.split(',').map(trim) {
                    if *fields.length.get_or_insert(length) != length {
                        return Err("unequal Content-Length values");
                    }
                }
            } else if is("transfer-encoding") {
                for coding in text(header)?.split(',').map(trim) {
                    if fields.coding.replace(coding).is_some() {
                        return Err("chunked is the only transfer coding that is taken");
                    }
                }
            } else if is("connection") {
                fields.close |= text(header)?.split(',').any(|o| trim(o).eq_ignore_ascii_case("close"));
            } else if is("retry-after") {
                fields.retry_after = fields.retry_after.or(Some(trim(text(header)?)));
            } else if is("content-type") {
                fields.content_type = fields.content_type.or(Some(trim(text(header)?)));
            }
        }
        Ok(fields)
    }

    /// RFC 9112 section 6.3; `None` is a body that ends with the connection.
    fn framing(&self, http11: bool) -> Result<Option<Framing>, &'static str> {
        match (self.coding, self.length) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err("Content-Length beside Transfer-Encoding"),
            (Some(_), None) if !http11 => Err("Transfer-Encoding in an HTTP/1.0 answer"),
            (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Framing::Chunked)),
            (Some(_), None) => Err("chunked is the only transfer coding that is taken"),
            (None, Some(length)) => {
                if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
                    return Err("Content-Length is no number");
                }
                let length = length.parse().map_err(|_| "Content-Length is too large")?;
                Ok(Some(Framing::Length(length)))
            }
        }
    }
}

fn text<'a>(header: &httparse::Header<'a>) -> Result<&'a str, &'static str> {
    std::str::from_utf8(header.value).map_err(|_| "a header field's value is not UTF-8")
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// RFC 9110 section 10.2.3: seconds, or a date.
fn retry_after_ms(text: &str, wall: Wall) -> Option<u64> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Some(text.parse().unwrap_or(u64::MAX).saturating_mul(1_000));
    }
    Some(Wall::from_http_date(text, wall)?.since(wall))
}

#[cfg(test)]
mod tests;

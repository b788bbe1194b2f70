//! Messages on a connection (RFC 3261 section 18.3): framed by `Content-Length`, which must be there. Empty lines before
//! a message are keepalives and are passed over.
//!
//! What is absent here: time, and what is written.

use std::borrow::Cow;

use memchr::{memchr_iter, memmem};

use super::Bounds;
use super::head::{Fault, Head};
use super::message::{Message, Unreadable};
use crate::wire::Step;
use crate::wire::http::head::HeadEnd;

/// What came off the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framed {
    /// A whole message.
    Message(Message),
    /// Nothing until more input comes.
    More,
    /// The peer sent something else: the connection is closed after the answer. Nothing comes after it.
    Unreadable(Unreadable),
}

/// The decoder of one connection. Between messages it holds no buffer.
#[derive(Debug, Default)]
pub struct Framing {
    bounds: Bounds,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// What has come of a head, and how far it was searched for its end.
    Head { come: Vec<u8>, end: HeadEnd },
    /// A message whose body is not all there.
    Body { message: Box<Message>, length: usize },
    /// Whatever comes is thrown away.
    Ended,
}

impl Default for Phase {
    fn default() -> Phase {
        Phase::Head { come: Vec::new(), end: HeadEnd::default() }
    }
}

impl Framing {
    /// A connection on which nothing has come yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Framing {
        Framing { bounds, phase: Phase::default() }
    }

    /// Takes the next message off the front of `input`. [`Framed::More`] has taken all of it.
    pub fn next(&mut self, input: &mut &[u8]) -> Framed {
        let framed = self.read(input).unwrap_or_else(|unreadable| {
            self.phase = Phase::Ended;
            Framed::Unreadable(unreadable)
        });
        if let Phase::Ended = self.phase {
            *input = &[];
        }
        framed
    }

    /// Bytes that are held of a message that is not whole.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.phase {
            Phase::Head { come, .. } => come.len(),
            Phase::Body { message, .. } => message.body.len(),
            Phase::Ended => 0,
        }
    }

    /// Whether a message has begun that is not whole. Keepalives begin none.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        match &self.phase {
            Phase::Head { come, .. } => !come.is_empty(),
            Phase::Body { .. } => true,
            Phase::Ended => false,
        }
    }

    fn read(&mut self, input: &mut &[u8]) -> Result<Framed, Unreadable> {
        loop {
            match &mut self.phase {
                Phase::Head { come, end } => {
                    let Some(head) = take_head(come, end, input, self.bounds)? else {
                        return Ok(Framed::More);
                    };
                    let (message, length) = read_head(&head, self.bounds)?;
                    self.phase = Phase::Body { message: Box::new(message), length };
                }
                Phase::Body { message, length } => {
                    let (body, rest) = input.split_at(input.len().min(*length - message.body.len()));
                    message.body.extend_from_slice(body);
                    *input = rest;
                    if message.body.len() < *length {
                        return Ok(Framed::More);
                    }
                    let message = std::mem::replace(&mut **message, Message::request("", ""));
                    self.phase = Phase::default();
                    return Ok(Framed::Message(message));
                }
                Phase::Ended => return Ok(Framed::More),
            }
        }
    }
}

/// The next head, once it is whole. One that came in one piece is not copied.
fn take_head<'a>(
    come: &mut Vec<u8>,
    end: &mut HeadEnd,
    input: &mut &'a [u8],
    bounds: Bounds,
) -> Result<Option<Cow<'a, [u8]>>, Unreadable> {
    if come.is_empty() {
        let blank = input.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        *input = &input[blank..];
    }
    let (before, limit) = (come.len(), bounds.head_bytes);
    let piece = &input[..input.len().min(limit.saturating_add(1).saturating_sub(before))];
    if before > 0 {
        come.extend_from_slice(piece);
    }
    let here = if before > 0 { &come[..] } else { piece };
    match end.find(here, limit) {
        Step::Item((), len) => {
            let (head, rest) = input.split_at(len - before);
            *input = rest;
            come.truncate(len);
            Ok(Some(if before > 0 { std::mem::take(come).into() } else { head.into() }))
        }
        Step::More => {
            if before == 0 {
                come.extend_from_slice(piece);
            }
            *input = &[];
            Ok(None)
        }
        Step::Fault(fault) if fault.status == 400 => {
            let bare = memchr_iter(b'\n', here).find(|at| *at == 0 || here[at - 1] != b'\r');
            Err(refuse(&here[..bare.unwrap_or(0)], bounds.fields, (400, fault.reason)))
        }
        Step::Fault(fault) => Err(refuse(&here[..limit], bounds.fields, (513, fault.reason))),
    }
}

/// Refuses the beginning of a head; the lines that are whole may do for an answer.
fn refuse(head: &[u8], fields_max: usize, fault: Fault) -> Unreadable {
    let whole = memmem::rfind(head, b"\r\n").map_or(0, |at| at + 2);
    Head::read(&head[..whole], fields_max).refused(fault)
}

/// The message of a head, and the length of its body.
fn read_head(head: &[u8], bounds: Bounds) -> Result<(Message, usize), Unreadable> {
    let head = Head::read(head, bounds.fields);
    match (head.fault, head.length) {
        (Some(fault), _) => Err(head.refused(fault)),
        (None, None) => Err(head.refused((400, "Content-Length is missing"))),
        (None, Some(length)) if length > bounds.body_bytes => {
            Err(head.refused((513, "the body is larger than is taken here")))
        }
        (None, Some(length)) => Ok((head.message, length)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { head_bytes: 300, fields: 12, body_bytes: 20 };

    /// Messages by their body, a fault by its sentence and whether it is answered.
    type Come = Vec<Result<Vec<u8>, (&'static str, Option<u16>)>>;

    fn read(pieces: &[&[u8]]) -> Come {
        let mut framing = Framing::new(BOUNDS);
        let mut come = Vec::new();
        for mut input in pieces.iter().copied() {
            loop {
                match framing.next(&mut input) {
                    Framed::More => break,
                    Framed::Message(message) => come.push(Ok(message.body)),
                    Framed::Unreadable(Unreadable { reason, answer }) => {
                        come.push(Err((reason, answer.and_then(|answer| answer.status()))));
                    }
                }
            }
            assert!(input.is_empty());
            assert!(framing.held_bytes() <= BOUNDS.head_bytes);
            assert!(framing.is_begun() || framing.held_bytes() == 0);
        }
        come
    }

    fn request(method: &str, rest: &str) -> Vec<u8> {
        format!(
            "{method} sip:a@b SIP/2.0\r\nv: SIP/2.0/TCP c\r\nf: <sip:d@e>;tag=1\r\nt: <sip:a@b>\r\ni: 1\r\n\
             CSeq: 1 {method}\r\n{rest}"
        )
        .into_bytes()
    }

    fn check(input: &[u8], expected: &[Result<&str, (&'static str, Option<u16>)>]) {
        let expected: Come = expected.iter().map(|come| come.map(|body| body.as_bytes().to_vec())).collect();
        assert_eq!(read(&[input]), expected, "{}", String::from_utf8_lossy(input));
    }

    #[test]
    fn s43_messages_follow_each_other_on_a_connection() {
        let (empty, full) = (request("NOTIFY", "l: 0\r\n\r\n"), request("NOTIFY", "l: 3\r\n\r\nabc"));
        check(&full, &[Ok("abc")]);
        check(&[&full[..], &empty, b"\r\n\r\n", &full].concat(), &[Ok("abc"), Ok(""), Ok("abc")]);
        check(&full[..full.len() - 1], &[]);
    }

    #[test]
    fn s51_keepalives_are_passed_over() {
        check(b"\r\n\r\n\r\n", &[]);
        check(&[b"\r\n\r\n", &request("NOTIFY", "l: 0\r\n\r\n")[..], b"\r\n"].concat(), &[Ok("")]);
    }

    #[test]
    fn a_message_begins_with_its_first_byte_and_ends_with_its_last() {
        let whole = request("NOTIFY", "l: 3\r\n\r\nabc");
        let head = whole.len() - 3;
        for (input, is_begun) in [
            (&b""[..], false),
            (b"\r", false),
            (b"\r\n\r\n", false),
            (b"N", true),
            (b"\r\n\r\nNOTIFY", true),
            (&whole[..head], true),
            (&whole[..head + 1], true),
            (&whole, false),
            (&[&whole[..], b"\r\n"].concat(), false),
            (&[&whole[..], b"\r\nN"].concat(), true),
        ] {
            let mut framing = Framing::new(BOUNDS);
            let mut rest = input;
            while framing.next(&mut rest) != Framed::More {}
            assert_eq!(framing.is_begun(), is_begun, "{}", String::from_utf8_lossy(input));
        }
    }

    #[test]
    fn what_cannot_be_framed_ends_the_connection() {
        let ends = |rest: &str, reason, status| {
            let mut input = request("NOTIFY", rest);
            input.extend(request("NOTIFY", "l: 0\r\n\r\n"));
            check(&input, &[Err((reason, status))]);
        };
        ends("\r\n", "Content-Length is missing", Some(400));
        ends("l: 21\r\n\r\n", "the body is larger than is taken here", Some(513));
        ends("l: 99999999999999999999\r\n\r\n", "Content-Length is malformed", Some(400));
        ends("l: -1\r\n\r\n", "Content-Length is malformed", Some(400));
        ends("l: 1\r\nl: 1\r\n\r\n", "there is more than one Content-Length", Some(400));
        ends(&"X: y\r\n".repeat(8), "there are more header fields than are taken here", Some(513));
        ends(
            &format!("X: {}\r\n\r\n", "y".repeat(300)),
            "the head is larger than the server takes",
            Some(513),
        );
        check(b"GET / HTTP/1.1\r\n\r\n", &[Err(("the request line does not end with the version", None))]);
        check(b"\x16\x03\x01\r\n\r\n", &[Err(("the first line holds a control character", None))]);
        check(&request("ACK", "\r\n"), &[Err(("Content-Length is missing", None))]);
    }

    #[test]
    fn s45_a_bare_line_feed_is_refused_at_once() {
        let reason = "a line of the head ends with a bare line feed";
        check(b"NOTIFY sip:a@b SIP/2.0\n", &[Err((reason, None))]);
        check(&request("NOTIFY", "X: y\n"), &[Err((reason, Some(400)))]);
        check(&request("NOTIFY", "X: y\r\nZ: "), &[]);
    }

    proptest! {
        /// The splitting property: any split gives the same messages and the same refusal.
        #[test]
        fn splitting(
            input in proptest::collection::vec(prop_oneof![
                4 => Just(request("NOTIFY", "l: 3\r\n\r\nabc")),
                4 => Just(request("OPTIONS", "l: 0\r\nX:\r\n y\r\n\r\n")),
                2 => Just(b"\r\n\r\n".to_vec()),
                1 => Just(request("NOTIFY", "l: 9\r\n")),
                1 => Just(request("NOTIFY", "X: y\n")),
                1 => Just(request("NOTIFY", "l: 21\r\n\r\n")),
                1 => Just(request("NOTIFY", "\r\n")),
                1 => Just(vec![b'X'; 200]),
                1 => proptest::collection::vec(any::<u8>(), 0..4)], 0..6),
            cuts in proptest::collection::vec(0usize..900, 0..8),
        ) {
            let input: Vec<u8> = input.concat();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &input[cut[0]..cut[1]]).collect();
            prop_assert_eq!(read(&pieces), read(&[&input]));
            prop_assert_eq!(read(&input.chunks(1).collect::<Vec<_>>()), read(&[&input]));
        }
    }
}

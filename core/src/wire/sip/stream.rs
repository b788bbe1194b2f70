//! Messages on a connection (RFC 3261 section 18.3): framed by `Content-Length`, which must be there. Empty lines before
//! a message are keepalives and are passed over.
//!
//! What is absent here: time, and what is written.

use std::borrow::Cow;

use super::Bounds;
use super::message::{Head, Message, Unreadable};
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

/// The decoder of one connection.
#[derive(Debug, Default)]
pub struct Framing {
    bounds: Bounds,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// What has come of a head, and how far it was searched for its end.
    Head { gathered: Vec<u8>, end: HeadEnd },
    /// A message whose body is not there yet.
    Body { message: Box<Message>, length: usize },
    /// Whatever comes is thrown away.
    Ended,
}

impl Default for Phase {
    fn default() -> Phase {
        Phase::Head { gathered: Vec::new(), end: HeadEnd::default() }
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
        let framed = self.read(input).unwrap_or_else(Framed::Unreadable);
        if let Framed::Unreadable(_) = framed {
            self.phase = Phase::Ended;
        }
        if let Phase::Ended = self.phase {
            *input = &[];
        }
        framed
    }

    /// Bytes that are held of a message that is not whole.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match &self.phase {
            Phase::Head { gathered, .. } => gathered.len(),
            Phase::Body { message, .. } => message.body.len(),
            Phase::Ended => 0,
        }
    }

    fn read(&mut self, input: &mut &[u8]) -> Result<Framed, Unreadable> {
        loop {
            match &mut self.phase {
                Phase::Head { gathered, end } => {
                    let Some(head) = take_head(gathered, end, input, self.bounds.head_bytes)? else {
                        return Ok(Framed::More);
                    };
                    self.phase = with_body(&head, self.bounds)?;
                }
                Phase::Body { message, length } => {
                    let (now, later) = input.split_at(input.len().min(*length - message.body.len()));
                    message.body.extend_from_slice(now);
                    *input = later;
                    if message.body.len() < *length {
                        return Ok(Framed::More);
                    }
                    let Phase::Body { message, .. } = std::mem::take(&mut self.phase) else { continue };
                    return Ok(Framed::Message(*message));
                }
                Phase::Ended => return Ok(Framed::More),
            }
        }
    }
}

/// The next head, once all of it is here.
fn take_head<'a>(
    gathered: &mut Vec<u8>,
    end: &mut HeadEnd,
    input: &mut &'a [u8],
    limit: usize,
) -> Result<Option<Cow<'a, [u8]>>, Unreadable> {
    if gathered.is_empty() {
        *input = &input[input.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count()..];
    }
    let before = gathered.len();
    let room = limit.saturating_add(1).saturating_sub(before);
    let piece = &input[..input.len().min(room)];
    if before > 0 {
        gathered.extend_from_slice(piece);
    }
    let fault = match end.find(if before > 0 { gathered } else { piece }, limit) {
        Step::Item((), len) => {
            let (head, rest) = input.split_at(len - before);
            *input = rest;
            gathered.truncate(len);
            return Ok(Some(if before > 0 { std::mem::take(gathered).into() } else { head.into() }));
        }
        Step::More => {
            if before == 0 {
                gathered.extend_from_slice(piece);
            }
            *input = &[];
            return Ok(None);
        }
        Step::Fault(fault) => fault,
    };
    let head = if before > 0 { &gathered[..] } else { piece };
    Err(Head::read(&head[..head.len().min(limit)], usize::MAX)
        .refused(if fault.status == 400 { 400 } else { 513 }, fault.reason))
}

/// The message that begins with this head.
fn with_body(head: &[u8], bounds: Bounds) -> Result<Phase, Unreadable> {
    let head = Head::read(head, bounds.fields);
    let refused = match head.length {
        _ if head.fault.is_some() => None,
        None => Some(head.refused(400, "Content-Length is missing")),
        Some(length) if length > bounds.body_bytes => {
            Some(head.refused(513, "the body is larger than is taken here"))
        }
        Some(_) => None,
    };
    let (message, length) = refused.map_or_else(|| head.judged(), Err)?;
    Ok(Phase::Body { message: Box::new(message), length: length.unwrap_or(0) })
}

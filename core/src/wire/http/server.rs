//! The server's side of one connection: requests off the wire in order, replies onto it in the same order
//! (RFC 9112 section 9.3.2), and the deadlines that a slow peer meets.
//!
//! It knows no paths and writes to no socket. Whoever drives it takes [`Next`] after [`Next`], decides at each head
//! whether the request is taken, and answers requests by number, in any order.

use std::collections::VecDeque;

use super::body::Body;
use super::head::{Framing, Head, HeadEnd};
use super::reply::{Asked, Reply};
use crate::ground::limits::Limits;
use crate::ground::time::Mono;
use crate::wire::{Fault, Step};

/// What came off the wire.
#[derive(Debug)]
pub enum Next<'i> {
    /// A whole head: say [`Server::admit`] or [`Server::refuse`].
    Head(&'i [u8]),
    /// A request whose body came in pieces is whole: its head and its content.
    Request(Vec<u8>, Vec<u8>),
    /// The content of this head's request grew beyond what was admitted; the rest is swallowed. It wants a 413.
    TooLarge(Vec<u8>),
    /// A refused body is swallowed to its end: look again.
    Swallowed,
    /// Nothing until more input comes.
    More,
    /// The peer broke the protocol: answer it, and end the connection.
    Fault(Fault),
    /// A refused body is malformed or longer than what is swallowed: end the connection after what is owed.
    GiveUp,
}

/// What becomes of an admitted request.
#[derive(Debug)]
pub enum Admitted<'i> {
    /// Its content is here already.
    Whole(&'i [u8]),
    /// Its content is still to come: [`Next::Request`].
    Gathering,
}

/// What a deadline brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// Nothing was asked: close without a word.
    Idle,
    /// The body of a request that has its answer came too slowly: close after what is owed.
    GiveUp,
    /// A request did not come to its end in time: answer 408 and close.
    Request(Fault),
}

#[derive(Debug)]
enum Phase {
    Head,
    Body {
        head: Vec<u8>,
        content: Vec<u8>,
        body: Body,
        max: u64,
    },
    /// The rest of a refused request's body, of which at most this much is swallowed.
    Discard {
        body: Body,
        left: u64,
    },
    Closed,
}

/// Why there is a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// No request came on an idle connection.
    Idle,
    /// A head is not whole.
    Head,
    /// A body comes too slowly.
    Body { started: Mono, received: u64 },
}

#[derive(Debug)]
struct Waiting {
    asked: Asked,
    reply: Option<Reply>,
}

/// The machine.
#[derive(Debug)]
pub struct Server {
    phase: Phase,
    end: HeadEnd,
    due: Due,
    deadline: Mono,
    /// Input that waits: an incomplete head, or requests that must not start before earlier ones are answered.
    pub input: Vec<u8>,
    /// Requests that are not answered yet; the first has this number.
    waiting: VecDeque<Waiting>,
    first: u32,
    /// One of those that wait must be answered before the next may start.
    exclusive: bool,
    /// A reply that ends the connection was written.
    ended: bool,
    /// The request that came next waits for us.
    held: bool,
}

impl Server {
    /// A connection that was just accepted.
    #[must_use]
    pub fn new(now: Mono, limits: &Limits) -> Server {
        Server {
            phase: Phase::Head,
            end: HeadEnd::default(),
            due: Due::Idle,
            deadline: now.plus_ms(limits.head_ms),
            input: Vec::new(),
            waiting: VecDeque::new(),
            first: 0,
            exclusive: false,
            ended: false,
            held: false,
        }
    }

    /// Takes the next thing off the front of `input`.
    pub fn next<'i>(&mut self, now: Mono, input: &mut &'i [u8], limits: &Limits) -> Next<'i> {
        match &mut self.phase {
            Phase::Head => self.next_head(now, input, limits),
            Phase::Body { content, body, max, .. } => {
                let before = content.len();
                let room = max.saturating_sub(before as u64);
                match body.receive(input, room, |bytes| content.extend_from_slice(bytes)) {
                    Err(fault) => return Next::Fault(fault),
                    Ok(taken) => *input = &input[taken..],
                }
                if let Due::Body { received, .. } = &mut self.due {
                    *received += (content.len() - before) as u64;
                }
                // What is left is content without room.
                let too_large = !body.is_done() && !input.is_empty();
                if !too_large && !body.is_done() {
                    return Next::More;
                }
                let Phase::Body { head, content, body, .. } = std::mem::replace(&mut self.phase, Phase::Head)
                else {
                    return Next::More;
                };
                self.rest(now, limits);
                if too_large {
                    self.discard(now, body, limits);
                    Next::TooLarge(head)
                } else {
                    Next::Request(head, content)
                }
            }
            Phase::Discard { body, left } => {
                let mut swallowed = 0;
                match body.receive(input, *left, |bytes| swallowed += bytes.len() as u64) {
                    // The request has its answer already.
                    Err(_) => return Next::GiveUp,
                    Ok(taken) => *input = &input[taken..],
                }
                if let Due::Body { received, .. } = &mut self.due {
                    *received += swallowed;
                }
                *left -= swallowed;
                if !body.is_done() {
                    return if input.is_empty() { Next::More } else { Next::GiveUp };
                }
                self.phase = Phase::Head;
                self.rest(now, limits);
                Next::Swallowed
            }
            Phase::Closed => {
                *input = &[];
                Next::More
            }
        }
    }

    fn next_head<'i>(&mut self, now: Mono, input: &mut &'i [u8], limits: &Limits) -> Next<'i> {
        // RFC 9112 section 2.2: an empty line before a request line is ignored.
        while self.end == HeadEnd::default() && input.starts_with(b"\r\n") {
            *input = &input[2..];
        }
        if input.is_empty() || **input == *b"\r" {
            return Next::More;
        }
        match self.end.find(input, limits.head_bytes as usize) {
            Step::Item((), len) => {
                self.end = HeadEnd::default();
                let (head, rest) = input.split_at(len);
                *input = rest;
                Next::Head(head)
            }
            Step::More => {
                if self.due == Due::Idle {
                    self.due = Due::Head;
                    self.deadline = now.plus_ms(limits.head_ms);
                }
                Next::More
            }
            Step::Fault(fault) => Next::Fault(fault),
        }
    }

    /// Whether a request may start now: those that only append to the log do not wait for each other's replies.
    #[must_use]
    pub fn may_start(&self, pipelined: bool, limits: &Limits) -> bool {
        self.waiting.is_empty()
            || pipelined && !self.exclusive && (self.waiting.len() as u64) < limits.pipelined_requests
    }

    /// Takes the request whose head just came, with at most `max` bytes of content.
    pub fn admit<'i>(
        &mut self,
        now: Mono,
        head: &Head<'_>,
        bytes: &[u8],
        max: u64,
        input: &mut &'i [u8],
        limits: &Limits,
    ) -> Admitted<'i> {
        if let Framing::Length(length) = head.framing
            && length <= input.len() as u64
        {
            let (content, rest) = input.split_at(length as usize);
            *input = rest;
            self.rest(now, limits);
            return Admitted::Whole(content);
        }
        let body = Body::new(head.framing, limits.chunk_line_bytes);
        let content = Vec::with_capacity(body.announced().min(max).min(limits.read_buffer_bytes) as usize);
        self.phase = Phase::Body { head: bytes.to_vec(), content, body, max };
        self.due = Due::Body { started: now, received: 0 };
        self.deadline = now.plus_ms(limits.body_grace_ms);
        Admitted::Gathering
    }

    /// Swallows the body of the request whose head just came; whether the connection can go on after the answer.
    /// Whoever waits for a go-ahead may send the body or not, so nothing that follows can be trusted.
    pub fn refuse(&mut self, now: Mono, head: &Head<'_>, limits: &Limits) -> bool {
        let body = Body::new(head.framing, limits.chunk_line_bytes);
        if head.expects_continue || body.announced() > limits.body_discard_bytes {
            self.phase = Phase::Closed;
            self.deadline = Mono::NEVER;
            return false;
        }
        self.rest(now, limits);
        self.discard(now, body, limits);
        true
    }

    fn discard(&mut self, now: Mono, body: Body, limits: &Limits) {
        if !body.is_done() {
            self.phase = Phase::Discard { body, left: limits.body_discard_bytes };
            self.due = Due::Body { started: now, received: 0 };
            self.deadline = now.plus_ms(limits.body_grace_ms);
        }
    }

    /// Between requests.
    fn rest(&mut self, now: Mono, limits: &Limits) {
        self.due = Due::Idle;
        self.deadline = now.plus_ms(limits.idle_ms);
    }

    /// Gives a request a number; an exclusive one must be answered before the next may start.
    pub fn open(&mut self, asked: Asked, exclusive: bool) -> u32 {
        let number = self.first.wrapping_add(self.waiting.len() as u32);
        self.waiting.push_back(Waiting { asked, reply: None });
        self.exclusive |= exclusive;
        if !asked.keep_alive {
            // RFC 9112 section 9.6: what follows the request that ends the connection is no request.
            self.close();
        }
        number
    }

    /// How the request that waits under this number was made.
    #[must_use]
    pub fn asked(&self, number: u32) -> Option<Asked> {
        self.waiting.get(number.wrapping_sub(self.first) as usize).map(|w| w.asked)
    }

    /// Answers a request, and writes all replies whose turn it is; the statuses that were written go to `count`.
    pub fn answer(
        &mut self,
        number: u32,
        reply: Reply,
        date: &str,
        out: &mut Vec<u8>,
        mut count: impl FnMut(u16),
    ) {
        let Some(waiting) = self.waiting.get_mut(number.wrapping_sub(self.first) as usize) else { return };
        waiting.reply = Some(reply);
        while let Some(Waiting { asked, reply: Some(reply) }) = self.waiting.front() {
            if !self.ended {
                reply.write(*asked, date, out);
                count(reply.status);
                self.ended = !reply.keeps_alive(*asked);
            }
            self.waiting.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        if self.waiting.is_empty() {
            self.exclusive = false;
        }
        if self.ended {
            self.close();
        }
    }

    /// Starts the peer's time anew: between requests it counts from when the last reply went on its way.
    pub fn wind(&mut self, now: Mono, limits: &Limits) {
        if self.waiting.is_empty() && matches!(self.phase, Phase::Head) {
            let ms = if self.due == Due::Idle { limits.idle_ms } else { limits.head_ms };
            self.deadline = now.plus_ms(ms);
        }
    }

    /// Keeps input that has to wait.
    pub fn keep(&mut self, input: Vec<u8>) {
        if !matches!(self.phase, Phase::Closed) {
            self.input = input;
        }
    }

    /// The head of the request whose body is under way.
    #[must_use]
    pub fn gathering(&self) -> Option<&[u8]> {
        match &self.phase {
            Phase::Body { head, .. } => Some(head),
            Phase::Head | Phase::Discard { .. } | Phase::Closed => None,
        }
    }

    /// Takes no more requests.
    pub fn close(&mut self) {
        self.phase = Phase::Closed;
        self.deadline = Mono::NEVER;
        self.input = Vec::new();
        self.held = false;
    }

    /// The request whose head came last waits at the front of the input until we know more, or does not any more. While it
    /// does, its peer has no deadline.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Whether the peer waits for us: for a reply, or for a request to begin.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.held || !self.waiting.is_empty()
    }

    /// Whether the last reply was written, so that the connection ends once it is sent.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Whether no request is under way and none waits for its reply.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && matches!(self.phase, Phase::Head) && self.input.is_empty()
    }

    /// How many requests wait for their replies.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// When [`Server::handle_timeout`] wants to be called. A peer that waits for us has no deadline.
    #[must_use]
    pub fn poll_timeout(&self) -> Mono {
        if !self.owes() || matches!(self.phase, Phase::Body { .. } | Phase::Discard { .. }) {
            self.deadline
        } else {
            Mono::NEVER
        }
    }

    /// Judges the peer's pace.
    pub fn handle_timeout(&mut self, now: Mono, limits: &Limits) -> Option<Expired> {
        if now < self.poll_timeout() {
            return None;
        }
        match self.due {
            Due::Idle => Some(Expired::Idle),
            Due::Head => {
                Some(Expired::Request(Fault { status: 408, reason: "the head of the request took too long" }))
            }
            Due::Body { started, received } => {
                let earned = received.saturating_mul(1_000) / limits.body_bytes_per_s.max(1);
                let deadline = started.plus_ms(limits.body_grace_ms).plus_ms(earned);
                if deadline <= now && matches!(self.phase, Phase::Discard { .. }) {
                    return Some(Expired::GiveUp);
                }
                if deadline <= now {
                    return Some(Expired::Request(Fault {
                        status: 408,
                        reason: "the body of the request came too slowly",
                    }));
                }
                self.deadline = deadline;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;

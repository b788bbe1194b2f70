//! A receiver is what a destination means: which events it wants, as which requests, and what its answers say. Dialects
//! bring receivers (`dialect/isr`, `dialect/webhook`); the outbox brings patience.

use std::sync::Arc;

use uuid::Uuid;

use crate::event::Event;
use crate::event::vocabulary::Vocabulary;
use crate::ground::id::Seq;
use crate::ground::time::Wall;
use crate::hub::call::{Answer, Target};

/// What is wrong with a destination's specification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// The key, such as `parameters` or `tls.ca`; empty for the whole.
    pub key: String,
    /// A sentence: what was found, and what is allowed.
    pub detail: String,
}

/// One event on its way to a receiver.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// The same for each attempt: made of destination and event.
    pub id: Uuid,
    /// The event's number.
    pub seq: Seq,
    /// The event.
    pub event: &'a Event,
    /// Attempts before this one.
    pub attempts: u32,
}

/// What an answer means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judgement {
    /// It arrived.
    Done,
    /// Again later; `after_ms` replaces the delay.
    Retry {
        /// Why.
        reason: String,
        /// What the receiver asked for.
        after_ms: Option<u64>,
    },
    /// Never again: a dead letter.
    Dead {
        /// Why.
        reason: String,
    },
    /// The receiver wants nothing more, ever (410).
    Disable {
        /// Why.
        reason: String,
    },
}

/// Patience with a receiver. Times in milliseconds.
#[derive(Clone, PartialEq, Debug)]
pub struct Policy {
    /// The first delay; each further one is `factor` times the one before, at most `cap_ms`.
    pub first_ms: u64,
    /// See `first_ms`.
    pub factor: f64,
    /// See `first_ms`.
    pub cap_ms: u64,
    /// Each delay is that much longer or shorter: 0.2 is ±20 %.
    pub jitter: f64,
    /// From the event's acceptance on; then it is a dead letter.
    pub give_up_after_ms: u64,
    /// Later than this, from the event's own time on, it is a dead letter without an attempt. `None`: never.
    pub max_age_ms: Option<u64>,
    /// Requests under way at a time.
    pub concurrency: u32,
    /// Requests a second; `None` is without a bound.
    pub per_second: Option<u32>,
    /// Letters that wait; beyond, the oldest is a dead letter. `None`: without a bound of its own.
    pub pending_max: Option<u64>,
    /// Letters of one request.
    pub batch_max: u32,
    /// How long a connection may take.
    pub connect_ms: u64,
    /// How long the first byte of an answer may take; 0 is as long as all of it.
    pub first_byte_ms: u64,
    /// How long a request may take.
    pub total_ms: u64,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            first_ms: 1_000,
            factor: 2.0,
            cap_ms: 3_600_000,
            jitter: 0.2,
            give_up_after_ms: 72 * 3_600_000,
            max_age_ms: None,
            concurrency: 32,
            per_second: None,
            pending_max: None,
            batch_max: 1,
            connect_ms: 5_000,
            first_byte_ms: 0,
            total_ms: 15_000,
        }
    }
}

/// What a destination means.
pub trait Receiver: std::fmt::Debug + Send {
    /// Whether any event may go there by itself; else letters come by the destination's name alone, and nobody asks for
    /// each event.
    fn listens(&self) -> bool {
        true
    }

    /// Whether an event goes there.
    fn wants(&self, event: &Event, vocabulary: &Vocabulary) -> bool;

    /// Events with the same key arrive in their order; `None`: this one waits for no other.
    fn order(&self, event: &Event) -> Option<Box<str>>;

    /// Head and body of the request that carries these letters.
    fn request(&self, letters: &[Letter<'_>], wall: Wall, vocabulary: &Vocabulary) -> Vec<u8>;

    /// What a dead letter and an operator's list show of that request: method and URL, credentials left out.
    fn summary(&self, letter: Letter<'_>, vocabulary: &Vocabulary) -> String;

    /// What an answer means.
    fn judge(&self, answer: &Answer) -> Judgement;

    /// Where requests go.
    fn target(&self) -> &Arc<Target>;

    /// How patient we are.
    fn policy(&self) -> &Policy;
}

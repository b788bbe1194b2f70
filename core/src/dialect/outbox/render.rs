//! What the outbox's operators see: JSON. Secrets are masked.

use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::dialect::destination::masked;
use crate::dialect::native::render::json;
use crate::event::Event;
use crate::hub::Hub;
use crate::outbox::change::By;
use crate::outbox::dead::DeadLetter;
use crate::outbox::{Delivery, Destination, Outbox, id, summary};
use crate::wire::http::reply::Reply;

const JSON: &str = "application/json";

#[derive(Serialize)]
struct DestinationView<'a> {
    name: &'a str,
    kind: &'a str,
    brought_by: By,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    pending: usize,
    retrying: usize,
    specification: Box<RawValue>,
}

#[derive(Serialize)]
struct EventView<'a> {
    id: &'a str,
    source: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    time: &'a str,
    seq: u64,
}

#[derive(Serialize)]
struct DeliveryView<'a> {
    id: Uuid,
    destination: &'a str,
    state: &'static str,
    since: String,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    request: String,
    event: EventView<'a>,
}

#[derive(Serialize)]
struct DeadView<'a> {
    id: Uuid,
    destination: &'a str,
    kind: &'a str,
    since: String,
    died: String,
    attempts: u32,
    reason: &'a str,
    request: &'a str,
    event: EventView<'a>,
    /// The whole event, where one dead letter is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
}

fn event_view(event: &Event, seq: u64) -> EventView<'_> {
    EventView {
        id: &event.id,
        source: &event.source,
        event_type: &event.event_type,
        subject: event.subject.as_deref(),
        time: &event.time,
        seq,
    }
}

fn raw(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn reply(status: u16, value: &impl Serialize) -> Reply {
    Reply::new(status, JSON, serde_json::to_vec(value).unwrap_or_default())
}

fn view<'a>(name: &'a str, destination: &'a Destination) -> DestinationView<'a> {
    let broken = destination.receiver().err().map(|wrong| format!("{} {}", wrong.key, wrong.detail));
    let state = match (&destination.disabled, &broken) {
        (_, Some(_)) => "broken",
        (Some(_), None) => "disabled",
        (None, None) => "active",
    };
    DestinationView {
        name,
        kind: &destination.kind,
        brought_by: destination.by,
        state,
        reason: broken.or_else(|| destination.disabled.as_deref().map(str::to_owned)),
        pending: destination.pending(),
        retrying: destination.failing(),
        specification: raw(masked(&destination.spec)),
    }
}

/// One destination.
pub(super) fn destination(status: u16, name: &str, destination: &Destination) -> Reply {
    reply(status, &view(name, destination))
}

/// All destinations of a kind.
pub(super) fn destinations(outbox: &Outbox, kind: &str) -> Reply {
    #[derive(Serialize)]
    struct Page<'a> {
        destinations: Vec<DestinationView<'a>>,
    }
    let own = outbox.destinations().iter().filter(|(_, destination)| *destination.kind == *kind);
    reply(200, &Page { destinations: own.map(|(name, destination)| view(name, destination)).collect() })
}

/// A page of what waits.
pub(super) fn deliveries(hub: &Hub, outbox: &Outbox, page: &[Delivery<'_>], next: Option<String>) -> Reply {
    #[derive(Serialize)]
    struct Page<'a> {
        deliveries: Vec<DeliveryView<'a>>,
        next: Option<String>,
    }
    let one = |delivery: &Delivery<'_>| {
        let request = outbox.destinations().get(delivery.destination);
        let request = request.map(|d| summary(d, delivery.destination, delivery, &hub.vocabulary));
        (id::delivery(delivery.destination, delivery.seq, delivery.event), request.unwrap_or_default())
    };
    let deliveries = page
        .iter()
        .map(|delivery| {
            let (id, request) = one(delivery);
            DeliveryView {
                id,
                destination: delivery.destination,
                state: delivery.state(),
                since: delivery.since.to_rfc3339(),
                attempts: delivery.failing.map_or(0, |f| f.attempts),
                next: delivery.failing.map(|f| f.due.to_rfc3339()),
                reason: delivery.failing.map(|f| &*f.reason),
                request,
                event: event_view(delivery.event, delivery.seq.0),
            }
        })
        .collect();
    reply(200, &Page { deliveries, next })
}

fn dead_view(letter: &DeadLetter, whole: bool) -> DeadView<'_> {
    let body = whole.then(|| {
        let mut text = Vec::new();
        json(&letter.event, &mut text);
        raw(String::from_utf8(text).unwrap_or_default())
    });
    DeadView {
        id: letter.id,
        destination: &letter.destination,
        kind: &letter.kind,
        since: letter.since.to_rfc3339(),
        died: letter.died.to_rfc3339(),
        attempts: letter.attempts,
        reason: &letter.reason,
        request: &letter.summary,
        event: event_view(&letter.event, letter.seq.0),
        body,
    }
}

/// A page of dead letters.
pub(super) fn dead_letters(page: &[&DeadLetter], next: Option<String>) -> Reply {
    #[derive(Serialize)]
    struct Page<'a> {
        dead_letters: Vec<DeadView<'a>>,
        next: Option<String>,
    }
    reply(200, &Page { dead_letters: page.iter().map(|letter| dead_view(letter, false)).collect(), next })
}

/// One dead letter with its event.
pub(super) fn dead_letter(letter: &DeadLetter) -> Reply {
    reply(200, &dead_view(letter, true))
}

/// What came of a request to redrive.
pub(super) fn redriven(redriven: usize, left: usize, more: usize) -> Reply {
    #[derive(Serialize)]
    struct Done {
        redriven: usize,
        left: usize,
        more: usize,
        note: &'static str,
    }
    let note = "what is redriven goes behind what waits: events of one subject may arrive in another order";
    reply(200, &Done { redriven, left, more, note })
}

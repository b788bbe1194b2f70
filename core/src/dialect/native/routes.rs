//! `/v1/events`: who may use it, and publishing.

use std::sync::Arc;

use super::read::{Defaults, Form, MEDIA_TYPES, events};
use crate::dialect::problem::{problem, problem_at, wrong_method};
use crate::dialect::{Asker, Verdict, access};
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::log::record::{Actor, Body};
use crate::wire::http::head::Head;
use crate::wire::http::reply::Reply;

/// What `/v1/events` does.
const METHODS: &str = "GET, HEAD, POST, OPTIONS";

pub(super) fn judge(hub: &mut Hub, asker: Asker, head: &Head<'_>) -> Verdict {
    let refuse = |reply: Reply| Verdict::Refuse(with_cors(hub, head, reply));
    if let Some(reason) = access::native_refusal(asker.peer, asker.forwarded, head) {
        let text = format!("native: {} was refused: {reason}", asker.peer);
        let verdict = refuse(problem(403, reason));
        hub.note(Level::Info, text);
        return verdict;
    }
    if let Some(origin) = head.field("origin")
        && !access::is_own_origin(origin, head)
        && !access::is_allowed_origin(hub, origin)
    {
        let text = format!(
            "native: origin {origin} was refused; [native] allowed_origins = [\"{origin}\"] admits it"
        );
        hub.note(Level::Info, text);
        return Verdict::Refuse(problem(403, "this origin is not among [native] allowed_origins"));
    }
    if head.path != "/v1/events" {
        return refuse(problem(404, "no such address under /v1"));
    }
    match head.method {
        "POST" if Form::of(head).is_none() => refuse(problem(415, &format!("taken here: {MEDIA_TYPES}"))),
        "POST" if hub.outbox_full => {
            let text = "more waits to be delivered than [outbox] pending_bytes";
            refuse(problem(503, text).with("Retry-After", "5"))
        }
        "POST" => Verdict::Take { content_max: hub.config.limits.publish_bytes, pipelined: true },
        "GET" | "HEAD" => match super::stream::judge(hub, head) {
            Some(reply) => refuse(reply),
            None => Verdict::Take { content_max: 0, pipelined: false },
        },
        "OPTIONS" => {
            let reply = Reply::empty(204).with("Allow", METHODS);
            let reply = reply.with("Access-Control-Allow-Methods", METHODS);
            refuse(reply.with("Access-Control-Allow-Headers", "content-type, last-event-id, traceparent"))
        }
        _ => refuse(wrong_method(METHODS)),
    }
}

fn with_cors(hub: &Hub, head: &Head<'_>, mut reply: Reply) -> Reply {
    reply.fields.extend(access::cors_fields(hub, head));
    reply
}

/// Sends the events of a request on their way; whether there are any that it waits for.
pub(super) fn publish(hub: &mut Hub, asker: Asker, head: &Head<'_>, content: &[u8]) -> bool {
    let Some(form) = Form::of(head) else {
        hub.reply(asker.conn, asker.request, problem(415, &format!("taken here: {MEDIA_TYPES}")));
        return false;
    };
    let mut defaults = Defaults {
        source: &hub.config.native.source,
        wall: hub.now.wall,
        rng: &mut hub.rng,
        limits: &hub.config.limits,
    };
    let events = match events(form, head, content, &mut defaults) {
        Ok(events) => events,
        Err(wrong) => {
            let reply = match wrong.index {
                Some(index) => problem_at(wrong.status, &wrong.detail, index),
                None => problem(wrong.status, &wrong.detail),
            };
            hub.reply(asker.conn, asker.request, with_cors(hub, head, reply));
            return false;
        }
    };
    if events.is_empty() {
        let reply = Reply::new(202, "application/json", r#"{"accepted":[]}"#);
        hub.reply(asker.conn, asker.request, with_cors(hub, head, reply));
        return false;
    }
    let trace: Option<Arc<str>> = head.field("traceparent").map(Into::into);
    let last = events.len() - 1;
    for (at, event) in events.into_iter().enumerate() {
        let request = Some((asker.conn, asker.request));
        let actor = Actor::Address(asker.peer);
        match hub.repeats.known(&event) {
            // It stands in the log already; the reply alone must keep its place in the order.
            Some(first) => {
                hub.append(actor, request, at == last, false, Body::Repeat { first, id: event.id })
            }
            None => {
                let body = Body::Event(event.into());
                hub.append_traced(actor, request, at == last, true, trace.clone(), body);
            }
        }
    }
    true
}

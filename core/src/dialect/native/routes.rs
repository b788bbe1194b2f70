//! `/v1/events`: who may use it, and publishing.

use std::sync::Arc;

use super::read::{Defaults, Form, MEDIA_TYPES, events};
use crate::dialect::problem::{problem, problem_at, wrong_method};
use crate::dialect::{Asker, Verdict, access};
use crate::ground::config::Right;
use crate::hub::Hub;
use crate::log::record::Body;
use crate::wire::http::head::Head;
use crate::wire::http::reply::Reply;

/// What `/v1/events` does.
const METHODS: &str = "GET, HEAD, POST, OPTIONS";

pub(super) fn judge(hub: &mut Hub, asker: Asker, head: &Head<'_>) -> Verdict {
    let right = match head.method {
        "POST" => Right::Publish,
        _ => Right::Read,
    };
    if let Some(verdict) = access::native(hub, asker, head, right) {
        return verdict;
    }
    let refuse = |reply: Reply| Verdict::Refuse(access::with_cors(hub, head, reply));
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
        "GET" | "HEAD" => match super::stream::judge(hub, asker, head) {
            Some(reply) => refuse(reply),
            None => Verdict::Take { content_max: 0, pipelined: false },
        },
        "OPTIONS" => {
            let reply = Reply::empty(204).with("Allow", METHODS);
            let reply = reply.with("Access-Control-Allow-Methods", METHODS);
            let names = "authorization, content-type, last-event-id, traceparent";
            refuse(reply.with("Access-Control-Allow-Headers", names))
        }
        _ => refuse(wrong_method(METHODS)),
    }
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
            hub.reply(asker.conn, asker.request, access::with_cors(hub, head, reply));
            return false;
        }
    };
    if events.is_empty() {
        let reply = Reply::new(202, "application/json", r#"{"accepted":[]}"#);
        hub.reply(asker.conn, asker.request, access::with_cors(hub, head, reply));
        return false;
    }
    let trace: Option<Arc<str>> = head.field("traceparent").map(Into::into);
    let last = events.len() - 1;
    let actor = hub.actor(asker.conn);
    for (at, event) in events.into_iter().enumerate() {
        let request = Some((asker.conn, asker.request));
        let actor = actor.clone();
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

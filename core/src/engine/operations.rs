//! What operators ask: `/healthz`, `/readyz` and `/metrics`, open to this machine and to `[metrics] allow`.

use std::collections::VecDeque;

use crate::dialect::problem::{problem, wrong_method};
use crate::dialect::{Asker, Verdict, access};
use crate::ground::id::ConnId;
use crate::hub::Hub;
use crate::hub::action::Action;
use crate::wire::http::head::Head;
use crate::wire::http::reply::Reply;

/// The media type of OpenMetrics 1.0.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether a path is one of theirs.
pub(super) fn claims(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics")
}

/// Requests for metrics that wait for the host's document.
#[derive(Debug, Default)]
pub(super) struct Operations {
    next: u64,
    waiting: VecDeque<(u64, ConnId, u32)>,
}

impl Operations {
    pub(super) fn judge(&self, hub: &mut Hub, asker: Asker, head: &Head<'_>) -> Verdict {
        if !access::is_this_machine(asker, head)
            && access::address(hub, asker, "metrics", |config| Some(&config.metrics_allow)).is_some()
        {
            let text = "open to this machine and to the addresses of [metrics] allow";
            return Verdict::Refuse(problem(403, text));
        }
        if !matches!(head.method, "GET" | "HEAD") {
            return Verdict::Refuse(wrong_method("GET, HEAD"));
        }
        Verdict::Take { content_max: 0, pipelined: false }
    }

    pub(super) fn serve(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>) {
        let reply = match head.path {
            "/metrics" => {
                self.next += 1;
                self.waiting.push_back((self.next, asker.conn, asker.request));
                return hub.act(Action::Report(self.next));
            }
            "/readyz" if hub.stopping => problem(503, "the server is stopping"),
            "/readyz" if hub.full => problem(503, "the log has no room"),
            _ => Reply::new(200, "text/plain; charset=utf-8", "ok\n"),
        };
        hub.reply(asker.conn, asker.request, reply);
    }

    pub(super) fn report(&mut self, hub: &mut Hub, ticket: u64, body: Vec<u8>) {
        if let Some(at) = self.waiting.iter().position(|(t, ..)| *t == ticket)
            && let Some((_, conn, request)) = self.waiting.remove(at)
        {
            hub.reply(conn, request, Reply::new(200, OPEN_METRICS, body));
        }
    }
}

//! Our own API under `/v1`: CloudEvents in ([`read`]), Server-Sent Events out ([`render`], `stream`).

mod history;
pub mod read;
pub mod render;
mod routes;
mod stream;

use std::sync::Arc;

use self::history::Histories;
use super::{Asker, Dialect, Verdict, access, problem};
use crate::event::Event;
use crate::event::arena::{Bounds, Frame};
use crate::event::channel::{Channel, FeedId};
use crate::event::output::Output;
use crate::event::projection;
use crate::ground::config::Config;
use crate::ground::id::{ConnId, Seq};
use crate::ground::stats::Stats;
use crate::hub::Hub;
use crate::hub::conn::Stream;
use crate::log::record::Record;
use crate::wire::Fault;
use crate::wire::http::head::Head;
use crate::wire::http::reply::{Fields, Reply};

/// The state of the native dialect.
#[derive(Debug)]
pub struct Native {
    channel: u8,
    /// The reply to the batch whose records are being applied.
    accepted: Vec<u8>,
    /// Publishers that wait whose replies need header fields of their own.
    cors: Vec<(ConnId, u32, Fields)>,
    histories: Histories,
    frame: Vec<u8>,
}

impl Native {
    /// Opens its channel, which must become number `channel`.
    pub fn new(hub: &mut Hub, channel: u8) -> Native {
        assert_eq!(hub.channels.len(), usize::from(channel), "channels stand in the order of the dialects");
        let (bounds, runs_max) = bounds(&hub.config);
        hub.channels.push(Channel::new(bounds, runs_max, hub.hash_seed));
        Native {
            channel,
            accepted: Vec::new(),
            cors: Vec::new(),
            histories: Histories::default(),
            frame: Vec::new(),
        }
    }
}

fn bounds(config: &Config) -> (Bounds, usize) {
    let limits = &config.limits;
    let bounds =
        Bounds { bytes: limits.retained_bytes, frames: limits.retained_events, age_ms: limits.retained_ms };
    (bounds, limits.feed_runs as usize)
}

impl Dialect for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn claims(&self, _hub: &Hub, path: &str) -> bool {
        path.starts_with("/v1/") && !super::outbox::claims(path) && !super::sep::claims(path)
    }

    fn judge(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>) -> Verdict {
        routes::judge(hub, asker, head)
    }

    fn serve(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>, content: &[u8]) {
        match head.method {
            "POST" => {
                let fields = access::cors_fields(hub, head);
                if routes::publish(hub, asker, head, content) && !fields.is_empty() {
                    self.cors.push((asker.conn, asker.request, fields));
                }
            }
            _ => stream::open(&mut self.histories, hub, self.channel, asker, head),
        }
    }

    fn refusal(&self, _path: &str, fault: Fault) -> Reply {
        problem::problem(fault.status, fault.reason)
    }

    /// Every event is rendered, wanted or not: whoever resumes reads it from the arena.
    fn publish(&mut self, hub: &mut Hub, seq: Seq, record: &Record, event: &Arc<Event>) {
        let epoch = hub.epochs.of(seq);
        let channel = &mut hub.channels[usize::from(self.channel)];
        channel.expire(hub.now.wall);
        channel.find(&projection::Native(event));
        self.frame.clear();
        render::frame(event, epoch, seq, &mut self.frame);
        channel.publish(&self.frame, seq, record.header.wall, Some(Arc::clone(event)));
    }

    fn published(&mut self, hub: &mut Hub, seq: Seq, record: &Record, id: &str) {
        let Some((conn, request)) = record.origin.request else { return };
        self.accepted.extend_from_slice(if self.accepted.is_empty() { br#"{"accepted":["# } else { b"," });
        render::accepted(id, seq, &mut self.accepted);
        if record.origin.last {
            self.accepted.extend_from_slice(b"]}");
            let body = std::mem::take(&mut self.accepted);
            let at = self.cors.iter().position(|(c, r, _)| (*c, *r) == (conn, request));
            let fields = at.map(|at| self.cors.remove(at).2).unwrap_or_default();
            let reply = Reply { fields, ..Reply::new(202, "application/json", body) };
            hub.reply_when_durable(conn, request, reply);
        }
    }

    fn change(&mut self, _hub: &mut Hub, _record: &Record, _change: &[u8]) {}

    fn keepalive(&self, hub: &Hub, stream: &Stream) -> (&'static [u8], u64) {
        let comment: &[u8] = if stream.lending.bare { b":\n\n" } else { b"3\r\n:\n\n\r\n" };
        (comment, hub.config.limits.sse_heartbeat_ms)
    }

    fn read(&mut self, hub: &mut Hub, key: u32, start: Seq, records: Vec<(Seq, Arc<Record>)>) {
        self.histories.read(hub, self.channel, key, start, &records);
    }

    fn drained(&mut self, hub: &mut Hub, stream: &Stream) {
        self.histories.drained(hub, self.channel, stream);
    }

    fn closed(&mut self, hub: &mut Hub, _output: &Output, stream: &Stream) {
        self.histories.closed(hub, self.channel, stream);
    }

    fn admits(&self, channel: &Channel, feed: FeedId, frame: &Frame) -> bool {
        frame.event.as_ref().is_some_and(|event| channel.view(feed).admits(&projection::Native(event)))
    }

    fn reloaded(&mut self, hub: &mut Hub) {
        let (bounds, runs_max) = bounds(&hub.config);
        hub.channels[usize::from(self.channel)].set_bounds(bounds, runs_max);
    }

    fn stop(&mut self, hub: &mut Hub) {
        let patience_ms = hub.config.limits.stream_drain_ms;
        for id in hub.conns.streams_of(self.channel) {
            hub.end_stream(id, patience_ms);
        }
    }

    fn stats(&self, hub: &Hub, stats: &mut Stats) {
        if hub.place.shard.0 == 0 {
            let arena = hub.channels[usize::from(self.channel)].arena();
            stats.retained_events = arena.len() as u64;
            stats.retained_bytes = arena.end() - arena.start();
        }
    }
}

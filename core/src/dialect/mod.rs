//! The dialects: one folder each, the same file names in each. `routes` judges and serves requests, `read` turns
//! request bodies into values, `render` turns events and values into bytes, `stream` opens and closes endless answers.
//!
//! A further dialect is one more folder, and one more line in [`all`].

pub mod access;
pub mod destination;
pub mod isr;
pub mod isymphony;
pub mod json;
pub mod native;
pub mod outbox;
pub mod problem;
pub mod sep;
pub mod wcs;
pub mod webhook;
pub mod xms;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::event::Event;
use crate::event::arena::Frame;
use crate::event::channel::{Channel, FeedId};
use crate::event::output::Output;
use crate::ground::config::{Config, Retry};
use crate::ground::id::{ConnId, ListenerId, Seq};
use crate::ground::stats::Stats;
use crate::ground::time::Mono;
use crate::hub::Hub;
use crate::hub::call::{Answer, CallFault};
use crate::hub::conn::{Conn, Stream};
use crate::hub::flow::{FlowFault, Found};
use crate::hub::socket::Backlog;
use crate::log::record::Record;
use crate::outbox::receiver::{Policy, Receiver, Wrong};
use crate::wire::Fault;
use crate::wire::http::head::Head;
use crate::wire::http::reply::Reply;
use crate::wire::ws::Message;

/// The list of dialects. Their order is that of their channels and of [`crate::ground::config::DIALECTS`]; the first
/// that claims a path gets the request, and the native dialect takes the rest of `/v1`.
#[must_use]
pub fn all(hub: &mut Hub) -> Vec<Box<dyn Dialect>> {
    // Those without feeds have no channel, and so stand behind those that have one.
    vec![
        Box::new(xms::Xms::new(hub, 0)),
        Box::new(native::Native::new(hub, 1)),
        Box::new(isymphony::Isymphony::new(hub, 2)),
        Box::new(outbox::Deliveries::new(hub, 3)),
        Box::new(wcs::Wcs::new(hub, 4)),
        Box::new(sep::Sep::new(hub, 5)),
    ]
}

/// A destination's specification with all that its meaning takes from the config, as it stands in the log: there a
/// destination must mean the same under every config.
///
/// # Errors
/// The key at fault.
pub fn settled(kind: &str, name: &str, spec: &str, config: &Config) -> Result<String, Wrong> {
    if spec.len() as u64 > config.limits.destination_bytes {
        let detail = format!("the specification is longer than {} bytes", config.limits.destination_bytes);
        return Err(Wrong { key: String::new(), detail });
    }
    let spec = match kind {
        "isr" => isr::read::settled(spec, config)?,
        "wcs" | "sep" => spec.to_owned(),
        _ => webhook::read::settled(spec)?,
    };
    receiver(kind, name, &spec, config, true).map(|_| spec)
}

/// The receiver that a specification describes. `trusted`: it stands in the config file, and its URL may reach any
/// address.
///
/// # Errors
/// The key at fault.
pub fn receiver(
    kind: &str,
    name: &str,
    spec: &str,
    config: &Config,
    trusted: bool,
) -> Result<Box<dyn Receiver>, Wrong> {
    // Patience is not meaning: what `[outbox]` says holds for what is in the log already.
    let Retry { first_ms, factor, cap_ms, jitter, give_up_after_ms } = config.outbox.retry;
    let policy = Policy { first_ms, factor, cap_ms, jitter, give_up_after_ms, ..Policy::default() };
    match kind {
        "webhook" => Ok(Box::new(webhook::read::read(name, spec, policy, trusted)?)),
        "isr" => {
            let spec = isr::read::settled(spec, config)?;
            Ok(Box::new(isr::read::read(name, &spec, policy, trusted)?))
        }
        "wcs" => Ok(Box::new(wcs::receiver::Late::read(spec, policy, config)?)),
        "sep" => Ok(Box::new(sep::receiver::Callback::read(spec, policy, config)?)),
        _ => Err(Wrong { key: String::new(), detail: format!("`{kind}` is no kind of destination") }),
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// The connection.
    pub conn: ConnId,
    /// The request's number on it.
    pub request: u32,
    /// The peer.
    pub peer: IpAddr,
    /// The listener.
    pub via: ListenerId,
    /// A proxy of ours passes the request on, and `peer` is who sent it.
    pub forwarded: bool,
    /// The peer speaks https, with us or with a proxy of ours.
    pub https: bool,
}

/// What a dialect says of a request's head.
#[derive(Debug)]
pub enum Verdict {
    /// The request is taken.
    Take {
        /// With at most this much content.
        content_max: u64,
        /// It only appends to the log: the next may start before it is answered.
        pipelined: bool,
    },
    /// The request is refused; its content is swallowed.
    Refuse(Reply),
    /// A password is being checked: the head is judged again when that is done, and nothing behind it is looked at.
    Wait,
}

/// A protocol that events leave in, and perhaps come in by.
pub trait Dialect: std::fmt::Debug + Send {
    /// Its name in the config file, in metrics and in records.
    fn name(&self) -> &'static str;

    /// The dialect that a listener must serve for this one to be served there.
    fn served_with(&self) -> &'static str {
        self.name()
    }

    /// Whether a path is its own.
    fn claims(&self, hub: &Hub, path: &str) -> bool;

    /// Judges a request before its content is read.
    fn judge(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>) -> Verdict;

    /// Serves a request that was taken; it is answered now or later, through the hub.
    fn serve(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>, content: &[u8]);

    /// A fault in this dialect's own form, at one of its addresses.
    fn refusal(&self, path: &str, fault: Fault) -> Reply;

    /// An accepted event, in log order: finds the feeds that want it and renders it, once.
    fn publish(&mut self, hub: &mut Hub, seq: Seq, record: &Record, event: &Arc<Event>);

    /// This engine's own record of an event was applied: the event has this number, and its publisher waits.
    fn published(&mut self, _hub: &mut Hub, _seq: Seq, _record: &Record, _id: &str) {}

    /// A change of this dialect's state, in log order.
    fn change(&mut self, hub: &mut Hub, record: &Record, change: &[u8]);

    /// The next keepalive of a stream, a whole frame of a websocket, and the time from it to the one after. A dialect
    /// without streams keeps none alive.
    fn keepalive(&self, _hub: &Hub, _stream: &Stream) -> (&'static [u8], u64) {
        (b"", u64::MAX)
    }

    /// Whether a frame that is looked through again belongs on a stream of this feed.
    fn admits(&self, _channel: &Channel, _feed: FeedId, _frame: &Frame) -> bool {
        false
    }

    /// Whether a stream whose socket is full has fallen too far behind. What bounds most readers is the arena alone.
    fn lags(&self, _hub: &Hub, _conn: &Conn) -> bool {
        false
    }

    /// How long a stream may stand still, in milliseconds: how long its peer may take no byte, or, where the dialect
    /// says [`Dialect::behind_ms`], how old what waits may become.
    fn stall_ms(&self, hub: &Hub) -> u64 {
        hub.config.limits.stream_stall_ms
    }

    /// How long the oldest event that a stream has not sent has been waiting, if that is what this dialect bounds, and
    /// not the time since the peer took a byte.
    fn behind_ms(&self, _hub: &Hub, _output: &Output) -> Option<u64> {
        None
    }

    /// A message of a websocket's peer.
    fn message(&mut self, _hub: &mut Hub, _id: ConnId, _stream: &Stream, _message: Message) {}

    /// How much may wait for a websocket's slow reader before it skips ahead; `None`: it is cut as a stream is.
    fn backlog(&self, _hub: &Hub) -> Option<Backlog> {
        None
    }

    /// The frame that tells a websocket's reader that it missed so many events.
    fn missed(&self, _hub: &Hub, _stream: &Stream, _events: u64) -> Option<Vec<u8>> {
        None
    }

    /// A stream or websocket has ended; what it did not send is in `output`.
    fn closed(&mut self, _hub: &mut Hub, _output: &Output, _stream: &Stream) {}

    /// What came of a call with this key of its own.
    fn answered(&mut self, _hub: &mut Hub, _key: u64, _result: Result<Answer, CallFault>) {}

    /// Records of the log that this dialect asked for under a key of its own, and the oldest that the log still has.
    fn read(&mut self, _hub: &mut Hub, _key: u32, _start: Seq, _records: Vec<(Seq, Arc<Record>)>) {}

    /// A stream that has no feed has sent all that it was given.
    fn drained(&mut self, _hub: &mut Hub, _stream: &Stream) {}

    /// The server was started once more (every start is a record): whatever ended with the process has ended.
    fn restarted(&mut self, _hub: &mut Hub, _record: &Record) {}

    /// All that the log holds was applied; from here on this engine acts on what it owns.
    fn started(&mut self, _hub: &mut Hub) {}

    /// The log is about to forget the records up to `through`: appends, as changes, what this engine owns of the state
    /// that they made. What was carried before is carried again, for what is carried for `through` is all that a start
    /// will know of them.
    fn restate(&mut self, _hub: &mut Hub, _through: Seq) {}

    /// At a start: a change that [`Dialect::restate`] appended; `first` comes before all records that are left. Later it
    /// comes again, in its own place, for those whose counters go on from there.
    fn carried(&mut self, hub: &mut Hub, record: &Record, change: &[u8], first: bool) {
        if first {
            self.change(hub, record, change);
        }
    }

    /// A datagram came to the UDP socket with this number. Of all dialects, the one that speaks SIP gets them.
    fn datagram(&mut self, _hub: &mut Hub, _via: u16, _from: SocketAddr, _bytes: &[u8]) {}

    /// A flow is open: one that a peer began (`accepted` is the peer's address), or one of [`Hub::dial_flow`] with this
    /// key. `secure`: TLS has been agreed on.
    fn flow_opened(
        &mut self,
        _hub: &mut Hub,
        _flow: ConnId,
        _accepted: Option<SocketAddr>,
        _secure: bool,
        _key: u32,
    ) {
    }

    /// Bytes of a flow, in order and split anyhow.
    fn flow_received(&mut self, _hub: &mut Hub, _flow: ConnId, _bytes: &[u8]) {}

    /// A flow is over, or one of [`Hub::dial_flow`] cannot be had. Nothing more comes of it. Without a `why` its peer has
    /// ended it, or this dialect.
    fn flow_closed(&mut self, _hub: &mut Hub, _flow: ConnId, _key: u32, _why: Option<FlowFault>) {}

    /// What came of [`Hub::lookup`] with this key.
    fn looked_up(&mut self, _hub: &mut Hub, _key: u64, _found: Found) {}

    /// All records up to this one are durable.
    fn durable(&mut self, _hub: &mut Hub, _through: Seq) {}

    /// A deadline of its own has come.
    fn handle_timeout(&mut self, _hub: &mut Hub, _key: u32, _at: Mono) {}

    /// The configuration has changed.
    fn reloaded(&mut self, _hub: &mut Hub) {}

    /// The server stops: streams end cleanly.
    fn stop(&mut self, hub: &mut Hub);

    /// After a stop: whether it has nothing more to say to others. Flows and UDP sockets stay until then, or until
    /// `shutdown_ms` is over.
    fn is_drained(&self) -> bool {
        true
    }

    /// Adds what it counts itself.
    fn stats(&self, _hub: &Hub, _stats: &mut Stats) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_that_makes_no_sense_is_refused_with_a_sentence() {
        let mut config = Config::default();
        let wrong = receiver("fax", "d", "{}", &config, true).err().map(|wrong| wrong.detail);
        assert_eq!(wrong.as_deref(), Some("`fax` is no kind of destination"));
        let spec = r#"{"url":"http://127.0.0.1/"}"#;
        config.limits.destination_bytes = spec.len() as u64;
        assert!(settled("webhook", "d", spec, &config).is_ok());
        config.limits.destination_bytes -= 1;
        let wrong = settled("webhook", "d", spec, &config).unwrap_err();
        assert_eq!(wrong.detail, format!("the specification is longer than {} bytes", spec.len() - 1));
    }
}

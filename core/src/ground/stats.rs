//! Counters and gauges, as plain numbers. The host gives them their OpenMetrics form. Labels are bounded: a dialect,
//! a reason, an appid; never an id.

use std::collections::BTreeMap;

/// Why an event was not sent to somebody: one list for all dialects.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum NotSent {
    /// The dialect has no word for the event's type.
    NoWord,
    /// The event has no `subject`, and the dialect needs one.
    NoSubject,
    /// The event names an application that is not there.
    Scope,
    /// `data` holds an array or an object, or is no object itself.
    Nested,
    /// The rendered event is beyond the dialect's bound.
    TooLarge,
    /// The reader was too slow, or away for too long.
    SlowReader,
    /// The event names a session that is not there.
    NoSession,
}

impl NotSent {
    /// All reasons.
    pub const ALL: [NotSent; 7] = [
        NotSent::NoWord,
        NotSent::NoSubject,
        NotSent::Scope,
        NotSent::Nested,
        NotSent::TooLarge,
        NotSent::SlowReader,
        NotSent::NoSession,
    ];

    /// The `reason` label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            NotSent::NoWord => "no_word",
            NotSent::NoSubject => "no_subject",
            NotSent::Scope => "scope",
            NotSent::Nested => "nested_value",
            NotSent::TooLarge => "too_large",
            NotSent::SlowReader => "slow_reader",
            NotSent::NoSession => "no_session",
        }
    }
}

/// What SIP counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SipStats {
    /// Datagrams and beginnings of a stream that are no SIP, or broken.
    pub unreadable: u64,
    /// Copies of our requests.
    pub copies_sent: u64,
    /// Copies of requests that came.
    pub copies_received: u64,
    /// Answers that belong to no request.
    pub stray_responses: u64,
    /// Requests without a subscription behind them that were answered.
    pub strangers_answered: u64,
    /// Such requests that were dropped because there were too many of them.
    pub strangers_dropped: u64,
    /// Requests that were dropped because too many others are remembered.
    pub requests_dropped: u64,
    /// Connections that were closed because there are too many.
    pub flows_refused: u64,
    /// Bodies that are not what their package promises.
    pub bodies_unreadable: u64,
}

impl SipStats {
    fn merge(&mut self, other: &SipStats) {
        self.unreadable += other.unreadable;
        self.copies_sent += other.copies_sent;
        self.copies_received += other.copies_received;
        self.stray_responses += other.stray_responses;
        self.strangers_answered += other.strangers_answered;
        self.strangers_dropped += other.strangers_dropped;
        self.requests_dropped += other.requests_dropped;
        self.flows_refused += other.flows_refused;
        self.bodies_unreadable += other.bodies_unreadable;
    }
}

/// What one engine counted; [`Stats::merge`] adds another's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections that are open.
    pub connections_open: u64,
    /// Connections to servers of others, idle ones included.
    pub call_connections_open: u64,
    /// Connections to servers of others that were dialed.
    pub call_connections_dialed: u64,
    /// Datagrams that came.
    pub datagrams_received: u64,
    /// Datagrams that were to be sent.
    pub datagrams_sent: u64,
    /// Of these, those that their socket did not take.
    pub datagrams_dropped: u64,
    /// What SIP counted.
    pub sip: SipStats,
    /// Calls that were answered, whatever the status.
    pub calls_answered: u64,
    /// Calls without an answer.
    pub calls_failed: u64,
    /// Connections that were accepted.
    pub connections_accepted: u64,
    /// Connections that were answered 503 or closed for want of room.
    pub connections_refused: u64,
    /// TLS handshakes of listeners that came to their end.
    pub tls_handshakes: u64,
    /// Connections whose TLS failed, in the handshake or behind it.
    pub tls_failures: u64,
    /// Requests that were answered, by status class (`2xx` is at index 2).
    pub requests: [u64; 6],
    /// Bytes that peers sent.
    pub bytes_received: u64,
    /// Bytes that sockets took.
    pub bytes_sent: u64,
    /// Events that were accepted.
    pub events_accepted: u64,
    /// Events that were accepted again, and published once.
    pub events_repeated: u64,
    /// Retained native events and their rendered bytes.
    pub retained_events: u64,
    /// See `retained_events`.
    pub retained_bytes: u64,
    /// By dialect.
    pub dialects: BTreeMap<&'static str, DialectStats>,
    /// Dead letters that are kept.
    pub dead_letters: u64,
    /// Dead letters that were forgotten because of `[outbox] dead_letters`.
    pub dead_letters_forgotten: u64,
    /// Bytes of all that waits in the outbox.
    pub pending_bytes: u64,
    /// Destinations of the outbox, by name.
    pub destinations: BTreeMap<String, DestinationStats>,
    /// XMS applications, by appid.
    pub xms_apps: BTreeMap<String, XmsAppStats>,
    /// WCS hooks, by appKey and name of the hook.
    pub wcs_hooks: BTreeMap<(String, String), WcsHookStats>,
    /// WCS hooks without a final outcome, by appKey.
    pub wcs_waiting: BTreeMap<String, u64>,
    /// SIP subscriptions over HTTP that have not ended.
    pub sep_subscriptions: u64,
    /// PBXs, by the name of their `[[source]]`.
    pub sources: BTreeMap<String, SourceStats>,
}

/// One source's counters. Shard 0 has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceStats {
    /// 1 while it is logged in.
    pub connected: u64,
    /// How old the last event was when it came, by both clocks, in milliseconds.
    pub lag_ms: u64,
    /// Events that it brought, by canonical type.
    pub events: BTreeMap<&'static str, u64>,
    /// How often its state was asked for.
    pub resyncs: u64,
    /// Its messages that nobody wants.
    pub skipped: u64,
    /// Its messages that could not be taken.
    pub dropped: u64,
    /// Connections that were lost, or could not be made.
    pub lost: u64,
    /// Channels and other things of it that are known.
    pub held: u64,
    /// Such things that left because there were too many of their kind.
    pub forgotten: u64,
}

/// Upper ends of the classes of [`WcsHookStats::latencies`], in milliseconds; what is longer is in the last one.
pub const LATENCIES_MS: [u64; 7] = [10, 50, 100, 500, 1_000, 5_000, 15_000];

/// One WCS hook's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WcsHookStats {
    /// Hooks that the backend answered with 200.
    pub done: u64,
    /// Hooks that finally failed.
    pub failed: u64,
    /// Attempts after the first.
    pub retries: u64,
    /// Calls by how long they took with all their attempts.
    pub latencies: [u64; LATENCIES_MS.len() + 1],
    /// The sum of these times, in milliseconds.
    pub latency_sum_ms: u64,
}

impl WcsHookStats {
    /// Counts a call that took so long.
    pub fn took(&mut self, ms: u64) {
        let class = LATENCIES_MS.iter().position(|end| ms <= *end).unwrap_or(LATENCIES_MS.len());
        self.latencies[class] += 1;
        self.latency_sum_ms += ms;
    }
}

/// One dialect's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DialectStats {
    /// Streams that are open.
    pub streams_open: u64,
    /// Streams that were opened.
    pub streams_opened: u64,
    /// Streams that were cut because the reader was too slow.
    pub streams_cut: u64,
    /// Events that were not sent, by reason.
    pub not_sent: BTreeMap<NotSent, u64>,
}

/// One destination's counters, as its owner knows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DestinationStats {
    /// Deliveries that arrived.
    pub delivered: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Deliveries that died.
    pub dead: u64,
    /// Deliveries that wait.
    pub pending: u64,
    /// The breaker: 0 closed, 1 half-open, 2 open.
    pub breaker: u64,
    /// 1 while the receiver has asked for a pause.
    pub throttled: u64,
}

impl DestinationStats {
    /// Adds what is counted under the same label.
    pub fn merge(&mut self, more: DestinationStats) {
        self.delivered += more.delivered;
        self.failed += more.failed;
        self.dead += more.dead;
        self.pending += more.pending;
        self.breaker = self.breaker.max(more.breaker);
        self.throttled = self.throttled.max(more.throttled);
    }
}

/// One XMS application's counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XmsAppStats {
    /// Eventhandlers that exist.
    pub handlers: u64,
    /// Events that matched an eventhandler, counted per eventhandler.
    pub matched: u64,
    /// Of these, sent live.
    pub sent: u64,
    /// Of these, sent when a stream opened.
    pub replayed: u64,
    /// Of these, dropped beyond the bound.
    pub dropped: u64,
}

impl Stats {
    /// The counters of `dialect`.
    pub fn dialect(&mut self, dialect: &'static str) -> &mut DialectStats {
        self.dialects.entry(dialect).or_default()
    }

    /// Counts one event that was not sent.
    pub fn not_sent(&mut self, dialect: &'static str, reason: NotSent, events: u64) {
        if events > 0 {
            *self.dialect(dialect).not_sent.entry(reason).or_default() += events;
        }
    }

    /// Adds what another engine counted. What every engine knows alike (retained events, eventhandlers and what
    /// matched them) is reported by shard 0 alone, so that sums stay right.
    pub fn merge(&mut self, other: &Stats) {
        self.connections_open += other.connections_open;
        self.call_connections_open += other.call_connections_open;
        self.call_connections_dialed += other.call_connections_dialed;
        self.datagrams_received += other.datagrams_received;
        self.datagrams_sent += other.datagrams_sent;
        self.datagrams_dropped += other.datagrams_dropped;
        self.sip.merge(&other.sip);
        self.calls_answered += other.calls_answered;
        self.calls_failed += other.calls_failed;
        self.connections_accepted += other.connections_accepted;
        self.connections_refused += other.connections_refused;
        self.tls_handshakes += other.tls_handshakes;
        self.tls_failures += other.tls_failures;
        for (sum, more) in self.requests.iter_mut().zip(other.requests) {
            *sum += more;
        }
        self.bytes_received += other.bytes_received;
        self.bytes_sent += other.bytes_sent;
        self.events_accepted += other.events_accepted;
        self.events_repeated += other.events_repeated;
        self.retained_events += other.retained_events;
        self.retained_bytes += other.retained_bytes;
        for (name, more) in &other.dialects {
            let sum = self.dialects.entry(name).or_default();
            sum.streams_open += more.streams_open;
            sum.streams_opened += more.streams_opened;
            sum.streams_cut += more.streams_cut;
            for (reason, count) in &more.not_sent {
                *sum.not_sent.entry(*reason).or_default() += count;
            }
        }
        self.dead_letters += other.dead_letters;
        self.dead_letters_forgotten += other.dead_letters_forgotten;
        self.pending_bytes += other.pending_bytes;
        for (label, more) in &other.destinations {
            self.destinations.entry(label.clone()).or_default().merge(*more);
        }
        for (app, more) in &other.xms_apps {
            let sum = self.xms_apps.entry(app.clone()).or_default();
            sum.handlers += more.handlers;
            sum.matched += more.matched;
            sum.sent += more.sent;
            sum.replayed += more.replayed;
            sum.dropped += more.dropped;
        }
        for (hook, more) in &other.wcs_hooks {
            let sum = self.wcs_hooks.entry(hook.clone()).or_default();
            sum.done += more.done;
            sum.failed += more.failed;
            sum.retries += more.retries;
            for (sum, more) in sum.latencies.iter_mut().zip(more.latencies) {
                *sum += more;
            }
            sum.latency_sum_ms += more.latency_sum_ms;
        }
        self.sep_subscriptions += other.sep_subscriptions;
        self.sources.extend(other.sources.iter().map(|(name, more)| (name.clone(), more.clone())));
        for (app, more) in &other.wcs_waiting {
            *self.wcs_waiting.entry(app.clone()).or_default() += more;
        }
    }
}

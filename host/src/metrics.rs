//! The counters in OpenMetrics text. No HTTP here: the engine asks for the document and sends it. Labels are bounded:
//! a dialect, a reason, a status class, an appid; never an id.

use std::fmt;

use offhook_core::ground::stats::{
    DestinationStats, DialectStats, LATENCIES_MS, SourceStats, Stats, WcsHookStats, XmsAppStats,
};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// The type of the document, for `Content-Type`, is the engine's affair: OpenMetrics text 1.0.0, ended by `# EOF`.
pub(crate) fn document(stats: Stats, runtime: &'static str, shards: usize) -> String {
    let mut registry = Registry::with_prefix("offhook");
    let build = [("version", env!("CARGO_PKG_VERSION")), ("runtime", runtime)];
    registry.register("build", "The running server", Info::new(build));
    registry.register("shards", "Engines of this process", ConstGauge::new(shards as u64));
    registry.register_collector(Box::new(Counted(stats)));
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing to a string does not fail");
    text
}

#[derive(Debug)]
struct Counted(Stats);

impl Collector for Counted {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut out = Families { encoder };
        let s = &self.0;
        out.gauge("connections_open", "Connections that are open", None, s.connections_open)?;
        out.counter("connections_accepted", "Connections that were accepted", None, s.connections_accepted)?;
        out.counter(
            "connections_refused",
            "Connections that were answered 503 or closed for want of room",
            None,
            s.connections_refused,
        )?;
        out.counter(
            "tls_handshakes",
            "TLS handshakes of listeners that came to their end",
            None,
            s.tls_handshakes,
        )?;
        let help = "Connections whose TLS failed, in the handshake or behind it";
        out.counter("tls_failures", help, None, s.tls_failures)?;
        out.requests(&s.requests)?;
        out.counter("received", "Bytes that peers sent", Some(&Unit::Bytes), s.bytes_received)?;
        out.counter("sent", "Bytes that sockets took", Some(&Unit::Bytes), s.bytes_sent)?;
        out.sip(s)?;
        out.counter("events_accepted", "Events that were accepted", None, s.events_accepted)?;
        let help = "Events that were accepted again, and published once";
        out.counter("events_repeated", help, None, s.events_repeated)?;
        out.gauge("events_retained", "Native events kept for resume", None, s.retained_events)?;
        out.gauge("retained", "Rendered bytes of these events", Some(&Unit::Bytes), s.retained_bytes)?;
        out.outbox(s)?;
        out.sep(s)?;
        out.sources(s)?;
        out.dialects(s)?;
        out.xms_apps(s)?;
        out.wcs_hooks(s)
    }
}

/// Writes metric families, one after the other.
struct Families<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Families<'_> {
    fn gauge(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: u64) -> fmt::Result {
        self.encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn counter(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: u64) -> fmt::Result {
        count(&mut self.encoder.encode_descriptor(name, help, unit, MetricType::Counter)?, value)
    }

    fn requests(&mut self, by_class: &[u64; 6]) -> fmt::Result {
        let help = "Requests that were answered, by status class";
        let mut family = self.encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for (class, value) in by_class.iter().enumerate().skip(1) {
            let class = format!("{class}xx");
            count(&mut family.encode_family(&[("class", class.as_str())])?, *value)?;
        }
        Ok(())
    }

    fn sip(&mut self, stats: &Stats) -> fmt::Result {
        self.counter(
            "datagrams_received",
            "Datagrams that came to UDP sockets",
            None,
            stats.datagrams_received,
        )?;
        self.counter("datagrams_sent", "Datagrams that were to be sent", None, stats.datagrams_sent)?;
        let help = "Of these, those that their socket did not take";
        self.counter("datagrams_dropped", help, None, stats.datagrams_dropped)?;
        let sip = &stats.sip;
        for (name, help, value) in [
            (
                "sip_unreadable",
                "Datagrams and beginnings of a stream that are no SIP, or broken",
                sip.unreadable,
            ),
            ("sip_copies_sent", "Requests that were sent again because no answer came", sip.copies_sent),
            ("sip_copies_received", "Requests that came again", sip.copies_received),
            ("sip_stray_responses", "Answers that belong to no request", sip.stray_responses),
            (
                "sip_strangers_answered",
                "Requests without a subscription that were answered",
                sip.strangers_answered,
            ),
            ("sip_strangers_dropped", "Such requests beyond what is answered", sip.strangers_dropped),
            ("sip_requests_dropped", "Requests beyond what is remembered", sip.requests_dropped),
            ("sip_connections_refused", "SIP connections beyond the bound", sip.flows_refused),
            (
                "sip_bodies_unreadable",
                "Bodies that are not what their package promises",
                sip.bodies_unreadable,
            ),
        ] {
            self.counter(name, help, None, value)?;
        }
        Ok(())
    }

    fn outbox(&mut self, stats: &Stats) -> fmt::Result {
        type Value = fn(&DestinationStats) -> u64;
        self.gauge("dead_letters", "Dead letters that are kept", None, stats.dead_letters)?;
        let help = "Dead letters that were forgotten because of [outbox] dead_letters";
        self.counter("dead_letters_forgotten", help, None, stats.dead_letters_forgotten)?;
        let help = "What waits to be delivered, each event once for each destination";
        self.gauge("outbox_pending", help, Some(&Unit::Bytes), stats.pending_bytes)?;
        let gauges: [(&str, &str, Value); 3] = [
            ("deliveries_pending", "Deliveries that wait", |d| d.pending),
            ("destination_breaker", "The breaker: 0 closed, 1 half-open, 2 open", |d| d.breaker),
            ("destination_throttled", "1 while the receiver has asked for a pause", |d| d.throttled),
        ];
        for (name, help, value) in gauges {
            let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (destination, counted) in &stats.destinations {
                let labels = [("destination", destination.as_str())];
                family.encode_family(&labels)?.encode_gauge(&value(counted))?;
            }
        }
        let counters: [(&str, &str, Value); 3] = [
            ("deliveries_done", "Deliveries that arrived", |d| d.delivered),
            ("delivery_attempts_failed", "Attempts to deliver that failed", |d| d.failed),
            ("deliveries_dead", "Deliveries that were given up", |d| d.dead),
        ];
        for (name, help, value) in counters {
            let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (destination, counted) in &stats.destinations {
                let labels = [("destination", destination.as_str())];
                count(&mut family.encode_family(&labels)?, value(counted))?;
            }
        }
        Ok(())
    }

    fn sep(&mut self, stats: &Stats) -> fmt::Result {
        let help = "SIP subscriptions over HTTP that have not ended";
        self.gauge("sep_subscriptions", help, None, stats.sep_subscriptions)
    }

    fn sources(&mut self, stats: &Stats) -> fmt::Result {
        type Value = fn(&SourceStats) -> u64;
        let gauges: [(&str, &str, Value); 2] = [
            ("source_connected", "1 while the PBX of a source is logged in at", |s| s.connected),
            ("source_things", "Channels and other things of a source that are known", |s| s.held),
        ];
        for (name, help, value) in gauges {
            let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (source, counted) in &stats.sources {
                family.encode_family(&[("source", source.as_str())])?.encode_gauge(&value(counted))?;
            }
        }
        let (help, unit) = ("How old the last event of a source was when it came", Some(&Unit::Seconds));
        let mut family = self.encoder.encode_descriptor("source_lag", help, unit, MetricType::Gauge)?;
        for (source, counted) in &stats.sources {
            let lag = counted.lag_ms as f64 / 1_000.0;
            family.encode_family(&[("source", source.as_str())])?.encode_gauge(&lag)?;
        }
        let counters: [(&str, &str, Value); 5] = [
            ("source_things_forgotten", "Things of a source beyond `source_things`", |s| s.forgotten),
            ("source_resyncs", "How often the state of a source was asked for", |s| s.resyncs),
            ("source_messages_skipped", "Messages of a source that nobody wants", |s| s.skipped),
            ("source_messages_dropped", "Messages of a source that could not be taken", |s| s.dropped),
            ("source_connections_lost", "Connections that were lost or could not be made", |s| s.lost),
        ];
        for (name, help, value) in counters {
            let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (source, counted) in &stats.sources {
                count(&mut family.encode_family(&[("source", source.as_str())])?, value(counted))?;
            }
        }
        let help = "Events that a source brought, by canonical type";
        let mut family = self.encoder.encode_descriptor("source_events", help, None, MetricType::Counter)?;
        for (source, counted) in &stats.sources {
            for (event_type, value) in &counted.events {
                let labels = [("source", source.as_str()), ("type", event_type)];
                count(&mut family.encode_family(&labels)?, *value)?;
            }
        }
        Ok(())
    }

    fn dialects(&mut self, stats: &Stats) -> fmt::Result {
        type Value = fn(&DialectStats) -> u64;
        let open: (&str, &str, Value) = ("streams_open", "Streams that are open", |d| d.streams_open);
        let mut family = self.encoder.encode_descriptor(open.0, open.1, None, MetricType::Gauge)?;
        for (dialect, counted) in &stats.dialects {
            family.encode_family(&[("dialect", *dialect)])?.encode_gauge(&open.2(counted))?;
        }
        let counters: [(&str, &str, Value); 2] = [
            ("streams_opened", "Streams that were opened", |d| d.streams_opened),
            ("streams_cut", "Streams that were cut because the reader was too slow", |d| d.streams_cut),
        ];
        for (name, help, value) in counters {
            let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (dialect, counted) in &stats.dialects {
                count(&mut family.encode_family(&[("dialect", *dialect)])?, value(counted))?;
            }
        }
        let help = "Events that were not sent to somebody, by reason";
        let mut family =
            self.encoder.encode_descriptor("events_not_sent", help, None, MetricType::Counter)?;
        for (dialect, counted) in &stats.dialects {
            for (reason, value) in &counted.not_sent {
                let labels = [("dialect", *dialect), ("reason", reason.name())];
                count(&mut family.encode_family(&labels)?, *value)?;
            }
        }
        Ok(())
    }

    fn xms_apps(&mut self, stats: &Stats) -> fmt::Result {
        type Value = fn(&XmsAppStats) -> u64;
        let help = "XMS eventhandlers that exist";
        let mut family =
            self.encoder.encode_descriptor("xms_eventhandlers", help, None, MetricType::Gauge)?;
        for (app, counted) in &stats.xms_apps {
            family.encode_family(&[("appid", app.as_str())])?.encode_gauge(&counted.handlers)?;
        }
        let counters: [(&str, &str, Value); 4] = [
            ("xms_events_matched", "Events that matched an XMS eventhandler, per eventhandler", |a| {
                a.matched
            }),
            ("xms_events_sent", "Of the matched, sent live", |a| a.sent),
            ("xms_events_replayed", "Of the matched, sent when a stream opened", |a| a.replayed),
            ("xms_events_dropped", "Of the matched, dropped beyond the replay bound", |a| a.dropped),
        ];
        for (name, help, value) in counters {
            let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (app, counted) in &stats.xms_apps {
                count(&mut family.encode_family(&[("appid", app.as_str())])?, value(counted))?;
            }
        }
        Ok(())
    }

    fn wcs_hooks(&mut self, stats: &Stats) -> fmt::Result {
        type Value = fn(&WcsHookStats) -> u64;
        let help = "WCS hooks without a final outcome";
        let mut family =
            self.encoder.encode_descriptor("wcs_hooks_waiting", help, None, MetricType::Gauge)?;
        for (app, waiting) in &stats.wcs_waiting {
            family.encode_family(&[("appkey", app.as_str())])?.encode_gauge(waiting)?;
        }
        let counters: [(&str, &str, Value); 3] = [
            ("wcs_hooks_done", "WCS hooks that the backend answered with 200", |h| h.done),
            ("wcs_hooks_failed", "WCS hooks that finally failed", |h| h.failed),
            ("wcs_hook_retries", "Attempts to call a WCS hook after its first", |h| h.retries),
        ];
        for (name, help, value) in counters {
            let mut family = self.encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for ((app, hook), counted) in &stats.wcs_hooks {
                let labels = [("appkey", app.as_str()), ("hook", hook.as_str())];
                count(&mut family.encode_family(&labels)?, value(counted))?;
            }
        }
        let (help, unit) = ("Time of WCS hook calls with all their attempts", Some(&Unit::Seconds));
        let mut family =
            self.encoder.encode_descriptor("wcs_hook_call", help, unit, MetricType::Histogram)?;
        let ends: Vec<f64> =
            LATENCIES_MS.iter().map(|ms| *ms as f64 / 1_000.0).chain([f64::INFINITY]).collect();
        for ((app, hook), counted) in &stats.wcs_hooks {
            let labels = [("appkey", app.as_str()), ("hook", hook.as_str())];
            let classes: Vec<(f64, u64)> = ends.iter().copied().zip(counted.latencies).collect();
            let sum = counted.latency_sum_ms as f64 / 1_000.0;
            let calls = counted.latencies.iter().sum();
            family.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, calls, &classes, None)?;
        }
        Ok(())
    }
}

fn count(metric: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

#[cfg(test)]
mod tests {
    use offhook_core::ground::stats::NotSent;

    use super::*;

    #[test]
    fn the_document_of_a_fresh_server_is_whole() {
        let text = document(Stats::default(), "mio", 1);
        assert!(text.ends_with("# EOF\n"), "{text}");
        for line in [
            r#"offhook_build_info{version="0.1.0",runtime="mio"} 1"#,
            "# TYPE offhook_connections_open gauge",
            "offhook_connections_open 0",
            "offhook_events_accepted_total 0",
            "offhook_datagrams_dropped_total 0",
            r#"offhook_requests_total{class="2xx"} 0"#,
        ] {
            let line = line.replace("0.1.0", env!("CARGO_PKG_VERSION"));
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches("# EOF").count(), 1);
    }

    #[test]
    fn wcs_hooks_are_counted_by_application_and_hook() {
        let mut hook = WcsHookStats { done: 2, failed: 1, retries: 3, ..WcsHookStats::default() };
        for ms in [10, 11, 20_000] {
            hook.took(ms);
        }
        let mut stats = Stats::default();
        stats.wcs_hooks.insert(("a".to_owned(), "StreamStatusEvent".to_owned()), hook);
        stats.wcs_waiting.insert("a".to_owned(), 4);
        let mut sum = Stats::default();
        sum.merge(&stats);
        sum.merge(&stats);
        let text = document(sum, "mio", 2);
        for line in [
            r#"offhook_wcs_hooks_waiting{appkey="a"} 8"#,
            r#"offhook_wcs_hooks_done_total{appkey="a",hook="StreamStatusEvent"} 4"#,
            r#"offhook_wcs_hooks_failed_total{appkey="a",hook="StreamStatusEvent"} 2"#,
            r#"offhook_wcs_hook_retries_total{appkey="a",hook="StreamStatusEvent"} 6"#,
            r#"offhook_wcs_hook_call_seconds_sum{appkey="a",hook="StreamStatusEvent"} 40.042"#,
            r#"offhook_wcs_hook_call_seconds_bucket{le="0.01",appkey="a",hook="StreamStatusEvent"} 2"#,
            r#"offhook_wcs_hook_call_seconds_bucket{le="15.0",appkey="a",hook="StreamStatusEvent"} 4"#,
            r#"offhook_wcs_hook_call_seconds_bucket{le="+Inf",appkey="a",hook="StreamStatusEvent"} 6"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn sources_are_counted_by_name_and_type() {
        let events = [("call.incoming", 3)].into();
        let pbx = SourceStats {
            connected: 1,
            lag_ms: 1_250,
            events,
            lost: 2,
            forgotten: 6,
            ..SourceStats::default()
        };
        let stats = Stats { sources: [("pbx".to_owned(), pbx)].into(), ..Stats::default() };
        let text = document(stats, "mio", 1);
        for line in [
            r#"offhook_source_connected{source="pbx"} 1"#,
            r#"offhook_source_lag_seconds{source="pbx"} 1.25"#,
            r#"offhook_source_events_total{source="pbx",type="call.incoming"} 3"#,
            r#"offhook_source_connections_lost_total{source="pbx"} 2"#,
            r#"offhook_source_things_forgotten_total{source="pbx"} 6"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn labels_name_dialect_reason_and_appid() {
        let mut stats = Stats { bytes_sent: 7, requests: [0, 0, 5, 0, 2, 0], ..Stats::default() };
        stats.dialect("xms").streams_open = 3;
        stats.not_sent("xms", NotSent::NoWord, 4);
        stats.xms_apps.insert("a\"b".to_owned(), XmsAppStats { dropped: 9, ..XmsAppStats::default() });
        let crm = DestinationStats { delivered: 5, breaker: 2, pending: 3, ..DestinationStats::default() };
        stats.destinations.insert("crm".to_owned(), crm);
        stats.dead_letters = 4;
        let text = document(stats, "smol", 2);
        for line in [
            "offhook_shards 2",
            "offhook_dead_letters 4",
            r#"offhook_deliveries_done_total{destination="crm"} 5"#,
            r#"offhook_deliveries_pending{destination="crm"} 3"#,
            r#"offhook_destination_breaker{destination="crm"} 2"#,
            "# UNIT offhook_sent_bytes bytes",
            "offhook_sent_bytes_total 7",
            r#"offhook_requests_total{class="4xx"} 2"#,
            r#"offhook_streams_open{dialect="xms"} 3"#,
            r#"offhook_events_not_sent_total{dialect="xms",reason="no_word"} 4"#,
            r#"offhook_xms_events_dropped_total{appid="a\"b"} 9"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}

//! What operators ask: `/healthz`, `/readyz`, `/metrics`.

use super::QUIET;
use super::peer::{Peer, get, request};
use super::server::Subject;
use super::transcript::Transcript;
use super::xms::{create, dtmf, metric, open, publish};

/// The three addresses and their faults; the document of metrics is OpenMetrics, ended by `# EOF`.
pub fn operations(subject: &Subject) {
    let server = subject.server("");
    let peer = &mut Peer::connect(server.address);
    let mut t = Transcript::new("operations");
    for target in ["/healthz", "/readyz"] {
        t.title(target);
        t.ask(peer, get(target));
        t.ask(peer, request(&format!("POST {target}"), "", "x"));
    }
    t.title("no such address");
    t.ask(peer, get("/"));
    t.ask(peer, get("/healthz/"));
    t.check();

    let reply = peer.ask(get("/metrics"));
    assert_eq!(
        (reply.status(), reply.field("Content-Type")),
        (200, Some("application/openmetrics-text; version=1.0.0; charset=utf-8"))
    );
    let text = reply.text();
    assert!(text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1, "{text}");
    let runtime = subject.name().trim_start_matches("offhook-");
    assert!(text.contains(&format!("runtime=\"{runtime}\"")), "{text}");
    assert_families(&text);
}

/// Every sample belongs to the family announced before it; no family is announced twice; no label is an id.
fn assert_families(text: &str) {
    let mut families: Vec<(&str, &str)> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(families.iter().all(|(other, _)| *other != name), "{name} is announced twice");
            families.push((name, kind));
        } else if !line.starts_with('#') {
            let (name, kind) = families.last().expect("a family is announced first");
            let suffix = match *kind {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            let (sample, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(sample.split('{').next().unwrap(), format!("{name}{suffix}"), "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(
                !sample
                    .as_bytes()
                    .windows(36)
                    .any(|w| super::transcript::is_uuid(&String::from_utf8_lossy(w)))
            );
        }
    }
    assert!(families.len() > 10);
}

/// Counters count, over all shards, whichever is asked.
pub fn operations_counted(subject: &Subject) {
    for shards in [1, 2] {
        let server = subject.shards(shards, QUIET);
        let peer = &mut Peer::connect(server.address);
        let id = create(peer, "<eventsubscribe/>");
        let mut streams: Vec<Peer> = (0..8).map(|_| open(&server, &id)).collect();
        for number in 0..5 {
            publish(&mut Peer::connect(server.address), &dtmf("1", number));
        }
        publish(peer, r#"{"type":"user.login","subject":"user/1"}"#);
        for stream in &mut streams {
            (0..5).for_each(|_| drop(stream.chunk()));
        }
        for _ in 0..8 {
            let asker = &mut Peer::connect(server.address);
            for (name, value) in [
                ("offhook_events_accepted_total", 6),
                ("offhook_events_retained", 6),
                ("offhook_shards", u64::from(shards)),
                ("offhook_streams_open{dialect=\"xms\"}", 8),
                ("offhook_streams_opened_total{dialect=\"xms\"}", 8),
                ("offhook_events_not_sent_total{dialect=\"xms\",reason=\"no_word\"}", 1),
                ("offhook_xms_eventhandlers{appid=\"app\"}", 1),
                ("offhook_xms_events_sent_total{appid=\"app\"}", 40),
            ] {
                assert_eq!(metric(asker, name), value, "{name}, {shards} shards");
            }
        }
    }
}

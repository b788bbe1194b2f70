//! Faults that reading the code brought to light: each test failed before its fault was mended.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, missing_docs)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use offhook_core::ground::config::Place;
use offhook_core::{Action, Completion, Config, ConnId, Engine, ListenerId, Mono, Now, Seq, ShardId, Wall};

struct World {
    engines: Vec<Engine>,
    now: Now,
    seq: u64,
    /// Records that each engine has still to apply.
    mail: Vec<Vec<(Seq, Arc<offhook_core::log::record::Record>)>>,
    out: BTreeMap<(usize, ConnId), Vec<u8>>,
    closed: Vec<(usize, ConnId)>,
    finished: Vec<(usize, ConnId)>,
    full: Vec<(usize, ConnId)>,
    notes: Vec<String>,
    flushes: usize,
}

impl World {
    fn new(config: Config, shards: u16) -> World {
        let engine = |shard| {
            let place = Place { shard: ShardId(shard), shards, ..Place::default() };
            Engine::new(config.clone(), place, u64::from(shard) + 1)
        };
        World {
            engines: (0..shards).map(engine).collect(),
            now: Now { mono: Mono(0), wall: Wall(1_700_000_000_000) },
            seq: 0,
            mail: vec![Vec::new(); usize::from(shards)],
            out: BTreeMap::new(),
            closed: Vec::new(),
            finished: Vec::new(),
            full: Vec::new(),
            notes: Vec::new(),
            flushes: 0,
        }
    }

    fn one() -> World {
        World::new(Config::default(), 1)
    }

    fn accept(&mut self, shard: usize) -> ConnId {
        let peer: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        self.engines[shard].accept(self.now, ListenerId(0), peer).unwrap()
    }

    /// Input alone; no action is taken yet.
    fn input(&mut self, shard: usize, id: ConnId, bytes: &[u8]) {
        self.engines[shard].receive(self.now, id, bytes);
    }

    /// One shard carries out its actions.
    fn turn(&mut self, shard: usize) {
        self.take_mail(shard);
        while let Some(action) = self.engines[shard].poll_action() {
            match action {
                Action::Read { .. }
                | Action::Dial(..)
                | Action::Send { .. }
                | Action::Resolve(..)
                | Action::Check { .. } => {
                    unreachable!("no log is kept, nobody is called, nobody logs in")
                }
                Action::Append(records) => {
                    self.take_mail(shard);
                    for record in records {
                        self.seq += 1;
                        let record = Arc::new(record);
                        for other in 0..self.engines.len() {
                            if other != shard {
                                self.mail[other].push((Seq(self.seq), Arc::clone(&record)));
                            }
                        }
                        self.engines[shard].receive_record(self.now, Seq(self.seq), &record);
                    }
                    let done = Completion::Durable(Seq(self.seq));
                    self.engines[shard].complete(self.now, done);
                }
                Action::Flush(id) => {
                    self.flushes += 1;
                    self.flush(shard, id);
                }
                Action::Finish(id) => self.finished.push((shard, id)),
                Action::Close(id) => self.closed.push((shard, id)),
                Action::Report(n) => {
                    self.engines[shard].complete(self.now, Completion::Report(n, b"x".to_vec()))
                }
                Action::Note(note) => self.notes.push(note.text),
                Action::Audit(_) => {}
            }
        }
    }

    fn flush(&mut self, shard: usize, id: ConnId) {
        while let Some(outbound) = self.engines[shard].outbound(id) {
            let bytes: Vec<u8> = outbound.slices().iter().flat_map(|s| s.to_vec()).collect();
            let n = if self.full.contains(&(shard, id)) { 0 } else { bytes.len() };
            self.out.entry((shard, id)).or_default().extend_from_slice(&bytes[..n]);
            if !self.engines[shard].advance(self.now, id, n) {
                break;
            }
        }
    }

    fn take_mail(&mut self, shard: usize) {
        for (seq, record) in std::mem::take(&mut self.mail[shard]) {
            self.engines[shard].receive_record(self.now, seq, &record);
        }
    }

    fn say(&mut self, shard: usize, id: ConnId, bytes: impl AsRef<[u8]>) -> String {
        self.input(shard, id, bytes.as_ref());
        self.turn(shard);
        self.heard(shard, id)
    }

    fn heard(&mut self, shard: usize, id: ConnId) -> String {
        String::from_utf8(self.out.remove(&(shard, id)).unwrap_or_default()).unwrap()
    }

    fn wait(&mut self, ms: u64) {
        self.now.mono.0 += ms;
        self.now.wall.0 += ms;
        for shard in 0..self.engines.len() {
            self.engines[shard].handle_timeout(self.now);
            self.turn(shard);
        }
    }

    fn create(&mut self, shard: usize, subscription: &str) -> String {
        let id = self.accept(shard);
        let reply = self.say(shard, id, post(subscription));
        self.engines[shard].receive_eof(self.now, id);
        self.turn(shard);
        href(&reply)
    }

    fn publish(&mut self, shard: usize, body: &str) {
        let id = self.accept(shard);
        let reply = self.say(shard, id, event(body));
        assert!(reply.starts_with("HTTP/1.1 202"), "{reply}");
        self.engines[shard].receive_eof(self.now, id);
        self.turn(shard);
    }

    fn is_closed(&self, shard: usize, id: ConnId) -> bool {
        self.closed.contains(&(shard, id))
    }
}

fn post(subscription: &str) -> String {
    let body =
        format!("<web_service version=\"1.0\"><eventhandler>{subscription}</eventhandler></web_service>");
    format!(
        "POST /default/eventhandlers?appid=app HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn put(path: &str, subscription: &str) -> String {
    let body =
        format!("<web_service version=\"1.0\"><eventhandler>{subscription}</eventhandler></web_service>");
    format!("PUT {path}?appid=app HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn get(path: &str) -> String {
    format!("GET {path}?appid=app HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn event(body: &str) -> String {
    format!(
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn href(reply: &str) -> String {
    let at = reply.find("href=\"").unwrap_or_else(|| panic!("{reply}")) + 6;
    reply[at..].split('"').next().unwrap().to_owned()
}

const ANY: &str = "<eventsubscribe/>";
const RINGING: &str = r#"{"type":"call.ringing","subject":"call/1"}"#;
const HANGUP: &str = r#"{"type":"call.hangup","subject":"call/1"}"#;

/// A peer asks for a stream and is gone in the same turn.
#[test]
fn a_stream_request_whose_peer_half_closes_is_not_kept_for_ever() {
    let mut w = World::one();
    let path = w.create(0, ANY);
    let id = w.accept(0);
    w.input(0, id, get(&path).as_bytes());
    w.engines[0].receive_eof(w.now, id);
    w.turn(0);
    for _ in 0..200 {
        w.wait(60_000);
    }
    assert!(w.is_closed(0, id), "after 200 minutes: {:?}", w.engines[0].poll_timeout());
}

#[test]
fn a_backlog_of_many_runs_before_a_run_that_wraps() {
    let mut config = Config::default();
    config.limits.xms_arena_bytes = 65_536;
    let mut w = World::new(config, 1);
    w.create(0, ANY);
    let path = w.create(0, "<eventsubscribe type='ringing'/>");
    let id = w.accept(0);
    for round in 0..60 {
        for _ in 0..13 {
            w.publish(0, RINGING);
            w.publish(0, HANGUP);
        }
        let edit =
            ["<eventsubscribe type='alarm'/>", "<eventsubscribe type='alarm' action='remove'/>"][round % 2];
        assert!(w.say(0, id, put(&path, edit)).starts_with("HTTP/1.1 200"));
        for _ in 0..40 {
            w.publish(0, RINGING);
        }
        let stream = w.accept(0);
        let got = w.say(0, stream, get(&path));
        assert_eq!(got.matches("type=\"ringing\"").count(), 53);
        w.engines[0].receive_eof(w.now, stream);
        w.turn(0);
    }
}

#[test]
fn http10_resume_has_no_chunk_lines() {
    let mut w = World::one();
    for _ in 0..3 {
        w.publish(0, RINGING);
    }
    let id = w.accept(0);
    let got = w.say(0, id, "GET /v1/events?last_event_id=1-1 HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let body = got.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(body.matches("\nid: ").count(), 2, "{body}");
    assert!(!body.contains('\r'), "{body:?}");
}

#[test]
fn http10_xms_replay_after_put_has_no_chunk_lines() {
    let mut w = World::one();
    let path = w.create(0, ANY);
    w.publish(0, RINGING);
    w.publish(0, RINGING);
    let id = w.accept(0);
    w.say(0, id, put(&path, "<eventsubscribe type='alarm'/>"));
    let id = w.accept(0);
    let got = w.say(0, id, format!("GET {path}?appid=app HTTP/1.0\r\n\r\n"));
    let body = got.split_once("\r\n\r\n").unwrap().1;
    // Each event is "hex CR LF xml"; no outer chunk size stands between `>` and the inner length.
    let one = body.split("</web_service>").nth(1).unwrap();
    let two = body.split("</web_service>").nth(2).unwrap();
    assert_eq!(one, two, "{body:?}");
}

#[test]
fn http10_sse_that_is_stopped_with_a_backlog_gets_its_own_frames() {
    let mut w = World::one();
    w.create(0, ANY);
    let id = w.accept(0);
    w.say(0, id, "GET /v1/events HTTP/1.0\r\nHost: localhost\r\n\r\n");
    w.full.push((0, id));
    for _ in 0..3 {
        w.publish(0, RINGING);
    }
    w.engines[0].complete(w.now, Completion::Stop);
    w.turn(0);
    w.full.clear();
    w.engines[0].writable(w.now, id);
    w.turn(0);
    let got = w.heard(0, id);
    assert_eq!(got.matches("id: ").count(), 3, "{got:?}");
    assert!(!got.contains('\r'), "{got:?}");
}

#[test]
fn a_deleted_handler_leaves_no_deadline() {
    let mut w = World::one();
    for _ in 0..50 {
        let path = w.create(0, ANY);
        let id = w.accept(0);
        w.say(0, id, format!("DELETE {path}?appid=app HTTP/1.1\r\nHost: a\r\n\r\n"));
        w.engines[0].receive_eof(w.now, id);
        w.turn(0);
        w.wait(20_000);
    }
    w.wait(3_600_000);
    let mut wakes = 0;
    while let Some(at) = w.engines[0].poll_timeout() {
        w.now.wall.0 += at.0.saturating_sub(w.now.mono.0);
        w.now.mono = w.now.mono.max(at);
        w.engines[0].handle_timeout(w.now);
        wakes += 1;
        assert!(wakes < 1_000);
    }
    assert!(wakes <= 1, "{wakes} deadlines wait for handlers that are gone");
}

#[test]
fn publishing_a_value_of_many_dots_is_linear() {
    let mut w = World::one();
    let id = w.accept(0);
    w.say(0, id, "GET /v1/events?subject=call.* HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let time = |w: &mut World, dots: usize| {
        let started = Instant::now();
        w.publish(0, &format!(r#"{{"type":"a","subject":"{}"}}"#, ".".repeat(dots)));
        started.elapsed().as_secs_f64()
    };
    let (small, large) = (time(&mut w, 20_000), time(&mut w, 200_000));
    assert!(large < small * 30.0 + 0.05, "10 times the dots: {small} s, {large} s");
}

#[test]
fn the_handler_limit_holds_within_a_turn() {
    let mut config = Config::default();
    config.limits.xms_handlers_per_app = 1;
    let mut w = World::new(config, 1);
    let ids: Vec<ConnId> = (0..5).map(|_| w.accept(0)).collect();
    for id in &ids {
        w.input(0, *id, post(ANY).as_bytes());
    }
    w.turn(0);
    let made = ids.iter().filter(|id| w.heard(0, **id).starts_with("HTTP/1.1 201")).count();
    assert_eq!(made, 1);
}

#[test]
fn a_go_ahead_comes_after_the_replies_before_it() {
    let mut w = World::one();
    let id = w.accept(0);
    let mut request = event(RINGING);
    request.push_str(
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n",
    );
    let got = w.say(0, id, request);
    assert!(got.starts_with("HTTP/1.1 202"), "{got}");
    assert!(got.contains("100 Continue"), "{got}");
}

#[test]
fn a_refused_body_that_comes_at_a_good_rate_is_swallowed() {
    let mut w = World::one();
    let id = w.accept(0);
    let head = "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n";
    assert!(w.say(0, id, head).starts_with("HTTP/1.1 404"));
    for _ in 0..20 {
        let got = w.say(0, id, vec![b'x'; 50_000]);
        assert!(got.is_empty(), "{got}");
        w.wait(1_000);
        let got = w.heard(0, id);
        assert!(got.is_empty(), "a second answer to one request: {got}");
    }
}

#[test]
fn a_reader_that_takes_everything_is_not_cut_by_a_batch() {
    let mut w = World::one();
    w.create(0, ANY);
    let path = w.create(0, "<eventsubscribe type='ringing'/>");
    let id = w.accept(0);
    w.say(0, id, get(&path));
    let batch: Vec<&str> = (0..1_100).flat_map(|_| [RINGING, HANGUP]).collect();
    w.publish(0, &format!("[{}]", batch.join(",")));
    assert!(!w.is_closed(0, id), "{:?}", w.notes);
    assert_eq!(w.heard(0, id).matches("type=\"ringing\"").count(), 1_100);
}

#[test]
fn a_search_through_old_events_gives_the_loop_a_turn() {
    let mut w = World::one();
    for _ in 0..3 {
        w.publish(0, &format!("[{}]", vec![RINGING; 10_000].join(",")));
    }
    let id = w.accept(0);
    w.flushes = 0;
    w.say(0, id, "GET /v1/events?type=none&last_event_id=1-1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(
        w.flushes <= 3 && w.engines[0].poll_timeout() == Some(w.now.mono),
        "{} steps in one turn, no socket was read meanwhile",
        w.flushes
    );
}

#[test]
fn only_blanks_and_tabs_are_white_space_of_http() {
    for field in ["Transfer-Encoding: \u{a0}chunked", "Content-Length: \u{a0}5", "Content-Length: 5\u{2003}"]
    {
        let mut w = World::one();
        let id = w.accept(0);
        let head =
            format!("POST /default/eventhandlers?appid=app HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n0\r\n\r\n");
        let got = w.say(0, id, head);
        assert!(got.contains("Connection: close"), "{field:?}: {got}");
    }
}

#[test]
fn a_peer_writes_no_lines_into_the_log() {
    let mut w = World::one();
    w.create(0, ANY);
    let body = format!(
        r#"{{"id":"x\n2026-01-01T00:00:00Z  INFO all is well {}","type":"call.ringing","subject":"call/1","data":{{"a":"{}"}}}}"#,
        "y".repeat(10_000),
        "z".repeat(70_000)
    );
    w.publish(0, &body);
    assert!(w.notes.iter().all(|n| !n.contains('\n')), "a line break");
    assert!(
        w.notes.iter().all(|n| n.len() < 2_000),
        "{:?}",
        w.notes.iter().map(String::len).collect::<Vec<_>>()
    );
}

#[test]
fn an_idle_http10_stream_ends_at_once_after_delete() {
    let mut w = World::one();
    let path = w.create(0, ANY);
    let stream = w.accept(0);
    w.say(0, stream, format!("GET {path}?appid=app HTTP/1.0\r\n\r\n"));
    let id = w.accept(0);
    w.say(0, id, format!("DELETE {path}?appid=app HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert!(w.finished.contains(&(0, stream)) || w.is_closed(0, stream), "it waits for a deadline");
}

#[test]
fn edits_of_an_idle_handler_cost_what_they_keep() {
    let time = |rounds: usize| {
        let mut w = World::one();
        w.create(0, ANY);
        let path = w.create(0, "<eventsubscribe type='ringing'/>");
        let (one, two) = (w.accept(0), w.accept(0));
        for round in 0..rounds {
            w.say(0, two, event(RINGING));
            w.say(0, two, event(HANGUP));
            let action = ["add", "remove"][round % 2];
            w.say(0, one, put(&path, &format!("<eventsubscribe type='alarm' action='{action}'/>")));
        }
        let id = w.accept(0);
        let started = Instant::now();
        let got = w.say(0, id, get(&path));
        assert!(got.contains("Offhook-Missed"));
        started.elapsed().as_secs_f64()
    };
    let (small, large) = (time(3_000), time(24_000));
    eprintln!("{small} {large}");
    assert!(large < small * 16.0, "8 times the edits: {small} s, {large} s to open the stream");
}

#[test]
fn nothing_after_connection_close_is_served() {
    let mut w = World::one();
    let id = w.accept(0);
    let first = event(RINGING).replace("Host: localhost", "Host: localhost\r\nConnection: close");
    let got = w.say(0, id, format!("{first}{}", event(HANGUP)));
    assert_eq!(got.matches("HTTP/1.1 202").count(), 1);
    assert_eq!(w.engines[0].stats().events_accepted, 1, "an event was accepted that nobody was told of");
}

#[test]
fn pipelined_requests_before_a_half_close_are_answered() {
    let mut w = World::one();
    let id = w.accept(0);
    w.input(0, id, format!("{}{}", post(ANY), post(ANY)).as_bytes());
    w.engines[0].receive_eof(w.now, id);
    w.turn(0);
    assert_eq!(w.heard(0, id).matches("HTTP/1.1 201").count(), 2);
}

/// The old stream's end is told to shard 0 before the new stream opens on shard 1, but shard 0 has its turn later.
#[test]
fn a_reader_that_comes_back_to_another_shard_misses_nothing() {
    let mut w = World::new(Config::default(), 2);
    let path = w.create(0, ANY);
    w.turn(1);
    let old = w.accept(0);
    w.say(0, old, get(&path));
    w.turn(1);
    w.full.push((0, old));
    w.publish(0, RINGING);
    w.turn(1);
    // The peer's FIN lies in shard 0's socket; shard 1 is quicker.
    let new = w.accept(1);
    let mut got = w.say(1, new, get(&path));
    w.turn(0);
    w.engines[0].receive_eof(w.now, old);
    w.turn(0);
    w.turn(1);
    got.push_str(&w.heard(1, new));
    assert!(got.contains("type=\"ringing\""), "{got}");
}

#[test]
fn all_shards_agree_on_an_expiry_while_one_has_reloaded() {
    let mut w = World::new(Config::default(), 2);
    let path = w.create(0, ANY);
    w.turn(1);
    let mut longer = Config::default();
    longer.xms.idle_ms *= 2;
    w.now.mono.0 += 86_400_000;
    w.now.wall.0 += 86_400_000;
    w.engines[0].handle_timeout(w.now);
    w.engines[1].handle_timeout(w.now);
    // The signal reaches shard 0 first, or shard 1: one of both orders shows it, whoever owns the handler.
    let (owner, other) = if w.engines[0].poll_action().is_some_and(|action| {
        let Action::Append(records) = action else { return false };
        let record = Arc::new(records.into_iter().next().unwrap());
        w.mail[0].push((Seq(w.seq + 1), Arc::clone(&record)));
        w.mail[1].push((Seq(w.seq + 1), record));
        w.seq += 1;
        true
    }) {
        (0, 1)
    } else {
        (1, 0)
    };
    w.engines[other].complete(w.now, Completion::Reloaded(Box::new(longer.clone())));
    w.turn(owner);
    w.turn(other);
    w.engines[owner].complete(w.now, Completion::Reloaded(Box::new(longer)));
    let ask = |w: &mut World, shard: usize| {
        let id = w.accept(shard);
        w.say(shard, id, format!("GET {path}?appid=app&view=state HTTP/1.1\r\nHost: a\r\n\r\n"))[9..12]
            .to_owned()
    };
    assert_eq!(ask(&mut w, 0), ask(&mut w, 1));
}

#[test]
fn the_door_wants_a_loopback_host() {
    let mut w = World::one();
    let id = w.accept(0);
    let got = w.say(0, id, "GET /v1/events HTTP/1.1\r\nHost:\r\n\r\n");
    assert!(got.starts_with("HTTP/1.1 403"), "{got}");
}

#[test]
fn a_chunk_size_is_followed_by_cr_or_an_extension() {
    let mut w = World::one();
    let id = w.accept(0);
    let head =
        "POST /default/eventhandlers?appid=app HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let got = w.say(0, id, format!("{head}1 6\r\nx\r\n0\r\n\r\n"));
    assert!(got.starts_with("HTTP/1.1 400") && got.contains("Connection: close"), "{got}");
}

#[test]
fn a_body_beyond_what_is_swallowed_gets_its_answer_first() {
    let mut w = World::one();
    let id = w.accept(0);
    let head =
        "POST /default/eventhandlers?appid=app HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    w.input(0, id, head.as_bytes());
    for _ in 0..20 {
        w.input(0, id, format!("10000\r\n{}\r\n", "x".repeat(65_536)).as_bytes());
    }
    w.turn(0);
    assert!(w.heard(0, id).starts_with("HTTP/1.1 413"), "closed without an answer: {}", w.is_closed(0, id));
}

/// A filtered reader is in the middle of catching up when the server stops.
#[test]
fn a_stop_while_catching_up_leaves_no_hole() {
    let mut w = World::one();
    let body = format!(r#"{{"type":"a","data":{{"x":"{}"}}}}"#, "x".repeat(200));
    w.publish(0, &format!("[{}]", vec![body.as_str(); 3_000].join(",")));
    let id = w.accept(0);
    w.full.push((0, id));
    w.say(0, id, "GET /v1/events?last_event_id=1-1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    w.publish(0, &body);
    w.engines[0].complete(w.now, Completion::Stop);
    w.turn(0);
    w.full.clear();
    w.engines[0].writable(w.now, id);
    w.turn(0);
    let got = w.heard(0, id);
    let ids: Vec<u64> =
        got.lines().filter_map(|l| l.strip_prefix("id: 1-")).map(|n| n.parse().unwrap()).collect();
    let hole = std::iter::once(1).chain(ids.iter().copied()).zip(&ids).find(|(a, b)| a + 1 != **b);
    assert!(hole.is_none(), "{hole:?}");
}

#[test]
fn an_idle_connection_is_closed_and_the_loop_goes_on() {
    let mut w = World::one();
    let id = w.accept(0);
    w.say(0, id, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    w.wait(80_000);
    assert!(w.is_closed(0, id));
}

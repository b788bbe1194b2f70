//! Conversations between the dialect and a backend, in virtual time: the hub's records are numbered and applied here, as
//! an engine would; calls are taken and answered by hand.

mod order;
mod recovery;

use std::sync::Arc;

use super::*;
use crate::event::Fact;
use crate::ground::config::{HookPolicy, OnError, Place};
use crate::ground::deadline::Due;
use crate::ground::id::ShardId;
use crate::ground::time::{Now, Wall};
use crate::hub::action::{Action, Note};
use crate::hub::call::Call;
use crate::log::record::Origin;

/// The session of the vendor's example.
pub(crate) const VENDOR_SESSION: &str = "/192.168.1.102:4388/192.168.1.101:8443";

/// The body of the vendor's example (wcs.md 2.2).
pub(crate) const VENDOR_BODY: &str = r#"{"nodeId":"Hw47CFMBEchVOpBMDr29IxjudnJ1sjOY@192.168.1.101","appKey":"defaultApp","sessionId":"/192.168.1.102:4388/192.168.1.101:8443","mediaSessionId":"56141d10-fddc-11e6-ac3a-4d67d5b3360d","name":"b4e7","published":true,"hasVideo":true,"hasAudio":true,"status":"PUBLISHING","sdp":"v=0","record":false,"width":0,"height":0,"bitrate":0,"quality":0,"mediaProvider":"WebRTC"}"#;

/// The event that becomes the vendor's example.
pub(crate) fn vendor_event() -> Event {
    let data = r#"{"media_session_id":"56141d10-fddc-11e6-ac3a-4d67d5b3360d","name":"b4e7","published":true,
        "has_video":true,"has_audio":true,"status":"PUBLISHING","sdp":"v=0","record":false,"width":0,"height":0,
        "bitrate":0,"quality":0,"media_provider":"WebRTC"}"#;
    event("stream.status", &[("appkey", "defaultApp"), ("sessionid", VENDOR_SESSION)], data)
}

/// An event with extension attributes and data.
pub(crate) fn event(event_type: &str, extensions: &[(&str, &str)], data: &str) -> Event {
    let mut text =
        format!(r#"{{"specversion":"1.0","id":"e","source":"s","type":"{event_type}","data":{data}"#);
    for (name, value) in extensions {
        text += &format!(r#","{name}":"{value}""#);
    }
    native::read::stored(&(text + "}")).expect("an event")
}

/// An application with these hooks.
pub(super) fn app(hooks: &[&str]) -> WcsApp {
    WcsApp {
        url: "http://192.168.1.101/rest/my_api".to_owned(),
        hooks: hooks.iter().map(|hook| (*hook).to_owned()).collect(),
        ..WcsApp::default()
    }
}

/// The same with FAIL for its first hook.
fn failing(hook: &str) -> WcsApp {
    let policy = HookPolicy { on_error: OnError::Fail, ..HookPolicy::default() };
    WcsApp { policies: BTreeMap::from([(hook.to_owned(), policy)]), ..app(&[hook]) }
}

/// One engine's hub and dialect, and the log.
pub(super) struct Talk {
    pub(super) hub: Hub,
    pub(super) wcs: Wcs,
    pub(super) log: Vec<(Seq, Arc<Record>)>,
    notes: Vec<Note>,
}

/// A call that waits for its answer.
pub(super) struct Asked {
    pub(super) key: u64,
    pub(super) call: Call,
}

impl Asked {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.call.request.clone()).expect("the requests of the tests are text")
    }

    pub(super) fn body(&self) -> serde_json::Value {
        let text = self.text();
        let (_, body) = text.split_once("\r\n\r\n").expect("a head ends");
        serde_json::from_str(body).expect("a body is JSON")
    }
}

pub(super) fn config(apps: Vec<WcsApp>) -> Config {
    let mut config = Config::default();
    config.wcs.apps = apps;
    config.wcs.node_id = Some("Hw47CFMBEchVOpBMDr29IxjudnJ1sjOY@192.168.1.101".to_owned());
    config
}

pub(super) fn answer(status: u16) -> Result<Answer, CallFault> {
    let content_type = Some("application/json".into());
    Ok(Answer { status, retry_after_ms: None, content_type, content: b"{}".to_vec(), cut: false })
}

impl Talk {
    pub(super) fn new(apps: Vec<WcsApp>) -> Talk {
        Talk::with(config(apps))
    }

    pub(super) fn with(config: Config) -> Talk {
        let mut talk = Talk::unstarted(config, Place::default());
        talk.start();
        talk
    }

    pub(super) fn unstarted(config: Config, place: Place) -> Talk {
        let mut hub = Hub::new(config, place, 7);
        hub.set_now(Now { mono: Mono(1_000), wall: Wall(1_446_561_431_000) });
        let wcs = Wcs::new(&mut hub, 3);
        Talk { hub, wcs, log: Vec::new(), notes: Vec::new() }
    }

    /// All that the log held is applied.
    pub(super) fn start(&mut self) {
        self.wcs.started(&mut self.hub);
        self.turn();
    }

    /// What an engine does until nothing is left to do.
    pub(super) fn turn(&mut self) {
        loop {
            while let Some((at, due)) = self.hub.deadlines.pop(self.hub.now.mono) {
                // What connections wait for is not played here.
                let Due::Dialect(3, key) = due else { continue };
                self.wcs.handle_timeout(&mut self.hub, key, at);
            }
            let Some(action) = self.hub.next_action() else { return };
            if let Action::Note(note) = action {
                self.notes.push(note);
                continue;
            }
            let Action::Append(records) = action else { continue };
            for record in records {
                let seq = self.log.last().map_or(Seq(1), |(seq, _)| seq.next());
                let record = Arc::new(record);
                self.log.push((seq, Arc::clone(&record)));
                self.apply(seq, &record);
            }
        }
    }

    pub(super) fn apply(&mut self, seq: Seq, record: &Record) {
        self.hub.applied = seq;
        match &record.body {
            Body::Event(event) => self.wcs.publish(&mut self.hub, seq, record, event),
            Body::Change(NAME, change) => self.wcs.change(&mut self.hub, record, change),
            // Hooks that failed are left to the outbox.
            Body::Change(..) => {}
            Body::Repeat { .. }
            | Body::Carried { .. }
            | Body::Epoch { .. }
            | Body::Retire { .. }
            | Body::Retired { .. } => unreachable!("nobody appends what is the log's own"),
        }
    }

    pub(super) fn publish(&mut self, event: Event) {
        self.hub.append(Actor::Server("test"), None, true, true, Body::Event(Arc::new(event)));
        self.turn();
    }

    /// A stream event of a session, told apart by its name.
    pub(super) fn stream(&mut self, session: &str, name: &str) {
        let data = format!(r#"{{"name":"{name}","media_session_id":"m-{name}"}}"#);
        self.publish(event("stream.status", &[("appkey", "defaultApp"), ("sessionid", session)], &data));
    }

    pub(super) fn calls(&mut self) -> Vec<Asked> {
        let calls = self.hub.take_calls().into_iter();
        calls.map(|(_, call)| Asked { key: call.caller.key, call }).collect()
    }

    /// The one call that waits.
    #[track_caller]
    pub(super) fn call(&mut self) -> Asked {
        let mut calls = self.calls();
        assert_eq!(calls.len(), 1, "one call");
        calls.remove(0)
    }

    pub(super) fn reply(&mut self, asked: &Asked, result: Result<Answer, CallFault>) {
        self.wcs.answered(&mut self.hub, asked.key, result);
        self.turn();
    }

    pub(super) fn pass(&mut self, ms: u64) {
        let now = self.hub.now;
        self.hub.set_now(Now { mono: now.mono.plus_ms(ms), wall: Wall(now.wall.0 + ms) });
        self.turn();
    }

    /// The events of our own that were published, as (type, JSON of the data).
    fn told(&self) -> Vec<(String, String)> {
        let own = self.log.iter().filter(|(_, record)| record.header.actor == Actor::Server(NAME));
        own.filter_map(|(_, record)| {
            let Body::Event(event) = &record.body else { return None };
            let mut json = Vec::new();
            native::render::json(event, &mut json);
            let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
            assert_eq!((&json["appkey"], &json["sessionid"]), (&"defaultApp".into(), &"s".into()));
            Some((event.event_type.to_string(), json["data"].to_string()))
        })
        .collect()
    }

    /// The final outcomes in the log.
    pub(super) fn ended(&self) -> Vec<Ended> {
        let ended = self.log.iter().filter_map(|(_, record)| {
            let Body::Change(NAME, change) = &record.body else { return None };
            match serde_json::from_slice(change).ok()? {
                Change::Ended { hooks } => Some(hooks),
                Change::Node { .. }
                | Change::App { .. }
                | Change::Removed { .. }
                | Change::Waiting { .. }
                | Change::Opened { .. }
                | Change::Gone { .. }
                | Change::Closed { .. }
                | Change::Begun { .. }
                | Change::Push { .. } => None,
            }
        });
        ended.flatten().collect()
    }

    fn counted(&self, hook: &str) -> WcsHookStats {
        let mut stats = Stats::default();
        self.wcs.stats(&self.hub, &mut stats);
        stats.wcs_hooks.get(&("defaultApp".to_owned(), hook.to_owned())).cloned().unwrap_or_default()
    }

    fn not_sent(&self, reason: NotSent) -> u64 {
        self.hub.stats.dialects.get(NAME).and_then(|d| d.not_sent.get(&reason)).copied().unwrap_or(0)
    }
}

#[test]
fn w1_an_event_becomes_the_vendors_request() {
    let mut talk = Talk::new(vec![app(&["StreamStatusEvent"])]);
    talk.publish(vendor_event());
    let asked = talk.call();
    let (head, body) = (asked.text(), VENDOR_BODY);
    assert!(head.starts_with("POST /rest/my_api/StreamStatusEvent HTTP/1.1\r\nAccept: application/json\r\n"));
    assert!(head.ends_with(&format!("\r\nContent-Length: 372\r\n\r\n{body}")), "{head}");
    let Call { target, connect_ms, total_ms, .. } = &asked.call;
    assert_eq!((&*target.host, target.port, *connect_ms, *total_ms), ("192.168.1.101", 80, 5_000, 15_000));
    talk.reply(&asked, answer(200));
    assert_eq!(talk.ended(), [Ended { seq: asked.key, dead: None }]);
    assert!(talk.told().is_empty() && talk.calls().is_empty());
    assert_eq!((talk.counted("StreamStatusEvent").done, talk.counted("StreamStatusEvent").failed), (1, 0));
}

#[test]
fn w4_only_listed_hooks_are_called() {
    let mut talk = Talk::new(vec![app(&[])]);
    assert!(talk.notes.iter().any(|note| note.text.ends_with("hooks: none")), "{:?}", talk.notes);
    talk.stream("s", "a");
    assert!(talk.calls().is_empty());
    talk.hub.config.wcs.apps = vec![app(&["StreamStatusEvent"])];
    talk.wcs.reloaded(&mut talk.hub);
    talk.turn();
    assert!(
        talk.notes.iter().any(|note| note.text.ends_with("hooks: StreamStatusEvent")),
        "{:?}",
        talk.notes
    );
    talk.publish(event("call.status", &[("appkey", "defaultApp"), ("sessionid", "s")], "{}"));
    talk.stream("s", "b");
    assert_eq!(talk.call().body()["name"], "b");
}

/// What stood before the application's record in the log is not called afterwards.
#[test]
fn w4_a_hook_that_is_listed_later_is_called_from_then_on() {
    let mut talk = Talk::new(vec![app(&[])]);
    talk.stream("s", "before");
    talk.hub.config.wcs.apps = vec![app(&["StreamStatusEvent"])];
    talk.wcs.reloaded(&mut talk.hub);
    talk.turn();
    assert!(talk.calls().is_empty());
}

#[test]
fn disable_calls_no_hook() {
    let mut config = config(vec![app(&["StreamStatusEvent"])]);
    config.wcs.disable = true;
    let mut talk = Talk::with(config);
    talk.stream("s", "a");
    assert!(talk.calls().is_empty());
}

#[test]
fn w12_disabled_hooks_are_not_called() {
    let policy = HookPolicy { policy: RestPolicy::Disable, ..HookPolicy::default() };
    let policies = BTreeMap::from([("StreamStatusEvent".to_owned(), policy)]);
    let mut talk = Talk::new(vec![WcsApp { policies, ..app(&["StreamStatusEvent"]) }]);
    talk.stream("s", "a");
    assert!(talk.calls().is_empty() && talk.told().is_empty());
}

#[test]
fn w16_with_log_the_client_gets_nothing_more() {
    let mut talk = Talk::new(vec![app(&["StreamStatusEvent"])]);
    talk.stream("s", "a");
    let asked = talk.call();
    talk.reply(&asked, answer(500));
    assert!(talk.told().is_empty());
    assert_eq!(talk.counted("StreamStatusEvent").failed, 1);
    let warned = "wcs: defaultApp: REST hook StreamStatusEvent failed: HTTP 500; event e";
    assert!(talk.notes.iter().any(|note| note.text == warned), "{:?}", talk.notes);
}

/// W17: whoever has no session here is told nothing; the log has the failure.
#[test]
fn w17_without_a_session_nobody_is_told() {
    let mut talk = Talk::new(vec![failing("StreamStatusEvent")]);
    talk.stream("s", "a");
    let asked = talk.call();
    talk.reply(&asked, answer(500));
    assert!(talk.told().is_empty() && talk.ended()[0].dead.is_some());
    assert_eq!(talk.not_sent(NotSent::NoSession), 1, "the client's part");
}

#[test]
fn w23_stream_keepalives_are_off_unless_enabled_and_end_the_stream() {
    let keepalive = || {
        let data = r#"{"media_session_id":"m","name":"b4e7","published":true,"status":"PUBLISHING"}"#;
        event("stream.keepalive", &[("appkey", "defaultApp"), ("sessionid", "s")], data)
    };
    let mut off = Talk::new(vec![failing("StreamKeepAliveEvent")]);
    off.publish(keepalive());
    assert!(off.calls().is_empty());
    let mut on = Talk::new(vec![WcsApp { stream_keepalive: true, ..failing("StreamKeepAliveEvent") }]);
    on.publish(keepalive());
    let asked = on.call();
    assert!(asked.text().starts_with("POST /rest/my_api/StreamKeepAliveEvent "));
    on.reply(&asked, answer(403));
    let ended = r#"{"info":"REST hook StreamKeepAliveEvent failed: HTTP 403","media_session_id":"m","name":"b4e7","published":true,"status":"FAILED"}"#;
    assert_eq!(on.told(), [("stream.status".to_owned(), ended.to_owned())]);
}

#[test]
fn w42_a_failed_hook_is_in_the_log_with_body_and_reason() {
    let mut talk = Talk::new(vec![app(&["StreamStatusEvent"])]);
    talk.publish(vendor_event());
    let asked = talk.call();
    talk.reply(&asked, answer(503));
    let dead = talk.ended().remove(0).dead.expect("it is dead");
    assert_eq!((&*dead.body, &*dead.reason), (VENDOR_BODY, "REST hook StreamStatusEvent failed: HTTP 503"));
    assert_eq!((&*dead.app, &*dead.hook), ("defaultApp", "StreamStatusEvent"));
}

#[test]
fn w44_scope_decides_who_hears_of_an_event() {
    let mut talk = Talk::new(vec![failing("StreamStatusEvent")]);
    // Without a session the backend alone gets it.
    talk.publish(event("stream.status", &[("appkey", "defaultApp")], "{}"));
    let asked = talk.call();
    assert_eq!(asked.body()["sessionId"], "");
    talk.reply(&asked, answer(500));
    assert!(talk.told().is_empty());
    // Without an application it is no affair of WCS.
    talk.publish(event("stream.status", &[("sessionid", "s")], "{}"));
    // An application that is not there, a type without a word, data that is no object.
    talk.publish(event("stream.status", &[("appkey", "other")], "{}"));
    talk.publish(event("call.ringing", &[("appkey", "defaultApp")], "{}"));
    talk.publish(event("stream.status", &[("appkey", "defaultApp")], "[1]"));
    assert!(talk.calls().is_empty() && talk.told().is_empty());
    let counts = [NotSent::Scope, NotSent::NoWord, NotSent::Nested].map(|reason| talk.not_sent(reason));
    assert_eq!(counts, [1, 1, 1]);
}

#[test]
fn a_404_is_warned_of_once_per_hook() {
    let mut talk = Talk::new(vec![app(&["StreamStatusEvent"])]);
    for name in ["a", "b"] {
        talk.stream("s", name);
        let asked = talk.call();
        talk.reply(&asked, answer(404));
    }
    let lists = talk.notes.iter().filter(|note| note.text.contains("lists the hook StreamStatusEvent"));
    assert_eq!(lists.count(), 1, "{:?}", talk.notes);
}

#[test]
fn a_vocabulary_row_brings_a_hook() {
    let mut config = config(vec![app(&["CallParkedEvent"])]);
    config.wcs.extra_hooks.insert("CallParkedEvent".to_owned(), 3);
    config.vocabulary.push(crate::ground::config::VocabularyRow {
        event_type: "call.parked".to_owned(),
        wcs: Some("CallParkedEvent".to_owned()),
        ..Default::default()
    });
    let mut talk = Talk::with(config);
    talk.publish(event("call.parked", &[("appkey", "defaultApp")], r#"{"call_id":"c"}"#));
    let asked = talk.call();
    assert!(asked.text().starts_with("POST /rest/my_api/CallParkedEvent "));
    assert_eq!(asked.body()["callId"], "c");
    assert!(matches!(vendor_event().facts()[0].1, Fact::Text(_)));
}

#[test]
fn the_owner_alone_calls() {
    let mut called = 0;
    for shard in 0..3 {
        let place = Place { shard: ShardId(shard), shards: 3, ..Place::default() };
        let mut talk = Talk::unstarted(config(vec![app(&["StreamStatusEvent"])]), place);
        talk.start();
        let words = Words::from([("stream.status".into(), "StreamStatusEvent".into())]);
        append(&mut talk.hub, &Change::App { key: "defaultApp".into(), words });
        talk.stream("s", "a");
        called += talk.calls().len();
        let origin = Origin::default();
        assert!(talk.log.iter().any(|(_, record)| record.origin.shard != origin.shard) || shard == 0);
    }
    assert_eq!(called, 1);
}

//! The demo source: a small office that keeps to the rules of the vocabulary.

use std::collections::{BTreeMap, BTreeSet};

use offhook_core::Config;
use offhook_tests::memory::World;
use offhook_tests::memory::read::server_sent;
use offhook_tests::memory::write::get;

const MINUTES: u64 = 10;

/// What the office did: type and subject of each event.
fn day(shards: u16) -> Vec<(String, String)> {
    let mut world = World::with(Config { demo: true, ..Config::default() }, shards);
    let stream = world.connect();
    // The office opens with the server: what has happened until here comes after a gap.
    world.open(stream, get("/v1/events?last_event_id=0-0"));
    world.pass(MINUTES * 60_000);
    let all = server_sent(&world.chunks(stream).content());
    let event = |data: String| {
        let json: serde_json::Value = serde_json::from_str(&data).expect("data is JSON");
        let text = |name: &str| json[name].as_str().expect("a text").to_owned();
        (text("type"), text("subject"))
    };
    all.into_iter().filter(|event| event.event.is_none()).filter_map(|event| event.data).map(event).collect()
}

/// About three events a second, of all kinds; on two shards it is still one office.
#[test]
fn a_newcomer_sees_events_of_all_kinds() {
    for shards in [1, 2] {
        let day = day(shards);
        let rate = day.len() as f64 / (MINUTES * 60) as f64;
        assert!((2.5..3.5).contains(&rate), "{rate} a second with {shards} shards");
        let kinds: BTreeSet<&str> = day.iter().map(|(kind, _)| kind.as_str()).collect();
        let wanted = [
            "call.connected",
            "call.dtmf",
            "call.hangup",
            "call.incoming",
            "call.ringing",
            "recording.ended",
            "recording.started",
            "stream.status",
            "user.login",
            "user.logout",
        ];
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), wanted);
    }
}

/// Each subject lives its life in order, and what has ended stays so.
#[test]
fn calls_recordings_and_people_go_through_their_lives_in_order() {
    let order = |kind: &str| match kind {
        "call.incoming" | "recording.started" => 1,
        "call.ringing" | "recording.ended" => 2,
        "call.connected" => 3,
        "call.dtmf" => 4,
        "call.hangup" => 5,
        other => panic!("{other} is no step of a life"),
    };
    let mut lives: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (kind, subject) in day(1) {
        lives.entry(subject).or_default().push(kind);
    }
    let mut whole = 0;
    for (subject, life) in lives {
        if subject.starts_with("call/") || subject.starts_with("recording/") {
            let steps: Vec<u32> = life.iter().map(|kind| order(kind)).collect();
            assert!(steps.is_sorted() && steps[0] == 1, "{subject}: {life:?}");
            whole += u32::from(steps.last() == Some(&5));
        } else if subject.starts_with("user/") {
            let alternates =
                life.iter().enumerate().all(|(at, kind)| (at % 2 == 0) == (kind == "user.login"));
            assert!(alternates, "{subject}: {life:?}");
        } else {
            assert!(subject.starts_with("stream/") && life.len() <= 2, "{subject}: {life:?}");
        }
    }
    assert!(whole > 50, "{whole} calls came to their end");
}

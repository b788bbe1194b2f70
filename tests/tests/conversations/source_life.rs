//! Sources over restarts, reloads and retention: what was open is known again, and ends when the PBX says that it has.

use offhook_core::ground::config::{ScopeRule, Source};
use offhook_core::log::record::Body;
use offhook_core::{Config, Seq};
use offhook_tests::ami::Pbx;
use offhook_tests::memory::World;

use crate::source_common::{Office, PBX, config, source};

const UP: &str = "source.up source/pbx version=22.10.0";

#[test]
fn a_restart_knows_what_was_open() {
    let mut office = Office::keeping(config(), Pbx::default());
    for id in ["1.0", "2.0", "3.0"] {
        office.begin(id);
    }
    office.end("3.0");
    office.events();
    office.pbx.end("1.0");
    office.pbx.begin("4.0");
    office.restart(config());
    office.dialed();
    // A beginning that was told is not told again.
    office.expect(&[UP, "call.hangup call/1.0 reason=resync", "call.incoming call/4.0 reason=resync"]);
    office.end("2.0");
    office.restart(config());
    office.dialed();
    office.expect(&[UP]);
}

/// The log's history is forgotten, what is open is not.
#[test]
fn what_is_open_outlives_the_history() {
    let mut office = Office::keeping(config(), Pbx::default());
    office.begin("1.0");
    office.begin("2.0");
    office.end("2.0");
    let through = Seq(office.world.records());
    office.begin("3.0");
    office.world.retire(through);
    office.end("3.0");
    office.pbx.end("1.0");
    office.restart(config());
    office.dialed();
    office.expect(&[UP, "call.hangup call/1.0 reason=resync"]);
}

#[test]
fn without_a_log_a_restart_begins_anew() {
    let mut office = Office::new(Pbx::default());
    office.begin("1.0");
    let records = office.world.kept_records();
    assert!(!records.iter().any(|(_, record)| matches!(record.body, Body::Change("source", _))));
    office.restart(config());
    office.dialed();
    assert!(office.events().contains(&"call.incoming call/1.0 reason=resync".to_owned()));
}

#[test]
fn a_reload_adds_changes_and_removes() {
    let mut office = Office::over(World::with(Config::default(), 1), Pbx::default());
    office.world.serve(PBX);
    office.world.jump(0);
    assert_eq!(office.world.take_dialed(), None);
    office.reload(&config());
    office.dialed();
    office.begin("1.0");
    office.expect(&[UP, "call.incoming call/1.0"]);
    // The same again: nothing happens.
    office.reload(&config());
    let line = office.line.unwrap();
    assert!(!office.world.is_ended(line));
    // Something else: a new connection, and the call that goes on is not told again.
    let scope = vec![ScopeRule { attributes: vec![("appid", "app".into())], ..ScopeRule::default() }];
    let changed = Config { sources: vec![Source { scope, ..source() }], ..Config::default() };
    office.reload(&changed);
    office.talk();
    assert!(office.world.is_ended(line));
    office.dialed();
    office.expect(&["source.down source/pbx reason=reload", UP]);
    // Gone: what is open ends.
    let line = office.line.unwrap();
    office.reload(&Config::default());
    office.expect(&["call.hangup call/1.0 reason=resync", "source.down source/pbx reason=removed"]);
    assert!(office.world.is_ended(line));
    assert!(office.world.stats().sources.is_empty());
    office.world.pass(100_000);
    assert_eq!(office.world.take_dialed(), None);
}

/// A source that is no longer in the config at a start: what it left open ends.
#[test]
fn what_a_source_left_behind_ends() {
    let mut office = Office::keeping(config(), Pbx::default());
    office.begin("1.0");
    office.restart(Config::default());
    let records = office.world.kept_records();
    let ends =
        records.iter().filter(|(_, record)| format!("{:?}", record.body).contains("call.hangup")).count();
    assert_eq!(ends, 1);
    // It is over for good.
    office.restart(Config::default());
    assert_eq!(office.world.kept_records().len(), records.len() + 1, "the start alone");
}

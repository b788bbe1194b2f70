//! What is kept of who did something: the actor of each record, and the audit log.

use offhook_core::hub::access::audit::{Audit, What};
use offhook_core::log::record::Body;
use offhook_tests::memory::World;
use offhook_tests::memory::write::{publish, request};

use crate::access_common::{ask, basic, bearer, list, token, user, with_users};
use crate::common::{COLLECTION, document, identifier, instance, ringing};

fn world() -> World {
    let mut config = with_users(&[user("ann", "sesame", &[])]);
    config.auth.tokens = vec![token("pbx", "p-1", "publish", &[]), token("operator", "a-1", "admin", &[])];
    World::keeping(config, 1)
}

/// Who caused the kept records, with what each is.
fn actors(world: &World) -> Vec<String> {
    let of = |body: &Body| match body {
        Body::Event(_) => "event",
        Body::Change(part, _) => *part,
        Body::Repeat { .. }
        | Body::Carried { .. }
        | Body::Epoch { .. }
        | Body::Retire { .. }
        | Body::Retired { .. } => "log",
    };
    let records = world.kept_records();
    records.iter().map(|(_, record)| format!("{}: {}", of(&record.body), record.header.actor)).collect()
}

const JSON: &str = "Content-Type: application/json\r\n";

#[test]
fn every_publish_and_change_names_its_actor() {
    let mut world = world();
    let peer = world.connect_from(0, "192.0.2.1:1");
    let before = actors(&world).len();
    let event = request("POST", "/v1/events", &format!("{JSON}{}", bearer("p-1")), ringing("1"));
    assert_eq!(ask(&mut world, peer, event).status, 202);
    let made = request("POST", COLLECTION, &basic("ann", "sesame"), document("<eventsubscribe/>"));
    let reply = ask(&mut world, peer, made);
    assert_eq!(reply.status, 201);
    let gone = request("DELETE", &instance(&identifier(&reply)), &basic("ann", "sesame"), "");
    assert_eq!(ask(&mut world, peer, gone).status, 204);
    let hook = r#"{"name":"crm","url":"https://crm.example.com/","types":["call.*"]}"#;
    let hook = request("POST", "/v1/webhooks", &format!("{JSON}{}", bearer("a-1")), hook);
    let reply = ask(&mut world, peer, hook);
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(
        actors(&world)[before..],
        [
            "event: pbx of 192.0.2.1",
            "xms: ann of 192.0.2.1",
            "xms: ann of 192.0.2.1",
            "outbox: operator of 192.0.2.1",
        ]
    );
}

#[test]
fn whoever_needs_no_name_is_an_address() {
    let mut world = World::new();
    assert_eq!(world.ask_alone(publish(ringing("1"))).status, 202);
    assert_eq!(actors(&world).last().map(String::as_str), Some("event: 127.0.0.1"));
}

fn lines(world: &mut World) -> Vec<String> {
    world.take_audit().iter().map(|line| serde_json::to_string(line).expect("JSON")).collect()
}

#[test]
fn refusals_and_changes_of_operators_are_audited() {
    let mut world = world();
    let peer = world.connect_from(0, "192.0.2.1:1");
    ask(&mut world, peer, list(&basic("ann", "wrong-1")));
    let operator = format!("{JSON}{}", bearer("a-1"));
    ask(&mut world, peer, request("POST", "/v1/dead-letters/redrive?x=secret", &operator, "{}"));
    ask(&mut world, peer, request("GET", "/v1/dead-letters", &operator, ""));
    ask(&mut world, peer, request("GET", "/v1/events?access_token=secret", "", ""));
    ask(&mut world, peer, list(&basic("ann", "sesame")));
    let lines = lines(&mut world);
    assert!(!lines.iter().any(|line| line.contains("secret") || line.contains("wrong-1")), "{lines:?}");
    assert_eq!(
        lines,
        [
            r#"{"time":"2015-11-03T14:37:11.000Z","what":"refused","dialect":"xms","address":"192.0.2.1","who":"ann","method":"GET","path":"/default/eventhandlers","status":401,"reason":"wrong password for \"ann\"; the password_hash of another one (passwd makes it) in [xms.app.app] users admits it"}"#,
            r#"{"time":"2015-11-03T14:37:11.000Z","what":"admin","dialect":"outbox","address":"192.0.2.1","who":"operator","method":"POST","path":"/v1/dead-letters/redrive"}"#,
            r#"{"time":"2015-11-03T14:37:11.000Z","what":"refused","dialect":"native","address":"192.0.2.1","method":"GET","path":"/v1/events","status":401,"reason":"it sent no token of [auth] tokens; [native] query_token = true admits one in the query of GET /v1/events"}"#,
        ]
    );
}

/// What is left out is told with the next line, and what operators do is never left out.
#[test]
fn a_flood_of_refusals_leaves_room() {
    let mut config = with_users(&[user("ann", "sesame", &[])]);
    config.auth.tokens = vec![token("operator", "a-1", "admin", &[])];
    config.limits.audits_per_s = 5;
    let mut world = World::with(config, 1);
    let peer = world.connect();
    for _ in 0..12 {
        ask(&mut world, peer, list(""));
    }
    let operator = format!("{JSON}{}", bearer("a-1"));
    ask(&mut world, peer, request("POST", "/v1/dead-letters/redrive", &operator, "{}"));
    let whats =
        |lines: &[Audit]| -> Vec<(What, Option<u64>)> { lines.iter().map(|l| (l.what, l.lines)).collect() };
    let expected = [vec![(What::Refused, None); 5], vec![(What::Admin, None)]].concat();
    assert_eq!(whats(&world.take_audit()), expected);
    world.pass(1_000);
    ask(&mut world, peer, list(""));
    assert_eq!(whats(&world.take_audit()), [(What::LeftOut, Some(7)), (What::Refused, None)]);
}

/// All that a peer said is cut, the name included.
#[test]
fn an_audit_line_is_short() {
    let mut config = with_users(&[user("ann", "sesame", &[])]);
    config.limits.note_chars = 20;
    let mut world = World::with(config, 1);
    let peer = world.connect();
    ask(&mut world, peer, list(&basic(&"ä".repeat(21), "x")));
    let audited = world.take_audit();
    let [line] = &audited[..] else { panic!("one line: {audited:?}") };
    assert_eq!(line.who.as_deref(), Some(&*"ä".repeat(20)));
    assert_eq!(line.path.as_deref(), Some("/default/eventhandle"));
    assert_eq!(line.reason.as_ref().map(|reason| reason.chars().count()), Some(20));
}

//! What only some may see (`only` of users and tokens): eventhandlers and who finds them, and, for every dialect that has
//! users, that no byte outside of a user's scope reaches its connection, whatever it asks for and however often it comes
//! back.

use offhook_core::ground::config::{Only, Token, User, XmsApp};
use offhook_core::{Completion, Config, Seq};
use offhook_tests::memory::read::{chunks, take_head};
use offhook_tests::memory::write::{publish, request};
use offhook_tests::memory::ws::upgrade;
use offhook_tests::memory::{Peer, World};
use proptest::prelude::*;
use serde_json::Value;

use crate::access_common::{ask, basic, bearer, list, scope, token, user, with_users};
use crate::common::{COLLECTION, document, event_xml, identifier, instance, one_each};
use crate::isymphony::EVENTS;

/// A dialect that has users, and how one of them reads.
#[derive(Clone, Copy)]
struct Reading {
    /// Lets `ann` in with `sesame`, within this scope.
    admit: fn(&mut Config, Only),
    /// She begins to read, or goes on, on a new connection; the last is her wish, one of [`WISHES`].
    read: fn(&mut World, Peer, &mut Vec<u8>, usize),
}

/// A dialect joins with a line.
const READINGS: [Reading; 3] = [
    Reading { admit: admit_to_native, read: read_native },
    Reading { admit: admit_to_xms, read: read_xms },
    Reading { admit: admit_to_isymphony, read: read_isymphony },
];

/// What a reader may ask for: everything, and ways to ask for the outside of its scope. Each dialect has so many.
const WISHES: usize = 3;

fn admit_to_native(config: &mut Config, only: Only) {
    config.auth.tokens = vec![Token { only, ..token("ann", "sesame", "read", &[]) }];
}

/// Resumes from the last id that came, else from the beginning.
fn read_native(world: &mut World, peer: Peer, seen: &mut Vec<u8>, wish: usize) {
    let text = String::from_utf8_lossy(seen);
    let last = text.rsplit('\n').find_map(|line| line.strip_prefix("id: ")).unwrap_or("a1-0");
    let filters = ["", "&data.username=eve&data.username=*", "&type=*&appid=other"][wish];
    let target = format!("/v1/events?last_event_id={last}{filters}");
    exchange(world, peer, request("GET", &target, &bearer("sesame"), ""), seen);
}

fn admit_to_xms(config: &mut Config, only: Only) {
    let users = [User { only, ..user("ann", "sesame", &[]) }];
    config.xms.apps = vec![XmsApp { name: "app".to_owned(), users: users.into(), ..XmsApp::default() }];
}

/// Reads the eventhandler that she made at first.
fn read_xms(world: &mut World, peer: Peer, seen: &mut Vec<u8>, wish: usize) {
    let credentials = basic("ann", "sesame");
    let wishes = [
        "<eventsubscribe/>",
        "<eventsubscribe/><eventsubscribe type=\"any\"/>",
        "<eventsubscribe type=\"dtmf\"/>",
    ];
    let body = document(wishes[wish]);
    let found = |seen: &[u8]| {
        let text = String::from_utf8_lossy(seen);
        text.split_once("identifier=\"").map(|(_, rest)| rest[..36].to_owned())
    };
    match found(seen) {
        None => exchange(world, peer, request("POST", COLLECTION, &credentials, body), seen),
        Some(id) => exchange(world, peer, request("PUT", &instance(&id), &credentials, body), seen),
    }
    let id = found(seen).expect("an eventhandler");
    exchange(world, peer, list(&credentials), seen);
    exchange(world, peer, request("GET", &instance(&id), &credentials, ""), seen);
}

fn admit_to_isymphony(config: &mut Config, only: Only) {
    config.isymphony.users = [User { only, ..user("ann", "sesame", &[]) }].into();
    // The reader answers no ping.
    config.isymphony.silence_ms = 3_600_000;
}

/// Opens a websocket; it gets what is new.
fn read_isymphony(world: &mut World, peer: Peer, seen: &mut Vec<u8>, wish: usize) {
    exchange(world, peer, upgrade(EVENTS, &basic("ann", "sesame")), seen);
    let filters = [
        "",
        r#"{"property":"username","value":"eve"},{"property":"username","value":"*"}"#,
        r#"{"property":"\u0000username","value":"eve"}"#,
    ][wish];
    let message = format!(r#"{{"type":"filter","correlationId":"1","filters":[{filters}]}}"#);
    let frame = world.masked(0x81, message);
    exchange(world, peer, frame, seen);
}

/// Sends a request, lets all checks be done, and keeps all that came.
fn exchange(world: &mut World, peer: Peer, request: Vec<u8>, seen: &mut Vec<u8>) {
    world.send(peer, request);
    world.finish_checks();
    seen.extend(world.take(peer));
}

/// An event, as it is published: the texts are JSON.
#[derive(Clone, Debug)]
struct Published {
    event_type: &'static str,
    appid: Option<&'static str>,
    username: Option<&'static str>,
    extension: Option<&'static str>,
}

impl Published {
    /// A field's text, if it has one.
    fn text(&self, name: &str) -> Option<String> {
        let json = match name {
            "type" => return Some(self.event_type.to_owned()),
            "appid" => return self.appid.map(str::to_owned),
            "username" => self.username?,
            "extension" => self.extension?,
            other => panic!("no scope here names {other}"),
        };
        match serde_json::from_str(json).expect("JSON") {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn is_within(&self, only: &Only) -> bool {
        only.0.iter().all(|(name, value)| self.text(name).as_ref() == Some(value))
    }

    /// Whether all dialects have it for the application of the test.
    fn is_plain(&self) -> bool {
        self.appid != Some("other") && !self.username.is_some_and(|json| json.starts_with('{'))
    }

    fn json(&self, mark: &str) -> String {
        let appid = self.appid.map(|appid| format!(r#""appid":"{appid}","#)).unwrap_or_default();
        let field = |name: &str, json: Option<&str>| {
            json.map(|json| format!(r#""{name}":{json},"#)).unwrap_or_default()
        };
        let data = field("username", self.username) + &field("extension", self.extension);
        let event_type = self.event_type;
        format!(
            r#"{{"type":"{event_type}",{appid}"subject":"call/{mark}","data":{{{data}"note":"{mark}"}}}}"#
        )
    }
}

fn event() -> impl Strategy<Value = Published> {
    let username = prop_oneof![
        4 => Just(Some(r#""mike""#)),
        2 => Just(Some(r#""mi\u006be""#)),
        4 => prop::sample::select(vec![
            None, Some(r#""eve""#), Some(r#""Mike""#), Some(r#""mike ""#), Some(r#""""#), Some(r#"{"mike":"mike"}"#),
        ]),
    ];
    let extension =
        prop::sample::select(vec![None, Some(r#""100""#), Some("100"), Some("100.0"), Some(r#""1000""#)]);
    let appid = prop::sample::select(vec![None, Some("app"), Some("other")]);
    let event_type = prop::sample::select(vec!["call.ringing", "call.dtmf"]);
    (event_type, appid, username, extension).prop_map(|(event_type, appid, username, extension)| Published {
        event_type,
        appid,
        username,
        extension,
    })
}

fn only() -> impl Strategy<Value = Only> {
    prop::sample::select(vec![
        scope(&[("username", "mike")]),
        scope(&[("username", "mike"), ("extension", "100")]),
        scope(&[("appid", "app")]),
        scope(&[("type", "call.ringing"), ("username", "mike")]),
    ])
}

#[derive(Clone, Debug)]
enum Step {
    Publish(Vec<Published>),
    Read(usize),
    Leave,
    Restart,
    Retire,
    Pass,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(event(), 1..6).prop_map(Step::Publish),
        4 => (0..WISHES).prop_map(Step::Read),
        2 => Just(Step::Leave),
        1 => Just(Step::Restart),
        1 => Just(Step::Retire),
        1 => Just(Step::Pass),
    ]
}

fn contains(bytes: &[u8], what: &str) -> bool {
    bytes.windows(what.len()).any(|window| window == what.as_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Live, from memory, from the log, and after a restart. What is within the scope comes, if everything is asked for.
    #[test]
    fn no_byte_outside_of_a_scope_reaches_its_reader(
        of in 0..READINGS.len(), only in only(), steps in prop::collection::vec(step(), 1..30),
    ) {
        let Reading { admit, read } = READINGS[of];
        let mut config = Config::default();
        config.limits.retained_events = 6;
        admit(&mut config, only.clone());
        let publisher = token("pbx", "p-1", "publish", &[]);
        config.auth.tokens.push(publisher);
        let mut world = World::keeping(config.clone(), 2);
        let (mut seen, mut reader): (Vec<u8>, Option<(Peer, usize)>) = (Vec::new(), None);
        for (number, step) in steps.into_iter().enumerate() {
            let mut wanted = Vec::new();
            match step {
                Step::Publish(events) => {
                    let one = |(at, event): (usize, &Published)| {
                        let within = event.is_within(&only);
                        let mark = format!("{}-{number}-{at}.", if within { "inside" } else { "outside" });
                        if within && event.is_plain() {
                            wanted.push(mark.clone());
                        }
                        event.json(&mark)
                    };
                    let batch: Vec<String> = events.iter().enumerate().map(one).collect();
                    let fields = format!("Content-Type: application/json\r\n{}", bearer("p-1"));
                    let from = world.connect_to(number % 2);
                    let reply = world.ask(from, request("POST", "/v1/events", &fields, format!("[{}]", batch.join(","))));
                    prop_assert_eq!(reply.status, 202, "{}", reply.text());
                    world.break_off(from);
                }
                Step::Read(wish) => if reader.is_none() {
                    let peer = world.connect_to(number % 2);
                    read(&mut world, peer, &mut seen, wish);
                    prop_assert!(!world.is_closed(peer));
                    reader = Some((peer, wish));
                },
                Step::Leave => if let Some((peer, _)) = reader.take() {
                    world.break_off(peer);
                },
                Step::Restart => {
                    reader = None;
                    world.restart(config.clone());
                }
                Step::Retire => {
                    let all = Seq(world.records());
                    world.retire(all);
                }
                Step::Pass => world.pass(20_000),
            }
            if let Some((peer, wish)) = reader {
                seen.extend(world.take(peer));
                let all_came = wanted.iter().all(|mark| contains(&seen, mark));
                prop_assert!(wish != 0 || all_came, "{wanted:?}: {}", String::from_utf8_lossy(&seen));
                // A websocket's client here answers no pings.
                reader = reader.filter(|(peer, _)| !world.is_closed(*peer));
            }
            prop_assert!(!contains(&seen, "outside"), "{}", String::from_utf8_lossy(&seen));
        }
    }
}

fn ringing_of(username: &str, call: &str) -> String {
    format!(r#"{{"type":"call.ringing","subject":"call/{call}","data":{{"username":"{username}"}}}}"#)
}

fn ringing_of_xml(username: &str, call: &str) -> String {
    event_xml("ringing", "call", call, &[("call_id", call), ("type", "RINGING"), ("username", username)])
}

/// `ann` sees what concerns mike, `bob` what concerns him, and `eve` everything.
fn three_users() -> Config {
    let mike = [("username", "mike")];
    with_users(&[user("ann", "a", &mike), user("bob", "b", &[("username", "bob")]), user("eve", "e", &[])])
}

/// Makes an eventhandler for everything.
fn make(world: &mut World, credentials: &str) -> String {
    let peer = world.connect();
    let reply = ask(world, peer, request("POST", COLLECTION, credentials, document("<eventsubscribe/>")));
    assert_eq!(reply.status, 201, "{}", reply.text());
    identifier(&reply)
}

/// Opens a stream, and takes what is replayed after its first keepalive.
fn replayed(world: &mut World, credentials: &str, id: &str) -> Vec<String> {
    let peer = world.connect();
    let mut came = Vec::new();
    exchange(world, peer, request("GET", &instance(id), credentials, ""), &mut came);
    assert_eq!(take_head(&mut came).map(|head| head.status), Some(200));
    one_each(&chunks(&came).chunks)[1..].to_vec()
}

/// The scope stands in the eventhandler's record, so neither a restart nor another user who may see more widens it.
#[test]
fn an_eventhandler_keeps_the_scope_of_who_made_it() {
    for retire in [false, true] {
        let mut world = World::keeping(three_users(), 1);
        let id = make(&mut world, &basic("ann", "a"));
        if retire {
            let all = Seq(world.records());
            world.retire(all);
        }
        world.restart(three_users());
        let batch = [ringing_of("mike", "1"), ringing_of("bob", "2"), ringing_of("mike", "3")].join(",");
        assert_eq!(world.ask_alone(publish(format!("[{batch}]"))).status, 202);
        let widened =
            request("PUT", &instance(&id), &basic("eve", "e"), document("<eventsubscribe type=\"any\"/>"));
        let peer = world.connect();
        assert_eq!(ask(&mut world, peer, widened).status, 200);
        let expected = [ringing_of_xml("mike", "1"), ringing_of_xml("mike", "3")];
        assert_eq!(replayed(&mut world, &basic("eve", "e"), &id), expected, "{retire}");
    }
}

/// Another user's eventhandler that delivers more is as if it were not there.
#[test]
fn users_find_the_eventhandlers_within_their_scope() {
    let mut world = World::with(three_users(), 1);
    let mut ids = Vec::new();
    for credentials in [basic("ann", "a"), basic("bob", "b"), basic("eve", "e")] {
        ids.push(make(&mut world, &credentials));
    }
    for (credentials, found) in [
        (basic("ann", "a"), [true, false, false]),
        (basic("bob", "b"), [false, true, false]),
        (basic("eve", "e"), [true, true, true]),
    ] {
        let peer = world.connect();
        let all = ask(&mut world, peer, list(&credentials));
        for (id, found) in ids.iter().zip(found) {
            assert_eq!(all.text().contains(id.as_str()), found, "{credentials}");
            let state = request("GET", &format!("{}&view=state", instance(id)), &credentials, "");
            assert_eq!(ask(&mut world, peer, state).status, if found { 200 } else { 404 });
            if !found {
                for method in ["GET", "PUT", "DELETE"] {
                    let reply = ask(&mut world, peer, request(method, &instance(id), &credentials, ""));
                    assert_eq!(reply.status, 404, "{method}");
                }
            }
        }
    }
}

/// Whoever's scope was narrowed in the config file loses the eventhandlers that deliver more.
#[test]
fn a_narrower_scope_holds_from_the_next_request() {
    let mut world = World::with(with_users(&[user("ann", "a", &[])]), 1);
    let id = make(&mut world, &basic("ann", "a"));
    let config = with_users(&[user("ann", "a", &[("username", "mike")])]);
    world.tell(|| Completion::Reloaded(Box::new(config.clone())));
    let peer = world.connect();
    let reply = ask(&mut world, peer, request("GET", &instance(&id), &basic("ann", "a"), ""));
    assert_eq!(reply.status, 404);
}

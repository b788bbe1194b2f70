//! SIP subscriptions over HTTP with a notifier at the other end: what it tells reaches documents, callbacks and streams.

use offhook_core::ground::config::{SipListener, SipTransport};
use offhook_core::{Completion, Config};
use offhook_tests::memory::World;
use offhook_tests::sip::notifier::Notifier;

use offhook_tests::memory::write::get;

use crate::common::assert_problem;
use crate::sep_common::{self, JSON, SEP, create_with, json, notify, one_call, subscribe, xml};

const PEER: &str = "192.0.2.70:5060";
const REGINFO: &str = "application/reginfo+xml";

/// SEP with a UDP socket, and a proxy that is the notifier.
pub(crate) fn config() -> Config {
    let mut config = sep_common::config();
    let address = "192.0.2.1:5060".parse().expect("an address");
    config.sip.listen.push(SipListener { transport: SipTransport::Udp, address, tls: None });
    config.sip.proxy = Some(format!("sip:{PEER}").into());
    config
}

/// Carries datagrams until nobody has anything to say.
pub(crate) fn converse(world: &mut World, notifier: &mut Notifier) {
    loop {
        let sent = world.take_datagrams();
        if sent.is_empty() {
            return;
        }
        for datagram in sent {
            assert_eq!(datagram.to, PEER.parse().expect("an address"));
            let said = notifier.receive(&datagram.bytes);
            said.iter().for_each(|bytes| world.datagram(PEER, 0, bytes));
        }
    }
}

pub(crate) fn change(world: &mut World, notifier: &mut Notifier, uri: &str, content_type: &str, body: &str) {
    let said = notifier.change(uri, content_type, body.as_bytes());
    said.iter().for_each(|bytes| world.datagram(PEER, 0, bytes));
    converse(world, notifier);
}

fn reginfo(version: u32, contact: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"{version}\" \
         state=\"full\"><registration aor=\"sip:bill@example.com\" id=\"a7\" state=\"active\">\
         <contact id=\"76\" state=\"active\" event=\"registered\"><uri>{contact}</uri></contact>\
         </registration></reginfo>"
    )
}

pub(crate) fn document(world: &mut World, path: &str) -> String {
    world.ask_alone(get(path)).text().to_owned()
}

pub(crate) const BILL: &str = "sip:bill@example.com";

/// A world with a notifier, and a subscription to one resource that has callbacks.
pub(crate) fn subscribed(config: Config, event: &str) -> (World, Notifier, String) {
    let mut world = sep_common::world_with(config, 1);
    let mut notifier = Notifier::new(PEER);
    let path = create_with(&mut world, &subscribe(event, &[BILL], &notify()));
    converse(&mut world, &mut notifier);
    (world, notifier, path)
}

/// Takes the one callback and answers it; its version and text.
#[track_caller]
pub(crate) fn called(world: &mut World) -> (u64, String) {
    let (made, head) = one_call(world);
    world.answer(&made, 200);
    (head.version(), head.text().to_owned())
}

/// Time passes, and the notifier answers at once whatever comes.
fn pass(world: &mut World, notifier: &mut Notifier, ms: u64) {
    let end = world.now().mono.plus_ms(ms);
    while world.now().mono < end {
        let next = world.next_deadline().map_or(end, |next| next.min(end));
        world.pass(next.since(world.now().mono).max(1));
        converse(world, notifier);
    }
}

#[test]
fn s30_each_change_makes_one_callback_and_versions_rise_by_one() {
    let (mut world, mut notifier, path) = subscribed(config(), "reg");
    assert_eq!((notifier.dialogs(), notifier.taken), (1, 1));
    // The first NOTIFY was empty: the instance is there, and nobody was called (S29).
    let text = document(&mut world, &path);
    assert!(text.contains("version=\"0\"") && text.contains("state=\"active\"/>"), "{text}");
    assert!(world.take_calls().is_empty());
    for (version, contact) in [(1, "sip:bill@a.test"), (2, "sip:bill@b.test")] {
        change(&mut world, &mut notifier, BILL, REGINFO, &reginfo(version, contact));
        let (told, text) = called(&mut world);
        assert_eq!(told, u64::from(version));
        assert!(text.contains(contact) && text.contains("fullState=\"true\""), "{text}");
        assert_eq!(text, document(&mut world, &path));
        // The same once more is no change.
        change(&mut world, &mut notifier, BILL, REGINFO, &reginfo(version, contact));
        assert!(world.take_calls().is_empty());
        assert_eq!(text, document(&mut world, &path));
    }
    assert_eq!(notifier.refused, 0);
}

#[test]
fn nobody_is_asked_but_the_targets() {
    let mut config = config();
    config.sip.targets = vec!["example.com".parse().unwrap()];
    let mut world = sep_common::world_with(config, 1);
    let mut notifier = Notifier::new(PEER);
    let uris = [BILL, "sip:joe@example.org", "sip:ted@example.com;maddr=192.0.2.80"];
    let path = create_with(&mut world, &subscribe("reg", &uris, &notify()));
    converse(&mut world, &mut notifier);
    assert_eq!(notifier.dialogs(), 1);
    let text = document(&mut world, &path);
    let times = |words: &str| text.matches(words).count();
    assert_eq!(times("state=\"active\""), 1, "{text}");
    let refused = "state=\"terminated\" reason=\"rejected\"";
    assert_eq!((times(refused), times("sep:status=\"403\"/>")), (2, 2), "{text}");
    // The second follows the first within 50 ms, and is gathered.
    assert_eq!(called(&mut world).0, 1);
    pass(&mut world, &mut notifier, 50);
    assert_eq!(called(&mut world).0, 2);

    // In JSON the setting is named, and nothing is made or changed.
    let wish = |uri: &str| serde_json::json!({"package": "reg", "uris": [BILL, uri]});
    for request in [
        json("POST", JSON, &wish(uris[1])),
        json("POST", JSON, &wish(uris[2])),
        json("PUT", &path.replace(SEP, JSON), &wish(uris[1])),
    ] {
        let problem = assert_problem(&world.ask_alone(request), 422);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with("entry 2: [sip] targets does not list the host of \"sip:"), "{detail}");
    }
    assert_eq!(world.ask_alone(json("POST", JSON, &wish("sip:ann@EXAMPLE.com"))).status, 201);
    converse(&mut world, &mut notifier);
    assert_eq!(notifier.dialogs(), 3);
}

#[test]
fn changes_are_events_of_the_server() {
    let (mut world, mut notifier, _) = subscribed(config(), "reg");
    let stream = world.connect();
    world.send(stream, get("/v1/events?type=sip.*"));
    change(&mut world, &mut notifier, BILL, REGINFO, &reginfo(1, "sip:bill@a.test"));
    let text = String::from_utf8(world.take(stream)).unwrap();
    assert_eq!(text.matches("\"type\":\"sip.reg\"").count(), 1, "{text}");
    for fact in [
        "\"aor\":\"sip:bill@example.com\"",
        "\"contact_uri\":\"sip:bill@a.test\"",
        "\"contact_state\":\"active\"",
    ] {
        assert!(text.contains(fact), "{fact}: {text}");
    }
    change(&mut world, &mut notifier, BILL, REGINFO, &reginfo(1, "sip:bill@a.test"));
    let text = String::from_utf8(world.take(stream)).unwrap();
    assert!(!text.contains("sip.reg"), "{text}");
}

#[test]
fn s37_a_delete_unsubscribes_and_the_last_callback_says_so() {
    let (mut world, mut notifier, path) = subscribed(config(), "reg");
    change(&mut world, &mut notifier, BILL, REGINFO, &reginfo(1, "sip:bill@a.test"));
    called(&mut world);
    assert_eq!(world.ask_alone(xml("DELETE", &path, "")).status, 204);
    assert_eq!(world.ask_alone(get(&path)).status, 410);
    converse(&mut world, &mut notifier);
    assert_eq!(notifier.dialogs(), 0);
    let (version, text) = called(&mut world);
    assert_eq!(version, 2);
    assert!(
        text.contains("ended=\"deleted\"") && text.contains("state=\"terminated\" reason=\"timeout\""),
        "{text}"
    );
    assert!(!text.contains("bill@a.test"), "{text}");
}

#[test]
fn s38_an_expiry_unsubscribes() {
    let mut world = sep_common::world_with(config(), 1);
    let mut notifier = Notifier::new(PEER);
    let expires = format!("{}<expires>2026-01-01T02:00:00Z</expires>", notify());
    let path = create_with(&mut world, &subscribe("reg", &[BILL], &expires));
    converse(&mut world, &mut notifier);
    // Refreshed on the way there (S13).
    pass(&mut world, &mut notifier, 3_700_000);
    assert!(notifier.asked >= 2 && notifier.dialogs() == 1);
    pass(&mut world, &mut notifier, 3_500_000);
    assert_eq!(notifier.dialogs(), 0);
    assert_eq!(world.ask_alone(get(&path)).status, 410);
    let (_, text) = called(&mut world);
    assert!(text.contains("ended=\"expired\""), "{text}");
}

#[test]
fn s35_a_new_list_changes_the_difference_only() {
    let (mut world, mut notifier, path) = subscribed(config(), "reg");
    let put = subscribe("", &[BILL, "sip:joe@example.org"], "");
    assert_eq!(world.ask_alone(xml("PUT", &path, &put)).status, 200);
    converse(&mut world, &mut notifier);
    assert_eq!((notifier.dialogs(), notifier.asked), (2, 2), "the dialog that was there is kept");
    let put = subscribe("", &["sip:joe@example.org"], "");
    assert_eq!(world.ask_alone(xml("PUT", &path, &put)).status, 200);
    converse(&mut world, &mut notifier);
    assert_eq!(notifier.dialogs(), 1);
    let text = document(&mut world, &path);
    assert!(text.contains("joe@example.org") && !text.contains("bill@example.com"), "{text}");
}

#[test]
fn s13_a_refresh_asks_for_what_a_put_accepts() {
    let (mut world, mut notifier, path) = subscribed(config(), "reg");
    let put = subscribe("", &[], "<accept>application/reginfo+xml</accept><accept>text/plain</accept>");
    assert_eq!(world.ask_alone(xml("PUT", &path, &put)).status, 200);
    assert_eq!(notifier.last_accept, "application/reginfo+xml");
    pass(&mut world, &mut notifier, 3_600_000);
    assert_eq!((notifier.dialogs(), &*notifier.last_accept), (1, "application/reginfo+xml, text/plain"));
}

#[test]
fn an_end_is_shown_until_there_is_a_new_instance() {
    let (mut world, mut notifier, path) = subscribed(config(), "reg");
    change(&mut world, &mut notifier, BILL, REGINFO, &reginfo(1, "sip:bill@a.test"));
    called(&mut world);
    let stream = world.connect();
    world.send(stream, get("/v1/events?type=sip.*"));
    for said in notifier.end(BILL, "terminated;reason=probation;retry-after=7") {
        world.datagram(PEER, 0, said);
    }
    let (version, text) = called(&mut world);
    assert!(version == 2 && text.contains("state=\"terminated\" reason=\"probation\""), "{text}");
    pass(&mut world, &mut notifier, 6_000);
    assert_eq!((notifier.dialogs(), document(&mut world, &path).contains("terminated")), (0, true));
    // The new dialog shows the same document: that is news, because the last that was told is an end.
    pass(&mut world, &mut notifier, 1_500);
    let (version, text) = called(&mut world);
    assert_eq!((version, notifier.dialogs()), (3, 1));
    assert!(text.contains("bill@a.test") && !text.contains("terminated"), "{text}");
    // But nothing has changed at the resource.
    let events = String::from_utf8(world.take(stream)).unwrap();
    assert!(!events.contains("sip.reg"), "{events}");
}

#[test]
fn s20_a_refused_entry_leaves_the_others_alone() {
    let mut world = sep_common::world_with(config(), 1);
    let mut notifier = Notifier::new(PEER);
    notifier.refuse("sip:ted@example.net", 404);
    let path = create_with(&mut world, &subscribe("reg", &[BILL, "sip:ted@example.net"], &notify()));
    converse(&mut world, &mut notifier);
    let (version, text) = called(&mut world);
    assert_eq!(version, 1);
    assert!(text.contains("reason=\"noresource\"") && text.contains("status=\"404\""), "{text}");
    change(&mut world, &mut notifier, BILL, REGINFO, &reginfo(1, "sip:bill@a.test"));
    let text = document(&mut world, &path);
    assert!(text.contains("bill@a.test") && text.contains("noresource"), "{text}");
}

#[test]
fn a_document_that_is_full_leaves_bodies_out() {
    let mut limited = config();
    limited.limits.sep_document_bytes = 400;
    let mut world = sep_common::world_with(limited, 1);
    let mut notifier = Notifier::new(PEER);
    let joe = "sip:joe@example.org";
    let path = create_with(&mut world, &subscribe("reg", &[BILL, joe], ""));
    pass(&mut world, &mut notifier, 100);
    change(&mut world, &mut notifier, BILL, REGINFO, &reginfo(1, "sip:bill@a.test"));
    change(&mut world, &mut notifier, joe, REGINFO, &reginfo(1, "sip:joe@a.test"));
    let text = document(&mut world, &path);
    assert!(text.contains("bill@a.test") && !text.contains("joe@a.test"), "{text}");
    assert_eq!(text.matches("state=\"active\"/>").count(), 1, "{text}");
    assert!(world.take_notes().iter().any(|note| note.text.contains("the document is full")));
    // Its place is not taken for good.
    change(&mut world, &mut notifier, BILL, "text/plain", "short");
    change(&mut world, &mut notifier, joe, REGINFO, &reginfo(2, "sip:joe@a.test"));
    assert!(document(&mut world, &path).contains("joe@a.test"));
}

#[test]
fn s33_a_410_ends_the_subscription_at_the_notifier_too() {
    let (mut world, mut notifier, path) = subscribed(config(), "reg");
    change(&mut world, &mut notifier, BILL, REGINFO, &reginfo(1, "sip:bill@a.test"));
    let (made, _) = one_call(&mut world);
    world.answer(&made, 410);
    converse(&mut world, &mut notifier);
    assert_eq!((notifier.dialogs(), world.ask_alone(get(&path)).status), (0, 410));
    assert!(world.take_calls().is_empty());
}

#[test]
fn s46_a_restart_goes_on_with_the_dialogs() {
    for retired in [false, true] {
        go_on_with_the_dialogs(retired);
    }
}

/// `retired`: the records that told of the dialogs have left the log, which carries what must stay.
fn go_on_with_the_dialogs(retired: bool) {
    let (mut world, mut notifier, path) = subscribed(config(), "reg");
    change(&mut world, &mut notifier, BILL, REGINFO, &reginfo(1, "sip:bill@a.test"));
    called(&mut world);
    let before = document(&mut world, &path);
    if retired {
        let last = world.kept_records().last().expect("records").0;
        world.retire(last);
    }
    world.restart(config());
    world.serve(sep_common::CALLBACK_ADDRESS);
    assert_eq!(document(&mut world, &path), before, "the last state is there at once");
    converse(&mut world, &mut notifier);
    assert_eq!((notifier.dialogs(), notifier.asked, notifier.refused), (1, 2, 0), "refreshed in its dialog");
    assert!(world.take_calls().is_empty(), "nothing has changed meanwhile");
    change(&mut world, &mut notifier, BILL, REGINFO, &reginfo(2, "sip:bill@b.test"));
    // Versions rise by more: what was told before a crash may be lost, and no number is given twice.
    assert_eq!(called(&mut world).0, 1_002);
    // The notifier has lost its dialogs: a new one is made.
    notifier.restart();
    if retired {
        let last = world.kept_records().last().expect("records").0;
        world.retire(last);
    }
    world.restart(config());
    world.serve(sep_common::CALLBACK_ADDRESS);
    converse(&mut world, &mut notifier);
    pass(&mut world, &mut notifier, 6_000);
    assert_eq!(notifier.dialogs(), 1);
    assert!(document(&mut world, &path).contains("bill@b.test"));
}

/// What a PUT took off is ended at its notifier, even if the server stops before that was done.
#[test]
fn s46_a_restart_ends_what_was_taken_off() {
    let (mut world, mut notifier, path) = subscribed(config(), "reg");
    let put = subscribe("", &["sip:joe@example.org"], "");
    assert_eq!(world.ask_alone(xml("PUT", &path, &put)).status, 200);
    // Nothing of that reached the notifier.
    world.take_datagrams();
    world.restart(config());
    pass(&mut world, &mut notifier, 2_000);
    assert_eq!(notifier.dialogs(), 1, "the one that is wanted");
    let text = document(&mut world, &path);
    assert!(text.contains("joe@example.org") && !text.contains("bill@example.com"), "{text}");
}

/// What a PUT brought back while its dialog before was being ended has one dialog after a start, and that is the new one.
#[test]
fn s46_a_restart_goes_on_with_what_was_brought_back() {
    let (mut world, mut notifier, path) = subscribed(config(), "reg");
    change(&mut world, &mut notifier, BILL, REGINFO, &reginfo(1, "sip:bill@a.test"));
    let put = |uri: &str| xml("PUT", &path, &subscribe("", &[uri], ""));
    assert_eq!(world.ask_alone(put("sip:joe@example.org")).status, 200);
    // Nothing of that reached the notifier.
    world.take_datagrams();
    assert_eq!(world.ask_alone(put(BILL)).status, 200);
    pass(&mut world, &mut notifier, 100);
    assert_eq!(notifier.dialogs_of(BILL), 2);
    change(&mut world, &mut notifier, BILL, REGINFO, &reginfo(2, "sip:bill@b.test"));
    for _ in 0..2 {
        world.take_datagrams();
        world.restart(config());
        world.serve(sep_common::CALLBACK_ADDRESS);
    }
    pass(&mut world, &mut notifier, 2_000);
    assert_eq!((notifier.dialogs_of(BILL), notifier.dialogs(), notifier.refused), (1, 1, 0));
    change(&mut world, &mut notifier, BILL, REGINFO, &reginfo(3, "sip:bill@c.test"));
    let text = document(&mut world, &path);
    assert!(text.contains("bill@c.test") && text.matches("<instance ").count() == 1, "{text}");
}

#[test]
fn one_notify_makes_no_more_events_than_it_may() {
    let mut limited = config();
    limited.limits.sep_items = 2;
    let (mut world, mut notifier, _) = subscribed(limited, "reg");
    let stream = world.connect();
    world.send(stream, get("/v1/events?type=sip.*"));
    let contacts: String = (0..4)
        .map(|n| {
            format!("<contact id=\"{n}\" state=\"active\" event=\"created\"><uri>sip:{n}@a</uri></contact>")
        })
        .collect();
    let document = format!(
        "<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"0\" state=\"full\">\
         <registration aor=\"{BILL}\" id=\"a\" state=\"active\">{contacts}</registration></reginfo>"
    );
    change(&mut world, &mut notifier, BILL, REGINFO, &document);
    let text = String::from_utf8(world.take(stream)).expect("text");
    assert_eq!(text.matches("sip.reg").count(), 2, "{text}");
    assert!(world.take_notes().iter().any(|note| note.text.contains("2 of 4 changes")));
}

#[test]
fn s46_without_a_log_a_stop_leaves_nothing_behind() {
    let mut world = World::with(config(), 1);
    let mut notifier = Notifier::new(PEER);
    create_with(&mut world, &subscribe("reg", &[BILL, "sip:joe@example.org"], ""));
    // Requests keep the pace: one in 20 ms.
    pass(&mut world, &mut notifier, 100);
    assert_eq!(notifier.dialogs(), 2);
    world.tell(|| Completion::Stop);
    assert!(!world.is_drained());
    pass(&mut world, &mut notifier, 100);
    assert_eq!(notifier.dialogs(), 0);
    assert!(world.is_drained());
}

#[test]
fn s46_a_stop_goes_as_fast_as_it_must() {
    let mut world = World::with(config(), 1);
    let mut notifier = Notifier::new(PEER);
    let uris: Vec<String> = (0..200).map(|n| format!("sip:user{n}@example.com")).collect();
    let uris: Vec<&str> = uris.iter().map(String::as_str).collect();
    for _ in 0..4 {
        create_with(&mut world, &subscribe("reg", &uris, ""));
    }
    pass(&mut world, &mut notifier, 20_000);
    assert_eq!(notifier.dialogs(), 800);
    world.tell(|| Completion::Stop);
    // At 50 a second this would take 16 s.
    pass(&mut world, &mut notifier, 4_000);
    assert_eq!(notifier.dialogs(), 0);
    assert!(world.is_drained());
}

#[test]
fn s46_a_silent_notifier_keeps_nobody_from_stopping() {
    let mut world = World::with(config(), 1);
    let mut notifier = Notifier::new(PEER);
    create_with(&mut world, &subscribe("reg", &[BILL], ""));
    converse(&mut world, &mut notifier);
    world.tell(|| Completion::Stop);
    world.pass(4_900);
    assert!(!world.is_drained());
    world.pass(200);
    assert!(world.is_drained());
}

#[test]
fn any_shard_answers() {
    let mut world = sep_common::world_with(config(), 3);
    let mut notifier = Notifier::new(PEER);
    let other = world.connect_to(2);
    let reply = world.ask(other, xml("POST", sep_common::SEP, &subscribe("reg", &[BILL], "")));
    let path = sep_common::path_of(&reply);
    converse(&mut world, &mut notifier);
    change(&mut world, &mut notifier, BILL, REGINFO, &reginfo(1, "sip:bill@a.test"));
    for shard in 0..3 {
        let peer = world.connect_to(shard);
        let text = world.ask(peer, get(&path)).text().to_owned();
        assert!(text.contains("version=\"1\" fullState") && text.contains("bill@a.test"), "{text}");
    }
    let peer = world.connect_to(1);
    assert_eq!(world.ask(peer, xml("DELETE", &path, "")).status, 204);
    converse(&mut world, &mut notifier);
    assert_eq!(notifier.dialogs(), 0);
}

/// What an engine that is ahead of the log was told of an entry is not that of one which took its place.
#[test]
fn an_entry_that_is_listed_again_is_another_one_for_all_engines() {
    let mut world = sep_common::world_with(config(), 2);
    let mut notifier = Notifier::new(PEER);
    let joe = "sip:joe@example.org";
    let path = create_with(&mut world, &subscribe("reg", &[BILL, joe], &notify()));
    pass(&mut world, &mut notifier, 100);
    // The engine that speaks SIP does not know yet that the entry was taken off and listed again.
    world.hold_records(0);
    let peer = world.connect_to(1);
    for uris in [&[joe][..], &[joe, BILL]] {
        assert_eq!(world.ask(peer, xml("PUT", &path, &subscribe("", uris, ""))).status, 200);
    }
    for bytes in notifier.change(BILL, REGINFO, reginfo(1, "sip:bill@old.test").as_bytes()) {
        world.datagram(PEER, 0, bytes);
    }
    world.release_records(0);
    let documents = [0, 1].map(|shard| {
        let peer = world.connect_to(shard);
        world.ask(peer, get(&path)).text().to_owned()
    });
    assert_eq!(documents[0], documents[1]);
    assert!(!documents[0].contains("bill@old.test"), "{}", documents[0]);
    // It goes on with the dialog of the new entry.
    pass(&mut world, &mut notifier, 1_000);
    change(&mut world, &mut notifier, BILL, REGINFO, &reginfo(1, "sip:bill@new.test"));
    for shard in 0..2 {
        let peer = world.connect_to(shard);
        assert!(world.ask(peer, get(&path)).text().contains("bill@new.test"));
    }
}

/// A callback for which the outbox had no room leaves after a restart, with the last state.
#[test]
fn s50_a_restart_owes_callbacks_still() {
    let mut full = config();
    full.outbox.pending_bytes = 0;
    let (mut world, mut notifier, path) = subscribed(full, "reg");
    for (version, contact) in [(1, "sip:bill@a.test"), (2, "sip:bill@b.test")] {
        change(&mut world, &mut notifier, BILL, REGINFO, &reginfo(version, contact));
    }
    assert!(world.take_calls().is_empty(), "there is no room");
    let before = document(&mut world, &path);
    world.restart(config());
    world.serve(sep_common::CALLBACK_ADDRESS);
    pass(&mut world, &mut notifier, 1_100);
    assert_eq!(called(&mut world), (2, before));
    // It is owed no longer.
    world.restart(config());
    world.serve(sep_common::CALLBACK_ADDRESS);
    pass(&mut world, &mut notifier, 10_000);
    assert!(world.take_calls().is_empty());
}

/// Changes of different resources that come close together share a callback (sep.md 2.6); those of one never do.
#[test]
fn s30_changes_of_several_resources_share_a_callback() {
    let mut world = sep_common::world_with(config(), 1);
    let mut notifier = Notifier::new(PEER);
    let uris = [BILL, "sip:joe@example.org", "sip:ted@example.net"];
    let [_, joe, ted] = uris;
    let path = create_with(&mut world, &subscribe("presence", &uris, &notify()));
    pass(&mut world, &mut notifier, 200);
    let tell = |world: &mut World, notifier: &mut Notifier, uri: &str, text: &str| {
        change(world, notifier, uri, "text/plain", text);
    };
    // The first one waits for nobody.
    tell(&mut world, &mut notifier, BILL, "bill 1");
    assert_eq!(called(&mut world).0, 1);
    tell(&mut world, &mut notifier, joe, "joe 1");
    pass(&mut world, &mut notifier, 20);
    tell(&mut world, &mut notifier, ted, "ted 1");
    assert!(world.take_calls().is_empty() && document(&mut world, &path).contains("version=\"3\" fullState"));
    pass(&mut world, &mut notifier, 30);
    let (version, text) = called(&mut world);
    assert!(version == 3 && text.contains("joe 1") && text.contains("ted 1"), "{text}");
    // One that has changed before makes a callback of its own, in order.
    tell(&mut world, &mut notifier, BILL, "bill 2");
    assert!(world.take_calls().is_empty());
    tell(&mut world, &mut notifier, BILL, "bill 3");
    let (version, text) = called(&mut world);
    assert!(version == 4 && text.contains("bill 2"), "{text}");
    let (version, text) = called(&mut world);
    assert!(version == 5 && text.contains("bill 3"), "{text}");
    // What is gathered is told after a crash, too.
    tell(&mut world, &mut notifier, joe, "joe 2");
    assert!(world.take_calls().is_empty());
    world.restart(config());
    world.serve(sep_common::CALLBACK_ADDRESS);
    pass(&mut world, &mut notifier, 1_100);
    let (_, text) = called(&mut world);
    assert!(text.contains("joe 2"), "{text}");
    pass(&mut world, &mut notifier, 10_000);
    assert!(world.take_calls().is_empty());
}

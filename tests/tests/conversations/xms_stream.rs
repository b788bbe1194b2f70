//! XMS streams, byte for byte (xms.md 2.5 to 2.7). Numbers in names are those of the checklist.

use offhook_core::Config;
use offhook_core::ground::config::XmsApp;
use offhook_core::ground::stats::NotSent;
use offhook_core::hub::action::Level;
use offhook_tests::memory::World;
use offhook_tests::memory::read::xms_events;
use offhook_tests::memory::write::{get, request};
use proptest::prelude::*;

use crate::common::{
    CALL, EVERYTHING, KEEPALIVE, KEEPALIVE_XML, create, document, event_xml, frame, identifier, instance,
    listen, publish_all, put_handler, ringing, ringing_xml, xml,
};

fn not_sent(world: &World, reason: NotSent) -> u64 {
    world.stats().dialects.get("xms").and_then(|xms| xms.not_sent.get(&reason).copied()).unwrap_or(0)
}

/// The data of the only event that came.
fn data_of(world: &mut World, event: &str) -> String {
    let id = create(world, EVERYTHING);
    let stream = listen(world, &id);
    publish_all(world, &[event.to_owned()]);
    let events = xml(world, stream);
    assert_eq!(events.len(), 1, "{event}");
    let data = events[0].splitn(3, "\">\r\n").nth(2).expect("an event has data");
    data.strip_suffix("</event>\r\n</web_service>").expect("an event ends so").to_owned()
}

#[test]
fn x12_without_subscriptions_only_keepalives_arrive() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &id);
    let reply = world.ask_alone(put_handler(&id, "<eventsubscribe action=\"remove\"/>"));
    assert_eq!(reply.status, 200);
    let bare = create(&mut world, "<eventsubscribe action=\"remove\"/>");
    let never = listen(&mut world, &bare);
    publish_all(&mut world, &[ringing("1"), ringing("2")]);
    world.pass(30_000);
    for peer in [stream, never] {
        assert_eq!(xml(&mut world, peer), [KEEPALIVE_XML; 3]);
    }
}

#[test]
fn x14_delete_ends_every_stream_after_what_is_queued() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let streams = [listen(&mut world, &id), listen(&mut world, &id)];
    let other = create(&mut world, EVERYTHING);
    let bystander = listen(&mut world, &other);
    for stream in streams {
        world.limit_room(stream, 100);
    }
    publish_all(&mut world, &[ringing("1"), ringing("2")]);
    // The 204 does not wait for the streams.
    assert_eq!(world.ask_alone(request("DELETE", &instance(&id), "", "")).status, 204);
    publish_all(&mut world, &[ringing("3")]);
    for stream in streams {
        world.lift_limit(stream);
        let chunks = world.chunks(stream);
        assert!(chunks.ended && chunks.rest.is_empty(), "a clean end and nothing behind it: {chunks:?}");
        assert_eq!(xms_events(&chunks.content()), [ringing_xml("1"), ringing_xml("2")], "no inner 0 line");
        assert!(world.is_finished(stream));
    }
    assert_eq!(xml(&mut world, bystander).len(), 3);
}

#[test]
fn x14_delete_waits_two_seconds_for_a_reader_that_takes_nothing() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &id);
    world.limit_room(stream, 100);
    publish_all(&mut world, &[ringing("1")]);
    assert_eq!(world.ask_alone(request("DELETE", &instance(&id), "", "")).status, 204);
    world.pass(1_999);
    assert!(!world.is_closed(stream));
    world.pass(1);
    assert!(world.is_closed(stream) && world.received(stream).len() == 100);
}

#[test]
fn a_stop_ends_streams_cleanly() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &id);
    world.limit_room(stream, 10);
    publish_all(&mut world, &[ringing("1")]);
    world.tell(|| offhook_core::Completion::Stop);
    world.lift_limit(stream);
    let expected = frame(&ringing_xml("1")) + "0\r\n\r\n";
    assert_eq!(String::from_utf8(world.take(stream)).unwrap(), expected);
    world.end(stream);
    assert!(world.is_drained());
}

#[test]
fn x17_x18_the_head_and_the_first_bytes() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let peer = world.connect();
    world.send(peer, get(&instance(&id)));
    let received = String::from_utf8(world.take(peer)).unwrap();
    let (head, body) = received.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.split("\r\n").collect();
    assert_eq!(lines.remove(0), "HTTP/1.1 200 OK");
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "Content-Type: text/plain",
            "Date: Tue, 03 Nov 2015 14:37:11 GMT",
            "Server: offhook",
            "Transfer-Encoding: chunked"
        ]
    );
    assert_eq!(body, KEEPALIVE);
}

#[test]
fn x19_keepalives_come_every_ten_seconds_from_the_opening() {
    let mut world = World::new();
    let id = create(&mut world, "<eventsubscribe type=\"end_play\"/>");
    let stream = listen(&mut world, &id);
    for _ in 0..3 {
        world.pass(9_999);
        assert!(world.received(stream).is_empty());
        world.pass(1);
        assert_eq!(world.take(stream), KEEPALIVE.as_bytes());
    }
    // Events change nothing about their time.
    world.pass(5_000);
    publish_all(&mut world, &[r#"{"type":"media.end_play","subject":"call/1"}"#.to_owned()]);
    assert_eq!(xml(&mut world, stream).len(), 1);
    world.pass(4_999);
    assert!(world.received(stream).is_empty());
    world.pass(1);
    assert_eq!(world.take(stream), KEEPALIVE.as_bytes());
    // After a loop was held up there is one, and the next is in step again.
    world.jump(34_000);
    assert_eq!(world.take(stream), KEEPALIVE.as_bytes());
    world.pass(6_000);
    assert_eq!(world.take(stream), KEEPALIVE.as_bytes());
}

#[test]
fn x19_keepalives_follow_the_configuration() {
    let mut config = Config::default();
    config.xms.keepalive_ms = 1_500;
    let mut world = World::with(config, 1);
    let id = create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &id);
    world.pass(1_499);
    assert!(world.received(stream).is_empty());
    world.pass(3_001);
    assert_eq!(xml(&mut world, stream), [KEEPALIVE_XML; 3]);
}

#[test]
fn x20_x25_the_four_examples() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &id);
    let media = "5a0a4d5c-3f4e-4a52-9d7f-0a2f0c6e1b11";
    let event = |kind: &str, data: &str| {
        format!(r#"{{"type":"{kind}","subject":"call/{CALL}","appid":"app","data":{{{data}}}}}"#)
    };
    let open = |word: &str| {
        format!(
            "<web_service version=\"1.0\">\r\n<event type=\"{word}\" resource_id=\"{CALL}\" resource_type=\"call\">\r\n"
        )
    };
    let call_id = format!("<event_data name=\"call_id\" value=\"{CALL}\" />\r\n");
    let end = "</event>\r\n</web_service>\r\n";
    for (event, expected) in [
        (
            event("call.ringing", ""),
            format!(
                "112\r\n10d\r\n{}{call_id}<event_data name=\"type\" value=\"RINGING\" />\r\n{end}",
                open("ringing")
            ),
        ),
        (
            event("call.hangup", r#""reason":"800 Bye""#),
            format!(
                "13e\r\n139\r\n{}{call_id}<event_data name=\"reason\" value=\"800 Bye\" />\r\n\
                 <event_data name=\"type\" value=\"HANGUP\" />\r\n{end}",
                open("hangup")
            ),
        ),
        (
            event(
                "media.end_play",
                &format!(
                    r#""transaction_id":"{media}","status":"0 No Error","reason":"end","media_id":"{media}","id":"{CALL}","duration":6210"#
                ),
            ),
            format!(
                "237\r\n232\r\n{}<event_data name=\"duration\" value=\"6210\" />\r\n\
                 <event_data name=\"id\" value=\"{CALL}\" />\r\n\
                 <event_data name=\"media_id\" value=\"{media}\" />\r\n\
                 <event_data name=\"reason\" value=\"end\" />\r\n\
                 <event_data name=\"status\" value=\"0 No Error\" />\r\n\
                 <event_data name=\"transaction_id\" value=\"{media}\" />\r\n\
                 <event_data name=\"type\" value=\"END_PLAY\" />\r\n{end}",
                open("end_play")
            ),
        ),
        (
            event(
                "call.incoming",
                r#""uri":"sip:100@192.0.2.7","name":"app","headers":"Call-ID:a1\r\nCSeq: 1 INVITE","called_uri":"<sip:100@192.0.2.7>","caller_uri":"<sip:Jürgen@192.0.2.9:5060>;tag=1""#,
            ),
            format!(
                "256\r\n251\r\n{}{call_id}\
                 <event_data name=\"called_uri\" value=\"&lt;sip:100@192.0.2.7&gt;\" />\r\n\
                 <event_data name=\"caller_uri\" value=\"&lt;sip:J&#252;rgen@192.0.2.9:5060&gt;;tag=1\" />\r\n\
                 <event_data name=\"headers\" value=\"Call-ID:a1&#xD;&#xA;CSeq: 1 INVITE\" />\r\n\
                 <event_data name=\"name\" value=\"app\" />\r\n\
                 <event_data name=\"type\" value=\"INCOMING\" />\r\n\
                 <event_data name=\"uri\" value=\"sip:100@192.0.2.7\" />\r\n{end}",
                open("incoming")
            ),
        ),
    ] {
        publish_all(&mut world, &[event]);
        assert_eq!(String::from_utf8(world.take(stream)).unwrap(), expected);
    }
}

#[test]
fn x21_nothing_lies_between_a_thousand_events() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &id);
    for batch in 0..10 {
        let events: Vec<String> = (0..100).map(|n| ringing(&format!("{batch}-{n}"))).collect();
        publish_all(&mut world, &events);
    }
    let content = world.chunks(stream).content();
    let expected: Vec<String> =
        (0..1_000).map(|n| ringing_xml(&format!("{}-{}", n / 100, n % 100))).collect();
    assert_eq!(xms_events(&content), expected);
}

#[test]
fn x22_an_event_is_one_chunk_and_leaves_at_once_in_one_write() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &id);
    world.take_writes(stream);
    for n in 0..5 {
        publish_all(&mut world, &[ringing(&format!("call-{n}"))]);
        let bytes = frame(&ringing_xml(&format!("call-{n}")));
        assert_eq!(world.take_writes(stream), [bytes.len()]);
        assert_eq!(world.take(stream), bytes.as_bytes());
    }
    let events: Vec<String> = (0..100).map(|n| ringing(&format!("call-{n}"))).collect();
    publish_all(&mut world, &events);
    assert_eq!(xml(&mut world, stream).len(), 100, "one event, one chunk");
    assert_eq!(world.take_writes(stream).len(), 1, "a burst leaves in one write");
}

#[test]
fn x48_one_write_per_event() {
    let mut config = Config::default();
    config.xms.apps[0].one_write_per_event = true;
    let mut world = World::with(config, 1);
    let id = create(&mut world, EVERYTHING);
    publish_all(&mut world, &[ringing("a"), ringing("bb")]);
    let peer = world.connect();
    world.send(peer, get(&instance(&id)));
    let frames = [frame(&ringing_xml("a")), frame(&ringing_xml("bb"))];
    let writes = world.take_writes(peer);
    assert_eq!(
        writes[writes.len() - 2..],
        [frames[0].len(), frames[1].len()],
        "also when events are replayed"
    );
    world.take(peer);
    let events: Vec<String> = (0..50).map(|n| ringing(&"x".repeat(n + 1))).collect();
    publish_all(&mut world, &events);
    let expected: Vec<usize> = (0..50).map(|n| frame(&ringing_xml(&"x".repeat(n + 1))).len()).collect();
    assert_eq!(world.take_writes(peer), expected);
    assert_eq!(xml(&mut world, peer).len(), 50);
}

#[test]
fn x23_x24_values_are_ascii() {
    let mut world = World::new();
    let event =
        |value: &str| format!(r#"{{"type":"call.tone","subject":"call/1","data":{{"tone":"{value}"}}}}"#);
    for (value, expected) in [
        ("ü€😀", "&#252;&#8364;&#128512;"),
        (r"a\r\nb", "a&#xD;&#xA;b"),
        (r"a\tb", "a&#x9;b"),
        (r#"\"&<>'"#, "&quot;&amp;&lt;&gt;'"),
        (r"\u0001\u0000\ufffe", "&#65533;&#65533;&#65533;"),
    ] {
        let data = data_of(&mut world, &event(value));
        assert!(data.contains(&format!("name=\"tone\" value=\"{expected}\" />\r\n")), "{value}: {data}");
    }
    // The announced length counts bytes, which are characters: checked for every event by the reader.
    let id = create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &id);
    let exotic = r#"{"type":"call.tone","subject":"call/Jürgen","data":{"näme":"ü"}}"#;
    publish_all(&mut world, &[exotic.to_owned()]);
    let events = xml(&mut world, stream);
    assert!(events[0].contains("resource_id=\"J&#252;rgen\""), "{}", events[0]);
}

#[test]
fn x25_x43_data_is_sorted_and_written_as_its_json_text() {
    let mut world = World::new();
    let event = r#"{"type":"call.alarm","subject":"conference/9","data":{"zeta":"z","type":"mine","B":1.0,
        "a":1e3,"b":true,"c":null,"d":12345678901234567890,"e":false,"f":-0,"_":""}}"#;
    let data = data_of(&mut world, event);
    let expected = [
        ("B", "1.0"),
        ("_", ""),
        ("a", "1e3"),
        ("b", "true"),
        ("d", "12345678901234567890"),
        ("e", "false"),
        ("f", "-0"),
        ("type", "ALARM"),
        ("zeta", "z"),
    ];
    let lines: String = expected
        .iter()
        .map(|(name, value)| format!("<event_data name=\"{name}\" value=\"{value}\" />\r\n"))
        .collect();
    assert_eq!(data, lines);
}

#[test]
fn call_id_is_set_on_the_words_whose_row_lists_it() {
    for (kind, subject, data, has) in [
        ("call.ringing", "call/7", "", Some("7")),
        ("call.ringing", "call/7", r#""call_id":"8""#, Some("8")),
        ("call.ringing", "conference/7", "", None),
        ("media.started", "call/7", "", Some("7")),
        ("call.dtmf", "call/7", "", Some("7")),
        ("media.end_play", "call/7", "", None),
        ("call.alarm", "call/7", "", None),
        ("media.end_dtmf", "call/7", "", None),
    ] {
        let mut world = World::new();
        let event = format!(r#"{{"type":"{kind}","subject":"{subject}","data":{{{data}}}}}"#);
        let data = data_of(&mut world, &event);
        let found =
            data.split_once("name=\"call_id\" value=\"").map(|(_, rest)| rest.split('"').next().unwrap());
        assert_eq!(found, has, "{kind} {subject}");
    }
}

#[test]
fn x26_an_event_that_matches_twice_arrives_once() {
    let mut world = World::new();
    let id = create(
        &mut world,
        "<eventsubscribe/><eventsubscribe type=\"ringing\"/><eventsubscribe resource_id=\"1\"/>",
    );
    let stream = listen(&mut world, &id);
    publish_all(&mut world, &[ringing("1"), ringing("2")]);
    assert_eq!(xml(&mut world, stream), [ringing_xml("1"), ringing_xml("2")]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// X27: the events of a stream are those that a scan of the subscriptions lets through, in order.
    #[test]
    fn x27_filters_narrow_and_all_must_hold(
        subscriptions in proptest::collection::vec((0usize..4, 0usize..3, 0usize..4), 1..4),
        events in proptest::collection::vec((0usize..3, 0usize..2, 0usize..3), 1..20),
    ) {
        let words = ["any", "ringing", "dtmf", "hangup"];
        let kinds = ["any", "call", "conference"];
        let ids = ["any", "1", "2", "3"];
        let elements: String = subscriptions
            .iter()
            .map(|(word, kind, id)| format!(
                "<eventsubscribe type=\"{}\" resource_type=\"{}\" resource_id=\"{}\"/>", words[*word], kinds[*kind], ids[*id]
            ))
            .collect();
        let mut world = World::new();
        let handler = create(&mut world, &elements);
        let stream = listen(&mut world, &handler);
        let mut expected = Vec::new();
        let mut published = Vec::new();
        for (word, kind, id) in events {
            let (word, kind, id) = (word + 1, kind + 1, id + 1);
            published.push(format!(
                r#"{{"type":"call.{}","subject":"{}/{}","data":{{"call_id":"x"}}}}"#, words[word], kinds[kind], ids[id]
            ));
            if subscriptions.iter().any(|(w, k, i)| [0, word].contains(w) && [0, kind].contains(k) && [0, id].contains(i)) {
                let upper = words[word].to_uppercase();
                expected.push(event_xml(words[word], kinds[kind], ids[id], &[("call_id", "x"), ("type", &upper)]));
            }
        }
        publish_all(&mut world, &published);
        prop_assert_eq!(xml(&mut world, stream), expected);
    }
}

#[test]
fn x28_two_streams_of_one_handler_both_get_every_live_event() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let first = listen(&mut world, &id);
    world.pass(4_000);
    let second = listen(&mut world, &id);
    publish_all(&mut world, &[ringing("1"), ringing("2")]);
    for stream in [first, second] {
        assert_eq!(xml(&mut world, stream), [ringing_xml("1"), ringing_xml("2")]);
    }
    // Each has keepalives of its own, counted from its own opening.
    world.pass(6_000);
    assert_eq!((xml(&mut world, first).len(), xml(&mut world, second).len()), (1, 0));
    world.pass(4_000);
    assert_eq!((xml(&mut world, first).len(), xml(&mut world, second).len()), (0, 1));
}

#[test]
fn a_put_is_in_force_for_all_that_comes_after_its_reply() {
    let mut world = World::new();
    let id = create(&mut world, "<eventsubscribe resource_id=\"1\"/>");
    let stream = listen(&mut world, &id);
    publish_all(&mut world, &[ringing("1"), ringing("2")]);
    let edits = "<eventsubscribe resource_id=\"2\"/><eventsubscribe action=\"remove\" resource_id=\"1\"/>";
    assert_eq!(world.ask_alone(put_handler(&id, edits)).status, 200);
    publish_all(&mut world, &[ringing("1"), ringing("2")]);
    assert_eq!(xml(&mut world, stream), [ringing_xml("1"), ringing_xml("2")]);
}

#[test]
fn x34_http_1_0_streams_without_chunks() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    publish_all(&mut world, &[ringing("0")]);
    let peer = world.connect();
    let head = world.open(peer, format!("GET {} HTTP/1.0\r\n\r\n", instance(&id)));
    assert_eq!((head.status, head.field("connection")), (200, Some("close")));
    assert_eq!((head.field("transfer-encoding"), head.field("content-length")), (None, None));
    assert_eq!(xms_events(&world.take(peer)), [KEEPALIVE_XML.to_owned(), ringing_xml("0")]);
    publish_all(&mut world, &[ringing("1"), ringing("2")]);
    world.pass(10_000);
    assert_eq!(xms_events(&world.take(peer)), [ringing_xml("1"), ringing_xml("2"), KEEPALIVE_XML.to_owned()]);
    // The end of the connection is the end of the stream, and it comes at once.
    assert_eq!(world.ask_alone(request("DELETE", &instance(&id), "", "")).status, 204);
    assert!(world.is_ended(peer) && world.received(peer).is_empty());
}

#[test]
fn x37_an_event_beyond_65535_bytes_is_left_out_and_the_stream_goes_on() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &id);
    let reader = world.connect();
    world.open(reader, get("/v1/events?type=call.tone"));
    world.take(reader);
    let event = |length: usize| {
        let value = "x".repeat(length);
        format!(r#"{{"type":"call.tone","subject":"call/1","data":{{"tone":"{value}"}}}}"#)
    };
    let overhead = event_xml("tone", "call", "1", &[("call_id", "1"), ("tone", ""), ("type", "TONE")]).len();
    world.take_notes();
    publish_all(&mut world, &[event(65_536 - overhead), event(65_535 - overhead), ringing("1")]);
    let events = xml(&mut world, stream);
    assert_eq!(events.iter().map(String::len).collect::<Vec<_>>(), [65_535, ringing_xml("1").len()]);
    assert_eq!(not_sent(&world, NotSent::TooLarge), 1);
    let warned = world.take_notes().iter().filter(|note| note.level == Level::Warn).count();
    assert_eq!(warned, 1, "counted and logged");
    assert_eq!(world.chunks(reader).chunks.len(), 2, "other dialects have both");
}

#[test]
fn x42_x45_what_xms_has_no_words_for_never_appears() {
    let mut config = Config::default();
    config.xms.apps.push(XmsApp { name: "other".to_owned(), ..XmsApp::default() });
    let mut world = World::with(config, 1);
    let mine = create(&mut world, EVERYTHING);
    let other =
        world.ask_alone(request("POST", "/default/eventhandlers?appid=other", "", document(EVERYTHING)));
    let mine = listen(&mut world, &mine);
    let peer = world.connect();
    world.open(peer, get(&format!("/default/eventhandlers/{}?appid=other", identifier(&other))));
    world.take(peer);
    let event = |kind: &str, rest: &str| format!(r#"{{"type":"{kind}"{rest}}}"#);
    let subject = r#","subject":"call/1""#;
    publish_all(
        &mut world,
        &[
            event("user.login", subject),
            event("my.own", subject),
            event("call.ringing", ""),
            event("call.ringing", r#","subject":"nothing""#),
            event("call.ringing", &format!(r#"{subject},"data":{{"a":{{"b":1}}}}"#)),
            event("call.ringing", &format!(r#"{subject},"data":{{"a":[]}}"#)),
            event("call.ringing", &format!(r#"{subject},"data":"text""#)),
            event("call.ringing", &format!(r#"{subject},"data_base64":"AAAA""#)),
        ],
    );
    assert!(world.received(mine).is_empty() && world.received(peer).is_empty());
    let counted =
        [NotSent::NoWord, NotSent::NoSubject, NotSent::Nested].map(|reason| not_sent(&world, reason));
    assert_eq!(counted, [2, 2, 4]);
    assert_eq!(world.stats().events_accepted, 8);
    // Scope: an event with an appid is for that application, one without for all.
    publish_all(
        &mut world,
        &[
            event("call.ringing", r#","subject":"call/a","appid":"app""#),
            event("call.ringing", r#","subject":"call/b","appid":"other""#),
            event("call.ringing", r#","subject":"call/c""#),
            event("call.ringing", r#","subject":"call/d","appid":"nobody""#),
        ],
    );
    assert_eq!(xml(&mut world, mine), [ringing_xml("a"), ringing_xml("c")]);
    assert_eq!(xml(&mut world, peer), [ringing_xml("b"), ringing_xml("c")]);
}

#[test]
fn an_application_may_narrow_what_is_delivered_to_it() {
    let mut config = Config::default();
    config.xms.apps[0].deliver_types = Some(vec!["keepalive".to_owned(), "hangup".to_owned()]);
    let mut world = World::with(config, 1);
    let streams =
        ["<eventsubscribe/>", "<eventsubscribe type=\"ringing\"/>", "<eventsubscribe type=\"hangup\"/>"].map(
            |subscriptions| {
                let id = create(&mut world, subscriptions);
                listen(&mut world, &id)
            },
        );
    let hangup = r#"{"type":"call.hangup","subject":"call/1"}"#.to_owned();
    publish_all(&mut world, &[ringing("1"), hangup]);
    assert_eq!(streams.map(|stream| xml(&mut world, stream).len()), [1, 0, 1]);
}

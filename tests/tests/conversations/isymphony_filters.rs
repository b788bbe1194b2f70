//! iSymphony's filters: what they let through, what is answered, and when they take effect. The numbers are those of its
//! checklist.

use offhook_tests::memory::{Peer, World};

use crate::common::publish_all;
use crate::isymphony::{BEGINNING_MS, EVENTS, MANAGER, config, event, events, listen, user};

/// The events of the conversations: the last of their names is what [`through`] knows them by.
fn office() -> Vec<String> {
    let all = [
        ("call.dial", r#""username":"mike","port":1"#),
        ("call.hangup", r#""username":"mikey""#),
        ("call.hangup", r#""username":null,"note":"gone""#),
        ("call.link_end", r#""username_1":"mike","username_2":"mikey""#),
        ("user.login", r#""username":"mikey","port":57042"#),
        ("user.logout", r#""username":"mike","port":57042"#),
        ("user.status", r#""username":"mi*","user_created":true,"return_time":-1"#),
        ("queue.moved", r#""extension":"100","note":" x ""#),
    ];
    all.iter().map(|(event_type, data)| event(event_type, data)).collect()
}

/// The places of the office's events that came.
fn which(world: &mut World, peer: Peer) -> Vec<usize> {
    let mut all = World::with(config(), 1);
    let reader = listen(&mut all);
    publish_all(&mut all, &office());
    let all = events(&mut all, reader);
    let place = |event: String| all.iter().position(|one| *one == event).expect("an event of the office");
    events(world, peer).into_iter().map(place).collect()
}

fn success(correlation: &str) -> String {
    format!(r#"{{"correlationId":{correlation},"time":{BEGINNING_MS},"type":"success"}}"#)
}

/// Sends a message and takes the one answer.
fn ask(world: &mut World, peer: Peer, message: &str) -> String {
    world.send_text(peer, message);
    let mut texts = world.texts(peer);
    assert_eq!(texts.len(), 1, "one answer: {texts:?}");
    texts.remove(0)
}

/// Sets filters, given as property and value in JSON.
fn filter(world: &mut World, peer: Peer, filters: &[(&str, &str)]) {
    let filter = |(property, value): &(&str, &str)| format!(r#"{{"property":"{property}","value":{value}}}"#);
    let filters: Vec<String> = filters.iter().map(filter).collect();
    let message = format!(r#"{{"type":"filter","filters":[{}]}}"#, filters.join(","));
    assert_eq!(ask(world, peer, &message), success("null"), "{message}");
}

/// The error in an answer to a message.
#[track_caller]
fn error(world: &mut World, peer: Peer, message: &str, correlation: &str) -> String {
    let answer = ask(world, peer, message);
    let start = format!(r#"{{"correlationId":{correlation},"error":"#);
    let end = format!(r#","time":{BEGINNING_MS},"type":"error"}}"#);
    let text = answer.strip_prefix(&start).and_then(|rest| rest.strip_suffix(&end));
    serde_json::from_str(text.unwrap_or_else(|| panic!("{answer}"))).expect("a text")
}

#[test]
fn i10_i11_i12_i13_i14_i15_i16_i17_what_filters_let_through() {
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    for (filters, expected) in [
        // I10.
        (&[("type", "\"dial\"")][..], &[0][..]),
        // I11.
        (&[("type", "\"dial\""), ("type", "\"hangup\"")], &[0, 1, 2]),
        (&[("type", "\"hangup\""), ("username", "\"mikey\"")], &[1]),
        (&[("type", "\"userLogin\""), ("type", "\"userLogout\""), ("username", "\"mikey\"")], &[4]),
        // I12 is that each of these rows replaces the one before it. I13.
        (&[], &[0, 1, 2, 3, 4, 5, 6, 7]),
        // I14: absent and null are alike, and linkEnd has other names.
        (&[("username", "\"*\"")], &[0, 1, 4, 5, 6]),
        (&[("username", "\"*\""), ("username", "\"mike\"")], &[0, 1, 4, 5, 6]),
        (&[("username1", "\"*\"")], &[3]),
        (&[("did", "\"*\"")], &[]),
        (&[("type", "\"*\"")], &[0, 1, 2, 3, 4, 5, 6, 7]),
        // I15.
        (&[("username", "\"mi*\"")], &[6]),
        // I16.
        (&[("Username", "\"mike\"")], &[]),
        (&[("username", "\"Mike\"")], &[]),
        (&[("note", "\"x\"")], &[]),
        (&[("note", "\" x \"")], &[7]),
        // I17.
        (&[("port", "\"57042\"")], &[4, 5]),
        (&[("port", "57042")], &[4, 5]),
        (&[("port", "57042.0")], &[]),
        (&[("userCreated", "\"true\"")], &[6]),
        (&[("userCreated", "true")], &[6]),
        (&[("returnTime", "-1")], &[6]),
        (&[("returnTime", "\"-1\"")], &[6]),
        // I41: names are the projected ones.
        (&[("extensionNumber", "\"100\"")], &[7]),
        (&[("extension", "\"100\"")], &[]),
        // The server's own properties are properties.
        (&[("time", "1446561431000"), ("type", "\"dial\"")], &[0]),
        (&[("coreServerId", "\"*\""), ("type", "\"dial\"")], &[0]),
    ] {
        filter(&mut world, peer, filters);
        publish_all(&mut world, &office());
        assert_eq!(which(&mut world, peer), expected, "{filters:?}");
    }
}

#[test]
fn i18_i19_what_identifies_a_message_comes_back() {
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    for (correlation, expected) in [
        (r#""correlationId":"123456","#, r#""123456""#),
        (r#""correlationId":123456,"#, "123456"),
        (r#""correlationId":1.50e3,"#, "1.50e3"),
        (r#""correlationId":null,"#, "null"),
        ("", "null"),
    ] {
        let message = format!(r#"{{{correlation}"type":"filter","filters":[]}}"#);
        assert_eq!(ask(&mut world, peer, &message), success(expected));
        let message = format!(r#"{{{correlation}"type":"filter"}}"#);
        assert!(error(&mut world, peer, &message, expected).starts_with("filters is missing"));
    }
    for correlation in ["{}", "[1]", "true"] {
        let message = format!(r#"{{"correlationId":{correlation},"type":"filter","filters":[]}}"#);
        let text = error(&mut world, peer, &message, "null");
        assert_eq!(text, "correlationId is neither a string nor a number");
    }
}

#[test]
fn i20_i23_i24_i25_i29_i35_after_an_error_all_stays_as_it_was() {
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    filter(&mut world, peer, &[("type", "\"dial\"")]);
    let deep = format!(r#"{{"type":"filter","filters":[],"x":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
    for (message, correlation, part) in [
        ("dial", "null", "not JSON: expected value at line 1 column 1"),
        ("[]", "null", "the message is no object"),
        (r#"{"correlationId":1,"filters":[]}"#, "1", "type is missing"),
        (
            r#"{"correlationId":1,"type":"subscribe","filters":[]}"#,
            "1",
            "type: found \"subscribe\", allowed: \"filter\"",
        ),
        (r#"{"correlationId":"a","type":"filter"}"#, "\"a\"", "filters is missing"),
        (r#"{"correlationId":"a","type":"filter","filters":{}}"#, "\"a\"", "filters is no array"),
        (
            r#"{"type":"filter","filters":[{"property":"type","value":"hangup"},{"property":"type","value":"x"},{"property":"type"}]}"#,
            "null",
            "filters[2]: value is missing",
        ),
        (
            r#"{"type":"filter","filters":[{"property":"a","value":[]}]}"#,
            "null",
            "filters[0]: value is neither",
        ),
        (
            r#"{"type":"filter","filters":[{"property":"","value":"x"}]}"#,
            "null",
            "filters[0]: property is empty",
        ),
        (r#"{"correlationId":7,"type":"filter","filters":[],"filters":[]}"#, "7", "\"filters\" stands twice"),
        (&deep, "null", "nested deeper than 64 levels"),
    ] {
        let text = error(&mut world, peer, message, correlation);
        assert!(text.contains(part), "{message}: {text}");
    }
    // A frame of bytes, even if it holds a message.
    world.send_binary(peer, r#"{"type":"filter","filters":[]}"#);
    let answer = world.texts(peer).remove(0);
    assert!(answer.starts_with(r#"{"correlationId":null,"error":"send text frames","time":"#), "{answer}");
    publish_all(&mut world, &office());
    assert_eq!(which(&mut world, peer), [0]);
    // Keys that mean nothing are passed over.
    let message =
        r#"{"x":[1],"type":"filter","filters":[{"property":"type","value":"dial","x":{}}],"y":null}"#;
    assert_eq!(ask(&mut world, peer, message), success("null"));
}

/// The examples of the vendor's page, word for word: the text, what is answered, and what they let through of the office.
const PAGE: [(&str, &str, &[usize]); 5] = [
    (
        "{\n\"type\" : \"filter\",\n\"correlationId\" : \"123456\",\n\"filters\" : [\n{\"property\" : \"type\" : \"value\" : \"dial\"}\n]\n}",
        "\"123456\"",
        &[0],
    ),
    (
        "{\n\"type\" : \"filter\",\n\"filters\" : [\n{\"property\" : \"type\" : \"value\" : \"dial\"}\n]\n}",
        "null",
        &[0],
    ),
    (
        "{\n\"type\" : \"filter\",\n\"filters\" : [\n{\"property\" : \"type\" : \"value\" : \"login\"},\n{\"property\" : \"type\" : \"value\" : \"logout\"}\n]\n}",
        "null",
        &[4, 5],
    ),
    (
        "{\n\"type\" : \"filter\",\n\"filters\" : [\n{\"property\" : \"type\" : \"value\" : \"login\"},\n{\"property\" : \"type\" : \"value\" : \"logout\"},\n{\"property\" : \"username\" : \"value\" : \"mikey\"}\n]\n}",
        "null",
        &[4],
    ),
    (
        "{\n\"type\" : \"filter\",\n\"filters\" : [\n{\"property\" : \"username\" : \"value\" : \"*\"}\n]\n}",
        "null",
        &[0, 1, 4, 5, 6],
    ),
];

#[test]
fn i21_i40_the_pages_examples_work() {
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    for (text, correlation, expected) in PAGE {
        assert_eq!(ask(&mut world, peer, text), success(correlation), "{text}");
        publish_all(&mut world, &office());
        assert_eq!(which(&mut world, peer), expected, "{text}");
    }
    // The one with dots is no example of anything.
    let dots = "{\n\"type\" : \"filter\",\n\"filters\" : [\n{\"property\" : \"<property name>\" : \"value\" : \"<filter value>\"},\n{\"property\" : \"<property name>\" : \"value\" : \"<filter value>\"},\n...\n]\n}";
    let text = error(&mut world, peer, dots, "null");
    let lesson = r#"filters[0]: not JSON: write {"property":"<property name>","value":"<filter value>"} (a comma before "value", not a colon)"#;
    assert!(text.starts_with(lesson), "{text}");
}

#[test]
fn i22_strictly_they_teach_the_right_form() {
    let mut config = config();
    config.isymphony.lenient = false;
    let mut world = World::with(config, 1);
    let peer = listen(&mut world);
    let lesson = r#"filters[0]: not JSON: write {"property":"type","value":"dial"} (a comma before "value", not a colon)"#;
    assert_eq!(error(&mut world, peer, PAGE[0].0, "null"), lesson);
    filter(&mut world, peer, &[("type", "\"login\"")]);
    publish_all(&mut world, &office());
    assert!(world.frames(peer).is_empty(), "login is no type");
    let notes = world.take_notes();
    assert!(notes.iter().any(|note| note.text.contains("filters for the type \"login\"")), "{notes:?}");
    // One that the vocabulary has, or that came, is no reason for a note.
    filter(&mut world, peer, &[("type", "\"agentLogin\""), ("type", "\"queueMoved\"")]);
    assert_eq!(world.take_notes(), []);
}

#[test]
fn i26_answers_come_in_order_whatever_the_filters() {
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    filter(&mut world, peer, &[("type", "\"nothing\"")]);
    let messages = [
        r#"{"correlationId":1,"type":"filter","filters":[{"property":"type","value":"dial"}]}"#,
        r#"{"correlationId":2,"type":"filter"}"#,
        r#"{"correlationId":3,"type":"filter","filters":[]}"#,
        r#"{"correlationId":4}"#,
    ];
    for message in messages {
        let frame = world.masked(0x81, message);
        world.queue(peer, frame);
    }
    world.send(peer, b"");
    let texts = world.texts(peer);
    let kinds = texts.iter().map(|text| (&text[17..18], text.contains("success"))).collect::<Vec<_>>();
    assert_eq!(kinds, [("1", true), ("2", false), ("3", true), ("4", false)], "{texts:?}");
}

#[test]
fn i27_the_answer_parts_the_old_filters_from_the_new() {
    let mut world = World::with(config(), 1);
    let peer = listen(&mut world);
    filter(&mut world, peer, &[("type", "\"dial\"")]);
    // The peer reads nothing: all waits, in order.
    world.limit_room(peer, 10);
    publish_all(&mut world, &office());
    world.send_text(
        peer,
        r#"{"correlationId":1,"type":"filter","filters":[{"property":"username","value":"mikey"}]}"#,
    );
    publish_all(&mut world, &office());
    world.send_text(
        peer,
        r#"{"correlationId":2,"type":"filter","filters":[{"property":"type","value":"queueMoved"}]}"#,
    );
    publish_all(&mut world, &office());
    world.lift_limit(peer);
    let texts = world.texts(peer);
    let word = |text: &String| {
        let message: serde_json::Value = serde_json::from_str(text).expect("JSON");
        let word = message["type"].as_str().expect("a type").to_owned();
        if word == "success" { format!("success {}", message["correlationId"]) } else { word }
    };
    let words: Vec<String> = texts.iter().map(word).collect();
    assert_eq!(words, ["dial", "success 1", "hangup", "userLogin", "success 2", "queueMoved"]);
}

#[test]
fn i28_filters_are_a_connections_own() {
    let mut world = World::with(config(), 2);
    let one = listen(&mut world);
    let other = listen(&mut world);
    let third = world.websocket_to(1, EVENTS, MANAGER);
    filter(&mut world, one, &[("type", "\"dial\"")]);
    filter(&mut world, third, &[("type", "\"queueMoved\"")]);
    publish_all(&mut world, &office());
    assert_eq!(which(&mut world, one), [0]);
    assert_eq!(which(&mut world, other), [0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(which(&mut world, third), [7]);
    world.break_off(one);
    publish_all(&mut world, &office());
    assert_eq!(which(&mut world, third), [7]);
}

#[test]
fn i42_nobody_sees_more_than_his_scope() {
    let mut config = config();
    // `mike` sees his own alone, and of these only those of his extension.
    let mike = user("mike", &[("username", "mike"), ("extension", "100")]);
    config.isymphony.users = [user("manager", &[]), mike].into();
    let mut world = World::with(config, 1);
    // `mike` and `example-password`.
    let peer = world.websocket_to(0, EVENTS, "Authorization: Basic bWlrZTpleGFtcGxlLXBhc3N3b3Jk\r\n");
    let manager = listen(&mut world);
    let own = event("call.dial", r#""username":"mike","extension":"100""#);
    let all = [
        own.clone(),
        event("call.dial", r#""username":"mike","extension":"101""#),
        event("call.dial", r#""username":"mike""#),
        event("call.dial", r#""username":"anna","extension":"100""#),
        // These have the projected names, and not the canonical ones.
        event("call.dial", r#""username":"mike","extensionNumber":"100""#),
        event("call.dial", ""),
    ];
    for filters in [
        &[][..],
        &[("username", "\"anna\"")],
        &[("username", "\"mike\""), ("username", "\"anna\"")],
        &[("extensionNumber", "\"*\"")],
        &[("type", "\"dial\""), ("extensionNumber", "\"101\"")],
    ] {
        filter(&mut world, peer, filters);
        publish_all(&mut world, &all);
        let seen = events(&mut world, peer);
        let may = filters.iter().all(|(_, value)| !matches!(*value, "\"101\""))
            && filters != [("username", "\"anna\"")];
        assert_eq!(seen.len(), usize::from(may), "{filters:?}: {seen:?}");
        assert!(
            seen.iter().all(|event| event.contains(r#""username":"mike""#)
                && event.contains(r#""extensionNumber":"100""#))
        );
        assert_eq!(events(&mut world, manager).len(), all.len());
    }
    // A scope's tests go by names that no filter may have.
    let message = r#"{"type":"filter","filters":[{"property":"\u0000username","value":"anna"}]}"#;
    let text = error(&mut world, peer, message, "null");
    assert_eq!(text, "filters[0]: property begins with U+0000");
    publish_all(&mut world, &[event("call.dial", r#""username":"anna","extension":"100""#)]);
    assert!(world.frames(peer).is_empty());
}

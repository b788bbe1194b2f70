//! Requests that come: a NOTIFY reaches the user once, all others are answered below.

use super::*;
use crate::ground::limits::Limits;

/// The NOTIFY of reference/sep.md section 2.10.
const NOTIFY: &str = "NOTIFY sip:tester@127.0.0.1:5181 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 127.0.0.1:5170;branch=z9hG4bK4daf.761b0da2000000000000000000000000.0\r\n\
    To: <sip:watcher@example.test>;tag=53c2ae4f\r\n\
    From: <sip:alice@example.test>;tag=36f9cc374a43816d88e4183d7e2bb729-9426b6a9\r\n\
    CSeq: 2 NOTIFY\r\n\
    Call-ID: 5666de32\r\n\
    Content-Length: 0\r\n\
    User-Agent: kamailio (5.6.3 (x86_64/linux))\r\n\
    Max-Forwards: 70\r\n\
    Event: reg\r\n\
    Contact: <sip:127.0.0.1:5170>\r\n\
    Subscription-State: active;expires=120\r\n\r\n";

const FROM: &str = "127.0.0.1:5170";

fn endpoint() -> Endpoint {
    Endpoint::new(settings(0), 1)
}

fn arrive(endpoint: &mut Endpoint, now: u64, from: &str, text: &str) {
    endpoint.receive_datagram(Mono(now), 0, from.parse().unwrap(), text.as_bytes());
}

/// The answer that goes to `to`.
fn answer(endpoint: &mut Endpoint, to: &str) -> String {
    match endpoint.poll_output() {
        Some(Output::Datagram { via: 0, to: found, bytes }) if found.to_string() == to => {
            String::from_utf8(bytes).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn asked(endpoint: &mut Endpoint) -> (ServerId, Message) {
    match endpoint.poll_happened() {
        Some(Happened::Asked { id, request }) => (id, request),
        other => panic!("{other:?}"),
    }
}

/// The lines of a message that begin so.
fn line<'a>(message: &'a str, name: &str) -> Vec<&'a str> {
    message.split("\r\n").filter(|line| line.starts_with(name)).collect()
}

#[test]
fn s54_the_answer_copies_what_identifies_the_request() {
    let mut endpoint = endpoint();
    arrive(&mut endpoint, 0, FROM, NOTIFY);
    let (id, request) = asked(&mut endpoint);
    endpoint.answer(Mono(0), id, Message::response(&request, 200, "OK"));
    let text = answer(&mut endpoint, FROM);
    let mut lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!((lines[0], lines[lines.len() - 3]), ("SIP/2.0 200 OK", "Content-Length: 0"));
    lines.sort_unstable();
    let expected = "SIP/2.0 200 OK\r\n\
        Via: SIP/2.0/UDP 127.0.0.1:5170;branch=z9hG4bK4daf.761b0da2000000000000000000000000.0\r\n\
        To: <sip:watcher@example.test>;tag=53c2ae4f\r\n\
        From: <sip:alice@example.test>;tag=36f9cc374a43816d88e4183d7e2bb729-9426b6a9\r\n\
        CSeq: 2 NOTIFY\r\n\
        Call-ID: 5666de32\r\n\
        Content-Length: 0\r\n\r\n";
    let mut expected: Vec<&str> = expected.split("\r\n").collect();
    expected.sort_unstable();
    assert_eq!(lines, expected);
}

#[test]
fn s54_received_and_rport_are_filled_in_and_the_source_gets_the_answer() {
    for (via, from, expected) in [
        ("SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1", "192.0.2.2:5060", "SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1"),
        (
            "SIP/2.0/UDP 192.0.2.2:5070;rport;branch=z9hG4bK1",
            "192.0.2.2:40000",
            "SIP/2.0/UDP 192.0.2.2:5070;rport=40000;branch=z9hG4bK1;received=192.0.2.2",
        ),
        (
            "SIP/2.0/UDP pbx.test;branch=z9hG4bK1",
            "198.51.100.7:5060",
            "SIP/2.0/UDP pbx.test;branch=z9hG4bK1;received=198.51.100.7",
        ),
        (
            "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;received=10.0.0.1",
            "198.51.100.7:5060",
            "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;received=198.51.100.7",
        ),
    ] {
        let mut endpoint = endpoint();
        let behind = "Via: SIP/2.0/UDP 10.9.9.9;branch=z9hG4bK0";
        let via_line = NOTIFY.split("\r\n").nth(1).unwrap();
        let notify = NOTIFY.replace(via_line, &format!("Via: {via}\r\n{behind}"));
        arrive(&mut endpoint, 0, from, &notify);
        let (id, request) = asked(&mut endpoint);
        endpoint.answer(Mono(0), id, Message::response(&request, 200, "OK"));
        let text = answer(&mut endpoint, from);
        assert_eq!(line(&text, "Via"), [&*format!("Via: {expected}"), behind]);
    }
}

#[test]
fn s21_a_copy_gets_the_same_answer_and_is_not_asked_again() {
    let mut endpoint = endpoint();
    arrive(&mut endpoint, 0, FROM, NOTIFY);
    let (id, request) = asked(&mut endpoint);
    arrive(&mut endpoint, 500, FROM, NOTIFY);
    assert_eq!((endpoint.poll_happened(), endpoint.poll_output()), (None, None), "there is no answer yet");
    endpoint.answer(Mono(600), id, Message::response(&request, 200, "OK"));
    let first = answer(&mut endpoint, FROM);
    // The first answer counts.
    endpoint.answer(Mono(600), id, Message::response(&request, 500, "Server Error"));
    assert_eq!(endpoint.poll_output(), None);
    for at in [700, 32_599] {
        arrive(&mut endpoint, at, FROM, NOTIFY);
        assert_eq!((endpoint.poll_happened(), answer(&mut endpoint, FROM)), (None, first.clone()));
    }
    // Timer J: afterwards it is another request.
    endpoint.handle_timeout(Mono(32_000));
    assert_eq!((endpoint.held().requests_remembered, endpoint.poll_timeout()), (1, Some(Mono(32_600))));
    endpoint.handle_timeout(Mono(32_600));
    assert_eq!((endpoint.held(), endpoint.poll_timeout()), (Held::default(), None));
    arrive(&mut endpoint, 32_700, FROM, NOTIFY);
    asked(&mut endpoint);
    assert_eq!(endpoint.counted().copies_received, 3);
}

#[test]
fn rfc3261_17_2_3_what_makes_a_request_another_one() {
    let branch = "branch=z9hG4bK4daf.761b0da2000000000000000000000000.0";
    for (from, to, is_other) in [
        ("Event: reg", "Event: dialog", false),
        ("UDP 127.0.0.1:5170", "UDP 127.0.0.1:5171", true),
        (branch, "branch=z9hG4bK5", true),
        ("CSeq: 2", "CSeq: 3", false),
    ] {
        let mut endpoint = endpoint();
        arrive(&mut endpoint, 0, FROM, NOTIFY);
        asked(&mut endpoint);
        arrive(&mut endpoint, 0, FROM, &NOTIFY.replace(from, to));
        assert_eq!(endpoint.poll_happened().is_some(), is_other, "{to}");
    }
    // Without the cookie the older rule holds.
    let old = NOTIFY.replace(branch, "branch=1");
    for (from, to, is_other) in [
        ("Event: reg", "Event: dialog", false),
        ("CSeq: 2", "CSeq: 3", true),
        ("5666de32", "5666de33", true),
        ("tag=36f9", "tag=36f8", true),
        ("branch=1", "branch=2", true),
    ] {
        let mut endpoint = endpoint();
        arrive(&mut endpoint, 0, FROM, &old);
        asked(&mut endpoint);
        arrive(&mut endpoint, 0, FROM, &old.replace(from, to));
        assert_eq!(endpoint.poll_happened().is_some(), is_other, "{to}");
    }
}

#[test]
fn a_request_that_nobody_answers_is_forgotten_without_a_408() {
    let mut endpoint = endpoint();
    arrive(&mut endpoint, 0, FROM, NOTIFY);
    let (id, request) = asked(&mut endpoint);
    endpoint.handle_timeout(Mono(32_000));
    endpoint.answer(Mono(32_001), id, Message::response(&request, 200, "OK"));
    assert_eq!((endpoint.poll_output(), endpoint.held()), (None, Held::default()));
}

#[test]
fn s51_strangers_are_answered_or_passed_over() {
    let stranger = |method: &str| {
        let to = NOTIFY.replace(";tag=53c2ae4f", "");
        to.replace("NOTIFY sip", &format!("{method} sip")).replace("2 NOTIFY", &format!("2 {method}"))
    };
    for (request, expected) in [
        (stranger("OPTIONS"), "200 OK|Allow: NOTIFY, OPTIONS|Accept: */*|Supported: eventlist"),
        (stranger("INVITE"), "405 Method Not Allowed|Allow: NOTIFY, OPTIONS"),
        (stranger("REGISTER"), "405 Method Not Allowed|Allow: NOTIFY, OPTIONS"),
        (stranger("FOO"), "405 Method Not Allowed|Allow: NOTIFY, OPTIONS"),
        (stranger("CANCEL"), "481 There is no such transaction"),
        (stranger("NOTIFY"), "481 Subscription does not exist"),
        (stranger("OPTIONS").replace("sip:tester", "tel:tester"), "416 Unsupported URI Scheme"),
        (
            stranger("OPTIONS").replace("Event", "Require: x, eventlist, y\r\nEvent"),
            "420 Bad Extension|Unsupported: x, y",
        ),
        (NOTIFY.replace("Event", "Require: 100rel\r\nEvent"), "420 Bad Extension|Unsupported: 100rel"),
        (stranger("ACK"), ""),
        ("\r\n\r\n".into(), ""),
        ("\r\n".into(), ""),
        ("\0\0\0\0".into(), ""),
        (String::new(), ""),
    ] {
        let mut endpoint = endpoint();
        arrive(&mut endpoint, 0, FROM, &request);
        assert_eq!(endpoint.poll_happened(), None, "{request}");
        if expected.is_empty() {
            assert_eq!(endpoint.poll_output(), None, "{request}");
            assert_eq!(endpoint.counted().unreadable, 0, "{request}");
            continue;
        }
        let text = answer(&mut endpoint, FROM);
        for (n, piece) in expected.split('|').enumerate() {
            let piece = if n == 0 { format!("SIP/2.0 {piece}") } else { piece.to_owned() };
            assert!(text.split("\r\n").any(|line| line == piece), "{piece}: {text}");
        }
        let answered = Message::from_datagram(text.as_bytes()).unwrap();
        assert!(answered.to_tag().is_some_and(|tag| !tag.is_empty()), "{text}");
        // It is not remembered, and a copy is answered alike.
        assert_eq!((endpoint.held(), endpoint.poll_timeout()), (Held::default(), None));
        arrive(&mut endpoint, 10, FROM, &request);
        assert_eq!(answer(&mut endpoint, FROM), text);
    }
}

#[test]
fn a_notify_that_requires_what_is_known_reaches_the_user() {
    let mut endpoint = endpoint();
    arrive(&mut endpoint, 0, FROM, &NOTIFY.replace("Event", "Require: EventList\r\nEvent"));
    asked(&mut endpoint);
    arrive(
        &mut endpoint,
        0,
        FROM,
        &NOTIFY.replace("daf.", "dag.").replace("Max-Forwards: 70", "Max-Forwards: 0"),
    );
    asked(&mut endpoint);
}

#[test]
fn s51_unreadable_datagrams_are_counted_and_answered_if_their_sender_is_known() {
    for (text, expected) in [
        ("rubbish", None),
        ("\u{0}\u{1}\u{2}!\u{12}\u{a4}B", None),
        ("NOTIFY sip:x SIP/2.0\r\n\r\n", None),
        (&*NOTIFY.replace("NOTIFY sip", "NOTIFY  sip"), Some("400")),
        (&NOTIFY.replace("Content-Length: 0", "Content-Length: 7"), Some("400")),
        (&NOTIFY.replace("SIP/2.0\r\nVia", "SIP/7.0\r\nVia"), Some("505")),
        (&NOTIFY.replace("SIP/2.0/UDP 127.0.0.1:5170", "nonsense"), None),
        ("SIP/2.0 200 OK\r\nrubbish\r\n\r\n", None),
    ] {
        let mut endpoint = endpoint();
        arrive(&mut endpoint, 0, FROM, text);
        assert_eq!((endpoint.counted().unreadable, endpoint.poll_happened()), (1, None), "{text}");
        let status = endpoint.poll_output().map(|output| {
            let Output::Datagram { bytes, .. } = output else { panic!("{output:?}") };
            Message::from_datagram(&bytes).unwrap().status().unwrap().to_string()
        });
        assert_eq!(status.as_deref(), expected, "{text}");
    }
}

#[test]
fn a_request_of_ours_that_comes_back_is_a_loop() {
    let mut world = World::pair();
    let own = format!("sip:b@{}", address(0));
    world.request(0, 1, request("OPTIONS", &own, 1));
    world.request(0, 2, request("NOTIFY", &own, 2));
    world.run_out();
    assert_eq!((world.outcome(0, 1), world.outcome(0, 2)), ("482".into(), "482".into()));
}

#[test]
fn s51_answers_to_strangers_are_bounded_and_a_481_is_one_of_them() {
    let limits = Limits { sip_strangers_per_address_per_s: 2, ..Limits::default() };
    let mut endpoint = Endpoint::new(Settings { limits, ..settings(0) }, 1);
    let options = NOTIFY.replace("NOTIFY sip", "OPTIONS sip").replace("2 NOTIFY", "2 OPTIONS");
    arrive(&mut endpoint, 0, FROM, &options);
    arrive(&mut endpoint, 0, FROM, &NOTIFY.replace("Content-Length: 0", "Content-Length: 7"));
    for at in [0, 500] {
        arrive(&mut endpoint, at, FROM, &options);
        arrive(&mut endpoint, at, FROM, NOTIFY);
        let (id, request) = asked(&mut endpoint);
        endpoint.answer(Mono(at), id, Message::response(&request, 481, "Subscription does not exist"));
        assert_eq!(endpoint.held(), Held::default(), "its copy is asked again");
    }
    let sent = std::iter::from_fn(|| endpoint.poll_output()).count();
    assert_eq!(
        (sent, endpoint.counted().strangers_answered, endpoint.counted().strangers_dropped),
        (2, 2, 4)
    );
    arrive(&mut endpoint, 1_000, FROM, NOTIFY);
    let (id, request) = asked(&mut endpoint);
    endpoint.answer(Mono(1_000), id, Message::response(&request, 481, "Subscription does not exist"));
    assert!(answer(&mut endpoint, FROM).starts_with("SIP/2.0 481 "));
    // What belongs to a subscription is no stranger.
    for n in 0..9 {
        arrive(&mut endpoint, 1_000, FROM, &NOTIFY.replace("4daf", &n.to_string()));
        let (id, request) = asked(&mut endpoint);
        endpoint.answer(Mono(1_000), id, Message::response(&request, 200, "OK"));
        assert!(answer(&mut endpoint, FROM).starts_with("SIP/2.0 200 "));
    }
}

#[test]
fn requests_that_are_remembered_are_bounded() {
    let limits = Limits { sip_requests_remembered: 1, ..Limits::default() };
    let mut endpoint = Endpoint::new(Settings { limits, ..settings(0) }, 1);
    arrive(&mut endpoint, 0, FROM, NOTIFY);
    asked(&mut endpoint);
    let other = NOTIFY.replace("4daf", "5daf");
    arrive(&mut endpoint, 0, FROM, &other);
    assert_eq!((endpoint.poll_happened(), endpoint.counted().requests_dropped), (None, 1));
    endpoint.handle_timeout(Mono(32_000));
    arrive(&mut endpoint, 32_000, FROM, &other);
    asked(&mut endpoint);
}

#[test]
fn a_contact_says_where_we_are() {
    let bound = |port| vec![SocketAddr::from(([0, 0, 0, 0], port))];
    let v6 = vec!["[2001:db8::1]:5060".parse().unwrap()];
    let check = |settings: Settings, secure, expected: &str| {
        assert_eq!(&*Endpoint::new(settings, 1).contact("offhook", secure), expected);
    };
    let none = Settings::default;
    check(settings(0), false, "sip:offhook@192.0.2.1:5060");
    check(Settings { udp: v6, ..none() }, false, "sip:offhook@[2001:db8::1]:5060");
    let all = Settings {
        udp: bound(5060),
        tcp: bound(5060),
        tls: bound(5061),
        advertised: Some("sip.example.test".into()),
        ..none()
    };
    check(all.clone(), false, "sip:offhook@sip.example.test:5060");
    check(all.clone(), true, "sips:offhook@sip.example.test:5061");
    check(Settings { udp: vec![], ..all.clone() }, false, "sip:offhook@sip.example.test:5060;transport=tcp");
    check(Settings { tls: vec![], ..all }, true, "sip:offhook@sip.example.test:5060");
    check(
        Settings { advertised: Some("2001:db8::2".into()), udp: bound(5060), ..none() },
        false,
        "sip:offhook@[2001:db8::2]:5060",
    );
}

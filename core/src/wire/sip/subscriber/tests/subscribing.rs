//! The first SUBSCRIBE, the dialog that its NOTIFY makes, and the last one.

use super::*;

#[test]
fn s9_one_subscribe_with_what_is_asked_for() {
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    assert_eq!((request.method(), request.uri()), (Some("SUBSCRIBE"), Some(URI)));
    for (name, value) in [
        ("Event", "dialog"),
        ("Accept", "application/dialog-info+xml"),
        ("Expires", "3600"),
        ("To", "<sip:alice@192.0.2.9>"),
        ("Contact", "<sip:offhook@192.0.2.1:5060>"),
        ("CSeq", "1 SUBSCRIBE"),
        ("Max-Forwards", "70"),
        ("Supported", "none"),
        ("Content-Length", "0"),
    ] {
        assert_eq!(field(&request, name), value, "{name}");
    }
    assert!(field(&request, "From").starts_with("<sip:offhook@example.test>;tag="));

    let until = stage.in_s(90);
    stage.subscriber.subscribe(stage.now, KEY + 1, Wanted { accept: Default::default(), ..wanted() }, until);
    stage.collect();
    let other = stage.request();
    Stage::assert_new(&other, &request);
    assert_eq!(field(&other, "Accept"), "none");
    assert_eq!(field(&other, "Expires"), "90", "what is left until the end");
}

#[test]
fn header_fields_of_a_uri_stay_behind() {
    let mut stage = Stage::new();
    stage.subscribe(Wanted { uri: "sip:alice@192.0.2.9?Subject=x".into(), ..wanted() });
    let request = stage.request();
    assert_eq!((request.uri(), field(&request, "To")), (Some(URI), "<sip:alice@192.0.2.9>"));
}

#[test]
fn s10_a_notify_before_the_200_makes_the_dialog() {
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    assert_eq!(stage.notify_with(&request, 1, "active;expires=3600", &[], "<a/>"), 200);
    assert_eq!(stage.events(), ["save #1", "notified #1 first <a/>"]);
    stage.answer(&request, 200, &[("Expires", "3600")]);
    assert_eq!(stage.events(), [""; 0]);
    let (ms, refresh) = stage.until_request();
    assert!((3_240_000..=3_540_000).contains(&ms), "{ms}");
    assert_eq!(refresh.call_id(), request.call_id());
}

#[test]
fn s11_a_refresh_goes_the_way_that_the_notify_came() {
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    let fields = [("Record-Route", "<sip:192.0.2.9:5061;lr>"), ("Contact", "<sip:phone@192.0.2.77>")];
    assert_eq!(stage.notify_with(&request, 1, "active;expires=60", &fields, ""), 200);
    let (_, refresh) = stage.until_request();
    assert_eq!(refresh.uri(), Some("sip:phone@192.0.2.77"));
    assert_eq!(field(&refresh, "Route"), "<sip:192.0.2.9:5061;lr>");

    // A later Contact is the target of what follows; the route stays.
    let fields = [("Contact", "<sip:phone@192.0.2.78>")];
    assert_eq!(stage.notify_with(&request, 2, "active;expires=60", &fields, ""), 200);
    stage.answer(&refresh, 200, &[("Contact", "<sip:phone@192.0.2.79>")]);
    let (_, refresh) = stage.until_request();
    assert_eq!(refresh.uri(), Some("sip:phone@192.0.2.79"));
    assert_eq!(field(&refresh, "Route"), "<sip:192.0.2.9:5061;lr>");
}

#[test]
fn s12_what_a_notify_for_nothing_is_answered() {
    let (mut stage, request) = Stage::subscribed(3_600);
    let active = "active;expires=3600";
    for (fields, status) in [
        (&[("Call-ID", "nobody's")][..], 481),
        (&[("Call-ID", "00000000000000000000000000000001")], 481),
        (&[("To", "<sip:offhook@example.test>;tag=0123456789abcdef")], 481),
        (&[("To", "<sip:offhook@example.test>;tag=p1")], 481),
        (&[("Event", "presence")], 489),
        (&[("Event", "Dialog")], 489),
        (&[("Event", "dialog;id=1")], 481),
        (&[("Event", "")], 400),
        (&[("Event", "dialog;shared")], 200),
    ] {
        assert_eq!(stage.notify_with(&request, 9, active, fields, ""), status, "{fields:?}");
    }
    assert_eq!(stage.events(), ["notified #1"]);
    let notify = stage.notify_message(&request, 10, active, &[("Event", "presence")], "");
    stage.receive(&notify);
    assert_eq!(field(&stage.responses[0], "Allow-Events"), "dialog");
}

#[test]
fn a_notify_without_a_state_that_can_be_read_changes_nothing() {
    let (mut stage, request) = Stage::subscribed(3_600);
    for (state, status) in [
        ("", 400),
        (";expires=5", 400),
        ("active;expires=soon", 400),
        ("active;expires=-1", 400),
        ("terminated;reason=probation;retry-after=x", 400),
        ("ACTIVE ; Expires = 3600", 200),
        ("resting;expires=3600", 200), // A state of an extension.
        ("active;expires=99999999999", 200),
    ] {
        stage.branches += 100;
        let cseq = stage.branches;
        let status_found = stage.notify_with(&request, cseq, state, &[("Subscription-State", state)], "");
        assert_eq!(status_found, status, "{state}");
        let expected: &[&str] = if status == 200 { &["notified #1"] } else { &[] };
        assert_eq!(stage.events(), expected, "{state}");
    }
    let long = format!("<sip:{}@192.0.2.9>", "x".repeat(5_000));
    assert_eq!(stage.notify_with(&request, 5_000, "active", &[("Contact", &long)], ""), 513);
    assert_eq!(stage.notify_with(&request, 5_000, "active", &[], ""), 200, "its number was not taken");
}

#[test]
fn s17_without_a_notify_the_attempt_fails_and_is_made_again() {
    for answer in [Some(200), Some(202), None] {
        let mut stage = Stage::new();
        stage.subscribe(wanted());
        let mut before = stage.request();
        for wait_s in [30, 60, 120, 240, 480, 600, 600] {
            if let Some(status) = answer {
                stage.answer(&before, status, &[("Expires", "3600")]);
            }
            stage.pass(31_999);
            assert_eq!(stage.events(), [""; 0]);
            stage.pass(1);
            assert_eq!(stage.events(), ["ended #0 timeout"]);
            stage.requests.clear();
            let (ms, request) = stage.until_request();
            assert_eq!(ms, wait_s * 1_000);
            Stage::assert_new(&request, &before);
            before = request;
        }
        // One success, and the next failure counts as the first.
        assert_eq!(stage.notify(&before, 1, "active;expires=5"), 200);
        assert_eq!(stage.notify(&before, 2, "terminated;reason=deactivated"), 200);
        let (_, request) = stage.until_request();
        stage.answer(&request, 500, &[]);
        assert_eq!(stage.until_request().0, 30_000);
    }
}

#[test]
fn s52_a_202_is_a_200_and_a_missing_expires_keeps_ours() {
    for (granted, state, least, most) in [
        (&[("Expires", "600")][..], "active", 486_000, 540_000),
        (&[], "active", 3_240_000, 3_540_000),
        (&[("Expires", "99999")], "active", 3_240_000, 3_540_000), // Never longer than what was asked for.
        (&[("Expires", "600")], "pending;expires=120", 54_000, 60_000),
        (&[("Expires", "never")], "active;expires=7200", 3_240_000, 3_540_000),
    ] {
        for answer_first in [true, false] {
            let mut stage = Stage::new();
            stage.subscribe(wanted());
            let request = stage.request();
            if answer_first {
                stage.answer(&request, 202, granted);
            }
            assert_eq!(stage.notify(&request, 1, state), 200);
            if !answer_first {
                stage.answer(&request, 202, granted);
            }
            let (ms, _) = stage.until_request();
            assert!((least..=most).contains(&ms), "{granted:?} {state} {answer_first}: {ms}");
        }
    }
}

#[test]
fn pending_is_told() {
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    assert_eq!(stage.notify(&request, 1, "pending;expires=3600"), 200);
    assert_eq!(stage.notify_with(&request, 2, "active;expires=3600", &[], "<a/>"), 200);
    assert_eq!(stage.events(), ["save #1", "notified #1 pending first", "notified #1 <a/>"]);
}

#[test]
fn s21_a_copy_of_a_notify_gets_the_same_answer_and_is_told_once() {
    let (mut stage, request) = Stage::subscribed(3_600);
    let notify = stage.notify_message(&request, 2, "active;expires=3600", &[], "<a/>");
    for _ in 0..3 {
        stage.receive(&notify);
    }
    let answers: Vec<Message> = stage.responses.drain(..).collect();
    assert_eq!(answers.len(), 3);
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.status() == Some(200)));
    assert_eq!(stage.events(), ["notified #1 <a/>"]);
    // The same number in another transaction: taken once as well.
    assert_eq!(stage.notify_with(&request, 2, "active;expires=3600", &[], "<b/>"), 200);
    assert_eq!(stage.events(), [""; 0]);
}

#[test]
fn s22_an_overtaken_notify_is_refused_and_changes_nothing() {
    let (mut stage, request) = Stage::subscribed(3_600);
    assert_eq!(stage.notify_with(&request, 5, "active;expires=3600", &[], "<new/>"), 200);
    assert_eq!(stage.notify_with(&request, 4, "terminated;reason=rejected", &[], "<old/>"), 500);
    assert_eq!(stage.notify_with(&request, 70, "active;expires=3600", &[], "<gap/>"), 200);
    assert_eq!(stage.events(), ["notified #1 <new/>", "notified #1 <gap/>"]);
}

#[test]
fn s39_a_notify_after_the_end_gets_481_and_does_no_harm() {
    let (mut stage, request) = Stage::subscribed(3_600);
    stage.subscriber.unsubscribe(stage.now, KEY);
    stage.collect();
    let last = stage.request();
    assert_eq!(field(&last, "Expires"), "0");
    stage.answer(&last, 200, &[("Expires", "0")]);
    assert_eq!(stage.notify(&request, 2, "active;expires=3600"), 200, "not over yet");
    assert_eq!(stage.events(), [""; 0]);
    assert_eq!(stage.notify(&request, 3, "terminated;reason=timeout"), 200);
    assert_eq!(stage.events(), ["ended #1 timeout for good", "gone #1", "over"]);
    for state in ["active;expires=3600", "terminated;reason=deactivated"] {
        assert_eq!(stage.notify(&request, 4, state), 481);
        stage.pass(20_000);
    }
    assert_eq!(stage.events(), [""; 0]);
    stage.assert_empty();
    assert_eq!(stage.notify(&request, 5, "active"), 481);
}

#[test]
fn whom_nobody_may_ask_is_as_one_who_forbids_it() {
    for uri in ["sip:alice@203.0.113.9", "sip:alice@192.0.2.9;maddr=203.0.113.9", "sip:alice@pbx.test"] {
        let mut stage = Stage::new();
        stage.subscribe(Wanted { uri: uri.into(), ..wanted() });
        assert_eq!(stage.events(), ["ended #0 rejected 403 for good"], "{uri}");
        stage.subscriber.retry(stage.now, KEY);
        assert_eq!(stage.events(), ["ended #0 rejected 403 for good"], "{uri}");
        stage.pass(10_000_000);
        assert!(stage.requests.is_empty(), "{uri}");
        stage.subscriber.unsubscribe(stage.now, KEY);
        assert_eq!(stage.events(), ["over"], "{uri}");
        stage.assert_empty();
    }
}

#[test]
fn unsubscribing_needs_no_dialog() {
    // Nothing is on its way: it waits for another attempt.
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    stage.answer(&request, 480, &[]);
    stage.subscriber.unsubscribe(stage.now, KEY);
    assert_eq!(stage.events(), ["ended #0 giveup 480", "over"]);
    stage.assert_empty();

    // A SUBSCRIBE is on its way: what it makes is ended.
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    stage.subscriber.unsubscribe(stage.now, KEY);
    stage.subscriber.unsubscribe(stage.now, KEY);
    assert_eq!(stage.events(), [""; 0]);
    assert_eq!(stage.notify(&request, 1, "active;expires=3600"), 200);
    let last = stage.request();
    assert_eq!((field(&last, "Expires"), last.to_tag()), ("0", Some("p1")));
    stage.answer(&request, 200, &[]);
    assert_eq!(stage.notify(&last, 2, "terminated"), 200);
    assert_eq!(stage.events(), ["ended #1 giveup for good", "gone #1", "over"]);
    stage.assert_empty();

    // It is refused: there is nothing to be ended.
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    stage.subscriber.unsubscribe(stage.now, KEY);
    stage.answer(&request, 401, &[("WWW-Authenticate", "Digest realm=\"r\", nonce=\"n\"")]);
    assert_eq!(stage.events(), ["over"]);
    stage.assert_empty();
}

#[test]
fn a_peer_that_never_says_the_last_word_is_left_after_32_s() {
    for status in [Some(200), Some(500), None] {
        let (mut stage, _) = Stage::subscribed(3_600);
        stage.subscriber.unsubscribe(stage.now, KEY);
        stage.collect();
        let last = stage.request();
        if let Some(status) = status {
            stage.answer(&last, status, &[]);
        }
        stage.pass(31_999);
        assert_eq!(stage.events(), [""; 0], "{status:?}");
        stage.pass(1);
        assert_eq!(stage.events(), ["ended #1 timeout for good", "gone #1", "over"], "{status:?}");
        stage.assert_empty();
    }
    let (mut stage, _) = Stage::subscribed(3_600);
    stage.subscriber.unsubscribe(stage.now, KEY);
    stage.collect();
    let last = stage.request();
    stage.answer(&last, 481, &[]);
    assert_eq!(stage.events(), ["ended #1 deactivated 481 for good", "gone #1", "over"]);
    stage.assert_empty();
}

#[test]
fn a_peer_that_would_not_end_it_just_then_is_asked_again() {
    for (status, fields, wait_ms) in [
        (500, &[][..], 5_000),
        (503, &[("Retry-After", "4")], 5_000),
        (503, &[("Retry-After", "9")], 9_000),
        (423, &[("Min-Expires", "60")], 5_000),
    ] {
        let (mut stage, _) = Stage::subscribed(3_600);
        stage.subscriber.unsubscribe(stage.now, KEY);
        stage.collect();
        let last = stage.request();
        stage.answer(&last, status, fields);
        assert_eq!(stage.events(), [""; 0], "{status}");
        let (ms, again) = stage.until_request();
        assert_eq!((ms, field(&again, "Expires"), again.to_tag()), (wait_ms, "0", Some("p1")), "{status}");
        stage.answer(&again, 200, &[("Expires", "0")]);
        assert_eq!(stage.notify(&again, 2, "terminated;reason=timeout"), 200);
        assert_eq!(stage.events(), ["ended #1 timeout for good", "gone #1", "over"], "{status}");
        stage.assert_empty();
    }

    // Not for longer than 32 s, and not beyond its expiry.
    for (expires_s, retry_after, wait_ms) in [(3_600, "60", 32_000), (20, "25", 20_000)] {
        let (mut stage, _) = Stage::subscribed(expires_s);
        stage.subscriber.unsubscribe(stage.now, KEY);
        stage.collect();
        let last = stage.request();
        stage.answer(&last, 503, &[("Retry-After", retry_after)]);
        stage.pass(wait_ms - 1);
        assert_eq!(stage.events(), [""; 0], "{expires_s}");
        stage.pass(1);
        assert_eq!(stage.events(), ["ended #1 timeout for good", "gone #1", "over"], "{expires_s}");
        assert!(stage.requests.is_empty());
        stage.assert_empty();
    }
}

#[test]
fn nothing_is_asked_for_beyond_the_end_and_more_if_it_moves() {
    let mut stage = Stage::new();
    let until = stage.in_s(5_000);
    stage.subscriber.subscribe(stage.now, KEY, wanted(), until);
    stage.collect();
    let request = stage.request();
    assert_eq!(stage.notify(&request, 1, "active;expires=3600"), 200);
    stage.answer(&request, 200, &[]);
    let (ms, refresh) = stage.until_request();
    let left_s = (5_000_000 - ms).div_ceil(1_000);
    assert_eq!(field(&refresh, "Expires"), left_s.to_string());
    assert_eq!(stage.notify(&request, 2, &format!("active;expires={left_s}")), 200);
    stage.answer(&refresh, 200, &[]);
    stage.pass((left_s - 30) * 1_000);
    assert!(stage.requests.is_empty());
    let until = stage.in_s(10_000);
    stage.subscriber.extend(stage.now, KEY, until);
    let (ms, refresh) = stage.until_request();
    assert_eq!((ms, field(&refresh, "Expires")), (0, "3600"));
    stage.events();

    // The peer ends it at the very end: no new one for the rest. A later end begins one.
    let mut stage = Stage::new();
    let until = stage.in_s(60);
    stage.subscriber.subscribe(stage.now, KEY, wanted(), until);
    stage.collect();
    let request = stage.request();
    stage.answer(&request, 200, &[]);
    assert_eq!(stage.notify(&request, 1, "active;expires=60"), 200);
    stage.pass(59_000);
    assert_eq!(stage.notify(&request, 2, "terminated;reason=timeout"), 200);
    stage.pass(100_000);
    assert!(stage.requests.is_empty());
    assert_eq!(stage.events()[2..], ["ended #1 timeout", "gone #1"]);
    let until = stage.in_s(60);
    stage.subscriber.extend(stage.now, KEY, until);
    let (ms, request_2) = stage.until_request();
    assert_eq!(ms, 0);
    Stage::assert_new(&request_2, &request);
}

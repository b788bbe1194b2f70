//! Keeping a subscription alive (RFC 6665 section 4.1.2.2).

use super::*;

#[test]
fn s13_a_shorter_grant_moves_the_refresh() {
    for (expires_s, least, most) in
        [(3_600, 3_240_000, 3_540_000), (120, 54_000, 60_000), (60, 27_000, 30_000), (5, 2_250, 2_500)]
    {
        let mut stage = Stage::new();
        stage.subscribe(wanted());
        let request = stage.request();
        stage.answer(&request, 200, &[("Expires", &expires_s.to_string())]);
        assert_eq!(stage.notify(&request, 1, "active"), 200);
        let (ms, refresh) = stage.until_request();
        assert!((least..=most).contains(&ms), "{expires_s}: {ms}");
        assert_eq!(refresh.call_id(), request.call_id());
        assert_eq!((refresh.from_tag(), refresh.to_tag()), (request.from_tag(), Some("p1")));
        assert_eq!(refresh.cseq(), Some((2, "SUBSCRIBE")));
        assert_eq!(refresh.uri(), Some("sip:192.0.2.9:5060"));
        assert_eq!(field(&refresh, "Expires"), "3600");
        assert!(refresh.body.is_empty());
    }
}

#[test]
fn what_notifies_say_of_the_end_counts_and_does_not_put_the_refresh_off() {
    let (mut stage, request) = Stage::subscribed(3_600);
    assert_eq!(stage.notify(&request, 2, "active;expires=600"), 200);
    assert_eq!(stage.events(), ["save #1", "notified #1"]);
    let mut request_at = None;
    for s in 0..600 {
        stage.pass(1_000);
        if !stage.requests.is_empty() {
            request_at = Some(s);
            break;
        }
        let state = format!("active;expires={}", 599 - s);
        assert_eq!(stage.notify(&request, 3 + s, &state), 200);
    }
    assert!(request_at.is_some_and(|s| (485..540).contains(&s)), "{request_at:?}");
    assert!(stage.events().iter().all(|event| event == "notified #1"), "the same end is not saved again");
}

#[test]
fn s14_a_refresh_refused_with_503_is_tried_again_until_the_old_expiry() {
    for status in [400, 403, 408, 500, 503, 603] {
        let (mut stage, request) = Stage::subscribed(3_600);
        let mut waits = Vec::new();
        let new = loop {
            let (ms, request) = stage.until_request();
            waits.push(ms);
            if request.to_tag().is_none() {
                break request;
            }
            assert_eq!(stage.events(), [""; 0], "{status}");
            stage.answer(&request, status, &[]);
        };
        assert_eq!(stage.events(), ["ended #1 timeout", "gone #1"]);
        Stage::assert_new(&new, &request);
        assert_eq!(waits.iter().sum::<u64>(), 3_600_000);
        // Half of what is left each time, at least 5 s.
        let mut left_ms = 3_600_000 - waits[0];
        for wait_ms in &waits[1..] {
            assert_eq!(*wait_ms, (left_ms / 2).max(5_000).min(left_ms), "{waits:?}");
            left_ms -= wait_ms;
        }
    }
}

#[test]
fn rfc3261_12_2_1_1_a_refresh_goes_to_the_first_router_strict_or_loose() {
    for (routes, to, uri, expected) in [
        ("<sip:192.0.2.51;lr>, <sip:192.0.2.52;lr>", 51, "sip:192.0.2.9:5060", "<sip:192.0.2.51;lr>"),
        ("<sip:192.0.2.51;lr>, <sip:192.0.2.52>", 51, "sip:192.0.2.9:5060", "<sip:192.0.2.51;lr>"),
        ("<sip:192.0.2.51>, <sip:192.0.2.52;lr>", 51, "sip:192.0.2.51", "<sip:192.0.2.52;lr>"),
        ("<sip:192.0.2.51>, <sip:192.0.2.52>", 51, "sip:192.0.2.51", "<sip:192.0.2.52>"),
        ("<sip:192.0.2.51>", 51, "sip:192.0.2.51", "<sip:192.0.2.9:5060>"),
        ("", 9, "sip:192.0.2.9:5060", "none"),
    ] {
        let mut stage = Stage::new();
        stage.subscribe(wanted());
        let request = stage.request();
        stage.answer(&request, 200, &[]);
        assert_eq!(stage.notify_with(&request, 1, "active", &[("Record-Route", routes)], ""), 200);
        stage.set(stage.now.mono.plus_ms(3_540_000));
        stage.subscriber.handle_timeout(stage.now);
        let Some(Output::Datagram { to: found, bytes, .. }) = stage.subscriber.poll_output() else {
            panic!("{routes}")
        };
        let refresh = Message::from_datagram(&bytes).unwrap();
        assert_eq!(found, SocketAddr::from(([192, 0, 2, to], 5060)), "{routes}");
        assert_eq!((refresh.uri(), field(&refresh, "Route")), (Some(uri), expected), "{routes}");
    }
}

#[test]
fn a_retry_after_is_waited_for_while_the_old_expiry_holds() {
    let (mut stage, _) = Stage::subscribed(3_600);
    let (_, refresh) = stage.until_request();
    stage.answer(&refresh, 503, &[("Retry-After", "200 (busy);duration=9")]);
    let (ms, again) = stage.until_request();
    assert_eq!((ms, again.to_tag()), (200_000, Some("p1")));
    stage.answer(&again, 200, &[]);
    assert_eq!(stage.notify(&again, 2, "active;expires=3600"), 200);
    assert_eq!(stage.events(), ["save #1", "notified #1 first"]);
}

#[test]
fn s14_a_refresh_answered_481_leads_to_a_new_subscription_at_once() {
    let (mut stage, request) = Stage::subscribed(3_600);
    let (_, refresh) = stage.until_request();
    stage.answer(&refresh, 481, &[]);
    assert_eq!(stage.events(), ["ended #1 deactivated 481", "gone #1"]);
    let new = stage.request();
    Stage::assert_new(&new, &request);
    assert_eq!(stage.notify(&request, 2, "active;expires=3600"), 481);
    stage.answer(&new, 200, &[]);
    assert_eq!(stage.notify(&new, 1, "active;expires=3600"), 200);
    assert_eq!(stage.events(), ["save #2", "notified #2 first"]);
}

#[test]
fn other_answers_that_end_a_subscription() {
    for (status, said, wait_ms) in [
        (404, "ended #1 noresource 404 for good", None),
        (405, "ended #1 rejected 405 for good", None),
        (410, "ended #1 noresource 410 for good", None),
        (416, "ended #1 rejected 416 for good", None),
        (480, "ended #1 giveup 480", Some(30_000)),
        (482, "ended #1 giveup 482", Some(30_000)),
        (485, "ended #1 noresource 485 for good", None),
        (489, "ended #1 rejected 489 for good", None),
        (501, "ended #1 rejected 501 for good", None),
        (604, "ended #1 noresource 604 for good", None),
    ] {
        let (mut stage, request) = Stage::subscribed(3_600);
        let (_, refresh) = stage.until_request();
        stage.answer(&refresh, status, &[]);
        assert_eq!(stage.events(), [said, "gone #1"]);
        match wait_ms {
            Some(wait_ms) => {
                let (ms, new) = stage.until_request();
                assert_eq!(ms, wait_ms, "{status}");
                Stage::assert_new(&new, &request);
            }
            None => {
                stage.pass(100_000_000);
                assert!(stage.requests.is_empty(), "{status}");
                stage.subscriber.retry(stage.now, KEY);
                Stage::assert_new(&stage.until_request().1, &request);
            }
        }
    }
}

#[test]
fn s18_timer_n_of_a_refresh_does_not_end_what_has_had_a_notify_since() {
    // No answer to the refresh, but a NOTIFY: alive, and refreshed again at half of the rest.
    let (mut stage, request) = Stage::subscribed(3_600);
    let (_, refresh) = stage.until_request();
    assert_eq!(stage.notify(&refresh, 2, "active;expires=3600"), 200);
    assert_eq!(stage.events(), ["save #1", "notified #1 first"]);
    stage.pass(40_000);
    stage.requests.clear();
    assert_eq!(stage.events(), [""; 0]);
    let (ms, again) = stage.until_request();
    assert_eq!(again.call_id(), request.call_id());
    assert!((1_700_000..1_800_000).contains(&ms), "{ms}");
}

#[test]
fn a_refresh_without_answer_and_notify_ends_the_subscription() {
    let (mut stage, request) = Stage::subscribed(3_600);
    stage.until_request();
    stage.pass(31_999);
    assert_eq!(stage.events(), [""; 0]);
    stage.requests.clear();
    stage.pass(1);
    assert_eq!(stage.events(), ["ended #1 timeout", "gone #1"]);
    Stage::assert_new(&stage.request(), &request);
}

#[test]
fn a_refresh_with_a_200_and_no_notify_ends_it_at_the_peer_too() {
    let (mut stage, request) = Stage::subscribed(3_600);
    let (_, refresh) = stage.until_request();
    stage.answer(&refresh, 200, &[("Expires", "3600")]);
    stage.pass(32_000);
    assert_eq!(stage.events(), ["save #1", "ended #1 timeout", "gone #1"]);
    let last = stage.request();
    assert_eq!((last.call_id(), field(&last, "Expires")), (request.call_id(), "0"));
    Stage::assert_new(&stage.request(), &request);
}

#[test]
fn a_gap_is_filled_at_most_once_in_30_s() {
    let (mut stage, request) = Stage::subscribed(3_600);
    let dialog = stage.number(1);
    stage.subscriber.refresh(stage.now, KEY, dialog);
    stage.subscriber.refresh(stage.now, KEY, dialog);
    stage.subscriber.refresh(stage.now, KEY, dialog + 1);
    let (ms, first) = stage.until_request();
    assert_eq!((ms, first.cseq()), (0, Some((2, "SUBSCRIBE"))));
    assert!(stage.requests.is_empty());
    stage.answer(&first, 200, &[]);
    assert_eq!(stage.notify(&request, 2, "active;expires=3600"), 200);
    stage.pass(10_000);
    stage.subscriber.refresh(stage.now, KEY, dialog);
    let (ms, second) = stage.until_request();
    assert_eq!((ms, second.cseq()), (20_000, Some((3, "SUBSCRIBE"))));
}

#[test]
fn a_peer_that_grants_nothing_is_not_asked_in_a_loop() {
    let (mut stage, request) = Stage::subscribed(3_600);
    let mut cseq = 2;
    assert_eq!(stage.notify(&request, cseq, "active;expires=0"), 200);
    for _ in 0..20 {
        let (ms, refresh) = stage.until_request();
        assert!(ms >= 900, "{ms}");
        stage.answer(&refresh, 200, &[("Expires", "0")]);
        cseq += 1;
        assert_eq!(stage.notify(&refresh, cseq, "active;expires=0"), 200);
    }
}

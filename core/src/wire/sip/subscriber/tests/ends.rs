//! Ends, and what follows them.

use super::*;

/// What is said, and when the next SUBSCRIBE goes out.
fn check(state: &str, said: &str, wait_ms: Option<u64>) {
    let (mut stage, request) = Stage::subscribed(3_600);
    assert_eq!(stage.notify_with(&request, 2, state, &[], "<last/>"), 200);
    assert_eq!(stage.events(), [format!("{said} <last/>"), "gone #1".into()], "{state}");
    if let Some(wait_ms) = wait_ms {
        let (ms, new) = stage.until_request();
        assert_eq!(ms, wait_ms, "{state}");
        Stage::assert_new(&new, &request);
        return;
    }
    stage.pass(1_000_000);
    assert!(stage.requests.is_empty(), "{state}");
    stage.subscriber.retry(stage.now, KEY);
    let (ms, new) = stage.until_request();
    assert_eq!(ms, 0, "{state}");
    Stage::assert_new(&new, &request);
}

#[test]
fn s19_each_reason_leads_to_its_action() {
    check("terminated;reason=deactivated", "ended #1 deactivated", Some(0));
    check("terminated;reason=deactivated;retry-after=9", "ended #1 deactivated", Some(0));
    check("terminated;reason=probation", "ended #1 probation", Some(60_000));
    check("terminated;reason=probation;retry-after=7", "ended #1 probation", Some(7_000));
    check("terminated;reason=timeout", "ended #1 timeout", Some(0));
    check("terminated;reason=giveup", "ended #1 giveup", Some(60_000));
    check("terminated;reason=giveup;retry-after=120", "ended #1 giveup", Some(120_000));
    check("terminated", "ended #1 giveup", Some(60_000));
    check("terminated;expires=60;reason=strange", "ended #1 giveup", Some(60_000));
    check("terminated;reason=rejected", "ended #1 rejected for good", None);
    check("terminated;reason=noresource;retry-after=7", "ended #1 noresource for good", None);
    check("Terminated;reason=\"invariant\"", "ended #1 invariant for good", None);
}

#[test]
fn a_first_notify_that_is_the_last() {
    for (state, said) in [
        ("terminated;reason=rejected", "ended #0 rejected for good <a/>"),
        ("terminated;reason=probation;retry-after=7", "ended #0 probation <a/>"),
    ] {
        let mut stage = Stage::new();
        stage.subscribe(wanted());
        let request = stage.request();
        stage.answer(&request, 200, &[]);
        assert_eq!(stage.notify_with(&request, 1, state, &[], "<a/>"), 200);
        assert_eq!(stage.events(), [said]);
        assert_eq!(stage.notify(&request, 2, "active"), 481);
    }
}

#[test]
fn s20_each_refusal_of_the_first_request_leads_to_its_action() {
    for (status, fields, said, wait_ms) in [
        (404, &[][..], "ended #0 noresource 404 for good", None),
        (604, &[], "ended #0 noresource 604 for good", None),
        (403, &[], "ended #0 rejected 403 for good", None),
        (489, &[], "ended #0 rejected 489 for good", None),
        (420, &[], "ended #0 rejected 420 for good", None),
        (421, &[("Require", "timer")], "ended #0 giveup 421", Some(30_000)),
        (423, &[], "ended #0 giveup 423", Some(30_000)),
        (423, &[("Min-Expires", "60")], "ended #0 giveup 423", Some(30_000)),
        (300, &[("Contact", "<tel:1>")], "ended #0 giveup 300", Some(30_000)),
        (480, &[("Retry-After", "17")], "ended #0 giveup 480", Some(17_000)),
        (503, &[("Retry-After", "1800;duration=60")], "ended #0 giveup 503", Some(1_800_000)),
        (503, &[("Retry-After", "soon")], "ended #0 giveup 503", Some(30_000)),
        (404, &[("Retry-After", "17")], "ended #0 noresource 404 for good", None),
        (599, &[], "ended #0 giveup 599", Some(30_000)),
    ] {
        let mut stage = Stage::new();
        stage.subscribe(wanted());
        let request = stage.request();
        stage.answer(&request, status, fields);
        assert_eq!(stage.events(), [said]);
        match wait_ms {
            Some(wait_ms) => assert_eq!(stage.until_request().0, wait_ms, "{status}"),
            None => {
                stage.pass(10_000_000);
                assert!(stage.requests.is_empty(), "{status}");
            }
        }
    }
}

#[test]
fn s20_one_failure_says_nothing_of_others() {
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let until = stage.in_s(10_000);
    stage.subscriber.subscribe(stage.now, KEY + 1, wanted(), until);
    stage.collect();
    let (alice, bob) = (stage.request(), stage.request());
    stage.answer(&alice, 404, &[]);
    assert_eq!(stage.notify(&bob, 1, "active;expires=3600"), 200);
    let keys: Vec<u32> = std::iter::from_fn(|| stage.subscriber.poll_event()).map(|(key, _)| key).collect();
    assert_eq!(keys, [KEY, KEY + 1, KEY + 1]);
}

#[test]
fn a_name_without_address_and_a_transport_that_fails_count_as_a_503() {
    let mut stage = Stage::new();
    stage.subscribe(Wanted { uri: format!("{URI};transport=sctp").into(), ..wanted() });
    assert_eq!(stage.events(), ["ended #0 giveup 503"]);
    assert_eq!(stage.subscriber.poll_timeout(), Some(stage.now.mono.plus_ms(30_000)));
}

#[test]
fn s48_a_peer_that_always_deactivates_is_asked_once_in_5_s() {
    for state in ["terminated;reason=deactivated", "terminated;reason=probation;retry-after=0"] {
        let mut stage = Stage::new();
        stage.subscribe(wanted());
        let mut request = stage.request();
        let mut waits = Vec::new();
        for _ in 0..5 {
            stage.answer(&request, 200, &[]);
            assert_eq!(stage.notify(&request, 1, "active;expires=3600"), 200);
            assert_eq!(stage.notify(&request, 2, state), 200);
            let (ms, next) = stage.until_request();
            waits.push(ms);
            request = next;
        }
        assert_eq!(waits, [0, 5_000, 5_000, 5_000, 5_000], "{state}");
    }
}

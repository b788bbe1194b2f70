//! S46: subscriptions that outlive a start of the server, and those that do not.

use super::*;

/// What is left of a stage after a start, a while later.
fn restarted(before: &Stage, later_ms: u64) -> Stage {
    let mut stage = Stage::with(2, 0);
    stage.now.wall = Wall(before.now.wall.0 + later_ms);
    let text = serde_json::to_string(&before.saved).unwrap();
    let saved: Vec<Saved> = serde_json::from_str(&text).unwrap();
    assert_eq!(saved, before.saved);
    let until = stage.in_s(100_000);
    stage.subscriber.restore(stage.now, KEY, wanted(), until, saved);
    stage.collect();
    stage
}

#[test]
fn s46_a_restart_refreshes_at_once_with_numbers_that_were_not_used() {
    let mut before = Stage::new();
    before.subscribe(wanted());
    let request = before.request();
    let fields = [("Record-Route", "<sip:192.0.2.9;lr>"), ("Contact", "<sip:phone@192.0.2.9>")];
    assert_eq!(before.notify_with(&request, 5, "active;expires=3600", &fields, ""), 200);
    before.answer(&request, 200, &[]);
    before.events();

    let mut stage = restarted(&before, 600_000);
    let refresh = stage.request();
    assert_eq!(refresh.call_id(), request.call_id());
    assert_eq!((refresh.from_tag(), refresh.to_tag()), (request.from_tag(), Some("p1")));
    assert!(refresh.cseq().is_some_and(|(number, _)| number > 1_000));
    assert_eq!(refresh.uri(), Some("sip:192.0.2.9:5060"), "the 200 had the latest Contact");
    assert_eq!(field(&refresh, "Route"), "<sip:192.0.2.9;lr>");
    stage.answer(&refresh, 200, &[("Expires", "3600")]);
    assert_eq!(stage.notify(&request, 5, "active;expires=3600"), 200, "an old one, which is nothing new");
    assert_eq!(stage.notify_with(&request, 9, "active;expires=3600", &[], "<a/>"), 200);
    assert_eq!(stage.events(), ["save #1", "save #1", "notified #1 first <a/>"]);
    let (ms, again) = stage.until_request();
    assert!((3_240_000..=3_540_000).contains(&ms), "{ms}");
    assert_eq!(again.cseq().map(|(n, _)| n), refresh.cseq().map(|(n, _)| n + 1));
}

/// A peer that is too busy to say whether it knows the dialog is asked again before half of a long expiry is over.
#[test]
fn s46_a_first_refresh_that_is_refused_comes_again() {
    let (mut before, _) = Stage::subscribed(3_600);
    before.events();
    let mut stage = restarted(&before, 1_000);
    let refresh = stage.request();
    stage.answer(&refresh, 503, &[]);
    let (ms, again) = stage.until_request();
    assert_eq!((ms, again.to_tag()), (300_000, refresh.to_tag()));
    stage.answer(&again, 481, &[]);
    let new = stage.request();
    Stage::assert_new(&new, &refresh);
}

/// A wall clock that was set back meanwhile makes nothing live for longer than it could be granted.
#[test]
fn s46_a_clock_that_was_set_back_prolongs_nothing() {
    let (mut before, request) = Stage::subscribed(3_600);
    before.events();
    before.now.wall = Wall(before.now.wall.0 - 80_000_000);
    let mut stage = restarted(&before, 0);
    let refresh = stage.request();
    stage.answer(&refresh, 503, &[("Retry-After", "100000")]);
    let (ms, new) = stage.until_request();
    assert_eq!(ms, 3_600_000);
    Stage::assert_new(&new, &request);
}

#[test]
fn s46_restarts_in_a_row_use_no_number_twice() {
    let (mut before, _) = Stage::subscribed(3_600);
    before.events();
    let mut first = restarted(&before, 1_000);
    let refresh = first.request();
    assert_eq!(first.events(), ["save #1"]);
    let mut second = restarted(&first, 1_000);
    assert!(second.request().cseq() > refresh.cseq(), "{:?}", refresh.cseq());
}

#[test]
fn s46_a_peer_that_has_forgotten_leads_to_a_new_subscription() {
    let (mut before, request) = Stage::subscribed(3_600);
    before.events();
    let mut stage = restarted(&before, 1_000);
    let refresh = stage.request();
    stage.answer(&refresh, 481, &[]);
    assert_eq!(stage.events(), ["save #1", "ended #1 deactivated 481", "gone #1"]);
    Stage::assert_new(&stage.request(), &request);
}

#[test]
fn a_peer_that_may_not_be_asked_any_more_is_left_alone() {
    let (before, _) = Stage::subscribed(3_600);
    let mut stage = Stage::with(2, 0);
    let until = stage.in_s(100_000);
    let forbidden = Wanted { uri: "sip:alice@203.0.113.9".into(), ..wanted() };
    stage.subscriber.restore(stage.now, KEY, forbidden, until, before.saved.clone());
    stage.collect();
    let ended = ["ended #1 rejected 403 for good", "gone #1", "ended #0 rejected 403 for good"];
    assert_eq!((stage.events(), stage.requests.len()), (ended.map(str::to_owned).to_vec(), 0));
    stage.subscriber.unsubscribe(stage.now, KEY);
    assert_eq!(stage.events(), ["over"]);
    stage.assert_empty();
}

#[test]
fn s46_what_has_run_out_meanwhile_is_made_anew() {
    let (before, request) = Stage::subscribed(3_600);
    let mut stage = restarted(&before, 3_600_000);
    assert_eq!(stage.events(), ["ended #1 timeout", "gone #1"]);
    Stage::assert_new(&stage.request(), &request);

    // So is what cannot be read.
    let (mut before, request) = Stage::subscribed(3_600);
    before.saved[0].call_id = "strange".into();
    let mut stage = restarted(&before, 0);
    assert_eq!(stage.events(), ["ended #1 timeout", "gone #1"]);
    Stage::assert_new(&stage.request(), &request);
}

#[test]
fn s46_all_forks_are_refreshed() {
    let mut before = Stage::new();
    before.subscribe(wanted());
    let request = before.request();
    for tag in ["p1", "p2"] {
        let from = format!("<sip:alice@192.0.2.9>;tag={tag}");
        assert_eq!(before.notify_with(&request, 1, "active;expires=3600", &[("From", &from)], ""), 200);
    }
    before.events();
    let mut stage = restarted(&before, 0);
    let tags = [stage.request(), stage.request()].map(|request| request.to_tag().map(str::to_owned));
    assert_eq!(tags, [Some("p1".into()), Some("p2".into())]);
    let p3 = [("From", "<sip:alice@192.0.2.9>;tag=p3")];
    assert_eq!(stage.notify_with(&request, 1, "active", &p3, ""), 481, "no fork comes so late");
}

#[test]
fn s46_a_clean_stop_unsubscribes_all() {
    let mut stage = Stage::new();
    for key in 0..5 {
        let until = stage.in_s(100_000);
        stage.subscriber.subscribe(stage.now, key, wanted(), until);
        stage.collect();
        let request = stage.request();
        stage.answer(&request, 200, &[]);
        assert_eq!(stage.notify(&request, 1, "active;expires=3600"), 200);
    }
    for key in 0..5 {
        stage.subscriber.unsubscribe(stage.now, key);
        stage.collect();
        let last = stage.request();
        assert_eq!(field(&last, "Expires"), "0");
        stage.answer(&last, 200, &[]);
        assert_eq!(stage.notify(&last, 2, "terminated;reason=timeout"), 200);
    }
    assert_eq!(stage.subscriber.len(), 0);
    while stage.subscriber.poll_event().is_some() {}
    stage.assert_empty();
}

#[test]
fn s46_what_had_ended_before_the_restart_is_only_given_up() {
    let (before, request) = Stage::subscribed(3_600);
    let mut stage = Stage::with(2, 0);
    for saved in [Vec::new(), before.saved.clone()] {
        let is_there = !saved.is_empty();
        stage.subscriber.restore(stage.now, KEY, wanted(), stage.now.wall, saved);
        stage.collect();
        assert!(stage.requests.is_empty());
        stage.subscriber.unsubscribe(stage.now, KEY);
        stage.collect();
        if !is_there {
            assert_eq!(stage.events(), ["over"]);
            continue;
        }
        let last = stage.request();
        assert_eq!((field(&last, "Expires"), last.call_id()), ("0", request.call_id()));
        assert_eq!(stage.notify(&last, 2, "terminated;reason=timeout"), 200);
        assert_eq!(stage.events(), ["ended #1 timeout for good", "gone #1", "over"]);
    }
    stage.assert_empty();
}

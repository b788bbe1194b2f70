//! A forked SUBSCRIBE (RFC 6665 section 4.1.4).

use super::*;

const P2: [(&str, &str); 1] = [("From", "<sip:alice@192.0.2.9>;tag=p2")];
const ACTIVE: &str = "active;expires=3600";

fn forked() -> (Stage, Message) {
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    stage.answer(&request, 200, &[("Expires", "3600")]);
    assert_eq!(stage.notify(&request, 1, ACTIVE), 200);
    assert_eq!(stage.notify_with(&request, 1, ACTIVE, &P2, "<b/>"), 200);
    let said = ["save #1", "notified #1 first", "save #2", "notified #2 first <b/>"];
    assert_eq!(stage.events(), said);
    (stage, request)
}

#[test]
fn s23_each_fork_is_an_instance_where_the_package_takes_them() {
    let (mut stage, request) = forked();
    let mut tags = Vec::new();
    for _ in 0..2 {
        let (_, refresh) = stage.until_request();
        assert_eq!(refresh.cseq(), Some((2, "SUBSCRIBE")));
        stage.answer(&refresh, 200, &[]);
        let from = field(&refresh, "To").to_owned();
        assert_eq!(stage.notify_with(&request, 2, ACTIVE, &[("From", &from)], ""), 200);
        tags.push(refresh.to_tag().map(str::to_owned));
    }
    tags.sort_unstable();
    assert_eq!(tags, [Some("p1".into()), Some("p2".into())]);
    stage.events();

    // The last one that ends decides what follows.
    assert_eq!(stage.notify_with(&request, 3, "terminated;reason=deactivated", &P2, ""), 200);
    assert_eq!(stage.notify_with(&request, 4, ACTIVE, &P2, ""), 481, "it does not come back");
    assert!(stage.requests.is_empty());
    assert_eq!(stage.notify(&request, 3, "terminated;reason=deactivated"), 200);
    let said = stage.events();
    assert_eq!(said, ["ended #2 deactivated for good", "gone #2", "ended #1 deactivated", "gone #1"]);
    Stage::assert_new(&stage.request(), &request);
}

#[test]
fn s23_others_keep_the_first() {
    let mut stage = Stage::new();
    stage.subscribe(Wanted { event: "reg".into(), takes_forks: false, ..wanted() });
    let request = stage.request();
    assert_eq!(stage.notify(&request, 1, ACTIVE), 200);
    assert_eq!(stage.notify_with(&request, 1, ACTIVE, &P2, "<b/>"), 481);
    assert_eq!(stage.notify_with(&request, 1, "terminated", &P2, "<b/>"), 481);
    assert_eq!(stage.events(), ["save #1", "notified #1 first"]);
}

#[test]
fn forks_come_within_timer_n_and_are_bounded() {
    let (mut stage, request) = forked();
    for (at, status) in (3..=10).map(|at| (at, if at <= 8 { 200 } else { 481 })) {
        let from = format!("<sip:alice@192.0.2.9>;tag=p{at}");
        assert_eq!(stage.notify_with(&request, 1, ACTIVE, &[("From", &from)], ""), status, "{at}");
    }
    let (mut stage, request) = forked();
    stage.pass(31_000);
    let p3 = [("From", "<sip:alice@192.0.2.9>;tag=p3")];
    assert_eq!(stage.notify_with(&request, 1, "terminated;reason=rejected", &p3, ""), 200);
    assert_eq!(stage.notify_with(&request, 2, ACTIVE, &p3, ""), 481);
    stage.pass(1_000);
    let p4 = [("From", "<sip:alice@192.0.2.9>;tag=p4")];
    assert_eq!(stage.notify_with(&request, 1, ACTIVE, &p4, ""), 481);
    assert_eq!(stage.events(), [""; 0]);
}

#[test]
fn a_list_keeps_the_first_fork() {
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    let list = [("Require", "eventlist")];
    assert_eq!(stage.notify_with(&request, 1, ACTIVE, &list, "<list/>"), 200);
    assert_eq!(stage.events(), ["save #1", "notified #1 first list <list/>"]);
    assert_eq!(stage.notify_with(&request, 1, ACTIVE, &[P2[0], list[0]], "<list/>"), 481);
}

#[test]
fn all_forks_are_left() {
    let (mut stage, _) = forked();
    stage.subscriber.unsubscribe(stage.now, KEY);
    stage.collect();
    for last in [stage.request(), stage.request()] {
        let from = field(&last, "To").to_owned();
        assert_eq!(field(&last, "Expires"), "0");
        stage.answer(&last, 200, &[]);
        assert_eq!(stage.notify_with(&last, 2, "terminated", &[("From", &from)], ""), 200);
    }
    let said = ["ended #1 giveup for good", "gone #1", "ended #2 giveup for good", "gone #2", "over"];
    assert_eq!(stage.events(), said);
    stage.assert_empty();
}

#[test]
fn a_fork_that_refuses_does_not_end_the_others() {
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    assert_eq!(stage.notify(&request, 1, ACTIVE), 200);
    stage.answer(&request, 404, &[]);
    assert_eq!(stage.events(), ["save #1", "notified #1 first"]);
    assert_eq!(stage.until_request().1.to_tag(), Some("p1"));
}

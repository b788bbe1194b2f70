//! S47: the orderings that peers and networks make of messages. Those of NOTIFYs that are copied or overtaken, of answers
//! and the first NOTIFY, of Timer N, of forks, of 423, 481 and 503 stand beside the rules that they are of.

use super::*;

const ACTIVE: &str = "active;expires=3600";
const CHALLENGE: (&str, &str) =
    ("WWW-Authenticate", "Digest realm=\"example.test\", nonce=\"n1\", qop=\"auth\"");

#[test]
fn s47_notify_and_200_swapped_with_a_401_in_between() {
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    stage.answer(&request, 401, &[CHALLENGE]);
    let again = stage.request();
    assert_eq!(stage.notify(&again, 1, ACTIVE), 200);
    stage.answer(&request, 401, &[CHALLENGE]); // A copy.
    stage.answer(&again, 200, &[("Expires", "3600")]);
    assert!(stage.requests.is_empty());
    assert_eq!(stage.events(), ["save #1", "notified #1 first"]);
    assert_eq!(stage.until_request().1.cseq(), Some((3, "SUBSCRIBE")));

    // One branch of a fork sends its NOTIFY, another one a challenge that arrives later.
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    assert_eq!(stage.notify(&request, 1, ACTIVE), 200);
    stage.answer(&request, 401, &[CHALLENGE]);
    stage.pass(100_000);
    assert!(stage.requests.is_empty());
    assert_eq!(stage.events(), ["save #1", "notified #1 first"]);
}

#[test]
fn s47_two_notifies_reordered() {
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    let first = stage.notify_message(&request, 1, ACTIVE, &[], "");
    let second = stage.notify_message(&request, 2, ACTIVE, &[], "<new/>");
    stage.receive(&second);
    stage.receive(&first);
    let statuses: Vec<_> = stage.responses.drain(..).map(|response| response.status()).collect();
    assert_eq!(statuses, [Some(200), Some(500)]);
    assert_eq!(stage.events(), ["save #1", "notified #1 first <new/>"]);
}

#[test]
fn s47_the_200_is_lost_and_the_notify_is_there() {
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    assert_eq!(stage.notify(&request, 1, ACTIVE), 200);
    stage.pass(64_000);
    stage.requests.clear();
    assert_eq!(stage.events(), ["save #1", "notified #1 first"]);
    let (_, refresh) = stage.until_request();
    assert_eq!(refresh.call_id(), request.call_id());
}

#[test]
fn s47_the_notify_is_lost_and_the_peer_drops_us() {
    // The first NOTIFY: Timer N finds out.
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    stage.answer(&request, 200, &[("Expires", "3600")]);
    stage.pass(32_000);
    assert_eq!(stage.events(), ["ended #0 timeout"]);
    assert_eq!(stage.notify(&request, 1, ACTIVE), 481, "it comes too late");

    // A later one: the next refresh finds out.
    let (mut stage, request) = Stage::subscribed(3_600);
    let (_, refresh) = stage.until_request();
    stage.answer(&refresh, 481, &[]);
    Stage::assert_new(&stage.request(), &request);
}

#[test]
fn s47_a_terminated_notify_crosses_a_refresh() {
    let (mut stage, request) = Stage::subscribed(3_600);
    let (_, refresh) = stage.until_request();
    assert_eq!(stage.notify(&request, 2, "terminated;reason=timeout"), 200);
    let new = stage.request();
    Stage::assert_new(&new, &request);
    stage.answer(&refresh, 481, &[]);
    assert_eq!(stage.events(), ["ended #1 timeout", "gone #1"]);
    assert!(stage.requests.is_empty(), "the old refresh's answer is nobody's affair");
    assert_eq!(stage.notify(&new, 1, ACTIVE), 200);
    assert_eq!(stage.events(), ["save #2", "notified #2 first"]);
}

#[test]
fn s47_a_notify_after_terminated() {
    let (mut stage, request) = Stage::subscribed(3_600);
    assert_eq!(stage.notify(&request, 2, "terminated;reason=rejected"), 200);
    assert_eq!(stage.notify(&request, 3, ACTIVE), 481);
    assert_eq!(stage.notify(&request, 4, "terminated;reason=deactivated"), 481);
    assert_eq!(stage.events(), ["ended #1 rejected for good", "gone #1"]);
    assert!(stage.requests.is_empty());
}

#[test]
fn s47_the_final_notify_before_the_200_to_expires_0() {
    let (mut stage, request) = Stage::subscribed(3_600);
    stage.subscriber.unsubscribe(stage.now, KEY);
    stage.collect();
    let last = stage.request();
    assert_eq!(stage.notify(&request, 2, "terminated;reason=timeout"), 200);
    assert_eq!(stage.events(), ["ended #1 timeout for good", "gone #1", "over"]);
    stage.answer(&last, 200, &[("Expires", "0")]);
    assert_eq!(stage.events(), [""; 0]);
    stage.assert_empty();
}

#[test]
fn s47_unsubscribing_crosses_a_refresh() {
    let (mut stage, request) = Stage::subscribed(3_600);
    let (_, refresh) = stage.until_request();
    stage.subscriber.unsubscribe(stage.now, KEY);
    stage.collect();
    let last = stage.request();
    assert_eq!(last.cseq(), Some((3, "SUBSCRIBE")));
    stage.answer(&refresh, 200, &[("Expires", "3600")]);
    assert_eq!(stage.notify(&request, 2, ACTIVE), 200);
    assert_eq!(stage.events(), [""; 0]);
    stage.answer(&last, 200, &[]);
    assert_eq!(stage.notify(&request, 3, "terminated"), 200);
    assert_eq!(stage.events(), ["ended #1 giveup for good", "gone #1", "over"]);
    stage.assert_empty();
}

#[test]
fn s47_an_empty_first_notify_then_a_body() {
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    stage.answer(&request, 200, &[("Expires", "3600")]);
    assert_eq!(stage.notify(&request, 2, "active;expires=3600"), 200);
    assert_eq!(stage.notify_with(&request, 3, "active;expires=3600", &[], "<a/>"), 200);
    assert_eq!(stage.events(), ["save #1", "notified #1 first", "notified #1 <a/>"]);
}

#[test]
fn s47_the_notify_comes_on_a_new_connection() {
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    stage.answer(&request, 200, &[("Expires", "3600")]);
    let flow = stage.subscriber.accept(stage.now, "192.0.2.9:40000".parse().unwrap(), false);
    let via = [("Via", "SIP/2.0/TCP 192.0.2.9;branch=z9hG4bKt1")];
    let notify = stage.notify_message(&request, 1, ACTIVE, &via, "<a/>");
    let mut bytes = Vec::new();
    notify.write(&mut bytes);
    stage.subscriber.receive(stage.now, flow, &bytes);
    let Some(Output::Write { flow: to, bytes }) = stage.subscriber.poll_output() else { panic!("no answer") };
    assert!(to == flow && bytes.starts_with(b"SIP/2.0 200 "));
    assert_eq!(stage.events(), ["save #1", "notified #1 first <a/>"]);
    stage.subscriber.closed(stage.now, flow);
    assert_eq!(stage.notify(&request, 2, ACTIVE), 200, "a dialog belongs to no connection");
}

#[test]
fn s47_the_peer_restarts() {
    // It has forgotten all: the refresh is answered 481, or nothing comes at all.
    let (mut stage, request) = Stage::subscribed(3_600);
    let (_, refresh) = stage.until_request();
    stage.pass(31_000);
    stage.answer(&refresh, 481, &[]);
    stage.requests.retain(|request| request.to_tag().is_none());
    let new = stage.request();
    Stage::assert_new(&new, &request);
    // Its numbers begin anew, in a dialog of its own.
    stage.answer(&new, 200, &[]);
    assert_eq!(stage.notify(&new, 1, ACTIVE), 200);
    let said = stage.events();
    assert_eq!(said, ["ended #1 deactivated 481", "gone #1", "save #2", "notified #2 first"]);
}

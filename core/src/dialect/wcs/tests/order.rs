//! Order, slow backends, timeouts, retries, bounds.

use super::*;

fn closed(sent: bool) -> Result<Answer, CallFault> {
    Err(CallFault::Closed { sent, reused: true })
}

fn refused() -> Result<Answer, CallFault> {
    Err(CallFault::Connect("connection refused".into()))
}

fn one() -> Talk {
    Talk::new(vec![app(&["StreamStatusEvent"])])
}

#[test]
fn w27_a_session_has_one_call_at_a_time_in_order() {
    let mut talk = one();
    for name in ["a", "b", "c"] {
        talk.stream("s", name);
    }
    for name in ["a", "b", "c"] {
        let asked = talk.call();
        assert_eq!(asked.body()["name"], name);
        talk.pass(10_000);
        assert!(talk.calls().is_empty(), "a slow backend is waited for");
        talk.reply(&asked, if name == "a" { answer(500) } else { answer(200) });
    }
    assert!(talk.calls().is_empty());
    let latencies = talk.counted("StreamStatusEvent");
    assert_eq!((latencies.latencies[6], latencies.latency_sum_ms), (3, 30_000));
}

#[test]
fn w28_a_slow_session_delays_no_other() {
    let mut talk = one();
    for (session, name) in [("slow", "a"), ("slow", "b"), ("quick", "c"), ("quick", "d")] {
        talk.stream(session, name);
    }
    let calls = talk.calls();
    let names: Vec<_> = calls.iter().map(|asked| asked.body()["name"].clone()).collect();
    assert_eq!(names, ["a", "c"]);
    talk.reply(&calls[1], answer(200));
    assert_eq!(talk.call().body()["name"], "d");
}

#[test]
fn an_application_has_at_most_64_calls_and_no_other_waits_for_it() {
    let other = WcsApp { key: "other".to_owned(), ..app(&["StreamStatusEvent"]) };
    let mut talk = Talk::new(vec![app(&["StreamStatusEvent"]), other]);
    for session in 0..70 {
        talk.stream(&format!("s{session}"), "a");
    }
    let calls = talk.calls();
    assert_eq!(calls.len(), 64);
    talk.publish(event("stream.status", &[("appkey", "other"), ("sessionid", "s0")], "{}"));
    assert_eq!(talk.call().body()["appKey"], "other");
    talk.reply(&calls[5], answer(200));
    assert_eq!(talk.call().body()["sessionId"], "s64");
}

#[test]
fn w24_a_backend_that_never_answers_fails_after_15_s_without_a_retry() {
    let mut talk = Talk::new(vec![failing("StreamStatusEvent")]);
    talk.stream("s", "a");
    let asked = talk.call();
    assert_eq!(asked.call.total_ms, 15_000);
    talk.pass(15_000);
    talk.reply(&asked, Err(CallFault::Timeout));
    assert!(talk.calls().is_empty());
    let dead = talk.ended().remove(0).dead.expect("it is dead");
    assert_eq!(&*dead.reason, "REST hook StreamStatusEvent failed: timeout after 15 s");
}

#[test]
fn w24_a_timeout_of_0_waits_on() {
    let mut talk = Talk::new(vec![WcsApp { timeout_ms: 0, ..app(&["StreamStatusEvent"]) }]);
    talk.stream("s", "a");
    let asked = talk.call();
    assert_eq!(asked.call.total_ms, 0);
    talk.pass(86_400_000);
    talk.reply(&asked, refused());
    assert_eq!(talk.call().call.total_ms, 0, "and a retry has no bound either");
}

#[test]
fn w25_a_refused_connection_is_tried_four_times_at_once() {
    let mut talk = one();
    talk.stream("s", "a");
    talk.stream("s", "b");
    for _ in 0..4 {
        let asked = talk.call();
        assert_eq!(asked.body()["name"], "a");
        talk.reply(&asked, refused());
    }
    assert_eq!(talk.call().body()["name"], "b");
    assert_eq!(talk.counted("StreamStatusEvent").retries, 3);
    let dead = talk.ended().remove(0).dead.expect("it is dead");
    assert_eq!(&*dead.reason, "REST hook StreamStatusEvent failed: connection failed");
}

#[test]
fn w25_w31_a_503_and_a_redirect_are_tried_once() {
    for status in [503, 301, 307] {
        let mut talk = one();
        talk.stream("s", "a");
        let asked = talk.call();
        talk.reply(&asked, answer(status));
        assert!(talk.calls().is_empty());
        assert_eq!(talk.ended().len(), 1);
    }
}

/// W24, W25: 15 s bound the whole call, all attempts together.
#[test]
fn w25_retries_share_the_time_of_the_call() {
    let mut talk = one();
    talk.stream("s", "a");
    for left_ms in [15_000, 10_000, 5_000] {
        let asked = talk.call();
        assert_eq!((asked.call.total_ms, asked.call.connect_ms), (left_ms, 5_000));
        talk.pass(5_000);
        talk.reply(&asked, Err(CallFault::ConnectTimeout));
    }
    assert!(talk.calls().is_empty());
    let dead = talk.ended().remove(0).dead.expect("it is dead");
    assert_eq!(&*dead.reason, "REST hook StreamStatusEvent failed: timeout after 15 s");
}

#[test]
fn w26_a_connection_that_ends_before_the_status_line_is_tried_again() {
    let mut talk = one();
    talk.stream("s", "a");
    let asked = talk.call();
    talk.reply(&asked, closed(true));
    let again = talk.call();
    assert_eq!(again.call.request, asked.call.request);
    talk.reply(&again, answer(200));
    assert_eq!(talk.ended(), [Ended { seq: asked.key, dead: None }]);
}

#[test]
fn w26_with_retry_sent_false_it_is_not_once_all_was_sent() {
    let mut config = config(vec![app(&["StreamStatusEvent"])]);
    config.wcs.retry_sent = false;
    let mut talk = Talk::with(config);
    talk.stream("s", "a");
    let asked = talk.call();
    talk.reply(&asked, closed(false));
    let again = talk.call();
    talk.reply(&again, closed(true));
    assert!(talk.calls().is_empty() && talk.ended()[0].dead.is_some());
}

#[test]
fn a_session_with_too_many_waiting_fails_the_new_ones() {
    let mut config = config(vec![app(&["StreamStatusEvent"])]);
    config.limits.wcs_waiting_per_session = 2;
    let mut talk = Talk::with(config);
    for name in ["a", "b", "c", "d"] {
        talk.stream("s", name);
    }
    talk.stream("other", "e");
    let calls = talk.calls();
    assert_eq!(calls.len(), 2);
    let ended = talk.ended();
    let dead = ended[0].dead.as_ref().expect("it is dead");
    assert!(ended.len() == 1 && dead.body.contains(r#""name":"d""#), "{dead:?}");
    assert_eq!(&*dead.reason, "REST hook StreamStatusEvent failed: too many hooks wait");
    talk.reply(&calls[0], answer(200));
    assert_eq!(talk.call().body()["name"], "b");
}

#[test]
fn outcomes_of_a_turn_are_one_record() {
    let mut talk = one();
    for session in ["1", "2", "3"] {
        talk.stream(session, "a");
    }
    let records = talk.log.len();
    for asked in talk.calls() {
        talk.wcs.answered(&mut talk.hub, asked.key, answer(200));
    }
    talk.turn();
    assert_eq!((talk.log.len() - records, talk.ended().len()), (1, 3));
}

#[test]
fn an_answer_to_nothing_is_nothing() {
    let mut talk = one();
    talk.wcs.answered(&mut talk.hub, 99, answer(200));
    talk.turn();
    assert!(talk.ended().is_empty());
}

//! Every rule of the reference's sections 2.6 and 2.7, as a table of answers.

use super::*;

fn text(value: &str) -> Fact {
    Fact::Text(value.into())
}

fn ours() -> Fields {
    vec![
        ("mediaSessionId".into(), text("m1")),
        ("name".into(), text("b4e7")),
        ("sdp".into(), text("v=0")),
        ("sipLogin".into(), text("old")),
        ("operationId".into(), text("op1")),
    ]
}

fn answer(status: u16, content: &str) -> Answer {
    Answer {
        status,
        retry_after_ms: None,
        content_type: Some("application/json".into()),
        content: content.as_bytes().to_vec(),
        cut: false,
    }
}

fn policy(on_error: OnError, policy: RestPolicy, overwrite: &[&str]) -> HookPolicy {
    let overwrite = overwrite.iter().map(|name| (*name).to_owned()).collect();
    HookPolicy { on_error, policy, overwrite, ..HookPolicy::default() }
}

fn judged(hook: &str, kind: Kind, policy: &HookPolicy, answer: &Answer) -> Outcome {
    judge(Called { hook, kind }, policy, &ours(), Ok(answer), &Limits::default(), &mut Vec::new())
}

fn get<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    fields.iter().find(|(n, _)| &**n == name).and_then(|(_, fact)| fact.as_text())
}

fn log() -> HookPolicy {
    HookPolicy::default()
}

fn fail_policy() -> HookPolicy {
    policy(OnError::Fail, RestPolicy::Notify, &[])
}

#[test]
fn w6_w31_connect_takes_200_and_nothing_else() {
    let accepted = judged("connect", Kind::Connect, &log(), &answer(200, "{}"));
    assert_eq!(accepted, Outcome::Proceed { fields: ours(), policies: None, failure: None });
    for status in [201, 204, 301, 302, 403, 500] {
        let declined = judged("connect", Kind::Connect, &log(), &answer(status, "{}"));
        assert_eq!(declined, Outcome::Decline(Failure::Status(status)));
    }
    let nobody = Failure::of(&CallFault::Connect("refused".into()), 15_000);
    let called = Called { hook: "connect", kind: Kind::Connect };
    let declined = judge(called, &log(), &ours(), Err(&nobody), &Limits::default(), &mut Vec::new());
    assert_eq!(declined, Outcome::Decline(Failure::Connection));
}

#[test]
fn w7_connect_with_no_content_is_accepted_and_with_text_declined() {
    let accepted = judged("connect", Kind::Connect, &log(), &answer(200, ""));
    assert!(matches!(accepted, Outcome::Proceed { policies: None, failure: None, .. }));
    for content in ["hello", "[]", "{\"a\":1", r#"{"restClientConfig":"x"}"#] {
        let declined = judged("connect", Kind::Connect, &log(), &answer(200, content));
        assert_eq!(declined, Outcome::Decline(Failure::BadResponse), "{content}");
    }
    let cut = Answer { cut: true, ..answer(200, "{}") };
    assert_eq!(judged("connect", Kind::Connect, &log(), &cut), Outcome::Decline(Failure::BadResponse));
}

#[test]
fn w10_notify_ignores_returned_fields() {
    let notify = policy(OnError::Log, RestPolicy::Notify, &["name"]);
    let outcome = judged("publishStream", Kind::Direct, &notify, &answer(200, r#"{"name":"other"}"#));
    assert_eq!(outcome, Outcome::Proceed { fields: ours(), policies: None, failure: None });
}

#[test]
fn w11_overwrite_replaces_the_named_fields_and_no_other() {
    let overwrite = policy(OnError::Log, RestPolicy::Overwrite, &["name", "custom", "absent"]);
    let returned = r#"{"name":"other","sdp":"changed","custom":{"a":[1,2.0]}}"#;
    for kind in [Kind::Direct, Kind::Incoming] {
        let Outcome::Proceed { fields, .. } =
            judged("publishStream", kind, &overwrite, &answer(200, returned))
        else {
            panic!("it goes on")
        };
        assert_eq!((get(&fields, "name"), get(&fields, "sdp")), (Some("other"), Some("v=0")));
        assert_eq!(fields.last(), Some(&("custom".into(), Fact::Nested(r#"{"a":[1,2.0]}"#.into()))));
        assert_eq!(fields.len(), ours().len() + 1);
    }
    // A type 3 event has gone to the client already.
    let event = judged("StreamStatusEvent", Kind::Event, &overwrite, &answer(200, returned));
    assert_eq!(event, Outcome::Proceed { fields: ours(), policies: None, failure: None });
}

#[test]
fn w13_overwrite_in_the_answer_to_connect_applies_to_that_answer() {
    let content = r#"{"sipLogin":"new","name":"x","restClientConfig":{"connect":{"restPolicy":"OVERWRITE",
        "restOverwrite":"sipLogin"},"call":{"restOnError":"FAIL"}}}"#;
    let Outcome::Proceed { fields, policies: Some(policies), failure: None } =
        judged("connect", Kind::Connect, &log(), &answer(200, content))
    else {
        panic!("it is accepted")
    };
    assert_eq!((get(&fields, "sipLogin"), get(&fields, "name")), (Some("new"), Some("b4e7")));
    assert_eq!(policies["call"].on_error, OnError::Fail);
}

#[test]
fn w8_w9_w14_clients_get_what_is_not_excluded_and_never_a_sip_password() {
    let policy = HookPolicy {
        client_exclude: vec!["name".to_owned()],
        rest_exclude: vec!["sdp".to_owned()],
        ..HookPolicy::default()
    };
    let mut fields = ours();
    fields.push(("sipPassword".into(), text("secret")));
    let seen = for_client(&fields, &policy);
    let names: Vec<&str> = seen.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["mediaSessionId", "sdp", "sipLogin", "operationId"]);
}

#[test]
fn w16_w17_events_go_on_and_fail_tells_the_client() {
    for status in [500, 403, 301] {
        let logged = judged("StreamStatusEvent", Kind::Event, &log(), &answer(status, ""));
        let failure = Some(Failure::Status(status));
        assert_eq!(logged, Outcome::Proceed { fields: ours(), policies: None, failure });
        let told = judged("StreamStatusEvent", Kind::Event, &fail_policy(), &answer(status, ""));
        assert_eq!(told, Outcome::Tell(Failure::Status(status)));
    }
}

#[test]
fn w19_a_refused_operation_fails_in_its_own_event() {
    for (hook, event) in [
        ("publishStream", "StreamStatusEvent"),
        ("call", "CallStatusEvent"),
        ("transfer", "TransferStatusEvent"),
        ("sendDtmf", "ErrorStatusEvent"),
    ] {
        let Outcome::Stop(Failure::Status(403), Some((told, fields))) =
            judged(hook, Kind::Direct, &fail_policy(), &answer(403, ""))
        else {
            panic!("{hook} stops")
        };
        assert_eq!(
            (told, get(&fields, "status"), get(&fields, "mediaSessionId")),
            (event, Some("FAILED"), Some("m1"))
        );
        assert_eq!(get(&fields, "info"), Some(&*format!("REST hook {hook} failed: HTTP 403")));
        assert!(get(&fields, "sdp").is_none());
    }
}

#[test]
fn w20_with_log_a_refused_operation_goes_on() {
    let outcome = judged("publishStream", Kind::Direct, &log(), &answer(403, "{}"));
    let failure = Some(Failure::Status(403));
    assert_eq!(outcome, Outcome::Proceed { fields: ours(), policies: None, failure });
}

#[test]
fn w21_an_incoming_call_stops_with_fail_and_is_delivered_with_log() {
    let stopped = judged("OnCallEvent", Kind::Incoming, &fail_policy(), &answer(500, ""));
    assert_eq!(stopped, Outcome::Stop(Failure::Status(500), None));
    let delivered = judged("OnCallEvent", Kind::Incoming, &log(), &answer(500, ""));
    assert!(matches!(delivered, Outcome::Proceed { failure: Some(Failure::Status(500)), .. }));
}

#[test]
fn w22_on_data_is_accepted_or_failed_with_its_operation() {
    let (event, fields) = accepted("OnDataEvent", &ours()).unwrap();
    assert_eq!(
        (event, get(&fields, "status"), get(&fields, "operationId")),
        ("DataStatusEvent", Some("ACCEPTED"), Some("op1"))
    );
    let Outcome::Stop(_, Some((event, fields))) =
        judged("OnDataEvent", Kind::Direct, &fail_policy(), &answer(403, ""))
    else {
        panic!("it stops")
    };
    assert_eq!(
        (event, get(&fields, "status"), get(&fields, "operationId")),
        ("DataStatusEvent", Some("FAILED"), Some("op1"))
    );
    assert_eq!(get(&fields, "info"), Some("REST hook OnDataEvent failed: HTTP 403"));
    assert!(matches!(judged("OnDataEvent", Kind::Direct, &log(), &answer(403, "")), Outcome::Proceed { .. }));
    assert_eq!(accepted("publishStream", &ours()), None);
}

#[test]
fn w23_a_refused_keepalive_terminates_the_stream() {
    let ended = judged("StreamKeepAliveEvent", Kind::Event, &fail_policy(), &answer(403, ""));
    assert_eq!(ended, Outcome::Terminate(Failure::Status(403)));
    let logged = judged("StreamKeepAliveEvent", Kind::Event, &log(), &answer(403, ""));
    assert!(matches!(logged, Outcome::Proceed { failure: Some(_), .. }));
}

#[test]
fn w25_w26_errors_while_sending_alone_are_tried_again() {
    let closed = |sent, reused| CallFault::Closed { sent, reused };
    for (fault, again, again_unless_sent) in [
        (CallFault::Connect("refused".into()), true, true),
        (CallFault::ConnectTimeout, true, true),
        (closed(false, false), true, true),
        (closed(true, true), true, false),
        (CallFault::Timeout, false, false),
        (CallFault::Resolve("no such name".into()), false, false),
        (CallFault::Tls("expired".into()), false, false),
        (CallFault::Cut, false, false),
        (CallFault::BadAnswer("no status"), false, false),
        (CallFault::Proxy(502), false, false),
        (CallFault::NoRoom, false, false),
    ] {
        assert_eq!(
            (is_sent_again(&fault, true), is_sent_again(&fault, false)),
            (again, again_unless_sent),
            "{fault:?}"
        );
    }
}

#[test]
fn w32_echoes_escapes_and_odd_types_are_fine() {
    let overwrite = policy(OnError::Log, RestPolicy::Overwrite, &["name"]);
    let mut warnings = Vec::new();
    let called = Called { hook: "publishStream", kind: Kind::Direct };
    for content in ["{}", "", " \r\n", "{ \"name\" : \"rtmp:\\/\\/x\\/y\", \"echo\": [null] }\n"] {
        let answer =
            Answer { content_type: Some("Application/JSON; charset=utf-8".into()), ..answer(200, content) };
        let outcome = judge(called, &overwrite, &ours(), Ok(&answer), &Limits::default(), &mut warnings);
        let Outcome::Proceed { fields, failure: None, .. } = outcome else { panic!("{content}") };
        let expected = if content.contains("rtmp") { "rtmp://x/y" } else { "b4e7" };
        assert_eq!(get(&fields, "name"), Some(expected));
    }
    assert!(warnings.is_empty(), "{warnings:?}");
    let html = Answer { content_type: Some("text/html".into()), ..answer(200, "{}") };
    let outcome = judge(called, &overwrite, &ours(), Ok(&html), &Limits::default(), &mut warnings);
    assert!(matches!(outcome, Outcome::Proceed { failure: None, .. }));
    assert_eq!(warnings.len(), 1);
}

#[test]
fn content_that_is_no_object_fails_where_it_is_used() {
    for (kind, rest, fails) in [
        (Kind::Direct, RestPolicy::Overwrite, true),
        (Kind::Incoming, RestPolicy::Overwrite, true),
        (Kind::Direct, RestPolicy::Notify, false),
        (Kind::Event, RestPolicy::Overwrite, false),
    ] {
        let policy = policy(OnError::Fail, rest, &["name"]);
        let outcome = judged("hold", kind, &policy, &answer(200, "<html>"));
        assert_eq!(matches!(outcome, Outcome::Stop(Failure::BadResponse, _)), fails, "{kind:?} {rest:?}");
    }
}

#[test]
fn infos_are_the_four_texts() {
    for (failure, text) in [
        (Failure::Status(500), "REST hook call failed: HTTP 500"),
        (Failure::Timeout(15_000), "REST hook call failed: timeout after 15 s"),
        (Failure::Timeout(1_500), "REST hook call failed: timeout after 1500 ms"),
        (Failure::of(&CallFault::Tls("x".into()), 1), "REST hook call failed: connection failed"),
        (Failure::of(&CallFault::Cut, 1), "REST hook call failed: bad response"),
        (Failure::of(&CallFault::Timeout, 2_000), "REST hook call failed: timeout after 2 s"),
    ] {
        assert_eq!(failure.info("call"), text);
    }
}

use serde_json::{Value, json};
use uuid::Uuid;

use crate::dialect::{receiver, settled};
use crate::event::vocabulary::Vocabulary;
use crate::event::{Data, Event, Fact};
use crate::ground::config::{Config, VocabularyRow};
use crate::ground::id::Seq;
use crate::ground::time::Wall;
use crate::hub::call::{Answer, Tls};
use crate::outbox::receiver::{Judgement, Letter, Receiver, Wrong};

pub(super) fn event(event_type: &str, data: &[(&str, Fact)]) -> Event {
    let facts = data.iter().map(|(name, fact)| ((*name).into(), fact.clone())).collect();
    Event {
        id_given: true,
        id: "e-1".into(),
        source: "recorder".into(),
        event_type: event_type.into(),
        subject: None,
        time: "2026-01-31T12:00:00Z".into(),
        wall: Wall(1_769_860_800_000),
        content_type: None,
        schema: None,
        extensions: Vec::new(),
        data: Data::Facts(facts),
    }
}

const ID: &str = "0b8f5a5e-3a1c-4a39-9e43-2f7f0a6f3c11";
const BASE: &str = "https://1.2.3.4:8443/Face/eventNotify";

fn compile(spec: &Value, config: &Config) -> Result<Box<dyn Receiver>, Wrong> {
    receiver("isr", "face", &spec.to_string(), config, true)
}

/// A destination for everybody's RECORDING_STARTED_EVENT, with `more` keys; a null takes a key away.
fn spec(more: Value) -> Value {
    let mut spec = json!({ "url": BASE, "events": ["RECORDING_STARTED_EVENT"], "global": true });
    if let (Value::Object(spec), Value::Object(more)) = (&mut spec, more) {
        spec.extend(more);
    }
    spec
}

#[track_caller]
fn made(more: Value) -> Box<dyn Receiver> {
    compile(&spec(more), &Config::default()).unwrap_or_else(|wrong| panic!("{wrong:?}"))
}

#[track_caller]
fn refused(more: Value, key: &str, parts: &[&str]) {
    let wrong = compile(&spec(more.clone()), &Config::default()).expect_err(&more.to_string());
    assert_eq!(wrong.key, key, "{more}: {wrong:?}");
    for part in parts {
        assert!(wrong.detail.contains(part), "{more}: {wrong:?} says nothing of {part}");
    }
}

fn sent(receiver: &dyn Receiver, event: &Event) -> String {
    let id = Uuid::parse_str(ID).unwrap();
    let letter = Letter { id, seq: Seq(1), event, attempts: 0 };
    String::from_utf8(receiver.request(&[letter], Wall(0), &Vocabulary::new(&[]))).unwrap()
}

/// The request's target.
fn target(receiver: &dyn Receiver, event: &Event) -> String {
    sent(receiver, event).split(' ').nth(1).unwrap().to_owned()
}

fn wants(receiver: &dyn Receiver, event: &Event) -> bool {
    receiver.wants(event, &Vocabulary::new(&[]))
}

fn with(mut event: Event, extensions: &[(&str, &str)]) -> Event {
    event.extensions =
        extensions.iter().map(|(name, value)| ((*name).into(), Fact::Text((*value).into()))).collect();
    event.extensions.sort_by(|a, b| a.0.cmp(&b.0));
    event
}

/// The call of the vendor's example.
fn example() -> Event {
    let text = |text: &str| Fact::Text(text.into());
    event(
        "recording.started",
        &[("called_aors", text("sip:7654321@1.2.3.1:5060")), ("ucid", text("13-23132@1.2.3.4"))],
    )
}

const TEMPLATE: &str = "event=AudioRecordingStarted&calledAors=%CALLEDAORS%&ucid=%UCID%";

/// R7
#[test]
fn r7_the_vendors_example_byte_for_byte() {
    let bare = made(json!({ "parameters": TEMPLATE, "bare": ":@" }));
    let line = "GET /Face/eventNotify?event=AudioRecordingStarted&calledAors=sip:7654321@1.2.3.1:5060\
                &ucid=13-23132@1.2.3.4 HTTP/1.1\r\n";
    assert!(sent(&*bare, &example()).starts_with(line), "{}", sent(&*bare, &example()));
    let strict = made(json!({ "parameters": TEMPLATE }));
    assert_eq!(
        sent(&*strict, &example()),
        format!(
            "GET /Face/eventNotify?event=AudioRecordingStarted&calledAors=sip%3A7654321%401.2.3.1%3A5060\
             &ucid=13-23132%401.2.3.4 HTTP/1.1\r\n\
             Host: 1.2.3.4:8443\r\n\
             User-Agent: offhook/1.0\r\n\
             Accept: */*\r\n\
             Offhook-Delivery-Id: {ID}\r\n\
             \r\n"
        )
    );
}

/// R1
#[test]
fn r1_each_event_type_goes_where_it_is_listed() {
    let types = [
        ("recording.started", "RECORDING_STARTED_EVENT"),
        ("recording.paused", "RECORDING_PAUSED_EVENT"),
        ("recording.resumed", "RECORDING_RESUMED_EVENT"),
        ("recording.ended", "RECORDING_ENDED_EVENT"),
        ("segment.started", "SEGMENT_STARTED_EVENT"),
        ("segment.ended", "SEGMENT_ENDED_EVENT"),
    ];
    for (_, word) in types {
        let receiver = made(json!({ "events": [word], "parameters": "e=%EVENTTYPE%" }));
        for (event_type, of) in types {
            assert_eq!(wants(&*receiver, &event(event_type, &[])), of == word, "{word} {event_type}");
            if of == word {
                assert_eq!(
                    target(&*receiver, &event(event_type, &[])),
                    format!("/Face/eventNotify?e={word}")
                );
            }
        }
        assert!(!wants(&*receiver, &event("call.ringing", &[])));
    }
    let all: Vec<&str> = types.iter().map(|(_, word)| *word).collect();
    let receiver = made(json!({ "events": all }));
    assert!(types.iter().all(|(event_type, _)| wants(&*receiver, &event(event_type, &[]))));
}

/// R2, R4
#[test]
fn r2_r4_scopes() {
    let of = |scope: Value| {
        let mut more = json!({ "global": null });
        if let (Value::Object(more), Value::Object(scope)) = (&mut more, scope) {
            more.extend(scope);
        }
        made(more)
    };
    let receivers = [
        of(json!({ "route": "north" })),
        of(json!({ "account": "acme" })),
        of(json!({ "realm": "r1" })),
        of(json!({ "global": true })),
    ];
    for (attributes, expected) in [
        (&[("route", "north"), ("account", "acme"), ("realm", "r1")][..], [true; 4]),
        (&[("route", "north")], [true, false, false, true]),
        (&[("route", "North"), ("account", "acme ")], [false, false, false, true]),
        (&[("account", "north"), ("realm", "acme")], [false, false, false, true]),
        (&[], [false, false, false, true]),
    ] {
        let event = with(example(), attributes);
        let got: Vec<bool> = receivers.iter().map(|receiver| wants(&**receiver, &event)).collect();
        assert_eq!(got, expected, "{attributes:?}");
    }
}

/// R5
#[test]
fn r5_methods_and_where_parameters_go() {
    let ending = |more: Value| {
        let request = sent(&*made(more), &example());
        let (line, _) = request.split_once(" HTTP/1.1").unwrap();
        let (_, rest) = request.split_once(&format!("Id: {ID}\r\n")).unwrap();
        (line.to_owned(), rest.to_owned())
    };
    let query = "/Face/eventNotify?u=13-23132%401.2.3.4";
    for (method, rest) in
        [("GET", ""), ("DELETE", ""), ("POST", "Content-Length: 0\r\n"), ("PUT", "Content-Length: 0\r\n")]
    {
        let expected = (format!("{method} {query}"), format!("{rest}\r\n"));
        assert_eq!(ending(json!({ "method": method, "parameters": "u=%UCID%" })), expected);
    }
    assert_eq!(ending(json!({ "parameters": "u=%UCID%" })), (format!("GET {query}"), "\r\n".to_owned()));
    let form =
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 20\r\n\r\nu=13-23132%401.2.3.4";
    assert_eq!(
        ending(json!({ "method": "PATCH", "params_in": "form", "parameters": "u=%UCID%" })),
        ("PATCH /Face/eventNotify".to_owned(), form.to_owned())
    );
    refused(json!({ "params_in": "form" }), "params_in", &["POST"]);
    refused(json!({ "method": "get" }), "method", &["GET, POST"]);
}

/// R8, R15
#[test]
fn r8_r15_the_base_url_stays_as_it_is() {
    for (url, parameters, expected) in [
        ("http://h/a%20%2f%AB/b", "k=%20%2f%AB", "/a%20%2f%AB/b?k=%20%2f%AB"),
        ("http://h/a?x=1&y=%41", "u=%UCID%", "/a?x=1&y=%41&u=13-23132%401.2.3.4"),
        ("http://h/a?x=1", "", "/a?x=1"),
        ("http://h/a", "", "/a"),
        ("http://h", "u=1", "/?u=1"),
        ("http://h/%ABC%2F", "", "/%ABC%2F"),
    ] {
        assert_eq!(target(&*made(json!({ "url": url, "parameters": parameters })), &example()), expected);
    }
    assert_eq!(target(&*made(json!({ "url": "http://h/a" })), &example()), "/a");
}

/// R9
#[test]
fn r9_a_value_that_looks_like_a_placeholder() {
    let event = event("recording.started", &[("ani", Fact::Text("%UCID%".into()))]);
    let receiver = made(json!({ "parameters": "a=%ANI%" }));
    assert_eq!(target(&*receiver, &event), "/Face/eventNotify?a=%25UCID%25");
}

/// R10, R11
#[test]
fn r10_r11_names_that_are_unknown_or_of_other_events() {
    refused(
        json!({ "parameters": "a=%NOSUCH%" }),
        "parameters",
        &["%NOSUCH% is unknown", "character 3", "CALLEDAORS"],
    );
    refused(
        json!({ "parameters": "d=%DURATION%" }),
        "parameters",
        &["RECORDING_STARTED_EVENT has no %DURATION%", "UCID"],
    );
    let both = ["RECORDING_ENDED_EVENT", "RECORDING_STARTED_EVENT"];
    refused(json!({ "events": both, "parameters": "d=%DURATION%" }), "parameters", &["STARTED"]);
    refused(json!({ "failure_parameters": "d=%SEQUENCE%" }), "failure_parameters", &["%SEQUENCE%"]);
    made(json!({ "events": ["SEGMENT_ENDED_EVENT"], "parameters": "d=%DURATION%&s=%SEQUENCE%" }));
    let of_each = json!({ both[0]: "d=%DURATION%", both[1]: "u=%UCID%" });
    made(json!({ "events": both, "parameters": of_each }));
}

/// R12
#[test]
fn r12_stray_characters() {
    for (key, text, at) in [
        ("parameters", "a=100%", "character 6"),
        ("parameters", "a b", "character 2"),
        ("parameters", "ä=1", "character 1"),
        ("url", "http://h/%", "character 10"),
        ("url", "http://h/a b", "character 11"),
        ("url", "http://h/ä", "character 10"),
        ("url", "http://h/a#b", "character 11"),
        ("url", "http://h/%UCID%", "character 10: %UCID%"),
        ("url", "http://h/%ABC%", "character 10: %ABC%"),
        ("url", "http://h/%ABC%2F%CALLEDAORS%20", "character 17: %CALLEDAORS%"),
        ("url", "http://", "character 8"),
    ] {
        refused(json!({ key: text }), key, &[at]);
    }
}

/// R14
#[test]
fn r14_a_parameter_without_a_value_is_empty() {
    let receiver = made(json!({ "parameters": "ucid=%UCID%&x=%ISRUCID%" }));
    assert_eq!(target(&*receiver, &event("recording.started", &[])), "/Face/eventNotify?ucid=&x=");
}

/// R16, R17
#[test]
fn r16_r17_successes_and_failures() {
    let failure = with(example(), &[("outcome", "failure")]);
    let success = with(example(), &[("outcome", "success")]);
    for (more, expected) in [
        (json!({}), (true, false)),
        (json!({ "parameters": "r=%RESULT%" }), (true, true)),
        (json!({ "parameters": "r=%RESULT%", "results": "success" }), (true, false)),
        (json!({ "results": "failure" }), (false, true)),
        (json!({ "results": "both" }), (true, true)),
        (json!({ "failure_parameters": "r=no" }), (true, true)),
    ] {
        let receiver = made(more.clone());
        assert_eq!((wants(&*receiver, &success), wants(&*receiver, &failure)), expected, "{more}");
        assert_eq!(wants(&*receiver, &example()), expected.0);
    }
    let receiver = made(json!({ "parameters": "r=yes", "failure_parameters": "r=no&c=%RESULT%" }));
    assert_eq!(target(&*receiver, &success), "/Face/eventNotify?r=yes");
    assert_eq!(target(&*receiver, &failure), "/Face/eventNotify?r=no&c=FAILURE");
    refused(json!({ "results": "none" }), "results", &["\"none\"", "\"both\""]);
}

fn answer(status: u16, content: &str) -> Answer {
    Answer { status, retry_after_ms: None, content_type: None, content: content.into(), cut: false }
}

/// R18, R19, R26
#[test]
fn r18_r19_r26_what_answers_mean() {
    let receiver = made(json!({}));
    let verdict = |answer: &Answer| match receiver.judge(answer) {
        Judgement::Done => "done",
        Judgement::Retry { after_ms: None, .. } => "again",
        Judgement::Retry { after_ms: Some(7_000), .. } => "in 7 s",
        Judgement::Retry { after_ms: Some(3_600_000), .. } => "in 1 h",
        Judgement::Retry { .. } => "at another time",
        Judgement::Dead { .. } => "dead",
        Judgement::Disable { .. } => "disabled",
    };
    for (statuses, expected) in [
        (&[200, 201, 202, 204, 299][..], "done"),
        (&[300, 301, 302, 304, 307, 401, 403, 404, 408, 409, 425, 429, 451, 500, 502, 503, 504], "again"),
        (&[400, 405, 410, 413, 414, 415, 422, 501], "dead"),
    ] {
        for status in statuses {
            assert_eq!(verdict(&answer(*status, "")), expected, "{status}");
        }
    }
    let after = |status, ms| verdict(&Answer { retry_after_ms: Some(ms), ..answer(status, "") });
    assert_eq!((after(429, 7_000), after(503, 7_000), after(500, 7_000)), ("in 7 s", "in 7 s", "again"));
    assert_eq!(after(503, 86_400_000), "in 1 h");
    let Judgement::Retry { reason, .. } = receiver.judge(&answer(302, "")) else {
        panic!("a redirect is done")
    };
    assert_eq!(reason, "the answer was 302: redirects are not followed");
    let policy = receiver.policy();
    assert_eq!((policy.first_ms, policy.factor, policy.cap_ms, policy.jitter), (1_000, 2.0, 3_600_000, 0.2));
}

/// R20, R27, R32: the numbers that the outbox keeps to.
#[test]
fn r20_r27_r32_patience() {
    let policy = made(json!({})).policy().clone();
    assert_eq!((policy.give_up_after_ms, policy.max_age_ms), (72 * 3_600_000, None));
    assert_eq!((policy.connect_ms, policy.total_ms), (5_000, 15_000));
    assert_eq!((policy.concurrency, policy.pending_max, policy.batch_max), (4, Some(100_000), 1));
    let more = json!({
        "retry": { "first": "2s", "give_up_after": "1h" }, "max_age": "1m", "concurrency": 1, "pending": 10,
        "connect_timeout": "1s", "timeout": "3s", "per_second": 5,
    });
    let policy = made(more).policy().clone();
    assert_eq!((policy.first_ms, policy.factor, policy.give_up_after_ms), (2_000, 2.0, 3_600_000));
    assert_eq!((policy.max_age_ms, policy.connect_ms, policy.total_ms), (Some(60_000), 1_000, 3_000));
    assert_eq!((policy.concurrency, policy.pending_max, policy.per_second), (1, Some(10), Some(5)));
}

/// R23, R24: what the outbox keeps in order.
#[test]
fn r23_r24_the_order_is_that_of_the_recording() {
    let receiver = made(json!({}));
    let text = |text: &str| Fact::Text(text.into());
    for (data, subject, expected) in [
        (vec![("ucid", text("u")), ("recording_id", text("r"))], None, Some("u")),
        (vec![("ucid", text("")), ("recordingId", text("r"))], Some("recording/7"), Some("r")),
        (vec![("tmp_recording_id", text("t"))], None, Some("t")),
        (vec![], Some("recording/7"), Some("recording/7")),
        (vec![], None, None),
    ] {
        let mut event = event("recording.started", &data);
        event.subject = subject.map(Into::into);
        assert_eq!(receiver.order(&event).as_deref(), expected, "{data:?}");
    }
}

/// R28, R38: what the TLS layer gets to know.
#[test]
fn r28_r38_trust() {
    let plain = made(json!({ "url": "http://h/" }));
    assert!(plain.target().tls.is_none() && plain.target().trusted);
    assert_eq!(made(json!({})).target().tls.as_deref(), Some(&Tls::default()));
    let certificate = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
    let key = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";
    let receiver = made(json!({ "tls": {
        "ca": certificate, "only_ca": true, "pin_sha256": "AB:".repeat(31) + "cd", "client_cert": certificate,
        "client_key": key, "min_version": "1.3",
    }}));
    let mut pin = [0xAB; 32];
    pin[31] = 0xCD;
    let expected = Tls {
        ca: Some(certificate.into()),
        only_ca: true,
        pin_sha256: Some(pin),
        client_cert: Some(certificate.into()),
        client_key: Some(key.into()),
        only_tls13: true,
        insecure: false,
    };
    assert_eq!(receiver.target().tls.as_deref(), Some(&expected));
}

/// R29
#[test]
fn r29_the_face_preset() {
    let spec = json!({ "url": BASE, "preset": "face", "global": true });
    let receiver = compile(&spec, &Config::default()).unwrap();
    let expected = "/Face/eventNotify?event=AudioRecordingStarted&calledAors=sip:7654321@1.2.3.1:5060\
                    &ucid=13-23132@1.2.3.4";
    assert_eq!(target(&*receiver, &example()), expected);
    let mut ended = example();
    ended.event_type = "recording.ended".into();
    assert_eq!(target(&*receiver, &ended), expected.replace("Started", "Ended"));
    assert!(wants(&*receiver, &ended) && !wants(&*receiver, &with(ended, &[("outcome", "failure")])));
    assert!(!wants(&*receiver, &event("recording.paused", &[])));
    assert_eq!(receiver.policy().max_age_ms, Some(30_000));
    for (content, done) in [
        ("<result><code>0</code><message>ACK</message></result>", true),
        ("<result><code> 0 </code></result>", true),
        ("<result><code>1</code><message>no</message></result>", false),
        ("<result><code></code></result>", false),
        ("<result><message>ACK</message></result>", true),
        ("OK", true),
        ("", true),
        ("\u{0}\u{1}", true),
    ] {
        assert_eq!(receiver.judge(&answer(200, content)) == Judgement::Done, done, "{content}");
    }
    assert_eq!(made(json!({})).judge(&answer(200, "<r><code>1</code></r>")), Judgement::Done);
    let own = json!({ "url": BASE, "preset": "face", "account": "a", "events": "RECORDING_ENDED_EVENT",
        "max_age": "5s", "check_result": false });
    let own = compile(&own, &Config::default()).unwrap();
    assert_eq!(own.policy().max_age_ms, Some(5_000));
    assert_eq!(own.judge(&answer(200, "<r><code>1</code></r>")), Judgement::Done);
    refused(json!({ "preset": "faec" }), "preset", &["\"faec\"", "face"]);
}

/// R30
#[test]
fn r30_credentials_and_header_fields() {
    for (more, fields) in [
        (json!({ "username": "u", "password": "pä" }), "Authorization: Basic dTpww6Q=\r\n"),
        (json!({ "bearer": "t0ken" }), "Authorization: Bearer t0ken\r\n"),
        (
            json!({ "headers": { "X-Tenant": "a b", "Accept": "text/xml" } }),
            "Accept: text/xml\r\nX-Tenant: a b\r\n",
        ),
    ] {
        let receiver = made(more.clone());
        let request = sent(&*receiver, &example());
        assert!(request.contains(fields), "{request}");
        let shown = format!("{receiver:?} {}", receiver.summary(letter(&example()), &Vocabulary::new(&[])));
        for secret in ["dTpww6Q", "pä", "t0ken", "a b"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    assert!(!sent(&*made(json!({ "delivery_id": false })), &example()).contains("Offhook-Delivery-Id"));
}

fn letter(event: &Event) -> Letter<'_> {
    Letter { id: Uuid::nil(), seq: Seq(1), event, attempts: 0 }
}

#[test]
fn a_dead_letter_shows_method_url_and_form() {
    let shown = |more: Value| made(more).summary(letter(&example()), &Vocabulary::new(&[]));
    assert_eq!(shown(json!({ "parameters": "u=%UCID%" })), format!("GET {BASE}?u=13-23132%401.2.3.4"));
    assert_eq!(
        shown(json!({ "parameters": "u=%UCID%", "method": "PUT", "params_in": "form" })),
        format!("PUT {BASE} u=13-23132%401.2.3.4")
    );
}

/// R33
#[test]
fn r33_several_aors() {
    let event = event("recording.started", &[("called_aors", Fact::Text("sip:1@h, sip:2@h".into()))]);
    let receiver = made(json!({ "parameters": "a=%CALLEDAORS%" }));
    assert_eq!(target(&*receiver, &event), "/Face/eventNotify?a=sip%3A1%40h%2Csip%3A2%40h");
}

/// R37
#[test]
fn r37_the_config_adds_parameters_presets_and_words() {
    let mut config = Config::default();
    config.isr.parameters.insert("RSSIP".to_owned(), "rss_ip".to_owned());
    config
        .isr
        .presets
        .insert("observer".to_owned(), r#"{"parameters":"ip=%RSSIP%","method":"PUT"}"#.to_owned());
    config.vocabulary.push(VocabularyRow {
        event_type: "rec.begin".to_owned(),
        isr: Some("RECORDING_STARTED_EVENT".to_owned()),
        ..VocabularyRow::default()
    });
    let event = event("rec.begin", &[("rss_ip", Fact::Text("10.0.0.1".into()))]);
    let spec = spec(json!({ "preset": "observer" })).to_string();
    let settled = settled("isr", "x", &spec, &config).unwrap();
    // Under another config it still means the same, and settling it again changes nothing.
    for config in [&config, &Config::default()] {
        let receiver = receiver("isr", "x", &settled, config, false).unwrap();
        assert!(wants(&*receiver, &event) && wants(&*receiver, &example()));
        assert!(sent(&*receiver, &event).starts_with("PUT /Face/eventNotify?ip=10.0.0.1 HTTP"));
        assert!(!receiver.target().trusted);
        assert_eq!(super::read::settled(&settled, config).as_deref(), Ok(&*settled));
    }
    assert!(receiver("isr", "x", &spec, &Config::default(), true).is_err());
}

#[test]
fn what_is_wrong_is_named_with_what_is_allowed() {
    refused(
        json!({ "events": ["RECORDING_ENDED"] }),
        "events",
        &["RECORDING_ENDED_EVENT", "SEGMENT_STARTED_EVENT"],
    );
    refused(json!({ "events": [] }), "events", &["a list of event types"]);
    refused(json!({ "events": null }), "events", &["missing"]);
    refused(json!({ "events": ["SEGMENT_ENDED_EVENT", "SEGMENT_ENDED_EVENT"] }), "events", &["twice"]);
    refused(json!({ "url": null }), "url", &["missing"]);
    refused(json!({ "global": null }), "", &["scope is missing", "account"]);
    refused(json!({ "global": false }), "global", &["found false"]);
    refused(json!({ "account": "a" }), "global", &["second scope"]);
    refused(json!({ "global": null, "route": "" }), "route", &["not empty"]);
    refused(json!({ "colour": 1 }), "colour", &["unknown key", "params_in"]);
    refused(json!({ "bare": ":@&" }), "bare", &["\":@&\"", ":@/?!"]);
    refused(json!({ "parameters": 1 }), "parameters", &["found 1"]);
    refused(
        json!({ "parameters": { "RECORDING_ENDED_EVENT": "" } }),
        "parameters.RECORDING_ENDED_EVENT",
        &["unknown key", "RECORDING_STARTED_EVENT"],
    );
    refused(json!({ "parameters": {} }), "parameters.RECORDING_STARTED_EVENT", &["missing"]);
    refused(json!({ "added_parameters": { "ab": "x" } }), "added_parameters.ab", &["three or more"]);
    refused(json!({ "added_parameters": { "UCID": "x" } }), "added_parameters.UCID", &["already"]);
    refused(json!({ "event_types": {} }), "event_types", &["RECORDING_STARTED_EVENT"]);
    refused(json!({ "event_types": { "a": "SEGMENT_ENDED_EVENT" } }), "event_types.a", &["one of `events`"]);
    refused(
        json!({ "results": "success", "failure_parameters": "a" }),
        "failure_parameters",
        &["no failure"],
    );
}

/// R3: a receiver looks at the event alone, never at other receivers.
#[test]
fn r3_redundant_destinations_both_get_it() {
    let account = || json!({ "global": null, "account": "acme" });
    let event = with(example(), &[("account", "acme"), ("route", "north")]);
    let route = json!({ "global": null, "route": "north" });
    for more in [account(), account(), route] {
        assert!(wants(&*made(more), &event));
    }
}

/// R22: a repeat is the same request, byte for byte.
#[test]
fn r22_a_repeat_has_the_same_delivery_id() {
    let (receiver, event, vocabulary) = (made(json!({})), example(), Vocabulary::new(&[]));
    let attempt = |attempts, wall| {
        let letter = Letter { id: Uuid::from_u128(5), seq: Seq(1), event: &event, attempts };
        receiver.request(&[letter], Wall(wall), &vocabulary)
    };
    assert_eq!(attempt(0, 1_000), attempt(7, 90_000));
}

/// R36: of an answer that is cut, the status counts.
#[test]
fn r36_a_cut_answer_is_judged_by_its_status() {
    let receiver = made(json!({ "check_result": true }));
    let start = format!("<result><code>1</code><message>{}", "x".repeat(65_000));
    let cut = |status| Answer { cut: true, ..answer(status, &start) };
    assert_eq!(receiver.judge(&cut(200)), Judgement::Done);
    assert!(matches!(receiver.judge(&cut(500)), Judgement::Retry { .. }));
}

use data_encoding::BASE64;
use serde_json::{Value, json};
use uuid::Uuid;

use super::sign::Secret;
use crate::dialect::receiver;
use crate::event::vocabulary::Vocabulary;
use crate::event::{Data, Event, Fact};
use crate::ground::config::Config;
use crate::ground::id::Seq;
use crate::ground::time::Wall;
use crate::hub::call::Answer;
use crate::outbox::receiver::{Judgement, Letter, Receiver};

const ID: &str = "0b8f5a5e-3a1c-4a39-9e43-2f7f0a6f3c11";
const NOW: Wall = Wall(1_769_860_800_999);

fn event() -> Event {
    Event {
        id_given: true,
        id: "e-1".into(),
        source: "pbx-1".into(),
        event_type: "call.ringing".into(),
        subject: Some("call/42".into()),
        time: "2026-01-31T12:00:00Z".into(),
        wall: NOW,
        content_type: None,
        schema: None,
        extensions: vec![("appid".into(), Fact::Text("app".into()))],
        data: Data::Facts(vec![("extension".into(), Fact::Number("1e2".into()))]),
    }
}

const JSON: &str = r#"{"specversion":"1.0","id":"e-1","source":"pbx-1","type":"call.ringing","subject":"call/42","time":"2026-01-31T12:00:00Z","appid":"app","data":{"extension":1e2}}"#;

fn made(more: Value) -> Box<dyn Receiver> {
    let mut spec = json!({ "url": "http://example.com:81/hooks?a=b" });
    if let (Value::Object(spec), Value::Object(more)) = (&mut spec, more) {
        spec.extend(more);
    }
    receiver("webhook", "crm", &spec.to_string(), &Config::default(), true)
        .unwrap_or_else(|e| panic!("{e:?}"))
}

fn sent(receiver: &dyn Receiver, events: &[Event]) -> String {
    let id = |at: usize| Uuid::from_u128(Uuid::parse_str(ID).unwrap().as_u128() + at as u128);
    let letter = |(at, event)| Letter { id: id(at), seq: Seq(at as u64), event, attempts: 0 };
    let letters: Vec<Letter<'_>> = events.iter().enumerate().map(letter).collect();
    String::from_utf8(receiver.request(&letters, NOW, &Vocabulary::new(&[]))).unwrap()
}

#[test]
fn structured_mode_byte_for_byte() {
    let length = JSON.len();
    assert_eq!(
        sent(&*made(json!({})), &[event()]),
        format!(
            "POST /hooks?a=b HTTP/1.1\r\n\
             Host: example.com:81\r\n\
             User-Agent: offhook/1.0\r\n\
             Accept: */*\r\n\
             Content-Type: application/cloudevents+json\r\n\
             webhook-id: {ID}\r\n\
             webhook-timestamp: 1769860800\r\n\
             Content-Length: {length}\r\n\
             \r\n\
             {JSON}"
        )
    );
}

#[test]
fn binary_mode_byte_for_byte() {
    let mut odd = event();
    odd.subject = Some("call/Jürgen \"x\" 100%\r\nX: y~".into());
    odd.extensions = vec![("count".into(), Fact::Number("7".into()))];
    odd.schema = Some("https://h/s".into());
    let receiver = made(json!({ "mode": "binary" }));
    let request = sent(&*receiver, std::slice::from_ref(&odd));
    let (_, rest) = request.split_once("webhook-timestamp: 1769860800\r\n").unwrap();
    assert_eq!(
        rest,
        "ce-specversion: 1.0\r\n\
         ce-id: e-1\r\n\
         ce-source: pbx-1\r\n\
         ce-type: call.ringing\r\n\
         ce-subject: call/J%C3%BCrgen%20%22x%22%20100%25%0D%0AX:%20y~\r\n\
         ce-time: 2026-01-31T12:00:00Z\r\n\
         ce-dataschema: https://h/s\r\n\
         ce-count: 7\r\n\
         Content-Type: application/json\r\n\
         Content-Length: 17\r\n\
         \r\n\
         {\"extension\":1e2}"
    );
    for (data, media, expected) in [
        (Data::None, None, "Content-Length: 0\r\n\r\n"),
        (
            Data::Base64("aGk=".into()),
            Some("text/plain"),
            "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi",
        ),
        (Data::Json("[1]".into()), None, "Content-Type: application/json\r\nContent-Length: 3\r\n\r\n[1]"),
        (Data::None, Some("a/b\r\nEvil: 1"), "Content-Type: a/bEvil: 1\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let event = Event { data, content_type: media.map(Into::into), ..event() };
        let request = sent(&*receiver, &[event]);
        assert!(request.ends_with(&format!("ce-appid: app\r\n{expected}")), "{request}");
    }
}

/// What the native API reads from a binary request is the event that was sent.
#[test]
fn binary_mode_is_read_again_by_our_own_api() {
    use crate::dialect::native::read::{Defaults, Form, events};
    let mut odd = event();
    odd.subject = Some("call/Jürgen \"x\" 100%".into());
    odd.content_type = Some("application/json".into());
    let request = sent(&*made(json!({ "mode": "binary" })), std::slice::from_ref(&odd));
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = format!("{head}\r\n\r\n");
    let head = crate::wire::http::head::parse(head.as_bytes(), 100).unwrap();
    let (mut rng, limits) = (crate::ground::rng::Rng::new(1), crate::ground::limits::Limits::default());
    let mut defaults = Defaults { source: "x", wall: Wall(0), rng: &mut rng, limits: &limits };
    let read = events(Form::Binary, &head, body.as_bytes(), &mut defaults).unwrap();
    let read: Vec<Event> = read.into_iter().map(|event| Event { wall: NOW, ..event }).collect();
    assert_eq!(read, [odd]);
}

#[test]
fn batches() {
    let receiver = made(json!({ "batch": 10 }));
    assert_eq!(receiver.policy().batch_max, 10);
    assert_eq!(made(json!({})).policy().batch_max, 1);
    let one = sent(&*receiver, &[event()]);
    assert!(one.contains("Content-Type: application/cloudevents-batch+json\r\n"));
    assert!(one.contains(&format!("webhook-id: {ID}\r\n")));
    assert!(one.ends_with(&format!("\r\n\r\n[{JSON}]")), "{one}");
    let id = |request: &str| request.split_once("webhook-id: ").unwrap().1[..36].to_owned();
    let two = sent(&*receiver, &[event(), event()]);
    assert!(two.ends_with(&format!("\r\n\r\n[{JSON},{JSON}]")), "{two}");
    // A request that carries more than one is no repeat of one that carried the first alone.
    assert_ne!(id(&two), id(&one));
    assert_eq!(id(&two), id(&sent(&*receiver, &[event(), event()])));
    assert_eq!(Uuid::parse_str(&id(&two)).unwrap().get_version_num(), 8);
}

fn secret(byte: u8) -> String {
    format!("whsec_{}", BASE64.encode(&[byte; 32]))
}

fn signature_of(secret: &str, body: &str) -> String {
    let mut out = [0; super::sign::TEXT];
    Secret::parse(secret).unwrap().sign(ID.as_bytes(), b"1769860800", body.as_bytes(), &mut out);
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn signatures_stand_in_the_head() {
    // What Webhook.sign of the Python library standardwebhooks 1.1.0 says of these.
    let one = "v1,oHzGfQ/HyDbWtsbXQPO1nLuUm5HPa5pHT8tDx5BfVa0=";
    let two = "v1,joDNfufbxw4flyGc0yZAK+2ynVBnGHY9PyZILNQiswM=";
    assert_eq!((&*signature_of(&secret(1), JSON), &*signature_of(&secret(2), JSON)), (one, two));
    for (secrets, field) in [
        (json!(secret(1)), format!("webhook-signature: {one}\r\nContent-Length")),
        (json!([secret(1)]), format!("webhook-signature: {one}\r\nContent-Length")),
        (json!([secret(2), secret(1)]), format!("webhook-signature: {two} {one}\r\nContent-Length")),
    ] {
        let request = sent(&*made(json!({ "secret": secrets })), &[event()]);
        assert!(request.contains(&field), "{request}");
        assert!(request.ends_with(&format!("\r\n\r\n{JSON}")));
    }
    let batch = sent(&*made(json!({ "secret": secret(1), "batch": 2 })), &[event()]);
    assert!(batch.contains(&signature_of(&secret(1), &format!("[{JSON}]"))));
    let binary = sent(&*made(json!({ "secret": secret(1), "mode": "binary" })), &[event()]);
    assert!(binary.contains(&signature_of(&secret(1), "{\"extension\":1e2}")));
    assert!(!sent(&*made(json!({})), &[event()]).contains("webhook-signature"));
}

#[test]
fn filters() {
    let other = Event {
        event_type: "recording.ended".into(),
        subject: None,
        extensions: Vec::new(),
        source: "pbx-2".into(),
        data: Data::None,
        ..event()
    };
    let vocabulary = Vocabulary::new(&[]);
    for (more, expected) in [
        (json!({}), (true, true)),
        (json!({ "types": ["*"] }), (true, true)),
        (json!({ "types": "call.*" }), (true, false)),
        (json!({ "types": ["call.*", "recording.ended"] }), (true, true)),
        (json!({ "types": ["recording.*"] }), (false, true)),
        (json!({ "only": { "appid": "app" } }), (true, false)),
        (json!({ "only": { "source": ["pbx-2", "pbx-3"] } }), (false, true)),
        (json!({ "only": { "subject": "call/42" } }), (true, false)),
        (json!({ "only": { "data.extension": "1e2" } }), (true, false)),
        (json!({ "types": ["call.*"], "only": { "source": "pbx-2" } }), (false, false)),
    ] {
        let receiver = made(more.clone());
        let got = (receiver.wants(&event(), &vocabulary), receiver.wants(&other, &vocabulary));
        assert_eq!(got, expected, "{more}");
    }
    assert_eq!(made(json!({})).order(&event()).as_deref(), Some("call/42"));
    assert_eq!(made(json!({})).order(&other), None);
}

#[test]
fn what_answers_mean() {
    let receiver = made(json!({}));
    let verdict = |status, retry_after_ms| {
        let answer = Answer { status, retry_after_ms, content_type: None, content: Vec::new(), cut: false };
        match receiver.judge(&answer) {
            Judgement::Done => "done".to_owned(),
            Judgement::Retry { after_ms, .. } => format!("again {after_ms:?}"),
            Judgement::Dead { .. } => "dead".to_owned(),
            Judgement::Disable { .. } => "disabled".to_owned(),
        }
    };
    for status in [200, 202, 204, 299] {
        assert_eq!(verdict(status, None), "done", "{status}");
    }
    for status in [301, 308, 400, 401, 404, 408, 413, 422, 500, 501, 502, 504] {
        assert_eq!(verdict(status, Some(5_000)), "again None", "{status}");
    }
    assert_eq!(verdict(410, None), "disabled");
    assert_eq!(verdict(429, Some(5_000)), "again Some(5000)");
    assert_eq!(verdict(503, Some(5_000_000)), "again Some(3600000)");
    assert_eq!(verdict(503, None), "again None");
}

#[test]
fn what_is_wrong_is_named_with_what_is_allowed() {
    for (more, key, part) in [
        (json!({ "types": ["call*"] }), "types", "trailing `.*`"),
        (json!({ "types": [""] }), "types", "an event type"),
        (json!({ "types": [] }), "types", "call.*"),
        (json!({ "only": { "colour": "red" } }), "only.colour", "data.NAME"),
        (json!({ "only": { "data.": "red" } }), "only.data.", "data.NAME"),
        (json!({ "only": { "appid": 5 } }), "only.appid", "found 5"),
        (json!({ "mode": "xml" }), "mode", "\"binary\""),
        (json!({ "mode": "binary", "batch": 2 }), "batch", "structured"),
        (json!({ "batch": 0 }), "batch", "from 1 to 1000"),
        (json!({ "secret": "abc" }), "secret", "whsec_"),
        (json!({ "secret": [] }), "secret", "whsec_"),
        (json!({ "secret": [secret(1), secret(2), secret(3)] }), "secret", "old one"),
        (json!({ "events": ["X"] }), "events", "unknown key, allowed: name, url"),
    ] {
        let mut spec = json!({ "url": "http://h/" });
        if let (Value::Object(spec), Value::Object(more)) = (&mut spec, more.clone()) {
            spec.extend(more);
        }
        let wrong =
            receiver("webhook", "crm", &spec.to_string(), &Config::default(), true).expect_err("a fault");
        assert_eq!(wrong.key, key, "{more}: {wrong:?}");
        assert!(wrong.detail.contains(part), "{more}: {wrong:?}");
    }
}

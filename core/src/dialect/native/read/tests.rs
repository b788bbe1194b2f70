use super::*;
use crate::dialect::native::render;
use crate::wire::http::head::parse;

fn read(fields: &str, body: &[u8]) -> Result<Vec<Event>, Wrong> {
    let head = format!("POST /v1/events HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    let head = parse(head.as_bytes(), 100).unwrap();
    let form = Form::of(&head).expect("a form");
    let limits = Limits { batch_events: 3, event_names: 8, ..Limits::default() };
    let mut rng = Rng::new(1);
    let mut defaults = Defaults { source: "here", wall: Wall(1_000), rng: &mut rng, limits: &limits };
    events(form, &head, body, &mut defaults)
}

/// What comes out as JSON, an event a line; a minted id is shortened to `MINTED`.
fn check(fields: &str, body: &str, expected: Result<&str, (u16, Option<usize>, &str)>) {
    let got = read(fields, body.as_bytes()).map(|events| {
        let mut lines = Vec::new();
        for mut event in events {
            if event.id.len() == 36 {
                event.id = "MINTED".into();
            }
            let mut out = Vec::new();
            render::json(&event, &mut out);
            lines.push(String::from_utf8(out).unwrap());
        }
        lines.join("\n")
    });
    match (got, expected) {
        (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{body}"),
        (Err(wrong), Err((status, index, part))) => {
            assert_eq!((wrong.status, wrong.index), (status, index), "{body}: {wrong:?}");
            assert!(wrong.detail.contains(part), "{body}: {wrong:?}");
        }
        (got, expected) => panic!("{body}: {got:?}, expected {expected:?}"),
    }
}

const JSON: &str = "Content-Type: application/json; charset=utf-8\r\n";
const STRICT: &str = "Content-Type: application/cloudevents+json\r\n";
const BATCH: &str = "Content-Type: application/cloudevents-batch+json\r\n";
const LINES: &str = "Content-Type: application/x-ndjson\r\n";

#[test]
fn relaxed_json() {
    check(
        JSON,
        r#"{"type":"call.dtmf"}"#,
        Ok(
            r#"{"specversion":"1.0","id":"MINTED","source":"here","type":"call.dtmf","time":"1970-01-01T00:00:01.000Z"}"#,
        ),
    );
    check(
        JSON,
        r#" { "data": {"n": 1.0, "big": 12345678901234567890123, "e":1e3, "t":true, "z":null, "s":"a\u00fc\n",
            "x": [1, {"a b": " c "}]}, "type":"t", "subject":"call/1", "zeta": 1, "appid":"app",
            "time":"2026-01-01T00:00:00Z", "id":"i", "source":"s" } "#,
        Ok(concat!(
            r#"{"specversion":"1.0","id":"i","source":"s","type":"t","subject":"call/1","time":"2026-01-01T00:00:00Z","#,
            r#""appid":"app","zeta":1,"data":{"n":1.0,"big":12345678901234567890123,"e":1e3,"t":true,"z":null,"#,
            r#""s":"aü\n","x":[1,{"a b":" c "}]}}"#
        )),
    );
    check(
        JSON,
        r#"{"type":"t","id":"i","data":"plain"}"#,
        Ok(
            r#"{"specversion":"1.0","id":"i","source":"here","type":"t","time":"1970-01-01T00:00:01.000Z","data":"plain"}"#,
        ),
    );
    check(JSON, "[]", Ok(""));
}

#[test]
fn wrong_json_names_the_fault() {
    for (body, status, index, part) in [
        ("", 400, Some(0), "EOF"),
        ("nonsense", 400, Some(0), "expected"),
        ("7", 400, Some(0), "a JSON object"),
        ("{}", 400, Some(0), "`type` is missing"),
        (r#"{"type":""}"#, 400, Some(0), "empty"),
        (r#"{"type":7}"#, 400, Some(0), "no string"),
        (r#"{"type":"t","type":"t"}"#, 400, Some(0), "twice"),
        (r#"{"type":"t","data":{"a":1,"a":2}}"#, 400, Some(0), "twice"),
        (r#"{"type":"t","Caps":1}"#, 400, Some(0), "lower-case"),
        (r#"{"type":"t","x":{}}"#, 400, Some(0), "attribute"),
        (r#"{"type":"t","time":"yesterday"}"#, 400, Some(0), "RFC 3339"),
        (r#"{"type":"t","specversion":"0.3"}"#, 400, Some(0), "1.0"),
        (r#"{"type":"t","data_base64":"?"}"#, 400, Some(0), "base64"),
        (r#"{"type":"t","data":1,"data_base64":"AA=="}"#, 400, Some(0), "beside"),
        (r#"{"type":"t","data":{"a":"\ud800"}}"#, 400, Some(0), "data.a"),
        (r#"{"type":"t"} x"#, 400, Some(0), "trailing"),
        (r#"[{"type":"t"},{"type":"t"},{}]"#, 400, Some(2), "`type`"),
        (r#"[{"type":"t"},7]"#, 400, Some(1), "object"),
        (r#"[{"type":"t"}"#, 400, None, "EOF"),
        (r#"[{"type":"t"},{"type":"t"},{"type":"t"},{"type":"t"}]"#, 413, None, "3 events"),
        (
            r#"{"type":"t","data":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1}}"#,
            400,
            Some(0),
            "members",
        ),
    ] {
        check(JSON, body, Err((status, index, part)));
    }
    assert!(read(JSON, b"{\"type\":\"\xff\"}").unwrap_err().detail.contains("UTF-8"));
}

#[test]
fn lines() {
    check(
        LINES,
        "{\"type\":\"a\",\"id\":\"1\"}\r\n\n{\"type\":\"b\"}\n{\"type\":\n",
        Err((400, Some(2), "EOF")),
    );
    let events = read(LINES, b"{\"type\":\"a\"}\n{\"type\":\"b\"}").unwrap();
    assert_eq!(events.iter().map(|e| &*e.event_type).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn cloudevents_are_strict() {
    let full = r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#;
    check(
        STRICT,
        full,
        Ok(r#"{"specversion":"1.0","id":"1","source":"s","type":"t","time":"1970-01-01T00:00:01.000Z"}"#),
    );
    check(STRICT, r#"{"id":"1","source":"s","type":"t"}"#, Err((400, Some(0), "specversion")));
    check(STRICT, r#"{"specversion":"1.0","source":"s","type":"t"}"#, Err((400, Some(0), "`id`")));
    check(STRICT, r#"{"specversion":"1.0","id":"1","type":"t"}"#, Err((400, Some(0), "`source`")));
    check(STRICT, &format!("[{full}]"), Err((400, Some(0), "object")));
    check(BATCH, full, Err((400, None, "array")));
    assert_eq!(read(BATCH, format!("[{full},{full}]").as_bytes()).unwrap().len(), 2);
}

#[test]
fn binary_mode() {
    let fields = "Content-Type: application/json\r\nce-specversion: 1.0\r\nCE-ID: 1\r\nce-source: s\r\n\
                  ce-type: call.dtmf\r\nce-appid: a%20b\r\n";
    check(
        fields,
        r#"{"digits": "5"}"#,
        Ok(concat!(
            r#"{"specversion":"1.0","id":"1","source":"s","type":"call.dtmf","time":"1970-01-01T00:00:01.000Z","#,
            r#""datacontenttype":"application/json","appid":"a b","data":{"digits":"5"}}"#
        )),
    );
    let text = fields.replace("application/json", "text/plain");
    let events = read(&text, b"hi").unwrap();
    assert_eq!(events[0].data, Data::Base64("aGk=".into()));
    check(&format!("{fields}ce-id: 2\r\n"), "", Err((400, None, "twice")));
    check(&fields.replace("ce-type: call.dtmf\r\n", ""), "", Err((400, None, "`type`")));
}

/// isr.md section 3: an outcome that no receiver could understand is refused to its source.
#[test]
fn an_outcome_is_success_or_failure() {
    for outcome in ["\"success\"", "\"failure\"", "null"] {
        let body = format!(r#"{{"type":"recording.ended","outcome":{outcome}}}"#);
        assert!(read(JSON, body.as_bytes()).is_ok(), "{outcome}");
    }
    for outcome in ["\"Success\"", "\"failed\"", "true", "0"] {
        let body = format!(r#"[{{"type":"call.dtmf"}},{{"type":"recording.ended","outcome":{outcome}}}]"#);
        check(JSON, &body, Err((400, Some(1), "`outcome`")));
    }
    check(
        "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: x\r\nce-type: a\r\nce-outcome: no\r\n",
        "",
        Err((400, None, "`outcome`")),
    );
}

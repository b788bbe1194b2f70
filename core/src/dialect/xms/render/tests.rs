use super::*;
use crate::event::{Data, Fact};
use crate::ground::time::Wall;

const CALL: &str = "c2dcaa4f-2b31-425c-b491-f2537d4c8738";

fn event(data: &[(&str, Fact)]) -> Event {
    Event {
        id_given: false,
        id: "1".into(),
        source: "s".into(),
        event_type: "t".into(),
        subject: None,
        time: "".into(),
        wall: Wall(0),
        content_type: None,
        schema: None,
        extensions: Vec::new(),
        data: Data::Facts(data.iter().map(|(n, f)| ((*n).into(), f.clone())).collect()),
    }
}

fn text(value: &str) -> Fact {
    Fact::Text(value.into())
}

fn render(word: &str, data: &[(&str, Fact)]) -> String {
    let event = event(data);
    let words = Words { word, resource_type: "call", resource_id: CALL, appid: None, event: &event };
    let mut out = Vec::new();
    assert!(frame(&words, &event, 65_535, &mut out));
    String::from_utf8(out).unwrap()
}

/// The lines of the dialect's description, joined as they go over the wire.
fn wire(lines: &[&str]) -> String {
    lines.join("\r\n") + "\r\n"
}

#[test]
fn x18_the_keepalive_chunk() {
    assert_eq!(
        keepalive(false),
        b"48\r\n44\r\n<web_service version=\"1.0\">\r\n<event type=\"keepalive\"/></web_service>\r\n"
    );
    assert_eq!(KEEPALIVE.len(), 4 + 0x48 + 2);
    assert_eq!(keepalive(true).len(), 0x48);
}

#[test]
fn x20_the_example_events() {
    let ringing = [
        "112",
        "10d",
        "<web_service version=\"1.0\">",
        "<event type=\"ringing\" resource_id=\"c2dcaa4f-2b31-425c-b491-f2537d4c8738\" resource_type=\"call\">",
        "<event_data name=\"call_id\" value=\"c2dcaa4f-2b31-425c-b491-f2537d4c8738\" />",
        "<event_data name=\"type\" value=\"RINGING\" />",
        "</event>",
        "</web_service>",
    ];
    assert_eq!(render("ringing", &[]), wire(&ringing));
    assert_eq!(render("ringing", &[("call_id", text(CALL)), ("type", text("other"))]), wire(&ringing));
    let hangup = [
        "13e",
        "139",
        "<web_service version=\"1.0\">",
        "<event type=\"hangup\" resource_id=\"c2dcaa4f-2b31-425c-b491-f2537d4c8738\" resource_type=\"call\">",
        "<event_data name=\"call_id\" value=\"c2dcaa4f-2b31-425c-b491-f2537d4c8738\" />",
        "<event_data name=\"reason\" value=\"800 Bye\" />",
        "<event_data name=\"type\" value=\"HANGUP\" />",
        "</event>",
        "</web_service>",
    ];
    assert_eq!(render("hangup", &[("reason", text("800 Bye"))]), wire(&hangup));
    let id = "5a0a4d5c-3f4e-4a52-9d7f-0a2f0c6e1b11";
    let end_play = [
        "237",
        "232",
        "<web_service version=\"1.0\">",
        "<event type=\"end_play\" resource_id=\"c2dcaa4f-2b31-425c-b491-f2537d4c8738\" resource_type=\"call\">",
        "<event_data name=\"duration\" value=\"6210\" />",
        "<event_data name=\"id\" value=\"c2dcaa4f-2b31-425c-b491-f2537d4c8738\" />",
        "<event_data name=\"media_id\" value=\"5a0a4d5c-3f4e-4a52-9d7f-0a2f0c6e1b11\" />",
        "<event_data name=\"reason\" value=\"end\" />",
        "<event_data name=\"status\" value=\"0 No Error\" />",
        "<event_data name=\"transaction_id\" value=\"5a0a4d5c-3f4e-4a52-9d7f-0a2f0c6e1b11\" />",
        "<event_data name=\"type\" value=\"END_PLAY\" />",
        "</event>",
        "</web_service>",
    ];
    let data = [
        ("transaction_id", text(id)),
        ("status", text("0 No Error")),
        ("reason", text("end")),
        ("media_id", text(id)),
        ("id", text(CALL)),
        ("duration", Fact::Number("6210".into())),
    ];
    assert_eq!(render("end_play", &data), wire(&end_play));
    let incoming = [
        "256",
        "251",
        "<web_service version=\"1.0\">",
        "<event type=\"incoming\" resource_id=\"c2dcaa4f-2b31-425c-b491-f2537d4c8738\" resource_type=\"call\">",
        "<event_data name=\"call_id\" value=\"c2dcaa4f-2b31-425c-b491-f2537d4c8738\" />",
        "<event_data name=\"called_uri\" value=\"&lt;sip:100@192.0.2.7&gt;\" />",
        "<event_data name=\"caller_uri\" value=\"&lt;sip:J&#252;rgen@192.0.2.9:5060&gt;;tag=1\" />",
        "<event_data name=\"headers\" value=\"Call-ID:a1&#xD;&#xA;CSeq: 1 INVITE\" />",
        "<event_data name=\"name\" value=\"app\" />",
        "<event_data name=\"type\" value=\"INCOMING\" />",
        "<event_data name=\"uri\" value=\"sip:100@192.0.2.7\" />",
        "</event>",
        "</web_service>",
    ];
    let data = [
        ("called_uri", text("<sip:100@192.0.2.7>")),
        ("caller_uri", text("<sip:Jürgen@192.0.2.9:5060>;tag=1")),
        ("headers", text("Call-ID:a1\r\nCSeq: 1 INVITE")),
        ("name", text("app")),
        ("uri", text("sip:100@192.0.2.7")),
    ];
    assert_eq!(render("incoming", &data), wire(&incoming));
}

#[test]
fn x25_data_are_sorted_by_bytes_and_type_is_ours() {
    let out = render("dtmf", &[("b", text("1")), ("Z", text("2")), ("a.b", text("3")), ("type", text("x"))]);
    let names: Vec<&str> = out.split("name=\"").skip(1).filter_map(|part| part.split('"').next()).collect();
    assert_eq!(names, ["Z", "a.b", "b", "call_id", "type"]);
    assert!(out.contains("value=\"DTMF\""));
}

#[test]
fn x43_kinds_of_values() {
    let data = [("n", Fact::Number("1.0".into())), ("t", Fact::Bool(true)), ("z", Fact::Null)];
    let out = render("end_play", &data);
    assert!(out.contains("name=\"n\" value=\"1.0\"") && out.contains("name=\"t\" value=\"true\""));
    assert!(!out.contains("name=\"z\"") && !out.contains("call_id"));
}

#[test]
fn x37_a_large_event_is_left_out() {
    let no_data = event(&[]);
    let words =
        Words { word: "info", resource_type: "call", resource_id: CALL, appid: None, event: &no_data };
    let mut out = Vec::new();
    let fixed = {
        let mut out = Vec::new();
        event_xml(&words, &event(&[("content", text(""))]), &mut out);
        out.len()
    };
    let fits = "x".repeat(65_535 - fixed);
    assert!(frame(&words, &event(&[("content", text(&fits))]), 65_535, &mut out));
    assert!(out.starts_with(b"10005\r\nffff\r\n"));
    out.clear();
    assert!(!frame(&words, &event(&[("content", text(&format!("{fits}x")))]), 65_535, &mut out));
    assert!(out.is_empty());
}

#[test]
fn documents_are_those_of_the_captures() {
    let any = Subscription::default();
    let id = "598ade4c-5dd5-4c4b-9a48-9e05a69da65a";
    let view = |subscriptions| HandlerView { id, appid: "app", prefix: "/default", subscriptions };
    let one = [any.clone()];
    let two = [any.clone(), Subscription { event_type: "end_play".into(), ..any }];
    // X2: the captured POST reply; the lengths are those of the captures and of the modelled documents.
    assert_eq!(
        String::from_utf8(handler(view(&one))).unwrap(),
        wire(&[
            "<web_service version=\"1.0\">",
            "<eventhandler_response identifier=\"598ade4c-5dd5-4c4b-9a48-9e05a69da65a\" appid=\"app\" \
             href=\"/default/eventhandlers/598ade4c-5dd5-4c4b-9a48-9e05a69da65a\"",
            ">",
            "<eventsubscribe type=\"any\" resource_id=\"any\" resource_type=\"any\"/>",
            "</eventhandler_response>",
            "</web_service>",
        ])
    );
    assert_eq!(handler(view(&one)).len(), 0x127);
    assert_eq!(handler(view(&two)).len(), 0x170);
    assert_eq!(handlers(&[view(&one)]).len(), 0x19b);
    assert_eq!(handler_state(view(&one)).len(), 0x125);
    assert_eq!(
        String::from_utf8(handlers(&[view(&one)])).unwrap(),
        wire(&[
            "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>",
            "<web_service version=\"1.0\">",
            "<eventhandlers_response size=\"1\">",
            "<eventhandler_response appid=\"app\" \
             href=\"/default/eventhandlers/598ade4c-5dd5-4c4b-9a48-9e05a69da65a\" \
             identifier=\"598ade4c-5dd5-4c4b-9a48-9e05a69da65a\">",
            "<eventsubscribe resource_id=\"any\" resource_type=\"any\" type=\"any\"/>",
            "</eventhandler_response>",
            "</eventhandlers_response>",
            "</web_service>",
        ])
    );
    let error = error(404, "no such eventhandler");
    assert_eq!(error.body.len(), 0x65);
    assert_eq!(empty_list("calls_response").body.len(), 73);
}

use super::*;

/// The first NOTIFY of a registrar, as it was seen.
const NOTIFY: &str = "NOTIFY sip:tester@127.0.0.1:5181 SIP/2.0\r\n\
    Via: SIP/2.0/UDP 127.0.0.1:5170;branch=z9hG4bK4daf.761b0da2000000000000000000000000.0\r\n\
    To: <sip:watcher@example.test>;tag=53c2ae4f\r\n\
    From: <sip:alice@example.test>;tag=36f9cc374a43816d88e4183d7e2bb729-9426b6a9\r\n\
    CSeq: 2 NOTIFY\r\n\
    Call-ID: 5666de32\r\n\
    Content-Length: 0\r\n\
    User-Agent: kamailio (5.6.3 (x86_64/linux))\r\n\
    Max-Forwards: 70\r\n\
    Event: reg\r\n\
    Contact: <sip:127.0.0.1:5170>\r\n\
    Subscription-State: active;expires=120\r\n\
    \r\n";

fn read(text: &str) -> Result<Message, Unreadable> {
    Message::from_datagram(text.as_bytes())
}

fn written(message: &Message) -> String {
    let mut out = Vec::new();
    message.write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_notify_of_a_real_peer() {
    let notify = read(NOTIFY).unwrap();
    assert_eq!(
        notify.start,
        Start::Request { method: "NOTIFY".into(), uri: "sip:tester@127.0.0.1:5181".into() }
    );
    assert_eq!(
        (notify.method(), notify.uri(), notify.status()),
        (Some("NOTIFY"), Some("sip:tester@127.0.0.1:5181"), None)
    );
    assert_eq!((notify.call_id(), notify.cseq()), ("5666de32", Some((2, "NOTIFY"))));
    assert_eq!(notify.from_tag(), Some("36f9cc374a43816d88e4183d7e2bb729-9426b6a9"));
    assert_eq!(notify.to_tag(), Some("53c2ae4f"));
    assert_eq!(&*notify.contact().unwrap().uri, "sip:127.0.0.1:5170");
    let via = notify.vias().next().unwrap();
    assert_eq!((&*via.transport, &*via.host, via.port), ("UDP", "127.0.0.1", Some(5170)));
    assert_eq!(notify.fields.get("User-Agent"), Some("kamailio (5.6.3 (x86_64/linux))"));
}

#[test]
fn s54_the_response_copies_what_identifies_it() {
    let mut notify = read(NOTIFY).unwrap();
    notify.fields.insert_first("Via", "SIP/2.0/UDP proxy.example.test;branch=z9hG4bK2;rport");
    let mut response = Message::response(&notify, 200, "OK");
    let mut via = response.vias().next().unwrap();
    via.set("rport", "5060");
    via.set("received", "192.0.2.1");
    response.fields.set_first("Via", via.to_string());
    assert_eq!(
        written(&response),
        "SIP/2.0 200 OK\r\n\
         Via: SIP/2.0/UDP proxy.example.test;branch=z9hG4bK2;rport=5060;received=192.0.2.1\r\n\
         Via: SIP/2.0/UDP 127.0.0.1:5170;branch=z9hG4bK4daf.761b0da2000000000000000000000000.0\r\n\
         From: <sip:alice@example.test>;tag=36f9cc374a43816d88e4183d7e2bb729-9426b6a9\r\n\
         To: <sip:watcher@example.test>;tag=53c2ae4f\r\n\
         Call-ID: 5666de32\r\n\
         CSeq: 2 NOTIFY\r\n\
         Content-Length: 0\r\n\
         \r\n"
    );
}

#[test]
fn a_subscribe_is_written_as_it_was_put_together() {
    let mut subscribe = Message::request("SUBSCRIBE", "sip:bill@example.com");
    subscribe.fields.push("v", "SIP/2.0/UDP 127.0.0.1:5181;rport;branch=z9hG4bK7d1f0c2a");
    subscribe.fields.push("call-id", "5666de32");
    subscribe.fields.push("o", "reg");
    subscribe.fields.push("Content-Length", "99");
    subscribe.fields.push("Note", "one\r\nline: alone");
    subscribe.body.extend_from_slice(b"ab");
    let expected = "SUBSCRIBE sip:bill@example.com SIP/2.0\r\n\
        Via: SIP/2.0/UDP 127.0.0.1:5181;rport;branch=z9hG4bK7d1f0c2a\r\n\
        Call-ID: 5666de32\r\n\
        Event: reg\r\n\
        Note: one  line: alone\r\n\
        Content-Length: 2\r\n\
        \r\n\
        ab";
    assert_eq!(written(&subscribe), expected);
    let split = Message::request("SUBSCRIBE", "sip:a@b SIP/2.0\r\nX: y");
    assert!(written(&split).starts_with("SUBSCRIBE sip:a@b SIP/2.0  X: y SIP/2.0\r\nContent-Length"));
}

/// A request whose fields but one are right.
fn with(field: &str) -> String {
    let name = field.split(':').next().unwrap();
    let fields =
        ["Via: SIP/2.0/UDP a", "From: <sip:a@b>;tag=1", "To: sip:c@d", "Call-ID: 1", "CSeq: 1 NOTIFY"];
    let others = fields.iter().filter(|f| !f.starts_with(&format!("{name}:"))).map(|f| format!("{f}\r\n"));
    format!("NOTIFY sip:a@b SIP/2.0\r\n{}{field}\r\n\r\n", others.collect::<String>())
}

#[test]
fn s44_lines_and_names_are_read_in_every_form() {
    let check = |field: &str, name: &str, expected: &[&str]| {
        let message = read(&with(field)).unwrap_or_else(|error| panic!("{field:?}: {error:?}"));
        assert_eq!(message.fields.values(name).collect::<Vec<_>>(), expected, "{field:?}");
    };
    check("o: dialog", "Event", &["dialog"]);
    check("O:dialog", "event", &["dialog"]);
    check("EVENT \t:  dialog \t", "Event", &["dialog"]);
    check("Event:\r\n\tdialog\r\n ;id=1\r\n \r\n  ", "Event", &["dialog ;id=1"]);
    check("u: reg, dialog ,\r\n presence,", "Allow-Events", &["reg", "dialog", "presence"]);
    check("k: a\r\nSupported: b,c", "supported", &["a", "b", "c"]);
    check("Route: <sip:a;x=1,2>, \"b, c\" <sip:d>", "Route", &["<sip:a;x=1,2>", "\"b, c\" <sip:d>"]);
    let hops = ["SIP/2.0/UDP a", "SIP/2.0/UDP c", "SIP / 2.0 / TCP b : 5070"];
    check("v: SIP/2.0/UDP c,SIP / 2.0 / TCP b : 5070", "Via", &hops);
    check("x-own: \u{e9}", "X-Own", &["\u{e9}"]);
    check("x: 1", "Session-Expires", &["1"]);
    check("z: 1", "z", &["1"]);
    check("m: *", "Contact", &["*"]);
    assert_eq!(read(&with("m: *")).unwrap().contact(), None);
}

fn refused(text: &str, status: impl Into<Option<u16>>, reason: &str) {
    let Err(error) = read(text) else { panic!("{text:?} was taken") };
    let answer = error.answer.as_ref().and_then(|answer| answer.status());
    assert_eq!((error.reason, answer), (reason, status.into()), "{text:?}");
}

#[test]
fn what_is_at_fault_is_named() {
    refused(&with("Via: SIP/2.0/UDP"), 400, "Via is malformed");
    refused(&with("Via: SIP/2.0/UDP a:0"), 400, "Via is malformed");
    refused(&with("Via: SIP/2.0/UDP a;branch="), 400, "Via is malformed");
    refused(&with("From: sip:a@b,c"), 400, "From is malformed");
    refused(&with("From: <sip:a@b>;tag=1\r\nf: <sip:a@b>;tag=1"), 400, "there is more than one From");
    refused(&with("To: <sip:a@b"), 400, "To is malformed");
    refused(&with("Call-ID: a b"), 400, "Call-ID is malformed");
    refused(&with("CSeq: 2147483648 NOTIFY"), 400, "CSeq is malformed");
    refused(&with("CSeq: 1"), 400, "CSeq is malformed");
    refused(&with("CSeq: 1 OPTIONS"), 400, "CSeq names another method");
    refused(&with("Max-Forwards: 256"), 400, "Max-Forwards is malformed");
    refused(&with("Content-Length: "), 400, "Content-Length is malformed");
    refused(&with("Content-Length: +1"), 400, "Content-Length is malformed");
    refused(&with("Contact: <sip:a>, sip:b?c=d"), 400, "Contact is malformed");
    refused(&with("o: a\r\nEvent: b"), 400, "there is more than one Event");
    refused(&with("Bad Name: a"), 400, "a header field's name is malformed");
    refused(&with("no colon"), 400, "a line of the head has no colon");
    refused(&with("Y: z").replace("SIP/2.0\r\n", "SIP/3.0\r\n"), 505, "SIP/2.0 is spoken here");
    refused(
        &with("Y: z\r\n".repeat(256).trim_end()),
        513,
        "there are more header fields than are taken here",
    );
    refused(
        &with(&format!("Via: {}", ",".repeat(300))),
        513,
        "there are more header fields than are taken here",
    );
    refused(&with(&format!("Y: {}", "z".repeat(66_000))), 513, "the head is larger than is taken here");
    // What has no sender, or wants no answer, gets none.
    refused(&with("Via").replace("Via\r\n", ""), None, "Via is missing");
    refused("", None, "there is no message");
    refused("\r\n\r\n", None, "there is no message");
    refused(&with("X").replace("NOTIFY", "ACK"), None, "a line of the head has no colon");
    refused("SIP/2.0 200 OK\r\n\r\n", None, "From is missing");
    refused("SIP/2.0 99 OK\r\n\r\n", None, "the status is malformed");
    refused("SIP/2.1 200 OK\r\n\r\n", None, "the response is not of SIP/2.0");
    refused("\u{0}\u{1}\u{2}", None, "the first line holds a control character");
}

/// A message with a line in Latin-1.
fn latin_1(line: &str) -> Vec<u8> {
    with(line).chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

#[test]
fn what_people_alone_read_may_be_latin_1() {
    for (line, is_taken) in [
        ("From: \"J\u{f6}rg\" <sip:a@b>;tag=1", true),
        ("From: J\u{f6}rg <sip:a@b>;tag=1", true),
        ("From: \"J\u{f6}rg <1>\" <sip:a@b>;tag=1", true),
        ("Contact: \"J\u{f6}rg\" <sip:a@b>", true),
        ("User-Agent: T\u{e9}l\u{e9}phone", true),
        ("s: \u{fc}ber", true),
        ("From: \"J\u{f6}rg\" <sip:a@b>;tag=\u{f6}", false),
        ("From: sip:a@b;tag=\u{f6}", false),
        ("From: <sip:\u{f6}@b>;tag=1", false),
        ("Contact: \"J\u{f6}rg\" <sip:a@b>, \"J\u{f6}rg\" <sip:a@c>", false),
        ("Call-ID: \u{f6}<", false),
        ("Event: dialog;x=\u{f6}", false),
        ("X: J\u{f6}rg", false),
    ] {
        let read = Message::from_datagram(&latin_1(line));
        assert_eq!(read.is_ok(), is_taken, "{line}: {read:?}");
        if let Ok(message) = read {
            assert!(message.fields.iter().any(|(_, value)| value.contains('\u{fffd}')), "{line}");
            assert_eq!(message.from_tag(), Some("1"), "{line}");
        }
    }
}

#[test]
fn a_value_that_is_not_utf_8_is_refused_with_an_answer() {
    let error = Message::from_datagram(&latin_1("X: J\u{f6}rg")).unwrap_err();
    assert_eq!(error.reason, "a header field's value is not UTF-8");
    let answer = error.answer.unwrap();
    assert_eq!((answer.status(), answer.from_tag()), (Some(400), Some("1")));
    assert!(written(&answer).starts_with("SIP/2.0 400 a header field's value is not UTF-8\r\n"));
}

#[test]
fn s45_bodies_of_datagrams() {
    let body = |text: String| read(&text).map(|message| String::from_utf8(message.body).unwrap());
    assert_eq!(body(with("l: 3") + "abc").as_deref(), Ok("abc"));
    assert_eq!(body(with("l: 3") + "abcdef").as_deref(), Ok("abc"));
    assert_eq!(body(with("X: no length") + "abcdef").as_deref(), Ok("abcdef"));
    refused(&(with("l: 4") + "abc"), 400, "the body is shorter than Content-Length");
    refused(&with("l: 4294967296"), 400, "Content-Length is malformed");
}

#[test]
fn s45_bare_line_feeds_do_not_hang() {
    let text = with("Y: z");
    refused(&text.replace("\r\n", "\n"), None, "the first line holds a control character");
    refused(&text.replace("z\r\n", "z\n"), 400, "a line of the head does not end with CR LF");
    refused(&text.replace("z\r\n", "z\r"), 400, "a line of the head does not end with CR LF");
    refused(&text.replace("z\r\n", "z\r\n \r a\r\n"), 400, "a line of the head does not end with CR LF");
    refused(text.trim_end(), 400, "the head has no end");
    refused(&format!("{}\n\n", text.trim_end()), 400, "a line of the head does not end with CR LF");
}

#[test]
fn keepalives() {
    assert!([&b""[..], b"\r\n", b"\r\n\r\n", b"\0\0\0\0"].into_iter().all(is_keepalive));
    assert!(!is_keepalive(b"\r\nO") && !is_keepalive(&[0, 1]));
}

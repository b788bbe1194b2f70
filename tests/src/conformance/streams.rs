//! XMS streams: their heads, their chunks and what belongs on them. Chunk boundaries show in the transcripts.

use std::time::{Duration, Instant};

use super::QUIET;
use super::peer::{LAST_CHUNK, Peer, content, get, request};
use super::server::Subject;
use super::transcript::Transcript;
use super::xms::{
    KEEPALIVE, create, delete, digits, digits_to_end, dtmf, instance, metric, open, publication, publish, put,
};

/// The call of the examples.
const CALL: &str = "c2dcaa4f-2b31-425c-b491-f2537d4c8738";

/// X16, X17, X18, X29: the head, the first keepalive, then what came between POST and GET, in order; whatever `Accept`
/// says. With the defaults alone, no config file.
pub fn xms_streams(subject: &Subject) {
    let server = subject.start(None, &["--listen", "127.0.0.1:0", "--data", "none"]);
    let peer = &mut Peer::connect(server.address);
    let mut t = Transcript::new("xms_streams");
    let id = create(peer, "<eventsubscribe/>");
    for digits in 1..=3 {
        publish(peer, &dtmf("7", digits));
    }
    t.title("X17, X18, X29: a keepalive at once, then what waited");
    let mut stream = Peer::connect(server.address);
    let head =
        t.open(&mut stream, request(&format!("GET {}", instance(&id)), "Accept: application/xml\r\n", ""));
    assert_eq!(
        (head.field("Transfer-Encoding"), head.field("Content-Type"), head.field("Content-Length")),
        (Some("chunked"), Some("text/plain"), None)
    );
    assert_eq!((head.field("Connection"), head.field("Offhook-Missed")), (None, None));
    t.chunks(&mut stream, 4);
    t.title("then live");
    publish(peer, &dtmf("7", 4));
    t.chunks(&mut stream, 1);
    t.check();
}

/// X20, X23, X24, X25, X43: the examples of the vendor's captures and the values that need care, chunk for chunk.
pub fn xms_examples(subject: &Subject) {
    let server = subject.server(QUIET);
    let peer = &mut Peer::connect(server.address);
    let mut t = Transcript::new("xms_examples");
    t.given(CALL);
    let media = "5a0a4d5c-3f4e-4a52-9d7f-0a2f0c6e1b11";
    t.given(media);
    let id = create(peer, "<eventsubscribe/>");
    let mut stream = open(&server, &id);
    let event = |event_type: &str, data: &str| {
        format!(r#"{{"type":"{event_type}","subject":"call/{CALL}","data":{{{data}}}}}"#)
    };
    let play = format!(
        r#""media_id":"{media}","reason":"end","duration":"6210","status":"0 No Error","transaction_id":"{media}","id":"{CALL}""#
    );
    for (title, chunk, size, event) in [
        ("X20: ringing, call_id from the subject", 0x112, 0x10d, event("call.ringing", "")),
        ("X20: hangup", 0x13e, 0x139, event("call.hangup", r#""reason":"800 Bye""#)),
        ("X20, X25: end_play, sorted, without call_id", 0x237, 0x232, event("media.end_play", &play)),
        (
            "X20, X23, X24: incoming with a non-ASCII caller and a header block",
            0x256,
            0x251,
            event(
                "call.incoming",
                r#""name":"app","uri":"sip:100@192.0.2.7","headers":"Call-ID:a1\r\nCSeq: 1 INVITE",
                   "caller_uri":"<sip:Jürgen@192.0.2.9:5060>;tag=1","called_uri":"<sip:100@192.0.2.7>""#,
            ),
        ),
        (
            "X24: quotes, tabs, what XML forbids, what lies beyond 16 bits; a `type` of the sender's own",
            0,
            0,
            event("call.info", r#""content":"\"a\"\t&\u0001\u007f日😀","type":"mine""#),
        ),
        (
            "X43: numbers and booleans as their text, null not at all",
            0,
            0,
            event(
                "call.tone",
                r#""a":1.0,"b":1e3,"c":12345678901234567890123,"d":true,"e":false,"f":null,"B":"""#,
            ),
        ),
    ] {
        t.title(title);
        publish(peer, &event);
        let bytes = stream.chunk();
        t.chunk(&bytes);
        if size > 0 {
            assert!(bytes.starts_with(format!("{chunk:x}\r\n{size:x}\r\n").as_bytes()), "{title}");
        }
        let text = std::str::from_utf8(content(&bytes)).unwrap();
        assert!(text.is_ascii());
        let (length, xml) = text.split_once("\r\n").unwrap();
        assert_eq!((length, xml.ends_with("</web_service>")), (&*format!("{:x}", xml.len()), true), "X23");
    }
    t.check();
}

/// X12, X26, X27: subscriptions narrow, change and overlap. Each stream ends by DELETE, so what is not there was not
/// sent.
pub fn xms_subscriptions(subject: &Subject) {
    let server = subject.server(QUIET);
    let peer = &mut Peer::connect(server.address);
    let mut t = Transcript::new("xms_subscriptions");
    let all = [
        (
            "X26: three subscriptions match, one event comes",
            "<eventsubscribe/><eventsubscribe type=\"hangup\"/>\
          <eventsubscribe resource_id=\"1\"/>",
        ),
        ("X27: by type", "<eventsubscribe type=\"hangup\"/>"),
        ("X27: by resource_type", "<eventsubscribe resource_type=\"conference\"/>"),
        ("X27: by resource_id, byte for byte", "<eventsubscribe resource_id=\"2\"/>"),
        ("X27: all must hold", "<eventsubscribe type=\"hangup\" resource_type=\"call\" resource_id=\"2\"/>"),
        (
            "two of them",
            "<eventsubscribe type=\"hangup\" resource_id=\"1\"/><eventsubscribe type=\"ringing\"/>",
        ),
        ("keepalives alone", "<eventsubscribe type=\"keepalive\"/>"),
    ];
    let ids: Vec<String> = all.iter().map(|(_, subscriptions)| create(peer, subscriptions)).collect();
    let mut streams: Vec<Peer> = ids.iter().map(|id| open(&server, id)).collect();
    publish(
        peer,
        r#"[{"type":"call.ringing","subject":"call/1"},{"type":"call.hangup","subject":"call/1"},
            {"type":"call.hangup","subject":"call/2"},{"type":"call.hangup","subject":"conference/2"},
            {"type":"call.ringing","subject":"conference/02"}]"#,
    );
    for ((id, stream), (title, _)) in ids.iter().zip(&mut streams).zip(all) {
        assert_eq!(peer.ask(delete(id)).status(), 204);
        t.title(title);
        t.chunks_to_end(stream);
    }

    t.title(
        "X12: without subscriptions nothing comes; a PUT is in force for what is published after its reply",
    );
    let id = create(peer, "<eventsubscribe type=\"dtmf\"/>");
    let mut stream = open(&server, &id);
    publish(peer, &dtmf("1", 1));
    assert_eq!(peer.ask(put(&id, "<eventsubscribe action=\"remove\" type=\"dtmf\"/>")).status(), 200);
    publish(peer, &dtmf("1", 2));
    assert_eq!(peer.ask(put(&id, "<eventsubscribe resource_id=\"1\"/>")).status(), 200);
    publish(peer, &dtmf("1", 3));
    publish(peer, &dtmf("2", 4));
    assert_eq!(peer.ask(delete(&id)).status(), 204);
    t.chunks_to_end(&mut stream);
    t.check();
}

/// X37, X42, X45: what is never put on a stream, and the stream goes on; other dialects have it.
pub fn xms_left_out(subject: &Subject) {
    let mut server =
        subject.server(&format!("{QUIET}[xms.app.app]\n[xms.app.b]\ndeliver_types = [\"hangup\"]\n"));
    let peer = &mut Peer::connect(server.address);
    let mut t = Transcript::new("xms_left_out");
    let id = create(peer, "<eventsubscribe/>");
    let mut stream = open(&server, &id);
    let created = peer.ask(request(
        "POST /default/eventhandlers?appid=b",
        "",
        super::xms::document("<eventsubscribe/>"),
    ));
    let text = created.text();
    let b = text.split('"').nth(3).unwrap();
    let mut stream_of_b = Peer::connect(server.address);
    stream_of_b.send(get(&format!("/default/eventhandlers/{b}?appid=b")));
    stream_of_b.head();
    assert_eq!(stream_of_b.chunk(), KEEPALIVE);
    let mut sse = Peer::connect(server.address);
    sse.send(get("/v1/events"));
    sse.head();
    sse.chunk();

    let large =
        |room: usize| "x".repeat(65_535 - 269 - r#"<event_data name="z" value="" />"#.len() - 2 + room);
    let subject = format!("call/{CALL}");
    for (room, title) in [(0, "a frame of 65,535 bytes of XML"), (1, "X37: one of 65,536")] {
        publish(
            peer,
            &format!(
                r#"{{"type":"call.ringing","subject":"{subject}","appid":"app","data":{{"z":"{}"}}}}"#,
                large(room)
            ),
        );
        t.title(&format!("{title} (not shown)"));
    }
    let bytes = stream.chunk();
    assert!(
        bytes.starts_with(b"10005\r\nffff\r\n<web_service"),
        "{:?}",
        String::from_utf8_lossy(&bytes[..40])
    );
    t.title("X42: no word, no subject, another appid; X45: a nested value; then one of each application, and of none");
    publish(
        peer,
        r#"[{"type":"call.parked","subject":"call/1"},{"type":"user.login","subject":"user/1"},
            {"type":"call.hangup"},{"type":"call.hangup","subject":"call"},
            {"type":"call.hangup","subject":"call/1","data":{"nested":{"a":1}}},
            {"type":"call.hangup","subject":"call/1","data":{"nested":[]}},
            {"type":"call.hangup","subject":"call/1","data":"text"},
            {"type":"call.hangup","subject":"call/for-nobody","appid":"nobody"},
            {"type":"call.hangup","subject":"call/for-b","appid":"b"},
            {"type":"call.hangup","subject":"call/for-app","appid":"app"},
            {"type":"call.ringing","subject":"call/for-both"},
            {"type":"call.hangup","subject":"call/for-both"}]"#,
    );
    assert_eq!(peer.ask(delete(&id)).status(), 204);
    t.title("what `app` gets");
    t.chunks_to_end(&mut stream);
    t.title("what `b` gets, which takes hangup alone");
    t.chunks(&mut stream_of_b, 2);
    // The SSE stream has had them all, whatever XMS makes of them.
    for number in 0..14 {
        let text = String::from_utf8(sse.chunk()).unwrap();
        assert!(text.contains("\ndata: {\"specversion\""), "event {number}: {text}");
    }
    for (reason, count) in [("no_word", 2), ("no_subject", 2), ("nested_value", 3), ("too_large", 1)] {
        let name = format!("offhook_events_not_sent_total{{dialect=\"xms\",reason=\"{reason}\"}}");
        assert_eq!(metric(peer, &name), count, "{reason}");
    }
    t.check();
    server.wait_for("is larger than an XMS event may be");
}

/// X19: keepalives in their interval, subscribed or not, for HTTP/1.1 and 1.0, events or no events.
pub fn xms_keepalives(subject: &Subject) {
    let server = subject.server("[xms]\nkeepalive = \"1s\"\n");
    let peer = &mut Peer::connect(server.address);
    let end_play = create(peer, "<eventsubscribe type=\"end_play\"/>");
    let nothing = create(peer, "<eventsubscribe action=\"remove\"/>");
    let all = create(peer, "<eventsubscribe/>");
    let start = Instant::now();
    let mut streams = [open(&server, &end_play), open(&server, &nothing), open(&server, &all)];
    let mut old = Peer::connect(server.address);
    old.send(format!("GET {} HTTP/1.0\r\n\r\n", instance(&all)));
    old.head();
    assert_eq!(old.take(72), KEEPALIVE[4..KEEPALIVE.len() - 2]);
    publish(peer, &dtmf("1", 1));
    for (at, stream) in streams.iter_mut().enumerate() {
        if at == 2 {
            assert_eq!(digits(&stream.chunk()), 1);
        }
        // The server counts whole milliseconds.
        for seconds in [1, 2] {
            assert_eq!(stream.chunk(), KEEPALIVE);
            assert!(start.elapsed() >= Duration::from_millis(seconds * 1_000 - 2), "a keepalive came early");
        }
    }
    let event = old.until(b"</web_service>");
    assert!(event.windows(4).any(|w| w == b"DTMF"), "X19: HTTP/1.0");
    assert_eq!(old.take(72), KEEPALIVE[4..KEEPALIVE.len() - 2]);
}

/// X28: two GETs on one handler both get every live event; the replay goes to the first.
pub fn xms_several_streams(subject: &Subject) {
    let server = subject.server(QUIET);
    let peer = &mut Peer::connect(server.address);
    let mut t = Transcript::new("xms_several_streams");
    let id = create(peer, "<eventsubscribe/>");
    publish(peer, &dtmf("1", 1));
    let mut first = open(&server, &id);
    let mut second = open(&server, &id);
    publish(peer, &dtmf("1", 2));
    assert_eq!(peer.ask(delete(&id)).status(), 204);
    t.title("X28: the first");
    t.chunks_to_end(&mut first);
    t.title("X28: the second");
    t.chunks_to_end(&mut second);
    t.check();
}

/// X13, X14: DELETE ends every stream with what is queued and the last chunk, and answers before that.
pub fn xms_delete_ends_streams(subject: &Subject) {
    let server = subject.server(QUIET);
    let peer = &mut Peer::connect(server.address);
    let mut t = Transcript::new("xms_delete_ends_streams");
    let id = create(peer, "<eventsubscribe/>");
    let mut streams: Vec<Peer> = (0..3).map(|_| open(&server, &id)).collect();
    // Published, deleted and asked for again in one write.
    let mut requests: Vec<u8> = (1..=20).flat_map(|number| publication(&dtmf("1", number))).collect();
    requests.extend(delete(&id));
    requests.extend(get(&instance(&id)));
    peer.send(&requests);
    for _ in 0..20 {
        assert_eq!(peer.reply_to(b"POST").status(), 202);
    }
    t.title("X14: the replies to DELETE and to the next request for it");
    let reply = peer.reply_to(b"DELETE");
    t.reply(&reply);
    let reply = peer.reply_to(b"GET");
    t.reply(&reply);
    for stream in &mut streams {
        assert_eq!(digits_to_end(stream), ((1..=20).collect(), true), "X14");
    }
    t.title("X14: a stream without events");
    let id = create(peer, "<eventsubscribe/>");
    let mut stream = open(&server, &id);
    t.ask(peer, delete(&id));
    t.chunks_to_end(&mut stream);
    t.check();
}

/// X21, X22: 1,000 events in bursts of 100: one chunk each, no byte between them; the same bytes with
/// `one_write_per_event` (X48; that a write carries one event is not visible on loopback).
pub fn xms_thousand_events(subject: &Subject) {
    for config in [QUIET.to_owned(), format!("{QUIET}[xms.app.app]\none_write_per_event = true\n")] {
        let server = subject.server(&config);
        let peer = &mut Peer::connect(server.address);
        let id = create(peer, "<eventsubscribe/>");
        let mut stream = open(&server, &id);
        for burst in 0..10 {
            let numbers = burst * 100..(burst + 1) * 100;
            let events: Vec<String> = numbers.clone().map(|number| dtmf("1", number)).collect();
            publish(peer, &format!("[{}]", events.join(",")));
            for number in numbers {
                let chunk = stream.chunk();
                let text = std::str::from_utf8(content(&chunk)).unwrap();
                let (length, xml) = text.split_once("\r\n").unwrap();
                assert_eq!(usize::from_str_radix(length, 16), Ok(xml.len()), "X21: event {number}");
                assert!(xml.starts_with("<web_service version=\"1.0\">\r\n<event "), "X21");
                assert!(xml.ends_with("</web_service>"), "X21");
                assert_eq!(digits(&chunk), number, "X22");
            }
        }
        assert_eq!(peer.ask(delete(&id)).status(), 204);
        assert_eq!(stream.chunk(), LAST_CHUNK);
    }
}

//! HTTP as old and new clients speak it: in pieces, in bursts, on one connection, with 1.0, with a go-ahead.

use super::QUIET;
use super::peer::{Peer, get, request};
use super::server::Subject;
use super::transcript::Transcript;
use super::xms::{
    COLLECTION, KEEPALIVE, create, delete, digits, document, dtmf, instance, open_on, post, publication,
    publish, put,
};

/// A head and a body that come one byte at a time, with a length and in chunks.
pub fn http_byte_by_byte(subject: &Subject) {
    let server = subject.server(QUIET);
    let peer = &mut Peer::connect(server.address);
    let mut t = Transcript::new("http_byte_by_byte");
    let chunked = b"POST /v1/events HTTP/1.1\r\nHost: localhost:8080\r\nContent-Type: application/json\r\n\
        Transfer-Encoding: chunked\r\n\r\n8;x\r\n[{\"type\"\r\nb\r\n:\"chunked\"}\r\n1\r\n]\r\n0\r\nT: v\r\n\r\n";
    for request in
        [get("/healthz"), post("<eventsubscribe type=\"hangup\"/>"), chunked.to_vec(), get("/healthz")]
    {
        t.title("byte by byte");
        t.sent(&request);
        request.iter().for_each(|byte| peer.send([*byte]));
        let reply = peer.reply_to(&request);
        t.reply(&reply);
    }
    t.title("a fault, byte by byte");
    let broken = b"GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n";
    t.sent(broken);
    broken.iter().for_each(|byte| peer.send([*byte]));
    let reply = peer.reply_to(broken);
    t.reply(&reply);
    t.ended(peer);
    t.check();
}

/// Many requests in one write: replies in their order, publishes among commands, each request sees what stood before
/// it.
pub fn http_pipelining(subject: &Subject) {
    for shards in [1, 2] {
        let server = subject.shards(shards, QUIET);
        let peer = &mut Peer::connect(server.address);
        let mut t = Transcript::new("http_pipelining");
        t.title("commands and publishes in one write");
        let id = create(peer, "<eventsubscribe/>");
        t.name(id.clone(), "handler");
        let mut stream = Peer::connect(server.address);
        open_on(&mut stream, &id);
        let state = get(&format!("{}&view=state", instance(&id)));
        let event = |id: &str| publication(&format!(r#"[{{"type":"call.dtmf","id":"{id}"}}]"#));
        let requests = [
            event("first"),
            event("second"),
            state.clone(),
            put(&id, "<eventsubscribe type=\"hangup\"/>"),
            state.clone(),
            get("/v1/events?unknown=1"),
            event("third"),
            publication("{}"),
            event("fourth"),
            request(&format!("HEAD {COLLECTION}"), "", ""),
            get("/default/nothing?appid=app"),
            delete(&id),
            state,
            get(COLLECTION),
        ];
        requests.iter().for_each(|request| t.sent(request));
        peer.send(requests.concat());
        for request in &requests {
            let mut reply = peer.reply_to(request);
            // The stream's own record has a number too, which may come before or after.
            if reply.status() == 202 {
                let text = reply.text();
                let (before, _) = text.split_once("\"seq\":").unwrap();
                reply.raw_body = format!("{before}\"seq\":{{seq}}}}]}}").into_bytes();
            }
            t.reply(&reply);
        }
        t.check();

        // A thousand publishes in one write, from two connections: all are accepted, in order for each.
        let id = create(peer, "<eventsubscribe/>");
        let mut stream = Peer::connect(server.address);
        open_on(&mut stream, &id);
        let mut second = Peer::connect(server.address);
        let burst = |offset: u64| -> Vec<u8> {
            (0..1_000).flat_map(|n| publication(&dtmf("1", offset + n))).collect()
        };
        let mut sender = second.stream.try_clone().unwrap();
        let bytes = burst(10_000);
        let thread = std::thread::spawn(move || std::io::Write::write_all(&mut sender, &bytes).unwrap());
        peer.send(burst(0));
        thread.join().unwrap();
        for _ in 0..1_000 {
            assert_eq!(peer.reply_to(b"POST").status(), 202);
            assert_eq!(second.reply_to(b"POST").status(), 202);
        }
        let mut next = [0, 10_000];
        for _ in 0..2_000 {
            let number = digits(&stream.chunk());
            let of = usize::from(number >= 10_000);
            assert_eq!(number, next[of], "{shards} shards");
            next[of] += 1;
        }
    }
}

/// X33: POST and the streaming GET after it, on one TCP connection; a stream takes no more requests.
pub fn http_one_connection(subject: &Subject) {
    let server = subject.server(QUIET);
    let peer = &mut Peer::connect(server.address);
    let mut t = Transcript::new("http_one_connection");
    t.title("X33: POST, a command, then the stream");
    let created = t.ask(peer, post("<eventsubscribe/>"));
    let text = created.text();
    let id = text.split('"').nth(3).unwrap();
    t.ask(peer, put(id, "<eventsubscribe type=\"hangup\"/>"));
    t.open(peer, get(&instance(id)));
    t.chunks(peer, 1);
    let mut other = Peer::connect(server.address);
    t.title("what is sent on a stream is not looked at");
    peer.send(delete(id));
    publish(&mut other, &dtmf("1", 1));
    t.chunks(peer, 1);
    assert_eq!(other.ask(delete(id)).status(), 204);
    t.chunks_to_end(peer);

    t.title("POST and a list in one write");
    let peer = &mut Peer::connect(server.address);
    let both = [post("<eventsubscribe/>"), get(COLLECTION)];
    peer.send(both.concat());
    for request in &both {
        t.sent(request);
        let reply = peer.reply_to(request);
        t.reply(&reply);
    }
    t.title("a client that ends its side after the request still gets the answer");
    for request in
        [publication(r#"{"type":"call.ringing","id":"i"}"#), post("<eventsubscribe/>"), get(COLLECTION)]
    {
        let mut half = Peer::connect(server.address);
        half.send(&request);
        half.end();
        t.sent(&request);
        let mut reply = half.reply_to(&request);
        if reply.status() == 202 {
            // How many records came before it depends on when the streams' ends were noticed.
            reply.raw_body = b"{\"accepted\":[{\"id\":\"i\",\"seq\":{seq}}]}".to_vec();
        }
        t.reply(&reply);
        t.ended(&mut half);
    }
    t.title("Connection: close is honoured");
    t.ask(peer, request("GET /healthz", "Connection: close\r\n", ""));
    t.ended(peer);
    t.check();
}

/// X34: HTTP/1.0 gets lengths and no chunks, a stream without chunking, and keep-alive when it asks.
pub fn http_1_0(subject: &Subject) {
    let server = subject.server(QUIET);
    let mut t = Transcript::new("http_1_0");
    let mut other = Peer::connect(server.address);
    let body = document("<eventsubscribe/>");
    let line = |line: &str, fields: &str, body: &str| {
        format!("{line} HTTP/1.0\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
    };
    t.title("X34: POST without Host; the connection ends");
    let mut peer = Peer::connect(server.address);
    t.ask(&mut peer, line(&format!("POST {COLLECTION}"), "", &body));
    t.ended(&mut peer);
    t.title("X34: with Connection: keep-alive it goes on, to the stream");
    let mut peer = Peer::connect(server.address);
    let fields = "Host: localhost:8080\r\nConnection: keep-alive\r\nExpect: 100-continue\r\n";
    let created = t.ask(&mut peer, line(&format!("POST {COLLECTION}"), fields, &body));
    let text = created.text();
    let id = text.split('"').nth(3).unwrap();
    publish(&mut other, &dtmf("1", 1));
    t.open(&mut peer, format!("GET {} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", instance(id)));
    let keepalive = peer.take(72);
    assert_eq!(keepalive, KEEPALIVE[4..KEEPALIVE.len() - 2]);
    t.received(&keepalive);
    let event = peer.until(b"</web_service>");
    t.received(&event);
    t.title("X34: live, then DELETE by HTTP/1.0 ends it without a last chunk");
    publish(&mut other, &dtmf("1", 2));
    let event = peer.until(b"</web_service>");
    t.received(&event);
    let mut deleter = Peer::connect(server.address);
    t.ask(&mut deleter, format!("DELETE {} HTTP/1.0\r\n\r\n", instance(id)));
    t.ended(&mut deleter);
    t.ended(&mut peer);
    t.check();
}

/// X35: the go-ahead comes before the body is sent; a refusal comes instead of it.
pub fn http_expect_continue(subject: &Subject) {
    let server = subject.server(QUIET);
    let mut t = Transcript::new("http_expect_continue");
    let peer = &mut Peer::connect(server.address);
    let body = document("<eventsubscribe/>");
    let head = |target: &str, length: usize| {
        format!(
            "POST {target} HTTP/1.1\r\nHost: localhost:8080\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    t.title("X35: 100, then 201");
    let bytes = head(COLLECTION, body.len());
    t.sent(bytes.as_bytes());
    peer.send(&bytes);
    let go_ahead = peer.until(b"\r\n\r\n");
    t.received(&go_ahead);
    t.ask(peer, &body);
    t.title("X35: the body is sent without waiting: 201, with or without 100");
    peer.send(format!("{}{body}", head(COLLECTION, body.len())));
    let mut reply = peer.head();
    if reply.status == 100 {
        reply = peer.head();
    }
    assert_eq!(reply.status, 201);
    peer.take(reply.field("Content-Length").unwrap().parse().unwrap());
    t.title("a refusal instead of the go-ahead ends the connection");
    for target in ["/default/eventhandlers?appid=nobody", "/v1/nothing"] {
        let mut peer = Peer::connect(server.address);
        t.ask(&mut peer, head(target, 10));
        t.ended(&mut peer);
    }
    t.check();
}

/// HEAD: the headers of the GET and no body; on an instance it opens no stream.
pub fn http_head(subject: &Subject) {
    let server = subject.server(QUIET);
    let peer = &mut Peer::connect(server.address);
    let mut t = Transcript::new("http_head");
    let id = create(peer, "<eventsubscribe/>");
    t.name(id.clone(), "handler");
    publish(peer, &dtmf("1", 1));
    for target in [
        COLLECTION.to_owned(),
        instance(&id),
        format!("{}&view=state", instance(&id)),
        "/default/calls?appid=app".to_owned(),
        "/v1/events".to_owned(),
        "/healthz".to_owned(),
        "/nothing".to_owned(),
    ] {
        t.title(&target);
        t.ask(peer, request(&format!("HEAD {target}"), "", ""));
    }
    // The replay is still there: HEAD took nothing.
    open_on(peer, &id);
    assert_eq!(digits(&peer.chunk()), 1);
    t.check();
}

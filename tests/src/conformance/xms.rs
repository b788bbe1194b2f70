//! Words of the XMS scripts: eventhandlers made, streams opened, events published.

use super::peer::{LAST_CHUNK, Peer, content, get, request, value_after};
use super::server::Server;

/// The collection of the application `app`.
pub(crate) const COLLECTION: &str = "/default/eventhandlers?appid=app";

/// The chunk that every stream starts with, as captured.
pub(super) const KEEPALIVE: &[u8] =
    b"48\r\n44\r\n<web_service version=\"1.0\">\r\n<event type=\"keepalive\"/></web_service>\r\n";

/// Where an eventhandler is.
pub(super) fn instance(id: &str) -> String {
    format!("/default/eventhandlers/{id}?appid=app")
}

/// The document of POST and PUT around some `eventsubscribe`s.
pub(super) fn document(subscriptions: &str) -> String {
    format!("<web_service version=\"1.0\"><eventhandler>{subscriptions}</eventhandler></web_service>")
}

/// A POST of such a document.
pub(crate) fn post(subscriptions: &str) -> Vec<u8> {
    request(&format!("POST {COLLECTION}"), "", document(subscriptions))
}

/// A PUT of such a document.
pub(super) fn put(id: &str, subscriptions: &str) -> Vec<u8> {
    request(&format!("PUT {}", instance(id)), "", document(subscriptions))
}

pub(crate) fn delete(id: &str) -> Vec<u8> {
    request(&format!("DELETE {}", instance(id)), "", "")
}

/// Makes an eventhandler; gives its id.
pub(super) fn create(peer: &mut Peer, subscriptions: &str) -> String {
    let reply = peer.ask(post(subscriptions));
    assert_eq!(reply.status(), 201, "{}", reply.text());
    value_after(&reply.text(), "identifier=\"").to_owned()
}

/// Opens a stream and reads its head and first keepalive.
pub(super) fn open(server: &Server, id: &str) -> Peer {
    let mut peer = Peer::connect(server.address);
    open_on(&mut peer, id);
    peer
}

/// Turns a connection into a stream: head and first keepalive are read.
pub(super) fn open_on(peer: &mut Peer, id: &str) {
    peer.send(get(&instance(id)));
    let head = peer.head();
    assert_eq!(head.status, 200, "{}", head.raw);
    assert_eq!(peer.chunk(), KEEPALIVE);
}

/// A publish request of one event or more.
pub(super) fn publication(json: &str) -> Vec<u8> {
    request("POST /v1/events", "Content-Type: application/json\r\n", json)
}

/// Publishes; the reply's body.
pub(super) fn publish(peer: &mut Peer, json: &str) -> String {
    let reply = peer.ask(publication(json));
    assert_eq!(reply.status(), 202, "{}", reply.text());
    reply.text()
}

/// A DTMF event of call `call` with these digits.
pub(super) fn dtmf(call: &str, digits: impl std::fmt::Display) -> String {
    format!(r#"{{"type":"call.dtmf","subject":"call/{call}","data":{{"digits":"{digits}"}}}}"#)
}

/// The number that such an event carries on a stream.
pub(super) fn digits(chunk: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(content(chunk));
    value_after(&text, "name=\"digits\" value=\"").parse().expect("a number")
}

/// Reads a stream up to its end: the numbers of its events, and whether it ended with the last chunk.
pub(super) fn digits_to_end(peer: &mut Peer) -> (Vec<u64>, bool) {
    let bytes = peer.rest();
    let mut rest = &bytes[..];
    let mut all = Vec::new();
    while let Some(length) = whole_chunk(rest) {
        let (chunk, after) = rest.split_at(length);
        if chunk == LAST_CHUNK {
            assert!(after.is_empty(), "bytes after the last chunk");
            return (all, true);
        }
        all.push(digits(chunk));
        rest = after;
    }
    (all, false)
}

/// The length of the chunk at the start of `bytes`, if it is all there.
fn whole_chunk(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).ok()?, 16).ok()?;
    let length = line + 2 + size + 2;
    (length <= bytes.len()).then_some(length)
}

/// The value of a line of `/metrics`.
pub(super) fn metric(peer: &mut Peer, name: &str) -> u64 {
    let text = peer.ask(get("/metrics")).text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in\n{text}")).parse().expect("a number")
}

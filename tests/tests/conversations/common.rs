//! Steps that many conversations share, and expected bytes, written out by hand and not by the server's own code.

use offhook_core::hub::action::Note;
use offhook_tests::memory::read::{Reply, xms_events};
use offhook_tests::memory::write::{get, publish, request};
use offhook_tests::memory::{Peer, World};

/// A keepalive as an HTTP chunk (xms.md 2.5).
pub(crate) const KEEPALIVE: &str =
    "48\r\n44\r\n<web_service version=\"1.0\">\r\n<event type=\"keepalive\"/></web_service>\r\n";

/// The XML of a keepalive.
pub(crate) const KEEPALIVE_XML: &str =
    "<web_service version=\"1.0\">\r\n<event type=\"keepalive\"/></web_service>";

/// The collection of the default application.
pub(crate) const COLLECTION: &str = "/default/eventhandlers?appid=app";

/// A subscription to everything.
pub(crate) const EVERYTHING: &str = "<eventsubscribe />";

/// The call of the recorded stream of 2015.
pub(crate) const CALL: &str = "c2dcaa4f-2b31-425c-b491-f2537d4c8738";

/// The document of POST and PUT with these `eventsubscribe` elements.
pub(crate) fn document(subscriptions: &str) -> String {
    format!("<web_service version=\"1.0\"><eventhandler>{subscriptions}</eventhandler></web_service>")
}

/// A POST that makes an eventhandler of the application `app`.
pub(crate) fn post_handler(subscriptions: &str) -> Vec<u8> {
    request("POST", COLLECTION, "Content-Type: application/xml\r\n", document(subscriptions))
}

/// A PUT that edits an eventhandler.
pub(crate) fn put_handler(id: &str, subscriptions: &str) -> Vec<u8> {
    request("PUT", &instance(id), "Content-Type: application/xml\r\n", document(subscriptions))
}

/// The address of an eventhandler.
pub(crate) fn instance(id: &str) -> String {
    format!("/default/eventhandlers/{id}?appid=app")
}

/// The `identifier` in a reply.
pub(crate) fn identifier(reply: &Reply) -> String {
    let (_, rest) = reply.text().split_once("identifier=\"").expect("the reply names an eventhandler");
    rest[..36].to_owned()
}

/// Makes an eventhandler on the first engine.
pub(crate) fn create(world: &mut World, subscriptions: &str) -> String {
    let reply = world.ask_alone(post_handler(subscriptions));
    assert_eq!(reply.status, 201, "{}", reply.text());
    identifier(&reply)
}

/// Opens a stream of an eventhandler on the first engine; its first keepalive is taken.
pub(crate) fn listen(world: &mut World, id: &str) -> Peer {
    listen_on(world, 0, id)
}

/// Opens a stream of an eventhandler; its first keepalive is taken.
pub(crate) fn listen_on(world: &mut World, shard: usize, id: &str) -> Peer {
    let peer = world.connect_to(shard);
    let head = world.open(peer, get(&instance(id)));
    assert_eq!(head.status, 200);
    let taken = world.received(peer).strip_prefix(KEEPALIVE.as_bytes()).map(<[u8]>::to_vec);
    let rest = taken.expect("a stream starts with a keepalive");
    world.take(peer);
    assert!(rest.is_empty(), "nothing was to be replayed: {}", String::from_utf8_lossy(&rest));
    peer
}

/// Opens a stream and takes what is replayed after the first keepalive, with the head of the reply.
pub(crate) fn listen_again(world: &mut World, shard: usize, id: &str) -> (Peer, Reply, Vec<String>) {
    let peer = world.connect_to(shard);
    let head = world.open(peer, get(&instance(id)));
    let mut events = xml(world, peer);
    assert!(!events.is_empty() && events.remove(0) == KEEPALIVE_XML, "a stream starts with a keepalive");
    (peer, head, events)
}

/// The XML of the events that came on an open stream since the last time: whole chunks, one event each.
pub(crate) fn xml(world: &mut World, peer: Peer) -> Vec<String> {
    let chunks = world.chunks(peer);
    assert!(chunks.rest.is_empty() && !chunks.ended, "whole chunks of an open stream: {chunks:?}");
    one_each(&chunks.chunks)
}

/// Each chunk holds exactly one event.
pub(crate) fn one_each(chunks: &[Vec<u8>]) -> Vec<String> {
    let one = |chunk: &Vec<u8>| {
        let mut events = xms_events(chunk);
        assert_eq!(events.len(), 1, "one event, one chunk: {}", String::from_utf8_lossy(chunk));
        events.remove(0)
    };
    chunks.iter().map(one).collect()
}

/// Publishes events on a connection of its own to the first engine.
pub(crate) fn publish_all(world: &mut World, events: &[String]) {
    publish_on(world, 0, events);
}

/// Publishes events, as one batch, on a connection of its own.
pub(crate) fn publish_on(world: &mut World, shard: usize, events: &[String]) {
    let peer = world.connect_to(shard);
    let reply = world.ask(peer, publish(format!("[{}]", events.join(","))));
    assert_eq!(reply.status, 202, "{}", reply.text());
    world.break_off(peer);
}

/// A ringing event of a call.
pub(crate) fn ringing(call: &str) -> String {
    format!(r#"{{"type":"call.ringing","subject":"call/{call}"}}"#)
}

/// The XML of that event.
pub(crate) fn ringing_xml(call: &str) -> String {
    event_xml("ringing", "call", call, &[("call_id", call), ("type", "RINGING")])
}

/// The XML of an event whose values need no escapes; `data` is complete and sorted.
pub(crate) fn event_xml(word: &str, kind: &str, id: &str, data: &[(&str, &str)]) -> String {
    let mut out = format!(
        "<web_service version=\"1.0\">\r\n<event type=\"{word}\" resource_id=\"{id}\" resource_type=\"{kind}\">\r\n"
    );
    for (name, value) in data {
        out += &format!("<event_data name=\"{name}\" value=\"{value}\" />\r\n");
    }
    out + "</event>\r\n</web_service>"
}

/// The HTTP chunk of an event's XML.
pub(crate) fn frame(xml: &str) -> String {
    let inner = format!("{:x}\r\n{xml}", xml.len());
    format!("{:x}\r\n{inner}\r\n", inner.len())
}

/// The error document of XMS.
#[track_caller]
pub(crate) fn assert_xms_error(reply: &Reply, status: u16) {
    assert_eq!((reply.status, reply.field("content-type")), (status, Some("application/xml")), "{reply:?}");
    let text = reply.text();
    let start = format!("<web_service version=\"1.0\">\r\n<error code=\"{status}\" description=\"");
    let description = text.strip_prefix(&start).and_then(|t| t.strip_suffix("\"/>\r\n</web_service>\r\n"));
    assert!(description.is_some_and(|d| !d.is_empty() && !d.contains(['"', '<'])), "{text:?}");
}

/// The problem document of RFC 9457.
#[track_caller]
pub(crate) fn assert_problem(reply: &Reply, status: u16) -> serde_json::Value {
    assert_eq!(
        (reply.status, reply.field("content-type")),
        (status, Some("application/problem+json")),
        "{reply:?}"
    );
    let document: serde_json::Value = serde_json::from_slice(&reply.body).expect("a problem is JSON");
    assert_eq!(document["status"], status, "{document}");
    let has_text = |name: &str| document[name].as_str().is_some_and(|text| !text.is_empty());
    assert!(has_text("title") && has_text("detail"), "{document}");
    document
}

/// What the log says of peers, not of the server itself.
pub(crate) fn notes_of_peers(world: &mut World) -> Vec<Note> {
    let mut notes = world.take_notes();
    notes.retain(|note| !note.text.starts_with("isymphony: /"));
    notes
}

//! XMS bytes: events as one HTTP chunk each, and the documents that answer requests. Clients scan this text, so
//! literals, quotes and blanks stand exactly as real servers sent them (captures of 2014 and 2015).

use std::io::Write as _;

use super::Words;
use super::read::Subscription;
use crate::event::Event;
use crate::event::vocabulary::XMS_WITH_CALL_ID;
use crate::wire::http::body::size_line;
use crate::wire::http::reply::Reply;
use crate::wire::xml::write_ascii_value;

/// The media type of documents.
pub const XML: &str = "application/xml";

/// The media type of streams; there is no charset, as real servers sent none.
pub const STREAM: &str = "text/plain";

const OPEN: &[u8] = b"<web_service version=\"1.0\">\r\n";
const CLOSE: &[u8] = b"</web_service>\r\n";

const KEEPALIVE: &[u8] =
    b"48\r\n44\r\n<web_service version=\"1.0\">\r\n<event type=\"keepalive\"/></web_service>\r\n";

/// A keepalive, with its HTTP chunk or without.
#[must_use]
pub fn keepalive(bare: bool) -> &'static [u8] {
    if bare { &KEEPALIVE[4..KEEPALIVE.len() - 2] } else { KEEPALIVE }
}

/// Appends an event: the HTTP chunk, in it the length of the XML, CR LF and the XML. False, and nothing appended, if
/// the XML is longer than `max`.
#[must_use]
pub fn frame(words: &Words<'_>, event: &Event, max: u64, out: &mut Vec<u8>) -> bool {
    let mut xml = Vec::with_capacity(1_024);
    event_xml(words, event, &mut xml);
    if xml.len() as u64 > max {
        return false;
    }
    let mut length = Vec::with_capacity(8);
    size_line(xml.len(), &mut length);
    size_line(length.len() + xml.len(), out);
    out.extend_from_slice(&length);
    out.extend_from_slice(&xml);
    out.extend_from_slice(b"\r\n");
    true
}

fn event_xml(words: &Words<'_>, event: &Event, xml: &mut Vec<u8>) {
    xml.extend_from_slice(OPEN);
    xml.extend_from_slice(b"<event type=\"");
    write_ascii_value(words.word, xml);
    xml.extend_from_slice(b"\" resource_id=\"");
    write_ascii_value(words.resource_id, xml);
    xml.extend_from_slice(b"\" resource_type=\"");
    write_ascii_value(words.resource_type, xml);
    xml.extend_from_slice(b"\">\r\n");
    let upper = words.word.to_ascii_uppercase();
    let mut data: Vec<(&str, &str)> = event
        .facts()
        .iter()
        .filter(|(name, _)| **name != *"type")
        .filter_map(|(name, fact)| Some((&**name, fact.as_text()?)))
        .collect();
    data.push(("type", &upper));
    let wants_call_id = words.resource_type == "call" && XMS_WITH_CALL_ID.contains(&words.word);
    if wants_call_id && !data.iter().any(|(name, _)| *name == "call_id") {
        data.push(("call_id", words.resource_id));
    }
    data.sort_unstable_by_key(|(name, _)| *name);
    for (name, value) in data {
        xml.extend_from_slice(b"<event_data name=\"");
        write_ascii_value(name, xml);
        xml.extend_from_slice(b"\" value=\"");
        write_ascii_value(value, xml);
        xml.extend_from_slice(b"\" />\r\n");
    }
    xml.extend_from_slice(b"</event>\r\n</web_service>");
}

/// What a reply says of an eventhandler.
#[derive(Clone, Copy, Debug)]
pub struct HandlerView<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its application.
    pub appid: &'a str,
    /// The path before `/eventhandlers`.
    pub prefix: &'a str,
    /// Its subscriptions.
    pub subscriptions: &'a [Subscription],
}

/// The answer to POST and PUT.
#[must_use]
pub fn handler(view: HandlerView<'_>) -> Vec<u8> {
    let mut out = OPEN.to_vec();
    out.extend_from_slice(b"<eventhandler_response identifier=\"");
    out.extend_from_slice(view.id.as_bytes());
    out.extend_from_slice(b"\" appid=\"");
    write_ascii_value(view.appid, &mut out);
    out.extend_from_slice(b"\" href=\"");
    write_href(view, &mut out);
    out.extend_from_slice(b"\"\r\n>\r\n");
    for s in view.subscriptions {
        out.extend_from_slice(b"<eventsubscribe");
        for (name, value) in
            [("type", &s.event_type), ("resource_id", &s.resource_id), ("resource_type", &s.resource_type)]
        {
            attribute(name, value, &mut out);
        }
        out.extend_from_slice(b"/>\r\n");
    }
    out.extend_from_slice(b"</eventhandler_response>\r\n");
    out.extend_from_slice(CLOSE);
    out
}

/// The answer to GET with `view=state`.
#[must_use]
pub fn handler_state(view: HandlerView<'_>) -> Vec<u8> {
    let mut out = OPEN.to_vec();
    listed(view, &mut out);
    out.extend_from_slice(CLOSE);
    out
}

/// The answer to GET on the collection.
#[must_use]
pub fn handlers<'a>(views: &[HandlerView<'a>]) -> Vec<u8> {
    let mut out = b"<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\r\n".to_vec();
    out.extend_from_slice(OPEN);
    let _ = write!(out, "<eventhandlers_response size=\"{}\">\r\n", views.len());
    views.iter().for_each(|view| listed(*view, &mut out));
    out.extend_from_slice(b"</eventhandlers_response>\r\n");
    out.extend_from_slice(CLOSE);
    out
}

fn listed(view: HandlerView<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<eventhandler_response appid=\"");
    write_ascii_value(view.appid, out);
    out.extend_from_slice(b"\" href=\"");
    write_href(view, out);
    out.extend_from_slice(b"\" identifier=\"");
    out.extend_from_slice(view.id.as_bytes());
    out.extend_from_slice(b"\">\r\n");
    for s in view.subscriptions {
        out.extend_from_slice(b"<eventsubscribe");
        for (name, value) in
            [("resource_id", &s.resource_id), ("resource_type", &s.resource_type), ("type", &s.event_type)]
        {
            attribute(name, value, out);
        }
        out.extend_from_slice(b"/>\r\n");
    }
    out.extend_from_slice(b"</eventhandler_response>\r\n");
}

fn attribute(name: &str, value: &str, out: &mut Vec<u8>) {
    let _ = write!(out, " {name}=\"");
    write_ascii_value(value, out);
    out.push(b'"');
}

/// The path of an eventhandler; it is relative and starts with `/`, since clients put host and port before it.
fn write_href(view: HandlerView<'_>, out: &mut Vec<u8>) {
    let _ = write!(out, "{}/eventhandlers/{}", view.prefix, view.id);
}

/// An empty list of another resource.
#[must_use]
pub fn empty_list(element: &str) -> Reply {
    Reply::new(
        200,
        XML,
        format!("<web_service version=\"1.0\">\r\n<{element} size=\"0\"/>\r\n</web_service>\r\n"),
    )
}

/// The error document.
#[must_use]
pub fn error(status: u16, description: &str) -> Reply {
    let mut out = OPEN.to_vec();
    let _ = write!(out, "<error code=\"{status}\" description=\"");
    write_ascii_value(description, &mut out);
    out.extend_from_slice(b"\"/>\r\n");
    out.extend_from_slice(CLOSE);
    Reply::new(status, XML, out)
}

#[cfg(test)]
mod tests;

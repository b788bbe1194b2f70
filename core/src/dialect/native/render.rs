//! Events as JSON (CloudEvents 1.0, JSON event format) and as Server-Sent Events (WHATWG HTML, section 9.2).

use crate::event::{Data, Event, Fact};
use crate::ground::digits::{decimal, hexadecimal};
use crate::ground::id::{Epoch, Seq};
use crate::wire::http::body::chunk;

/// Appends one event of a stream, as one HTTP chunk: its id, and one `data` line. There is no `event` field, so that
/// `onmessage` gets it.
pub fn frame(event: &Event, epoch: Epoch, seq: Seq, out: &mut Vec<u8>) {
    let mut bytes = Vec::with_capacity(512);
    text(event, epoch, seq, &mut bytes);
    chunk(&bytes, out);
}

/// Appends one event of a stream, without a chunk around it.
pub fn text(event: &Event, epoch: Epoch, seq: Seq, out: &mut Vec<u8>) {
    out.extend_from_slice(b"id: ");
    hexadecimal(epoch.0, out);
    out.push(b'-');
    decimal(seq.0, out);
    out.extend_from_slice(b"\ndata: ");
    json(event, out);
    out.extend_from_slice(b"\n\n");
}

/// Appends the event as compact JSON: the attributes that CloudEvents names, extensions by name, then the data.
pub fn json(event: &Event, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"specversion":"1.0""#);
    let attributes: [(&[u8], _); 7] = [
        (br#","id":"#, Some(&*event.id)),
        (br#","source":"#, Some(&*event.source)),
        (br#","type":"#, Some(&*event.event_type)),
        (br#","subject":"#, event.subject.as_deref()),
        (br#","time":"#, Some(&*event.time)),
        (br#","datacontenttype":"#, event.content_type.as_deref()),
        (br#","dataschema":"#, event.schema.as_deref()),
    ];
    for (name, value) in attributes {
        if let Some(value) = value {
            out.extend_from_slice(name);
            string(value, out);
        }
    }
    for (name, value) in &event.extensions {
        out.push(b',');
        string(name, out);
        out.push(b':');
        fact(value, out);
    }
    match &event.data {
        Data::None => {}
        Data::Facts(facts) => {
            out.extend_from_slice(br#","data":"#);
            object(facts, out);
        }
        Data::Json(json) => {
            out.extend_from_slice(br#","data":"#);
            out.extend_from_slice(json.as_bytes());
        }
        Data::Base64(text) => {
            out.extend_from_slice(br#","data_base64":"#);
            string(text, out);
        }
    }
    out.push(b'}');
}

/// Appends the members of `data` as one JSON object.
pub fn object(facts: &[(Box<str>, Fact)], out: &mut Vec<u8>) {
    out.push(b'{');
    for (at, (name, value)) in facts.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        string(name, out);
        out.push(b':');
        fact(value, out);
    }
    out.push(b'}');
}

/// Appends one entry of a publish reply.
pub fn accepted(id: &str, seq: Seq, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"id":"#);
    string(id, out);
    out.extend_from_slice(br#","seq":"#);
    decimal(seq.0, out);
    out.push(b'}');
}

/// Appends a value.
pub fn fact(value: &Fact, out: &mut Vec<u8>) {
    match value {
        Fact::Null => out.extend_from_slice(b"null"),
        Fact::Bool(true) => out.extend_from_slice(b"true"),
        Fact::Bool(false) => out.extend_from_slice(b"false"),
        Fact::Number(text) | Fact::Nested(text) => out.extend_from_slice(text.as_bytes()),
        Fact::Text(text) => string(text, out),
    }
}

/// Appends a JSON string.
pub fn string(text: &str, out: &mut Vec<u8>) {
    // Most need no escape, and looking for one without stopping is faster than byte by byte.
    if text.bytes().fold(true, |plain, b| plain & (b >= b' ') & (b != b'"') & (b != b'\\')) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        return out.push(b'"');
    }
    // Writing to a Vec does not fail.
    let _ = serde_json::to_writer(out, text);
}

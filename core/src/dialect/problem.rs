//! Problem documents (RFC 9457), the form of errors under `/v1` and of addresses that no dialect has.

use serde::Serialize;

use crate::wire::http::reply::{Reply, phrase};
use crate::wire::ws::handshake;

/// The media type of RFC 9457.
pub const CONTENT_TYPE: &str = "application/problem+json";

#[derive(Serialize)]
struct Document<'a> {
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
}

/// A problem with a sentence about it.
#[must_use]
pub fn problem(status: u16, detail: &str) -> Reply {
    write(status, detail, None)
}

/// A problem with one event of a batch, by its index.
#[must_use]
pub fn problem_at(status: u16, detail: &str, index: usize) -> Reply {
    write(status, detail, Some(index))
}

/// A method that the address does not have, with those that it has.
#[must_use]
pub fn wrong_method(allowed: &'static str) -> Reply {
    problem(405, &format!("allowed here: {allowed}")).with("Allow", allowed)
}

/// The answer to a request that was to open a websocket, and does not.
#[must_use]
pub fn no_websocket(wrong: handshake::Wrong) -> Reply {
    Reply { fields: wrong.fields, ..problem(wrong.status, wrong.reason) }
}

fn write(status: u16, detail: &str, index: Option<usize>) -> Reply {
    let document = Document { title: phrase(status), status, detail, index };
    Reply::new(status, CONTENT_TYPE, serde_json::to_vec(&document).unwrap_or_default())
}

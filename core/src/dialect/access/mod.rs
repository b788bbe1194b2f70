//! Who may come in: users with passwords ([`basic()`]), tokens with rights ([`bearer()`]), addresses ([`address`]) and the
//! origins of pages ([`origin()`]). Dialects ask here when they judge a request's head. A refusal never says which part of
//! a credential was wrong; the server's log says it, with the line of the config file that would admit.
//!
//! What is absent here: argon2, which is the host's affair and runs off the loop; counting and waiting, which are the
//! hub's ([`crate::hub::access`]).

mod basic;
mod bearer;
mod door;
mod origin;

use std::sync::Arc;

pub use basic::{Users, basic, basic_challenge};
pub use bearer::{QUERY, bearer, query_token};
pub use origin::{cors_fields, origin, own_origin, with_cors};

use super::problem::problem;
use super::{Asker, Verdict};
use crate::ground::config::{Config, Right};
use crate::ground::network::{Network, is_in, is_loopback};
use crate::hub::Hub;
pub use crate::hub::access::Who;
use crate::wire::http::head::Head;
use crate::wire::http::reply::Reply;

/// Whether somebody may come in.
#[derive(Debug)]
pub enum Entry {
    /// Yes, and as whom.
    Admitted(Arc<Who>),
    /// No; the answer is a problem document.
    Refused(Reply),
    /// A password is being checked: [`super::Verdict::Wait`], and the head is judged again when that is done.
    Waits,
}

/// What keeps somebody out of `/v1`, if anything does: the token, or the origin of a page. Before a page may ask, its
/// browser does so for it, without a token (the Fetch standard's preflight).
pub fn native(hub: &mut Hub, asker: Asker, head: &Head<'_>, right: Right) -> Option<Verdict> {
    if head.method != "OPTIONS" || hub.config.auth.tokens.is_empty() {
        match bearer(hub, asker, head, right) {
            Entry::Admitted(_) => {}
            Entry::Refused(reply) => return Some(Verdict::Refuse(with_cors(hub, head, reply))),
            Entry::Waits => return Some(Verdict::Wait),
        }
    }
    origin(hub, head, "native", |config| &config.native.allowed_origins).map(Verdict::Refuse)
}

/// Why a peer's address keeps it out, if so. `section` is where it could be listed, such as `xms.app.legacy`, and `allow` the
/// list there; without one every address may come in.
pub fn address(
    hub: &mut Hub,
    asker: Asker,
    section: &str,
    allow: impl Fn(&Config) -> Option<&[Network]>,
) -> Option<Reply> {
    if allow(&hub.config).is_none_or(|allow| is_in(asker.peer, allow)) {
        return None;
    }
    hub.give_reason(None, format!("[{section}] allow = [\"{}\"] admits it", asker.peer));
    Some(problem(403, "this address may not come in"))
}

/// Whether the peer is on this machine, and nothing hints that it speaks for somebody else.
#[must_use]
pub fn is_this_machine(asker: Asker, head: &Head<'_>) -> bool {
    is_loopback(asker.peer) && !door::is_proxied(asker.forwarded, head)
}

/// What a refusal says, for dialects whose errors are no problem documents.
#[must_use]
pub fn sentence(status: u16) -> &'static str {
    match status {
        400 => "credentials are to be sent in one way",
        401 => "credentials are needed",
        429 => "too many attempts with wrong credentials",
        503 => "too many credentials are being checked",
        _ => "this may not be done from here, or with these credentials",
    }
}

/// A refusal that carries a challenge (RFC 9110 section 11.6.1).
fn challenge(status: u16, challenge: String) -> Entry {
    Entry::Refused(problem(status, sentence(status)).with("WWW-Authenticate", challenge))
}

/// A text as a quoted string (RFC 9110 section 5.6.4); what is not ASCII has no place in one.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            _ => out.push('?'),
        }
    }
    out + "\""
}

/// Whether a request brings credentials of a scheme, right or wrong.
#[must_use]
pub fn offers(head: &Head<'_>, scheme: &str) -> bool {
    credentials(head, scheme).is_some()
}

/// What comes after the name of an authentication scheme, which is compared without case (RFC 9110 section 11.1).
fn credentials<'h>(head: &Head<'h>, scheme: &str) -> Option<&'h str> {
    let (offered, rest) = head.field("authorization")?.split_once(' ')?;
    offered.eq_ignore_ascii_case(scheme).then(|| rest.trim_start_matches(' '))
}

/// The answer to a peer that has tried too often.
fn barred(hub: &mut Hub, asker: Asker) -> Option<Entry> {
    let left_ms = hub.barred_ms(asker.conn)?;
    hub.give_reason(None, "too many wrong credentials came from there ([limits] failed_logins_per_address)");
    let reply = problem(429, sentence(429)).with("Retry-After", left_ms.div_ceil(1_000).to_string());
    Some(Entry::Refused(reply))
}

//! Bearer tokens (RFC 6750): `[auth] tokens`, each with what it may do on `/v1`. Only a token's SHA-256 is known here.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Asker, Entry, Who, barred, challenge, credentials, door};
use crate::dialect::problem::problem;
use crate::ground::config::{Right, Token};
use crate::hub::Hub;
use crate::wire::http::head::Head;
use crate::wire::http::query::pairs;

/// The parameter that carries a token where no header field can (RFC 6750 section 2.3).
pub const QUERY: &str = "access_token";

const CHALLENGE: &str = "Bearer realm=\"offhook\"";

/// Asks for a token with this right. Without any in the config `/v1` is open to this machine alone.
pub fn bearer(hub: &mut Hub, asker: Asker, head: &Head<'_>, right: Right) -> Entry {
    if hub.config.auth.tokens.is_empty() {
        return match door::refusal(asker.peer, asker.forwarded, head) {
            None => Entry::Admitted(hub.anybody()),
            Some(reason) => {
                let line = format!("[auth] tokens = [{}]", line(right));
                hub.give_reason(None, format!("{reason}; {line} asks for a token instead"));
                Entry::Refused(problem(403, reason))
            }
        };
    }
    if let Some(refused) = barred(hub, asker) {
        return refused;
    }
    let in_query = hub.config.native.query_token && right == Right::Read;
    let offered = match (credentials(head, "bearer"), token_in_query(head).filter(|_| in_query)) {
        (Some(_), Some(_)) => {
            hub.give_reason(None, "it sent a token in the header and in the query");
            return challenge(400, format!("{CHALLENGE}, error=\"invalid_request\""));
        }
        (Some(token), None) => token.to_owned(),
        (None, Some(token)) => token,
        (None, None) => {
            let hint = if in_query || token_in_query(head).is_none() {
                ""
            } else {
                "; [native] query_token = true admits one in the query of GET /v1/events"
            };
            hub.give_reason(None, format!("it sent no token of [auth] tokens{hint}"));
            return challenge(401, CHALLENGE.to_owned());
        }
    };
    judge(hub, asker, &offered, right)
}

/// Asks for a token with this right in the query, for clients that cannot set a header field; `None` if there is none.
pub fn query_token(hub: &mut Hub, asker: Asker, head: &Head<'_>, right: Right) -> Option<Entry> {
    let offered = token_in_query(head)?;
    Some(barred(hub, asker).unwrap_or_else(|| judge(hub, asker, &offered, right)))
}

fn judge(hub: &mut Hub, asker: Asker, offered: &str, right: Right) -> Entry {
    let digest = Sha256::digest(offered.as_bytes());
    // All are looked at, so that time does not tell which one is near.
    let mut found = None;
    for token in &hub.config.auth.tokens {
        if token.sha256.ct_eq(&digest[..]).into() {
            found = Some(token);
        }
    }
    let Some(Token { name, may, only, .. }) = found else {
        hub.wrong_credential(
            None,
            format!("its token is none of [auth] tokens; {} there admits it", line(right)),
        );
        return challenge(401, format!("{CHALLENGE}, error=\"invalid_token\""));
    };
    if !may.has(right) {
        let text =
            format!("the token \"{name}\" may not; \"{right}\" among its `may` in [auth] tokens admits it");
        let name = name.clone();
        hub.give_reason(Some(&name), text);
        return challenge(403, format!("{CHALLENGE}, error=\"insufficient_scope\", scope=\"{right}\""));
    }
    let who = Who { name: name.as_str().into(), rights: *may, only: only.clone() };
    Entry::Admitted(hub.admit(asker.conn, who))
}

/// A token with this right, as the config file would list it.
fn line(right: Right) -> String {
    format!("{{ name = \"...\", sha256 = \"...\", may = [\"{right}\"] }}")
}

fn token_in_query(head: &Head<'_>) -> Option<String> {
    let pairs = pairs(head.query, &['&']).ok()?;
    pairs.into_iter().find(|(name, _)| name == QUERY).map(|(_, token)| token)
}

//! What destinations of every kind have in common: where they are, how they are verified, what credentials they get,
//! and how patient we are with them. What an event becomes there is the business of `isr` and `webhook`.

pub(crate) mod request;
pub(crate) mod table;
#[cfg(test)]
mod tests;
mod tls;

use std::sync::Arc;

use data_encoding::BASE64;
use serde_json::{Map, Value};

use self::request::is_token;
use self::table::{Table, wrong};
use crate::hub::call::{Answer, Target};
use crate::outbox::receiver::{Judgement, Policy, Wrong};
use crate::wire::http::url::Url;

/// Keys of every destination.
pub(crate) const KEYS: &[&str] = &[
    "name",
    "url",
    "headers",
    "username",
    "password",
    "bearer",
    "tls",
    "retry",
    "concurrency",
    "per_second",
    "pending",
    "max_age",
    "connect_timeout",
    "first_byte_timeout",
    "timeout",
];
const RETRY_KEYS: &[&str] = &["first", "factor", "cap", "jitter", "give_up_after"];

/// What we call ourselves in `User-Agent`.
pub(crate) const USER_AGENT: &str = "offhook/1.0";

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const YEAR: u64 = 365 * 24 * HOUR;

/// `Retry-After` counts up to this.
const RETRY_AFTER_MS_MAX: u64 = HOUR;

const NAME: &str = "1 to 64 letters, digits, `-`, `_` and `.`";
const URL: &str = "http:// or https:// with a host, such as \"https://example.com/hooks\"";
const HEADERS: &str = "a table of header fields, such as { \"X-Tenant\" = \"acme\" }";

/// Header fields that are made here, or that would change how a request is framed or understood.
const OWN_FIELDS: &[&str] = &[
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "offhook-delivery-id",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// Whether a destination may be called so: names stand in paths, metrics and logs.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// A specification with its secrets masked, for those who ask what a destination is.
#[must_use]
pub fn masked(spec: &str) -> String {
    fn mask(map: &mut Map<String, Value>) {
        for (key, value) in map.iter_mut() {
            match value {
                Value::Object(fields) if key == "headers" => {
                    fields.iter_mut().for_each(|(_, value)| *value = Value::from("***"));
                }
                _ if table::SECRETS.contains(&key.as_str()) => *value = Value::from("***"),
                Value::Object(inner) => mask(inner),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
            }
        }
    }
    let Ok(mut map) = table::parse(spec) else { return "{}".to_owned() };
    mask(&mut map);
    Value::Object(map).to_string()
}

/// What destinations of every kind have.
pub(crate) struct Common {
    /// The URL as it was given.
    pub(crate) url: Url,
    /// Where calls go.
    pub(crate) target: Arc<Target>,
    /// The header fields that each request has, from `Host` on, each with its line end.
    pub(crate) fields: String,
    /// How patient we are.
    pub(crate) policy: Policy,
}

impl Common {
    /// Reads the keys of [`KEYS`]; what is not given stays as in `policy`.
    pub(crate) fn read(
        table: &Table<'_>,
        name: &str,
        policy: Policy,
        trusted: bool,
    ) -> Result<Common, Wrong> {
        if !is_name(name) {
            return Err(wrong("name", &format!("a destination's name is {NAME}")));
        }
        if table.text("name", NAME)?.is_some_and(|other| other != name) {
            return Err(table.refuse("name", &format!("\"{name}\", as it is called already")));
        }
        let Some(text) = table.text("url", URL)? else { return Err(table.refuse("url", URL)) };
        let url = Url::parse(text).map_err(|fault| wrong("url", &fault.to_string()))?;
        let tls = tls::read(table, url.https)?;
        let target = Target { host: url.host.clone(), port: url.port, tls: tls.map(Arc::new), trusted };
        let fields = fields(table, &url)?;
        Ok(Common { url, target: Arc::new(target), fields, policy: patience(table, policy)? })
    }
}

fn patience(table: &Table<'_>, mut policy: Policy) -> Result<Policy, Wrong> {
    if let Some(retry) =
        table.table("retry", "a table such as { first = \"1s\", give_up_after = \"72h\" }")?
    {
        retry.know(RETRY_KEYS)?;
        policy.first_ms = retry.duration_ms("first", 1..=24 * HOUR)?.unwrap_or(policy.first_ms);
        policy.factor = retry.number("factor", 1.0..=100.0)?.unwrap_or(policy.factor);
        policy.cap_ms = retry.duration_ms("cap", 1..=30 * 24 * HOUR)?.unwrap_or(policy.cap_ms);
        policy.jitter = retry.number("jitter", 0.0..=1.0)?.unwrap_or(policy.jitter);
        let give_up_after = retry.duration_ms("give_up_after", SECOND..=10 * YEAR)?;
        policy.give_up_after_ms = give_up_after.unwrap_or(policy.give_up_after_ms);
        if policy.cap_ms < policy.first_ms {
            return Err(retry.refuse("cap", "a duration that is not below `first`"));
        }
    }
    let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    policy.concurrency = table.integer("concurrency", 1..=10_000)?.map_or(policy.concurrency, narrow);
    policy.per_second = table.integer("per_second", 1..=1_000_000)?.map(narrow).or(policy.per_second);
    policy.pending_max = table.integer("pending", 1..=1_000_000_000)?.or(policy.pending_max);
    policy.max_age_ms = table.duration_ms("max_age", SECOND..=10 * YEAR)?.or(policy.max_age_ms);
    policy.connect_ms = table.duration_ms("connect_timeout", 1..=300 * SECOND)?.unwrap_or(policy.connect_ms);
    policy.first_byte_ms = table.duration_ms("first_byte_timeout", 1..=HOUR)?.unwrap_or(policy.first_byte_ms);
    policy.total_ms = table.duration_ms("timeout", 1..=HOUR)?.unwrap_or(policy.total_ms);
    Ok(policy)
}

fn fields(table: &Table<'_>, url: &Url) -> Result<String, Wrong> {
    let mut out = format!("Host: {}\r\n", url.authority);
    let further = table.table("headers", HEADERS)?;
    let gives =
        |name: &str| further.iter().flat_map(Table::entries).any(|(n, _)| n.eq_ignore_ascii_case(name));
    if !gives("user-agent") {
        out.push_str(&format!("User-Agent: {USER_AGENT}\r\n"));
    }
    if !gives("accept") {
        out.push_str("Accept: */*\r\n");
    }
    if let Some(credentials) = credentials(table)? {
        if gives("authorization") {
            let detail = "Authorization stands beside username or bearer, allowed: one of them";
            return Err(wrong("headers.Authorization", detail));
        }
        out.push_str(&format!("Authorization: {credentials}\r\n"));
    }
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in further.iter().flat_map(Table::entries) {
        let key = format!("headers.{name}");
        let lower = name.to_ascii_lowercase();
        if !is_token(name) {
            return Err(wrong(&key, "a header field's name is made of letters, digits and !#$%&'*+-.^_`|~"));
        }
        if OWN_FIELDS.contains(&lower.as_str()) || lower.starts_with("ce-") {
            return Err(wrong(&key, "this header field is made by the server itself"));
        }
        if seen.contains(&lower) {
            return Err(wrong(&key, "this header field stands twice"));
        }
        seen.push(lower);
        let sound = |text: &&str| {
            text.bytes().all(|b| (0x20..=0x7e).contains(&b)) && text.trim_matches(' ').len() == text.len()
        };
        let Some(value) = value.as_str().filter(sound) else {
            return Err(wrong(&key, "allowed: visible ASCII characters, and blanks between them"));
        };
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    Ok(out)
}

/// The value of `Authorization`: Basic (RFC 7617, in UTF-8) or a bearer token (RFC 6750).
fn credentials(table: &Table<'_>) -> Result<Option<String>, Wrong> {
    let allowed = "a user name without `:` and control characters";
    let user = table.text("username", allowed)?;
    let password = table.secret("password", "a password, not empty")?;
    let bearer = table.secret("bearer", "a token, not empty")?;
    match (user, password, bearer) {
        (None, None, None) => Ok(None),
        (None, None, Some(token)) => {
            if token.bytes().all(|b| b.is_ascii_graphic()) {
                Ok(Some(format!("Bearer {token}")))
            } else {
                Err(wrong("bearer", "allowed: a token of visible ASCII characters"))
            }
        }
        (Some(_), _, Some(_)) | (None, Some(_), Some(_)) => {
            Err(wrong("bearer", "stands beside username and password, allowed: one of the two"))
        }
        (None, Some(_), None) => Err(wrong("username", "missing, and there is a password")),
        (Some(user), password, None) => {
            if user.contains(':') || user.chars().any(char::is_control) {
                return Err(table.refuse("username", allowed));
            }
            let password = password.unwrap_or_default();
            if password.chars().any(char::is_control) {
                return Err(wrong("password", "allowed: a password without control characters"));
            }
            Ok(Some(format!("Basic {}", BASE64.encode(format!("{user}:{password}").as_bytes()))))
        }
    }
}

/// Another attempt, because of this status.
pub(crate) fn again(answer: &Answer) -> Judgement {
    let status = answer.status;
    let after_ms = answer.retry_after_ms.filter(|_| matches!(status, 429 | 503));
    let reason = match status {
        300..=399 => format!("the answer was {status}: redirects are not followed"),
        _ => format!("the answer was {status}"),
    };
    Judgement::Retry { reason, after_ms: after_ms.map(|ms| ms.min(RETRY_AFTER_MS_MAX)) }
}

//! Lines of the audit log: who was refused, and what operators changed. No secret and no query stands in them.

use std::net::IpAddr;

use serde::Serialize;

/// One line, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// When (RFC 3339).
    pub time: String,
    /// What happened.
    pub what: What,
    /// The part of the server that was asked, such as `xms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<&'static str>,
    /// The peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The user or token that was named, rightly or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<Box<str>>,
    /// The request's method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Box<str>>,
    /// The request's path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Box<str>>,
    /// The status of the answer to what was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many lines were left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
}

/// What an audit line is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Somebody was not let in.
    #[default]
    Refused,
    /// An operator asked for a change.
    Admin,
    /// More was refused in a second than the log takes.
    LeftOut,
}

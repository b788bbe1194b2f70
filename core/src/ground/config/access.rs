//! Who may come in, and what each may see: users of the dialects that ask for names and passwords, tokens of `/v1`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// `[auth]`: who may use `/v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// The tokens; without any, `/v1` is open to this machine alone.
    pub tokens: Vec<Token>,
}

/// A bearer token (RFC 6750) of `/v1`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// Its name, for records and logs.
    pub name: String,
    /// SHA-256 of its text.
    pub sha256: [u8; 32],
    /// What it may do.
    pub may: Rights,
    /// What it may see.
    pub only: Only,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Publish events.
    pub publish: bool,
    /// Read events.
    pub read: bool,
    /// Look after destinations and dead letters.
    pub admin: bool,
    /// Make, change and end SIP subscriptions.
    pub subscribe: bool,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Publish events.
    Publish,
    /// Read events.
    Read,
    /// Look after destinations and dead letters.
    Admin,
    /// Make, change and end SIP subscriptions.
    Subscribe,
}

impl Rights {
    /// Whether this one is among them.
    #[must_use]
    pub fn has(self, right: Right) -> bool {
        match right {
            Right::Publish => self.publish,
            Right::Read => self.read,
            Right::Admin => self.admin,
            Right::Subscribe => self.subscribe,
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Right::Publish => "publish",
            Right::Read => "read",
            Right::Admin => "admin",
            Right::Subscribe => "subscribe",
        })
    }
}

/// Somebody with a name and a password (RFC 7617).
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password's hash, as a PHC string (`$argon2id$…`).
    pub password_hash: String,
    /// What they may see.
    pub only: Only,
}

/// A scope: canonical field names, and the value that each must have. An event that lacks one is outside of it.
/// Attributes of the envelope (`type`, `source`, `subject`, `appid`, …) go by their own names; all other names mean
/// members of `data`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Only(pub BTreeMap<String, String>);

impl Only {
    /// Whether it leaves nothing out.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all that another scope lets through lies within this one.
    #[must_use]
    pub fn covers(&self, other: &Only) -> bool {
        self.0.iter().all(|(name, value)| other.0.get(name) == Some(value))
    }
}

/// Hashes stay out of logs and failed tests.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("only", &self.only).finish_non_exhaustive()
    }
}

/// Hashes stay out of logs and failed tests.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Token { name, may, only, sha256: _ } = self;
        f.debug_struct("Token")
            .field("name", name)
            .field("may", may)
            .field("only", only)
            .finish_non_exhaustive()
    }
}

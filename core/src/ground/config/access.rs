//! Who may come in: users with passwords, tokens with rights, and what either may see.

use std::collections::BTreeMap;
use std::fmt;

/// A user of a dialect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// The name.
    pub name: String,
    /// A PHC string of argon2id.
    pub password_hash: String,
    /// What it may see.
    pub only: Only,
}

/// `[auth] tokens`: one of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// The name.
    pub name: String,
    /// The SHA-256 of the token.
    pub sha256: [u8; 32],
    /// What it may do.
    pub may: Rights,
    /// What it may see.
    pub only: Only,
}

/// What a token may do on `/v1`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rights {
    /// `publish`.
    pub publish: bool,
    /// `read`.
    pub read: bool,
    /// `admin`.
    pub admin: bool,
}

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right {
    /// `POST /v1/events`.
    Publish,
    /// `GET /v1/events`.
    Read,
    /// All else under `/v1`.
    Admin,
}

impl Rights {
    /// Whether it is among them.
    #[must_use]
    pub fn has(self, right: Right) -> bool {
        match right {
            Right::Publish => self.publish,
            Right::Read => self.read,
            Right::Admin => self.admin,
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Right::Publish => "publish",
            Right::Read => "read",
            Right::Admin => "admin",
        })
    }
}

/// `[auth]`: who may use `/v1`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Auth {
    /// `tokens`; without any, `/v1` is open to this machine alone.
    pub tokens: Vec<Token>,
}

/// Canonical field names and the value that each must have; empty: everything.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Only(pub BTreeMap<String, String>);

impl Only {
    /// Whether nothing is left out.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }
}

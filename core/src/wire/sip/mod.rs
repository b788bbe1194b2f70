//! SIP (RFC 3261): [`message`] reads and writes requests and responses, [`fields`] holds their header fields, [`uri`]
//! cuts addresses into their parts, [`stream`] finds messages on a connection, [`digest`] answers challenges,
//! [`transaction`] has the machines of one request, [`endpoint`] puts all this together for one user agent, [`dialog`] and
//! [`subscriber`] keep subscriptions (RFC 6665) over it.
//!
//! What is absent here: sockets, time, events, the hub.

pub mod dialog;
pub mod digest;
pub mod endpoint;
pub mod fields;
mod grammar;
mod head;
pub mod message;
pub mod stream;
pub mod subscriber;
#[cfg(test)]
mod torture;
pub mod transaction;
pub mod uri;

pub use grammar::is_token;

/// Bounds of one message: rows of [`crate::ground::limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The start line and the header fields.
    pub head_bytes: usize,
    /// Header fields, each value of a `Via` counted.
    pub fields: usize,
    /// The body, on a connection; a datagram bounds itself.
    pub body_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds::from(&crate::ground::limits::Limits::default())
    }
}

impl From<&crate::ground::limits::Limits> for Bounds {
    fn from(limits: &crate::ground::limits::Limits) -> Bounds {
        let size = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
        Bounds {
            head_bytes: size(limits.sip_head_bytes),
            fields: size(limits.sip_fields),
            body_bytes: size(limits.sip_body_bytes),
        }
    }
}

//! SIP (RFC 3261) and its subscriptions (RFC 6665).

pub mod subscriber;

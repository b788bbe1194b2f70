//! Peers that speak SIP.

pub mod notifier;

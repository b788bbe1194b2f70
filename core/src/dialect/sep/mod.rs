//! The SIP Event Package API: a client subscribes over HTTP to the events of SIP resources, and gets their states as
//! documents and in callbacks.

pub mod change;
pub mod package;
pub mod state;

//! Asterisk, by its manager interface.

pub mod session;

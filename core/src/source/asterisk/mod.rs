//! Asterisk, by its manager interface.

pub mod mirror;
pub mod scope;
pub mod session;
pub mod told;

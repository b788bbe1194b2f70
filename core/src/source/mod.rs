//! Machines that bring events in.

pub mod asterisk;
pub mod demo;

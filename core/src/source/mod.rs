//! Machines that bring events in.

pub mod demo;

//! What the tests and measurements of offhook share: the engine with next to nothing around it ([`bare`]), conversations
//! with it in one thread and virtual time ([`memory`]), the conformance suite that runs against both server binaries
//! ([`mod@conformance`]), the lab that kills them ([`crash`]), peers that speak SIP ([`sip`]) and the manager protocol of
//! Asterisk ([`ami`]), the bodies of the fuzz targets
//! ([`fuzz`]), and where measured tables go ([`readme`]).
//!
//! What is absent here: any server. The binaries are built by their own packages, whose integration tests hand their
//! path to the [`conformance!`] macro.

pub mod ami;
pub mod bare;
#[allow(clippy::unwrap_used, reason = "bodies of tests: a panic is the verdict")]
pub mod conformance;
pub mod crash;
pub mod fuzz;
pub mod memory;
pub mod readme;
#[allow(clippy::unwrap_used, reason = "a broken promise ends in a panic that tells it")]
pub mod simulator;
pub mod sip;

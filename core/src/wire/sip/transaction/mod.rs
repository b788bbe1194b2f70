//! Non-INVITE transactions (RFC 3261 section 17, RFC 4320): the client's machine sends a request until its answer is
//! there ([`client`]), the server's gives each request to its user once and repeats the answer ([`server`]).
//!
//! What is absent here: bytes, addresses and who belongs to whom (the endpoint's), INVITE, provisional responses of our
//! own.

pub mod client;
pub mod server;

/// T1: what a round trip is taken for.
pub const T1_MS: u64 = 500;
/// T2: the longest time between two copies of a request.
pub const T2_MS: u64 = 4_000;
/// T4: how long a message may stay on the way.
pub const T4_MS: u64 = 5_000;
/// 64·T1: how long a request is tried (Timer F), and how long its answer is repeated (Timer J).
pub const LIFE_MS: u64 = 64 * T1_MS;

//! The pure machine of offhook: bytes and time in, bytes and actions out.
//!
//! What is absent here: sockets, files, threads, a clock, randomness. The same inputs give the same outputs on
//! every machine. An adapter (the crates `offhook-mio` and `offhook-smol`, or a loop of your own, see
//! `examples/plain_loop.rs`) moves the bytes; [`Engine`] is the doorway.
//!
//! Floors, from the ground up; imports go down, never up, never between `wire` and `event`:
//!
//! | floor | modules | what they know |
//! |---|---|---|
//! | 1 | [`ground`] | time, ids, seeded randomness, limits, deadlines |
//! | 2 | [`wire`] | bytes and messages; no event |
//! | 2 | [`event`] | events, their vocabulary, filters, arenas and feeds; no protocol |
//! | 3 | [`log`] | the one ordered run of records |
//! | 3 | [`hub`] | connections, channels, calls, actions: what a dialect may do |
//! | 3 | [`outbox`] | what destinations are, and patience with them |
//! | 4 | [`dialect`], [`source`] | one folder each: events in a protocol's own words |
//! | 5 | [`engine`] | the doorway |

#![warn(clippy::iter_over_hash_type)]

pub mod dialect;
pub mod engine;
pub mod event;
pub mod ground;
pub mod hub;
pub mod log;
pub mod outbox;
pub mod source;
pub mod wire;

pub use engine::Engine;
pub use ground::config::Config;
pub use ground::id::{ConnId, Epoch, ListenerId, Seq, ShardId};
pub use ground::time::{Mono, Now, Wall};
pub use hub::action::{Action, Completion};

//! The one ordered log: records go out in [`crate::Action::Append`], come back with a sequence number through
//! [`crate::Engine::receive_record`], and are known durable by [`crate::Completion::Durable`].
//!
//! What makes them durable is here as well, without a file: a [`writer`] turns records ([`encode`]) into groups
//! ([`group`]) in segments ([`segment`]) and says what to write, sync and delete; [`recovery`] reads them back; a
//! [`retention`] lets old segments go. The host has the files.
//!
//! ```text
//!   segment  │ head │ group │ group │ … │ zeroes, written ahead │
//!   group    │ head: checksum, numbers, what is durable │ record │ record │ … │
//! ```

#[cfg(test)]
mod disk;
pub mod encode;
pub mod epochs;
pub mod form;
pub mod group;
pub mod read;
pub mod record;
pub mod recovery;
pub mod retention;
pub mod segment;
pub mod segments;
pub mod writer;

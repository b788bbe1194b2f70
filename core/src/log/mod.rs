//! The one ordered log, behind its seam: records go out in [`crate::Action::Append`], come back with a sequence
//! number through [`crate::Engine::receive_record`], and are known durable by [`crate::Completion::Durable`].
//!
//! No file here: what stores the records is the adapter's affair. The server binaries keep them in memory so far.

pub mod record;

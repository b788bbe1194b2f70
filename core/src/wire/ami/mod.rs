//! The manager protocol of Asterisk (AMI): lines of `Key: value`, messages that end with a blank line, actions and their
//! answers beside events that come unasked.
//!
//! What is absent here: what a message means, time, and which connection it came on.

pub mod action;
pub mod message;
pub mod stream;

pub use message::Message;
pub use stream::{Framed, Skip, Stream};

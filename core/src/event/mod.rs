//! Events and what stands between them and their readers; no protocol is known here.
//!
//! An [`Event`] is projected into a dialect's words ([`projection`], [`vocabulary`]), finds the feeds that want it
//! ([`index`]), is rendered once into the dialect's [`arena`], and each [`feed`] notes the run of bytes that is its
//! own. A reader is a cursor into a feed; [`output`] is what one connection still has to send.

pub mod arena;
pub mod channel;
#[allow(clippy::module_inception, reason = "the folder and the thing are both called what they are")]
pub mod event;
pub mod feed;
pub mod filter;
pub mod index;
pub mod output;
pub mod projection;
pub mod repeats;
pub mod vocabulary;

pub use event::{Data, Event, Fact};

//! RFC 6665 subscriptions: each is asked for, kept alive, made anew when it ends, and given up when nobody wants it.

mod ends;
mod said;

pub use ends::Reason;
pub use said::{Content, Event, Saved, Wanted};

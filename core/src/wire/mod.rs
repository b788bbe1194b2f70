//! Bytes and messages. No event is known here, and no socket.
//!
//! Every decoder has one shape: it looks at what has come so far and says [`Step::Item`], [`Step::More`] or
//! [`Step::Fault`]. Where the input was split never changes what it says (the splitting property).

pub mod ami;
pub mod http;
pub mod multipart;
pub mod proxy;
pub mod sip;
pub mod tls;
pub mod ws;
pub mod xml;

/// What a decoder says of the bytes so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// A whole item, and how many bytes it took.
    Item(T, usize),
    /// Not yet.
    More,
    /// The peer broke the protocol; nothing after this can be trusted.
    Fault(Fault),
}

/// The peer's fault, as it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The HTTP status.
    pub status: u16,
    /// A sentence for whoever reads the answer.
    pub reason: &'static str,
}

impl Fault {
    /// A 400.
    #[must_use]
    pub const fn bad(reason: &'static str) -> Fault {
        Fault { status: 400, reason }
    }
}

//! What a subscriber is asked for and what it says.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ends::Reason;

/// A subscription that somebody wants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The resource: a `sip:` or `sips:` URI.
    pub uri: Arc<str>,
    /// The event package.
    pub event: Arc<str>,
    /// The types of bodies that are asked for.
    pub accept: Arc<[Box<str>]>,
    /// What is asked for each time, in seconds; less towards the end.
    pub expires_s: u32,
    /// Whom it is for: requests that begin subscriptions of one client may not take all room there is for waiting.
    pub client: u32,
    /// Whether each dialog of a forked SUBSCRIBE is one more instance (RFC 6665 section 4.1.4), or the first alone counts.
    pub takes_forks: bool,
}

/// What has happened to a subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A NOTIFY that was accepted: in order, and answered 200 already.
    Notified {
        /// The number of its dialog.
        dialog: u32,
        /// The notifier has not decided yet whether the subscription is allowed.
        pending: bool,
        /// The body, unless it is empty.
        content: Option<Content>,
        /// The first one since our own SUBSCRIBE.
        first: bool,
        /// The peer is a list server, and the body a list's (RFC 4662).
        eventlist: bool,
    },
    /// A dialog, or an attempt that made none (dialog 0), has ended.
    Ended {
        /// The number of the dialog, or 0.
        dialog: u32,
        /// Why.
        reason: Reason,
        /// The SIP status that ended it.
        status: Option<u16>,
        /// The last body, which a NOTIFY that says `terminated` may carry.
        content: Option<Content>,
        /// Nothing follows by itself: no new subscription takes its place.
        for_good: bool,
    },
    /// What a restart needs of a dialog, to be kept; `None`: it is gone.
    Save {
        /// The number of the dialog.
        dialog: u32,
        /// What to hand to [`super::Subscriber::restore`].
        saved: Option<Saved>,
    },
    /// What was unsubscribed is gone altogether. Nothing comes after it.
    Over,
}

/// A body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Content {
    /// As it came; empty if it was missing.
    pub content_type: Box<str>,
    /// As they came.
    pub bytes: Box<[u8]>,
}

/// A dialog as it outlives a restart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Saved {
    /// Its number.
    pub dialog: u32,
    /// The Call-ID.
    pub call_id: Box<str>,
    /// Our tag.
    pub local_tag: Box<str>,
    /// The peer's tag.
    pub remote_tag: Box<str>,
    /// The number of our last request.
    pub cseq: u32,
    /// The number of the peer's last request when this was saved.
    pub remote_cseq: u32,
    /// The route set, first hop first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<Box<str>>,
    /// The remote target.
    pub target: Box<str>,
    /// When the notifier lets it run out, in milliseconds since 1970.
    pub expires_ms: u64,
    /// The peer is a list server.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub eventlist: bool,
}

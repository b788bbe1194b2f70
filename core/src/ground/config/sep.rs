//! `[sep]`.

use std::sync::Arc;

use super::User;
use crate::ground::network::Network;

/// `[sep]`: SIP subscriptions over HTTP.
#[derive(Clone, Debug, Default)]
pub struct Sep {
    /// It is served: `[sip] listen` is set.
    pub served: bool,
    /// What stands behind `@` in the URIs and Content-IDs of lists.
    pub domain: String,
    /// Users, one of whom must be named; none: it is open as `/v1` is.
    pub users: Arc<[User]>,
    /// Addresses that may use it; `None` is everyone who reaches the listener.
    pub allow: Option<Vec<Network>>,
    /// Scheme, host and port for `Location`; `None` takes the request's `Host`.
    pub public_url: Option<String>,
}

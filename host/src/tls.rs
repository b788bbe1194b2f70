//! What TLS stands on: the cryptography of *ring*, its tickets, and the certificates that this machine trusts. Which
//! certificate a destination wants, or a listener shows, is the core's affair.

use std::sync::Arc;

use offhook_core::ground::config::TlsBase;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::server::ProducesTickets;

/// The cryptography.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

/// What seals the sessions of a listener into tickets, with keys that change every few hours. Without randomness there are
/// none, and sessions are remembered here alone.
pub(crate) fn tickets() -> Option<Arc<dyn ProducesTickets>> {
    Ticketer::new().ok()
}

/// Reads the machine's certificates. Without any, `https` needs a `ca` of its own, and the error says so.
pub(crate) fn base() -> TlsBase {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "some of this machine's certificates cannot be read");
    }
    let (_, ignored) = roots.add_parsable_certificates(found.certs);
    if ignored > 0 {
        tracing::debug!("{ignored} of this machine's certificates are none that can be used");
    }
    TlsBase { provider: provider(), roots: Arc::new(roots) }
}

//! The server's side, made ready: which certificate a client gets, and whether it must bring one of its own. Texts are
//! PEM, as the host has read them from files.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, ServerName, pem::PemObject};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, ProducesTickets, ResolvesServerCert, ServerSessionMemoryCache, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use super::{WallClock, certificates};
use crate::ground::config::ListenerTls;

/// The `tls` table of a listener.
#[derive(Debug)]
pub struct Serving {
    /// Certificates with their keys. A client gets the first that has the name it asks for, or the first of all.
    pub certificates: Vec<Arc<CertifiedKey>>,
    /// Who judges the certificates of clients; none are asked for otherwise.
    pub clients: Option<Arc<dyn ClientCertVerifier>>,
    /// TLS 1.3 is the least, not 1.2.
    pub only_tls13: bool,
    /// Seals sessions into tickets.
    pub tickets: Option<Arc<dyn ProducesTickets>>,
    /// Sessions that are remembered for clients without tickets.
    pub sessions: usize,
}

impl Serving {
    /// Makes it ready.
    ///
    /// # Errors
    /// There is no certificate, or the cryptography at hand does not do.
    pub fn ready(self, provider: &Arc<CryptoProvider>) -> Result<ListenerTls, String> {
        if self.certificates.is_empty() {
            return Err("there is no certificate".to_owned());
        }
        let clock = WallClock::default();
        let versions: &[_] = if self.only_tls13 {
            &[&rustls::version::TLS13]
        } else {
            &[&rustls::version::TLS13, &rustls::version::TLS12]
        };
        let certified_clients = self.clients.as_ref().is_some_and(|clients| clients.client_auth_mandatory());
        let mut config = ServerConfig::builder_with_details(Arc::clone(provider), Arc::new(clock.clone()))
            .with_protocol_versions(versions)
            .map_err(|error| format!("the cryptography at hand does not do: {error}"))?
            .with_client_cert_verifier(self.clients.unwrap_or_else(WebPkiClientVerifier::no_client_auth))
            .with_cert_resolver(Arc::new(ByName(self.certificates)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.session_storage = ServerSessionMemoryCache::new(self.sessions);
        if let Some(tickets) = self.tickets {
            config.ticketer = tickets;
        }
        Ok(ListenerTls { config: Arc::new(config), clock, only_tls13: self.only_tls13, certified_clients })
    }
}

/// A certificate, those above it, and its key.
///
/// # Errors
/// The key of the table at fault (`cert` or `key`), and a sentence.
pub fn certified(
    cert: &str,
    key: &str,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, (&'static str, String)> {
    let chain = certificates("cert", cert).map_err(|text| ("cert", text))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| ("key", format!("`key` holds no private key in PEM: {error}")))?;
    webpki::EndEntityCert::try_from(&chain[0])
        .map_err(|error| ("cert", format!("the first certificate of `cert` is none: {error}")))?;
    CertifiedKey::from_der(chain, key, provider).map(Arc::new).map_err(|error| {
        let text = if matches!(error, rustls::Error::InconsistentKeys(_)) {
            "`key` is not the key of the first certificate of `cert`".to_owned()
        } else {
            format!("`key` cannot be used: {error}")
        };
        ("key", text)
    })
}

/// Who judges the certificates of clients: those that `client_ca` signed are good.
///
/// # Errors
/// A sentence about `client_ca`.
pub fn judge_of_clients(
    client_ca: &str,
    is_optional: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("client_ca", client_ca)? {
        roots.add(certificate).map_err(|error| format!("a certificate of `client_ca` is none: {error}"))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if is_optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map(|verifier| verifier as _).map_err(|error| format!("`client_ca` does not do: {error}"))
}

/// Certificates by the name that a client asks for (RFC 6066 section 3).
#[derive(Debug)]
struct ByName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let named = |certified: &&Arc<CertifiedKey>| {
            name.as_ref().is_some_and(|name| {
                webpki::EndEntityCert::try_from(&certified.cert[0])
                    .is_ok_and(|parsed| parsed.verify_is_valid_for_subject_name(name).is_ok())
            })
        };
        // A name may have a certificate for each kind of key.
        let signs =
            |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(hello.signature_schemes()).is_some();
        let by_name = || self.0.iter().filter(named);
        let found = by_name().find(signs).or_else(|| by_name().next());
        found.or_else(|| self.0.iter().find(signs)).or_else(|| self.0.first()).cloned()
    }
}

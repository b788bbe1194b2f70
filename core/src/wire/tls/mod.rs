//! TLS between socket and machine, on rustls, which is sans-IO itself: [`layer`] turns the socket's bytes into plain
//! ones and back, [`verify`] judges certificates, and [`Tls`] is what a destination says of both. [`server`] is what a
//! listener says.
//!
//! What is absent here: cryptography and root certificates ([`TlsBase`] brings them), a clock ([`WallClock`] is set
//! from outside), files (PEM texts are given), session tickets that survive a restart.

pub mod layer;
pub mod server;
pub mod verify;

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::ground::config::TlsBase;
pub use crate::ground::config::{Tls, WallClock};
use verify::{Judge, Verifier};

/// A [`Tls`] made ready: what all connections to a target share.
#[derive(Clone, Debug)]
pub struct Compiled {
    config: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
    only_tls13: bool,
}

impl Compiled {
    /// The same for a protocol that has no name in ALPN (RFC 7301): SIP, whose peers would refuse one of HTTP.
    #[must_use]
    pub fn without_alpn(self) -> Compiled {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols.clear();
        Compiled { config: Arc::new(config), ..self }
    }
}

impl Tls {
    /// Whether connections can be made with this.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn check(&self, base: &TlsBase) -> Result<(), String> {
        self.compile(base, &WallClock::default()).map(|_| ())
    }

    /// Makes it ready.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn compile(&self, base: &TlsBase, clock: &WallClock) -> Result<Compiled, String> {
        let judge = if self.insecure {
            Judge::Nobody
        } else if let Some(pin) = self.pin_sha256 {
            Judge::Pin(pin)
        } else {
            Judge::roots(self.roots(base)?, self.own()?, base)?
        };
        let verifier = Arc::new(Verifier::new(judge, base));
        let versions: &[_] = if self.only_tls13 {
            &[&rustls::version::TLS13]
        } else {
            &[&rustls::version::TLS13, &rustls::version::TLS12]
        };
        let builder = ClientConfig::builder_with_details(Arc::clone(&base.provider), Arc::new(clock.clone()))
            .with_protocol_versions(versions)
            .map_err(|error| format!("the cryptography at hand does not do: {error}"))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _);
        let mut config = match (&self.client_cert, &self.client_key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                let chain = certificates("client_cert", cert)?;
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                    .map_err(|error| format!("`client_key` holds no private key in PEM: {error}"))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| format!("`client_cert` and `client_key`: {error}"))?
            }
            (Some(_), None) => return Err("`client_cert` needs `client_key`".to_owned()),
            (None, Some(_)) => return Err("`client_key` needs `client_cert`".to_owned()),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Compiled { config: Arc::new(config), verifier, only_tls13: self.only_tls13 })
    }

    /// The certificates of `ca`.
    fn own(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        self.ca.as_ref().map_or(Ok(Vec::new()), |ca| certificates("ca", ca))
    }

    fn roots(&self, base: &TlsBase) -> Result<Arc<RootCertStore>, String> {
        if self.ca.is_none() {
            if self.only_ca {
                return Err("`only_ca` needs `ca`".to_owned());
            }
            if base.roots.is_empty() {
                return Err("this machine has no root certificates: install them, or give `ca`".to_owned());
            }
            return Ok(Arc::clone(&base.roots));
        }
        let mut roots = if self.only_ca { RootCertStore::empty() } else { RootCertStore::clone(&base.roots) };
        for certificate in self.own()? {
            roots.add(certificate).map_err(|error| format!("a certificate of `ca` is none: {error}"))?;
        }
        Ok(Arc::new(roots))
    }
}

/// All certificates of a PEM text; at least one.
fn certificates(key: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("`{key}` holds no certificate in PEM")),
        Err(error) => Err(format!("`{key}` is no PEM: {error}")),
    }
}

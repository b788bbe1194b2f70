//! Whether a server's certificate is good. What was presented is kept until somebody asks, because a refusal must say
//! what the peer offered.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use sha2::{Digest, Sha256};

use crate::ground::config::TlsBase;

/// Names of a certificate that a refusal lists.
const NAMES_MAX: usize = 8;

/// Who decides.
#[derive(Debug)]
pub(super) enum Judge {
    /// Roots and names; the certificates that the destination itself brought.
    Roots(Arc<WebPkiServerVerifier>, Vec<CertificateDer<'static>>),
    /// The one certificate with this SHA-256.
    Pin([u8; 32]),
    /// Whatever comes is taken.
    Nobody,
}

impl Judge {
    pub(super) fn roots(
        roots: Arc<RootCertStore>,
        own: Vec<CertificateDer<'static>>,
        base: &TlsBase,
    ) -> Result<Judge, String> {
        WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&base.provider))
            .build()
            .map(|verifier| Judge::Roots(verifier, own))
            .map_err(|error| format!("the roots do not do: {error}"))
    }
}

/// The judgement of certificates for one target.
#[derive(Debug)]
pub(super) struct Verifier {
    judge: Judge,
    algorithms: WebPkiSupportedAlgorithms,
    /// What the peer presented last.
    offered: Mutex<String>,
}

impl Verifier {
    pub(super) fn new(judge: Judge, base: &TlsBase) -> Verifier {
        Verifier {
            judge,
            algorithms: base.provider.signature_verification_algorithms,
            offered: Mutex::default(),
        }
    }

    /// What the peer presented since the last time, as a clause of a sentence; empty if it was nothing.
    pub(super) fn take_offered(&self) -> String {
        std::mem::take(&mut *self.offered())
    }

    fn offered(&self) -> MutexGuard<'_, String> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, certificate: &CertificateDer<'_>, digest: &[u8]) {
        let mut text = String::from("it offered a certificate ");
        if let Judge::Pin(_) = self.judge {
            text.insert_str(0, "it is not the certificate that pin_sha256 names; ");
        }
        match webpki::EndEntityCert::try_from(certificate) {
            Err(_) => text.push_str("that cannot be read"),
            Ok(parsed) => {
                let names: Vec<&str> = parsed.valid_dns_names().take(NAMES_MAX).collect();
                if names.is_empty() {
                    text.push_str("without names of hosts");
                } else {
                    text.push_str("for ");
                    text.push_str(&names.join(", "));
                }
            }
        }
        text.push_str(" with SHA-256 ");
        for byte in digest {
            let _ = write!(text, "{byte:02x}");
        }
        *self.offered() = text;
    }
}

fn is_named(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    webpki::EndEntityCert::try_from(certificate)
        .is_ok_and(|parsed| parsed.verify_is_valid_for_subject_name(name).is_ok())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let digest: [u8; 32] = Sha256::digest(end_entity).into();
        let verdict = match &self.judge {
            Judge::Nobody => return Ok(ServerCertVerified::assertion()),
            Judge::Pin(pin) if digest == *pin => return Ok(ServerCertVerified::assertion()),
            Judge::Pin(_) => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
            Judge::Roots(roots, own) => {
                let verdict =
                    roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
                match verdict {
                    // Many self-signed certificates say that they are a CA's, and so are no server's. One that the
                    // destination itself names as trusted is meant.
                    Err(Error::InvalidCertificate(CertificateError::Other(_)))
                        if own.contains(end_entity) && is_named(end_entity, server_name) =>
                    {
                        return Ok(ServerCertVerified::assertion());
                    }
                    other => other,
                }
            }
        };
        if verdict.is_err() {
            self.note(end_entity, &digest);
        }
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if matches!(self.judge, Judge::Nobody) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if matches!(self.judge, Judge::Nobody) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

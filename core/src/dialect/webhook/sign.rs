//! Signatures of the Standard Webhooks specification 1.0.0 ("Signature scheme", symmetric).

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a secret's text begins with.
const PREFIX: &str = "whsec_";

/// Bytes of a secret that the specification recommends; others are refused.
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// The length of a signature's text: `v1,` and 32 bytes in base64.
pub(super) const TEXT: usize = 3 + 44;

/// A secret, ready to sign.
#[derive(Clone)]
pub(super) struct Secret(Hmac<Sha256>);

impl Secret {
    /// Reads `whsec_…`.
    pub(super) fn parse(text: &str) -> Option<Secret> {
        let bytes = BASE64.decode(text.strip_prefix(PREFIX)?.as_bytes()).ok()?;
        let bytes = Some(bytes).filter(|bytes| BYTES.contains(&bytes.len()))?;
        Hmac::new_from_slice(&bytes).ok().map(Secret)
    }

    /// Writes the signature of `id.timestamp.body`.
    pub(super) fn sign(&self, id: &[u8], timestamp: &[u8], body: &[u8], out: &mut [u8]) {
        let mut mac = self.0.clone();
        for part in [id, b".", timestamp, b".", body] {
            mac.update(part);
        }
        let (version, text) = out.split_at_mut(3);
        version.copy_from_slice(b"v1,");
        BASE64.encode_mut(&mac.finalize().into_bytes(), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the reference libraries (standardwebhooks for Python and JavaScript).
    #[test]
    fn the_specifications_vector() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let mut out = [0; TEXT];
        secret.sign(b"msg_p5jXN8AQM9LWM0D4loKWxJek", b"1614265330", br#"{"test": 2432232314}"#, &mut out);
        assert_eq!(&out, b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_that_are_none() {
        let of = |bytes: usize| format!("whsec_{}", BASE64.encode(&vec![7; bytes]));
        for (text, sound) in [
            (of(24), true),
            (of(64), true),
            (of(23), false),
            (of(65), false),
            ("whsec_".to_owned(), false),
            (of(24)[6..].to_owned(), false),
            (format!("{}!", of(24)), false),
            (String::new(), false),
        ] {
            assert_eq!(Secret::parse(&text).is_some(), sound, "{text}");
        }
    }
}

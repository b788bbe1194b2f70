//! Passwords and their hashes: argon2id as a PHC string (RFC 9106), such as `$argon2id$v=19$m=19456,t=2,p=1$...$...`.

use std::io;

use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{ARGON2ID_IDENT, Argon2, Params};
use rustix::rand::{GetRandomFlags, getrandom};

/// Memory that a hash may ask for, in KiB: a check must not take the machine down.
const MEMORY_KIB_MAX: u32 = 1 << 20;

/// Rounds that a hash may ask for.
const ROUNDS_MAX: u32 = 100;

/// What a hash in the config file must be.
pub(crate) const ALLOWED: &str =
    "a hash as `passwd` prints it: $argon2id$... with at most 1 GiB and 100 rounds";

/// The hash of a password with a fresh salt, by the usual settings (19 MiB, two rounds).
pub(crate) fn hash(password: &str) -> io::Result<String> {
    let mut salt = [0; 16];
    let mut filled = 0;
    while filled < salt.len() {
        filled += getrandom(&mut salt[filled..], GetRandomFlags::empty())?;
    }
    let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
    hash.map(|hash: PasswordHash| hash.to_string()).map_err(|error| io::Error::other(error.to_string()))
}

/// Whether a text is the hash of something that can be checked.
pub(crate) fn is_hash(text: &str) -> bool {
    PasswordHash::new(text).is_ok_and(|hash| {
        hash.algorithm == ARGON2ID_IDENT
            && hash.hash.as_ref().is_some_and(|output: &Output| output.as_ref().len() >= 16)
            && hash.salt.is_some()
            && Params::try_from(&hash).is_ok_and(|p| p.m_cost() <= MEMORY_KIB_MAX && p.t_cost() <= ROUNDS_MAX)
    })
}

/// Whether a password gives a hash. Compared in constant time.
pub(crate) fn is_right(hash: &str, password: &[u8]) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_password_alone() {
        let hash = hash("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && is_hash(&hash), "{hash}");
        assert!(is_right(&hash, b"correct horse"));
        assert!(!is_right(&hash, b"correct horse ") && !is_right(&hash, b""));
        assert_ne!(hash, super::hash("correct horse").unwrap(), "salts differ");
    }

    /// A vector of the reference implementation.
    #[test]
    fn a_hash_of_the_reference_implementation_is_checked() {
        let hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(is_hash(hash) && is_right(hash, b"password") && !is_right(hash, b"passwort"));
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for text in [
            "",
            "password",
            "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA",
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ",
            "$argon2id$v=19$m=65536,t=2,p=1",
            "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$m=65536,t=101,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$2y$10$vI8aWBnW3fID.ZQ4/zo1G.q1lRps.9cGLcZEiGDMVr5yUP1KUOYTa",
        ] {
            assert!(!is_hash(text) && (text.contains("argon2") || !is_right(text, b"password")), "{text}");
        }
    }
}

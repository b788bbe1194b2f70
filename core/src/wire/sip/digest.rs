//! Answers to digest challenges (RFC 7616 as RFC 8760 has it for SIP; RFC 3261 section 22): MD5, SHA-256 and
//! SHA-512-256, with qop=auth wherever it is offered, and in the form of RFC 2069 where none is.
//!
//! What is absent here: Basic, auth-int, the `-sess` algorithms, credentials that nobody asked for yet, challenges of our
//! own, and several challenges in one line (RFC 3261 section 7.3.1 forbids that).

use std::collections::VecDeque;
use std::fmt::{self, Write as _};

use data_encoding::HEXLOWER;
use md5::Md5;
use sha2::digest::Digest;
use sha2::{Sha256, Sha512_256};

use super::grammar;
use super::message::Message;
use crate::ground::limits::SIP_NONCES;
use crate::ground::rng::Rng;

/// The fields of challenges, and those of their answers (RFC 3261 sections 22.2 and 22.3).
const FIELDS: [(&str, &str); 2] =
    [("WWW-Authenticate", "Authorization"), ("Proxy-Authenticate", "Proxy-Authorization")];

/// Who we are in a realm.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The realm; `*` is any that has no credential of its own.
    pub realm: Box<str>,
    /// The user's name.
    pub user: Box<str>,
    /// The password.
    pub password: Box<str>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Credential { realm, user, .. } = self;
        f.debug_struct("Credential").field("realm", realm).field("user", user).finish_non_exhaustive()
    }
}

/// All credentials, and how often the nonces of late were used.
#[derive(Debug)]
pub struct Authority {
    credentials: Vec<Credential>,
    nonces: VecDeque<Nonce>,
}

#[derive(Debug)]
struct Nonce {
    realm: Box<str>,
    nonce: Box<str>,
    /// How many requests were sent with it.
    count: u32,
    /// It took the place of one that was stale: the next one that is stale for the same request is one too many.
    is_second: bool,
}

impl Authority {
    /// Answers with these credentials.
    #[must_use]
    pub fn new(credentials: Vec<Credential>) -> Authority {
        Authority { credentials, nonces: VecDeque::new() }
    }

    /// Makes `request`, which got `response`, ready to go again: answers the challenges that there are credentials for.
    /// False, and the request is as it was, if there are none, or if those that were sent are refused; a nonce that was
    /// stale is replaced once. The new `CSeq` is the caller's affair.
    pub fn answer(&mut self, rng: &mut Rng, response: &Message, request: &mut Message) -> bool {
        let (Some(method), Some(uri)) = (request.method(), request.uri()) else { return false };
        let mut lines = Vec::new();
        let mut is_answered = false;
        for (asks, answers) in FIELDS {
            let sent: Vec<Digests> = request.fields.lines(answers).filter_map(Digests::read).collect();
            let challenges = topmost(response.fields.lines(asks).filter_map(Digests::read));
            for challenge in &challenges {
                let before = sent.iter().find(|sent| sent.realm == challenge.realm);
                if before.is_some_and(|before| !self.may_go_again(before, challenge)) {
                    return false;
                }
            }
            // What another server on the way accepted is sent again, counted on.
            let kept = sent.into_iter().filter(|sent| challenges.iter().all(|new| new.realm != sent.realm));
            let kept: Vec<Digests> = kept.collect();
            for (digests, is_new) in
                challenges.iter().map(|new| (new, true)).chain(kept.iter().map(|kept| (kept, false)))
            {
                let Some(at) = self.credential(&digests.realm) else { continue };
                let count = self.count(digests, is_new);
                let cnonce = format!("{:016x}", rng.next_u64());
                lines.push((answers, digests.answer(&self.credentials[at], method, uri, count, &cnonce)));
                is_answered |= is_new;
            }
        }
        if is_answered {
            for (_, answers) in FIELDS {
                request.fields.remove(answers);
            }
            for (answers, line) in lines {
                request.fields.push(answers, line);
            }
        }
        is_answered
    }

    /// The credential of a realm: its own before the one of all.
    fn credential(&self, realm: &str) -> Option<usize> {
        let of = |realm: &str| self.credentials.iter().position(|credential| *credential.realm == *realm);
        of(realm).or_else(|| of("*"))
    }

    /// Whether the server refused the nonce alone, for the first time (RFC 7616 section 3.3, `stale`).
    fn may_go_again(&self, before: &Digests, challenge: &Digests) -> bool {
        let known = self.nonces.iter().find(|known| known.is(before));
        challenge.is_stale && challenge.nonce != before.nonce && known.is_some_and(|known| !known.is_second)
    }

    /// How often a nonce was used, this time included (RFC 7616 section 3.4, `nc`).
    fn count(&mut self, digests: &Digests, is_new: bool) -> u32 {
        let at = self.nonces.iter().position(|known| known.is(digests)).unwrap_or_else(|| {
            if self.nonces.len() >= SIP_NONCES {
                self.nonces.pop_front();
            }
            let (realm, nonce) = (digests.realm.clone(), digests.nonce.clone());
            self.nonces.push_back(Nonce { realm, nonce, count: 0, is_second: false });
            self.nonces.len() - 1
        });
        let known = &mut self.nonces[at];
        if is_new {
            known.is_second = digests.is_stale;
        }
        known.count = known.count.saturating_add(1);
        known.count
    }
}

impl Nonce {
    fn is(&self, digests: &Digests) -> bool {
        self.realm == digests.realm && self.nonce == digests.nonce
    }
}

/// Of each realm the first challenge that can be answered (RFC 8760 section 2.4).
fn topmost(challenges: impl Iterator<Item = Digests>) -> Vec<Digests> {
    let mut chosen: Vec<Digests> = Vec::new();
    for challenge in challenges {
        if chosen.iter().all(|before| before.realm != challenge.realm) {
            chosen.push(challenge);
        }
    }
    chosen
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Algorithm {
    Md5,
    Sha256,
    Sha512256,
}

impl Algorithm {
    fn of(name: &str) -> Option<Algorithm> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match () {
            () if is("MD5") => Some(Algorithm::Md5),
            () if is("SHA-256") => Some(Algorithm::Sha256),
            () if is("SHA-512-256") => Some(Algorithm::Sha512256),
            () => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
            Algorithm::Sha512256 => "SHA-512-256",
        }
    }

    fn hash(self, text: &str) -> String {
        match self {
            Algorithm::Md5 => HEXLOWER.encode(&Md5::digest(text)),
            Algorithm::Sha256 => HEXLOWER.encode(&Sha256::digest(text)),
            Algorithm::Sha512256 => HEXLOWER.encode(&Sha512_256::digest(text)),
        }
    }
}

/// What a challenge says and its answer repeats.
#[derive(Debug)]
struct Digests {
    realm: Box<str>,
    nonce: Box<str>,
    opaque: Option<Box<str>>,
    algorithm: Algorithm,
    /// It was said, and is not just the MD5 of old.
    is_algorithm_said: bool,
    /// qop=auth is offered.
    has_qop: bool,
    is_stale: bool,
}

impl Digests {
    /// Reads a challenge or an answer; none if it cannot be answered here.
    fn read(line: &str) -> Option<Digests> {
        let (scheme, rest) = line.trim_start().split_once(|c: char| c.is_ascii_whitespace())?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let params: Vec<_> = grammar::split(rest, b',').filter_map(grammar::param).collect();
        let get = |name: &str| grammar::find(&params, name).map(grammar::unquoted);
        let (algorithm, qop) = (get("algorithm"), get("qop"));
        let offers_auth =
            |offered: &str| offered.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth"));
        let has_qop = qop.as_deref().is_some_and(offers_auth);
        if qop.is_some() && !has_qop {
            return None;
        }
        Some(Digests {
            realm: get("realm")?.into(),
            nonce: get("nonce")?.into(),
            opaque: get("opaque").map(Into::into),
            algorithm: Algorithm::of(algorithm.as_deref().unwrap_or("MD5"))?,
            is_algorithm_said: algorithm.is_some(),
            has_qop,
            is_stale: get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }

    /// RFC 7616 section 3.4: the value of `Authorization`.
    fn answer(&self, credential: &Credential, method: &str, uri: &str, count: u32, cnonce: &str) -> String {
        let Credential { user, password, .. } = credential;
        let Digests { realm, nonce, algorithm, .. } = self;
        let a1 = algorithm.hash(&format!("{user}:{realm}:{password}"));
        let a2 = algorithm.hash(&format!("{method}:{uri}"));
        let between =
            if self.has_qop { format!("{nonce}:{count:08x}:{cnonce}:auth") } else { (**nonce).into() };
        let response = algorithm.hash(&format!("{a1}:{between}:{a2}"));
        let mut line = format!(
            "Digest username={},realm={},nonce={},uri={},response=\"{response}\"",
            Quoted(user),
            Quoted(realm),
            Quoted(nonce),
            Quoted(uri)
        );
        let mut add = |param: fmt::Arguments<'_>| line.write_fmt(param).expect("text can be written");
        if self.is_algorithm_said {
            add(format_args!(",algorithm={}", algorithm.name()));
        }
        if let Some(opaque) = &self.opaque {
            add(format_args!(",opaque={}", Quoted(opaque)));
        }
        if self.has_qop {
            add(format_args!(",qop=auth,nc={count:08x},cnonce=\"{cnonce}\""));
        }
        line
    }
}

/// A quoted string (RFC 3261 section 25.1).
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        grammar::quote(self.0, f)
    }
}

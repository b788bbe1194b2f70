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
use super::uri::Uri;
use crate::ground::hosts::Hosts;
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
    /// The hosts that it is for; none are all.
    pub hosts: Vec<Hosts>,
    /// The user's name.
    pub user: Box<str>,
    /// The password.
    pub password: Box<str>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Credential { realm, hosts, user, password: _ } = self;
        let mut shown = f.debug_struct("Credential");
        shown.field("realm", realm).field("hosts", hosts).field("user", user).finish_non_exhaustive()
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
    /// stale is replaced once. The new `CSeq` is the caller's affair. `whom` is the URI that it was meant for, whoever
    /// asks: a challenge names a realm as it likes.
    pub fn answer(&mut self, rng: &mut Rng, response: &Message, request: &mut Message, whom: &str) -> bool {
        let (Some(method), Some(uri)) = (request.method(), request.uri()) else { return false };
        let Ok(whom) = whom.parse::<Uri>() else { return false };
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
                let Some(at) = self.credential(&digests.realm, &whom) else { continue };
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

    /// The credential of a realm for a URI: its own before the one of all.
    fn credential(&self, realm: &str, whom: &Uri) -> Option<usize> {
        let is_for = |c: &Credential| c.hosts.is_empty() || whom.is_within(&c.hosts);
        let of = |realm: &str| self.credentials.iter().position(|c| *c.realm == *realm && is_for(c));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(realm: &str, user: &str, password: &str) -> Credential {
        Credential { realm: realm.into(), hosts: Vec::new(), user: user.into(), password: password.into() }
    }

    /// The parameter of an answer.
    fn param(line: &str, name: &str) -> Option<String> {
        let (_, params) = line.split_once(' ').unwrap();
        let params: Vec<_> = grammar::split(params, b',').filter_map(grammar::param).collect();
        grammar::find(&params, name).map(|value| grammar::unquoted(value).into())
    }

    #[test]
    fn s53_responses_are_those_of_the_rfcs() {
        let mufasa = credential("", "Mufasa", "Circle of Life");
        let rfc7616 = |algorithm| {
            format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            )
        };
        let check = |challenge: &str, who: &Credential, ask: (&str, &str), cnonce: &str, expected: &str| {
            let digests = Digests::read(challenge).unwrap();
            let line = digests.answer(who, ask.0, ask.1, 1, cnonce);
            assert_eq!(param(&line, "response").as_deref(), Some(expected), "{challenge}: {line}");
        };
        // RFC 7616 section 3.9.1.
        let (ask, cnonce) = (("GET", "/dir/index.html"), "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ");
        check(&rfc7616("MD5"), &mufasa, ask, cnonce, "8ca523f5e9506fed4657c9700eebdbec");
        let sha256 = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
        check(&rfc7616("SHA-256"), &mufasa, ask, cnonce, sha256);
        // RFC 7616 section 3.9.2, with the response of its erratum 4897.
        let doe = credential("", "J\u{e4}s\u{f8}n Doe", "Secret, or not?");
        let challenge = "Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, \
                         nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", \
                         opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\", charset=UTF-8";
        let cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v";
        let sha512256 = "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5";
        check(challenge, &doe, ("GET", "/doe.json"), cnonce, sha512256);
        // RFC 2617 section 3.5.
        let challenge = "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
                         nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
                         opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
        let mufasa = credential("", "Mufasa", "Circle Of Life");
        let md5 = "6629fae49393a05397450978507c4ef1";
        check(challenge, &mufasa, ("GET", "/dir/index.html"), "0a4f113b", md5);
        // RFC 2069 section 2.4, with the response of its erratum 749.
        let challenge = "Digest realm=\"testrealm@host.com\", \
                         nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
                         opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
        let mufasa = credential("", "Mufasa", "CircleOfLife");
        check(challenge, &mufasa, ("GET", "/dir/index.html"), "", "1949323746fe6a43ef61f9606e7febea");
        // reference/sep.md section 2.7.
        let alice = credential("", "alice", "secret");
        for (algorithm, expected) in [
            ("", "c3fed1aa6418e17870bee3745143aa39"),
            (", algorithm=md5", "c3fed1aa6418e17870bee3745143aa39"),
            (", algorithm=SHA-256", "a15b336a10e76b41b993867d80d33eb4c16c12142aa9c215bc7a2cb89faa52d2"),
        ] {
            let nonce = "nonce=\"84a4cc6f3082121f32b42a2187831a9e\"";
            let challenge = format!("Digest realm=\"example.test\", qop=\"auth\", {nonce}{algorithm}");
            check(&challenge, &alice, ("SUBSCRIBE", "sip:bill@example.com"), "0a4f113b", expected);
        }
    }

    #[test]
    fn an_answer_repeats_what_was_said_and_no_more() {
        let who = credential("r", "a\"b", "p");
        for (challenge, expected) in [
            (
                "Digest realm=\"r\", nonce=\"n\"",
                "Digest username=\"a\\\"b\",realm=\"r\",nonce=\"n\",uri=\"sip:x\",response=\"\"",
            ),
            (
                "digest qop=\"auth-int,auth\",  opaque = \"o\\\\p\",realm=\"r\",nonce=\"n\",algorithm=sha-256",
                "Digest username=\"a\\\"b\",realm=\"r\",nonce=\"n\",uri=\"sip:x\",response=\"\",\
                 algorithm=SHA-256,opaque=\"o\\\\p\",qop=auth,nc=0000002a,cnonce=\"c\"",
            ),
        ] {
            let mut line = Digests::read(challenge).unwrap().answer(&who, "SUBSCRIBE", "sip:x", 42, "c");
            let from = line.find("response=\"").unwrap() + "response=\"".len();
            let len = line[from..].find('"').unwrap();
            line.replace_range(from..from + len, "");
            assert_eq!(line, expected);
        }
    }

    /// A conversation: each response is its status line's number and its challenges.
    struct Conversation {
        authority: Authority,
        rng: Rng,
        request: Message,
        whom: &'static str,
    }

    impl Conversation {
        fn new() -> Conversation {
            let credentials = vec![
                credential("a.test", "alice", "1"),
                credential("*", "anyone", "2"),
                credential("b.test", "bob", "3"),
            ];
            Conversation {
                authority: Authority::new(credentials),
                rng: Rng::new(1),
                request: Message::request("SUBSCRIBE", "sip:bill@192.0.2.9"),
                whom: "sip:bill@example.com",
            }
        }

        /// Whether the request goes again after these challenges.
        fn challenged(&mut self, challenges: &[(&str, &str)]) -> bool {
            let before = self.request.clone();
            let mut response = Message::response(&self.request, 401, "Unauthorized");
            for (name, challenge) in challenges {
                response.fields.push(name, *challenge);
            }
            let goes = self.authority.answer(&mut self.rng, &response, &mut self.request, self.whom);
            assert!(goes || self.request == before, "a request that does not go is left as it was");
            goes
        }

        /// Of each answer in the request: the field, the user, the algorithm, the nonce and its count.
        fn sent(&self) -> Vec<String> {
            let lines = FIELDS.iter().flat_map(|(_, name)| {
                self.request.fields.lines(name).map(move |line| {
                    let get = |param_name| param(line, param_name).unwrap_or_default();
                    format!("{name} {} {} {} {}", get("username"), get("algorithm"), get("nonce"), get("nc"))
                })
            });
            lines.collect()
        }
    }

    const WWW: &str = "WWW-Authenticate";
    const PROXY: &str = "Proxy-Authenticate";

    #[test]
    fn s16_the_topmost_challenge_of_each_realm_is_answered() {
        let mut talk = Conversation::new();
        assert!(talk.challenged(&[
            (WWW, "Basic realm=\"a.test\""),
            (WWW, "Digest realm=\"a.test\",nonce=\"1\",algorithm=SHA-512,qop=\"auth\""),
            (WWW, "Digest realm=\"a.test\",nonce=\"2\",algorithm=MD5,qop=\"auth-int\""),
            (WWW, "Digest realm=\"a.test\",nonce=\"3\",algorithm=SHA-256,qop=\"auth\""),
            (WWW, "Digest realm=\"a.test\",nonce=\"4\",algorithm=MD5,qop=\"auth\""),
            (WWW, "Digest realm=\"b.test\",nonce=\"5\""),
            (PROXY, "Digest realm=\"proxy.test\",nonce=\"6\",algorithm=SHA-512-256,qop=\"auth\""),
        ]));
        assert_eq!(
            talk.sent(),
            [
                "Authorization alice SHA-256 3 00000001",
                "Authorization bob  5 ",
                "Proxy-Authorization anyone SHA-512-256 6 00000001"
            ]
        );
    }

    #[test]
    fn s16_refused_credentials_are_not_sent_again() {
        let mut talk = Conversation::new();
        assert!(talk.challenged(&[(WWW, "Digest realm=\"a.test\",nonce=\"1\",qop=\"auth\"")]));
        assert!(!talk.challenged(&[(WWW, "Digest realm=\"a.test\",nonce=\"1\",qop=\"auth\"")]));
        assert!(!talk.challenged(&[(WWW, "Digest realm=\"a.test\",nonce=\"2\",qop=\"auth\"")]));
        assert!(!talk.challenged(&[(WWW, "Digest realm=\"a.test\",nonce=\"1\",qop=\"auth\",stale=true")]));
        assert!(!talk.challenged(&[]) && !talk.challenged(&[(WWW, "Basic realm=\"a.test\"")]));
        // Without a credential for all there is nothing to send.
        let mut talk = Conversation::new();
        talk.authority.credentials.remove(1);
        assert!(!talk.challenged(&[(WWW, "Digest realm=\"other.test\",nonce=\"1\"")]));
    }

    #[test]
    fn a_credential_is_for_its_hosts_alone() {
        let of = |realm: &str, user: &str, hosts: &[&str]| {
            let hosts = hosts.iter().map(|hosts| hosts.parse().unwrap()).collect();
            Credential { hosts, ..credential(realm, user, "1") }
        };
        let credentials = [
            of("asterisk", "alice", &["example.com", "192.0.2.0/24"]),
            of("asterisk", "bob", &["*.example.com"]),
            of("*", "carol", &["example.com", "example.net"]),
        ];
        for (realm, whom, user) in [
            ("asterisk", "sip:x@example.com", "alice"),
            ("asterisk", "sip:x@192.0.2.7:5070;transport=tcp", "alice"),
            ("asterisk", "sip:x@pbx.example.com", "bob"),
            ("asterisk", "sip:x@example.net", "carol"),
            ("other", "sip:x@example.com", "carol"),
            ("other", "sip:x@pbx.example.com", ""),
            ("asterisk", "sip:x@example.org", ""),
            ("asterisk", "sip:x@example.com;maddr=198.51.100.1", ""),
            ("asterisk", "sip:x@example.com;maddr=192.0.2.8", "alice"),
            ("asterisk", "tel:1", ""),
        ] {
            let mut talk = Conversation { whom, ..Conversation::new() };
            talk.authority = Authority::new(credentials.to_vec());
            let goes = talk.challenged(&[(WWW, &format!("Digest realm=\"{realm}\",nonce=\"1\""))]);
            assert_eq!(goes, !user.is_empty(), "{realm} {whom}");
            let line = talk.request.fields.get("Authorization").unwrap_or_default();
            assert_eq!(line.split_once(' ').and_then(|_| param(line, "username")).unwrap_or_default(), user);
        }
    }

    #[test]
    fn s16_a_stale_nonce_is_replaced_once() {
        let mut talk = Conversation::new();
        let challenge = |nonce: u8, stale: bool| {
            format!("Digest realm=\"a.test\",nonce=\"{nonce}\",qop=\"auth\",stale={stale}")
        };
        assert!(talk.challenged(&[(WWW, &challenge(1, false))]));
        assert!(talk.challenged(&[(WWW, &challenge(2, true))]));
        assert_eq!(talk.sent(), ["Authorization alice  2 00000001"]);
        assert!(!talk.challenged(&[(WWW, &challenge(3, true))]));
        // The next request begins anew, with the same nonce too.
        talk.request.fields.remove("Authorization");
        assert!(talk.challenged(&[(WWW, &challenge(2, false))]));
        assert_eq!(talk.sent(), ["Authorization alice  2 00000002"]);
        assert!(talk.challenged(&[(WWW, &challenge(3, true))]));
    }

    #[test]
    fn s16_what_a_proxy_accepted_is_sent_again_counted_on() {
        let mut talk = Conversation::new();
        let proxy = "Digest realm=\"a.test\",nonce=\"1\",opaque=\"o\",qop=\"auth\"";
        assert!(talk.challenged(&[(PROXY, proxy)]));
        assert!(talk.challenged(&[(WWW, "Digest realm=\"b.test\",nonce=\"2\",qop=\"auth\"")]));
        assert_eq!(talk.sent(), ["Authorization bob  2 00000001", "Proxy-Authorization alice  1 00000002"]);
        let again = talk.request.fields.get("Proxy-Authorization").unwrap().to_owned();
        assert_eq!(param(&again, "opaque").as_deref(), Some("o"));
        // The same realm behind the proxy is another server's.
        let mut talk = Conversation::new();
        assert!(talk.challenged(&[(PROXY, proxy)]) && talk.challenged(&[(WWW, proxy)]));
    }

    #[test]
    fn nonces_are_bounded() {
        let mut talk = Conversation::new();
        for nonce in 0..2 * SIP_NONCES {
            talk.request.fields.remove("Authorization");
            assert!(talk.challenged(&[(WWW, &format!("Digest realm=\"a.test\",nonce=\"{nonce}\""))]));
        }
        assert_eq!(talk.authority.nonces.len(), SIP_NONCES);
    }

    #[test]
    fn malformed_challenges_are_passed_over() {
        for line in
            ["", "Digest", "Digest realm", "Digest realm=\"a", "Digest ,,=,", "Digest nonce=\"1\"", "Basic x"]
        {
            assert!(Digests::read(line).is_none(), "{line}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = format!("{:?}", Authority::new(vec![credential("a.test", "alice", "hunter2")]));
        assert!(shown.contains("alice") && !shown.contains("hunter2"), "{shown}");
    }
}

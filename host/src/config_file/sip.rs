//! `[sip]`: sockets, the outbound proxy, credentials. No socket is bound here.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use offhook_core::ground::config::{ListenerTls, Sip, SipCredential, SipListener, SipTransport};
use offhook_core::ground::hosts::Hosts;
use offhook_core::wire::sip::uri::Uri;
use toml::de::DeTable;

use super::reader::{Item, Keys, Reader};
use super::{access, listeners, peer_tls};
use crate::tls;

pub(super) const KEYS: Keys<'_> = Keys {
    known: &[
        "listen",
        "proxy",
        "credentials",
        "targets",
        "requests_per_second",
        "from",
        "host",
        "tls",
        "peer_tls",
    ],
    later: &[],
};
pub(super) const CREDENTIAL_KEYS: Keys<'_> =
    Keys { known: &["realm", "hosts", "user", "password", "password_file"], later: &[] };

const SOCKETS_MAX: usize = 16;
const PER_SECOND: RangeInclusive<u64> = 0..=1_000_000;
const LISTEN: &str =
    "a list such as [\"udp:127.0.0.1:5060\", \"tcp:127.0.0.1:5060\", \"tls:127.0.0.1:5061\"]";
const SOCKET: &str = "udp, tcp or tls, an IP address and a port, such as \"udp:127.0.0.1:5060\"";
const PROXY: &str =
    "a SIP URI of a host, such as \"sip:127.0.0.1:5070\" or \"sip:proxy.example;transport=tcp\"";
const FROM: &str = "a SIP URI with a user, such as \"sip:offhook@example.com\"";
const HOST: &str = "a name or an IP address without a port, such as \"pbx.example.com\" or \"192.0.2.1\"";
const CREDENTIALS: &str =
    "a list of tables such as [{ realm = \"*\", user = \"gateway\", password_file = \"sip.secret\" }]";
const REALM: &str =
    "a realm of 1 to 256 bytes, or \"*\" for those that are not listed; each once, or each time with hosts";
const HOSTS: &str = "a list of names, domains, addresses and networks, such as [\"pbx.example.com\", \"*.example.com\", \"192.0.2.0/24\"]";
const USER: &str = "a user name of 1 to 256 bytes without colons and control characters";
const PASSWORD: &str = "a password of 1 to 1024 bytes without control characters";

/// Reads the table. `sessions`: how many TLS sessions each socket remembers.
pub(super) fn read<'t>(reader: &mut Reader<'t>, table: &'t DeTable<'t>, sessions: u64) -> Sip {
    let items = reader.entries("[sip]", table, KEYS);
    let find = |key: &str| items.iter().find(|item| item.key == key);
    let mut sip = Sip::default();
    let listener = find("tls").and_then(|item| listeners::tls_of(reader, item, sessions));
    sip.host = find("host").and_then(|item| host(reader, item));
    match find("listen") {
        None => {
            if let Some(item) = items.first() {
                let text = format!("listen is missing, and no SIP is spoken without it; allowed: {LISTEN}");
                reader.problem(item, &text);
            }
        }
        Some(item) => {
            let before = reader.problems();
            sip.listen = listen(reader, item, find("tls").is_some(), listener.as_ref());
            if reader.problems() == before {
                judge(reader, &sip, item, find("host").is_some(), find("tls"));
            }
        }
    }
    sip.proxy = find("proxy").and_then(|item| uri(reader, item, PROXY, |uri| uri.user.is_none()));
    sip.from = find("from").and_then(|item| uri(reader, item, FROM, |uri| uri.user.is_some()));
    if let Some(item) = find("credentials") {
        sip.credentials = credentials(reader, item);
    }
    if let Some(item) = find("targets") {
        sip.targets = hosts(reader, item);
    }
    if let Some(per_second) = find("requests_per_second").and_then(|item| reader.integer(item, PER_SECOND)) {
        sip.requests_per_second = u32::try_from(per_second).unwrap_or(u32::MAX);
    }
    if let Some(item) = find("peer_tls") {
        let before = reader.problems();
        sip.tls = peer_tls::read(reader, "[sip] peer_tls", item);
        if reader.problems() == before
            && let Err(text) = sip.tls.check(&tls::base())
        {
            reader.problem(item, &text);
        }
    }
    sip
}

/// `listen`. `has_tls`: there is a `tls`, whose problems have been told; `listener` is what came of it.
fn listen<'t>(
    reader: &mut Reader<'t>,
    item: &Item<'t>,
    has_tls: bool,
    listener: Option<&ListenerTls>,
) -> Vec<SipListener> {
    let mut sockets: Vec<SipListener> = Vec::new();
    let Some(elements) = reader.list(item, LISTEN) else { return sockets };
    if elements.is_empty() {
        reader.wrong(item, LISTEN);
    }
    for element in &elements {
        let Some((transport, address)) = reader.word(element, SOCKET, socket) else { continue };
        let is_other = |other: &SipListener| other.transport == transport && other.address == address;
        if address.port() != 0 && sockets.iter().any(is_other) {
            reader.problem(
                element,
                &format!("found \"{}:{address}\" twice, allowed: each socket once", transport.name()),
            );
        } else if sockets.len() == SOCKETS_MAX {
            reader.problem(element, &format!("too many sockets, allowed: at most {SOCKETS_MAX}"));
        } else if transport == SipTransport::Tls && !has_tls {
            reader.problem(element, "this socket has no certificate; allowed: together with tls = { cert = \"server.pem\", key = \"server.key\" }");
        } else {
            let tls = listener.filter(|_| transport == SipTransport::Tls).cloned();
            sockets.push(SipListener { transport, address, tls: tls.map(ListenerTls::without_alpn) });
        }
    }
    sockets
}

/// Whether the sockets fit to what stands beside them.
fn judge<'t>(reader: &mut Reader<'t>, sip: &Sip, item: &Item<'t>, has_host: bool, tls: Option<&Item<'t>>) {
    let any = sip.listen.iter().find(|socket| socket.address.ip().is_unspecified());
    if let Some(socket) = any.filter(|_| !has_host) {
        let text = format!(
            "peers cannot send to {}, and would be told to; allowed: together with host = \"...\", the name or address by \
             which they reach this machine",
            socket.address.ip()
        );
        reader.problem(item, &text);
    }
    if let Some(item) = tls
        && !sip.listen.iter().any(|socket| socket.transport == SipTransport::Tls)
    {
        let text =
            "listen names no socket with TLS; allowed: together with one, such as \"tls:127.0.0.1:5061\"";
        reader.problem(item, text);
    }
}

fn socket(text: &str) -> Option<(SipTransport, SocketAddr)> {
    let (transport, address) = text.split_once(':')?;
    let transport = [SipTransport::Udp, SipTransport::Tcp, SipTransport::Tls]
        .into_iter()
        .find(|known| known.name() == transport)?;
    Some((transport, address.parse().ok()?))
}

/// A SIP URI as it stands in the file. Header fields in it would go nowhere.
fn uri<'t>(
    reader: &mut Reader<'t>,
    item: &Item<'t>,
    allowed: &str,
    is_good: impl Fn(&Uri) -> bool,
) -> Option<Box<str>> {
    let text = reader.text(item, allowed)?;
    match text.parse::<Uri>() {
        Ok(uri) if uri.headers.is_none() && is_good(&uri) => Some(text.into()),
        Ok(_) => {
            reader.wrong(item, allowed);
            None
        }
        Err(malformed) => {
            reader.problem(item, &format!("{malformed}; allowed: {allowed}"));
            None
        }
    }
}

/// IPv6 in brackets, as `Via` has it, or bare; it comes without.
fn host<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Option<Box<str>> {
    let is_name = |text: &str| {
        let is_label =
            |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        text.len() <= 255 && text.trim_end_matches('.').split('.').all(is_label)
    };
    reader.word(item, HOST, |text| {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        match bare.unwrap_or(text).parse::<IpAddr>() {
            Ok(address) => Some(address.to_string().into_boxed_str()),
            Err(_) => is_name(text).then(|| text.into()),
        }
    })
}

fn credentials<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Vec<SipCredential> {
    let mut credentials: Vec<SipCredential> = Vec::new();
    for (header, table) in access::tables(reader, item, CREDENTIALS) {
        let items = reader.entries(&format!("{}.", header.name), table, CREDENTIAL_KEYS);
        let find = |key: &str| items.iter().find(|item| item.key == key);
        let hosts = find("hosts").map(|item| hosts(reader, item)).unwrap_or_default();
        // Two servers may well have one realm, if it is said which of them each password is for.
        let is_other = |c: &SipCredential, realm: &str| {
            *c.realm != *realm || !c.hosts.is_empty() && find("hosts").is_some()
        };
        let is_new = |realm: &str| is_word(realm) && credentials.iter().all(|c| is_other(c, realm));
        let realm = match find("realm") {
            Some(item) => reader.word(item, REALM, |realm| is_new(realm).then(|| realm.into())),
            None => missing(reader, &header, "realm", REALM),
        };
        let is_user = |user: &str| is_word(user) && !user.contains(':');
        let user = match find("user") {
            Some(item) => reader.word(item, USER, |user| is_user(user).then(|| user.into())),
            None => missing(reader, &header, "user", USER),
        };
        let password = match (find("password"), find("password_file")) {
            (Some(_), Some(item)) => {
                reader.problem(item, "password is set too, allowed: one of the two");
                None
            }
            (Some(item), None) => reader.secret(item, PASSWORD).map(String::into_boxed_str),
            (None, Some(item)) => reader.secret_of_file(item, PASSWORD).map(String::into_boxed_str),
            (None, None) => missing(reader, &header, "password_file", "a file that holds the password"),
        };
        if let (Some(realm), Some(user), Some(password)) = (realm, user, password) {
            credentials.push(SipCredential { realm, hosts, user, password });
        }
    }
    credentials
}

/// Hosts, one at least.
fn hosts<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Vec<Hosts> {
    let before = reader.problems();
    let hosts = reader.list_of(item, HOSTS, Hosts::from_str).unwrap_or_default();
    if hosts.is_empty() && reader.problems() == before {
        reader.wrong(item, HOSTS);
    }
    hosts
}

fn missing<'t>(reader: &mut Reader<'t>, header: &Item<'t>, key: &str, allowed: &str) -> Option<Box<str>> {
    reader.problem(header, &format!("{key} is missing; allowed: {allowed}"));
    None
}

fn is_word(text: &str) -> bool {
    (1..=256).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config_file/testdata/t.toml");

    fn sip(lines: &str) -> Result<Sip, String> {
        parse(FILE, &format!("[sip]\n{lines}")).map(|read| read.config.sip)
    }

    #[test]
    fn every_key_arrives() {
        let sip = sip(r#"
            listen = ["udp:127.0.0.1:5060", "tcp:[::1]:0", "tls:0.0.0.0:5061"]
            proxy = "sip:proxy.example:5070;transport=tcp"
            credentials = [
                { realm = "*", user = "gateway", password_file = "password.txt" },
                { realm = "pbx", hosts = ["a.example", "192.0.2.1"], user = "other", password = "open sesame" },
                { realm = "pbx", hosts = ["b.example"], user = "third", password = "b" },
            ]
            targets = ["*.example", "192.0.2.0/24"]
            requests_per_second = 7
            from = "sips:offhook@example.com"
            host = "[2001:db8:0::1]"
            tls = { cert = "server.pem", key = "server.key" }
            peer_tls = { ca = "ca.pem", only_ca = true }
            "#)
        .unwrap();
        let sockets: Vec<String> = sip.listen.iter().map(ToString::to_string).collect();
        assert_eq!(
            sockets,
            ["sip:127.0.0.1:5060;transport=udp", "sip:[::1]:0;transport=tcp", "sips:0.0.0.0:5061"]
        );
        let alpn = |socket: &SipListener| socket.tls.as_ref().map(|tls| tls.config.alpn_protocols.len());
        assert_eq!(sip.listen.iter().map(alpn).collect::<Vec<_>>(), [None, None, Some(0)]);
        assert_eq!(sip.proxy.as_deref(), Some("sip:proxy.example:5070;transport=tcp"));
        let known: Vec<_> = sip.credentials.iter().map(|c| (&*c.realm, &*c.user, &*c.password)).collect();
        assert_eq!(known[1], ("pbx", "other", "open sesame"));
        assert_eq!((known[0].0, known[0].1), ("*", "gateway"));
        let shown = |hosts: &[Hosts]| hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let hosts: Vec<_> = sip.credentials.iter().map(|c| shown(&c.hosts)).collect();
        assert_eq!(hosts, [&[][..], &["a.example", "192.0.2.1/32"], &["b.example"]]);
        assert_eq!(shown(&sip.targets), ["*.example", "192.0.2.0/24"]);
        assert_eq!((sip.requests_per_second, sip.from.as_deref()), (7, Some("sips:offhook@example.com")));
        assert_eq!(sip.host.as_deref(), Some("2001:db8::1"));
        assert!(sip.tls.only_ca && sip.tls.ca.is_some());
        assert!(!format!("{sip:?}").contains("sesame"));
        assert!(!parse(FILE, "").unwrap().config.sip.is_on());
    }

    #[test]
    fn what_is_wrong_is_named() {
        const LISTENS: &str = "listen = [\"udp:127.0.0.1:5060\"]\n";
        for (lines, problem) in [
            ("proxy = \"sip:a\"", format!("proxy: listen is missing, and no SIP is spoken without it; allowed: {LISTEN}")),
            ("listen = []", format!("listen: found [], allowed: {LISTEN}")),
            ("listen = \"udp:127.0.0.1:5060\"", format!("listen: found \"udp:127.0.0.1:5060\", allowed: {LISTEN}")),
            ("listen = [\"127.0.0.1:5060\"]", format!("listen: found \"127.0.0.1:5060\", allowed: {SOCKET}")),
            ("listen = [\"sctp:127.0.0.1:1\"]", format!("listen: found \"sctp:127.0.0.1:1\", allowed: {SOCKET}")),
            (
                "listen = [\"udp:127.0.0.1:1\", \"udp:127.0.0.1:1\"]",
                "listen: found \"udp:127.0.0.1:1\" twice, allowed: each socket once".to_owned(),
            ),
            (
                "listen = [\"tls:127.0.0.1:1\"]",
                "listen: this socket has no certificate; allowed: together with tls = { cert = \"server.pem\", key = \
                 \"server.key\" }"
                    .to_owned(),
            ),
            (
                "listen = [\"udp:0.0.0.0:5060\"]",
                "listen: peers cannot send to 0.0.0.0, and would be told to; allowed: together with host = \"...\", the name \
                 or address by which they reach this machine"
                    .to_owned(),
            ),
        ] {
            assert_eq!(sip(lines).map(|_| ()).unwrap_err(), format!("{FILE}:2: [sip] {problem}"), "{lines}");
        }
        for (lines, problem) in [
            (
                "tls = { cert = \"server.pem\", key = \"server.key\" }",
                "tls: listen names no socket with TLS; allowed: together with one, such as \"tls:127.0.0.1:5061\""
                    .to_owned(),
            ),
            ("proxy = \"http://a\"", format!("proxy: the URI's scheme is neither sip nor sips; allowed: {PROXY}")),
            ("proxy = \"sip:me@a\"", format!("proxy: found \"sip:me@a\", allowed: {PROXY}")),
            ("from = \"sip:example.com\"", format!("from: found \"sip:example.com\", allowed: {FROM}")),
            ("from = \"sip:a@b?c=d\"", format!("from: found \"sip:a@b?c=d\", allowed: {FROM}")),
            ("host = \"a:5060\"", format!("host: found \"a:5060\", allowed: {HOST}")),
            ("host = \"a..b\"", format!("host: found \"a..b\", allowed: {HOST}")),
            ("requests_per_second = -1", "requests_per_second: found -1, allowed: a whole number from 0 to 1000000".to_owned()),
            ("credentials = [{ user = \"a\", password = \"b\" }]", format!("credentials: realm is missing; allowed: {REALM}")),
            ("credentials = [{ realm = \"*\", user = \"a:b\", password = \"b\" }]", format!("credentials.user: found \"a:b\", allowed: {USER}")),
            (
                "credentials = [{ realm = \"*\", user = \"a\", password = \"\" }]",
                format!("credentials.password: this is a secret and not shown, allowed: {PASSWORD}"),
            ),
            (
                "credentials = [{ realm = \"r\", user = \"a\", password = \"b\" }, { realm = \"r\", user = \"c\", password = \"d\" }]",
                format!("credentials.realm: found \"r\", allowed: {REALM}"),
            ),
            (
                "credentials = [{ realm = \"r\", user = \"a\", password = \"b\" }, { realm = \"r\", hosts = [\"h\"], user = \"c\", password = \"d\" }]",
                format!("credentials.realm: found \"r\", allowed: {REALM}"),
            ),
            ("targets = []", format!("targets: found [], allowed: {HOSTS}")),
            ("targets = [\"sip:a\"]", format!("targets: `sip:a` is no address or network; allowed: {HOSTS}")),
            (
                "credentials = [{ realm = \"r\", hosts = [\"*\"], user = \"a\", password = \"b\" }]",
                format!("credentials.hosts: `*` is no name, domain, address or network; allowed: {HOSTS}"),
            ),
            (
                "credentials = [{ realm = \"*\", user = \"a\", password = \"b\", password_file = \"c\" }]",
                "credentials.password_file: password is set too, allowed: one of the two".to_owned(),
            ),
            ("peer_tls = { ca = \"password.txt\" }", "peer_tls: `ca` holds no certificate in PEM".to_owned()),
            ("proxi = \"sip:a\"", "proxi: unknown key, did you mean \"proxy\"?".to_owned()),
        ] {
            let text = format!("{LISTENS}{lines}");
            assert_eq!(sip(&text).map(|_| ()).unwrap_err(), format!("{FILE}:3: [sip] {problem}"), "{lines}");
        }
    }
}

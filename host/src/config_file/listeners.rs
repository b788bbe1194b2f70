//! `[[listener]]`: addresses, what they serve, TLS and proxies. Certificates and keys are read here from their files, and
//! become what the engines get.

use std::net::SocketAddr;
use std::sync::Arc;

use offhook_core::ground::config::{DIALECTS, Listener, ListenerTls, Protocol};
use offhook_core::wire::tls::server::{Serving, certified, judge_of_clients};
use rustls::sign::CertifiedKey;

use super::reader::{Item, Keys, Reader};
use super::sections::tables;
use super::xms;
use crate::tls;

pub(super) const LISTENER_KEYS: Keys<'_> =
    Keys { known: &["address", "dialects", "allow", "tls", "proxies", "proxy_protocol"], later: &[] };
pub(super) const TLS_KEYS: Keys<'_> =
    Keys { known: &["cert", "key", "certificates", "client_ca", "client_auth", "min_version"], later: &[] };
pub(super) const CERTIFICATE_KEYS: Keys<'_> = Keys { known: &["cert", "key"], later: &[] };

/// Dialects that are planned and this version does not have.
const LATER_DIALECTS: &[&str] = &["isr"];
const LISTENERS_MAX: usize = 64;
const CERTIFICATES_MAX: usize = 1_000;
const ADDRESS: &str = "an IP address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"";
const TLS: &str = "a table such as { cert = \"server.pem\", key = \"server.key\" }";
const CERT: &str = "a file with a certificate in PEM, and those above it behind it";
const KEY: &str = "a file with a private key in PEM";
const CLIENT_CA: &str = "a file with certificates in PEM";
const CLIENT_AUTH: &str = "\"required\" or \"optional\"";
const MIN_VERSION: &str = "\"1.2\" or \"1.3\"";

/// `[[listener]]`, all of them. `sessions`: how many TLS sessions each remembers.
pub(super) fn listeners<'t>(
    reader: &mut Reader<'t>,
    item: &Item<'t>,
    sessions: u64,
) -> Vec<(SocketAddr, Listener)> {
    let mut listeners: Vec<(SocketAddr, Listener)> = Vec::new();
    for (header, table) in tables(reader, item, "[[listener]]") {
        let items = reader.entries("[[listener]]", table, LISTENER_KEYS);
        let find = |key: &str| items.iter().find(|item| item.key == key);
        let listener = Listener {
            protocol: Protocol::Http,
            dialects: find("dialects").and_then(|item| dialects(reader, item)),
            allow: find("allow").and_then(|item| xms::networks(reader, item)),
            tls: find("tls").and_then(|item| tls_of(reader, item, sessions)),
            proxies: find("proxies").and_then(|item| xms::networks(reader, item)).unwrap_or_default(),
            proxy_protocol: find("proxy_protocol").and_then(|item| reader.boolean(item)).unwrap_or_default(),
        };
        if let Some(item) = find("proxy_protocol").filter(|_| listener.proxy_protocol)
            && listener.proxies.is_empty()
        {
            let text = "there are no proxies that could speak it; allowed: together with proxies, such as \
                        proxies = [\"10.0.0.0/8\"]";
            reader.problem(item, text);
        }
        let Some(item) = find("address") else {
            reader.problem(&header, &format!("address is missing; allowed: {ADDRESS}"));
            continue;
        };
        let Some(text) = reader.text(item, ADDRESS) else { continue };
        let Ok(address) = text.parse::<SocketAddr>() else {
            reader.wrong(item, ADDRESS);
            continue;
        };
        if address.port() != 0 && listeners.iter().any(|(other, _)| *other == address) {
            reader.problem(item, &format!("found \"{address}\" twice, allowed: each address once"));
        } else if listeners.len() == LISTENERS_MAX {
            reader.problem(item, &format!("too many listeners, allowed: at most {LISTENERS_MAX}"));
        } else {
            listeners.push((address, listener));
        }
    }
    listeners
}

fn dialects<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Option<Vec<String>> {
    let allowed = format!("a list of at least one of {}", DIALECTS.join(", "));
    let names = reader.list_of(item, &allowed, |name| {
        if DIALECTS.contains(&name) {
            Ok(name.to_owned())
        } else if LATER_DIALECTS.contains(&name) {
            Err(format!("\"{name}\" is not in this version yet"))
        } else {
            Err(String::new())
        }
    });
    if reader.list(item, &allowed).is_some_and(|all| all.is_empty()) {
        reader.wrong(item, &allowed);
    }
    names
}

/// `tls`: the files are read, and must fit together.
pub(super) fn tls_of<'t>(reader: &mut Reader<'t>, item: &Item<'t>, sessions: u64) -> Option<ListenerTls> {
    let table = reader.table(item, TLS)?;
    let before = reader.problems();
    let items = reader.entries(&format!("{}.", item.name), table, TLS_KEYS);
    let find = |key: &str| items.iter().find(|item| item.key == key);
    let mut certificates: Vec<Arc<CertifiedKey>> = Vec::new();
    certificates.extend(certificate(reader, item, &items));
    if let Some(item) = find("certificates") {
        let further = further(reader, item);
        certificates.extend(further);
    }
    let min_version = find("min_version").and_then(|item| one_of(reader, item, &["1.2", "1.3"], MIN_VERSION));
    let client_auth =
        find("client_auth").and_then(|item| one_of(reader, item, &["required", "optional"], CLIENT_AUTH));
    if let (Some(item), None) = (find("client_auth"), find("client_ca")) {
        reader.problem(
            item,
            "there is no client_ca that could have signed a client's certificate; allowed: together with it",
        );
    }
    let clients = find("client_ca").and_then(|item| {
        let ca = reader.file(item, CLIENT_CA)?;
        let judged = judge_of_clients(&ca, client_auth == Some("optional"), &tls::provider());
        judged.map_err(|text| reader.problem(item, &format!("{text}; allowed: {CLIENT_CA}"))).ok()
    });
    if reader.problems() > before {
        return None;
    }
    let serving = Serving {
        certificates,
        clients,
        only_tls13: min_version == Some("1.3"),
        tickets: tls::tickets(),
        sessions: usize::try_from(sessions).unwrap_or(usize::MAX),
    };
    serving.ready(&tls::provider()).map_err(|text| reader.problem(item, &text)).ok()
}

/// `certificates`: those beside the first, for further names.
fn further<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Vec<Arc<CertifiedKey>> {
    let allowed = "a list of at most 1000 tables such as { cert = \"other.pem\", key = \"other.key\" }";
    let elements = reader.list(item, allowed).unwrap_or_default();
    if elements.len() > CERTIFICATES_MAX {
        reader.wrong(item, allowed);
        return Vec::new();
    }
    let mut certificates = Vec::new();
    for element in elements {
        let Some(table) = reader.table(&element, allowed) else { continue };
        let items = reader.entries(&format!("{}.", element.name), table, CERTIFICATE_KEYS);
        certificates.extend(certificate(reader, &element, &items));
    }
    certificates
}

/// `cert` and `key` of a table.
fn certificate<'t>(
    reader: &mut Reader<'t>,
    table: &Item<'t>,
    items: &[Item<'t>],
) -> Option<Arc<CertifiedKey>> {
    let find = |key: &str| items.iter().find(|item| item.key == key);
    let (Some(cert), Some(key)) = (find("cert"), find("key")) else {
        let missing = if find("cert").is_none() { "cert" } else { "key" };
        reader.problem(table, &format!("{missing} is missing; allowed: {TLS}"));
        return None;
    };
    let (chain, secret) = (reader.file(cert, CERT), reader.file(key, KEY));
    match certified(&chain?, &secret?, &tls::provider()) {
        Ok(certified) => Some(certified),
        Err(("cert", text)) => {
            reader.problem(cert, &format!("{text}; allowed: {CERT}"));
            None
        }
        Err((_, text)) => {
            reader.problem(key, &format!("{text}; allowed: {KEY}"));
            None
        }
    }
}

fn one_of<'t>(
    reader: &mut Reader<'t>,
    item: &Item<'t>,
    choices: &[&'static str],
    allowed: &str,
) -> Option<&'static str> {
    let text = reader.text(item, allowed)?;
    let found = choices.iter().find(|choice| **choice == text).copied();
    if found.is_none() {
        reader.wrong(item, allowed);
    }
    found
}

//! `[sep]`.

use offhook_core::ground::config::{Sep, Sip};
use toml::de::DeTable;

use super::reader::{Item, Keys, Reader};
use super::{access, xms};

pub(super) const KEYS: Keys<'_> = Keys { known: &["domain", "users", "allow", "public_url"], later: &[] };

const DOMAIN: &str = "a host name or an address, such as \"example.com\"";

/// Reads the table; what it does not say stays at its default.
pub(super) fn read<'t>(reader: &mut Reader<'t>, table: &'t DeTable<'t>) -> Sep {
    let mut sep = Sep::default();
    for item in reader.entries("[sep]", table, KEYS) {
        match item.key {
            "domain" => sep.domain = domain(reader, &item).unwrap_or_default(),
            "users" => sep.users = access::users(reader, &item).into(),
            "allow" => sep.allow = xms::networks(reader, &item),
            _ => sep.public_url = xms::url(reader, &item),
        }
    }
    sep
}

fn domain<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Option<String> {
    let text = reader.text(item, DOMAIN)?;
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    if xms::is_host_and_port(text) && !has_port {
        return Some(text.to_owned());
    }
    reader.wrong(item, DOMAIN);
    None
}

/// SEP is served as soon as SIP is spoken; its domain is where that is, if no other is named.
pub(super) fn settle(sep: &mut Sep, sip: &Sip) {
    sep.served = sip.is_on();
    if sep.domain.is_empty() {
        sep.domain = match (&sip.host, sip.listen.first().map(|listener| listener.address)) {
            (Some(host), _) => host.to_string(),
            (None, Some(address)) if address.is_ipv6() => format!("[{}]", address.ip()),
            (None, Some(address)) => address.ip().to_string(),
            (None, None) => "localhost".to_owned(),
        };
    }
}

//! `[xms]` and `[xms.app.NAME]`.

use std::str::FromStr as _;

use offhook_core::event::vocabulary::XMS_WORDS;
use offhook_core::ground::config::{Xms, XmsApp};
use offhook_core::ground::network::Network;
use toml::de::DeTable;

use super::access;
use super::reader::{Item, Keys, Reader};

pub(super) const KEYS: Keys<'_> = Keys {
    known: &["prefix", "public_url", "keepalive", "replay", "idle", "allow", "apps", "extra_types", "app"],
    later: &[],
};
pub(super) const REPLAY_KEYS: Keys<'_> = Keys { known: &["events", "age"], later: &[] };
pub(super) const APP_KEYS: Keys<'_> =
    Keys { known: &["allow", "users", "deliver_types", "one_write_per_event"], later: &[] };

const NAME_BYTES_MAX: usize = 256;
const WORD_BYTES_MAX: usize = 64;
const SECOND: u64 = 1_000;
const YEAR: u64 = 365 * 24 * 3_600 * SECOND;

const NETWORKS: &str = "addresses and networks, such as [\"127.0.0.0/8\", \"::1/128\"]";
const APP_NAMES: &str = "a list of application names, each once, 1 to 256 bytes without control characters";
const WORDS: &str = "event words of XMS, such as [\"incoming\", \"hangup\"]";
const EXTRA_WORDS: &str = "a list of words of a-z, 0-9 and _, at most 64 characters, none of them \"any\"";
const APP: &str = "a table [xms.app.NAME]";

/// Reads the table; `None` keeps the defaults.
pub(super) fn read<'t>(reader: &mut Reader<'t>, table: &'t DeTable<'t>) -> Xms {
    let mut xms = Xms::default();
    let items = reader.entries("[xms]", table, KEYS);
    let item = |key: &str| items.iter().find(|item| item.key == key);
    if let Some(prefix) = item("prefix").and_then(|item| path(reader, item)) {
        xms.prefix = prefix;
    }
    xms.public_url = item("public_url").and_then(|item| url(reader, item));
    if let Some(ms) = item("keepalive").and_then(|i| reader.duration(i, SECOND..=600 * SECOND, false, "10s"))
    {
        xms.keepalive_ms = ms;
    }
    if let Some(ms) = item("idle").and_then(|i| reader.duration(i, 0..=10 * YEAR, false, "24h")) {
        xms.idle_ms = ms;
    }
    if let Some(item) = item("replay") {
        replay(reader, item, &mut xms);
    }
    if let Some(words) = item("extra_types").and_then(|i| reader.list_of(i, EXTRA_WORDS, extra_word)) {
        xms.extra_types = words;
    }
    let allow = item("allow").and_then(|item| networks(reader, item));
    apps(reader, item("apps"), item("app"), &mut xms);
    for app in &mut xms.apps {
        app.allow = app.allow.take().or_else(|| allow.clone());
    }
    xms
}

/// A list of networks.
pub(super) fn networks<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Option<Vec<Network>> {
    reader.list_of(item, NETWORKS, Network::from_str)
}

fn path<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Option<String> {
    let allowed = "a path such as \"/default\": it begins with /, does not end with one, is not /v1, and holds \
                   letters, digits and -._~/ alone";
    let text = reader.text(item, allowed)?;
    let segment =
        |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
    let ours = ["/v1", "/healthz", "/readyz", "/metrics"];
    let ours = ours.iter().any(|path| text == *path || text.starts_with(&format!("{path}/")));
    if !ours && text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment)) {
        return Some(text.to_owned());
    }
    reader.wrong(item, allowed);
    None
}

pub(super) fn url<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Option<String> {
    let allowed =
        "http:// or https:// with a host and, if need be, a port, such as \"https://events.example.com\"";
    let text = reader.text(item, allowed)?;
    let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    if host.is_some_and(is_host_and_port) {
        return Some(text.to_owned());
    }
    reader.wrong(item, allowed);
    None
}

/// Whether `text` has the form of a host with or without a port; no path, no user, no query.
pub(super) fn is_host_and_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    };
    let v6 = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host_is_sound = match v6 {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)),
    };
    host_is_sound && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn replay<'t>(reader: &mut Reader<'t>, item: &Item<'t>, xms: &mut Xms) {
    let Some(table) = reader.table(item, "a table such as { events = 1000, age = \"5m\" }") else { return };
    for item in reader.entries("[xms] replay.", table, REPLAY_KEYS) {
        match item.key {
            "events" => {
                xms.replay_events = reader.integer(&item, 1..=10_000_000).unwrap_or(xms.replay_events)
            }
            _ => xms.replay_ms = reader.duration(&item, SECOND..=YEAR, false, "5m").unwrap_or(xms.replay_ms),
        }
    }
}

/// The list and the tables together: a table makes its application exist as well. Without any there is the default one.
fn apps<'t>(reader: &mut Reader<'t>, list: Option<&Item<'t>>, tables: Option<&Item<'t>>, xms: &mut Xms) {
    let mut apps: Vec<XmsApp> = Vec::new();
    if let Some(list) = list {
        let mut seen: Vec<String> = Vec::new();
        let names = reader.list_of(list, APP_NAMES, |name| {
            if !is_app_name(name) {
                return Err(String::new());
            }
            if seen.iter().any(|other| other == name) {
                return Err(format!("found \"{name}\" twice"));
            }
            seen.push(name.to_owned());
            Ok(XmsApp { name: name.to_owned(), ..XmsApp::default() })
        });
        apps.extend(names.unwrap_or_default());
    }
    if let Some(table) = tables.and_then(|item| reader.table(item, APP)) {
        for item in reader.named_entries("[xms.app.", table) {
            let section = format!("[xms.app.{}]", item.key);
            let item = item.called(&section);
            if !is_app_name(item.key) {
                reader.wrong(&item, "a name of 1 to 256 bytes without control characters");
                continue;
            }
            let Some(settings) = reader.table(&item, APP) else { continue };
            let at = apps.iter().position(|app| app.name == item.key).unwrap_or_else(|| {
                apps.push(XmsApp { name: item.key.to_owned(), ..XmsApp::default() });
                apps.len() - 1
            });
            app(reader, &section, settings, &xms.extra_types, &mut apps[at]);
        }
    }
    if !apps.is_empty() {
        xms.apps = apps;
    }
}

fn app<'t>(
    reader: &mut Reader<'t>,
    section: &str,
    table: &'t DeTable<'t>,
    extra_types: &[String],
    app: &mut XmsApp,
) {
    for item in reader.entries(section, table, APP_KEYS) {
        match item.key {
            "allow" => app.allow = networks(reader, &item),
            "users" => app.users = access::users(reader, &item).into(),
            "deliver_types" => {
                app.deliver_types = reader.list_of(&item, WORDS, |word| known_word(word, extra_types));
            }
            _ => app.one_write_per_event = reader.boolean(&item).unwrap_or_default(),
        }
    }
}

/// A word of the vocabulary or of `extra_types`, or the sentence that says that it is none.
pub(super) fn known_word(word: &str, extra_types: &[String]) -> Result<String, String> {
    if XMS_WORDS.contains(&word) || extra_types.iter().any(|extra| extra == word) {
        return Ok(word.to_owned());
    }
    let near = super::reader::nearest(word, XMS_WORDS);
    let near = near.map(|near| format!(", did you mean \"{near}\"?")).unwrap_or_default();
    Err(format!("\"{word}\" is no event word of XMS and not in extra_types{near}"))
}

fn extra_word(word: &str) -> Result<String, String> {
    let sound = word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if sound && !word.is_empty() && word.len() <= WORD_BYTES_MAX && word != "any" {
        Ok(word.to_owned())
    } else {
        Err(String::new())
    }
}

fn is_app_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)
}

//! The config file: TOML in, an engine's configuration out, or every problem with its line. The file itself is opened by
//! `settings`, which knows the flags as well; certificates and secrets in files of their own are read here.
//!
//! A section is a function that walks its table (`reader`) and fills the core's own type. What the file does not say
//! stays at the core's default, so no default is written down twice.

mod access;
mod destinations;
mod isymphony;
mod limits;
mod listeners;
#[cfg(test)]
mod listeners_tests;
mod outbox;
mod peer_tls;
mod reader;
mod sections;
mod sep;
mod sip;
mod source;
#[cfg(test)]
mod tests;
mod wcs;
#[cfg(test)]
mod wcs_tests;
mod xms;

use std::net::SocketAddr;
use std::path::PathBuf;

use offhook_core::Config;
use offhook_core::ground::config::Listener;
use toml::de::DeTable;

use self::reader::{Item, Keys, Reader};

const KEYS: Keys<'_> = Keys {
    known: &[
        "data",
        "listener",
        "log",
        "auth",
        "audit",
        "native",
        "xms",
        "isymphony",
        "wcs",
        "sep",
        "sip",
        "metrics",
        "limits",
        "vocabulary",
        "webhook",
        "isr",
        "outbox",
        "source",
    ],
    later: &["tls", "users"],
};

/// What a file says.
#[derive(Clone, Debug, Default)]
pub struct ConfigFile {
    /// `data`.
    pub data: Option<String>,
    /// `[[listener]]`.
    pub listeners: Vec<(SocketAddr, Listener)>,
    /// `[audit] file`.
    pub audit: Option<PathBuf>,
    /// All else; its list of listeners is empty.
    pub config: Config,
}

/// Reads `text`; `file` is its name in problems, which come a line each: `offhook.toml:12: [xms] keepalive: …`. What the
/// text names by a relative path lies beside `file`.
///
/// # Errors
/// All problems.
pub fn parse(file: &str, text: &str) -> Result<ConfigFile, String> {
    let mut reader = Reader::new(file, text);
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let span = error.span().unwrap_or_default();
            let mut message = error.message().replace('\n', "; ");
            if let Some(key) = text.get(span.clone()).filter(|_| message == "duplicate key") {
                message += &format!(": `{key}`");
            }
            reader.problem_at(span.start, format!("not valid TOML: {message}"));
            return Err(reader.finish().unwrap_or_default());
        }
    };
    let mut read = ConfigFile::default();
    top_level(&mut reader, document.get_ref(), &mut read);
    match reader.finish() {
        None => Ok(read),
        Some(problems) => Err(problems),
    }
}

fn top_level<'t>(reader: &mut Reader<'t>, table: &'t DeTable<'t>, read: &mut ConfigFile) {
    let items = reader.entries("", table, KEYS);
    let find = |key: &str| items.iter().find(|item| item.key == key);
    let section = |reader: &mut Reader<'t>, key: &str| {
        let item = find(key)?;
        reader.table(item, &format!("a table under [{key}]"))
    };
    read.data = find("data").and_then(|item| data(reader, item));
    if let Some(table) = section(reader, "log") {
        read.config.log = sections::log(reader, table);
    }
    if let Some(table) = section(reader, "auth") {
        read.config.auth = access::auth(reader, table);
    }
    read.audit = section(reader, "audit").and_then(|table| access::audit(reader, table));
    if let Some(table) = section(reader, "native") {
        read.config.native = sections::native(reader, table);
    }
    if let Some(table) = section(reader, "xms") {
        read.config.xms = xms::read(reader, table);
    }
    if let Some(table) = section(reader, "isymphony") {
        read.config.isymphony = isymphony::read(reader, table);
    }
    if let Some(table) = section(reader, "wcs") {
        read.config.wcs = wcs::read(reader, table);
    }
    if let Some(table) = section(reader, "metrics") {
        read.config.metrics_allow = sections::metrics(reader, table);
    }
    if let Some(table) = section(reader, "limits") {
        limits::read(reader, table, &mut read.config.limits);
    }
    if let Some(table) = section(reader, "sip") {
        read.config.sip = sip::read(reader, table, read.config.limits.tls_sessions);
    }
    if let Some(table) = section(reader, "sep") {
        read.config.sep = sep::read(reader, table);
    }
    if let Some(item) = find("source") {
        read.config.sources = source::sources(reader, item, read.config.limits.sources);
    }
    sep::settle(&mut read.config.sep, &read.config.sip);
    if let Some(item) = find("listener") {
        read.listeners = listeners::listeners(reader, item, read.config.limits.tls_sessions);
    }
    if let Some(item) = find("vocabulary") {
        read.config.vocabulary = sections::vocabulary(reader, item, &read.config.xms.extra_types);
    }
    if let Some(table) = section(reader, "outbox") {
        read.config.outbox = outbox::read(reader, table);
    }
    // Destinations are checked with what stands above: words, limits and added parameters.
    if let Some(table) = section(reader, "isr") {
        destinations::isr(reader, table, &mut read.config);
    }
    if let Some(item) = find("webhook") {
        destinations::webhooks(reader, item, &mut read.config);
    }
}

fn data<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Option<String> {
    let allowed = "a folder, or \"none\" to keep nothing";
    let text = reader.text(item, allowed)?;
    if text.is_empty() {
        reader.wrong(item, allowed);
    }
    Some(text.to_owned())
}

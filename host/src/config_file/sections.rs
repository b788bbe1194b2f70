//! The sections that are a few lines each: `[log]`, `[native]`, `[metrics]`, `[[vocabulary]]`.

use offhook_core::ground::config::{Log, Native, VocabularyRow};
use offhook_core::ground::network::Network;
use toml::de::DeTable;

use super::limits::bounds;
use super::reader::{Item, Keys, Reader};
use super::xms;

pub(super) const LOG_KEYS: Keys<'_> = Keys { known: &["retain"], later: &[] };
pub(super) const RETAIN_KEYS: Keys<'_> = Keys { known: &["age", "bytes"], later: &[] };
pub(super) const NATIVE_KEYS: Keys<'_> =
    Keys { known: &["allowed_origins", "query_token", "source"], later: &[] };
pub(super) const METRICS_KEYS: Keys<'_> = Keys { known: &["allow"], later: &[] };
pub(super) const VOCABULARY_KEYS: Keys<'_> =
    Keys { known: &["type", "xms", "isymphony", "wcs", "isr"], later: &[] };

const ORIGIN: &str = "origins as browsers send them, in lower case and without a path, such as \
                      [\"https://crm.example.com\"]";

/// The tables of `section`, such as `[[listener]]`, each with its place.
pub(super) fn tables<'t>(
    reader: &mut Reader<'t>,
    item: &Item<'t>,
    section: &str,
) -> Vec<(Item<'t>, &'t DeTable<'t>)> {
    let allowed = format!("tables under {section}");
    let elements = reader.list(&item.clone().called(section), &allowed).unwrap_or_default();
    let table = |element: Item<'t>| reader.table(&element, &allowed).map(|table| (element, table));
    elements.into_iter().filter_map(table).collect()
}

/// `[log]`.
pub(super) fn log<'t>(reader: &mut Reader<'t>, table: &'t DeTable<'t>) -> Log {
    let mut log = Log::default();
    for item in reader.entries("[log]", table, LOG_KEYS) {
        let example = "a table such as { age = \"24h\", bytes = \"1GiB\" }";
        let Some(retain) = reader.table(&item, example) else { continue };
        for item in reader.entries("[log] retain.", retain, RETAIN_KEYS) {
            match item.key {
                "age" => {
                    let ms = reader.duration(&item, bounds("retained_ms"), false, "24h");
                    log.retain_ms = ms.unwrap_or(log.retain_ms);
                }
                _ => {
                    let bytes = reader.size(&item, bounds("retained_bytes"), "1GiB");
                    log.retain_bytes = bytes.unwrap_or(log.retain_bytes);
                }
            }
        }
    }
    log
}

/// `[native]`.
pub(super) fn native<'t>(reader: &mut Reader<'t>, table: &'t DeTable<'t>) -> Native {
    let mut native = Native::default();
    for item in reader.entries("[native]", table, NATIVE_KEYS) {
        match item.key {
            "allowed_origins" => native.allowed_origins = origins(reader, &item),
            "query_token" => native.query_token = reader.boolean(&item).unwrap_or_default(),
            _ => {
                let allowed = "a URI or a name, 1 to 256 visible ASCII characters, such as \"pbx-1\"";
                let text = reader.text(&item, allowed).unwrap_or("-");
                if text.is_empty() || text.len() > 256 || !text.bytes().all(|b| b.is_ascii_graphic()) {
                    reader.wrong(&item, allowed);
                }
                text.clone_into(&mut native.source);
            }
        }
    }
    native
}

/// Origins of pages, as browsers send them.
pub(super) fn origins<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Vec<String> {
    let origins = reader.list_of(item, ORIGIN, |origin| match is_origin(origin) {
        true => Ok(origin.to_owned()),
        false => Err(String::new()),
    });
    origins.unwrap_or_default()
}

/// The serialization of an origin (RFC 6454 section 6.2) with a host.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let scheme_is_sound = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
    scheme_is_sound && xms::is_host_and_port(host) && !host.bytes().any(|b| b.is_ascii_uppercase())
}

/// `[metrics]`.
pub(super) fn metrics<'t>(reader: &mut Reader<'t>, table: &'t DeTable<'t>) -> Vec<Network> {
    let items = reader.entries("[metrics]", table, METRICS_KEYS);
    items.iter().filter_map(|item| xms::networks(reader, item)).flatten().collect()
}

/// `[[vocabulary]]`, all rows.
pub(super) fn vocabulary<'t>(
    reader: &mut Reader<'t>,
    item: &Item<'t>,
    extra_types: &[String],
) -> Vec<VocabularyRow> {
    let type_allowed = "an event type, such as \"call.parked\": 1 to 256 visible ASCII characters";
    let word_allowed = "a word of that dialect, 1 to 256 visible ASCII characters";
    let is_word = |text: &str| {
        (1..=256).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"&<>".contains(&b))
    };
    let mut rows: Vec<VocabularyRow> = Vec::new();
    for (header, table) in tables(reader, item, "[[vocabulary]]") {
        let mut row = VocabularyRow::default();
        let mut type_item = None;
        for item in reader.entries("[[vocabulary]]", table, VOCABULARY_KEYS) {
            let allowed = if item.key == "type" { type_allowed } else { word_allowed };
            let Some(text) = reader.text(&item, allowed) else { continue };
            if !is_word(text) {
                reader.wrong(&item, allowed);
            }
            match item.key {
                "type" => text.clone_into(&mut row.event_type),
                "xms" => row.xms = xms_word(reader, &item, text, extra_types),
                "isymphony" => row.isymphony = Some(text.to_owned()),
                "wcs" => row.wcs = Some(text.to_owned()),
                _ => row.isr = Some(text.to_owned()),
            }
            if item.key == "type" {
                type_item = Some(item);
            }
        }
        match type_item {
            None => reader.problem(&header, &format!("type is missing; allowed: {type_allowed}")),
            Some(item) if rows.iter().any(|other| other.event_type == row.event_type) => {
                reader
                    .problem(&item, &format!("found \"{}\" twice, allowed: one row a type", row.event_type));
            }
            Some(_) => rows.push(row),
        }
    }
    rows
}

fn xms_word<'t>(
    reader: &mut Reader<'t>,
    item: &Item<'t>,
    word: &str,
    extra_types: &[String],
) -> Option<String> {
    if word == "keepalive" {
        reader.problem(
            item,
            "\"keepalive\" is the stream's own; allowed: another word of XMS, or of [xms] extra_types",
        );
        return None;
    }
    match xms::known_word(word, extra_types) {
        Ok(word) => Some(word),
        Err(text) => {
            reader.problem(item, &format!("{text}; allowed: a word of XMS, or of [xms] extra_types"));
            None
        }
    }
}

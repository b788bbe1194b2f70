//! `[[webhook]]` and `[isr]`: tables become the specifications that an API would bring, and the core says what is wrong
//! with them. Files that a table names are read here, secrets from the environment too.

use std::path::Path;

use offhook_core::Config;
use offhook_core::dialect::destination::is_name;
use offhook_core::dialect::{isr, settled, webhook};
use offhook_core::ground::config::Brought;
use serde_json::{Map, Value};
use toml::de::DeTable;

use super::reader::{Item, Keys, Reader};
use super::sections::tables;

pub(super) const ISR_KEYS: Keys<'_> = Keys { known: &["parameters", "preset", "destination"], later: &[] };

/// Keys whose value may stand in a file or in the environment.
const SECRETS: [&str; 3] = ["secret", "password", "bearer"];
/// Keys of a `tls` table that name files.
const TLS_FILES: [&str; 3] = ["ca", "client_cert", "client_key"];

const NAME: &str = "1 to 64 letters, digits, `-`, `_` and `.`";
const PATH: &str = "the path of a file, from this file's folder on";
const VARIABLE: &str = "the name of an environment variable";
const PARAMETERS: &str = "a table such as { RSSIP = \"rss_ip\" }";
const FIELD: &str = "the name of a member of `data`";
const PRESET: &str = "a table [isr.preset.NAME]";

/// All keys of a `[[webhook]]`.
pub(super) fn webhook_keys() -> Vec<String> {
    with_sources(&webhook::read::keys())
}

/// All keys of an `[[isr.destination]]`.
pub(super) fn isr_keys() -> Vec<String> {
    with_sources(&isr::read::keys())
}

fn with_sources(keys: &[&str]) -> Vec<String> {
    let secrets = SECRETS.into_iter().filter(|secret| keys.contains(secret));
    let sources = secrets.flat_map(|secret| [format!("{secret}_file"), format!("{secret}_env")]);
    keys.iter().map(|key| (*key).to_owned()).chain(sources).collect()
}

/// `[[webhook]]`, all of them.
pub(super) fn webhooks<'t>(reader: &mut Reader<'t>, item: &Item<'t>, config: &mut Config) {
    for (header, table) in tables(reader, item, "[[webhook]]") {
        destination(reader, "webhook", &header, table, &webhook_keys(), config);
    }
}

/// `[isr]`.
pub(super) fn isr<'t>(reader: &mut Reader<'t>, table: &'t DeTable<'t>, config: &mut Config) {
    let items = reader.entries("[isr]", table, ISR_KEYS);
    let find = |key: &str| items.iter().find(|item| item.key == key);
    if let Some(table) = find("parameters").and_then(|item| reader.table(item, PARAMETERS)) {
        for item in reader.named_entries("[isr.parameters]", table) {
            let Some(field) = reader.text(&item, FIELD) else { continue };
            match isr::read::check_added(item.key, field) {
                Ok(()) => _ = config.isr.parameters.insert(item.key.to_owned(), field.to_owned()),
                Err(text) => reader.problem(&item, &text),
            }
        }
    }
    if let Some(table) = find("preset").and_then(|item| reader.table(item, PRESET)) {
        for item in reader.named_entries("[isr.preset.", table) {
            let section = format!("[isr.preset.{}]", item.key);
            let Some(table) = reader.table(&item.clone().called(&section), PRESET) else { continue };
            let keys = isr_keys();
            let known: Vec<&str> = keys.iter().map(String::as_str).collect();
            reader.entries(&section, table, Keys { known: &known, later: &[] });
            let spec = object(reader, &section, table, "");
            config.isr.presets.insert(item.key.to_owned(), Value::Object(spec).to_string());
        }
    }
    if let Some(item) = find("destination") {
        for (header, table) in tables(reader, item, "[[isr.destination]]") {
            destination(reader, "isr", &header, table, &isr_keys(), config);
        }
    }
}

fn destination<'t>(
    reader: &mut Reader<'t>,
    kind: &'static str,
    header: &Item<'t>,
    table: &'t DeTable<'t>,
    keys: &[String],
    config: &mut Config,
) {
    let section = header.name.clone();
    let known: Vec<&str> = keys.iter().map(String::as_str).collect();
    let before = reader.problems();
    let items = reader.entries(&section, table, Keys { known: &known, later: &[] });
    let Some(item) = items.iter().find(|item| item.key == "name") else {
        reader.problem(header, &format!("name is missing; allowed: {NAME}"));
        return;
    };
    let Some(name) = reader.text(item, NAME) else { return };
    if !is_name(name) {
        reader.wrong(item, NAME);
    } else if config.destinations.iter().any(|other| other.name == name) {
        let text =
            format!("found \"{name}\" twice, allowed: each name once, of webhooks and ISR destinations");
        reader.problem(item, &text);
    }
    let mut spec = object(reader, &section, table, "");
    spec.remove("name");
    if reader.problems() > before {
        return;
    }
    match settled(kind, name, &Value::Object(spec).to_string(), config) {
        Ok(spec) => config.destinations.push(Brought { kind, name: name.to_owned(), spec }),
        Err(wrong) => match place(reader, &section, table, &wrong.key) {
            Some(item) => reader.problem(&item, &wrong.detail),
            None if wrong.key.is_empty() => reader.problem(header, &wrong.detail),
            None => {
                reader.problem(&header.clone().called(&format!("{section} {}", wrong.key)), &wrong.detail)
            }
        },
    }
}

/// The item that a key of the specification came from, or the nearest that stands above it.
fn place<'t>(reader: &mut Reader<'t>, section: &str, table: &'t DeTable<'t>, key: &str) -> Option<Item<'t>> {
    for item in reader.named_entries(section, table) {
        if item.key == key || source_of(item.key).is_some_and(|(secret, _)| secret == key) {
            return Some(item);
        }
        let below = key.strip_prefix(item.key).and_then(|rest| rest.strip_prefix('.'));
        if let Some(below) = below
            && let Some(inner) = item.value.as_table()
        {
            return place(reader, &format!("{}.", item.name), inner, below).or(Some(item));
        }
    }
    None
}

/// A table as JSON; `within` is the key that it stands under.
fn object<'t>(
    reader: &mut Reader<'t>,
    section: &str,
    table: &'t DeTable<'t>,
    within: &str,
) -> Map<String, Value> {
    let mut map = Map::new();
    for item in reader.named_entries(section, table) {
        let source = source_of(item.key).filter(|_| within.is_empty());
        let (key, value) = match source {
            Some((secret, Source::File)) => (secret, file(reader, &item).map(|text| lines(&text))),
            Some((secret, Source::Environment)) => (secret, variable(reader, &item).map(|text| lines(&text))),
            None if within == "tls" && TLS_FILES.contains(&item.key) => {
                (item.key, file(reader, &item).map(Value::from))
            }
            None => (item.key, value(reader, &item)),
        };
        if map.contains_key(key) {
            reader.problem(&item, &format!("`{key}` is given twice, allowed: one of the ways to give it"));
        } else if let Some(value) = value {
            map.insert(key.to_owned(), value);
        }
    }
    map
}

fn value<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Option<Value> {
    use toml::de::DeValue;
    let value = match item.value {
        DeValue::String(text) => Some(Value::from(text.as_ref())),
        DeValue::Boolean(boolean) => Some(Value::from(*boolean)),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::from)
        }
        DeValue::Float(number) => {
            let number = number.as_str().replace('_', "").parse().ok();
            number.and_then(serde_json::Number::from_f64).map(Value::Number)
        }
        DeValue::Array(_) => {
            let elements = reader.list(item, "a list")?;
            return elements.iter().map(|element| value(reader, element)).collect::<Option<_>>();
        }
        DeValue::Table(table) => {
            let section = format!("{}.", item.name);
            return Some(Value::Object(object(reader, &section, table, item.key)));
        }
        DeValue::Datetime(_) => None,
    };
    if value.is_none() {
        reader.wrong(item, "a text, a number, true or false, a list or a table");
    }
    value
}

/// Where a secret comes from.
enum Source {
    File,
    Environment,
}

fn source_of(key: &str) -> Option<(&'static str, Source)> {
    let (stem, source) = match key.strip_suffix("_file") {
        Some(stem) => (stem, Source::File),
        None => (key.strip_suffix("_env")?, Source::Environment),
    };
    SECRETS.into_iter().find(|secret| *secret == stem).map(|secret| (secret, source))
}

/// The text without the ends of its lines; two lines are two secrets.
fn lines(text: &str) -> Value {
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    match lines[..] {
        [one] => Value::from(one),
        _ => Value::from(lines),
    }
}

fn file<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Option<String> {
    let path = reader.text(item, PATH)?;
    let path = reader.folder().join(Path::new(path));
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            reader.problem(item, &format!("cannot read {}: {error}", path.display()));
            None
        }
    }
}

fn variable<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Option<String> {
    let name = reader.text(item, VARIABLE)?;
    let text = std::env::var(name).ok().filter(|text| !text.is_empty());
    if text.is_none() {
        reader.problem(item, &format!("the environment variable {name} is not set, or is no text"));
    }
    text
}

#[cfg(test)]
mod tests;

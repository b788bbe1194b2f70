//! A webhook's specification: JSON in, a receiver out, or the key at fault.

use serde_json::Value;

use super::sign::Secret;
use super::{Mode, Webhook};
use crate::dialect::destination::table::{Table, parse, wrong};
use crate::dialect::destination::{Common, KEYS as COMMON};
use crate::event::filter::{Clause, Pattern};
use crate::outbox::receiver::{Policy, Wrong};

/// Keys beside those of every destination.
const OWN_KEYS: &[&str] = &["types", "only", "mode", "batch", "secret"];

/// Events of one request, at most.
const BATCH_MAX: u64 = 1_000;

const TYPES: &str = "event types, such as [\"call.*\", \"recording.ended\"]";
const ONLY: &str = "a table such as { appid = \"app\", \"data.queue\" = [\"a\", \"b\"] }";
const SECRET: &str =
    "\"whsec_\" and 24 to 64 bytes in base64, or a list of the new and the old one while it is replaced";

/// All keys of a webhook.
#[must_use]
pub fn keys() -> Vec<&'static str> {
    COMMON.iter().chain(OWN_KEYS).copied().collect()
}

/// The same specification in its own form: nothing of the config is part of a webhook's meaning.
pub(crate) fn settled(spec: &str) -> Result<String, Wrong> {
    let mut map = parse(spec)?;
    map.retain(|_, value| !value.is_null());
    Ok(Value::Object(map).to_string())
}

pub(crate) fn read(name: &str, spec: &str, policy: Policy, trusted: bool) -> Result<Webhook, Wrong> {
    let map = parse(spec)?;
    let table = Table::new(&map);
    table.know(&keys())?;
    let mut common = Common::read(&table, name, policy, trusted)?;
    let modes = "\"structured\" or \"binary\"";
    let mode = match table.text("mode", modes)? {
        None | Some("structured") => Mode::Structured,
        Some("binary") => Mode::Binary,
        Some(_) => return Err(table.refuse("mode", modes)),
    };
    let batch = table.integer("batch", 1..=BATCH_MAX)?;
    if batch.is_some() && mode == Mode::Binary {
        return Err(wrong(
            "batch",
            "binary mode carries one event a request, allowed: mode = \"structured\"",
        ));
    }
    common.policy.batch_max = batch.map_or(1, |batch| u32::try_from(batch).unwrap_or(1));
    let mode = if batch.is_some() { Mode::Batch } else { mode };
    Ok(Webhook::new(name, filter(&table)?, mode, secrets(&table)?, common))
}

fn filter(table: &Table<'_>) -> Result<Clause, Wrong> {
    let mut clause = Clause::default();
    for pattern in table.texts("types", TYPES)?.unwrap_or_default() {
        add(&mut clause, "types", "type", pattern)?;
    }
    let Some(only) = table.table("only", ONLY)? else { return Ok(clause) };
    for (name, _) in only.entries() {
        let known = matches!(name, "subject" | "source" | "appid");
        if !known && name.strip_prefix("data.").is_none_or(str::is_empty) {
            let detail = "unknown property, allowed: subject, source, appid, data.NAME";
            return Err(wrong(&only.path(name), detail));
        }
        for pattern in only.texts(name, "a value or a list of values")?.unwrap_or_default() {
            add(&mut clause, &only.path(name), name, pattern)?;
        }
    }
    Ok(clause)
}

fn add(clause: &mut Clause, key: &str, name: &str, text: &str) -> Result<(), Wrong> {
    let pattern = Pattern::with_wildcards(text);
    // An event's type never holds a star: `call*` would match nothing, without a word.
    if name == "type" && matches!(&pattern, Pattern::Exact(exact) if exact.is_empty() || exact.contains('*'))
    {
        let detail = format!(
            "found \"{text}\", allowed: an event type, `*` alone, or a trailing `.*`, such as call.*"
        );
        return Err(wrong(key, &detail));
    }
    clause.or(name.to_owned(), pattern);
    Ok(())
}

fn secrets(table: &Table<'_>) -> Result<Vec<Secret>, Wrong> {
    let fault = || wrong("secret", &format!("allowed: {SECRET}"));
    let texts: Vec<&Value> = match table.get("secret") {
        None => return Ok(Vec::new()),
        Some(Value::Array(all)) if (1..=2).contains(&all.len()) => all.iter().collect(),
        Some(one) => vec![one],
    };
    texts.into_iter().map(|text| text.as_str().and_then(Secret::parse).ok_or_else(fault)).collect()
}

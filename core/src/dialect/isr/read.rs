//! A destination's specification: JSON in, a receiver out, or the key at fault.
//!
//! What a destination means must not change when the config does, because a log is replayed under any config. So
//! `settled` writes all that the config gives (added parameters, presets, the vocabulary's words) into the specification
//! before it goes into the log, and `read` looks at the specification alone.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::parameters::{Added, PARAMETERS, allowed};
use super::template::{Bare, Template, is_parameter_name, placeholders};
use super::{Destination, Form, Kind, Scope};
use crate::dialect::destination::table::{Table, parse, wrong};
use crate::dialect::destination::{Common, KEYS as COMMON};
use crate::event::vocabulary::Vocabulary;
use crate::ground::config::Config;
use crate::outbox::receiver::{Policy, Wrong};
use crate::wire::http::url::Url;

/// Keys beside those of every destination.
const OWN_KEYS: &[&str] = &[
    "preset",
    "events",
    "route",
    "account",
    "realm",
    "global",
    "results",
    "parameters",
    "failure_parameters",
    "method",
    "params_in",
    "bare",
    "check_result",
    "delivery_id",
    "added_parameters",
    "event_types",
];

/// Keys that give the scope.
const SCOPES: [&str; 4] = ["route", "account", "realm", "global"];

const EVENT_LIST: &str = "a list of event types, such as [\"RECORDING_ENDED_EVENT\"]";
const TEMPLATE: &str = "a template such as \"ucid=%UCID%\", or a table of one for each event type";
const METHODS: &str = "GET, POST, PUT, PATCH or DELETE";

/// All keys of a destination.
#[must_use]
pub fn keys() -> Vec<&'static str> {
    COMMON.iter().chain(OWN_KEYS).copied().collect()
}

/// Requests at a time, unless the specification says another number.
const CONCURRENCY: u32 = 4;
/// Notifications that wait, unless the specification says another number.
const PENDING: u64 = 100_000;

/// The preset of the stock receiver (isr.md 2.6).
fn face() -> Value {
    json!({
        "events": ["RECORDING_STARTED_EVENT", "RECORDING_ENDED_EVENT"],
        "parameters": {
            "RECORDING_STARTED_EVENT": "event=AudioRecordingStarted&calledAors=%CALLEDAORS%&ucid=%UCID%",
            "RECORDING_ENDED_EVENT": "event=AudioRecordingEnded&calledAors=%CALLEDAORS%&ucid=%UCID%",
        },
        "method": "GET",
        "results": "success",
        "bare": ":@",
        "check_result": true,
        "max_age": "30s",
    })
}

/// The same specification with all that the config gives it. What it has already stays.
pub(crate) fn settled(spec: &str, config: &Config) -> Result<String, Wrong> {
    let mut map = parse(spec)?;
    Table::new(&map).know(&keys())?;
    if let Some(name) = Table::new(&map).text("preset", "the name of a preset, such as \"face\"")? {
        let preset = match config.isr.presets.get(name) {
            Some(text) => Value::Object(parse(text)?),
            None if name == "face" => face(),
            None => {
                let mut names: Vec<&str> = config.isr.presets.keys().map(String::as_str).collect();
                names.push("face");
                return Err(Table::new(&map).refuse("preset", &format!("one of {}", names.join(", "))));
            }
        };
        apply(preset, &mut map);
    }
    map.retain(|key, value| key != "preset" && !value.is_null());
    if !map.contains_key("added_parameters") && !config.isr.parameters.is_empty() {
        map.insert("added_parameters".to_owned(), json!(config.isr.parameters));
    }
    if !map.contains_key("event_types") {
        let events = Table::new(&map).texts("events", EVENT_LIST)?.unwrap_or_default();
        let vocabulary = Vocabulary::new(&config.vocabulary);
        let known: Vec<(&str, &str)> = vocabulary.isr_words().collect();
        if let Some(event) = events.iter().find(|event| !known.iter().any(|(_, word)| word == *event)) {
            let mut words: Vec<&str> = known.iter().map(|(_, word)| *word).collect();
            words.sort_unstable();
            words.dedup();
            let detail = format!("\"{event}\" is no event type of ISR, allowed: {}", words.join(", "));
            return Err(wrong("events", &detail));
        }
        let types = known.iter().filter(|(_, word)| events.contains(word));
        let types: Map<String, Value> = types.map(|(name, word)| ((*name).to_owned(), json!(word))).collect();
        map.insert("event_types".to_owned(), Value::Object(types));
    }
    Ok(Value::Object(map).to_string())
}

/// Gives a destination what its preset has and it has not. Of a preset's templates only those of the destination's own
/// event types matter.
fn apply(preset: Value, map: &mut Map<String, Value>) {
    let Value::Object(preset) = preset else { return };
    for (key, value) in preset {
        if key != "name" && key != "preset" {
            map.entry(key).or_insert(value);
        }
    }
    let events: Vec<Value> = match map.get("events") {
        Some(Value::Array(events)) => events.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    };
    for key in ["parameters", "failure_parameters"] {
        if let Some(Value::Object(templates)) = map.get_mut(key) {
            templates.retain(|event, _| events.iter().any(|one| one.as_str() == Some(event)));
        }
    }
}

/// Reads a settled specification.
pub(crate) fn read(name: &str, spec: &str, policy: Policy, trusted: bool) -> Result<Destination, Wrong> {
    let map = parse(spec)?;
    let table = Table::new(&map);
    table.know(&keys())?;
    let policy = Policy { concurrency: CONCURRENCY, pending_max: Some(PENDING), ..policy };
    let added = added(&table)?;
    base_url(&table, &added)?;
    let common = Common::read(&table, name, policy, trusted)?;
    let events = events(&table)?;
    let kinds = kinds(&table, &events, &added)?;
    let (success, failure) = results(&table, &kinds)?;
    let method = match table.text("method", METHODS)?.unwrap_or("GET") {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => return Err(table.refuse("method", METHODS)),
    };
    let bare_allowed = format!("any of the characters {}", Bare::ALLOWED);
    let bare = table.text("bare", &bare_allowed)?.unwrap_or_default();
    Ok(Destination {
        name: name.into(),
        types: event_types(&table, kinds)?,
        scope: scope(&table)?,
        success,
        failure,
        method,
        form: form(&table, method)?,
        bare: Bare::parse(bare).map_err(|_| table.refuse("bare", &bare_allowed))?,
        check_result: table.boolean("check_result")?.unwrap_or_default(),
        delivery_id: table.boolean("delivery_id")?.unwrap_or(true),
        added,
        common,
    })
}

/// Refuses placeholders in the base URL. Triplets may look like one (`%ABC%2F`): then only a name that exists is one.
fn base_url(table: &Table<'_>, added: &Added) -> Result<(), Wrong> {
    let url = table.text("url", "a URL")?.unwrap_or_default();
    let exists = |name: &str| added.contains_key(name) || PARAMETERS.iter().any(|(other, _)| *other == name);
    let is_url = Url::parse(url).is_ok();
    match placeholders(url).find(|(_, name)| !is_url || exists(name)) {
        Some((at, name)) => {
            let detail =
                format!("at character {at}: %{name}% stands in the base URL, allowed: in `parameters` alone");
            Err(wrong("url", &detail))
        }
        None => Ok(()),
    }
}

fn events<'j>(table: &Table<'j>) -> Result<Vec<&'j str>, Wrong> {
    let events = table.texts("events", EVENT_LIST)?.ok_or_else(|| table.refuse("events", EVENT_LIST))?;
    match events.iter().enumerate().find(|(at, event)| events[..*at].contains(event)) {
        Some((_, event)) => Err(wrong("events", &format!("found \"{event}\" twice, allowed: each once"))),
        None => Ok(events),
    }
}

fn scope(table: &Table<'_>) -> Result<Scope, Wrong> {
    let given: Vec<&str> = SCOPES.into_iter().filter(|key| table.has(key)).collect();
    let one = "exactly one of route = \"…\", account = \"…\", realm = \"…\" and global = true";
    match given[..] {
        ["global"] => match table.boolean("global")? {
            Some(true) => Ok(Scope::Global),
            Some(false) | None => Err(table.refuse("global", one)),
        },
        [key] => {
            let value = table.text(key, "a name, not empty")?.filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| table.refuse(key, "a name, not empty"))?;
            let attribute = SCOPES.into_iter().find(|scope| *scope == key).unwrap_or(SCOPES[0]);
            Ok(Scope::Named(attribute, value.into()))
        }
        [] => Err(wrong("", &format!("the scope is missing, allowed: {one}"))),
        [_, second, ..] => Err(wrong(second, &format!("a second scope, allowed: {one}"))),
    }
}

/// `results`: whether successes go there, and whether failures do.
fn results(table: &Table<'_>, kinds: &BTreeMap<&str, Kind>) -> Result<(bool, bool), Wrong> {
    let tells = |kind: &Kind| kind.failure.is_some() || kind.success.names().any(|name| name == "RESULT");
    let results = (true, kinds.values().any(tells));
    let allowed = "\"success\", \"failure\" or \"both\"";
    match table.text("results", allowed)? {
        None => Ok(results),
        Some("success") if table.has("failure_parameters") => {
            Err(wrong("failure_parameters", "`results` is \"success\": no failure goes there"))
        }
        Some("success") => Ok((true, false)),
        Some("failure") => Ok((false, true)),
        Some("both") => Ok((true, true)),
        Some(_) => Err(table.refuse("results", allowed)),
    }
}

fn form(table: &Table<'_>, method: &str) -> Result<Form, Wrong> {
    let allowed = "\"query\", or \"form\" with POST, PUT or PATCH";
    match table.text("params_in", allowed)? {
        None | Some("query") => Ok(Form::Query),
        Some("form") if matches!(method, "POST" | "PUT" | "PATCH") => Ok(Form::Form),
        Some(_) => Err(table.refuse("params_in", allowed)),
    }
}

fn added(table: &Table<'_>) -> Result<Added, Wrong> {
    let Some(given) = table.table("added_parameters", "a table such as { RSSIP = \"rss_ip\" }")? else {
        return Ok(Added::new());
    };
    let read = |(name, value): (&str, &Value)| {
        let field = value.as_str().ok_or_else(|| given.refuse(name, "the name of a member of `data`"))?;
        check_added(name, field).map_err(|detail| wrong(&given.path(name), &detail))?;
        Ok((name.into(), field.into()))
    };
    given.entries().map(read).collect()
}

/// Checks a line of `[isr.parameters]`.
///
/// # Errors
/// A sentence: what is wrong with it.
pub fn check_added(name: &str, field: &str) -> Result<(), String> {
    if !is_parameter_name(name) {
        let detail = "a parameter's name is three or more of A-Z, 0-9 and _, a letter first";
        return Err(detail.to_owned());
    }
    if PARAMETERS.iter().any(|(other, _)| *other == name) {
        return Err(format!("%{name}% is there already, and has its own meaning"));
    }
    if field.is_empty() { Err("the name of a member of `data` is missing".to_owned()) } else { Ok(()) }
}

/// What is sent for each event type.
fn kinds<'j>(table: &Table<'j>, events: &[&'j str], added: &Added) -> Result<BTreeMap<&'j str, Kind>, Wrong> {
    let success = templates(table, "parameters", events, added)?;
    let failure = templates(table, "failure_parameters", events, added)?;
    let kind = |event: &&'j str| {
        let success = success.get(event).cloned().unwrap_or_default();
        (*event, Kind { word: (*event).into(), success, failure: failure.get(event).cloned() })
    };
    Ok(events.iter().map(kind).collect())
}

fn templates<'j>(
    table: &Table<'j>,
    key: &str,
    events: &[&'j str],
    added: &Added,
) -> Result<BTreeMap<&'j str, Template>, Wrong> {
    match table.get(key) {
        None => Ok(BTreeMap::new()),
        Some(Value::String(text)) => {
            let one = |event: &&'j str| Ok((*event, template(key, text, event, added)?));
            events.iter().map(one).collect()
        }
        Some(Value::Object(_)) => {
            let given = table.table(key, TEMPLATE)?.ok_or_else(|| table.refuse(key, TEMPLATE))?;
            given.know(events)?;
            let one = |event: &&'j str| {
                let text = given.text(event, TEMPLATE)?.ok_or_else(|| given.refuse(event, TEMPLATE))?;
                Ok((*event, template(&given.path(event), text, event, added)?))
            };
            events.iter().map(one).collect()
        }
        Some(_) => Err(table.refuse(key, TEMPLATE)),
    }
}

fn template(key: &str, text: &str, event: &str, added: &Added) -> Result<Template, Wrong> {
    let template = Template::parse(text).map_err(|fault| wrong(key, &fault.to_string()))?;
    let allowed = allowed(event, added);
    if let Some(name) = template.names().find(|name| !allowed.contains(name)) {
        let at = text.find(&format!("%{name}%")).unwrap_or_default() + 1;
        let known = PARAMETERS.iter().any(|(other, _)| *other == name);
        let what = if known { format!("{event} has no %{name}%") } else { format!("%{name}% is unknown") };
        let detail = format!("at character {at}: {what}, allowed for {event}: {}", allowed.join(", "));
        return Err(wrong(key, &detail));
    }
    Ok(template)
}

/// Which of our own types counts as which event, with what is sent for it.
fn event_types(table: &Table<'_>, kinds: BTreeMap<&str, Kind>) -> Result<BTreeMap<Box<str>, Kind>, Wrong> {
    let allowed = "a table such as { \"recording.ended\" = \"RECORDING_ENDED_EVENT\" }";
    let given = table.table("event_types", allowed)?.ok_or_else(|| table.refuse("event_types", allowed))?;
    let one = |(event_type, word): (&str, &Value)| match word.as_str().and_then(|word| kinds.get(word)) {
        Some(kind) => Ok((event_type.into(), kind.clone())),
        None => Err(given.refuse(event_type, "one of `events`")),
    };
    let types: BTreeMap<Box<str>, Kind> = given.entries().map(one).collect::<Result<_, Wrong>>()?;
    match kinds.keys().find(|word| !types.values().any(|kind| *kind.word == ***word)) {
        Some(word) => Err(wrong("event_types", &format!("no type counts as {word}, one of `events`"))),
        None => Ok(types),
    }
}

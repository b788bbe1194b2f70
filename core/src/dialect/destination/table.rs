//! A JSON table whose keys and values are checked one by one, each fault with its key. Values of keys that hold secrets
//! are never quoted.

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use crate::ground::units;
use crate::outbox::receiver::Wrong;

/// Longer values are not quoted.
const QUOTED_MAX: usize = 60;

/// Keys whose values nobody but the receiver may see.
pub(super) const SECRETS: &[&str] = &["secret", "password", "bearer", "client_key", "headers"];

/// A table, and the key that it stands under.
#[derive(Clone, Debug)]
pub(crate) struct Table<'j> {
    key: String,
    map: &'j Map<String, Value>,
}

/// Reads a specification's text.
pub(crate) fn parse(text: &str) -> Result<Map<String, Value>, Wrong> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(wrong("", "a destination is a JSON object")),
        // The error names line and column, and no value.
        Err(error) => Err(wrong("", &format!("malformed JSON: {error}"))),
    }
}

/// A fault of the value under `key`.
pub(crate) fn wrong(key: &str, detail: &str) -> Wrong {
    Wrong { key: key.to_owned(), detail: detail.to_owned() }
}

impl<'j> Table<'j> {
    /// The whole specification.
    pub(crate) fn new(map: &'j Map<String, Value>) -> Table<'j> {
        Table { key: String::new(), map }
    }

    /// A key's full name.
    pub(crate) fn path(&self, key: &str) -> String {
        if self.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.key) }
    }

    /// Names and values, by name.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&'j str, &'j Value)> {
        self.map.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Refuses keys that are not among `keys`.
    pub(crate) fn know(&self, keys: &[&str]) -> Result<(), Wrong> {
        match self.map.keys().find(|key| !keys.contains(&key.as_str())) {
            Some(key) => Err(wrong(&self.path(key), &format!("unknown key, allowed: {}", keys.join(", ")))),
            None => Ok(()),
        }
    }

    /// The value of a key that is there and not null.
    pub(crate) fn get(&self, key: &str) -> Option<&'j Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn text(&self, key: &str, allowed: &str) -> Result<Option<&'j str>, Wrong> {
        self.read(key, allowed, Value::as_str)
    }

    /// A text that nobody but the receiver may see.
    pub(crate) fn secret(&self, key: &str, allowed: &str) -> Result<Option<&'j str>, Wrong> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let text = value.as_str().filter(|text| !text.is_empty());
        text.map(Some).ok_or_else(|| wrong(&self.path(key), &format!("allowed: {allowed}")))
    }

    /// One text, or a list of them; never an empty list.
    pub(crate) fn texts(&self, key: &str, allowed: &str) -> Result<Option<Vec<&'j str>>, Wrong> {
        self.read(key, allowed, |value| match value {
            Value::String(text) => Some(vec![text.as_str()]),
            Value::Array(all) if !all.is_empty() => all.iter().map(Value::as_str).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
        })
    }

    pub(crate) fn boolean(&self, key: &str) -> Result<Option<bool>, Wrong> {
        self.read(key, "true or false", Value::as_bool)
    }

    pub(crate) fn integer(&self, key: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Wrong> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(key, &allowed, |value| value.as_u64().filter(|number| range.contains(number)))
    }

    pub(crate) fn number(&self, key: &str, range: RangeInclusive<f64>) -> Result<Option<f64>, Wrong> {
        let allowed = format!("a number from {} to {}", range.start(), range.end());
        self.read(key, &allowed, |value| value.as_f64().filter(|number| range.contains(number)))
    }

    /// Milliseconds, written with a unit.
    pub(crate) fn duration_ms(&self, key: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Wrong> {
        let (from, to) = (units::write_duration(*range.start()), units::write_duration(*range.end()));
        let allowed = format!("a duration from {from} to {to}, such as \"30s\"");
        let ms = |value: &Value| value.as_str().and_then(units::duration_ms).filter(|ms| range.contains(ms));
        self.read(key, &allowed, ms)
    }

    pub(crate) fn table(&self, key: &str, allowed: &str) -> Result<Option<Table<'j>>, Wrong> {
        let map = self.read(key, allowed, Value::as_object)?;
        Ok(map.map(|map| Table { key: self.path(key), map }))
    }

    /// What was found does not fit what is `allowed`.
    pub(crate) fn refuse(&self, key: &str, allowed: &str) -> Wrong {
        let found = match self.map.get(key) {
            Some(_) if SECRETS.contains(&key) => {
                return wrong(&self.path(key), &format!("allowed: {allowed}"));
            }
            Some(Value::Object(_)) => "a table".to_owned(),
            Some(Value::Array(_)) => "a list".to_owned(),
            Some(value) => Some(value.to_string())
                .filter(|text| text.len() <= QUOTED_MAX)
                .unwrap_or_else(|| "a long value".to_owned()),
            None => return wrong(&self.path(key), &format!("missing, allowed: {allowed}")),
        };
        wrong(&self.path(key), &format!("found {found}, allowed: {allowed}"))
    }

    fn read<T>(
        &self,
        key: &str,
        allowed: &str,
        convert: impl FnOnce(&'j Value) -> Option<T>,
    ) -> Result<Option<T>, Wrong> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => convert(value).map(Some).ok_or_else(|| self.refuse(key, allowed)),
        }
    }
}

//! Filter messages: JSON in, a condition on an event's properties out, or what is wrong with it. No message applies in
//! part.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::broken;
use crate::dialect::json::{Member, members};
use crate::dialect::native::read::fact;
use crate::event::Fact;
use crate::event::filter::{Clause, Pattern, SCOPE_MARK};
use crate::event::projection::isymphony::listed;
use crate::ground::limits::Limits;

/// A filter as it should look.
const EXAMPLE: &str = r#"{"property":"type","value":"dial"}"#;

/// A filter message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filters {
    /// `correlationId` as it was sent; null if there is none.
    pub correlation: Fact,
    /// What the filters let through together: of one property any, of different properties all.
    pub clause: Clause,
    /// The event types that they name.
    pub types: Vec<Box<str>>,
}

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// `correlationId`, as far as the message could be read.
    pub correlation: Fact,
    /// A sentence.
    pub text: String,
}

/// Reads a message. `lenient` takes the form of the vendor's page as well, and its names of the log-in events.
///
/// # Errors
/// What is wrong with it.
pub fn filters(text: &str, lenient: bool, limits: &Limits) -> Result<Filters, Wrong> {
    let alone = |text: String| Wrong { correlation: Fact::Null, text };
    let depth_max = limits.isymphony_depth;
    if depth(text) > depth_max {
        return Err(alone(format!("the message is nested deeper than {depth_max} levels")));
    }
    let mended = match json(text) {
        Ok(()) => None,
        Err(fault) => match broken::mend(text) {
            None => return Err(alone(format!("not JSON: {fault}"))),
            Some(broken) if !lenient => return Err(alone(broken.lesson)),
            Some(broken) => match json(&broken.mended) {
                Ok(()) => Some(broken.mended),
                Err(fault) => return Err(alone(format!("{}; with that mended: {fault}", broken.lesson))),
            },
        },
    };
    let text = mended.as_deref().unwrap_or(text);
    match members(text, u64::MAX) {
        Ok(members) => message(&members, lenient, limits),
        Err(fault) if text.trim_ascii_start().starts_with('{') => Err(alone(format!("not JSON: {fault}"))),
        Err(_) => {
            let example = format!(r#"{{"type":"filter","filters":[{EXAMPLE}]}}"#);
            Err(alone(format!("the message is no object: write {example}")))
        }
    }
}

fn json(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<&RawValue>(text).map(drop)
}

fn member(members: &[Member<'_>], name: &str) -> Result<Option<Fact>, String> {
    let member = members.iter().find(|(n, _)| n == name);
    member.map(|(_, value)| fact(value.get())).transpose().map_err(|fault| format!("{name}: {fault}"))
}

/// A name that stands twice.
fn doubled(members: &[Member<'_>]) -> Option<String> {
    let mut names: Vec<&str> = members.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    let twin = names.windows(2).find(|pair| pair[0] == pair[1])?;
    Some(format!("\"{}\" stands twice", excerpt(twin[0])))
}

/// So much of a peer's text as a sentence bears.
fn excerpt(text: &str) -> String {
    text.chars().take(100).collect()
}

fn message(members: &[Member<'_>], lenient: bool, limits: &Limits) -> Result<Filters, Wrong> {
    let alone = |text: String| Wrong { correlation: Fact::Null, text };
    if members.iter().filter(|(name, _)| name == "correlationId").count() > 1 {
        return Err(alone("\"correlationId\" stands twice".to_owned()));
    }
    let correlation = match member(members, "correlationId").map_err(alone)? {
        Some(Fact::Bool(_) | Fact::Nested(_)) => {
            return Err(alone("correlationId is neither a string nor a number".to_owned()));
        }
        Some(correlation) => correlation,
        None => Fact::Null,
    };
    match conditions(members, lenient, limits) {
        Ok((clause, types)) => Ok(Filters { correlation, clause, types }),
        Err(text) => Err(Wrong { correlation, text }),
    }
}

fn conditions(
    members: &[Member<'_>],
    lenient: bool,
    limits: &Limits,
) -> Result<(Clause, Vec<Box<str>>), String> {
    if let Some(text) = doubled(members) {
        return Err(text);
    }
    match member(members, "type")? {
        Some(Fact::Text(word)) if *word == *"filter" => {}
        Some(Fact::Text(word)) => {
            return Err(format!("type: found \"{}\", allowed: \"filter\"", excerpt(&word)));
        }
        Some(_) => return Err("type is no string, allowed: \"filter\"".to_owned()),
        None => return Err("type is missing, allowed: \"filter\"".to_owned()),
    }
    let Some((_, array)) = members.iter().find(|(name, _)| name == "filters") else {
        return Err(format!("filters is missing: write [{EXAMPLE}]"));
    };
    let elements: Vec<&RawValue> =
        serde_json::from_str(array.get()).map_err(|_| format!("filters is no array: write [{EXAMPLE}]"))?;
    let (found, max) = (elements.len(), limits.isymphony_filters);
    if found as u64 > max {
        return Err(format!("filters: found {found}, allowed: at most {max}"));
    }
    let (mut tests, mut types) = (Vec::with_capacity(found), Vec::new());
    for (index, element) in elements.into_iter().enumerate() {
        let (property, value) = filter(element.get()).map_err(|text| format!("filters[{index}]: {text}"))?;
        let pattern = if *value == *"*" { Pattern::Any } else { Pattern::Exact(value.clone()) };
        if property == "type" && pattern != Pattern::Any {
            match page_type(&value).filter(|_| lenient) {
                Some(meant) => tests.push((property.clone(), Pattern::Exact(meant.into()))),
                None => types.push(value),
            }
        }
        tests.push((property, pattern));
    }
    Ok((tests.into_iter().collect(), types))
}

/// A filter's property and value.
fn filter(text: &str) -> Result<(Cow<'static, str>, Box<str>), String> {
    let members = members(text, u64::MAX).map_err(|_| format!("no object: write {EXAMPLE}"))?;
    if let Some(text) = doubled(&members) {
        return Err(text);
    }
    let property = match member(&members, "property")? {
        Some(Fact::Text(name)) if name.is_empty() => return Err("property is empty".to_owned()),
        // Such names are the scopes' own.
        Some(Fact::Text(name)) if name.starts_with(SCOPE_MARK) => {
            return Err("property begins with U+0000".to_owned());
        }
        Some(Fact::Text(name)) => match listed(&name) {
            Some(listed) => Cow::Borrowed(listed),
            None => Cow::Owned(name.into_string()),
        },
        Some(_) => return Err("property is no string".to_owned()),
        None => return Err(format!("property is missing: write {EXAMPLE}")),
    };
    match member(&members, "value")? {
        Some(Fact::Text(value) | Fact::Number(value)) => Ok((property, value)),
        Some(Fact::Bool(value)) => Ok((property, value.to_string().into())),
        Some(Fact::Null | Fact::Nested(_)) => {
            Err("value is neither a string nor a number nor a boolean".to_owned())
        }
        None => Err(format!("value is missing: write {EXAMPLE}")),
    }
}

/// The event type that the vendor's page means where it says `login` or `logout`.
fn page_type(value: &str) -> Option<&'static str> {
    match value {
        "login" => Some("userLogin"),
        "logout" => Some("userLogout"),
        _ => None,
    }
}

/// How deep arrays and objects stand in each other.
fn depth(text: &str) -> u64 {
    let (mut open, mut deepest, mut in_string, mut escaped) = (0_u64, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => open += 1,
            b'}' | b']' if !in_string => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

#[cfg(test)]
mod tests;

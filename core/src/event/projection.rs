//! Projections: an event's facts under the names that a dialect's clients know.

pub mod isymphony;

pub use isymphony::Isymphony;

use super::event::{Event, Fact};
use super::filter::{Properties, SCOPE_MARK};

/// Attributes of the envelope that a scope may name; all its other names mean members of `data`.
const ENVELOPE: [&str; 10] =
    ["type", "source", "subject", "appid", "appkey", "sessionid", "route", "account", "realm", "outcome"];

/// What a scope's test asks for, if the name is one's: the field with this canonical name.
#[must_use]
pub fn canonical<'a>(event: &'a Event, name: &str) -> Option<Option<&'a str>> {
    let name = name.strip_prefix(SCOPE_MARK)?;
    Some(match name {
        "type" => Some(&event.event_type),
        "source" => Some(&event.source),
        "subject" => event.subject.as_deref(),
        _ if ENVELOPE.contains(&name) => event.extension(name),
        _ => event.facts().iter().find(|(n, _)| **n == *name).and_then(|(_, fact)| fact.as_text()),
    })
}

/// An event as the native API's filters see it: its attributes under their own names, members of `data` as `data.NAME`.
#[derive(Clone, Copy, Debug)]
pub struct Native<'a>(pub &'a Event);

impl Properties for Native<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let event = self.0;
        if let Some(value) = canonical(event, name) {
            return value;
        }
        if let Some(name) = name.strip_prefix("data.") {
            return event.facts().iter().find(|(n, _)| **n == *name).and_then(|(_, fact)| fact.as_text());
        }
        match name {
            "type" => Some(&event.event_type),
            "source" => Some(&event.source),
            "subject" => event.subject.as_deref(),
            _ => event.extension(name),
        }
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        let event = self.0;
        visit("type", &event.event_type);
        visit("source", &event.source);
        if let Some(subject) = &event.subject {
            visit("subject", subject);
        }
        for (name, fact) in &event.extensions {
            if let Some(text) = fact.as_text() {
                visit(name, text);
            }
        }
        let mut path = String::from("data.");
        for (name, fact) in event.facts() {
            if let Some(text) = fact.as_text() {
                path.truncate("data.".len());
                path.push_str(name);
                visit(&path, text);
            }
        }
    }
}

/// `snake_case` as `camelCase`, the general rule of iSymphony and WCS; a name without `_` stays.
#[must_use]
pub fn camel_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for (at, word) in name.split('_').enumerate() {
        let mut chars = word.chars();
        match chars.next() {
            Some(first) if at > 0 => out.extend(first.to_uppercase()),
            Some(first) => out.push(first),
            None => {}
        }
        out.push_str(chars.as_str());
    }
    out
}

/// Whether an event's `data` holds nothing but facts that a flat dialect can carry.
#[must_use]
pub fn is_flat(facts: &[(Box<str>, Fact)]) -> bool {
    !facts.iter().any(|(_, fact)| matches!(fact, Fact::Nested(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn camel_cases() {
        for (name, expected) in [
            ("caller_uri", "callerUri"),
            ("did", "did"),
            ("a_b_c", "aBC"),
            ("callerUri", "callerUri"),
            ("x_", "x"),
        ] {
            assert_eq!(camel_case(name), expected);
        }
    }
}

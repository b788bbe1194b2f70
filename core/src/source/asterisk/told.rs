//! What follows from a PBX's message: a canonical event that is still to get an id and a source.

use crate::event::Fact;
use crate::ground::time::Wall;

/// A canonical event to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The canonical type, such as `call.incoming`.
    pub event_type: &'static str,
    /// Resource type and id: `call/{Uniqueid}`, `queue/{name}`.
    pub subject: String,
    /// The members of `data`, under the canonical names.
    pub facts: Vec<(&'static str, Fact)>,
    /// Extension attributes that give scope, sorted by name.
    pub scope: Vec<(&'static str, Box<str>)>,
    /// When it happened at the PBX, if that says so, else when we heard of it.
    pub wall: Wall,
    /// Whether something is open from here on, or not any more.
    pub open: Open,
}

/// What an event means for what is kept over a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Open {
    /// Nothing.
    No,
    /// This is open, and what is kept of it is to be as the mirror says it is; may come again for what is open.
    Opens(Key),
    /// This is over.
    Closes(Key),
}

/// The name of something open, such as `call/1795314143.0`; no two things of a mirror share one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Box<str>);

impl Key {
    /// The key of a thing of that kind.
    #[must_use]
    pub fn new(kind: &str, id: &str) -> Key {
        Key(format!("{kind}/{id}").into())
    }

    /// The key that this is the text of.
    #[must_use]
    pub fn parse(text: &str) -> Key {
        Key(text.into())
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind and the id that it was made of.
    #[must_use]
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or((&self.0, ""))
    }
}

/// Facts that are gathered; what is not known is left out, and of equal names the last one counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(Vec<(&'static str, Fact)>);

impl Facts {
    /// Adds a text, unless it is absent or empty.
    #[must_use]
    pub fn text<'a>(self, name: &'static str, value: impl Into<Option<&'a str>>) -> Facts {
        let value = value.into().filter(|value| !value.is_empty());
        self.put(name, value.map(|value| Fact::Text(value.into())))
    }

    /// Adds a whole number, unless it is absent.
    #[must_use]
    pub fn number(self, name: &'static str, value: impl Into<Option<u64>>) -> Facts {
        self.put(name, value.into().map(|value| Fact::Number(value.to_string().into())))
    }

    /// Adds a yes or no, unless it is absent.
    #[must_use]
    pub fn flag(self, name: &'static str, value: impl Into<Option<bool>>) -> Facts {
        self.put(name, value.into().map(Fact::Bool))
    }

    /// Adds all of `more`.
    #[must_use]
    pub fn and(self, more: Facts) -> Facts {
        more.0.into_iter().fold(self, |facts, (name, fact)| facts.put(name, Some(fact)))
    }

    /// The facts but those of these names.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Facts {
        self.0.retain(|(name, _)| !names.contains(name));
        self
    }

    /// The facts of these names alone.
    #[must_use]
    pub fn only(mut self, names: &[&str]) -> Facts {
        self.0.retain(|(name, _)| names.contains(name));
        self
    }

    /// The facts, in the order in which their names came.
    #[must_use]
    pub fn into_vec(self) -> Vec<(&'static str, Fact)> {
        self.0
    }

    fn put(mut self, name: &'static str, fact: Option<Fact>) -> Facts {
        let Some(fact) = fact else { return self };
        match self.0.iter_mut().find(|(there, _)| *there == name) {
            Some((_, there)) => *there = fact,
            None => self.0.push((name, fact)),
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_gathered() {
        let facts =
            Facts::default().text("a", "1").text("b", None).text("c", "").number("n", 7).flag("f", true);
        let facts = facts.and(Facts::default().text("a", "2")).into_vec();
        let expected =
            [("a", Fact::Text("2".into())), ("n", Fact::Number("7".into())), ("f", Fact::Bool(true))];
        assert_eq!(facts, expected);
    }

    #[test]
    fn keys_have_parts() {
        let key = Key::new("contact", "100/sip:100@h");
        assert_eq!((key.as_str(), key.parts()), ("contact/100/sip:100@h", ("contact", "100/sip:100@h")));
        assert_eq!(Key::parse(key.as_str()), key);
    }
}

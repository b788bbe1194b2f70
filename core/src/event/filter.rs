//! Filters: what a view lets through, as conditions on named properties of an event in a dialect's own words.

use std::borrow::Cow;

use crate::ground::config::Only;

/// What a scope's test has before its field's canonical name. No client can send it: a filter's property with it is
/// one that no event has.
pub const SCOPE_MARK: char = '\0';

/// A view: the dialect's readers with an equal one share a feed. It lets an event through if one of its clauses does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct View {
    clauses: Vec<Clause>,
}

/// All tests of a clause must hold; each property stands once, in order of its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Clause {
    tests: Vec<(Cow<'static, str>, Test)>,
}

/// What one property must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Test {
    /// An event without the property passes.
    pub absent: bool,
    /// The property has one of these values; sorted.
    pub patterns: Vec<Pattern>,
}

/// One condition on a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pattern {
    /// Any value.
    Any,
    /// This value, byte for byte.
    Exact(Box<str>),
    /// A value that starts so.
    Prefix(Box<str>),
}

/// An event's properties in a dialect's words.
pub trait Properties {
    /// The value of a property; `None` if the event lacks it. A name that begins with [`SCOPE_MARK`] asks for a canonical
    /// field ([`super::projection::canonical`]), whatever the dialect's words are.
    fn get(&self, name: &str) -> Option<&str>;
    /// Calls `visit` with every property and its value.
    fn each(&self, visit: &mut dyn FnMut(&str, &str));
}

impl Pattern {
    /// `*` alone is any value, a trailing `.*` any rest; all else is the value itself.
    #[must_use]
    pub fn with_wildcards(text: &str) -> Pattern {
        match text.strip_suffix('*') {
            Some("") => Pattern::Any,
            Some(prefix) if prefix.ends_with('.') => Pattern::Prefix(prefix.into()),
            Some(_) | None => Pattern::Exact(text.into()),
        }
    }

    /// Whether `value` meets the condition.
    #[must_use]
    pub fn admits(&self, value: &str) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Exact(exact) => **exact == *value,
            Pattern::Prefix(prefix) => value.starts_with(&**prefix),
        }
    }
}

impl Test {
    /// Whether a property with this value, or without one, passes.
    #[must_use]
    pub fn admits(&self, value: Option<&str>) -> bool {
        let Some(value) = value else { return self.absent };
        // They are sorted: any value, then values, then beginnings.
        let before = |p: &Pattern| match p {
            Pattern::Any => true,
            Pattern::Exact(exact) => **exact < *value,
            Pattern::Prefix(_) => false,
        };
        let at = self.patterns.partition_point(before);
        let prefixes = self.patterns.iter().rev().take_while(|p| matches!(p, Pattern::Prefix(_)));
        self.patterns.first() == Some(&Pattern::Any)
            || matches!(self.patterns.get(at), Some(Pattern::Exact(exact)) if **exact == *value)
            || prefixes.into_iter().any(|p| p.admits(value))
    }
}

/// Many patterns at once; each is added as [`Clause::or`] does it.
impl<N: Into<Cow<'static, str>>> FromIterator<(N, Pattern)> for Clause {
    fn from_iter<I: IntoIterator<Item = (N, Pattern)>>(pairs: I) -> Clause {
        let mut pairs: Vec<_> = pairs.into_iter().map(|(name, pattern)| (name.into(), pattern)).collect();
        pairs.sort_unstable();
        pairs.dedup();
        let mut tests: Vec<(Cow<'static, str>, Test)> = Vec::new();
        for (name, pattern) in pairs {
            match tests.last_mut() {
                Some((last, test)) if *last == name => {
                    // Any value stands first, and alone.
                    if test.patterns.first() != Some(&Pattern::Any) {
                        test.patterns.push(pattern);
                    }
                }
                Some(_) | None => tests.push((name, Test { absent: false, patterns: vec![pattern] })),
            }
        }
        Clause { tests }
    }
}

impl Clause {
    /// Adds a pattern for `name`: the same name twice is "or", different names are "and".
    pub fn or(&mut self, name: impl Into<Cow<'static, str>>, pattern: Pattern) {
        let name = name.into();
        let at = match self.tests.binary_search_by(|(n, _)| n.cmp(&name)) {
            Ok(at) => at,
            Err(at) => {
                self.tests.insert(at, (name, Test { absent: false, patterns: Vec::new() }));
                at
            }
        };
        let patterns = &mut self.tests[at].1.patterns;
        if pattern == Pattern::Any {
            patterns.clear();
        }
        if patterns.first() != Some(&Pattern::Any)
            && let Err(place) = patterns.binary_search(&pattern)
        {
            patterns.insert(place, pattern);
        }
    }

    /// Lets events without the property pass as well.
    pub fn or_absent(&mut self, name: &str) {
        if let Some((_, test)) = self.tests.iter_mut().find(|(n, _)| n == name) {
            test.absent = true;
        }
    }

    /// The tests, in order of their properties' names.
    #[must_use]
    pub fn tests(&self) -> &[(Cow<'static, str>, Test)] {
        &self.tests
    }

    /// Whether all tests hold.
    pub fn admits(&self, properties: &dyn Properties) -> bool {
        self.tests.iter().all(|(name, test)| test.admits(properties.get(name)))
    }
}

impl View {
    /// A view of these clauses, normalised, so that equal views are equal values.
    #[must_use]
    pub fn new(mut clauses: Vec<Clause>) -> View {
        clauses.sort();
        clauses.dedup();
        View { clauses }
    }

    /// The view of somebody who may see no more than this.
    #[must_use]
    pub fn within(self, only: &Only) -> View {
        let mut clauses = self.clauses;
        for clause in &mut clauses {
            for (name, value) in &only.0 {
                clause.or(format!("{SCOPE_MARK}{name}"), Pattern::Exact(value.as_str().into()));
            }
        }
        View::new(clauses)
    }

    /// The clauses.
    #[must_use]
    pub fn clauses(&self) -> &[Clause] {
        &self.clauses
    }

    /// Whether one of the clauses lets the event through: the scan that [`super::index`] saves.
    pub fn admits(&self, properties: &dyn Properties) -> bool {
        self.clauses.iter().any(|c| c.admits(properties))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, value, admitted) in [
            ("*", "", true),
            ("call.*", "call.ringing", true),
            ("call.*", "call.a.b", true),
            ("call.*", "call", false),
            ("call*", "call.ringing", false),
            ("call*", "call*", true),
            ("a", "a", true),
            ("a", "A", false),
        ] {
            assert_eq!(Pattern::with_wildcards(pattern).admits(value), admitted, "{pattern} {value}");
        }
    }

    #[test]
    fn one_of_many_patterns_is_found() {
        let clause: Clause =
            ["m", "a", "z", "f.*", "b.*"].map(|p| ("x", Pattern::with_wildcards(p))).into_iter().collect();
        let (_, test) = &clause.tests()[0];
        for (value, admitted) in
            [("a", true), ("m", true), ("z", true), ("f.1", true), ("b.", true), ("b", false), ("n", false)]
        {
            assert_eq!(test.admits(Some(value)), admitted, "{value}");
            assert_eq!(test.patterns.iter().any(|p| p.admits(value)), admitted, "{value}");
        }
        assert!(!test.admits(None));
    }

    #[test]
    fn normal_form() {
        let clause = |pairs: &[(&'static str, &str)]| {
            let mut clause = Clause::default();
            for (name, pattern) in pairs {
                clause.or(*name, Pattern::with_wildcards(pattern));
            }
            clause
        };
        assert_eq!(
            clause(&[("b", "1"), ("a", "2"), ("b", "0"), ("b", "1")]),
            clause(&[("a", "2"), ("b", "0"), ("b", "1")])
        );
        assert_eq!(clause(&[("a", "1"), ("a", "*"), ("a", "2")]), clause(&[("a", "*")]));
        for pairs in [
            &[("b", "1"), ("a", "2"), ("b", "0"), ("b", "1"), ("a", "x.*")][..],
            &[("a", "1"), ("a", "*"), ("a", "2"), ("b", "b.*"), ("b", "*")],
            &[],
        ] {
            let all = pairs.iter().map(|(name, pattern)| (*name, Pattern::with_wildcards(pattern)));
            assert_eq!(all.collect::<Clause>(), clause(pairs));
        }
    }
}

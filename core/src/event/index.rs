//! The index: which views let an event through, found by what the event says and not by asking every view. Publishing
//! costs what it matches, not how many views there are.
//!
//! Each clause is posted under the one of its tests that fewest others are posted under; the rest of the clause is
//! checked when an event hits that posting. A clause without any test that can be looked up is asked every time.

use std::collections::{BTreeMap, HashMap};

use foldhash::quality::FixedState;

use super::filter::{Clause, Pattern, Properties, SCOPE_MARK, View};
use crate::ground::slots::Slots;

/// A map whose order nobody may see; its hash is keyed by the engine's seed.
pub type Map<K, V> = HashMap<K, V, FixedState>;

/// Views, by a number that their owner chose.
#[derive(Debug)]
pub struct Index {
    clauses: Slots<Posted>,
    properties: Map<Box<str>, Postings>,
    /// Clauses that are asked every time.
    always: Vec<u32>,
    /// Fields of scopes that clauses are posted under, and how many: events do not list them among their properties.
    scopes: BTreeMap<Box<str>, usize>,
    /// The clauses of each view.
    views: Map<u32, Vec<u32>>,
    hash: FixedState,
}

#[derive(Debug)]
struct Posted {
    view: u32,
    clause: Clause,
    /// The name of the property that it is posted under; `None`: it is asked every time.
    under: Option<Box<str>>,
}

/// Clauses that wait for a property, by the value that they wait for.
#[derive(Debug, Default)]
struct Postings {
    exact: Map<Box<str>, Vec<u32>>,
    prefix: Map<Box<str>, Vec<u32>>,
    /// The lengths of the prefixes, and how many have each: a value is cut there and nowhere else.
    lengths: BTreeMap<usize, usize>,
    any: Vec<u32>,
}

impl Postings {
    fn list(&self, pattern: &Pattern) -> &[u32] {
        match pattern {
            Pattern::Any => &self.any,
            Pattern::Exact(value) => self.exact.get(value).map_or(&[], Vec::as_slice),
            Pattern::Prefix(prefix) => self.prefix.get(prefix).map_or(&[], Vec::as_slice),
        }
    }

    fn add(&mut self, pattern: &Pattern, clause: u32) {
        match pattern {
            Pattern::Any => self.any.push(clause),
            Pattern::Exact(value) => self.exact.entry(value.clone()).or_default().push(clause),
            Pattern::Prefix(prefix) => {
                let list = self.prefix.entry(prefix.clone()).or_default();
                if list.is_empty() {
                    *self.lengths.entry(prefix.len()).or_default() += 1;
                }
                list.push(clause);
            }
        }
    }

    fn remove(&mut self, pattern: &Pattern, clause: u32) {
        let take = |list: &mut Vec<u32>| {
            if let Some(at) = list.iter().position(|c| *c == clause) {
                list.swap_remove(at);
            }
            list.is_empty()
        };
        let (map, value) = match pattern {
            Pattern::Any => {
                take(&mut self.any);
                return;
            }
            Pattern::Exact(value) => (&mut self.exact, value),
            Pattern::Prefix(prefix) => (&mut self.prefix, prefix),
        };
        if map.get_mut(value).is_some_and(take) {
            map.remove(value);
            if matches!(pattern, Pattern::Prefix(_))
                && let Some(count) = self.lengths.get_mut(&value.len())
            {
                *count -= 1;
                if *count == 0 {
                    self.lengths.remove(&value.len());
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefix.is_empty() && self.any.is_empty()
    }
}

impl Index {
    /// An empty index; `seed` keys its hash, so that no peer can choose colliding values.
    #[must_use]
    pub fn new(seed: u64) -> Index {
        let hash = FixedState::with_seed(seed);
        Index {
            clauses: Slots::default(),
            properties: Map::with_hasher(hash.clone()),
            always: Vec::new(),
            scopes: BTreeMap::new(),
            views: Map::with_hasher(hash.clone()),
            hash,
        }
    }

    /// Adds a view under a number that is not in use.
    pub fn insert(&mut self, view: u32, conditions: &View) {
        let clauses = conditions.clauses().iter().map(|clause| self.post(view, clause)).collect();
        self.views.insert(view, clauses);
    }

    /// Takes a view out.
    pub fn remove(&mut self, view: u32) {
        for at in self.views.remove(&view).unwrap_or_default() {
            let Some(posted) = self.clauses.remove(at) else { continue };
            let Some(name) = posted.under else {
                self.always.retain(|c| *c != at);
                continue;
            };
            if let Some(count) = self.scopes.get_mut(&name) {
                *count -= 1;
                if *count == 0 {
                    self.scopes.remove(&name);
                }
            }
            let Some(postings) = self.properties.get_mut(&name) else { continue };
            for pattern in
                posted.clause.tests().iter().filter(|(n, _)| **n == *name).flat_map(|(_, t)| &t.patterns)
            {
                postings.remove(pattern, at);
            }
            if postings.is_empty() {
                self.properties.remove(&name);
            }
        }
    }

    fn post(&mut self, view: u32, clause: &Clause) -> u32 {
        let crowd = |name: &str, patterns: &[Pattern]| -> usize {
            let Some(postings) = self.properties.get(name) else { return 0 };
            patterns.iter().map(|p| postings.list(p).len()).sum()
        };
        let best =
            clause.tests().iter().filter(|(_, test)| !test.absent && !test.patterns.is_empty()).min_by_key(
                |(name, test)| {
                    let open = test.patterns.iter().any(|p| !matches!(p, Pattern::Exact(_)));
                    (open, crowd(name, &test.patterns), is_common(name), test.patterns.len())
                },
            );
        let under: Option<Box<str>> = best.map(|(name, _)| name.as_ref().into());
        let at = self.clauses.insert(Posted { view, clause: clause.clone(), under: under.clone() });
        match (under, best) {
            (Some(name), Some((_, test))) => {
                if name.starts_with(SCOPE_MARK) {
                    *self.scopes.entry(name.clone()).or_default() += 1;
                }
                let hash = &self.hash;
                let postings = self.properties.entry(name).or_insert_with(|| Postings {
                    exact: Map::with_hasher(hash.clone()),
                    prefix: Map::with_hasher(hash.clone()),
                    lengths: BTreeMap::new(),
                    any: Vec::new(),
                });
                for pattern in &test.patterns {
                    postings.add(pattern, at);
                }
            }
            _ => self.always.push(at),
        }
        at
    }

    /// Calls `found` with each view that lets the event through; a view with several such clauses may come more than
    /// once.
    pub fn find(&self, event: &dyn Properties, mut found: impl FnMut(u32)) {
        let mut ask = |list: &[u32]| {
            for at in list {
                let posted = &self.clauses[*at];
                if posted.clause.admits(event) {
                    found(posted.view);
                }
            }
        };
        ask(&self.always);
        if self.properties.is_empty() {
            return;
        }
        let mut look = |name: &str, value: &str| {
            let Some(postings) = self.properties.get(name) else { return };
            ask(&postings.any);
            if let Some(list) = postings.exact.get(value) {
                ask(list);
            }
            for length in postings.lengths.keys() {
                if let Some(list) = value.get(..*length).and_then(|prefix| postings.prefix.get(prefix)) {
                    ask(list);
                }
            }
        };
        event.each(&mut look);
        for name in self.scopes.keys() {
            if let Some(value) = event.get(name) {
                look(name, value);
            }
        }
    }
}

/// Properties whose values many events share are the last choice to post under.
fn is_common(name: &str) -> bool {
    matches!(name, "type" | "resource_type" | "appid" | "source")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::ground::config::Only;

    struct Plain(BTreeMap<String, String>);

    impl Properties for Plain {
        fn get(&self, name: &str) -> Option<&str> {
            self.0.get(name.strip_prefix(SCOPE_MARK).unwrap_or(name)).map(String::as_str)
        }

        fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
            for (name, value) in &self.0 {
                visit(name, value);
            }
        }
    }

    fn view() -> impl Strategy<Value = View> {
        let test = ("[abc]", "[xy](\\.[xy])?(\\.\\*)?|\\*", prop::bool::weighted(0.2));
        let clause = proptest::collection::vec(test, 0..4).prop_map(|tests| {
            let mut clause = Clause::default();
            for (name, pattern, absent) in tests {
                clause.or(name.clone(), Pattern::with_wildcards(&pattern));
                if absent {
                    clause.or_absent(&name);
                }
            }
            clause
        });
        let only = proptest::collection::btree_map("[abc]", "[xy]", 0..2);
        (proptest::collection::vec(clause, 0..4), only)
            .prop_map(|(clauses, only)| View::new(clauses).within(&Only(only)))
    }

    proptest! {
        /// The index finds what a scan over all views finds, also after views were taken out.
        #[test]
        fn finds_what_a_scan_finds(
            views in proptest::collection::vec((view(), any::<bool>()), 0..20),
            events in proptest::collection::vec(proptest::collection::btree_map("[abcd]", "[xyz](\\.[xy]){0,2}", 0..4), 1..10),
        ) {
            let mut index = Index::new(7);
            for (n, (view, _)) in views.iter().enumerate() {
                index.insert(n as u32, view);
            }
            for (n, (_, stays)) in views.iter().enumerate() {
                if !stays { index.remove(n as u32); }
            }
            for event in events {
                let event = Plain(event);
                let mut found = BTreeSet::new();
                index.find(&event, |v| { found.insert(v); });
                let scan: BTreeSet<u32> = views.iter().enumerate()
                    .filter(|(_, (view, stays))| *stays && view.admits(&event)).map(|(n, _)| n as u32).collect();
                prop_assert_eq!(found, scan);
            }
            for (n, _) in views.iter().enumerate() { index.remove(n as u32); }
            prop_assert!(index.properties.is_empty() && index.always.is_empty() && index.clauses.is_empty());
            prop_assert!(index.scopes.is_empty());
        }
    }
}

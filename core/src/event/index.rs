//! The index: which views let an event through, found by what the event says and not by asking every view. Publishing
//! costs what it matches, not how many views there are.
//!
//! Each clause is posted under the one of its tests that fewest others are posted under; the rest of the clause is
//! checked when an event hits that posting. A clause without any test that can be looked up is asked every time.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

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
    /// The first clause of each view that has one.
    views: Map<u32, u32>,
    hash: FixedState,
}

/// A clause of a view; its conditions are the owner's, and not copied.
#[derive(Debug)]
struct Posted {
    view: u32,
    conditions: Arc<View>,
    /// Which of the view's clauses it is.
    clause: u32,
    /// Which of the clause's tests it is posted under; `None`: it is asked every time.
    under: Option<u32>,
    /// The next clause of the view.
    next: Option<u32>,
}

impl Posted {
    fn clause(&self) -> &Clause {
        &self.conditions.clauses()[self.clause as usize]
    }
}

/// Clauses that wait for a property, by the value that they wait for.
#[derive(Debug, Default)]
struct Postings {
    exact: Map<Box<str>, Waiting>,
    prefix: Map<Box<str>, Waiting>,
    /// The lengths of the prefixes, and how many have each: a value is cut there and nowhere else.
    lengths: BTreeMap<usize, usize>,
    any: Waiting,
}

/// Clauses that wait for the same. Where every view has a value of its own, there is one.
#[derive(Debug)]
enum Waiting {
    One(u32),
    Many(Vec<u32>),
}

impl Default for Waiting {
    fn default() -> Waiting {
        Waiting::Many(Vec::new())
    }
}

impl Waiting {
    fn list(&self) -> &[u32] {
        match self {
            Waiting::One(clause) => std::slice::from_ref(clause),
            Waiting::Many(clauses) => clauses,
        }
    }

    fn add(&mut self, clause: u32) {
        match self {
            Waiting::Many(clauses) if clauses.is_empty() => *self = Waiting::One(clause),
            Waiting::Many(clauses) => clauses.push(clause),
            Waiting::One(first) => *self = Waiting::Many(vec![*first, clause]),
        }
    }

    /// Takes a clause out; whether none is left.
    fn take(&mut self, clause: u32) -> bool {
        match self {
            Waiting::One(only) if *only == clause => *self = Waiting::default(),
            Waiting::One(_) => {}
            Waiting::Many(clauses) => {
                if let Some(at) = clauses.iter().position(|c| *c == clause) {
                    clauses.swap_remove(at);
                }
            }
        }
        self.list().is_empty()
    }
}

impl Postings {
    fn list(&self, pattern: &Pattern) -> &[u32] {
        match pattern {
            Pattern::Any => self.any.list(),
            Pattern::Exact(value) => self.exact.get(value).map_or(&[], Waiting::list),
            Pattern::Prefix(prefix) => self.prefix.get(prefix).map_or(&[], Waiting::list),
        }
    }

    fn add(&mut self, pattern: &Pattern, clause: u32) {
        match pattern {
            Pattern::Any => self.any.add(clause),
            Pattern::Exact(value) => self.exact.entry(value.clone()).or_default().add(clause),
            Pattern::Prefix(prefix) => {
                let list = self.prefix.entry(prefix.clone()).or_default();
                if list.list().is_empty() {
                    *self.lengths.entry(prefix.len()).or_default() += 1;
                }
                list.add(clause);
            }
        }
    }

    fn remove(&mut self, pattern: &Pattern, clause: u32) {
        let (map, value) = match pattern {
            Pattern::Any => {
                self.any.take(clause);
                return;
            }
            Pattern::Exact(value) => (&mut self.exact, value),
            Pattern::Prefix(prefix) => (&mut self.prefix, prefix),
        };
        if map.get_mut(value).is_some_and(|list| list.take(clause)) {
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
        self.exact.is_empty() && self.prefix.is_empty() && self.any.list().is_empty()
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
    pub fn insert(&mut self, view: u32, conditions: &Arc<View>) {
        let mut first = None;
        for clause in (0..conditions.clauses().len() as u32).rev() {
            first = Some(self.post(view, conditions, clause, first));
        }
        self.views.extend(first.map(|first| (view, first)));
    }

    /// Takes a view out.
    pub fn remove(&mut self, view: u32) {
        let mut next = self.views.remove(&view);
        while let Some(at) = next {
            let Some(posted) = self.clauses.remove(at) else { return };
            next = posted.next;
            let Some(under) = posted.under else {
                self.always.retain(|c| *c != at);
                continue;
            };
            let (name, test) = &posted.clause().tests()[under as usize];
            if let Some(count) = self.scopes.get_mut(&**name) {
                *count -= 1;
                if *count == 0 {
                    self.scopes.remove(&**name);
                }
            }
            let Some(postings) = self.properties.get_mut(&**name) else { continue };
            for pattern in &test.patterns {
                postings.remove(pattern, at);
            }
            if postings.is_empty() {
                self.properties.remove(&**name);
            }
        }
    }

    fn post(&mut self, view: u32, conditions: &Arc<View>, clause: u32, next: Option<u32>) -> u32 {
        let tests = conditions.clauses()[clause as usize].tests();
        let crowd = |name: &str, patterns: &[Pattern]| -> usize {
            let Some(postings) = self.properties.get(name) else { return 0 };
            patterns.iter().map(|p| postings.list(p).len()).sum()
        };
        let can_be_looked_up =
            tests.iter().zip(0..).filter(|((_, t), _)| !t.absent && !t.patterns.is_empty());
        let best = can_be_looked_up.min_by_key(|((name, test), _)| {
            let open = test.patterns.iter().any(|p| !matches!(p, Pattern::Exact(_)));
            (open, crowd(name, &test.patterns), is_common(name), test.patterns.len())
        });
        let under = best.map(|(_, at)| at);
        let at =
            self.clauses.insert(Posted { view, conditions: Arc::clone(conditions), clause, under, next });
        let Some(((name, test), _)) = best else {
            self.always.push(at);
            return at;
        };
        if name.starts_with(SCOPE_MARK) {
            *self.scopes.entry(name.as_ref().into()).or_default() += 1;
        }
        let hash = &self.hash;
        let postings = self.properties.entry(name.as_ref().into()).or_insert_with(|| Postings {
            exact: Map::with_hasher(hash.clone()),
            prefix: Map::with_hasher(hash.clone()),
            lengths: BTreeMap::new(),
            any: Waiting::default(),
        });
        for pattern in &test.patterns {
            postings.add(pattern, at);
        }
        at
    }

    /// Calls `found` with each view that lets the event through; a view with several such clauses may come more than
    /// once.
    pub fn find(&self, event: &dyn Properties, mut found: impl FnMut(u32)) {
        let mut ask = |list: &[u32]| {
            for at in list {
                let posted = &self.clauses[*at];
                if posted.clause().admits(event) {
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
            ask(postings.any.list());
            if let Some(list) = postings.exact.get(value) {
                ask(list.list());
            }
            for length in postings.lengths.keys() {
                if let Some(list) = value.get(..*length).and_then(|prefix| postings.prefix.get(prefix)) {
                    ask(list.list());
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

    /// A view of one clause, such as `a=x a=y.* b=z`; a property whose value ends with `?` may be absent.
    fn clause(text: &str) -> Arc<View> {
        let tests = text.split_whitespace().map(|test| test.split_once('=').unwrap());
        let mut clause: Clause = tests
            .clone()
            .map(|(name, value)| (name.to_owned(), Pattern::with_wildcards(value.trim_end_matches('?'))))
            .collect();
        tests.filter(|(_, value)| value.ends_with('?')).for_each(|(name, _)| clause.or_absent(name));
        Arc::new(View::new(vec![clause]))
    }

    /// Which property a clause waits for when those before it are there.
    #[test]
    fn a_clause_is_posted_where_the_fewest_wait() {
        for (before, new, posted) in [
            ("", "a=x b=x", Some("a")),
            ("a=x", "a=x b=x", Some("b")),
            ("a=y", "a=x b=x", Some("a")),
            ("a=x", "a=x b=x b=y", Some("b")),
            ("a=x, b=x, b=x", "a=x b=x", Some("a")),
            ("a=x.*", "a=x.* b=x.*", Some("b")),
            ("a=*", "a=* b=*", Some("b")),
            ("", "a=x.* b=x", Some("b")),
            ("b=x, b=x", "a=* b=x", Some("b")),
            ("", "a=x a=y b=x", Some("b")),
            ("", "appid=x b=x", Some("b")),
            ("b=x", "appid=x b=x", Some("appid")),
            ("", "a=x? b=x", Some("b")),
            ("", "a=x?", None),
            ("", "", None),
        ] {
            let mut index = Index::new(7);
            for (text, number) in before.split(',').filter(|text| !text.is_empty()).zip(1..) {
                index.insert(number, &clause(text));
            }
            index.insert(0, &clause(new));
            let clause = &index.clauses[index.views[&0]];
            let found = clause.under.map(|under| &*clause.clause().tests()[under as usize].0);
            assert_eq!(found, posted, "{before}; {new}");
        }
    }

    /// Values are cut at the lengths of prefixes that are there, and nowhere else.
    #[test]
    fn lengths_go_with_the_last_prefix_that_has_them() {
        let mut index = Index::new(7);
        let views = ["a=x.*", "a=x.*", "a=y.*", "a=long.*"];
        for (number, text) in (0..).zip(views) {
            index.insert(number, &clause(text));
        }
        for (gone, left) in [(0, "{2: 2, 5: 1}"), (1, "{2: 1, 5: 1}"), (2, "{5: 1}")] {
            index.remove(gone);
            assert_eq!(format!("{:?}", index.properties["a"].lengths), left, "without {gone}");
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
        /// The index finds what a scan over all views finds, also after views were taken out and others came in their
        /// places.
        #[test]
        fn finds_what_a_scan_finds(
            steps in proptest::collection::vec((0..12u32, prop::option::weighted(0.7, view())), 0..30),
            events in proptest::collection::vec(proptest::collection::btree_map("[abcd]", "[xyz](\\.[xy]){0,2}", 0..4), 1..6),
        ) {
            let mut index = Index::new(7);
            let mut views: BTreeMap<u32, Arc<View>> = BTreeMap::new();
            let events: Vec<_> = events.into_iter().map(Plain).collect();
            for (number, view) in steps {
                index.remove(number);
                views.remove(&number);
                if let Some(view) = view {
                    let view = views.entry(number).or_insert(Arc::new(view));
                    index.insert(number, view);
                }
                for event in &events {
                    let mut found = BTreeSet::new();
                    index.find(event, |v| { found.insert(v); });
                    let scan: BTreeSet<u32> =
                        views.iter().filter(|(_, view)| view.admits(event)).map(|(number, _)| *number).collect();
                    prop_assert_eq!(found, scan);
                }
            }
            for number in views.keys() { index.remove(*number); }
            prop_assert!(index.properties.is_empty() && index.always.is_empty() && index.clauses.is_empty());
            prop_assert!(index.scopes.is_empty() && index.views.is_empty());
        }
    }
}

//! Things by their id, each with its age. What is absent here: what follows from leaving.

use std::collections::BTreeMap;
use std::ops::Bound;

/// Things by id, and the order in which they came.
#[derive(Debug)]
pub(super) struct Held<T> {
    things: BTreeMap<Box<str>, (u64, T)>,
    ages: BTreeMap<u64, Box<str>>,
    next: u64,
}

impl<T> Default for Held<T> {
    fn default() -> Held<T> {
        Held { things: BTreeMap::new(), ages: BTreeMap::new(), next: 0 }
    }
}

impl<T> Held<T> {
    pub(super) fn get(&self, id: &str) -> Option<&T> {
        self.things.get(id).map(|(_, thing)| thing)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut T> {
        self.things.get_mut(id).map(|(_, thing)| thing)
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.things.contains_key(id)
    }

    /// Takes a thing in, in place of one with the same id, whose age it then has.
    pub(super) fn put(&mut self, id: &str, thing: T) {
        if let Some((_, there)) = self.things.get_mut(id) {
            *there = thing;
            return;
        }
        self.things.insert(id.into(), (self.next, thing));
        self.ages.insert(self.next, id.into());
        self.next += 1;
    }

    pub(super) fn take(&mut self, id: &str) -> Option<T> {
        let (age, thing) = self.things.remove(id)?;
        self.ages.remove(&age);
        Some(thing)
    }

    /// The oldest, if there are more than `most`.
    pub(super) fn beyond(&self, most: usize) -> Option<Box<str>> {
        let (_, id) = self.ages.first_key_value().filter(|_| self.things.len() > most)?;
        Some(id.clone())
    }

    pub(super) fn len(&self) -> usize {
        self.things.len()
    }

    /// The ids that begin with `prefix`, in their order.
    pub(super) fn under(&self, prefix: &str) -> Vec<Box<str>> {
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let ids = self.things.range::<str, _>(from).map(|(id, _)| id);
        ids.take_while(|id| id.starts_with(prefix)).cloned().collect()
    }

    /// The ids of those that `which` chooses, in the order of ids.
    pub(super) fn which(&self, mut which: impl FnMut(&T) -> bool) -> Vec<Box<str>> {
        self.things.iter().filter(|(_, (_, thing))| which(thing)).map(|(id, _)| id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_the_one_beyond() {
        let mut held = Held::default();
        for (at, id) in ["c", "a", "b", "a"].into_iter().enumerate() {
            held.put(id, at);
        }
        assert_eq!((held.len(), held.get("a")), (3, Some(&3)));
        assert_eq!(held.beyond(3), None);
        assert_eq!(held.beyond(2).as_deref(), Some("c"));
        assert_eq!(held.take("c"), Some(0));
        assert_eq!(held.take("c"), None);
        assert_eq!(held.beyond(1).as_deref(), Some("a"));
        assert_eq!(held.which(|at| *at < 3), ["b".into()]);
    }

    #[test]
    fn ids_are_found_by_what_they_begin_with() {
        let mut held = Held::default();
        for id in ["1/a", "1/b", "10/a", "2/a"] {
            held.put(id, ());
        }
        assert_eq!(held.under("1/"), ["1/a".into(), "1/b".into()]);
        assert_eq!(held.under("3"), []);
    }
}

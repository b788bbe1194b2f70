//! Any run of full and partial documents shows what a plain map of states shows.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::XML;
use super::*;
use crate::wire::xml::tree::{Element, tree};

/// A document: how far its version is ahead, whether it is full and answers our SUBSCRIBE, how long it took, and states
/// by ids.
type Step = (i64, bool, bool, u64, BTreeMap<u8, u8>);

const STATES: [&str; 3] = ["early", "confirmed", "terminated"];
const OVER: u8 = 2;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ahead = prop_oneof![6 => Just(1i64), 1 => Just(0i64), 1 => Just(-1i64), 1 => Just(3i64)];
    let elapsed = prop_oneof![4 => 0u64..2_000, 1 => 30_000u64..40_000];
    let rows = prop::collection::btree_map(0u8..4, 0u8..3, 0..4);
    prop::collection::vec((ahead, any::<bool>(), prop::bool::weighted(0.1), elapsed, rows), 1..30)
}

/// The rules of the packages over a map, without a document.
#[derive(Default)]
struct Model {
    version: Option<u64>,
    rows: BTreeMap<u8, u8>,
    ended: BTreeMap<u8, u64>,
}

impl Model {
    /// Whether it changed, and whether all is to be asked for.
    fn take(
        &mut self,
        late: bool,
        version: u64,
        full: bool,
        first: bool,
        now: u64,
        rows: &BTreeMap<u8, u8>,
    ) -> (bool, bool) {
        let refresh = match self.version {
            None => !full && !first,
            Some(_) if full && first => false,
            Some(known) if version < known => return (false, true),
            Some(_) if full => false,
            Some(known) if version == known => return (false, false),
            Some(known) => version > known + 1 && !first,
        };
        let known = self.version.replace(version).is_some();
        self.ended.retain(|_, at| late && now - *at < 32_000);
        let before = self.rows.clone();
        if full || !known {
            self.rows.clone_from(rows);
            if known && self.rows == before {
                return (false, refresh);
            }
        } else {
            let living: BTreeMap<u8, u8> =
                before.iter().filter(|(_, state)| **state != OVER).map(|(id, state)| (*id, *state)).collect();
            let mut merged = living.clone();
            for (id, state) in rows {
                let again = *state == OVER && before.get(id) == Some(&OVER);
                if !again && !self.ended.contains_key(id) {
                    merged.insert(*id, *state);
                }
            }
            if merged == living {
                return (false, refresh);
            }
            self.rows = merged;
        }
        for (id, state) in &self.rows {
            if *state != OVER {
                self.ended.remove(id);
            } else if late && before.get(id) != Some(&OVER) {
                self.ended.entry(*id).or_insert(now);
            }
        }
        (true, refresh)
    }
}

fn dialog_info(version: u64, full: bool, rows: &BTreeMap<u8, u8>) -> String {
    let rows = rows.iter().map(|(id, state)| {
        format!("<dialog id=\"{id}\"><state>{}</state></dialog>", STATES[usize::from(*state)])
    });
    let rows: String = rows.collect();
    let state = if full { "full" } else { "partial" };
    let namespace = "urn:ietf:params:xml:ns:dialog-info";
    format!(
        "<dialog-info xmlns=\"{namespace}\" version=\"{version}\" state=\"{state}\" entity=\"sip:a@x\">{rows}\
        </dialog-info>"
    )
}

fn reginfo(version: u64, full: bool, rows: &BTreeMap<u8, u8>) -> String {
    let rows = rows.iter().map(|(id, state)| {
        let state = STATES[usize::from(*state)];
        format!("<contact id=\"{id}\" state=\"{state}\"><uri>sip:{id}@x</uri></contact>")
    });
    let rows: String = rows.collect();
    let state = if full { "full" } else { "partial" };
    let namespace = "urn:ietf:params:xml:ns:reginfo";
    format!(
        "<reginfo xmlns=\"{namespace}\" version=\"{version}\" state=\"{state}\"><registration aor=\"sip:a@x\" \
        id=\"r\" state=\"active\">{rows}</registration></reginfo>"
    )
}

/// The rows that a document shows.
fn rows(document: &str) -> BTreeMap<u8, u8> {
    let root = tree(document.as_bytes(), XML).unwrap();
    assert_eq!(root.attribute("state"), Some("full"), "{document}");
    let rows: Vec<&Element> = match root.elements().next() {
        Some(registration) if *registration.name == *"registration" => registration.elements().collect(),
        _ => root.elements().collect(),
    };
    let state = |row: &Element| match row.attribute("state") {
        Some(state) => state.to_owned(),
        None => row.elements().next().unwrap().text(),
    };
    let place = |row: &Element| STATES.iter().position(|name| *name == state(row)).unwrap() as u8;
    let found: BTreeMap<u8, u8> =
        rows.iter().map(|row| (row.attribute("id").unwrap().parse().unwrap(), place(row))).collect();
    assert_eq!(found.len(), rows.len(), "{document}");
    found
}

fn agrees(package: Package, steps: &[Step], write: fn(u64, bool, &BTreeMap<u8, u8>) -> String) {
    let (mut instance, mut model, mut version) = (Instance::of(package), Model::default(), 5u64);
    for (ahead, full, first, elapsed, told) in steps {
        instance.now = instance.now.plus_ms(*elapsed);
        let known = model.version.unwrap_or(version);
        version = known.checked_add_signed(*ahead).unwrap_or(0);
        let document = write(version, *full, told);
        let late = package == Package::Dialog;
        let (changed, refresh) = model.take(late, version, *full, *first, instance.now.0, told);
        let taken = instance.take_as(package.accept().unwrap(), document.as_bytes(), *first);
        assert_eq!((taken.body.is_some(), taken.refresh), (changed, refresh), "{document}");
        assert!(!taken.unreadable);
        if changed {
            assert_eq!(rows(instance.shown()), model.rows);
            assert!(instance.shown().contains(&format!("version=\"{version}\" state=\"full\"")));
        }
    }
}

proptest! {
    #[test]
    fn dialogs_agree_with_a_map(steps in steps()) {
        agrees(Package::Dialog, &steps, dialog_info);
    }

    #[test]
    fn registrations_agree_with_a_map(steps in steps()) {
        agrees(Package::Reg, &steps, reginfo);
    }
}

//! Documents that are tables, in full or in part: `reginfo` (RFC 3680 section 5) and `dialog-info` (RFC 4235 section
//! 4). What is written is a full document of the highest version that was taken. What peers add of their own to a row is
//! kept with it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Body, Item, Taken, Unreadable, XML};
use crate::ground::limits::SIP_DOCUMENT_BYTES;
use crate::ground::time::Mono;
use crate::wire::xml::tree::{Element, Node, tree};

/// How long a *partial* document does not revive a dialog that was terminated: as long as a transaction may take that
/// brings a late state (64·T1).
const LATE_MS: u64 = 32_000;

/// Terminated dialogs of one instance that are remembered for that time; beyond, the oldest is forgotten. It is fixed,
/// because only a peer that sends states out of their order ever meets it.
const ENDED_MAX: usize = 64;

/// What makes one kind of table differ from another.
pub(super) struct Shape {
    pub(super) namespace: &'static str,
    pub(super) root: &'static str,
    /// Rows, and the rows in a row: each has an `id`.
    pub(super) rows: &'static [&'static str],
    /// Elements in the order that the schema wants.
    pub(super) order: &'static [&'static str],
    /// Whether a row is terminated.
    pub(super) is_over: fn(&Element) -> bool,
    /// A row's elements that a later one leaves out are still true, but for these; `None`: a later row replaces an
    /// earlier one whole.
    pub(super) fleeting: Option<&'static [&'static str]>,
    /// The rows' ids are those of SIP dialogs, and late states of one that has ended are passed over.
    pub(super) passes_late: bool,
    /// The facts of all that differs.
    pub(super) changes: fn(Option<&Element>, &Element) -> Vec<Item>,
}

/// What is known of a SIP dialog beside the document that its instance shows: each has its own, made anew with it, so
/// that its versions are not compared with those of a dialog before. It is lost with the process, without harm.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ended {
    /// The version that was taken last: the document has an older one if only that changed.
    version: Option<u64>,
    /// Dialogs that were terminated, and when; the latest last.
    dialogs: Vec<(Mono, Box<str>)>,
}

impl Ended {
    /// Whether no dialog is remembered, and no memory taken for any.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.dialogs.capacity() == 0
    }

    fn forget_old(&mut self, now: Mono) {
        self.dialogs.retain(|(at, _)| now.since(*at) < LATE_MS);
        if self.dialogs.is_empty() {
            self.dialogs = Vec::new();
        }
    }

    fn has(&self, id: &str) -> bool {
        self.dialogs.iter().any(|(_, ended)| **ended == *id)
    }

    /// Notes which dialogs a document ended, and which it has anew.
    fn note(&mut self, shape: &Shape, now: Mono, before: Option<&Element>, root: &Element) {
        let before = before.map(|before| rows(before, shape.namespace, shape.rows[0])).unwrap_or_default();
        for (id, row) in rows(root, shape.namespace, shape.rows[0]) {
            if !(shape.is_over)(row) {
                self.dialogs.retain(|(_, ended)| **ended != *id);
            } else if !self.has(id) && !before.get(id).is_some_and(|row| (shape.is_over)(row)) {
                if self.dialogs.len() == ENDED_MAX {
                    self.dialogs.remove(0);
                }
                self.dialogs.push((now, id.into()));
            }
        }
    }
}

/// A table as a document has it.
struct Document {
    version: u64,
    full: bool,
    /// Without the two attributes above.
    root: Element,
}

/// The document that stands for a table once `incoming` has come: see [`super::take`].
pub(super) fn take(
    shape: &Shape,
    held: Option<&Body>,
    incoming: Body,
    first: bool,
    now: Mono,
    ended: &mut Ended,
) -> Taken {
    let Ok(new) = Document::read(shape, &incoming.bytes) else {
        *ended = Ended::default();
        let body = (held != Some(&incoming)).then_some(incoming);
        return Taken { body, unreadable: true, ..Taken::default() };
    };
    let old = held.filter(|held| held.is_a(incoming.media_type()));
    let old = old.and_then(|held| Document::read(shape, &held.bytes).ok());
    ended.forget_old(now);
    let known = old.as_ref().map(|old| ended.version.unwrap_or(old.version));
    let refresh = match judge(known, &new, first, ended.version.is_none()) {
        Judgement::Take { refresh } => refresh,
        Judgement::Discard { refresh } => return Taken { refresh, ..Taken::default() },
    };
    let old = old.map(|old| old.root);
    let (root, changed) = match &old {
        None => (new.root, true),
        Some(old) if new.full => {
            let changed = new.root != *old;
            (new.root, changed)
        }
        Some(old) => {
            let (pruned, over) = shape.pruned(old);
            let merged = shape.merged(pruned.clone(), new.root, &over, ended);
            let changed = merged != pruned;
            (merged, changed)
        }
    };
    if !changed {
        ended.version = Some(new.version);
        return Taken { refresh, ..Taken::default() };
    }
    let bytes = shape.written(&root, new.version);
    if !new.full && bytes.len() > SIP_DOCUMENT_BYTES {
        return Taken { refresh: true, ..Taken::default() };
    }
    ended.version = Some(new.version);
    if shape.passes_late {
        ended.note(shape, now, old.as_ref(), &root);
    }
    let mut items = (shape.changes)(old.as_ref(), &root);
    items.retain(|item| !item.facts.is_empty());
    let body = Some(Body { content_type: incoming.content_type, bytes });
    Taken { body, refresh, items, ..Taken::default() }
}

/// What is done with a document.
enum Judgement {
    Take { refresh: bool },
    Discard { refresh: bool },
}

/// Compares versions (RFC 3680 section 5.1, RFC 4235 section 4.3). A full document with the version that is known is
/// taken: Kamailio calls all of them 0. So is one that answers our own SUBSCRIBE, or is the first of its dialog or after
/// a restart: what is shown may be older than all versions. Where a document answers our own SUBSCRIBE, asking again
/// would bring no other.
fn judge(known: Option<u64>, new: &Document, first: bool, is_fresh: bool) -> Judgement {
    match known {
        None => Judgement::Take { refresh: !new.full && !first },
        Some(_) if new.full && (first || is_fresh) => Judgement::Take { refresh: false },
        Some(known) if new.version < known => Judgement::Discard { refresh: true },
        Some(_) if new.full => Judgement::Take { refresh: false },
        Some(known) if new.version == known => Judgement::Discard { refresh: false },
        Some(known) => Judgement::Take { refresh: new.version - known > 1 && !first },
    }
}

impl Document {
    fn read(shape: &Shape, bytes: &[u8]) -> Result<Document, Unreadable> {
        let mut root = tree(bytes, XML).map_err(|_| Unreadable)?;
        if !root.is(shape.namespace, shape.root) {
            return Err(Unreadable);
        }
        let version = root.attribute("version").and_then(|v| v.trim().parse().ok()).ok_or(Unreadable)?;
        // An example in RFC 4235 has the second name.
        let state = root.attribute("state").or_else(|| root.attribute("notify-state"));
        let full = match state.map(str::trim) {
            None | Some("full") => true,
            Some("partial") => false,
            Some(_) => return Err(Unreadable),
        };
        root.attributes.retain(|a| !["version", "state", "notify-state"].iter().any(|n| a.is("", n)));
        if !shape.has_own_keys(&root, shape.rows) {
            return Err(Unreadable);
        }
        shape.settle(&mut root);
        Ok(Document { version, full, root })
    }
}

impl Shape {
    /// Whether each row has a key of its own among its neighbours, as the schemas want it of ids: else merging would look
    /// through a whole row again for each of its namesakes.
    fn has_own_keys(&self, table: &Element, rows: &[&str]) -> bool {
        let Some((name, deeper)) = rows.split_first() else { return true };
        let mut keys = BTreeSet::new();
        let mut rows = table.elements().filter(|row| row.is(self.namespace, name));
        rows.all(|row| keys.insert(key(row)) && self.has_own_keys(row, deeper))
    }

    /// Drops white space between elements, and puts them into the schema's order.
    fn settle(&self, element: &mut Element) {
        let mixed = element.children.iter().any(|node| match node {
            Node::Text(text) => !text.trim_ascii().is_empty(),
            Node::Element(_) => false,
        });
        if !mixed && element.elements().next().is_some() {
            element.children.retain(|node| matches!(node, Node::Element(_)));
            if *element.namespace == *self.namespace {
                self.arrange(element);
            }
        }
        for node in &mut element.children {
            match node {
                Node::Element(child) => self.settle(child),
                Node::Text(_) => {}
            }
        }
    }

    /// The schema's order; rows have none among themselves, and stand in that of their ids, so that equal tables are
    /// equal documents.
    fn arrange(&self, element: &mut Element) {
        element.children.sort_by(|a, b| self.place(a).cmp(&self.place(b)));
    }

    fn place<'a>(&self, node: &'a Node) -> (usize, &'a str) {
        match node {
            Node::Element(e) if *e.namespace == *self.namespace => {
                let place = self.order.iter().position(|name| **name == *e.name).unwrap_or(usize::MAX);
                (place, if self.rows.contains(&&*e.name) { key(e) } else { "" })
            }
            Node::Element(_) | Node::Text(_) => (usize::MAX, ""),
        }
    }

    /// A table without what it shows as terminated, and the paths of that.
    fn pruned(&self, root: &Element) -> (Element, BTreeSet<String>) {
        let (mut root, mut over) = (root.clone(), BTreeSet::new());
        self.prune(&mut root, self.rows, "", &mut over);
        (root, over)
    }

    fn prune(&self, table: &mut Element, rows: &[&str], path: &str, over: &mut BTreeSet<String>) {
        let Some((name, deeper)) = rows.split_first() else { return };
        table.children.retain_mut(|node| match node {
            Node::Element(row) if row.is(self.namespace, name) => {
                let path = format!("{path}\n{}", key(row));
                if (self.is_over)(row) {
                    over.insert(path);
                    return false;
                }
                self.prune(row, deeper, &path, over);
                true
            }
            Node::Element(_) | Node::Text(_) => true,
        });
    }

    /// A table and what a partial document says of it. What was shown as terminated is not shown so again.
    fn merged(&self, mut root: Element, new: Element, over: &BTreeSet<String>, ended: &Ended) -> Element {
        let passed = |path: &str, row: &Element| {
            over.contains(path) && (self.is_over)(row)
                || self.passes_late && path.strip_prefix('\n').is_some_and(|id| ended.has(id))
        };
        self.merge(&mut root, new, self.rows, "", &passed);
        root
    }

    fn merge(
        &self,
        table: &mut Element,
        new: Element,
        rows: &[&str],
        path: &str,
        passed: &dyn Fn(&str, &Element) -> bool,
    ) {
        update_attributes(table, &new);
        let Some((name, deeper)) = rows.split_first() else {
            return self.update_row(table, new);
        };
        let is_row = |e: &Element| e.is(self.namespace, name);
        let mut places: BTreeMap<Box<str>, usize> = BTreeMap::new();
        for (place, node) in table.children.iter().enumerate() {
            match node {
                Node::Element(row) if is_row(row) => drop(places.insert(key(row).into(), place)),
                Node::Element(_) | Node::Text(_) => {}
            }
        }
        let mut others = Element::default();
        for node in new.children {
            let row = match node {
                Node::Element(row) if is_row(&row) => row,
                Node::Element(_) | Node::Text(_) => {
                    others.children.push(node);
                    continue;
                }
            };
            let path = format!("{path}\n{}", key(&row));
            if passed(&path, &row) {
                continue;
            }
            match places.get(key(&row)).map(|place| &mut table.children[*place]) {
                Some(Node::Element(known)) => self.merge(known, row, deeper, &path, passed),
                Some(Node::Text(_)) | None => {
                    places.insert(key(&row).into(), table.children.len());
                    table.children.push(Node::Element(row));
                }
            }
        }
        update_elements(table, others);
        self.arrange(table);
    }

    /// A row that holds no rows.
    fn update_row(&self, row: &mut Element, new: Element) {
        match self.fleeting {
            None => *row = new,
            Some(fleeting) => {
                row.children.retain(|node| match node {
                    Node::Element(e) => !fleeting.iter().any(|name| e.is(self.namespace, name)),
                    Node::Text(_) => true,
                });
                update_elements(row, new);
                self.arrange(row);
            }
        }
    }

    fn written(&self, root: &Element, version: u64) -> Box<[u8]> {
        let mut root = root.clone();
        root.set_attribute("version", &version.to_string());
        root.set_attribute("state", "full");
        root.attributes.rotate_right(2);
        let mut out = Vec::new();
        root.write(&mut out);
        out.into()
    }
}

/// What a row is known by: its `id`, which the schemas want, or else whose registration it is.
pub(super) fn key(row: &Element) -> &str {
    row.attribute("id").or_else(|| row.attribute("aor")).unwrap_or_default()
}

/// Rows by what they are known by.
pub(super) fn rows<'a>(
    table: &'a Element,
    namespace: &'a str,
    name: &'a str,
) -> BTreeMap<&'a str, &'a Element> {
    table.all(namespace, name).map(|row| (key(row), row)).collect()
}

fn update_attributes(known: &mut Element, new: &Element) {
    for attribute in &new.attributes {
        match known.attributes.iter_mut().find(|a| a.is(&attribute.namespace, &attribute.name)) {
            Some(known) => known.value.clone_from(&attribute.value),
            None => known.attributes.push(attribute.clone()),
        }
    }
}

/// The elements of `new`, and those of `known` whose names `new` does not have.
fn update_elements(known: &mut Element, new: Element) {
    let names: BTreeSet<(&str, &str)> = new.elements().map(|e| (&*e.namespace, &*e.name)).collect();
    known.children.retain(|node| match node {
        Node::Element(e) => !names.contains(&(&*e.namespace, &*e.name)),
        Node::Text(_) => new.children.is_empty(),
    });
    known.children.extend(new.children);
}

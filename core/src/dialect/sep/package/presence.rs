//! Presence: `application/pidf+xml` (RFC 3863), with notes of persons (RFC 4479).

use super::{Item, Unreadable, XML};
use crate::wire::xml::tree::{Element, tree};

const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
const DATA_MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";

/// The presentity's facts. Of several tuples one that is open decides (RFC 3863 section 4.1.4 leaves it to who reads);
/// the note is the presentity's own, or that tuple's, or a person's.
pub(super) fn read(bytes: &[u8]) -> Result<Item, Unreadable> {
    let root = tree(bytes, XML).ok().filter(|root| root.is(PIDF, "presence")).ok_or(Unreadable)?;
    let tuples = || root.all(PIDF, "tuple").filter_map(|tuple| Some((tuple, basic(tuple)?)));
    let status = tuples().find(|(_, basic)| basic == "open").or_else(|| tuples().next());
    let (tuple, status) = status.unzip();
    let person = root.find(DATA_MODEL, "person");
    let note = note(&root, PIDF)
        .or_else(|| note(tuple?, PIDF))
        .or_else(|| note(person?, DATA_MODEL).or_else(|| note(person?, PIDF)));
    let entity = root.attribute("entity");
    Ok(Item::new("sip.presence", ("entity", entity))
        .text("entity", entity)
        .text("status", status)
        .text("note", note))
}

fn basic(tuple: &Element) -> Option<String> {
    Some(tuple.find(PIDF, "status")?.find(PIDF, "basic")?.text())
}

fn note(of: &Element, namespace: &str) -> Option<String> {
    of.find(namespace, "note").map(Element::text).filter(|note| !note.is_empty())
}

//! Dialogs: `application/dialog-info+xml` (RFC 4235).

use super::Item;
use super::table::{Shape, rows};
use crate::wire::xml::tree::Element;

const NAMESPACE: &str = "urn:ietf:params:xml:ns:dialog-info";

pub(super) const SHAPE: Shape = Shape {
    namespace: NAMESPACE,
    root: "dialog-info",
    rows: &["dialog"],
    order: &[
        "dialog",
        "state",
        "duration",
        "replaces",
        "referred-by",
        "route-set",
        "local",
        "remote",
        "identity",
        "target",
        "session-description",
        "cseq",
    ],
    is_over: |row| row.find(NAMESPACE, "state").is_some_and(|state| state.text() == "terminated"),
    // The end of a dialog is mostly told without its parties.
    fleeting: Some(&["duration"]),
    passes_late: true,
    changes,
};

/// One for each dialog that differs. What has gone without a word counts as terminated.
fn changes(old: Option<&Element>, new: &Element) -> Vec<Item> {
    let entity = new.attribute("entity");
    let known = old.map(|old| rows(old, NAMESPACE, "dialog")).unwrap_or_default();
    let dialogs = rows(new, NAMESPACE, "dialog");
    let mut items = Vec::new();
    for (id, dialog) in &dialogs {
        if known.get(id) != Some(dialog) {
            let state = dialog.find(NAMESPACE, "state").map(Element::text);
            items.push(item(entity, dialog, state));
        }
    }
    for (_, dialog) in known.iter().filter(|(id, d)| !dialogs.contains_key(**id) && !(SHAPE.is_over)(d)) {
        items.push(item(entity, dialog, Some("terminated".to_owned())));
    }
    items
}

fn item(entity: Option<&str>, dialog: &Element, state: Option<String>) -> Item {
    Item::new("sip.dialog", ("entity", entity))
        .text("entity", entity)
        .text("dialog_id", dialog.attribute("id"))
        .text("state", state)
        .text("direction", dialog.attribute("direction"))
        .text("local_uri", party(dialog, "local"))
        .text("remote_uri", party(dialog, "remote"))
}

/// Who a party is, or else where it is.
fn party(dialog: &Element, name: &str) -> Option<String> {
    let party = dialog.find(NAMESPACE, name)?;
    let identity = party.find(NAMESPACE, "identity").map(Element::text).filter(|uri| !uri.is_empty());
    identity.or_else(|| party.find(NAMESPACE, "target")?.attribute("uri").map(str::to_owned))
}

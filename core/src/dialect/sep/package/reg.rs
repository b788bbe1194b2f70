//! Registrations: `application/reginfo+xml` (RFC 3680).

use std::collections::BTreeMap;

use super::Item;
use super::table::{Shape, rows};
use crate::wire::xml::tree::Element;

const NAMESPACE: &str = "urn:ietf:params:xml:ns:reginfo";

pub(super) const SHAPE: Shape = Shape {
    namespace: NAMESPACE,
    root: "reginfo",
    rows: &["registration", "contact"],
    order: &["registration", "contact", "uri", "display-name", "unknown-param"],
    is_over: |row| row.attribute("state") == Some("terminated"),
    fleeting: None,
    passes_late: false,
    changes,
};

/// One for each contact that differs; one for a registration that differs in none. What has gone without a word counts
/// as terminated.
fn changes(old: Option<&Element>, new: &Element) -> Vec<Item> {
    let mut items = Vec::new();
    let known = old.map(registrations).unwrap_or_default();
    let registrations = registrations(new);
    for (id, registration) in &registrations {
        let before = items.len();
        let old = known.get(id).copied();
        let state = registration.attribute("state");
        let known = old.map(contacts).unwrap_or_default();
        let contacts = contacts(registration);
        for (id, contact) in &contacts {
            if known.get(id) != Some(contact) {
                items.push(of_contact(registration, state, contact, contact.attribute("state")));
            }
        }
        for (_, contact) in known.iter().filter(|(id, c)| !contacts.contains_key(**id) && !(SHAPE.is_over)(c))
        {
            items.push(of_contact(registration, state, contact, Some("terminated")));
        }
        if items.len() == before && old.is_none_or(|old| old.attributes != registration.attributes) {
            items.push(of_registration(registration, state));
        }
    }
    for (_, gone) in known.iter().filter(|(id, r)| !registrations.contains_key(**id) && !(SHAPE.is_over)(r)) {
        let before = items.len();
        for contact in contacts(gone).into_values().filter(|c| !(SHAPE.is_over)(c)) {
            items.push(of_contact(gone, Some("terminated"), contact, Some("terminated")));
        }
        if items.len() == before {
            items.push(of_registration(gone, Some("terminated")));
        }
    }
    items
}

fn registrations(root: &Element) -> BTreeMap<&str, &Element> {
    rows(root, NAMESPACE, "registration")
}

fn contacts(registration: &Element) -> BTreeMap<&str, &Element> {
    rows(registration, NAMESPACE, "contact")
}

fn of_registration(registration: &Element, state: Option<&str>) -> Item {
    let aor = registration.attribute("aor");
    Item::new("sip.reg", ("aor", aor)).text("aor", aor).text("state", state)
}

fn of_contact(
    registration: &Element,
    state: Option<&str>,
    contact: &Element,
    contact_state: Option<&str>,
) -> Item {
    let uri = contact.find(NAMESPACE, "uri").map(Element::text);
    let user_agent = contact.attribute("user_agent").filter(|agent| !agent.is_empty() && *agent != "n/a");
    of_registration(registration, state)
        .text("contact_uri", uri)
        .text("contact_state", contact_state)
        .text("event", contact.attribute("event"))
        .number("expires", contact.attribute("expires"))
        .text("user_agent", user_agent)
}

//! Registrations: `application/reginfo+xml` (RFC 3680).

use super::Item;
use super::table::{Shape, key};
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
    for registration in registrations(new) {
        let before = items.len();
        let old = old.and_then(|old| registrations(old).find(|r| key(r) == key(registration)));
        for contact in contacts(registration) {
            let known = old.and_then(|old| contacts(old).find(|c| key(c) == key(contact)));
            if known != Some(contact) {
                let state = contact.attribute("state");
                items.push(of_contact(registration, registration.attribute("state"), contact, state));
            }
        }
        for contact in old.into_iter().flat_map(contacts).filter(|c| !(SHAPE.is_over)(c)) {
            if !contacts(registration).any(|c| key(c) == key(contact)) {
                let state = registration.attribute("state");
                items.push(of_contact(registration, state, contact, Some("terminated")));
            }
        }
        let same = old.is_some_and(|old| old.attributes == registration.attributes);
        if items.len() == before && !same {
            items.push(of_registration(registration, registration.attribute("state")));
        }
    }
    let gone = old.into_iter().flat_map(registrations).filter(|r| !(SHAPE.is_over)(r));
    for registration in gone.filter(|r| !registrations(new).any(|known| key(known) == key(r))) {
        let before = items.len();
        for contact in contacts(registration).filter(|c| !(SHAPE.is_over)(c)) {
            items.push(of_contact(registration, Some("terminated"), contact, Some("terminated")));
        }
        if items.len() == before {
            items.push(of_registration(registration, Some("terminated")));
        }
    }
    items
}

fn registrations(root: &Element) -> impl Iterator<Item = &Element> {
    root.all(NAMESPACE, "registration")
}

fn contacts(registration: &Element) -> impl Iterator<Item = &Element> {
    registration.all(NAMESPACE, "contact")
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

//! Contacts: where the phones of an address of record are reached, as they register and are found alive.

use serde::{Deserialize, Serialize};

use super::read::{number, said};
use super::resync::Aspect;
use super::{Facts, Mirror, Open, Say, key, within};
use crate::source::asterisk::scope::Place;
use crate::wire::ami::Message;

/// One contact of an address of record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Contact {
    pub(super) aor: Box<str>,
    pub(super) uri: Box<str>,
    endpoint: Option<Box<str>>,
    /// What the PBX says of it: `Reachable`, `Unreachable`, `NonQualified`.
    status: Option<Box<str>>,
    /// When it expires, in seconds since 1970.
    expires: Option<u64>,
    agent: Option<Box<str>>,
}

impl Contact {
    /// The contact that an event shows.
    fn of_event(message: &Message<'_>) -> Option<Contact> {
        Some(Contact {
            aor: said(message, "AOR")?,
            uri: said(message, "URI")?,
            endpoint: said(message, "EndpointName"),
            status: said(message, "ContactStatus"),
            expires: number(message, "RegExpire"),
            agent: said(message, "UserAgent"),
        })
    }

    /// The contact of a list, where its name begins with the address of record: `100;@3ae2…`, `100@@3ae2…`.
    pub(super) fn of_list(message: &Message<'_>) -> Option<Contact> {
        let name = said(message, "ObjectName")?;
        let aor = name.split_once(";@").or_else(|| name.split_once("@@")).map_or(&*name, |(aor, _)| aor);
        Some(Contact {
            aor: aor.into(),
            uri: said(message, "Uri")?,
            endpoint: said(message, "Endpoint"),
            status: said(message, "Status"),
            expires: number(message, "ExpirationTime").filter(|at| *at > 0),
            agent: said(message, "UserAgent"),
        })
    }

    pub(super) fn id(&self) -> Box<str> {
        within(&self.aor, &self.uri)
    }
}

impl Mirror {
    pub(super) fn contact_changed(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let Some(contact) = Contact::of_event(message) else { return };
        let id = contact.id();
        self.touch(Aspect::Contact, &id);
        if contact.status.as_deref() == Some("Removed") {
            self.end_contact(&id, say);
        } else {
            self.set_contact(contact, say);
        }
    }

    /// A contact is there; told if it is new, or is reached where it was not.
    pub(super) fn set_contact(&mut self, mut contact: Contact, say: &mut Say<'_>) {
        let id = contact.id();
        let before = self.contacts.get(&id);
        // That a phone answers, or does not any more, is no event of its registration.
        let event = match before {
            None => Some("registered"),
            Some(before) if contact.expires.is_some() && contact.expires != before.expires => {
                Some("refreshed")
            }
            Some(_) => None,
        };
        // Events say less than lists.
        if let Some(before) = before {
            contact.agent = contact.agent.or_else(|| before.agent.clone());
            contact.expires = contact.expires.or(before.expires);
            contact.endpoint = contact.endpoint.or_else(|| before.endpoint.clone());
        }
        let changed = before.is_none_or(|before| before.status != contact.status);
        self.contacts.put(&id, contact.clone());
        if changed {
            self.tell_contact(&contact, "active", event, Open::Opens(key("contact", &id)), say);
        }
    }

    pub(super) fn end_contact(&mut self, id: &str, say: &mut Say<'_>) {
        if let Some(mut contact) = self.contacts.take(id) {
            contact.status = None;
            self.tell_contact(
                &contact,
                "terminated",
                Some("unregistered"),
                Open::Closes(key("contact", id)),
                say,
            );
        }
    }

    /// Tells a contact in the words of the reg event package (RFC 3680 section 4.1).
    fn tell_contact(
        &self,
        contact: &Contact,
        state: &str,
        event: Option<&str>,
        open: Open,
        say: &mut Say<'_>,
    ) {
        let others = !self.contacts.under(&format!("{}/", contact.aor)).is_empty();
        let device = format!("PJSIP/{}", contact.endpoint.as_deref().unwrap_or(&contact.aor));
        let left =
            contact.expires.map(|at| at.saturating_sub(say.wall.0 / 1000)).filter(|_| state == "active");
        let facts = Facts::default()
            .text("aor", &*contact.aor)
            .text("state", if others { "active" } else { "terminated" })
            .text("contact_uri", &*contact.uri)
            .text("contact_state", state)
            .text("event", event)
            .number("expires", left)
            .text("user_agent", contact.agent.as_deref())
            .text("status", contact.status.as_deref())
            .and(self.phone(&device));
        let scope = self.scope_of(&Place { device: Some(&device), ..Place::default() });
        say.tell("sip.reg", format!("aor/{}", contact.aor), facts, scope, open);
    }
}

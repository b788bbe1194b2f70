//! What has a state and no end: devices, extensions, the presence of users, mailboxes. A state that was told is not told
//! again.

use super::read::{endpoint, number, said};
use super::resync::Aspect;
use super::{Facts, Mirror, Open, Say};
use crate::source::asterisk::scope::Place;
use crate::wire::ami::Message;

/// A state, and whose.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) event_type: &'static str,
    /// Resource type and id.
    pub(super) subject: String,
    facts: Facts,
    scope: Vec<(&'static str, Box<str>)>,
}

impl Mirror {
    pub(super) fn device_changed(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let state = self.device(message);
        self.changed(state, say);
    }

    pub(super) fn extension_changed(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        self.hinted(message);
        let state = self.extension_state(message);
        self.changed(state, say);
    }

    pub(super) fn presence_changed(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let state = self.presence(message);
        self.changed(state, say);
    }

    pub(super) fn mailbox_changed(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let waiting = number(message, "Waiting").map(|waiting| waiting > 0);
        let counts = [number(message, "New"), number(message, "Old")];
        let state = said(message, "Mailbox").map(|mailbox| self.mailbox(&mailbox, waiting, counts));
        self.changed(state, say);
    }

    fn changed(&mut self, state: Option<State>, say: &mut Say<'_>) {
        let Some(state) = state else { return };
        self.touch(Aspect::State, &state.subject);
        self.set_state(state, say);
    }

    /// Tells a state that differs from the one before.
    pub(super) fn set_state(&mut self, state: State, say: &mut Say<'_>) {
        let states = self.states.entry(state.event_type).or_default();
        if states.get(&state.subject) != Some(&state.facts) {
            states.put(&state.subject, state.facts.clone());
            say.tell(state.event_type, state.subject, state.facts, state.scope, Open::No);
        }
    }

    /// A device's state; halves of Local channels have one as well, which tells nothing.
    pub(super) fn device(&self, message: &Message<'_>) -> Option<State> {
        let device = said(message, "Device").filter(|device| !device.starts_with("Local/"))?;
        let facts = Facts::default()
            .text("device", &*device)
            .text("state", said(message, "State").as_deref())
            .and(self.phone(&device));
        let scope = self.scope_of(&Place { device: Some(&device), ..Place::default() });
        Some(State { event_type: "device.state", subject: format!("device/{device}"), facts, scope })
    }

    /// Learns which extension's phone a device is.
    pub(super) fn hinted(&mut self, message: &Message<'_>) {
        let (Some(extension), Some(hint)) = (said(message, "Exten"), message.text("Hint")) else { return };
        let context = said(message, "Context").unwrap_or_default();
        self.hints.put(&format!("{extension}@{context}"), hint.trim());
        while let Some(id) = self.hints.beyond(self.most) {
            self.hints.take(&id);
            self.forgotten += 1;
        }
    }

    pub(super) fn extension_state(&self, message: &Message<'_>) -> Option<State> {
        let (extension, context) = (said(message, "Exten")?, said(message, "Context").unwrap_or_default());
        let facts = Facts::default()
            .text("extension", &*extension)
            .text("context", &*context)
            .text("state", said(message, "StatusText").as_deref())
            .text("username", user(message).as_deref());
        let scope = self.scope_of(&Place { context: Some(&context), ..Place::default() });
        let subject = format!("extension/{extension}@{context}");
        Some(State { event_type: "extension.state", subject, facts, scope })
    }

    /// Presence has the words that iSymphony has for `statusType` (its reference, section 2.2).
    fn presence(&self, message: &Message<'_>) -> Option<State> {
        let (extension, context) = (said(message, "Exten")?, said(message, "Context").unwrap_or_default());
        let username = user(message).unwrap_or_else(|| extension.clone());
        let facts = Facts::default()
            .text("username", &*username)
            .text("extension", &*extension)
            .text("status_type", said(message, "Status").as_deref())
            .text("note", said(message, "Message").as_deref());
        let scope = self.scope_of(&Place { context: Some(&context), ..Place::default() });
        Some(State { event_type: "user.status", subject: format!("user/{username}"), facts, scope })
    }

    pub(super) fn mailbox(
        &self,
        mailbox: &str,
        waiting: Option<bool>,
        [new, old]: [Option<u64>; 2],
    ) -> State {
        let facts = Facts::default()
            .text("account", mailbox)
            .flag("waiting", waiting)
            .number("new", new)
            .number("old", old);
        let scope = self.scope_of(&Place::default());
        State { event_type: "sip.message_summary", subject: format!("account/{mailbox}"), facts, scope }
    }
}

/// The endpoint that a hint names first.
fn user(message: &Message<'_>) -> Option<Box<str>> {
    let hint = said(message, "Hint")?;
    let device = hint.split([',', '&']).next().filter(|device| device.contains('/'))?;
    Some(endpoint(device).into())
}

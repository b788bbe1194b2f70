//! What happens in a call: dialling, digits, hold, transfers.

use super::channels::{Dial, Role};
use super::read::{number, said, text};
use super::snapshot::Snapshot;
use super::{Facts, Mirror, Open, Say};
use crate::wire::ami::Message;

impl Mirror {
    /// The PBX calls somebody; the event is of the leg to whom.
    pub(super) fn dial_begins(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        if let Some(snapshot) = Snapshot::of(message, "") {
            self.see(message, &snapshot);
        }
        let Some(dialled) = Snapshot::of(message, "Dest") else { return };
        let Some(id) = self.see(message, &dialled) else { return };
        let Some(channel) = self.channels.get_mut(&id) else { return };
        if channel.role == Role::Unknown {
            channel.role = Role::Outbound;
        }
        if channel.role != Role::Outbound || channel.dial != Dial::No {
            return;
        }
        channel.dial = Dial::Begun;
        let to = said(message, "DialString");
        let more = Facts::default().text("state", "begin").text("dial_string", to.as_deref());
        self.tell_open(&id, "call.dial", more, say);
    }

    pub(super) fn dial_goes_on(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let Some(dialled) = Snapshot::of(message, "Dest") else { return };
        let Some(id) = self.see(message, &dialled) else { return };
        let Some(channel) = self.channels.get(&id).filter(|channel| channel.told && channel.is_leg()) else {
            return;
        };
        if message.get("DialStatus") == Some(b"PROGRESS") {
            self.tell(channel, "call.progress", Facts::default(), say);
        }
    }

    pub(super) fn dial_ends(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let Some(dialled) = Snapshot::of(message, "Dest") else { return };
        let Some(id) = self.see(message, &dialled) else { return };
        let Some(channel) = self.channels.get_mut(&id) else { return };
        // A queue ends its calls twice.
        if channel.dial != Dial::Begun {
            return;
        }
        channel.dial = Dial::Ended;
        let status = said(message, "DialStatus");
        let more = Facts::default().text("state", "end").text("status", status.as_deref());
        self.tell_open(&id, "call.dial", more, say);
    }

    /// A digit, when its key is let go. One that the PBX sends on to the other leg was told already.
    pub(super) fn digit(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let Some(leg) = self.told_leg(message) else { return };
        if message.get("Direction") == Some(b"Received") {
            let digit = said(message, "Digit");
            let facts = Facts::default().text("digits", digit.as_deref());
            let facts = facts.number("duration_ms", number(message, "DurationMs"));
            self.tell(&leg, "call.dtmf", facts, say);
        }
    }

    /// Hold is a status of a call, and `HOLD` a word that clients of `call.status` know (reference of WCS, section 2.4);
    /// the party that has the leg put the other one on hold.
    pub(super) fn held(&mut self, message: &Message<'_>, held: bool, say: &mut Say<'_>) {
        let Some(id) = self.subject(message) else { return };
        let Some(channel) = self.channels.get_mut(&id).filter(|channel| channel.told) else { return };
        // A transfer takes everybody off hold, whether or not they were.
        if channel.on_hold == held {
            return;
        }
        channel.on_hold = held;
        let status = if held { "HOLD" } else { "ESTABLISHED" };
        self.tell_open(&id, "call.status", Facts::default().text("status", status), say);
    }

    pub(super) fn blind_transfer(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let to = message.get("Extension").and_then(text);
        let more = Facts::default().text("called_number", to.as_deref()).text("transfer", "blind");
        self.transfer(message, "Transferer", more, say);
    }

    pub(super) fn attended_transfer(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let target = Snapshot::of(message, "TransferTarget").unwrap_or_default();
        let [id, number, name] = [target.id, target.caller_number, target.caller_name].map(text);
        let more = Facts::default()
            .text("called_number", number.as_deref())
            .text("called_name", name.as_deref())
            .text("transfer", "attended")
            .text("target_call_id", id.as_deref());
        self.transfer(message, "OrigTransferer", more, say);
    }

    /// The event is of the leg that goes on; who transferred it stands beside.
    fn transfer(&mut self, message: &Message<'_>, by: &str, more: Facts, say: &mut Say<'_>) {
        let transferer = Snapshot::of(message, by).unwrap_or_default();
        let transferee = Snapshot::of(message, "Transferee").unwrap_or(transferer);
        let [leg, by, number] = [transferee.id, transferer.id, transferer.caller_number].map(text);
        let Some(channel) = leg.and_then(|leg| self.channels.get(&leg)).filter(|channel| channel.told) else {
            return;
        };
        let status = said(message, "Result");
        let more = more
            .text("status", status.as_deref())
            .text("transferer_call_id", by.as_deref())
            .text("transferer_number", number.as_deref());
        let facts = self.leg(channel).and(more);
        say.tell("call.transfer", format!("call/{}", channel.id), facts, self.scope(channel), Open::No);
    }
}

//! Hints: which extension's phone a device is. What is absent here: the states of both.

use std::collections::{BTreeMap, BTreeSet};

use super::held::Held;

/// The hints of a PBX.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// The devices that each names, by extension and context.
    devices: Held<Vec<Box<str>>>,
    /// The hints that name a device, each with the number of phones that it names. The device is the phone of the first.
    named: BTreeMap<Box<str>, BTreeSet<(usize, Box<str>)>>,
}

impl Hints {
    /// Learns the hint of an extension, `100@office`, in place of the one before. It is devices, joined by `&`, then presence
    /// behind a comma; an empty one is none.
    pub(super) fn put(&mut self, id: &str, hint: &str) {
        self.take(id);
        let devices = hint.split(',').next().into_iter().flat_map(|devices| devices.split('&'));
        let devices: Vec<Box<str>> = devices.filter(|device| !device.is_empty()).map(Into::into).collect();
        // `Custom:lamp` is no phone.
        let phones = devices.iter().filter(|device| device.contains('/')).count();
        for device in &devices {
            self.named.entry(device.clone()).or_default().insert((phones, id.into()));
        }
        if !devices.is_empty() {
            self.devices.put(id, devices);
        }
    }

    /// Forgets it.
    pub(super) fn take(&mut self, id: &str) {
        for device in self.devices.take(id).unwrap_or_default() {
            if let Some(hints) = self.named.get_mut(&device) {
                hints.retain(|(_, there)| **there != *id);
                if hints.is_empty() {
                    self.named.remove(&device);
                }
            }
        }
    }

    /// Forgets all but those that `stay`.
    pub(super) fn retain(&mut self, stay: impl Fn(&str) -> bool) {
        for id in self.devices.under("").into_iter().filter(|id| !stay(id)) {
            self.take(&id);
        }
    }

    /// The extension whose phone a device is: one that has no other phone comes first.
    pub(super) fn extension(&self, device: &str) -> Option<&str> {
        let (_, id) = self.named.get(device)?.first()?;
        Some(id.rsplit_once('@').map_or(id, |(extension, _)| extension))
    }

    /// The oldest, if there are more than `most`.
    pub(super) fn beyond(&self, most: usize) -> Option<Box<str>> {
        self.devices.beyond(most)
    }

    pub(super) fn len(&self) -> usize {
        self.devices.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After hints were learnt in turn, a device is the phone of that extension.
    fn check(learnt: &[(&str, &str)], device: &str, expected: Option<&str>) {
        let mut hints = Hints::default();
        learnt.iter().for_each(|(id, hint)| hints.put(id, hint));
        assert_eq!(hints.extension(device), expected, "{learnt:?}");
    }

    #[test]
    fn whose_phone_a_device_is() {
        let group = ("600@office", "PJSIP/100&PJSIP/101");
        check(&[group], "PJSIP/100", Some("600"));
        check(&[group, ("700@office", "PJSIP/100&Custom:dnd,CustomPresence:x")], "PJSIP/100", Some("700"));
        check(&[("100@office", "PJSIP/100"), group], "PJSIP/100", Some("100"));
        // A phone moves, or has no hint any more.
        check(&[("100@office", "PJSIP/100"), ("100@office", "PJSIP/7")], "PJSIP/100", None);
        check(&[("100@office", "PJSIP/100"), ("100@office", "PJSIP/7")], "PJSIP/7", Some("100"));
        check(&[("100@office", "PJSIP/100"), ("100@office", "")], "PJSIP/100", None);
    }
}

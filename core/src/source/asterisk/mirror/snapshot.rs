//! A channel as a message shows it: nearly every event carries one, some carry several under prefixes.

use crate::wire::ami::Message;

/// What a message says of one channel; the bytes are as they came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Snapshot<'a> {
    pub(super) id: &'a [u8],
    pub(super) linked: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) state: &'a [u8],
    pub(super) caller_number: &'a [u8],
    pub(super) caller_name: &'a [u8],
    pub(super) connected_number: &'a [u8],
    pub(super) connected_name: &'a [u8],
    pub(super) context: &'a [u8],
    pub(super) exten: &'a [u8],
}

impl<'a> Snapshot<'a> {
    /// The channel whose keys begin with `prefix`; one without a `Uniqueid` is none.
    pub(super) fn of(message: &Message<'a>, prefix: &str) -> Option<Snapshot<'a>> {
        let mut snapshot = Snapshot::default();
        for (key, value) in message.fields() {
            let Some(key) = key.strip_prefix(prefix.as_bytes()) else { continue };
            let place = match key {
                b"Uniqueid" => &mut snapshot.id,
                b"Linkedid" => &mut snapshot.linked,
                b"Channel" => &mut snapshot.name,
                b"ChannelState" => &mut snapshot.state,
                b"CallerIDNum" => &mut snapshot.caller_number,
                b"CallerIDName" => &mut snapshot.caller_name,
                b"ConnectedLineNum" => &mut snapshot.connected_number,
                b"ConnectedLineName" => &mut snapshot.connected_name,
                b"Context" => &mut snapshot.context,
                b"Exten" => &mut snapshot.exten,
                _ => continue,
            };
            if place.is_empty() {
                *place = value;
            }
        }
        (!snapshot.id.is_empty()).then_some(snapshot)
    }
}

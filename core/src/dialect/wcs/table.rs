//! The hooks by name: their type, and the event that a failed operation is told in.

use std::collections::BTreeMap;

/// A hook's type: when it is called, and what a refusal leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Type 1: `connect`. It comes before the session and may always refuse it.
    Connect,
    /// Type 2: what a client asked for. It comes before the operation.
    Direct,
    /// Type 3: something has happened. It comes after the client was told.
    Event,
    /// Type 4: something arrives for the client. It comes before the client is told.
    Incoming,
}

impl Kind {
    /// The type of this number.
    #[must_use]
    pub fn of_number(number: u8) -> Option<Kind> {
        Some(match number {
            1 => Kind::Connect,
            2 => Kind::Direct,
            3 => Kind::Event,
            4 => Kind::Incoming,
            _ => return None,
        })
    }
}

/// `StreamKeepAliveEvent`: switched on per application, and a failure ends the stream.
pub const STREAM_KEEP_ALIVE: &str = "StreamKeepAliveEvent";

/// `connect`: what stands before every session.
pub const CONNECT: &str = "connect";

/// `OnDataEvent`: the one direct hook whose success is told as well.
pub const ON_DATA: &str = "OnDataEvent";

const STREAM: &str = "StreamStatusEvent";
const CALL: &str = "CallStatusEvent";
const ERROR: &str = "ErrorStatusEvent";

/// Name, type, and for type 2 the operation's own event. A refused `sendDtmf` must not end the call, so it has the
/// event that ends nothing.
const HOOKS: &[(&str, Kind, &str)] = &[
    (CONNECT, Kind::Connect, "ConnectionStatusEvent"),
    ("call", Kind::Direct, CALL),
    ("answer", Kind::Direct, CALL),
    ("hold", Kind::Direct, CALL),
    ("unhold", Kind::Direct, CALL),
    ("transfer", Kind::Direct, "TransferStatusEvent"),
    ("sendDtmf", Kind::Direct, ERROR),
    ("sendMessage", Kind::Direct, "MessageStatusEvent"),
    ("sendIMDN", Kind::Direct, "MessageStatusEvent"),
    ("subscribe", Kind::Direct, "SubscriptionStatusEvent"),
    ("sendXcapRequest", Kind::Direct, "XcapStatusEvent"),
    ("publishStream", Kind::Direct, STREAM),
    ("playStream", Kind::Direct, STREAM),
    ("playHLS", Kind::Direct, STREAM),
    ("playRTSP", Kind::Direct, STREAM),
    (ON_DATA, Kind::Direct, "DataStatusEvent"),
    ("submitBugReport", Kind::Direct, "BugReportStatusEvent"),
    ("pauseStream", Kind::Direct, STREAM),
    ("snapshot", Kind::Direct, STREAM),
    ("pushLogs", Kind::Direct, ERROR),
    ("sessionDebug", Kind::Direct, "SessionDebugStatusEvent"),
    ("availableStream", Kind::Direct, "availableStream"),
    ("hangup", Kind::Direct, CALL),
    ("unPublishStream", Kind::Direct, STREAM),
    ("stopStream", Kind::Direct, STREAM),
    ("ConnectionStatusEvent", Kind::Event, ""),
    ("RegistrationStatusEvent", Kind::Event, ""),
    (CALL, Kind::Event, ""),
    ("TransferStatusEvent", Kind::Event, ""),
    (STREAM, Kind::Event, ""),
    (STREAM_KEEP_ALIVE, Kind::Event, ""),
    ("SessionDebugStatusEvent", Kind::Event, ""),
    ("DataStatusEvent", Kind::Event, ""),
    ("BugReportStatusEvent", Kind::Event, ""),
    ("MessageStatusEvent", Kind::Event, ""),
    ("RecordingStatusEvent", Kind::Event, ""),
    ("SubscriptionStatusEvent", Kind::Event, ""),
    ("XcapStatusEvent", Kind::Event, ""),
    ("StreamsStatEvent", Kind::Event, ""),
    ("StreamTranscodingGroupEvent", Kind::Event, ""),
    (ERROR, Kind::Event, ""),
    ("OnCallEvent", Kind::Incoming, ""),
    ("OnMessageEvent", Kind::Incoming, ""),
    ("OnTransferEvent", Kind::Incoming, ""),
];

/// All names of the vendor's hooks.
pub fn names() -> impl Iterator<Item = &'static str> {
    HOOKS.iter().map(|(name, ..)| *name)
}

/// The wire form of a name: the vendor's pages write `sendDTMF` where the server sends `sendDtmf`.
#[must_use]
pub fn wire_name(name: &str) -> &str {
    if name == "sendDTMF" { "sendDtmf" } else { name }
}

/// A hook's type: the vendor's, or that of `extra_hooks`.
#[must_use]
pub fn kind(name: &str, extra: &BTreeMap<String, u8>) -> Option<Kind> {
    let row = HOOKS.iter().find(|(known, ..)| *known == name);
    row.map(|(_, kind, _)| *kind).or_else(|| Kind::of_number(*extra.get(name)?))
}

/// The event that a stopped operation is told in; `None` if it has none of its own.
#[must_use]
pub fn own_event(name: &str) -> Option<&'static str> {
    let (.., event) = HOOKS.iter().find(|(known, ..)| *known == name)?;
    (!event.is_empty()).then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_have_their_types() {
        let none = BTreeMap::new();
        for (name, expected) in [
            ("connect", Some(Kind::Connect)),
            ("publishStream", Some(Kind::Direct)),
            ("OnDataEvent", Some(Kind::Direct)),
            ("StreamStatusEvent", Some(Kind::Event)),
            ("OnCallEvent", Some(Kind::Incoming)),
            ("streamStatusEvent", None),
            ("MyHook", None),
        ] {
            assert_eq!(kind(name, &none), expected, "{name}");
        }
        assert_eq!(kind("MyHook", &BTreeMap::from([("MyHook".to_owned(), 3)])), Some(Kind::Event));
        assert_eq!(wire_name("sendDTMF"), "sendDtmf");
        let direct = HOOKS.iter().filter(|(_, kind, _)| *kind == Kind::Direct);
        assert!(direct.clone().count() == 24 && direct.clone().all(|(name, ..)| own_event(name).is_some()));
        assert_eq!(names().collect::<std::collections::BTreeSet<_>>().len(), HOOKS.len(), "each once");
    }
}

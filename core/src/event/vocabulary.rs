//! The vocabulary: each canonical event type and its word in every dialect that has one. This table is data in one
//! place; the config file adds rows ([`crate::ground::config::VocabularyRow`]).

use std::collections::{BTreeMap, BTreeSet};

use crate::ground::config::VocabularyRow;

use super::index::Map;

/// A dialect that has words of its own for event types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tongue {
    /// XMS event types.
    Xms,
    /// iSymphony event types.
    Isymphony,
    /// WCS REST hooks.
    Wcs,
    /// ISR event types.
    Isr,
}

/// Words that may appear on an XMS stream: the event types of the XMS 3.5 schema, `cpa` (vendor page), and
/// `media_started` and `transfer` (the vendor's sample clients).
pub const XMS_WORDS: &[&str] = &[
    "end_play",
    "end_record",
    "end_playcollect",
    "end_playrecord",
    "end_overlay",
    "end_dtmf",
    "keepalive",
    "incoming",
    "ringing",
    "connected",
    "hangup",
    "info",
    "dtmf",
    "tone",
    "end_speak",
    "start_of_input",
    "end_recognize",
    "answered",
    "accepted",
    "updated",
    "active_talker",
    "alarm",
    "prack",
    "conf_overlay_expired",
    "message",
    "end_send_message",
    "stream",
    "speech_marker",
    "start_play",
    "end_event",
    "progress",
    "prack_ack",
    "status",
    "info_ack",
    "cpa",
    "media_started",
    "transfer",
];

/// Words of XMS whose `event_data` hold the call's id as `call_id`, set from the resource where the event lacks it.
pub const XMS_WITH_CALL_ID: &[&str] = &[
    "incoming",
    "ringing",
    "connected",
    "accepted",
    "answered",
    "stream",
    "media_started",
    "hangup",
    "dtmf",
    "info",
    "tone",
    "cpa",
];

/// A canonical type, then its word for XMS, iSymphony, WCS and ISR; an empty word is none.
type BuiltIn = (&'static str, &'static str, &'static str, &'static str, &'static str);

#[rustfmt::skip]
const ROWS: &[BuiltIn] = &[
    ("call.incoming", "incoming", "callIncoming", "", ""),
    ("call.ringing", "ringing", "callRinging", "", ""),
    ("call.accepted", "accepted", "callAccepted", "", ""),
    ("call.answered", "answered", "callAnswered", "", ""),
    ("call.connected", "connected", "callConnected", "", ""),
    ("call.updated", "updated", "callUpdated", "", ""),
    ("call.progress", "progress", "callProgress", "", ""),
    ("call.stream", "stream", "callStream", "", ""),
    ("call.dtmf", "dtmf", "callDtmf", "", ""),
    ("call.info", "info", "callInfo", "", ""),
    ("call.cpa", "cpa", "callCpa", "", ""),
    ("call.tone", "tone", "callTone", "", ""),
    ("call.alarm", "alarm", "callAlarm", "", ""),
    ("call.transfer", "transfer", "callTransfer", "", ""),
    ("call.hangup", "hangup", "hangup", "", ""),
    ("call.dial", "", "dial", "", ""),
    ("call.link_start", "", "linkStart", "", ""),
    ("call.link_end", "", "linkEnd", "", ""),
    ("call.status", "", "callStatus", "CallStatusEvent", ""),
    ("call.message", "message", "callMessage", "", ""),
    ("call.end_send_message", "end_send_message", "callEndSendMessage", "", ""),
    ("media.started", "media_started", "mediaStarted", "", ""),
    ("media.start_play", "start_play", "mediaStartPlay", "", ""),
    ("media.end_play", "end_play", "mediaEndPlay", "", ""),
    ("media.end_playcollect", "end_playcollect", "mediaEndPlaycollect", "", ""),
    ("media.end_playrecord", "end_playrecord", "mediaEndPlayrecord", "", ""),
    ("media.end_record", "end_record", "mediaEndRecord", "", ""),
    ("media.end_overlay", "end_overlay", "mediaEndOverlay", "", ""),
    ("media.end_dtmf", "end_dtmf", "mediaEndDtmf", "", ""),
    ("media.end_speak", "end_speak", "mediaEndSpeak", "", ""),
    ("media.start_of_input", "start_of_input", "mediaStartOfInput", "", ""),
    ("media.end_recognize", "end_recognize", "mediaEndRecognize", "", ""),
    ("media.speech_marker", "speech_marker", "mediaSpeechMarker", "", ""),
    ("conference.active_talker", "active_talker", "conferenceActiveTalker", "", ""),
    ("conference.overlay_expired", "conf_overlay_expired", "conferenceOverlayExpired", "", ""),
    ("conference.join", "", "confRoomCallJoin", "", ""),
    ("conference.leave", "", "confRoomCallLeave", "", ""),
    ("user.login", "", "userLogin", "", ""),
    ("user.logout", "", "userLogout", "", ""),
    ("user.status", "", "userStatus", "", ""),
    ("agent.login", "", "agentLogin", "", ""),
    ("agent.logout", "", "agentLogout", "", ""),
    ("agent.paused", "", "agentPaused", "", ""),
    ("agent.resumed", "", "agentResumed", "", ""),
    ("agent.status", "", "agentStatus", "", ""),
    ("agent.called", "", "agentCalled", "", ""),
    ("agent.no_answer", "", "agentNoAnswer", "", ""),
    ("agent.connected", "", "agentConnected", "", ""),
    ("agent.completed", "", "agentCompleted", "", ""),
    ("queue.join", "", "queueJoin", "", ""),
    ("queue.abandon", "", "queueAbandon", "", ""),
    ("queue.leave", "", "queueLeave", "", ""),
    ("device.state", "", "deviceState", "", ""),
    ("extension.state", "", "extensionState", "", ""),
    ("stream.status", "", "streamStatus", "StreamStatusEvent", ""),
    ("stream.keepalive", "", "streamKeepalive", "StreamKeepAliveEvent", ""),
    ("connection.status", "", "connectionStatus", "ConnectionStatusEvent", ""),
    ("registration.status", "", "registrationStatus", "RegistrationStatusEvent", ""),
    ("transfer.status", "", "transferStatus", "TransferStatusEvent", ""),
    ("data.status", "", "dataStatus", "DataStatusEvent", ""),
    ("recording.started", "", "recordingStarted", "", "RECORDING_STARTED_EVENT"),
    ("recording.paused", "", "recordingPaused", "", "RECORDING_PAUSED_EVENT"),
    ("recording.resumed", "", "recordingResumed", "", "RECORDING_RESUMED_EVENT"),
    ("recording.ended", "", "recordingEnded", "", "RECORDING_ENDED_EVENT"),
    ("segment.started", "", "segmentStarted", "", "SEGMENT_STARTED_EVENT"),
    ("segment.ended", "", "segmentEnded", "", "SEGMENT_ENDED_EVENT"),
    ("sip.reg", "", "sipReg", "", ""),
    ("sip.dialog", "", "sipDialog", "", ""),
    ("sip.message_summary", "", "sipMessageSummary", "", ""),
    ("sip.presence", "", "sipPresence", "", ""),
    ("sip.vq_rtcpxr", "", "sipVqRtcpxr", "", ""),
];

/// The table in force.
#[derive(Debug)]
pub struct Vocabulary {
    rows: Map<Box<str>, VocabularyRow>,
    /// Types that have a word of ISR, and the word.
    isr: BTreeMap<Box<str>, Box<str>>,
}

impl Vocabulary {
    /// The built-in rows, then `added` ones, which replace rows of the same type.
    #[must_use]
    pub fn new(added: &[VocabularyRow]) -> Vocabulary {
        let word = |word: &str| (!word.is_empty()).then(|| word.to_owned());
        let built_in = ROWS.iter().map(|(event_type, xms, isymphony, wcs, isr)| VocabularyRow {
            event_type: (*event_type).to_owned(),
            xms: word(xms),
            isymphony: word(isymphony),
            wcs: word(wcs),
            isr: word(isr),
        });
        let mut vocabulary = Vocabulary { rows: Map::default(), isr: BTreeMap::new() };
        for row in built_in.chain(added.iter().cloned()) {
            let event_type: Box<str> = row.event_type.as_str().into();
            match &row.isr {
                Some(word) => vocabulary.isr.insert(event_type.clone(), word.as_str().into()),
                None => vocabulary.isr.remove(&event_type),
            };
            vocabulary.rows.insert(event_type, row);
        }
        vocabulary
    }

    /// The types that have a word of ISR, and the word, by type.
    pub fn isr_words(&self) -> impl Iterator<Item = (&str, &str)> {
        self.isr.iter().map(|(event_type, word)| (&**event_type, &**word))
    }

    /// Each type that has a WCS hook, with its name, where `added` rows replace built-in ones.
    #[must_use]
    pub fn wcs_words(added: &[VocabularyRow]) -> BTreeMap<&str, &str> {
        let built_in = ROWS.iter().map(|(event_type, _, _, wcs, _)| (*event_type, *wcs));
        let added = added.iter().map(|row| (row.event_type.as_str(), row.wcs.as_deref().unwrap_or_default()));
        let mut words: BTreeMap<&str, &str> = built_in.chain(added).collect();
        words.retain(|_, word| !word.is_empty());
        words
    }

    /// The iSymphony types of the table, where `added` rows replace built-in ones.
    #[must_use]
    pub fn isymphony_words(added: &[VocabularyRow]) -> BTreeSet<Box<str>> {
        let built_in = ROWS.iter().map(|(event_type, _, isymphony, ..)| (*event_type, *isymphony));
        let added =
            added.iter().map(|row| (row.event_type.as_str(), row.isymphony.as_deref().unwrap_or_default()));
        let words: BTreeMap<&str, &str> = built_in.chain(added).collect();
        words.into_values().filter(|word| !word.is_empty()).map(Into::into).collect()
    }

    /// The word of `tongue` for a canonical type.
    #[must_use]
    pub fn word(&self, event_type: &str, tongue: Tongue) -> Option<&str> {
        let row = self.rows.get(event_type)?;
        match tongue {
            Tongue::Xms => row.xms.as_deref(),
            Tongue::Isymphony => row.isymphony.as_deref(),
            Tongue::Wcs => row.wcs.as_deref(),
            Tongue::Isr => row.isr.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xms_words_are_in_the_vendors_list() {
        for (event_type, xms, ..) in ROWS {
            assert!(xms.is_empty() || XMS_WORDS.contains(xms), "{event_type}");
        }
        assert!(XMS_WITH_CALL_ID.iter().all(|word| XMS_WORDS.contains(word)));
    }

    #[test]
    fn words() {
        let added = VocabularyRow {
            event_type: "call.park".to_owned(),
            xms: Some("end_event".to_owned()),
            ..VocabularyRow::default()
        };
        let vocabulary = Vocabulary::new(&[added]);
        for (event_type, tongue, word) in [
            ("call.ringing", Tongue::Xms, Some("ringing")),
            ("media.started", Tongue::Xms, Some("media_started")),
            ("conference.overlay_expired", Tongue::Xms, Some("conf_overlay_expired")),
            ("user.login", Tongue::Xms, None),
            ("call.park", Tongue::Xms, Some("end_event")),
            ("no.such", Tongue::Xms, None),
            ("conference.leave", Tongue::Isymphony, Some("confRoomCallLeave")),
            ("stream.status", Tongue::Wcs, Some("StreamStatusEvent")),
            ("segment.ended", Tongue::Isr, Some("SEGMENT_ENDED_EVENT")),
        ] {
            assert_eq!(vocabulary.word(event_type, tongue), word, "{event_type}");
        }
    }
}

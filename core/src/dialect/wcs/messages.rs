//! The messages that a client gets, by the names of the hooks that tell the same to a backend, and the messages that it
//! sends. No session is known here.

use super::envelope::{message, message_of_values};
use super::hook::Fields;
use super::table::{self, Kind, ON_DATA, STREAM_KEEP_ALIVE};
use crate::event::Fact;

/// The event of a session's own beginning and end.
pub const CONNECTION: &str = "ConnectionStatusEvent";

/// What a client sends that has no hook of its own name.
const SEND_STREAM_EVENT: &str = "sendStreamEvent";

/// The text of a field.
#[must_use]
pub fn text_of<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    fields.iter().find(|(n, _)| &**n == name).and_then(|(_, fact)| fact.as_text())
}

/// The frame that tells a client of an event of this status, with the fields that the client may see; `None` if clients
/// are not told of it.
#[must_use]
pub fn frame(hook: &str, status: &str, fields: &Fields) -> Option<Vec<u8>> {
    let name = match (hook, status) {
        (STREAM_KEEP_ALIVE, _) => return None,
        (CONNECTION, "ESTABLISHED") => "getUserData",
        (CONNECTION, "FAILED") => return Some(message("fail", &only(fields, &["status", "info"]))),
        ("StreamStatusEvent", _) => "notifyStreamStatusEvent",
        ("CallStatusEvent", "TRYING") => "notifyTryingResponse",
        ("CallStatusEvent", "RING" | "SESSION_PROGRESS") => "ring",
        ("CallStatusEvent", "ESTABLISHED") => "talk",
        ("CallStatusEvent", "HOLD") => "hold",
        ("CallStatusEvent", "FINISH" | "BUSY" | "FAILED") => "finish",
        ("RegistrationStatusEvent", "REGISTERED") => "registered",
        ("RegistrationStatusEvent", _) => {
            let mut told = vec![("apiMethod".into(), Fact::Text(hook.into()))];
            told.extend(only(fields, &["status", "info"]));
            return Some(message("fail", &told));
        }
        ("TransferStatusEvent", _) => "notifyTransferEvent",
        ("SessionDebugStatusEvent", _) => "notifySessionDebugEvent",
        ("DataStatusEvent", _) => {
            return Some(message(hook, &only(fields, &["operationId", "status", "info"])));
        }
        // Older clients make an ErrorStatusEvent of a `fail` without apiMethod, newer ones a warning.
        ("ErrorStatusEvent", _) => return Some(message("fail", &only(fields, &["info"]))),
        ("OnCallEvent", _) => "notifyIncomingCall",
        ("availableStream", _) => {
            let id = fields.iter().find(|(name, _)| matches!(&**name, "id" | "mediaSessionId"));
            let mut told: Fields = id.map(|(_, id)| ("id".into(), id.clone())).into_iter().collect();
            told.extend(only(fields, &["status", "info"]));
            return Some(message(hook, &told));
        }
        ("setRemoteSDP", _) => {
            let value =
                |name: &str| fields.iter().find(|(n, _)| &**n == name).map_or(&Fact::Null, |(_, v)| v);
            return Some(message_of_values(hook, &[value("mediaSessionId"), value("sdp")]));
        }
        _ => hook,
    };
    Some(message(name, fields))
}

fn only(fields: &Fields, names: &[&str]) -> Fields {
    fields.iter().filter(|(name, _)| names.contains(&&**name)).cloned().collect()
}

/// What a message of a client asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked<'a> {
    /// The session's beginning.
    Connection,
    /// A sign of life that is answered.
    Ping,
    /// Nothing: a sign of life, or what older clients send after they got an event.
    Nothing,
    /// An operation, with the name of its hook.
    Operation(&'a str),
    /// An operation without a hook.
    StreamEvent,
    /// Nobody knows.
    Unknown,
}

/// What a message of this name asks for.
#[must_use]
pub fn asked(name: &str) -> Asked<'_> {
    match name {
        "connection" => Asked::Connection,
        "ping" => Asked::Ping,
        "pong" | "DataStatusEvent" | "notificationResult" => Asked::Nothing,
        "sendData" => Asked::Operation(ON_DATA),
        SEND_STREAM_EVENT => Asked::StreamEvent,
        ON_DATA => Asked::Unknown,
        _ => match table::kind(table::wire_name(name), &Default::default()) {
            Some(Kind::Direct) => Asked::Operation(table::wire_name(name)),
            Some(Kind::Connect | Kind::Event | Kind::Incoming) | None => Asked::Unknown,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(hook: &str, status: &str) -> Option<(String, serde_json::Value)> {
        let text = |value: &str| Fact::Text(value.into());
        let fields = vec![
            ("mediaSessionId".into(), text("m")),
            ("callId".into(), text("c")),
            ("operationId".into(), text("o")),
            ("status".into(), text(status)),
            ("info".into(), text("i")),
        ];
        let frame = frame(hook, status, &fields)?;
        let json: serde_json::Value =
            serde_json::from_slice(&frame[if frame[1] == 126 { 4 } else { 2 }..]).unwrap();
        assert!(json["data"].is_array(), "W33");
        Some((json["message"].as_str().unwrap().to_owned(), json["data"][0].clone()))
    }

    #[test]
    fn w43_events_have_their_message_names() {
        for (hook, status, expected) in [
            ("ConnectionStatusEvent", "ESTABLISHED", "getUserData"),
            ("ConnectionStatusEvent", "DISCONNECTED", "ConnectionStatusEvent"),
            ("StreamStatusEvent", "PUBLISHING", "notifyStreamStatusEvent"),
            ("CallStatusEvent", "TRYING", "notifyTryingResponse"),
            ("CallStatusEvent", "RING", "ring"),
            ("CallStatusEvent", "SESSION_PROGRESS", "ring"),
            ("CallStatusEvent", "ESTABLISHED", "talk"),
            ("CallStatusEvent", "HOLD", "hold"),
            ("CallStatusEvent", "FINISH", "finish"),
            ("CallStatusEvent", "BUSY", "finish"),
            ("CallStatusEvent", "FAILED", "finish"),
            ("CallStatusEvent", "ODD", "CallStatusEvent"),
            ("RegistrationStatusEvent", "REGISTERED", "registered"),
            ("TransferStatusEvent", "COMPLETED", "notifyTransferEvent"),
            ("SessionDebugStatusEvent", "STARTED", "notifySessionDebugEvent"),
            ("OnCallEvent", "PENDING", "notifyIncomingCall"),
            ("OnDataEvent", "", "OnDataEvent"),
            ("RecordingStatusEvent", "", "RecordingStatusEvent"),
            ("notifyStreamEvent", "", "notifyStreamEvent"),
        ] {
            let (name, fields) = told(hook, status).unwrap();
            assert_eq!(
                (&*name, &fields["status"], &fields["callId"]),
                (expected, &status.into(), &"c".into())
            );
        }
        assert_eq!(told("StreamKeepAliveEvent", "PUBLISHING"), None);
    }

    #[test]
    fn w43_some_messages_have_fields_of_their_own() {
        let json = |text: &str| -> serde_json::Value { serde_json::from_str(text).unwrap() };
        for (hook, status, name, fields) in [
            ("ConnectionStatusEvent", "FAILED", "fail", r#"{"status":"FAILED","info":"i"}"#),
            (
                "RegistrationStatusEvent",
                "AUTHENTICATION_FAIL",
                "fail",
                r#"{"apiMethod":"RegistrationStatusEvent","status":"AUTHENTICATION_FAIL","info":"i"}"#,
            ),
            (
                "DataStatusEvent",
                "ACCEPTED",
                "DataStatusEvent",
                r#"{"operationId":"o","status":"ACCEPTED","info":"i"}"#,
            ),
            ("ErrorStatusEvent", "FAILED", "fail", r#"{"info":"i"}"#),
            ("availableStream", "FAILED", "availableStream", r#"{"id":"m","status":"FAILED","info":"i"}"#),
        ] {
            assert_eq!(told(hook, status), Some((name.to_owned(), json(fields))), "{hook}");
        }
        assert_eq!(told("setRemoteSDP", "").map(|(_, first)| first), Some("m".into()));
    }

    #[test]
    fn w35_clients_messages_are_operations_or_unknown() {
        for (name, expected) in [
            ("connection", Asked::Connection),
            ("ping", Asked::Ping),
            ("pong", Asked::Nothing),
            ("publishStream", Asked::Operation("publishStream")),
            ("sendDTMF", Asked::Operation("sendDtmf")),
            ("sendData", Asked::Operation("OnDataEvent")),
            ("sendStreamEvent", Asked::StreamEvent),
            ("OnDataEvent", Asked::Unknown),
            ("connect", Asked::Unknown),
            ("StreamStatusEvent", Asked::Unknown),
            ("OnCallEvent", Asked::Unknown),
            ("", Asked::Unknown),
        ] {
            assert_eq!(asked(name), expected, "{name}");
        }
    }
}

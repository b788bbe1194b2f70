//! The parameters that templates may name (isr.md 2.5), as data, and where an event has their values.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::event::{Event, Fact};
use crate::ground::time::Wall;

/// The six event types, in the order of the columns of [`PARAMETERS`].
pub const EVENTS: [&str; 6] = [
    "RECORDING_STARTED_EVENT",
    "RECORDING_PAUSED_EVENT",
    "RECORDING_RESUMED_EVENT",
    "RECORDING_ENDED_EVENT",
    "SEGMENT_STARTED_EVENT",
    "SEGMENT_ENDED_EVENT",
];

/// A parameter's name, and the events that have it.
pub type Row = (&'static str, [bool; 6]);

/// Parameters that the config or a specification adds: a name, and the member of `data` that fills it.
pub type Added = BTreeMap<Box<str>, Box<str>>;

const ALL: [bool; 6] = [true; 6];
const RECORDINGS: [bool; 6] = [true, true, true, true, false, false];
const ENDS: [bool; 6] = [false, false, false, true, false, true];
const FILES: [bool; 6] = [false, false, false, true, true, true];
const SEGMENTS: [bool; 6] = [false, false, false, false, true, true];

/// The table.
pub const PARAMETERS: &[Row] = &[
    ("EVENTTYPE", ALL),
    ("EVENTID", ALL),
    ("EVENTTIME", ALL),
    ("RESULT", ALL),
    ("RESULTCODE", ALL),
    ("RESULTMESSAGE", ALL),
    ("UCID", ALL),
    ("ISRUCID", ALL),
    ("INGRESSCALLID", ALL),
    ("CALLEDAORS", ALL),
    ("ANI", ALL),
    ("DNIS", ALL),
    ("ACCOUNT", ALL),
    ("ROUTE", ALL),
    ("REALM", ALL),
    ("ACCOUNTID", ALL),
    ("ROUTEID", ALL),
    ("RSS", ALL),
    ("AGENTID", ALL),
    ("TMPRECORDINGID", ALL),
    ("RECORDINGID", ALL),
    ("STARTTIME", ALL),
    ("SENSITIVE", RECORDINGS),
    ("DURATION", ENDS),
    ("FILENAME", ALL),
    ("LOCATION", FILES),
    ("FILESTATUS", ENDS),
    ("TMPSEGMENTID", SEGMENTS),
    ("SEQUENCE", SEGMENTS),
    ("START", SEGMENTS),
];

/// The names that a template for events of the type `word` may have. Types that the vocabulary adds have what all six
/// have.
#[must_use]
pub fn allowed<'a>(word: &str, added: &'a Added) -> Vec<&'a str> {
    let column = EVENTS.iter().position(|event| *event == word);
    let has = |events: &[bool; 6]| column.map_or(*events == ALL, |column| events[column]);
    let built_in = PARAMETERS.iter().filter(|(_, events)| has(events)).map(|(name, _)| *name);
    built_in.chain(added.keys().map(|name| &**name)).collect()
}

/// Whether the event tells of a failure (`outcome`).
#[must_use]
pub fn is_failure(event: &Event) -> bool {
    event.extension("outcome") == Some("failure")
}

/// The value of a parameter; empty if the event has none.
#[must_use]
pub fn value<'e>(name: &str, word: &'e str, event: &'e Event, added: &Added) -> Cow<'e, str> {
    let scope = |attribute: &str| event.extension(attribute).or_else(|| member(event, name));
    let text = match name {
        "EVENTTYPE" => Some(word),
        "EVENTID" => Some(&*event.id),
        "EVENTTIME" => return event.wall.to_rfc3339().into(),
        "RESULT" => Some(if is_failure(event) { "FAILURE" } else { "SUCCESS" }),
        "ACCOUNT" => scope("account"),
        "ROUTE" => scope("route"),
        "REALM" => scope("realm"),
        "STARTTIME" | "START" => {
            let text = member(event, name).unwrap_or_default();
            return Wall::from_rfc3339(text).map_or(text.into(), |wall| wall.to_rfc3339().into());
        }
        "CALLEDAORS" => {
            let text = member(event, name).unwrap_or_default();
            if !text.contains(' ') {
                return text.into();
            }
            return text.split(',').map(|aor| aor.trim_matches(' ')).collect::<Vec<_>>().join(",").into();
        }
        _ => member(event, added.get(name).map_or(name, |field| field)),
    };
    text.unwrap_or_default().into()
}

/// The text of the first member of `data` that fills a parameter and is not empty.
fn member<'e>(event: &'e Event, parameter: &str) -> Option<&'e str> {
    let filling = event.facts().iter().filter(|(name, _)| fills(name, parameter));
    filling.filter_map(|(_, fact)| fact.as_text()).find(|text| !text.is_empty())
}

/// Names are compared without `_` and without case, so that `called_aors` and `calledAors` both fill CALLEDAORS.
fn fills(member: &str, parameter: &str) -> bool {
    fn letters(name: &str) -> impl Iterator<Item = u8> {
        name.bytes().filter(|b| *b != b'_').map(|b| b.to_ascii_uppercase())
    }
    letters(member).eq(letters(parameter))
}

/// What `data` has that goes to no receiver as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LeftOut {
    /// Members that would fill a parameter, and are arrays or objects: they count as empty.
    pub nested: u64,
    /// Members that fill no parameter.
    pub unknown: u64,
}

/// Counts what ISR leaves out of an event, whoever receives it.
#[must_use]
pub fn left_out(event: &Event, added: &Added) -> LeftOut {
    let mut left = LeftOut::default();
    for (name, fact) in event.facts() {
        let built_in = PARAMETERS.iter().any(|(parameter, _)| fills(name, parameter));
        if !built_in && !added.values().any(|field| fills(name, field)) {
            left.unknown += 1;
        } else if matches!(fact, Fact::Nested(_)) {
            left.nested += 1;
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::isr::tests::event;

    fn check(data: &[(&str, Fact)], name: &str, expected: &str) {
        let mut event = event("recording.ended", data);
        event.extensions = vec![("account".into(), Fact::Text("acme".into()))];
        let added = Added::from([("RSSIP".into(), "rss_ip".into())]);
        assert_eq!(value(name, "RECORDING_ENDED_EVENT", &event, &added), expected, "{name} of {data:?}");
    }

    fn text(text: &str) -> Fact {
        Fact::Text(text.into())
    }

    /// R35, R37
    #[test]
    fn r35_members_fill_parameters() {
        check(&[("called_aors", text("sip:1@h"))], "CALLEDAORS", "sip:1@h");
        check(&[("calledAors", text("sip:1@h"))], "CALLEDAORS", "sip:1@h");
        check(&[("calledAors", Fact::Null)], "CALLEDAORS", "");
        check(&[("called_aors", Fact::Null), ("calledAors", text("x"))], "CALLEDAORS", "x");
        check(&[("ucid", Fact::Nested("[1]".into()))], "UCID", "");
        check(&[("ucid", Fact::Number("12345678901234567890".into()))], "UCID", "12345678901234567890");
        check(&[("sensitive", Fact::Bool(true))], "SENSITIVE", "true");
        check(&[("RSS_IP", text("10.0.0.1"))], "RSSIP", "10.0.0.1");
        check(&[], "RSSIP", "");
        check(&[("account", text("other"))], "ACCOUNT", "acme");
        check(&[("route", text("north"))], "ROUTE", "north");
        check(&[("start_time", text("2026-01-31T13:00:00+01:00"))], "STARTTIME", "2026-01-31T12:00:00.000Z");
        check(&[("start_time", text("noon"))], "STARTTIME", "noon");
        check(&[], "EVENTTYPE", "RECORDING_ENDED_EVENT");
        check(&[], "EVENTTIME", "2026-01-31T12:00:00.000Z");
        check(&[], "EVENTID", "e-1");
        check(&[], "RESULT", "SUCCESS");
        check(&[], "RESULTCODE", "");
    }

    /// R33
    #[test]
    fn r33_several_aors_are_joined_by_a_comma_alone() {
        check(&[("called_aors", text("sip:1@h, sip:2@h"))], "CALLEDAORS", "sip:1@h,sip:2@h");
        check(&[("called_aors", text("sip:1@h,sip:2@h"))], "CALLEDAORS", "sip:1@h,sip:2@h");
    }

    #[test]
    fn rows_name_each_parameter_once() {
        let mut names: Vec<_> = PARAMETERS.iter().map(|(name, _)| *name).collect();
        assert!(names.iter().all(|name| super::super::template::is_parameter_name(name)));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PARAMETERS.len());
        let added = Added::from([("RSSIP".into(), "rss_ip".into())]);
        assert!(allowed(EVENTS[0], &added).contains(&"RSSIP"));
        assert!(!allowed(EVENTS[0], &added).contains(&"DURATION"));
        assert!(allowed(EVENTS[5], &added).contains(&"DURATION"));
        assert!(!allowed("CALL_PARKED_EVENT", &added).contains(&"SENSITIVE"));
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let data = [
            ("ucid", Fact::Nested("{}".into())),
            ("colour", text("red")),
            ("queue", Fact::Nested("[]".into())),
            ("ani", text("1")),
        ];
        let left = left_out(&event("recording.ended", &data), &Added::new());
        assert_eq!(left, LeftOut { nested: 1, unknown: 2 });
    }
}

//! iSymphony's projection: flat properties in camelCase, in alphabetical order, with those that its clients always
//! expect and those that every event has.

use std::borrow::Cow;

use super::{camel_case, canonical, is_flat};
use crate::event::filter::Properties;
use crate::event::vocabulary::{Tongue, Vocabulary};
use crate::event::{Data, Event, Fact};
use crate::ground::stats::NotSent;

/// Names that the general rule does not give.
const NAMES: &[(&str, &str)] = &[
    ("call_id", "callSegmentId"),
    ("caller_name", "callerIdName"),
    ("caller_number", "callerIdNumber"),
    ("conference_id", "conferenceRoomId"),
    ("conference_name", "conferenceRoomName"),
    ("extension", "extensionNumber"),
];

const LOGIN: &[&str] = &["ip", "port", "userId", "userLoginId", "username"];
const STATUS: &[&str] = &["name", "note", "returnTime", "statusType", "userCreated", "userId", "username"];
#[rustfmt::skip]
const AGENT: &[&str] = &[
    "agent", "agentId", "extensionId", "extensionNumber", "queue", "queueId", "state", "userId", "username",
];
#[rustfmt::skip]
const CALL: &[&str] = &[
    "callSegmentId", "callerIdName", "callerIdNumber", "did", "extensionId", "extensionNumber", "userId", "username",
];
#[rustfmt::skip]
const LINK: &[&str] = &[
    "callSegmentId1", "callerIdName1", "callerIdNumber1", "did1", "extensionId1", "extensionNumber1", "userId1",
    "username1", "callSegmentId2", "callerIdName2", "callerIdNumber2", "did2", "extensionId2", "extensionNumber2",
    "userId2", "username2",
];
#[rustfmt::skip]
const CONFERENCE: &[&str] = &[
    "conferenceRoomId", "conferenceRoomName", "callSegmentId", "callerIdName", "callerIdNumber", "did", "extensionId",
    "extensionNumber", "userId", "username",
];

/// The properties that every event of a type has, as the vendor's pages list them.
const EXPECTED: &[(&str, &[&str])] = &[
    ("userLogin", LOGIN),
    ("userLogout", LOGIN),
    ("userStatus", STATUS),
    ("agentLogin", AGENT),
    ("agentLogout", AGENT),
    ("hangup", CALL),
    ("dial", CALL),
    ("linkStart", LINK),
    ("linkEnd", LINK),
    ("confRoomCallJoin", CONFERENCE),
    ("confRoomCallLeave", CONFERENCE),
];

/// The properties that every event has.
const BASE: &[&str] = &["coreServerId", "time", "type"];

/// A property's name as it is written here, if it is one that the vendor's pages list: filters need no copy of those.
#[must_use]
pub fn listed(name: &str) -> Option<&'static str> {
    let lists = EXPECTED.iter().map(|(_, names)| *names).chain([BASE]);
    lists.flatten().copied().find(|listed| *listed == name)
}

/// Types of the protocol's own messages, which no event may have.
const RESERVED: &[&str] = &["success", "error", "filter", "eventsDropped"];

/// An event as iSymphony's clients see it.
#[derive(Clone, Debug)]
pub struct Isymphony<'a> {
    event: &'a Event,
    /// In the order of their names, each once.
    properties: Vec<(Cow<'a, str>, Cow<'a, Fact>)>,
}

impl<'a> Isymphony<'a> {
    /// Projects an event.
    ///
    /// # Errors
    /// Why it has no place there: its data is not flat, or its type is one of the protocol's own.
    pub fn new(
        event: &'a Event,
        vocabulary: &Vocabulary,
        core_server_id: &str,
    ) -> Result<Isymphony<'a>, NotSent> {
        let facts = match &event.data {
            Data::None => &[],
            Data::Facts(facts) if is_flat(facts) => facts.as_slice(),
            Data::Facts(_) | Data::Json(_) | Data::Base64(_) => return Err(NotSent::Nested),
        };
        let word = word(vocabulary, &event.event_type);
        if RESERVED.contains(&&*word) {
            return Err(NotSent::NoWord);
        }
        let expected =
            EXPECTED.iter().find(|(word_of, _)| *word_of == word).map_or(&[][..], |(_, names)| names);
        let own = [
            ("coreServerId", Fact::Text(core_server_id.into())),
            ("time", Fact::Number(event.wall.0.to_string().into())),
            ("type", Fact::Text(word.into())),
        ];
        let own = own.into_iter().map(|(name, fact)| (Cow::Borrowed(name), Cow::Owned(fact)));
        let said = facts.iter().map(|(name, fact)| (property(name), Cow::Borrowed(fact)));
        let derived = facts.iter().filter_map(|(name, fact)| caller_number(name, fact));
        let derived = derived.filter(|(name, _)| expected.contains(&&**name));
        let absent = expected.iter().map(|name| (Cow::Borrowed(*name), Cow::Owned(Fact::Null)));
        // Of equal names the first stays, as the sort is stable.
        let mut properties: Vec<_> = own.chain(said).chain(derived).chain(absent).collect();
        properties.sort_by(|(a, _), (b, _)| a.cmp(b));
        properties.dedup_by(|(later, _), (first, _)| later == first);
        Ok(Isymphony { event, properties })
    }

    /// The properties, in the order of their names.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &Fact)> {
        self.properties.iter().map(|(name, fact)| (&**name, &**fact))
    }
}

impl Properties for Isymphony<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        if let Some(value) = canonical(self.event, name) {
            return value;
        }
        let at = self.properties.binary_search_by(|(n, _)| (**n).cmp(name)).ok()?;
        self.properties[at].1.as_text()
    }

    fn each(&self, visit: &mut dyn FnMut(&str, &str)) {
        for (name, fact) in self.properties() {
            if let Some(text) = fact.as_text() {
                visit(name, text);
            }
        }
    }
}

/// The iSymphony type of a canonical one: its word, or else its parts in camelCase.
fn word<'v>(vocabulary: &'v Vocabulary, event_type: &str) -> Cow<'v, str> {
    match vocabulary.word(event_type, Tongue::Isymphony) {
        Some(word) => Cow::Borrowed(word),
        None => Cow::Owned(camel_case(&event_type.replace('.', "_"))),
    }
}

/// The property that a member of `data` becomes. The number of a party (`call_id_1`) is set aside and put back.
fn property(name: &str) -> Cow<'_, str> {
    let (name, party) = match name.strip_suffix("_1") {
        Some(name) => (name, "1"),
        None => name.strip_suffix("_2").map_or((name, ""), |name| (name, "2")),
    };
    let projected = match NAMES.iter().find(|(canonical, _)| *canonical == name) {
        Some((_, projected)) => Cow::Borrowed(*projected),
        None if name.contains('_') => Cow::Owned(camel_case(name)),
        None => Cow::Borrowed(name),
    };
    if party.is_empty() { projected } else { projected + party }
}

/// The caller's number, where an event has only the URI (`sip:100@host`).
fn caller_number<'a>(name: &str, fact: &Fact) -> Option<(Cow<'a, str>, Cow<'a, Fact>)> {
    let party = name.strip_prefix("caller_uri")?;
    let number = ["sip:", "sips:", "tel:"].iter().find_map(|scheme| fact.as_text()?.strip_prefix(scheme))?;
    let number = number.split(['@', ';']).next().unwrap_or_default();
    let is_number = |b: u8| b.is_ascii_digit() || b"+*#".contains(&b);
    (!number.is_empty() && number.bytes().all(is_number)).then(|| {
        let name = property(&format!("caller_number{party}")).into_owned();
        (Cow::Owned(name), Cow::Owned(Fact::Text(number.into())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::time::Wall;

    fn text(text: &str) -> Fact {
        Fact::Text(text.into())
    }

    fn event(event_type: &str, data: &[(&str, Fact)]) -> Event {
        Event {
            id: "1".into(),
            id_given: false,
            source: "s".into(),
            event_type: event_type.into(),
            subject: None,
            time: "".into(),
            wall: Wall(5),
            content_type: None,
            schema: None,
            extensions: Vec::new(),
            data: Data::Facts(data.iter().map(|(name, fact)| ((*name).into(), fact.clone())).collect()),
        }
    }

    /// `name=value` of each property but those of the server, joined by blanks.
    fn projected(event_type: &str, data: &[(&str, Fact)]) -> Result<String, NotSent> {
        let event = event(event_type, data);
        let projected = Isymphony::new(&event, &Vocabulary::new(&[]), "core")?;
        let words = projected.properties().filter(|(name, _)| *name != "coreServerId" && *name != "time");
        let words = words.map(|(name, fact)| format!("{name}={}", fact.as_text().unwrap_or("null")));
        Ok(words.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn names() {
        for (name, expected) in [
            ("username", "username"),
            ("user_login_id", "userLoginId"),
            ("call_id", "callSegmentId"),
            ("caller_number", "callerIdNumber"),
            ("caller_name", "callerIdName"),
            ("extension", "extensionNumber"),
            ("extension_id", "extensionId"),
            ("conference_id", "conferenceRoomId"),
            ("conference_name", "conferenceRoomName"),
            ("call_id_1", "callSegmentId1"),
            ("caller_number_2", "callerIdNumber2"),
            ("extension_1", "extensionNumber1"),
            ("username_2", "username2"),
            ("line_3", "line3"),
            ("callSegmentId", "callSegmentId"),
            ("_1", "1"),
            ("", ""),
        ] {
            assert_eq!(property(name), expected, "{name}");
        }
    }

    #[test]
    fn i39_types() {
        let vocabulary = Vocabulary::new(&[]);
        for (event_type, expected) in [
            ("user.login", "userLogin"),
            ("call.incoming", "callIncoming"),
            ("call.hangup", "hangup"),
            ("conference.leave", "confRoomCallLeave"),
            ("call.link_start", "linkStart"),
            ("door.bell_rang", "doorBellRang"),
            ("door", "door"),
        ] {
            assert_eq!(word(&vocabulary, event_type), expected);
        }
    }

    #[test]
    fn properties() {
        for (event_type, data, expected) in [
            // Properties that clients expect are null; others pass.
            (
                "call.dial",
                &[("call_id", text("c")), ("zone", text("z")), ("caller_number", text("1"))][..],
                "callSegmentId=c callerIdName=null callerIdNumber=1 did=null extensionId=null extensionNumber=null \
                 type=dial userId=null username=null zone=z",
            ),
            ("call.incoming", &[("did", Fact::Null)], "did=null type=callIncoming"),
            // The server's own properties win, and of two members with one name the first.
            (
                "x",
                &[("type", text("y")), ("core_server_id", text("z")), ("a_b", text("1")), ("aB", text("2"))],
                "aB=1 type=x",
            ),
            // A number is taken from the URI, where one is expected and absent.
            ("call.incoming", &[("caller_uri", text("sip:1@h"))], "callerUri=sip:1@h type=callIncoming"),
            (
                "user.login",
                &[("port", Fact::Number("57042".into())), ("username", text("mike"))],
                "ip=null port=57042 type=userLogin userId=null userLoginId=null username=mike",
            ),
        ] {
            assert_eq!(projected(event_type, data).as_deref(), Ok(expected), "{event_type}");
        }
        for (uri, number) in [
            ("sip:100@h", "100"),
            ("sips:+1555@h:5061;transport=tcp", "+1555"),
            ("tel:*97", "*97"),
            ("sip:alice@h", "null"),
            ("sip:h", "null"),
            ("100", "null"),
        ] {
            let data = [("caller_uri_1", text(uri)), ("caller_uri", text("sip:9@h"))];
            let got = projected("call.link_end", &data).unwrap();
            assert!(got.contains(&format!(" callerIdNumber1={number} ")), "{uri}: {got}");
        }
    }

    #[test]
    fn i38_what_has_no_place_is_named() {
        for reserved in ["success", "error", "filter", "events.dropped"] {
            assert_eq!(projected(reserved, &[]), Err(NotSent::NoWord), "{reserved}");
        }
        assert_eq!(projected("x", &[("a", Fact::Nested("[]".into()))]), Err(NotSent::Nested));
        let mut bare = event("x", &[]);
        bare.data = Data::Json("1".into());
        assert_eq!(Isymphony::new(&bare, &Vocabulary::new(&[]), "").err(), Some(NotSent::Nested));
    }

    #[test]
    fn a_null_counts_as_absent() {
        let event = event("call.hangup", &[("username", Fact::Null), ("extension", text("100"))]);
        let projected = Isymphony::new(&event, &Vocabulary::new(&[]), "core").unwrap();
        assert_eq!(projected.get("username"), None);
        assert_eq!(projected.get("extensionNumber"), Some("100"));
        assert_eq!(projected.get("extension"), None);
        assert_eq!((projected.get("time"), projected.get("coreServerId")), (Some("5"), Some("core")));
    }
}

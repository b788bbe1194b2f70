//! The event: CloudEvents 1.0 is the envelope, telephony facts are in `data`.

use crate::ground::time::Wall;

/// An accepted event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `id`: the sender's own, or a UUIDv7 that was minted.
    pub id: Box<str>,
    /// `id` is the sender's own: the event is recognised when it comes again.
    pub id_given: bool,
    /// `source`.
    pub source: Box<str>,
    /// `type`, such as `call.ringing`.
    pub event_type: Box<str>,
    /// `subject`, `{resource type}/{resource id}`.
    pub subject: Option<Box<str>>,
    /// `time` as it was written, or as it was minted.
    pub time: Box<str>,
    /// `time` in milliseconds.
    pub wall: Wall,
    /// `datacontenttype`, if the sender gave one.
    pub content_type: Option<Box<str>>,
    /// `dataschema`, if the sender gave one.
    pub schema: Option<Box<str>>,
    /// Extension attributes, sorted by name; `appid`, `appkey`, `sessionid`, `route`, `account` and `realm` give scope.
    pub extensions: Vec<(Box<str>, Fact)>,
    /// `data` or `data_base64`.
    pub data: Data,
}

/// An event's payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// There is none.
    None,
    /// A JSON object's members, in the sender's order.
    Facts(Vec<(Box<str>, Fact)>),
    /// Other JSON, compact; native clients alone get it.
    Json(Box<str>),
    /// Base64 text of bytes; native clients alone get it.
    Base64(Box<str>),
}

/// One value. Numbers keep their source text, so that `1.0`, `1e3` and ids of twenty digits come out as they came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number's source text.
    Number(Box<str>),
    /// A string, unescaped.
    Text(Box<str>),
    /// An array or an object, as compact JSON.
    Nested(Box<str>),
}

impl Fact {
    fn bytes(&self) -> usize {
        let text = match self {
            Fact::Text(text) | Fact::Number(text) | Fact::Nested(text) => text.len(),
            Fact::Null | Fact::Bool(_) => 0,
        };
        size_of::<(Box<str>, Fact)>() + text
    }

    /// The fact as text: a string's characters, a number's or boolean's JSON text; `None` for null and nested values.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Fact::Text(text) | Fact::Number(text) => Some(text),
            Fact::Bool(true) => Some("true"),
            Fact::Bool(false) => Some("false"),
            Fact::Null | Fact::Nested(_) => None,
        }
    }
}

impl Event {
    /// The text of an extension attribute.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<&str> {
        let at = self.extensions.binary_search_by(|(n, _)| (**n).cmp(name)).ok()?;
        self.extensions[at].1.as_text()
    }

    /// The two parts of `subject`: resource type and resource id.
    #[must_use]
    pub fn resource(&self) -> Option<(&str, &str)> {
        self.subject.as_deref()?.split_once('/').filter(|(kind, id)| !kind.is_empty() && !id.is_empty())
    }

    /// What it takes in memory, without what the allocator adds.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let texts = [&self.subject, &self.content_type, &self.schema].into_iter().flatten();
        let texts = texts.chain([&self.id, &self.source, &self.event_type, &self.time]);
        let members = self.extensions.iter().chain(self.facts());
        let data = match &self.data {
            Data::Json(text) | Data::Base64(text) => text.len(),
            Data::None | Data::Facts(_) => 0,
        };
        let sum = size_of::<Event>()
            + data
            + texts.map(|text| text.len()).sum::<usize>()
            + members.map(|(name, fact)| name.len() + fact.bytes()).sum::<usize>();
        sum as u64
    }

    /// The members of `data`, if it is an object.
    #[must_use]
    pub fn facts(&self) -> &[(Box<str>, Fact)] {
        match &self.data {
            Data::Facts(facts) => facts,
            Data::None | Data::Json(_) | Data::Base64(_) => &[],
        }
    }
}

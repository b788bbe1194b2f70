//! Header fields (RFC 3261 section 7.3). Names stand in their long form, in the case that is registered; values are
//! unfolded and trimmed. Every value of a `Via` has a line of its own; of other fields a line is as it came.
//!
//! What is absent here: what a field means, but for the form that many share ([`Parameterised`]).

use std::borrow::Cow;

use super::grammar;

/// Registered names, and the compact ones (section 7.3.3) of those that have one.
const NAMES: &[(&str, &str)] = &[
    ("Via", "v"),
    ("From", "f"),
    ("To", "t"),
    ("Call-ID", "i"),
    ("CSeq", ""),
    ("Contact", "m"),
    ("Max-Forwards", ""),
    ("Content-Length", "l"),
    ("Content-Type", "c"),
    ("Event", "o"),
    ("Subscription-State", ""),
    ("Expires", ""),
    ("User-Agent", ""),
    ("Server", ""),
    ("Allow", ""),
    ("Allow-Events", "u"),
    ("Supported", "k"),
    ("Require", ""),
    ("Record-Route", ""),
    ("Route", ""),
    ("Accept", ""),
    ("Accept-Contact", "a"),
    ("Accept-Encoding", ""),
    ("Accept-Language", ""),
    ("Alert-Info", ""),
    ("Authentication-Info", ""),
    ("Authorization", ""),
    ("Call-Info", ""),
    ("Content-Disposition", ""),
    ("Content-Encoding", "e"),
    ("Content-ID", ""),
    ("Content-Language", ""),
    ("Date", ""),
    ("Error-Info", ""),
    ("Identity", "y"),
    ("Identity-Info", "n"),
    ("In-Reply-To", ""),
    ("MIME-Version", ""),
    ("Min-Expires", ""),
    ("Min-SE", ""),
    ("Organization", ""),
    ("P-Asserted-Identity", ""),
    ("Path", ""),
    ("Priority", ""),
    ("Proxy-Authenticate", ""),
    ("Proxy-Authorization", ""),
    ("Proxy-Require", ""),
    ("Reason", ""),
    ("Refer-To", "r"),
    ("Referred-By", "b"),
    ("Reject-Contact", "j"),
    ("Reply-To", ""),
    ("Request-Disposition", "d"),
    ("Retry-After", ""),
    ("Session-Expires", "x"),
    ("SIP-ETag", ""),
    ("SIP-If-Match", ""),
    ("Subject", "s"),
    ("Suppress-If-Match", ""),
    ("Timestamp", ""),
    ("Unsupported", ""),
    ("Warning", ""),
    ("WWW-Authenticate", ""),
];

/// Header fields in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<(Cow<'static, str>, Box<str>)>);

impl Fields {
    /// The first line of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.lines(name).next()
    }

    /// All lines of this name.
    pub fn lines<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The comma-separated values of all lines of this name. A comma in quotes or angle brackets separates nothing, and
    /// empty values are left out.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.lines(name).flat_map(|line| grammar::split(line, b',')).filter(|value| !value.is_empty())
    }

    /// All lines: names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a line. Line ends in `value` become spaces, so that no value can bring a field along.
    pub fn push(&mut self, name: &str, value: impl Into<Box<str>>) {
        self.add(registered(name), one_line(value.into()));
    }

    pub(super) fn add(&mut self, name: Cow<'static, str>, value: Box<str>) {
        self.0.push((name, value));
    }

    /// Adds a line before all others of this name: before all lines if there is none.
    pub fn insert_first(&mut self, name: &str, value: impl Into<Box<str>>) {
        let at = self.0.iter().position(|(n, _)| n.eq_ignore_ascii_case(name)).unwrap_or(0);
        self.0.insert(at, (registered(name), one_line(value.into())));
    }

    /// Makes this the only line of its name, where the first of them stood.
    pub fn set(&mut self, name: &str, value: impl Into<Box<str>>) {
        self.set_first(name, value);
        let mut first = true;
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(name) || std::mem::take(&mut first));
    }

    /// Replaces the first line of this name, or adds one.
    pub fn set_first(&mut self, name: &str, value: impl Into<Box<str>>) {
        match self.0.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = one_line(value.into()),
            None => self.push(name, value),
        }
    }

    /// Takes all lines of this name away.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// Takes the first line of this name away.
    pub fn remove_first(&mut self, name: &str) {
        if let Some(at) = self.0.iter().position(|(n, _)| n.eq_ignore_ascii_case(name)) {
            self.0.remove(at);
        }
    }
}

/// The long name, in the case that is registered; others are kept as they are.
pub(super) fn registered(name: &str) -> Cow<'static, str> {
    let known = NAMES
        .iter()
        .find(|(long, compact)| name.eq_ignore_ascii_case(if name.len() == 1 { compact } else { long }));
    known.map_or_else(|| Cow::Owned(name.to_owned()), |(long, _)| Cow::Borrowed(*long))
}

fn one_line(value: Box<str>) -> Box<str> {
    if value.contains(['\r', '\n']) { value.replace(['\r', '\n'], " ").into() } else { value }
}

/// `token;name=value;…`, as `Event`, `Subscription-State` and `Content-Type` have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameterised<'a> {
    /// What stands before the first parameter.
    pub value: &'a str,
    params: Vec<grammar::Param<'a>>,
}

impl<'a> Parameterised<'a> {
    /// Reads a field's value. Parameters that are malformed are passed over, so that one of them hides no other.
    #[must_use]
    pub fn read(text: &'a str) -> Parameterised<'a> {
        let mut pieces = grammar::split(text, b';');
        Parameterised {
            value: pieces.next().unwrap_or_default(),
            params: pieces.filter_map(grammar::param).collect(),
        }
    }

    /// A parameter's value, its quotes undone; a parameter without one has an empty one.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<Cow<'a, str>> {
        let (_, value) = self.params.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(grammar::unquoted(value.unwrap_or_default()))
    }
}

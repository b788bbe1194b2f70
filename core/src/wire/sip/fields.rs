//! Header fields (RFC 3261 section 7.3). Names stand in their long form, in the case that is registered; values are
//! unfolded and trimmed. Every value of a `Via` has a line of its own; of other fields a line is as it came.
//!
//! What is absent here: what a field means, but for the form that many share ([`Parameterised`]).

use std::borrow::Cow;

use memchr::memchr_iter;

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

/// Lines up to the empty one, those that go on a line joined to it by a space (section 7.3.1).
pub(in crate::wire) struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = Cow<'a, [u8]>;

    fn next(&mut self) -> Option<Cow<'a, [u8]>> {
        let mut line = Cow::Borrowed(self.take()?);
        while let Some(b' ' | b'\t') = self.rest.first() {
            let (line, more) = (line.to_mut(), self.take()?);
            line.truncate(line.iter().rposition(is_text).map_or(0, |at| at + 1));
            line.push(b' ');
            line.extend(more.iter().skip_while(|b| !is_text(b)));
        }
        Some(line)
    }
}

/// White space of a line is these two bytes alone: others stay, and are judged.
fn is_text(byte: &u8) -> bool {
    !matches!(byte, b' ' | b'\t')
}

impl<'a> Lines<'a> {
    pub(in crate::wire) fn of(bytes: &'a [u8]) -> Lines<'a> {
        Lines { rest: bytes }
    }

    /// What is not read yet: after the last line, what follows the empty one.
    pub(in crate::wire) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// A line without its end.
    fn take(&mut self) -> Option<&'a [u8]> {
        let is_end = |at: &usize| *at > 0 && self.rest[at - 1] == b'\r';
        let (line, rest) = match memchr_iter(b'\n', self.rest).find(is_end) {
            Some(at) => (&self.rest[..at - 1], &self.rest[at + 1..]),
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        (!line.is_empty()).then_some(line)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fields: &Fields) -> Vec<String> {
        fields.iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    #[test]
    fn lines_in_their_order() {
        let mut fields = Fields::default();
        fields.push("ROUTE", "<sip:a>");
        fields.push("m", "<sip:b>");
        fields.push("x-own", "1");
        fields.push("Route", "<sip:c>, <sip:d>");
        assert_eq!(
            written(&fields),
            ["Route: <sip:a>", "Contact: <sip:b>", "x-own: 1", "Route: <sip:c>, <sip:d>"]
        );
        assert_eq!(fields.values("route").collect::<Vec<_>>(), ["<sip:a>", "<sip:c>", "<sip:d>"]);
        assert_eq!((fields.get("X-Own"), fields.get("m")), (Some("1"), None));
        fields.insert_first("Via", "2");
        fields.insert_first("Via", "1");
        fields.set("Route", "<sip:e>");
        fields.set("Event", "reg");
        assert_eq!(
            written(&fields),
            ["Via: 1", "Via: 2", "Route: <sip:e>", "Contact: <sip:b>", "x-own: 1", "Event: reg"]
        );
        fields.set_first("Via", "3");
        fields.remove_first("Via");
        fields.remove("contact");
        fields.remove("contact");
        assert_eq!(written(&fields), ["Via: 2", "Route: <sip:e>", "x-own: 1", "Event: reg"]);
        assert!((fields.len(), fields.is_empty()) == (4, false));
    }

    #[test]
    fn a_value_brings_no_field_along() {
        let mut fields = Fields::default();
        fields.push("Event", "reg\r\nRoute: <sip:a>");
        assert_eq!(written(&fields), ["Event: reg  Route: <sip:a>"]);
    }

    #[test]
    fn every_compact_name_has_one_long_name() {
        for (long, compact) in NAMES.iter().filter(|(_, compact)| !compact.is_empty()) {
            assert_eq!(
                (registered(compact), registered(&long.to_uppercase())),
                (Cow::Borrowed(*long), Cow::Borrowed(*long))
            );
        }
    }

    #[test]
    fn values_with_parameters() {
        let check = |text, value: &str, name: &str, expected: Option<&str>| {
            let read = Parameterised::read(text);
            assert_eq!((read.value, read.param(name).as_deref()), (value, expected), "{text}");
        };
        check("reg", "reg", "id", None);
        check("dialog ; ID=1;x", "dialog", "id", Some("1"));
        check("dialog;x", "dialog", "X", Some(""));
        check("active;;expires=120;", "active", "expires", Some("120"));
        check("active;expires=;expires=7", "active", "expires", Some("7"));
        check(
            r#"multipart/related;start="<a;b\">";boundary=c"#,
            "multipart/related",
            "start",
            Some("<a;b\">"),
        );
        check(r#"multipart/related;start="<a;b\">";boundary=c"#, "multipart/related", "boundary", Some("c"));
        check("", "", "", None);
    }
}

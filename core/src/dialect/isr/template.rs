//! Templates of query strings: free text that is sent as it stands, and `%NAME%` where a value goes (isr.md 2.3, 2.4).
//! Which names there are is not known here.

use std::borrow::Cow;
use std::fmt;

use crate::dialect::destination::request::percent_encode;
use crate::wire::http::url::is_triplet;

/// A template.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Template {
    parts: Vec<Part>,
}

/// A part of a template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// Text that is sent as it stands, percent triplets included.
    Free(Box<str>),
    /// A parameter, by its name.
    Parameter(Box<str>),
}

/// Why a text is no template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TemplateFault {
    /// The character at fault; the first is 1.
    pub at: usize,
    /// A sentence.
    pub reason: &'static str,
}

impl fmt::Display for TemplateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.at, self.reason)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Free(text) => f.write_str(text),
            Part::Parameter(name) => write!(f, "%{name}%"),
        })
    }
}

/// Characters that values keep beside the unreserved ones, as a set of ASCII.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bare(u128);

impl Bare {
    /// What may be in the set.
    pub const ALLOWED: &'static str = ":@/?!$'()*,;";

    /// Reads a list of characters.
    ///
    /// # Errors
    /// The first that must be encoded.
    pub fn parse(text: &str) -> Result<Bare, char> {
        text.chars().try_fold(Bare::default(), |set, c| match Bare::ALLOWED.contains(c) {
            true => Ok(Bare(set.0 | 1 << u32::from(c))),
            false => Err(c),
        })
    }

    fn keeps(self, byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || byte < 128 && self.0 >> byte & 1 == 1
    }
}

/// Whether a text may be a parameter's name: three or more of `A` to `Z`, `0` to `9` and `_`, a letter first.
#[must_use]
pub fn is_parameter_name(text: &str) -> bool {
    text.len() >= 3
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// The name of the placeholder that `text` begins with.
fn placeholder(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('%')?.split_once('%')?;
    is_parameter_name(name).then_some(name)
}

/// What looks like a placeholder in a text that is no template, with its place.
pub fn placeholders(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let signs = text.char_indices().filter(|(_, c)| *c == '%');
    signs.filter_map(|(at, _)| Some((text[..at].chars().count() + 1, placeholder(&text[at..])?)))
}

impl Template {
    /// Reads a template from left to right; at each `%` the placeholder is tried first, then the triplet.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(text: &str) -> Result<Template, TemplateFault> {
        let mut parts = Vec::new();
        let (mut at, mut free) = (0, 0);
        let flush = |parts: &mut Vec<Part>, from: usize, to: usize| {
            if from < to {
                parts.push(Part::Free(text[from..to].into()));
            }
        };
        while let Some(c) = text[at..].chars().next() {
            let rest = &text[at..];
            if let Some(name) = placeholder(rest) {
                flush(&mut parts, free, at);
                parts.push(Part::Parameter(name.into()));
                at += name.len() + 2;
                free = at;
            } else if is_triplet(rest.as_bytes()) {
                at += 3;
            } else {
                let reason = match c {
                    '%' => {
                        "a `%` begins a name such as %UCID%, in capitals, or a percent triplet such as %20"
                    }
                    '#' => "a fragment is never sent: write %23",
                    _ if is_query(c) => {
                        at += 1;
                        continue;
                    }
                    _ => {
                        "only characters that a query may have stand here; others are percent-encoded, a blank as %20"
                    }
                };
                return Err(TemplateFault { at: text[..at].chars().count() + 1, reason });
            }
        }
        flush(&mut parts, free, at);
        Ok(Template { parts })
    }

    /// Whether it gives nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The names of its parameters, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Parameter(name) => Some(&**name),
            Part::Free(_) => None,
        })
    }

    /// Appends the text with values in the places of the names. No value is read as a template.
    pub fn expand<'v>(&self, bare: Bare, value: impl Fn(&str) -> Cow<'v, str>, out: &mut Vec<u8>) {
        for part in &self.parts {
            match part {
                Part::Free(text) => out.extend_from_slice(text.as_bytes()),
                Part::Parameter(name) => percent_encode(&value(name), |byte| bare.keeps(byte), out),
            }
        }
    }
}

/// What RFC 3986 allows in a query, beside percent triplets.
fn is_query(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/?".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expand(template: &str, bare: &str, value: &str) -> String {
        let mut out = Vec::new();
        let bare = Bare::parse(bare).unwrap();
        Template::parse(template).unwrap().expand(bare, |_| value.to_owned().into(), &mut out);
        String::from_utf8(out).unwrap()
    }

    /// R6
    #[test]
    fn r6_the_nine_encodings() {
        for (value, sent) in [
            ("sip:7654321@1.2.3.1:5060", "sip%3A7654321%401.2.3.1%3A5060"),
            ("13-23132@1.2.3.4", "13-23132%401.2.3.4"),
            ("a b+c&d=e", "a%20b%2Bc%26d%3De"),
            ("Jürgen", "J%C3%BCrgen"),
            ("100%", "100%25"),
            ("x~y-z_.", "x~y-z_."),
            ("sip:1@h,sip:2@h", "sip%3A1%40h%2Csip%3A2%40h"),
            ("日本", "%E6%97%A5%E6%9C%AC"),
            ("C:\\rec\\a#1.wav", "C%3A%5Crec%5Ca%231.wav"),
        ] {
            assert_eq!(expand("%UCID%", "", value), sent, "{value}");
            assert_eq!(crate::wire::http::query::percent_decode(sent).unwrap(), value);
        }
    }

    /// Lesson 1: each ASCII character by itself.
    #[test]
    fn each_character_is_encoded_or_kept() {
        let all: String = (0..128u8).map(char::from).collect();
        let kept = |bare: &str| -> String {
            all.chars().filter(|c| expand("%UCID%", bare, &c.to_string()) == c.to_string()).collect()
        };
        let unreserved = "-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";
        assert_eq!(kept(""), unreserved);
        assert_eq!(
            kept(":@"),
            all.chars().filter(|c| unreserved.contains(*c) || ":@".contains(*c)).collect::<String>()
        );
        assert_eq!(expand("%UCID%", "", ":"), "%3A");
        assert_eq!(expand("%UCID%", "", "@"), "%40");
        for c in "&=+%# ".chars() {
            assert_eq!(Bare::parse(&c.to_string()), Err(c));
        }
    }

    /// R9
    #[test]
    fn r9_a_value_is_never_expanded() {
        assert_eq!(expand("a=%ANI%", "", "%UCID%"), "a=%25UCID%25");
    }

    /// R8, R13
    #[test]
    fn r13_triplets_and_free_text_are_kept() {
        for text in ["%20", "%2f", "%AB", "a=%20%2f%AB&b=!$&'()*+,;=:@/?-._~", "", "%AB%41"] {
            assert_eq!(expand(text, "", "x"), text);
        }
        assert_eq!(expand("%AB%ANI%41", "", "x"), "%ABx41");
    }

    /// R12
    #[test]
    fn r12_faults_have_a_place() {
        for (text, at) in [
            ("a=%", 3),
            ("a=%4", 3),
            ("100%", 4),
            ("a=%ucid%", 3),
            ("a=%AB_c%", 8),
            ("a b", 2),
            ("a=ü", 3),
            ("a=b#c", 4),
            ("a=\"", 3),
            ("<", 1),
            ("%UCID", 1),
            ("%UCID%%", 7),
            ("ü", 1),
            ("a=1\r\nX: y", 4),
        ] {
            assert_eq!(Template::parse(text).map_err(|fault| fault.at), Err(at), "{text}");
        }
    }

    /// Free text that no neighbour turns into a name, and names.
    fn parts() -> impl Strategy<Value = Vec<Part>> {
        let free = "([a-z0-9=&.:@/?~-]|%[2-7][0-9a-f]){1,6}[a-z=]";
        let part = prop_oneof![
            free.prop_map(|text| Part::Free(text.into())),
            "[A-Z][A-Z0-9_]{2,8}".prop_map(|name| Part::Parameter(name.into())),
        ];
        proptest::collection::vec(part, 0..8).prop_map(|parts| {
            let mut merged: Vec<Part> = Vec::new();
            for part in parts {
                match (merged.last_mut(), part) {
                    (Some(Part::Free(before)), Part::Free(text)) => {
                        *before = format!("{before}{text}").into()
                    }
                    (_, part) => merged.push(part),
                }
            }
            merged
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(parts in parts()) {
            let template = Template { parts };
            prop_assert_eq!(Template::parse(&template.to_string()), Ok(template));
        }

        #[test]
        fn what_is_read_is_printed_again(text in "[A-Z%a-f0-9=&]{0,24}") {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(template.to_string(), text);
            }
        }

        #[test]
        fn no_value_leaves_its_place(value in any::<String>()) {
            let sent = expand("%UCID%", Bare::ALLOWED, &value);
            prop_assert!(sent.bytes().all(|b| b.is_ascii_graphic() && !b"&=+#\"<>".contains(&b)));
            prop_assert_eq!(crate::wire::http::query::percent_decode(&sent).unwrap(), value);
        }
    }
}

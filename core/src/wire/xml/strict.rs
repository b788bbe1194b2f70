//! What quick-xml lets pass although XML 1.0 does not: characters, names, the spacing of attributes, the declaration.

use std::ops::ControlFlow;

/// XML 1.0 section 2.2, production 2.
pub(super) fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// Section 2.3, productions 4 and 4a.
fn is_name_char(c: char, first: bool) -> bool {
    matches!(c, ':' | 'A'..='Z' | '_' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}' | '\u{200d}' | '\u{2070}'..='\u{218f}'
        | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
        | '\u{10000}'..='\u{effff}')
        || !first
            && matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}' | '\u{2040}')
}

/// Section 2.3, production 5.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.char_indices().all(|(at, c)| is_name_char(c, at == 0))
}

/// Section 2.6: a processing instruction's target; `xml` in any case is reserved.
pub(super) fn is_target(text: &str) -> bool {
    is_name(text) && !text.eq_ignore_ascii_case("xml")
}

/// Section 2.8, production 23: version, encoding and standalone, in this order, the first always.
pub(super) fn is_declaration(content: &str) -> bool {
    let Some(rest) = content.strip_prefix("xml") else { return false };
    let mut allowed = ["version", "encoding", "standalone"].iter();
    let mut first = true;
    let well_formed = attributes(rest, |name, value| {
        let known = allowed.any(|a| *a == name) && (!first || name == "version");
        first = false;
        let fits = match name {
            "version" => value.strip_prefix("1.").is_some_and(is_digits),
            "encoding" => is_encoding(value),
            _ => matches!(value, "yes" | "no"),
        };
        if known && fits { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    well_formed && !first
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Section 4.3.3, production 81.
fn is_encoding(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Section 3.1, productions 40 and 41: what stands in a tag after the name. White space goes before each attribute,
/// and no `<` stands in a value.
pub(super) fn are_attributes(text: &str) -> bool {
    attributes(text, |name, value| {
        if is_name(name) && !value.contains('<') { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// Visits names and raw values; false if something stands between them, or if `visit` breaks off.
fn attributes<'t>(mut text: &'t str, mut visit: impl FnMut(&'t str, &'t str) -> ControlFlow<()>) -> bool {
    loop {
        let rest = text.trim_start_matches(is_space);
        if rest.is_empty() {
            return true;
        }
        let Some((name, rest)) = rest.split_once('=').filter(|_| rest.len() < text.len()) else {
            return false;
        };
        let rest = rest.trim_start_matches(is_space);
        let Some(quote @ ('"' | '\'')) = rest.chars().next() else { return false };
        let Some((value, rest)) = rest[1..].split_once(quote) else { return false };
        if visit(name.trim_end_matches(is_space), value).is_break() {
            return false;
        }
        text = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        for (text, expected) in [
            ("", true),
            (" \r\n", true),
            (" a='1'\tb = \"2'\" ", true),
            (" xmlns:x='>' x:y=''", true),
            ("a='1'", false),
            (" a='1'b='2'", false),
            (" a", false),
            (" a=1", false),
            (" a='1", false),
            (" 1a='1'", false),
            (" a='<'", false),
            (" a b='1'", false),
            (" ='1'", false),
            (" a='1' /", false),
        ] {
            assert_eq!(are_attributes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn declarations() {
        for (text, expected) in [
            ("xml version=\"1.0\"", true),
            ("xml version='1.1' encoding='utf-16' standalone='no' ", true),
            ("xml version=\"1.0\" standalone=\"yes\"", true),
            ("xml", false),
            ("xml encoding='utf-8'", false),
            ("xml version='2.0'", false),
            ("xml version='1.0' standalone='yes' encoding='utf-8'", false),
            ("xml version='1.0' version='1.0'", false),
            ("xml version='1.0' encoding=''", false),
            ("xml version='1.0' more='1'", false),
        ] {
            assert_eq!(is_declaration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn names() {
        assert!(is_name("web_service") && is_name("a:b-c.1") && is_name("é") && is_target("xml-stylesheet"));
        assert!(!is_name("") && !is_name("1a") && !is_name("-a") && !is_name("a b") && !is_target("XML"));
        assert!(is_char('\u{85}') && !is_char('\u{b}') && !is_char('\u{fffe}'));
    }
}

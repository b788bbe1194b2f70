//! The form that the vendor's page shows: `{"property" : "type" : "value" : "dial"}`, which is not JSON. Read with one
//! change it is: inside an object, a colon that follows a whole string value and stands before a string is a comma.

use std::ops::Range;

/// Longer strings are not quoted in a lesson.
const QUOTED_MAX: usize = 64;

const EXAMPLE: &str = r#"{"property":"type","value":"dial"}"#;

/// A text in this form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The text with commas; all else stands where it stood.
    pub mended: String,
    /// What is wrong with it, and the right form.
    pub lesson: String,
}

/// An array or object that is open.
#[derive(Debug)]
enum Level {
    /// The index of the element at hand.
    Array(usize),
    Object(Awaited),
}

/// What may come next in an object.
#[derive(Clone, Debug, PartialEq)]
enum Awaited {
    Key,
    Colon,
    Value,
    /// The end of the member; its value's place, if that is a string.
    End(Option<Range<usize>>),
}

/// The text with its broken colons mended; `None` if it has none.
#[must_use]
pub fn mend(text: &str) -> Option<Broken> {
    let bytes = text.as_bytes();
    let mut mended = bytes.to_vec();
    let mut lesson = None;
    let mut levels: Vec<Level> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let start = at;
        at = if *byte == b'"' { string_end(bytes, at)? } else { at + 1 };
        match byte {
            b'{' => levels.push(Level::Object(Awaited::Key)),
            b'[' => levels.push(Level::Array(0)),
            b'}' | b']' => drop(levels.pop()),
            _ => {}
        }
        let awaited = match (levels.last_mut(), byte) {
            (_, b'{' | b'[') | (None, _) => continue,
            (Some(Level::Array(index)), b',') => {
                *index += 1;
                continue;
            }
            (Some(Level::Array(_)), _) => continue,
            (Some(Level::Object(awaited)), _) => awaited,
        };
        match (byte, &awaited) {
            (b',', _) => *awaited = Awaited::Key,
            (b':', Awaited::Colon) => *awaited = Awaited::Value,
            (b':', Awaited::End(Some(value))) if next(bytes, at) == Some(b'"') => {
                let value = value.clone();
                *awaited = Awaited::Key;
                mended[start] = b',';
                lesson.get_or_insert_with(|| self::lesson(text, &levels, value, at));
            }
            (b'"', Awaited::Key) => *awaited = Awaited::Colon,
            (b'"', Awaited::Value) => *awaited = Awaited::End(Some(start..at)),
            (b'}' | b']', _) => *awaited = Awaited::End(None),
            (b' ' | b'\t' | b'\r' | b'\n', _) => {}
            (_, Awaited::Value) => *awaited = Awaited::End(None),
            _ => {}
        }
    }
    Some(Broken { mended: String::from_utf8(mended).ok()?, lesson: lesson? })
}

/// The lesson about the first broken colon: it stands after `value` and before `at`.
fn lesson(text: &str, levels: &[Level], value: Range<usize>, at: usize) -> String {
    let filter = match levels {
        [Level::Object(_), Level::Array(index), Level::Object(_)] => format!("filters[{index}]: "),
        _ => String::new(),
    };
    let string = |from: usize| {
        let start = from + text[from..].find(|c: char| !c.is_ascii_whitespace())?;
        let end = string_end(text.as_bytes(), start)?;
        (end - start <= QUOTED_MAX).then(|| (&text[start..end], end))
    };
    let own = || {
        let (property, _) = string(value.start)?;
        let (key, end) = string(at)?;
        let behind_colon = text[end..].trim_ascii_start().strip_prefix(':')?;
        let (value, _) = string(text.len() - behind_colon.len())?;
        (key == r#""value""#).then(|| format!(r#"{{"property":{property},"value":{value}}}"#))
    };
    let example = own().unwrap_or_else(|| EXAMPLE.to_owned());
    format!(r#"{filter}not JSON: write {example} (a comma before "value", not a colon)"#)
}

/// Where the string ends that starts at `at`, behind its quotation mark; `None` if none starts there or it has no end.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut escaped = bytes.get(at) != Some(&b'"');
    for (end, byte) in bytes.iter().enumerate().skip(at + 1) {
        match byte {
            b'"' if !escaped => return Some(end + 1),
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

/// The next byte that is no white space.
fn next(bytes: &[u8], from: usize) -> Option<u8> {
    bytes[from..].iter().copied().find(|b| !b.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn colons_become_commas() {
        for (text, mended) in [
            (r#"{"property":"type":"value":"dial"}"#, Some(r#"{"property":"type","value":"dial"}"#)),
            (r#"{"a" : "b" : "c" : "d"}"#, Some(r#"{"a" : "b" , "c" : "d"}"#)),
            (r#"[{"a":"b":"c":"d"},{"a":"b":"c":"d"}]"#, Some(r#"[{"a":"b","c":"d"},{"a":"b","c":"d"}]"#)),
            (r#"{"x":{"a":"b":"c":1}}"#, Some(r#"{"x":{"a":"b","c":1}}"#)),
            (r#"{"a":"\":\"":"c":"d"}"#, Some(r#"{"a":"\":\"","c":"d"}"#)),
            // The value before it is no string, or what stands behind it is none, or nothing is broken.
            (r#"{"a":1:"b":2}"#, None),
            (r#"{"a":[]:"b":2}"#, None),
            (r#"{"a":"b":1}"#, None),
            (r#"{"a":"b"}"#, None),
            (r#"["a":"b"]"#, None),
            (r#"{"a":"b":"c"#, None),
            ("", None),
        ] {
            assert_eq!(mend(text).map(|b| b.mended), mended.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn i22_the_lesson_shows_the_right_form() {
        let long = format!(r#"{{"filters":[{{"property":"{}":"value":"v"}}]}}"#, "x".repeat(100));
        for (text, lesson) in [
            (
                r#"{"filters":[{"property":"type","value":"a"},{"property" : "type" : "value" : "dial"}]}"#,
                r#"filters[1]: not JSON: write {"property":"type","value":"dial"} (a comma before "value", not a colon)"#,
            ),
            (
                r#"{"filters":[{"property":"username":"value":"*"}]}"#,
                r#"filters[0]: not JSON: write {"property":"username","value":"*"} (a comma before "value", not a colon)"#,
            ),
            (
                &long,
                r#"filters[0]: not JSON: write {"property":"type","value":"dial"} (a comma before "value", not a colon)"#,
            ),
            (
                r#"{"property":"type":"value"é"dial"}"#,
                r#"not JSON: write {"property":"type","value":"dial"} (a comma before "value", not a colon)"#,
            ),
            (
                r#"{"type":"filter":"filters":[]}"#,
                r#"not JSON: write {"property":"type","value":"dial"} (a comma before "value", not a colon)"#,
            ),
        ] {
            assert_eq!(mend(text).map(|b| b.lesson).as_deref(), Some(lesson), "{text}");
        }
    }

    proptest! {
        /// No text is too strange, and what is mended has its length and differs in colons alone.
        #[test]
        fn nothing_else_is_touched(text in "([\\[\\]{}:, \\\\é1]|\"[a\\\\é]{0,2}\"){0,40}") {
            if let Some(Broken { mended, .. }) = mend(&text) {
                prop_assert_eq!(mended.len(), text.len());
                let differ = text.bytes().zip(mended.bytes()).filter(|(a, b)| a != b);
                prop_assert!(differ.clone().count() > 0 && differ.clone().all(|pair| pair == (b':', b',')));
            }
        }
    }
}

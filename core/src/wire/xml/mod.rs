//! XML, strictly and without document types. quick-xml cuts tokens; here its leniency ends: unclosed elements, a
//! document type declaration, doubled attributes, bad references and unbounded nesting are refused with the place where
//! they stand. [`read`] gives elements, attributes and their nesting, which is all that most vendors' requests use;
//! [`tree`] knows namespaces and text as well.

pub mod element;
mod strict;
pub mod tree;

use std::borrow::Cow;
use std::fmt;

use quick_xml::XmlVersion;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;

/// What is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XmlError {
    /// Bytes before the fault.
    pub at: u64,
    /// A sentence.
    pub reason: String,
}

impl fmt::Display for XmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.at, self.reason)
    }
}

/// One element's start or end. Namespaces are not looked at, prefixes belong to the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// An element starts; its attributes in order, values with their references resolved.
    Start {
        /// The name as it was written.
        name: String,
        /// Names and values.
        attributes: Vec<(String, String)>,
        /// Where it stands.
        at: u64,
    },
    /// An element ends.
    End,
}

/// Bounds of a document.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Nesting.
    pub depth: usize,
    /// Attributes of one element.
    pub attributes: usize,
}

/// The text of a document. Without a UTF-16 byte order mark the bytes are UTF-8, whatever is declared.
///
/// # Errors
/// The bytes are neither.
pub fn text(bytes: &[u8]) -> Result<Cow<'_, str>, XmlError> {
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = rest.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units)
            .ok()
            .filter(|_| rest.len().is_multiple_of(2))
            .map(Cow::Owned)
            .ok_or_else(|| XmlError { at: 0, reason: "the document is not UTF-16".to_owned() })
    };
    match bytes {
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        _ => {
            let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
            std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|e| XmlError {
                at: e.valid_up_to() as u64,
                reason: "the document is not UTF-8".to_owned(),
            })
        }
    }
}

/// Reads a whole document into its elements' starts and ends.
///
/// # Errors
/// The first fault.
pub fn read(document: &str, bounds: Bounds) -> Result<Vec<Token>, XmlError> {
    let mut tokens = Vec::new();
    scan(document, bounds, |piece| {
        match piece {
            Piece::Declared(_) | Piece::Text(_) => {}
            Piece::Token(token) => tokens.push(token),
        }
        Ok(())
    })?;
    Ok(tokens)
}

/// A part of a document.
enum Piece<'a> {
    /// The encoding that the XML declaration names.
    Declared(&'a str),
    /// An element starts or ends.
    Token(Token),
    /// Text inside of the root element, with line ends as LF and references resolved; it may come in several pieces.
    Text(Cow<'a, str>),
}

/// Reads a whole document and shows its parts in their order.
fn scan(
    document: &str,
    bounds: Bounds,
    mut take: impl FnMut(Piece<'_>) -> Result<(), XmlError>,
) -> Result<(), XmlError> {
    if let Some((at, _)) = document.char_indices().find(|(_, c)| !strict::is_char(*c)) {
        return Err(XmlError { at: at as u64, reason: "a character that XML forbids".to_owned() });
    }
    let mut reader = Reader::from_str(document);
    let config = reader.config_mut();
    config.check_end_names = true;
    config.check_comments = true;
    config.expand_empty_elements = true;
    let (mut depth, mut roots) = (0usize, 0usize);
    loop {
        let at = reader.buffer_position();
        let fault = |reason: &str| XmlError { at, reason: reason.to_owned() };
        let event = reader
            .read_event()
            .map_err(|e| XmlError { at: reader.error_position(), reason: e.to_string() })?;
        match event {
            Event::Start(start) => {
                depth += 1;
                roots += usize::from(depth == 1);
                if depth > bounds.depth {
                    return Err(fault("elements are nested too deeply"));
                }
                if roots > 1 {
                    return Err(fault("there is more than one root element"));
                }
                take(Piece::Token(read_start(&start, at, bounds)?))?;
            }
            Event::End(_) => {
                depth = depth.checked_sub(1).ok_or_else(|| fault("an element ends that never started"))?;
                take(Piece::Token(Token::End))?;
            }
            Event::DocType(_) => return Err(fault("a document type declaration is not taken")),
            Event::Text(text) if depth == 0 && !text.as_ref().trim_ascii().is_empty() => {
                return Err(fault("there is text outside of the root element"));
            }
            Event::CData(_) | Event::GeneralRef(_) if depth == 0 => {
                return Err(fault("there is text outside of the root element"));
            }
            Event::GeneralRef(reference) => {
                let character =
                    referred(&reference).ok_or_else(|| fault("an unknown entity is referred to"))?;
                take(Piece::Text(character.encode_utf8(&mut [0; 4]).to_owned().into()))?;
            }
            Event::Text(text) if text.as_ref().contains("]]>") => {
                return Err(fault("]]> stands in text"));
            }
            Event::PI(instruction) if !strict::is_target(instruction.target()) => {
                return Err(fault("a processing instruction's target is malformed"));
            }
            Event::Decl(declaration) if at > 0 || !strict::is_declaration(declaration.as_ref()) => {
                return Err(fault("the XML declaration is malformed, or not at the start"));
            }
            Event::Decl(declaration) => {
                if let Some(Ok(encoding)) = declaration.encoding() {
                    take(Piece::Declared(&encoding))?;
                }
            }
            Event::Eof if depth > 0 => return Err(fault("the document ends inside an element")),
            Event::Eof if roots == 0 => return Err(fault("there is no root element")),
            Event::Eof => return Ok(()),
            Event::Empty(_) => return Err(fault("an empty element was not expanded")),
            Event::Text(text) if depth > 0 => take(Piece::Text(text.xml10_content()))?,
            Event::CData(text) => take(Piece::Text(text.xml10_content()))?,
            Event::Text(_) | Event::Comment(_) | Event::PI(_) => {}
        }
    }
}

/// The character that a reference stands for; no entity is known beside the predefined ones (section 4.6).
fn referred(reference: &BytesRef<'_>) -> Option<char> {
    match reference.as_ref() {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => reference.resolve_char_ref().ok().flatten().filter(|c| strict::is_char(*c)),
    }
}

fn read_start(start: &BytesStart<'_>, at: u64, bounds: Bounds) -> Result<Token, XmlError> {
    let fault = |reason: String| XmlError { at, reason };
    let name = start.name().as_ref().to_owned();
    if !strict::is_name(&name) {
        return Err(fault("an element's name is malformed".to_owned()));
    }
    if !strict::are_attributes(start.attributes_raw()) {
        return Err(fault(format!("the attributes of <{name}> are malformed")));
    }
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|e| fault(e.to_string()))?;
        if attributes.len() == bounds.attributes {
            return Err(fault(format!("<{name}> has too many attributes")));
        }
        let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|e| fault(e.to_string()))?;
        if !value.chars().all(strict::is_char) {
            return Err(fault(format!("an attribute of <{name}> refers to a character that XML forbids")));
        }
        attributes.push((attribute.key.as_ref().to_owned(), value.into_owned()));
    }
    Ok(Token::Start { name, attributes, at })
}

/// Whether all characters are such as XML allows (section 2.2), and so can be carried in a document.
#[must_use]
pub fn is_text(text: &str) -> bool {
    text.chars().all(strict::is_char)
}

/// Appends `text` as an attribute's value that is ASCII alone: what is special or not ASCII becomes a reference,
/// and what XML 1.0 section 2.2 forbids becomes U+FFFD.
pub fn write_ascii_value(text: &str, out: &mut Vec<u8>) {
    use std::io::Write as _;
    let bytes = text.as_bytes();
    let mut plain = 0;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        let reference: &[u8] = match c {
            '&' => b"&amp;",
            '<' => b"&lt;",
            '>' => b"&gt;",
            '"' => b"&quot;",
            '\r' => b"&#xD;",
            '\n' => b"&#xA;",
            '\t' => b"&#x9;",
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => b"&#65533;",
            ' '..='\x7e' => continue,
            _ => b"",
        };
        out.extend_from_slice(&bytes[plain..at]);
        plain = chars.offset();
        if reference.is_empty() {
            let _ = write!(out, "&#{};", u32::from(c));
        } else {
            out.extend_from_slice(reference);
        }
    }
    out.extend_from_slice(&bytes[plain..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(document: &str, expected: Result<&str, &str>) {
        let got = read(document, Bounds { depth: 4, attributes: 3 }).map(|tokens| {
            let mut out = String::new();
            for token in tokens {
                match token {
                    Token::Start { name, attributes, .. } => {
                        out.push_str(&format!("<{name}"));
                        attributes.iter().for_each(|(n, v)| out.push_str(&format!(" {n}={v}")));
                    }
                    Token::End => out.push('>'),
                }
            }
            out
        });
        match (got, expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{document}"),
            (Err(e), Err(part)) => assert!(e.reason.contains(part), "{document}: {e}"),
            (got, expected) => panic!("{document}: {got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn documents() {
        check("<a/>", Ok("<a>"));
        check(
            "<?xml version=\"1.0\" encoding=\"utf-16\"?>\r\n<a><b x=\"1&amp;2\" y='&#65;'/>t<!-- c --></a>\n",
            Ok("<a<b x=1&2 y=A>>"),
        );
        check("", Err("no root"));
        check("  ", Err("no root"));
        check("<a>", Err("ends inside"));
        check("<a></b>", Err(""));
        check("</a>", Err(""));
        check("<a/><b/>", Err("more than one root"));
        check("x<a/>", Err("outside"));
        check("<a/>x", Err("outside"));
        check("<!DOCTYPE a><a/>", Err("document type"));
        check("<a x=1/>", Err(""));
        check("<a x=\"1\" x=\"2\"/>", Err(""));
        check("<a x=\"&nope;\"/>", Err(""));
        check("<a>&nope;</a>", Err("unknown entity"));
        check("<a>&lt;&#x41;</a>", Ok("<a>"));
        check("<a><b><c><d><e/></d></c></b></a>", Err("too deeply"));
        check("<a w='' x='' y='' z=''/>", Err("too many attributes"));
        check("<a", Err(""));
        check("<a x='1'y='2'/>", Err("attributes"));
        check("<a x='<'/>", Err("attributes"));
        check("<a x='&#1;'/>", Err("forbids"));
        check("<a>&#0;</a>", Err("unknown entity"));
        check("<a>\u{1}</a>", Err("forbids"));
        check("<1/>", Err("name"));
        check("<a>]]></a>", Err("]]>"));
        check("<a><!-- a -- b --></a>", Err(""));
        check(" <?xml version='1.0'?><a/>", Err("declaration"));
        check("<?xml?><a/>", Err(""));
        check("<a><?XML x?></a>", Err(""));
    }

    #[test]
    fn encodings() {
        let utf16 = |big: bool| {
            let mut bytes = if big { vec![0xFE, 0xFF] } else { vec![0xFF, 0xFE] };
            for unit in "<a/>".encode_utf16() {
                bytes.extend(if big { unit.to_be_bytes() } else { unit.to_le_bytes() });
            }
            bytes
        };
        assert_eq!(text(&utf16(true)).unwrap(), "<a/>");
        assert_eq!(text(&utf16(false)).unwrap(), "<a/>");
        assert_eq!(text(b"\xEF\xBB\xBF<a/>").unwrap(), "<a/>");
        assert!(text(b"\xFF\xFEa").is_err());
        assert_eq!(text(b"<a\xff/>").unwrap_err().at, 2);
    }

    #[test]
    fn values_are_ascii() {
        for (text, expected) in [
            ("plain", "plain"),
            ("<sip:a@b>;tag=\"1\" & more", "&lt;sip:a@b&gt;;tag=&quot;1&quot; &amp; more"),
            ("a\r\nb\tc", "a&#xD;&#xA;b&#x9;c"),
            ("Jürgen", "J&#252;rgen"),
            ("\u{1}\u{fffe}\u{7f}", "&#65533;&#65533;&#127;"),
            ("日😀", "&#26085;&#128512;"),
        ] {
            let mut out = Vec::new();
            write_ascii_value(text, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}

//! How a body stands in a document of the API: XML as an element, text as text, anything else as Base64.

use std::borrow::Cow;

use data_encoding::BASE64;

use super::{Body, XML};
use crate::wire::xml::is_text;
use crate::wire::xml::tree::{Element, tree, utf8, write_attribute};

/// What a body is carried as.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Carrier<'a> {
    /// An element, which means the same below any other: its XML declaration is dropped, and all else is as it came.
    Element(Cow<'a, str>),
    /// Text of characters that XML allows, its line ends as LF.
    Text(Cow<'a, str>),
    /// Base64 of the exact bytes.
    Base64(String),
}

impl Body {
    /// What it is carried as. XML that is not well-formed, has a document type declaration or another encoding than UTF-8
    /// is carried as bytes: what it says is not known.
    #[must_use]
    pub fn carrier(&self) -> Carrier<'_> {
        if is_xml(self.media_type()) {
            return match tree(&self.bytes, XML).ok().zip(utf8(&self.bytes).ok()) {
                Some((root, text)) => Carrier::Element(element(&root, text)),
                None => Carrier::Base64(BASE64.encode(&self.bytes)),
            };
        }
        match std::str::from_utf8(&self.bytes) {
            Ok(text) if is_text(text) => Carrier::Text(with_lf(text)),
            _ => Carrier::Base64(BASE64.encode(&self.bytes)),
        }
    }

    /// Appends it to a document: the element that it is, or a `<body>` of this namespace that carries it.
    pub fn write(&self, namespace: &str, out: &mut Vec<u8>) {
        let carrier = self.carrier();
        let encoding = match &carrier {
            Carrier::Element(element) => return out.extend_from_slice(element.as_bytes()),
            Carrier::Text(_) => "text",
            Carrier::Base64(_) => "base64",
        };
        out.extend_from_slice(b"<body");
        write_attribute("xmlns", namespace, out);
        write_attribute("type", &self.content_type, out);
        write_attribute("encoding", encoding, out);
        out.push(b'>');
        match carrier {
            Carrier::Element(_) => {}
            Carrier::Text(text) => write_cdata(&text, out),
            Carrier::Base64(base64) => out.extend_from_slice(base64.as_bytes()),
        }
        out.extend_from_slice(b"</body>");
    }
}

/// RFC 7303 section 4.2, and what came before it.
fn is_xml(media_type: &str) -> bool {
    let media_type = media_type.to_ascii_lowercase();
    media_type.ends_with("+xml") || matches!(media_type.as_str(), "application/xml" | "text/xml")
}

/// A document without its declaration. A default namespace that it does not declare must not be taken from what is
/// around it.
fn element<'a>(root: &Element, text: &'a str) -> Cow<'a, str> {
    let declared = text.strip_prefix("<?xml").is_some_and(|rest| rest.starts_with([' ', '\t', '\r', '\n']));
    let start = if declared { text.find("?>").map_or(0, |at| at + 2) } else { 0 };
    if root.declared.iter().any(|(prefix, _)| prefix.is_empty()) {
        return Cow::Borrowed(text[start..].trim_ascii());
    }
    let colon = usize::from(!root.prefix.is_empty());
    let name_end = root.at as usize + 1 + root.prefix.len() + colon + root.name.len();
    let (front, rest) = text[start..].split_at(name_end - start);
    Cow::Owned(format!("{} xmlns=\"\"{}", front.trim_ascii_start(), rest.trim_ascii_end()))
}

/// Line ends as a parser of XML gives them (XML 1.0 section 2.11).
fn with_lf(text: &str) -> Cow<'_, str> {
    if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Appends text as CDATA sections: `]]>` ends one, so it is split over two.
fn write_cdata(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<![CDATA[");
    out.extend_from_slice(text.replace("]]>", "]]]]><![CDATA[>").as_bytes());
    out.extend_from_slice(b"]]>");
}

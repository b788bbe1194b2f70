//! A document as a tree of elements with their namespaces (Namespaces in XML 1.0) and their text, to be looked into,
//! changed and written again. Comments, processing instructions and the XML declaration are not kept.
//!
//! UTF-8 alone is read. What is written binds each prefix where it is needed, wherever an element was moved to.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::{Bounds, Piece, Token, XmlError, scan};

/// What the prefix `xml` means, declared or not.
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// What no prefix but `xmlns` means.
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// An element. Two are equal if they mean the same: prefixes, declarations, the order of attributes and where they stood
/// are not looked at.
#[derive(Clone, Eq, Debug, Default)]
pub struct Element {
    /// The prefix that it was written with, and is written with again; empty is none.
    pub prefix: Box<str>,
    /// Empty is none.
    pub namespace: Arc<str>,
    /// The local name.
    pub name: Box<str>,
    /// Namespaces that were declared here, by their prefixes: text may refer to them, too.
    pub declared: Vec<(Box<str>, Arc<str>)>,
    /// In their order; declarations of namespaces are not among them.
    pub attributes: Vec<Attribute>,
    /// In their order.
    pub children: Vec<Node>,
    /// Bytes before it in the document that was read, without a byte order mark.
    pub at: u64,
}

/// An attribute. Two are equal if they mean the same, whatever their prefixes.
#[derive(Clone, Eq, Debug)]
pub struct Attribute {
    /// Empty is none.
    pub prefix: Box<str>,
    /// Empty unless there is a prefix: the default namespace is not meant for attributes.
    pub namespace: Arc<str>,
    /// The local name.
    pub name: Box<str>,
    /// The value, references resolved.
    pub value: Box<str>,
}

/// What stands in an element.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Node {
    /// An element.
    Element(Element),
    /// Text, references resolved and CDATA sections opened; no two stand side by side.
    Text(String),
}

/// Reads a document: its root element.
///
/// # Errors
/// The first fault, where it stands: what [`super::read`] refuses, a prefix that is not declared, another encoding than
/// UTF-8.
pub fn tree(bytes: &[u8], bounds: Bounds) -> Result<Element, XmlError> {
    let text = utf8(bytes)?;
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    scan(text, bounds, |piece| {
        match piece {
            Piece::Declared(encoding) => {
                if !["utf-8", "utf8", "us-ascii"].iter().any(|known| known.eq_ignore_ascii_case(encoding)) {
                    let reason =
                        format!("the document is declared to be {encoding}, and UTF-8 alone is read");
                    return Err(XmlError { at: 0, reason });
                }
            }
            Piece::Token(Token::Start { name, attributes, at }) => {
                let element = start(&name, attributes, at, &open)?;
                open.push(element);
            }
            Piece::Token(Token::End) => {
                // `scan` counts: what ends has started.
                if let Some(ended) = open.pop() {
                    match open.last_mut() {
                        Some(parent) => parent.children.push(Node::Element(ended)),
                        None => root = Some(ended),
                    }
                }
            }
            Piece::Text(text) => {
                if let Some(element) = open.last_mut() {
                    element.push_text(&text);
                }
            }
        }
        Ok(())
    })?;
    root.ok_or_else(|| XmlError { at: 0, reason: "there is no root element".to_owned() })
}

/// The text of a document in UTF-8, its byte order mark cut.
///
/// # Errors
/// It is not UTF-8.
pub fn utf8(bytes: &[u8]) -> Result<&str, XmlError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    std::str::from_utf8(bytes)
        .map_err(|e| XmlError { at: e.valid_up_to() as u64, reason: "the document is not UTF-8".to_owned() })
}

/// An element that starts, and what its prefixes mean there.
fn start(
    name: &str,
    attributes: Vec<(String, String)>,
    at: u64,
    open: &[Element],
) -> Result<Element, XmlError> {
    let fault = |reason: String| XmlError { at, reason };
    let mut element = Element { at, ..Element::default() };
    let mut rest = Vec::new();
    for (qualified, value) in attributes {
        let (prefix, local) = split(&qualified).ok_or_else(|| fault(format!("{qualified} is no name")))?;
        let declared = match (prefix, local) {
            ("", "xmlns") => "",
            ("xmlns", declared) => declared,
            _ => {
                rest.push(Attribute {
                    prefix: prefix.into(),
                    namespace: Arc::default(),
                    name: local.into(),
                    value: value.into(),
                });
                continue;
            }
        };
        // Namespaces in XML 1.0, section 3: both names are bound for ever, and only the default can be undeclared.
        let allowed = declared != "xmlns"
            && (declared == "xml") == (value == XML)
            && value != XMLNS
            && (declared.is_empty() || !value.is_empty());
        if !allowed {
            return Err(fault(format!("{qualified} cannot be declared so")));
        }
        element.declared.push((declared.into(), shared(&value, open)));
    }
    let (prefix, local) = split(name).ok_or_else(|| fault(format!("{name} is no name")))?;
    let meaning = |element: &Element, prefix: &str| {
        lookup(open.iter().chain([element]).map(|e| &e.declared[..]), prefix)
            .ok_or_else(|| fault(format!("the prefix {prefix} is not declared")))
    };
    element.namespace = meaning(&element, prefix)?;
    (element.prefix, element.name) = (prefix.into(), local.into());
    for attribute in &mut rest {
        if !attribute.prefix.is_empty() {
            attribute.namespace = meaning(&element, &attribute.prefix)?;
        }
    }
    for (index, attribute) in rest.iter().enumerate() {
        if rest[..index].iter().any(|a| a.is(&attribute.namespace, &attribute.name)) {
            return Err(fault(format!("<{name}> has the attribute {} twice", attribute.name)));
        }
    }
    element.attributes = rest;
    Ok(element)
}

/// Prefix and local name.
fn split(qualified: &str) -> Option<(&str, &str)> {
    let (prefix, local) = qualified.split_once(':').unwrap_or(("", qualified));
    let whole =
        !local.is_empty() && !local.contains(':') && (qualified.len() == local.len() || !prefix.is_empty());
    // What follows the colon starts as a name does (Namespaces in XML 1.0, section 4).
    (whole && super::strict::is_name(local)).then_some((prefix, local))
}

/// A namespace's name, shared with an element around it that has the same.
fn shared(name: &str, open: &[Element]) -> Arc<str> {
    let known = open.iter().rev().flat_map(|e| &e.declared).find(|(_, known)| **known == *name);
    known.map_or_else(|| name.into(), |(_, known)| Arc::clone(known))
}

/// What a prefix means below these declarations, the innermost last.
fn lookup<'a, D>(declared: D, prefix: &str) -> Option<Arc<str>>
where
    D: DoubleEndedIterator<Item = &'a [(Box<str>, Arc<str>)]>,
{
    let found = declared.rev().flatten().find(|(known, _)| **known == *prefix);
    match (found, prefix) {
        (Some((_, name)), _) => Some(Arc::clone(name)),
        (None, "") => Some(Arc::default()),
        (None, "xml") => Some(XML.into()),
        (None, _) => None,
    }
}

impl PartialEq for Attribute {
    fn eq(&self, other: &Attribute) -> bool {
        self.is(&other.namespace, &other.name) && self.value == other.value
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Element) -> bool {
        self.is(&other.namespace, &other.name)
            && self.attributes.len() == other.attributes.len()
            && self.attributes.iter().all(|a| other.attributes.contains(a))
            && self.children == other.children
    }
}

impl Attribute {
    /// Whether it is this one; an empty namespace is none.
    #[must_use]
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        *self.name == *name && *self.namespace == *namespace
    }
}

impl Element {
    /// An element without a prefix.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Element {
        Element { namespace: namespace.into(), name: name.into(), ..Element::default() }
    }

    /// Whether it is this one; an empty namespace is none.
    #[must_use]
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        *self.name == *name && *self.namespace == *namespace
    }

    /// The value of an attribute without a namespace.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|a| a.is("", name)).map(|a| &*a.value)
    }

    /// Sets an attribute without a namespace, in its place if it is there already.
    pub fn set_attribute(&mut self, name: &str, value: &str) {
        match self.attributes.iter_mut().find(|a| a.is("", name)) {
            Some(attribute) => attribute.value = value.into(),
            None => self.attributes.push(Attribute {
                prefix: Box::default(),
                namespace: Arc::default(),
                name: name.into(),
                value: value.into(),
            }),
        }
    }

    /// The elements in it.
    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The elements of a name in it.
    pub fn all<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> impl Iterator<Item = &'a Element> + use<'a> {
        self.elements().filter(move |e| e.is(namespace, name))
    }

    /// The first element of a name in it.
    #[must_use]
    pub fn find(&self, namespace: &str, name: &str) -> Option<&Element> {
        self.elements().find(|e| e.is(namespace, name))
    }

    /// Its own text, trimmed as XML white space goes; that of elements in it is left out.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for node in &self.children {
            match node {
                Node::Text(part) => text.push_str(part),
                Node::Element(_) => {}
            }
        }
        text.trim_matches([' ', '\t', '\r', '\n']).to_owned()
    }

    /// Adds text behind what is in it.
    pub fn push_text(&mut self, text: &str) {
        match self.children.last_mut() {
            _ if text.is_empty() => {}
            Some(Node::Text(before)) => before.push_str(text),
            Some(Node::Element(_)) | None => self.children.push(Node::Text(text.to_owned())),
        }
    }

    /// Appends the element to a document.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_below(&mut Vec::new(), out);
    }

    fn write_below<'a>(&'a self, bound: &mut Vec<(&'a str, &'a str)>, out: &mut Vec<u8>) {
        let depth = bound.len();
        out.push(b'<');
        write_name(&self.prefix, &self.name, out);
        for (prefix, namespace) in &self.declared {
            bind(prefix, namespace, bound, out);
        }
        bind(&self.prefix, &self.namespace, bound, out);
        for attribute in &self.attributes {
            if !attribute.namespace.is_empty() {
                bind(&attribute.prefix, &attribute.namespace, bound, out);
            }
            out.push(b' ');
            write_name(&attribute.prefix, &attribute.name, out);
            write_value(&attribute.value, out);
        }
        if self.children.is_empty() {
            out.extend_from_slice(b"/>");
        } else {
            out.push(b'>');
            for node in &self.children {
                match node {
                    Node::Element(element) => element.write_below(bound, out),
                    Node::Text(text) => write_text(text, out),
                }
            }
            out.extend_from_slice(b"</");
            write_name(&self.prefix, &self.name, out);
            out.push(b'>');
        }
        bound.truncate(depth);
    }
}

fn write_name(prefix: &str, name: &str, out: &mut Vec<u8>) {
    if !prefix.is_empty() {
        out.extend_from_slice(prefix.as_bytes());
        out.push(b':');
    }
    out.extend_from_slice(name.as_bytes());
}

/// Declares a namespace, unless the prefix means it already.
fn bind<'a>(prefix: &'a str, namespace: &'a str, bound: &mut Vec<(&'a str, &'a str)>, out: &mut Vec<u8>) {
    let means = bound.iter().rev().find(|(known, _)| *known == prefix).map(|(_, means)| *means);
    let implied = match prefix {
        "" => "",
        "xml" => XML,
        _ => "\0",
    };
    if means.unwrap_or(implied) != namespace {
        out.extend_from_slice(if prefix.is_empty() { b" xmlns" } else { b" xmlns:" });
        out.extend_from_slice(prefix.as_bytes());
        write_value(namespace, out);
        bound.push((prefix, namespace));
    }
}

/// Appends `="…"`.
fn write_value(value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"=\"");
    escape(value, true, out);
    out.push(b'"');
}

/// Appends ` name="value"`; what XML 1.0 section 2.2 forbids becomes U+FFFD.
pub fn write_attribute(name: &str, value: &str, out: &mut Vec<u8>) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    write_value(value, out);
}

/// Appends `text` as an element's text. What XML 1.0 section 2.2 forbids becomes U+FFFD.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    escape(text, false, out);
}

/// Text or a value with references where they are needed: a parser must give back what went in (section 2.11).
fn escape(text: &str, value: bool, out: &mut Vec<u8>) {
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        let reference: &str = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' if value => "&quot;",
            '\r' => "&#xD;",
            '\n' if value => "&#xA;",
            '\t' if value => "&#x9;",
            c if !super::strict::is_char(c) => "\u{fffd}",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        out.extend_from_slice(reference.as_bytes());
        plain = at + c.len_utf8();
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
}

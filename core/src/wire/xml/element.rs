//! The text of one element, for answers of which one word matters.

use quick_xml::events::Event;
use quick_xml::reader::Reader;

use super::{Bounds, XmlError, read};

/// The text of the first element called `name`, whatever its prefix, its references resolved and what is nested in it
/// left out; `None` if there is none.
///
/// # Errors
/// The document's first fault, as [`read`] finds it.
pub fn text_of(document: &str, name: &str, bounds: Bounds) -> Result<Option<String>, XmlError> {
    read(document, bounds)?;
    let mut reader = Reader::from_str(document);
    reader.config_mut().expand_empty_elements = true;
    let mut text = String::new();
    // How deep inside of the element we are; 1 is in the element itself.
    let mut depth = 0usize;
    loop {
        let at = reader.buffer_position();
        let event = reader.read_event().map_err(|e| XmlError { at, reason: e.to_string() })?;
        match event {
            Event::Eof => return Ok(None),
            Event::Start(_) if depth > 0 => depth += 1,
            Event::Start(start) if start.local_name().as_ref() == name => depth = 1,
            Event::End(_) if depth == 1 => return Ok(Some(text)),
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::Text(part) if depth == 1 => text.push_str(&part),
            Event::CData(part) if depth == 1 => text.push_str(&part),
            Event::GeneralRef(reference) if depth == 1 => {
                let predefined = match reference.as_ref() {
                    "amp" => Some('&'),
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "quot" => Some('"'),
                    "apos" => Some('\''),
                    _ => None,
                };
                text.extend(predefined.or_else(|| reference.resolve_char_ref().ok().flatten()));
            }
            Event::Start(_)
            | Event::Empty(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for (document, text) in [
            ("<result><code>0</code><message>ACK</message></result>", Ok(Some("0"))),
            ("<?xml version=\"1.0\"?>\n<result>\n <code> 1\n </code></result>", Ok(Some(" 1\n "))),
            ("<r:result xmlns:r='x'><r:code>7</r:code></r:result>", Ok(Some("7"))),
            ("<code/>", Ok(Some(""))),
            ("<code>1<b>2<c/></b>3</code>", Ok(Some("13"))),
            ("<code>&#49;<![CDATA[2]]>&amp;</code>", Ok(Some("12&"))),
            ("<a><b>0</b></a>", Ok(None)),
            ("<code>1</code><code>2</code>", Err(())),
            ("<code>1", Err(())),
            ("OK", Err(())),
        ] {
            let got = text_of(document, "code", Bounds { depth: 8, attributes: 8 }).map_err(|_| ());
            assert_eq!(got.as_ref().map(Option::as_deref), text.as_ref().map(|t| *t), "{document}");
        }
    }
}

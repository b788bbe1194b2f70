//! The text of one element, for answers of which one word matters.

use super::{Bounds, Piece, Token, XmlError, scan};

/// The text of the first element called `name`, whatever its prefix, its references resolved and what is nested in it
/// left out; `None` if there is none.
///
/// # Errors
/// The document's first fault, as [`super::read`] finds it.
pub fn text_of(document: &str, name: &str, bounds: Bounds) -> Result<Option<String>, XmlError> {
    let mut found: Option<String> = None;
    // How deep inside of the element we are; 1 is in the element itself.
    let mut depth = 0usize;
    scan(document, bounds, |piece| {
        match piece {
            Piece::Token(Token::Start { .. }) if depth > 0 => depth += 1,
            Piece::Token(Token::Start { name: qualified, .. })
                if found.is_none() && qualified.rsplit(':').next() == Some(name) =>
            {
                (depth, found) = (1, Some(String::new()));
            }
            Piece::Token(Token::Start { .. }) | Piece::Declared(_) => {}
            Piece::Token(Token::End) => depth = depth.saturating_sub(1),
            Piece::Text(part) => {
                if let Some(text) = found.as_mut().filter(|_| depth == 1) {
                    text.push_str(&part);
                }
            }
        }
        Ok(())
    })?;
    Ok(found)
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

//! Requests are written into one buffer, whatever is known late: a body's length and a signature get their room first
//! and their bytes afterwards.

use crate::ground::digits::Decimal;

/// Digits that a length may have.
const DIGITS: usize = 10;

/// Appends `Content-Length`, the blank line, and what `body` writes.
pub(crate) fn content(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"Content-Length: ");
    let room = out.len();
    out.extend_from_slice(&[b'0'; DIGITS]);
    out.extend_from_slice(b"\r\n\r\n");
    let start = out.len();
    body(out);
    // A body is bounded far below what ten digits can say.
    let length = Decimal::of((out.len() - start) as u64);
    let digits = length.as_bytes();
    out[room..room + digits.len()].copy_from_slice(digits);
    out.copy_within(room + DIGITS.., room + digits.len());
    out.truncate(out.len() + digits.len() - DIGITS);
}

/// Appends text as percent-encoded UTF-8: all bytes but those that `keeps` names.
pub(crate) fn percent_encode(text: &str, keeps: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if keeps(byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Whether a text is a token (RFC 9110 section 5.6.2), as a header field's name must be.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_stands_before_the_body() {
        for body in ["", "x", "123456789", "1234567890", &"y".repeat(70_000)] {
            let mut out = b"POST / HTTP/1.1\r\n".to_vec();
            content(&mut out, |out| out.extend_from_slice(body.as_bytes()));
            let expected = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}

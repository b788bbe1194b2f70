//! Just enough of websockets (RFC 6455) to open one, to say something short, and to read a short answer.
//! No key is drawn and no mask is random: neither client nor server takes the other for anybody else.

use crate::Result;

/// The example of RFC 6455 section 1.3, and what answers it.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A last fragment of text, and the bit of a masked frame.
const TEXT: u8 = 0x81;
const MASKED: u8 = 0x80;

/// Opcodes from here on are those of control frames.
const CONTROL: u8 = 0x08;

/// The fields that ask for a websocket.
pub(crate) fn upgrade() -> String {
    format!(
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
    )
}

/// Appends a server's text frame.
pub(crate) fn append_text(payload: &[u8], out: &mut Vec<u8>) {
    append_header(payload.len(), 0, out);
    out.extend_from_slice(payload);
}

/// A client's text frame, masked with zeroes.
pub(crate) fn masked_text(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 14);
    append_header(payload.len(), MASKED, &mut frame);
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

fn append_header(length: usize, masked: u8, out: &mut Vec<u8>) {
    out.push(TEXT);
    match length {
        0..126 => out.push(masked | length as u8),
        126..=0xffff => {
            out.push(masked | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

/// The first text of a server in `bytes`, or `None` if it is not all there. Control frames are passed over.
pub(crate) fn first_text(mut bytes: &[u8]) -> Result<Option<&[u8]>> {
    loop {
        let [opcode, length, rest @ ..] = bytes else { return Ok(None) };
        let (length, rest) = match length {
            0..126 => (usize::from(*length), rest),
            126 => {
                let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (usize::from(u16::from_be_bytes(*length)), rest)
            }
            _ => return Err("an answer of more than 64 KiB".into()),
        };
        let Some((payload, rest)) = rest.split_at_checked(length) else { return Ok(None) };
        match *opcode {
            TEXT => return Ok(Some(payload)),
            opcode if opcode & CONTROL != 0 => bytes = rest,
            opcode => return Err(format!("a frame that begins with {opcode:#x} instead of a text").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_the_rfc() {
        for (length, plain, masked) in [
            (125, &[0x81, 125][..], &[0x81, 0xfd][..]),
            (126, &[0x81, 126, 0, 126], &[0x81, 0xfe, 0, 126]),
            (0xffff, &[0x81, 126, 0xff, 0xff], &[0x81, 0xfe, 0xff, 0xff]),
            (0x1_0000, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0], &[0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let payload = vec![b'x'; length];
            let mut frame = Vec::new();
            append_text(&payload, &mut frame);
            assert_eq!(frame, [plain, &payload].concat());
            assert_eq!(masked_text(&payload), [masked, &[0; 4], &payload].concat());
        }
    }

    #[test]
    fn a_text_is_found_once_it_is_whole() {
        let mut bytes = vec![0x89, 1, b'^'];
        append_text(&[b'x'; 300], &mut bytes);
        for end in 0..bytes.len() {
            assert_eq!(first_text(&bytes[..end]).expect("well-formed"), None, "{end} bytes");
        }
        assert_eq!(first_text(&bytes).expect("well-formed"), Some(&[b'x'; 300][..]));
        assert!(first_text(&[0x82, 0]).is_err(), "binary");
        assert!(first_text(&[0x81, 127]).is_err());
    }
}

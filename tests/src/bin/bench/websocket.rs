//! A short answer on a websocket (RFC 6455), from a server that may be anybody's.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::Result;

/// The first byte of a text that is one frame.
pub(crate) const TEXT: u8 = 0x81;

/// The first text of a server in `bytes`, or `None` if it is not all there. Control frames are passed over.
pub(crate) fn first_text(mut bytes: &[u8]) -> Result<Option<&[u8]>> {
    loop {
        let mut cursor = Cursor::new(bytes);
        let Some((header, length)) = FrameHeader::parse(&mut cursor)? else { return Ok(None) };
        if length > 0xffff {
            return Err("an answer of more than 64 KiB".into());
        }
        let rest = &bytes[cursor.position() as usize..];
        let Some((payload, rest)) = rest.split_at_checked(length as usize) else { return Ok(None) };
        match header.opcode {
            OpCode::Data(Data::Text) if header.is_final => return Ok(Some(payload)),
            OpCode::Control(_) => bytes = rest,
            OpCode::Data(_) => return Err(format!("a frame of {:?} instead of a text", header.opcode).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use offhook_core::wire::ws::frame;

    use super::*;

    #[test]
    fn a_text_is_found_once_it_is_whole() {
        let mut bytes = vec![0x89, 1, b'^'];
        frame::text(&mut bytes, |out| out.resize(out.len() + 300, b'x'));
        for end in 0..bytes.len() {
            assert_eq!(first_text(&bytes[..end]).expect("well-formed"), None, "{end} bytes");
        }
        assert_eq!(first_text(&bytes).expect("well-formed"), Some(&[b'x'; 300][..]));
        assert!(first_text(&[0x82, 0]).is_err(), "binary");
        assert!(first_text(&[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]).is_err(), "too long");
    }
}

//! Frames of a server (RFC 6455 section 5): never masked, never in fragments, with the shortest header.

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A whole message of text.
    Text = 0x1,
    /// The end.
    Close = 0x8,
    /// A question that is answered with a Pong.
    Ping = 0x9,
    /// The answer to a Ping.
    Pong = 0xA,
}

/// A Ping without payload.
pub const PING: &[u8] = &[0x89, 0x00];

/// Payload of a control frame (section 5.5).
pub const CONTROL_MAX: usize = 125;

/// The header of most events, whose payload is of 126 to 65,535 bytes.
const USUAL_HEADER_BYTES: usize = 4;

/// Appends the header of a frame with `len` bytes of payload.
pub fn header(opcode: Opcode, len: usize, out: &mut Vec<u8>) {
    let (bytes, n) = header_bytes(opcode, len);
    out.extend_from_slice(&bytes[..n]);
}

/// Appends a text message; `render` appends its payload, which is UTF-8. Only when its length is unusual are its bytes
/// moved, to make the header fit.
pub fn text(out: &mut Vec<u8>, render: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; USUAL_HEADER_BYTES]);
    let payload = out.len();
    render(out);
    let (bytes, n) = header_bytes(Opcode::Text, out.len() - payload);
    if n == USUAL_HEADER_BYTES {
        out[start..payload].copy_from_slice(&bytes[..n]);
    } else {
        out.splice(start..payload, bytes[..n].iter().copied());
    }
}

/// Appends a Close (section 5.5.1). A reason that is too long for a control frame is cut.
pub fn close(code: u16, reason: &str, out: &mut Vec<u8>) {
    let reason = &reason[..reason.floor_char_boundary(CONTROL_MAX - 2)];
    header(Opcode::Close, 2 + reason.len(), out);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// Section 5.2: the first byte, and the length in the fewest bytes.
fn header_bytes(opcode: Opcode, len: usize) -> ([u8; 10], usize) {
    let mut bytes = [0; 10];
    bytes[0] = 0x80 | opcode as u8;
    let n = match len {
        0..=125 => {
            bytes[1] = len as u8;
            2
        }
        126..=0xFFFF => {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            4
        }
        _ => {
            bytes[1] = 127;
            bytes[2..].copy_from_slice(&(len as u64).to_be_bytes());
            10
        }
    };
    (bytes, n)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tungstenite::protocol::frame::FrameHeader;
    use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn rfc6455_5_7_examples() {
        let sevens = |len| written(|out| text(out, |out| out.resize(out.len() + len, b'7')));
        assert_eq!(written(|out| text(out, |out| out.extend_from_slice(b"Hello"))), b"\x81\x05Hello");
        assert_eq!(sevens(256)[..4], [0x81, 0x7E, 1, 0]);
        assert_eq!(sevens(65_536)[..10], [0x81, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(written(|out| header(Opcode::Ping, 0, out)), PING);
    }

    #[test]
    fn rfc6455_5_2_a_second_reader_finds_the_same_lengths() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
            let payload = vec![b'x'; len];
            let plain = written(|out| text(out, |out| out.extend_from_slice(&payload)));
            let mut cursor = Cursor::new(&plain);
            let (head, announced) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
            assert!(head.is_final && head.mask.is_none() && head.opcode == OpCode::Data(Data::Text));
            assert_eq!((announced, &plain[cursor.position() as usize..]), (len as u64, &payload[..]));
            assert_eq!(cursor.position() as usize, head.len(announced), "the shortest form");
            let behind = written(|out| {
                out.push(b'a');
                text(out, |out| out.extend_from_slice(&payload));
            });
            assert_eq!((behind[0], &behind[1..]), (b'a', &plain[..]), "{len}");
        }
    }

    #[test]
    fn rfc6455_5_5_1_a_close_holds_a_code_and_a_reason_that_fits() {
        assert_eq!(written(|out| close(1001, "bye", out)), b"\x88\x05\x03\xE9bye");
        let long = written(|out| close(1008, &"é".repeat(100), out));
        let (head, len) = FrameHeader::parse(&mut Cursor::new(&long)).unwrap().unwrap();
        assert_eq!((head.opcode, len), (OpCode::Control(Control::Close), 124));
        assert!(std::str::from_utf8(&long[4..]).is_ok(), "it is cut between characters");
    }
}

//! The client's side of a websocket (RFC 6455), strict: the handshake, masked frames out, plain ones in. Whatever a
//! server may not send ends in a panic that shows the bytes.

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::read::{Reply, take_reply};
use super::write::request;
use super::{Peer, World};

/// The fields that ask for a websocket, with the key of the example in RFC 6455 section 1.3.
pub const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// What a server makes of that key.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What a server sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message of text.
    Text(String),
    /// A message of bytes.
    Binary(Vec<u8>),
    /// A question whether the client is there.
    Ping(Vec<u8>),
    /// The answer to a Ping.
    Pong(Vec<u8>),
    /// The end: its code, and why.
    Close(Option<u16>, String),
}

/// A GET that asks for a websocket, with further header fields (each with its line end).
#[must_use]
pub fn upgrade(target: &str, fields: &str) -> Vec<u8> {
    request("GET", target, &format!("{UPGRADE}{fields}"), "")
}

/// A frame as a client sends it; `first` is its first byte: the end of a message, reserved bits, and the opcode.
///
/// # Panics
/// Never: a vector takes all that is written to it.
#[must_use]
pub fn masked(first: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        is_final: first & 0x80 != 0,
        rsv1: first & 0x40 != 0,
        rsv2: first & 0x20 != 0,
        rsv3: first & 0x10 != 0,
        opcode: (first & 0x0F).into(),
        mask: Some(mask),
    };
    let mut out = Vec::new();
    header.format(payload.len() as u64, &mut out).expect("a vector takes all");
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// Takes the next frame that a server sent; `None` if it is not whole.
///
/// # Panics
/// If it is none that this server sends: whole messages and control frames, unmasked, with the shortest header.
pub fn take_frame(received: &mut Vec<u8>) -> Option<Frame> {
    let mut cursor = Cursor::new(&received[..]);
    let (header, len) = FrameHeader::parse(&mut cursor).expect("a known opcode")?;
    let head_bytes = usize::try_from(cursor.position()).expect("a header is short");
    assert!(header.is_final && !(header.rsv1 || header.rsv2 || header.rsv3), "{header:?}");
    assert!(header.mask.is_none(), "a server masks nothing: {header:?}");
    assert_eq!(head_bytes, header.len(len), "a length is in its shortest form");
    let len = usize::try_from(len).expect("a frame that fits");
    let payload = received.get(head_bytes..head_bytes + len)?.to_vec();
    received.drain(..head_bytes + len);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text is UTF-8");
    assert!(len <= 125 || matches!(header.opcode, OpCode::Data(_)), "a control frame of {len} bytes");
    Some(match header.opcode {
        OpCode::Data(Data::Text) => Frame::Text(text(payload)),
        OpCode::Data(Data::Binary) => Frame::Binary(payload),
        OpCode::Control(Control::Ping) => Frame::Ping(payload),
        OpCode::Control(Control::Pong) => Frame::Pong(payload),
        OpCode::Control(Control::Close) => match payload[..] {
            [] => Frame::Close(None, String::new()),
            [high, low, ref reason @ ..] => {
                let code = u16::from_be_bytes([high, low]);
                let may_be_sent = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
                assert!(may_be_sent, "{code} is no code that may be sent");
                Frame::Close(Some(code), text(reason.to_vec()))
            }
            [_] => panic!("a Close with half of a code"),
        },
        OpCode::Data(Data::Continue | Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => {
            panic!("this server sends whole messages: {header:?}")
        }
    })
}

impl World {
    /// A websocket of its own to the first engine.
    ///
    /// # Panics
    /// If it is refused.
    pub fn websocket(&mut self, target: &str) -> Peer {
        self.websocket_to(0, target, "")
    }

    /// A websocket of its own to an engine; the request has further header fields, each with its line end.
    ///
    /// # Panics
    /// If it is refused.
    pub fn websocket_to(&mut self, shard: usize, target: &str, fields: &str) -> Peer {
        let peer = self.connect_to(shard);
        let reply = self.upgrade(peer, target, fields);
        assert_eq!(reply.status, 101, "{} {}", reply.head, String::from_utf8_lossy(&reply.body));
        peer
    }

    /// Asks for a websocket on a connection, and takes the answer.
    ///
    /// # Panics
    /// If there is no answer, or one of 101 is not as RFC 6455 section 4.2.2 wants it.
    pub fn upgrade(&mut self, peer: Peer, target: &str, fields: &str) -> Reply {
        self.send(peer, upgrade(target, fields));
        // If a password came with it.
        self.finish_checks();
        let reply = take_reply(&mut self.sockets[peer.0].received, false).expect("an answer");
        if reply.status == 101 {
            assert_upgraded(&reply);
        }
        reply
    }

    /// A frame as a client sends it, with a mask of its own; `first` is its first byte.
    pub fn masked(&mut self, first: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
        let mask = self.masks.next_u64().to_be_bytes();
        masked(first, [mask[0], mask[1], mask[2], mask[3]], payload.as_ref())
    }

    /// The peer sends a frame; `first` is its first byte.
    pub fn send_frame(&mut self, peer: Peer, first: u8, payload: impl AsRef<[u8]>) {
        let frame = self.masked(first, payload);
        self.send(peer, frame);
    }

    /// The peer sends a message of text.
    pub fn send_text(&mut self, peer: Peer, text: impl AsRef<str>) {
        self.send_frame(peer, 0x81, text.as_ref());
    }

    /// The peer sends a message of bytes.
    pub fn send_binary(&mut self, peer: Peer, bytes: impl AsRef<[u8]>) {
        self.send_frame(peer, 0x82, bytes);
    }

    /// The peer sends one message of text in so many fragments.
    pub fn send_fragments(&mut self, peer: Peer, fragments: &[&str]) {
        let last = fragments.len().saturating_sub(1);
        for (at, fragment) in fragments.iter().enumerate() {
            let opcode = if at == 0 { 0x01 } else { 0x00 };
            self.send_frame(peer, opcode | if at == last { 0x80 } else { 0 }, fragment);
        }
    }

    /// The peer sends a Ping.
    pub fn send_ping(&mut self, peer: Peer, payload: impl AsRef<[u8]>) {
        self.send_frame(peer, 0x89, payload);
    }

    /// The peer sends a Pong.
    pub fn send_pong(&mut self, peer: Peer, payload: impl AsRef<[u8]>) {
        self.send_frame(peer, 0x8A, payload);
    }

    /// The peer sends a Close.
    pub fn send_close(&mut self, peer: Peer, code: u16, reason: &str) {
        self.send_frame(peer, 0x88, [&code.to_be_bytes()[..], reason.as_bytes()].concat());
    }

    /// Takes the frames that the peer has received, and requires that nothing else is there.
    ///
    /// # Panics
    /// If what came is not whole frames of a server.
    pub fn frames(&mut self, peer: Peer) -> Vec<Frame> {
        let received = &mut self.sockets[peer.0].received;
        let frames = std::iter::from_fn(|| take_frame(received)).collect();
        assert!(received.is_empty(), "whole frames: {received:02x?} is left");
        frames
    }

    /// Takes the messages of text that the peer has received, and requires that nothing else is there.
    ///
    /// # Panics
    /// If anything else is there.
    pub fn texts(&mut self, peer: Peer) -> Vec<String> {
        let text = |frame| {
            let Frame::Text(text) = frame else { panic!("text alone was expected: {frame:?}") };
            text
        };
        self.frames(peer).into_iter().map(text).collect()
    }

    /// Takes the Close that the peer has received, and requires that nothing else is there: its code, and why.
    ///
    /// # Panics
    /// If anything else is there.
    pub fn close_frame(&mut self, peer: Peer) -> (u16, String) {
        match &self.frames(peer)[..] {
            [Frame::Close(Some(code), reason)] => (*code, reason.clone()),
            other => panic!("a Close alone was expected: {other:?}"),
        }
    }
}

/// RFC 6455 section 4.2.2: the proof is right, and nothing was chosen that was not offered.
fn assert_upgraded(reply: &Reply) {
    let is = |name: &str, value: &str| reply.field(name).is_some_and(|v| v.eq_ignore_ascii_case(value));
    assert!(reply.head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{}", reply.head);
    assert!(is("upgrade", "websocket") && is("connection", "upgrade"), "{}", reply.head);
    assert_eq!(reply.field("sec-websocket-accept"), Some(ACCEPT), "{}", reply.head);
    for absent in
        ["sec-websocket-extensions", "sec-websocket-protocol", "content-length", "transfer-encoding"]
    {
        assert_eq!(reply.field(absent), None, "{}", reply.head);
    }
}

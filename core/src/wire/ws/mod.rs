//! Websockets (RFC 6455), the server's side: [`handshake`] judges the request that opens one, [`session`] takes what
//! the client sends off the wire, [`frame`] writes what the server sends.
//!
//! What is absent here: time (pings and deadlines are the engine's), extensions and subprotocols (none is chosen), the
//! client's side.

pub mod frame;
pub mod handshake;
pub mod session;

/// A whole message, as a dialect gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text; it is UTF-8.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

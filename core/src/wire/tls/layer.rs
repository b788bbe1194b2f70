//! One connection's TLS, of either side: sealed bytes in, plain ones out, and plain ones sealed when the socket can take
//! them, at most one record at a time. No ciphertext waits beyond that record.

use std::fmt;
use std::io::{IoSlice, Read as _, Write as _};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{
    AlertDescription, ClientConnection, Connection, Error, PeerIncompatible, ProtocolVersion,
    ServerConnection,
};

use super::Compiled;
use super::verify::Verifier;
use crate::ground::config::ListenerTls;
use crate::ground::limits::SLICES_MAX;

/// The most plaintext that one record carries (RFC 8446 section 5.1).
pub const RECORD_BYTES: usize = 16_384;

/// The beginning of what the peer sent, for a refusal: a record's head and the version in a hello.
const BEGINNING_BYTES: usize = 24;

/// Records of plaintext that a connection of TLS 1.2 seals. Its keys stay the same, so after 2^24 records with AES-GCM
/// rustls says goodbye and drops what it is given (RFC 8446 section 5.5 has the reason). Those few that are left are for
/// the handshake and for alerts.
const RECORDS_MAX: u64 = (1 << 24) - 16;

/// The layer.
pub struct Layer {
    conn: Connection,
    /// Sealed, and not taken by the socket so far.
    sealed: Vec<u8>,
    /// How much of `sealed` the socket has taken.
    sent: usize,
    /// How much plaintext stands in `sealed`.
    held: usize,
    /// Records of plaintext that were sealed.
    records: u64,
    beginning: Vec<u8>,
    verifier: Option<Arc<Verifier>>,
    only_tls13: bool,
    ended: bool,
    closing: bool,
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layer").field("sealed", &self.sealed.len()).finish_non_exhaustive()
    }
}

impl Layer {
    /// The client's side, for a server of this name or address.
    ///
    /// # Errors
    /// The name is none that a certificate can hold.
    pub fn client(compiled: &Compiled, host: &str) -> Result<Layer, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("`{host}` is no name that a certificate can hold"))?;
        let conn =
            ClientConnection::new(Arc::clone(&compiled.config), name).map_err(|error| error.to_string())?;
        let verifier = Some(Arc::clone(&compiled.verifier));
        Ok(Layer { only_tls13: compiled.only_tls13, ..Layer::new(conn.into(), verifier) })
    }

    /// The server's side.
    ///
    /// # Errors
    /// The cryptography failed.
    pub fn server(tls: &ListenerTls) -> Result<Layer, String> {
        let conn = ServerConnection::new(Arc::clone(&tls.config)).map_err(|error| error.to_string())?;
        Ok(Layer { only_tls13: tls.only_tls13, ..Layer::new(conn.into(), None) })
    }

    fn new(conn: Connection, verifier: Option<Arc<Verifier>>) -> Layer {
        Layer {
            conn,
            sealed: Vec::new(),
            sent: 0,
            held: 0,
            records: 0,
            beginning: Vec::new(),
            verifier,
            only_tls13: false,
            ended: false,
            closing: false,
        }
    }

    /// Whether the handshake is under way; no plaintext goes either way before its end.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.conn.is_handshaking()
    }

    /// Whether the peer has not sent a byte.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.conn.is_handshaking() && self.beginning.is_empty()
    }

    /// Says that nothing more is sent (RFC 8446 section 6.1). Nothing is opened any more, either.
    pub fn close(&mut self) {
        self.conn.send_close_notify();
        self.closing = true;
    }

    /// Whether the end of this side has been said, by [`Layer::close`] or the alert of a failure.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Plaintext in a record that the socket has not taken whole.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Whether the peer has said that it sends nothing more.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Opens what the socket received; the plaintext goes to the end of `plain`. What comes after an end, of either side, is
    /// not looked at: rustls has said its last word by then.
    ///
    /// # Errors
    /// TLS failed, and a sentence says what the peer offered. What was opened before that is in `plain`, and an alert
    /// waits to be sent.
    pub fn receive(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), String> {
        if self.conn.is_handshaking() && self.beginning.len() < BEGINNING_BYTES {
            let room = BEGINNING_BYTES - self.beginning.len();
            self.beginning.extend_from_slice(&bytes[..room.min(bytes.len())]);
        }
        while !bytes.is_empty() && !self.ended && !self.closing {
            self.conn.read_tls(&mut bytes).map_err(|error| error.to_string())?;
            let state = match self.conn.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // What was opened before the failure is good. Reading ends with the error that there is no more.
                    let _ = self.conn.reader().read_to_end(plain);
                    self.closing = true;
                    return Err(self.refusal(&error));
                }
            };
            self.ended = state.peer_has_closed();
            let opened = state.plaintext_bytes_to_read();
            let before = plain.len();
            plain.resize(before + opened, 0);
            self.conn.reader().read_exact(&mut plain[before..]).map_err(|error| error.to_string())?;
        }
        if !self.conn.is_handshaking() {
            self.beginning = Vec::new();
        }
        Ok(())
    }

    /// Whether the keys have sealed as much as they may: nothing more is taken, and the connection has to end.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.records >= RECORDS_MAX && self.conn.protocol_version() == Some(ProtocolVersion::TLSv1_2)
    }

    /// Goes on as if so many records were left.
    #[cfg(test)]
    pub(crate) fn leave_records(&mut self, left: u64) {
        self.records = RECORDS_MAX - left;
    }

    /// Seals at most one record's worth of what is lent, unless an earlier record waits or the keys are spent; how much it
    /// took.
    pub fn seal(&mut self, lent: &[IoSlice<'_>]) -> usize {
        if !self.sealed.is_empty() {
            return 0;
        }
        let mut taken = 0;
        if !self.conn.is_handshaking() && !self.is_spent() && !lent.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            for (slice, from) in slices.iter_mut().zip(lent) {
                let n = from.len().min(RECORD_BYTES - taken);
                *slice = IoSlice::new(&from[..n]);
                taken += n;
            }
            self.records += 1;
            let written = self.conn.writer().write_vectored(&slices);
            assert!(
                matches!(written, Ok(n) if n == taken),
                "rustls takes a record's worth when nothing waits in it: {written:?} of {taken}"
            );
        }
        while self.conn.wants_write() {
            self.conn.write_tls(&mut self.sealed).expect("a vector takes all that is written to it");
        }
        self.held = taken;
        taken
    }

    /// Whether [`Layer::seal`] would have something to send beside what it is lent.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        !self.sealed.is_empty() || self.conn.wants_write()
    }

    /// What is sealed.
    #[must_use]
    pub fn outbound(&self) -> &[u8] {
        &self.sealed[self.sent..]
    }

    /// The socket took `n` bytes of what is sealed; how much plaintext is sent by that. A record counts once it is sent
    /// whole, since the peer cannot read a part of it.
    pub fn advance(&mut self, n: usize) -> usize {
        self.sent += n;
        if self.sent < self.sealed.len() {
            return 0;
        }
        // An idle connection holds no buffer.
        self.sealed = Vec::new();
        self.sent = 0;
        std::mem::take(&mut self.held)
    }

    /// The sentence for a failure.
    fn refusal(&self, error: &Error) -> String {
        let offered = self.verifier.as_ref().map(|verifier| verifier.take_offered()).unwrap_or_default();
        let least = if self.only_tls13 { "TLS 1.3" } else { "TLS 1.2" };
        if !matches!(self.beginning.first(), None | Some(20..=23)) {
            let text = String::from_utf8_lossy(&self.beginning);
            return format!("the peer speaks no TLS: it began with {text:?}");
        }
        if let Error::AlertReceived(AlertDescription::ProtocolVersion) = error {
            return format!("the peer does not offer {least}, which is the least here: {error}");
        }
        if let (Error::PeerIncompatible(fault), Some(version)) = (error, self.version_offered())
            && (matches!(self.conn, Connection::Client(_)) || version != "TLS 1.2" || is_version(fault))
        {
            return format!("the peer offered {version}, and {least} is the least here: {error}");
        }
        if offered.is_empty() { error.to_string() } else { format!("{error}; {offered}") }
    }

    /// The version of a hello that came first in a record of its own (RFC 5246 sections 6.2.1, 7.4.1.2 and 7.4.1.3).
    fn version_offered(&self) -> Option<&'static str> {
        match self.beginning[..] {
            [22, 3, _, _, _, 1 | 2, _, _, _, 3, minor, ..] => Some(match minor {
                0 => "SSL 3.0",
                1 => "TLS 1.0",
                2 => "TLS 1.1",
                _ => "TLS 1.2",
            }),
            _ => None,
        }
    }
}

/// What rustls says of a client that offers no version that is good enough.
fn is_version(fault: &PeerIncompatible) -> bool {
    matches!(
        fault,
        PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
    )
}

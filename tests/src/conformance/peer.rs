//! A peer of the server: a blocking socket that reads by framing, never by what one `read` happens to give, and that
//! judges the server's framing strictly. No HTTP library: what is compared is bytes.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use memchr::memmem;

use super::server::PATIENCE;

/// One connection.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) stream: TcpStream,
    received: Vec<u8>,
    ended: bool,
}

/// The head of a reply.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// As it came, with its blank line.
    pub(super) raw: String,
    pub(super) status: u16,
}

impl Head {
    /// The value of a header field.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.raw.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
        fields.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A whole reply.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) head: Head,
    /// As it came, with its transfer coding.
    pub(super) raw_body: Vec<u8>,
}

impl Reply {
    pub(super) fn status(&self) -> u16 {
        self.head.status
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }

    /// The body without its transfer coding.
    pub(super) fn text(&self) -> String {
        let is_chunked = self.field("Transfer-Encoding").is_some();
        assert!(!is_chunked, "command replies come with a length");
        String::from_utf8(self.raw_body.clone()).expect("a reply is text")
    }
}

impl Peer {
    pub(super) fn connect(address: SocketAddr) -> Peer {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("the socket is sound");
        stream.set_read_timeout(Some(PATIENCE)).expect("the socket is sound");
        Peer { stream, received: Vec::new(), ended: false }
    }

    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server takes what it is sent");
    }

    /// Sends what the server may refuse while it is still coming.
    pub(super) fn try_send(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes));
    }

    /// Ends the sending direction.
    pub(super) fn end(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("the socket is sound");
    }

    /// Sends a request and reads its reply.
    pub(super) fn ask(&mut self, request: impl AsRef<[u8]>) -> Reply {
        self.send(request.as_ref());
        self.reply_to(request.as_ref())
    }

    /// Sends a request and reads its reply, as text; `None` if the connection breaks before all of it came.
    pub(super) fn try_ask(&mut self, request: &[u8]) -> Option<String> {
        self.stream.write_all(request).ok()?;
        while memmem::find(&self.received, b"\r\n\r\n").is_none() {
            self.fill().then_some(())?;
        }
        let head = String::from_utf8(self.until(b"\r\n\r\n")).expect("a head is text");
        let length: usize =
            value_after(&head, "Content-Length: ").parse().expect("Content-Length is a number");
        while self.received.len() < length {
            self.fill().then_some(())?;
        }
        let body = self.take(length);
        Some(head + &String::from_utf8_lossy(&body))
    }

    /// Reads the reply to a request that was sent.
    pub(super) fn reply_to(&mut self, request: &[u8]) -> Reply {
        let head = self.head();
        let bodiless = request.starts_with(b"HEAD ") || head.status == 204 || head.status < 200;
        let raw_body = match head.field("Content-Length") {
            _ if bodiless => Vec::new(),
            Some(length) => self.take(length.parse().expect("Content-Length is a number")),
            None => panic!("a reply without Content-Length:\n{}", head.raw),
        };
        Reply { head, raw_body }
    }

    /// Reads the head of a reply.
    pub(super) fn head(&mut self) -> Head {
        let raw = String::from_utf8(self.until(b"\r\n\r\n")).expect("a head is text");
        let status = raw.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        Head { status: status.unwrap_or_else(|| panic!("no status line: {raw:?}")), raw }
    }

    /// Reads one chunk of the chunked coding, all of it: size line, data, CR LF. The last one is `0\r\n\r\n`.
    pub(super) fn chunk(&mut self) -> Vec<u8> {
        let mut chunk = self.until(b"\r\n");
        let digits = &chunk[..chunk.len() - 2];
        let sound = digits.iter().all(|b| b"0123456789abcdef".contains(b))
            && (digits == b"0" || !digits.starts_with(b"0"));
        assert!(sound && !digits.is_empty(), "a chunk's size line is {:?}", String::from_utf8_lossy(&chunk));
        let size = usize::from_str_radix(&String::from_utf8_lossy(digits), 16).expect("hex digits");
        chunk.extend(self.take(size + 2));
        assert!(chunk.ends_with(b"\r\n"), "a chunk does not end where it says: {chunk:?}");
        chunk
    }

    /// Reads exactly so many bytes.
    pub(super) fn take(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count {
            assert!(self.fill(), "the connection ended after {:?}", String::from_utf8_lossy(&self.received));
        }
        self.received.drain(..count).collect()
    }

    /// Reads up to and with `mark`.
    pub(super) fn until(&mut self, mark: &[u8]) -> Vec<u8> {
        let mut searched = 0;
        loop {
            if let Some(at) = memmem::find(&self.received[searched..], mark) {
                return self.received.drain(..searched + at + mark.len()).collect();
            }
            searched = self.received.len().saturating_sub(mark.len() - 1);
            assert!(self.fill(), "the connection ended after {:?}", String::from_utf8_lossy(&self.received));
        }
    }

    /// Reads until the server closes the connection, gently or with a reset.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.received)
    }

    /// Asserts that the server closed the connection and said nothing more.
    pub(super) fn expect_end(&mut self) {
        let rest = self.rest();
        assert!(rest.is_empty(), "bytes after the end: {:?}", String::from_utf8_lossy(&rest));
    }

    fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        while !self.ended {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(n) => {
                    self.received.extend_from_slice(&buffer[..n]);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => self.ended = true,
                Err(error) => {
                    panic!("{error}; received so far: {:?}", String::from_utf8_lossy(&self.received))
                }
            }
        }
        false
    }
}

/// What a chunk carries.
pub(super) fn content(chunk: &[u8]) -> &[u8] {
    let start = memmem::find(chunk, b"\r\n").expect("a chunk has a size line") + 2;
    &chunk[start..chunk.len() - 2]
}

/// The chunk that ends a body.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A request of HTTP/1.1. `fields` are whole lines; a body gets its `Content-Length`.
pub(crate) fn request(line: &str, fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut request = format!("{line} HTTP/1.1\r\nHost: localhost:8080\r\n{fields}");
    if !body.is_empty() {
        request.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    let mut request = request.into_bytes();
    request.extend_from_slice(body);
    request
}

/// A request without a body.
pub(crate) fn get(target: &str) -> Vec<u8> {
    request(&format!("GET {target}"), "", "")
}

/// The value after `mark` in `text`, up to the next quote, comma, brace, blank or line end.
pub(crate) fn value_after<'t>(text: &'t str, mark: &str) -> &'t str {
    let start = text.find(mark).unwrap_or_else(|| panic!("{mark} is not in {text}")) + mark.len();
    let rest = &text[start..];
    &rest[..rest.find(['"', ',', '}', ' ', '\r', '\n']).unwrap_or(rest.len())]
}

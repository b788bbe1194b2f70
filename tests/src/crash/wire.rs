//! A connection whose end is no fault of the test: every verb gives `None` once the server is gone.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::conformance::server::PATIENCE;

#[derive(Debug)]
pub(super) struct Wire(BufReader<TcpStream>);

impl Wire {
    pub(super) fn connect(address: SocketAddr) -> Option<Wire> {
        Some(Wire::over(TcpStream::connect(address).ok()?))
    }

    pub(super) fn over(stream: TcpStream) -> Wire {
        stream.set_nodelay(true).expect("the socket is sound");
        stream.set_read_timeout(Some(PATIENCE)).expect("the socket is sound");
        Wire(BufReader::new(stream))
    }

    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) -> Option<()> {
        self.0.get_mut().write_all(bytes.as_ref()).ok()
    }

    /// A line without its end.
    pub(super) fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok()?;
        // A line that the connection's end cut is none.
        line.strip_suffix("\r\n").map(str::to_owned)
    }

    /// The first line of a message, and `Content-Length` (0 without it).
    pub(super) fn head(&mut self) -> Option<(String, usize)> {
        let first = self.line()?;
        let mut length = 0;
        loop {
            let line = self.line()?;
            match line.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().expect("Content-Length is a number");
                }
                Some(_) => {}
                None => return Some((first, length)),
            }
        }
    }

    pub(super) fn take(&mut self, length: usize) -> Option<String> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).ok()?;
        Some(String::from_utf8(bytes).expect("all is text here"))
    }

    /// A whole reply: status and content.
    pub(super) fn reply(&mut self) -> Option<(u16, String)> {
        let (line, length) = self.head()?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        Some((status.unwrap_or_else(|| panic!("no status line: {line}")), self.take(length)?))
    }

    /// The content of a chunk; `None` at the last one too.
    pub(super) fn chunk(&mut self) -> Option<String> {
        let line = self.line()?;
        let size = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("no size line: {line}"));
        let mut content = self.take(size + 2)?;
        content.truncate(size);
        (size > 0).then_some(content)
    }
}

//! Just enough HTTP/1.1 for a client that pipelines: requests in a batch, replies told apart.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use memchr::memmem;

use crate::Result;

/// A whole reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The status code.
    pub(crate) status: u16,
    /// The body without its transfer coding.
    pub(crate) body: Vec<u8>,
}

/// Tells the replies apart in what a connection received, in whatever pieces it came.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    bytes: Vec<u8>,
    done: usize,
}

impl Replies {
    /// Takes what was received.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.done);
        self.done = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole reply, or `None` until more is received.
    pub(crate) fn next(&mut self) -> Result<Option<Reply>> {
        let Some((reply, length)) = parse(&self.bytes[self.done..])? else { return Ok(None) };
        self.done += length;
        Ok(Some(reply))
    }
}

/// The reply at the beginning of `bytes` and its length, or `None` if it is not all there.
fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>> {
    let Some(head_end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = str::from_utf8(&bytes[..head_end])?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| format!("not a reply: {status_line:?}"))?;

    let (mut length, mut chunked) = (None, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse::<usize>()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.trim().eq_ignore_ascii_case("chunked");
        }
    }

    let start = head_end + 4;
    let body = match (length, chunked) {
        (_, true) => unchunk(&bytes[start..])?,
        (Some(length), false) => bytes[start..].get(..length).map(|body| (body.to_vec(), length)),
        (None, false) => return Err(format!("a reply without a length: {head:?}").into()),
    };
    Ok(body.map(|(body, length)| (Reply { status, body }, start + length)))
}

/// The length of the request or answer at the beginning of `bytes`, or `None` if it is not all there. It
/// only looks for the end, because it stands where time is measured.
pub(crate) fn message_length(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(head_end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = &bytes[..head_end];
    let mut from = 0;
    while let Some(at) = memchr::memchr(b'\n', &head[from..]) {
        from += at + 1;
        let Some((name, value)) = head[from..].split_at_checked(CONTENT_LENGTH.len()) else { break };
        if name.eq_ignore_ascii_case(CONTENT_LENGTH) {
            let value = value.split(|byte| *byte == b'\r').next().unwrap_or_default();
            let length = head_end + 4 + str::from_utf8(value)?.trim().parse::<usize>()?;
            return Ok((bytes.len() >= length).then_some(length));
        }
    }
    Err(format!("a message without Content-Length: {:?}", String::from_utf8_lossy(head)).into())
}

const CONTENT_LENGTH: &[u8] = b"content-length:";

/// The chunked body at the beginning of `bytes` and its coded length, or `None` if it is not all there.
fn unchunk(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let (mut body, mut at) = (Vec::new(), 0);
    while let Some(line) = memmem::find(&bytes[at..], b"\r\n") {
        let size = usize::from_str_radix(str::from_utf8(&bytes[at..at + line])?, 16)?;
        at += line + 2;
        let Some(chunk) = bytes[at..].get(..size + 2) else { break };
        if !chunk.ends_with(b"\r\n") {
            return Err("a chunk that does not end where it says".into());
        }
        body.extend_from_slice(&chunk[..size]);
        at += size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
    Ok(None)
}

/// A blocking connection for preparations that nobody times.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    replies: Replies,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(Self { stream, replies: Replies::default() })
    }

    /// Sends `count` requests at once and waits for all their replies. The requests must fit the
    /// socket's buffer, because nothing is read while they are written.
    pub(crate) fn exchange(&mut self, requests: &[u8], count: usize) -> Result<Vec<Reply>> {
        self.stream.write_all(requests)?;
        let mut buffer = [0; 16 * 1024];
        let mut answers = Vec::with_capacity(count);
        while answers.len() < count {
            match self.replies.next()? {
                Some(reply) => answers.push(reply),
                None => match self.stream.read(&mut buffer)? {
                    0 => return Err("the server closed the connection instead of answering".into()),
                    read => self.replies.push(&buffer[..read]),
                },
            }
        }
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPELINED: &[u8] = b"HTTP/1.1 202 Accepted\r\ncontent-length: 11\r\n\r\n{\"id\":\"ab\"}\
        HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\nA\r\n0123456789\r\n0\r\n\r\n\
        HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

    #[test]
    fn any_split_gives_the_same_replies() {
        let reply = |status, body: &[u8]| Reply { status, body: body.to_vec() };
        let expected = [reply(202, b"{\"id\":\"ab\"}"), reply(201, b"abcd0123456789"), reply(503, b"")];
        for size in 1..=PIPELINED.len() {
            let (mut replies, mut found) = (Replies::default(), Vec::new());
            for piece in PIPELINED.chunks(size) {
                replies.push(piece);
                while let Some(reply) = replies.next().expect("well-formed") {
                    found.push(reply);
                }
            }
            assert_eq!(found, expected, "pieces of {size} bytes");
        }
    }

    #[test]
    fn a_message_ends_where_its_length_says() {
        let message = b"POST / HTTP/1.1\r\nHost: h\r\nContent-LENGTH: 3 \r\nX: y\r\n\r\nabcPOST /";
        for end in 0..message.len() {
            let expected = (end >= message.len() - 6).then_some(message.len() - 6);
            assert_eq!(message_length(&message[..end]).expect("well-formed"), expected, "{end} bytes");
        }
        assert!(message_length(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").is_err());
        assert!(message_length(b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n").is_err());
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        for bytes in [
            &b"HTTP/1.1 200 OK\r\n\r\n"[..],
            b"SSH-2.0-x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
        ] {
            let mut replies = Replies::default();
            replies.push(bytes);
            assert!(replies.next().is_err());
        }
    }
}

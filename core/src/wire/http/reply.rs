//! Answers: status line, header fields and body as bytes (RFC 9110 section 15, RFC 9112 section 4).

use crate::ground::digits::decimal;

/// What this server calls itself in `Server`.
pub const SERVER: &str = "offhook";

/// Header fields: names and values.
pub type Fields = Vec<(&'static str, String)>;

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// `Content-Type`; `None` goes with an empty body.
    pub content_type: Option<&'static str>,
    /// Further header fields.
    pub fields: Fields,
    /// The body.
    pub body: Vec<u8>,
    /// The connection ends with this answer.
    pub close: bool,
    /// The answer to a HEAD for an endless body: its headers name the chunked coding instead of a length.
    pub endless: bool,
}

/// How the request that is answered was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// By HTTP/1.1.
    pub http11: bool,
    /// By HEAD: the answer has the headers of a GET and no body.
    pub head_only: bool,
    /// The connection may go on.
    pub keep_alive: bool,
}

/// The answer to what could not be read as a request.
pub const UNREADABLE: Asked = Asked { http11: true, head_only: false, keep_alive: false };

impl Reply {
    /// An answer without a body.
    #[must_use]
    pub fn empty(status: u16) -> Reply {
        Reply { status, ..Reply::default() }
    }

    /// An answer with a body.
    #[must_use]
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Reply {
        Reply { status, content_type: Some(content_type), body: body.into(), ..Reply::default() }
    }

    /// Adds a header field.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.fields.push((name, value.into()));
        self
    }

    /// Whether the connection goes on after this answer.
    #[must_use]
    pub fn keeps_alive(&self, asked: Asked) -> bool {
        asked.keep_alive && !self.close
    }

    /// Appends the answer's bytes.
    pub fn write(&self, asked: Asked, date: &str, out: &mut Vec<u8>) {
        start_line(self.status, date, out);
        if let Some(content_type) = self.content_type {
            push_field(out, "Content-Type", content_type);
        }
        for (name, value) in &self.fields {
            push_field(out, name, value);
        }
        // RFC 9110 section 8.6: no Content-Length in a 1xx or 204.
        if self.endless && asked.http11 {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        } else if self.status >= 200 && self.status != 204 && !self.endless {
            out.extend_from_slice(b"Content-Length: ");
            decimal(self.body.len() as u64, out);
            out.extend_from_slice(b"\r\n");
        }
        if !self.keeps_alive(asked) {
            out.extend_from_slice(b"Connection: close\r\n");
        } else if !asked.http11 {
            out.extend_from_slice(b"Connection: keep-alive\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if !asked.head_only && self.status != 204 {
            out.extend_from_slice(&self.body);
        }
    }
}

/// Appends the head of an endless answer: chunked for HTTP/1.1, ended by the connection's end for HTTP/1.0.
pub fn write_stream_head(
    content_type: &'static str,
    fields: &[(&'static str, String)],
    http11: bool,
    date: &str,
    out: &mut Vec<u8>,
) {
    start_line(200, date, out);
    push_field(out, "Content-Type", content_type);
    for (name, value) in fields {
        push_field(out, name, value);
    }
    let framing = if http11 { "Transfer-Encoding: chunked\r\n\r\n" } else { "Connection: close\r\n\r\n" };
    out.extend_from_slice(framing.as_bytes());
}

/// Appends the head that turns a connection into a websocket (RFC 6455 section 4.2.2).
pub fn write_upgrade_head(accept: &str, fields: &[(&'static str, String)], date: &str, out: &mut Vec<u8>) {
    start_line(101, date, out);
    out.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\n");
    push_field(out, "Sec-WebSocket-Accept", accept);
    for (name, value) in fields {
        push_field(out, name, value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends the status line, and the fields that every answer has.
fn start_line(status: u16, date: &str, out: &mut Vec<u8>) {
    out.reserve(256);
    out.extend_from_slice(b"HTTP/1.1 ");
    decimal(status.into(), out);
    out.push(b' ');
    out.extend_from_slice(phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
    push_field(out, "Date", date);
    push_field(out, "Server", SERVER);
}

/// Writes one field; whatever would end the line early is dropped, so that no value becomes a second field.
fn push_field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    for clean in value.split(char::is_control) {
        out.extend_from_slice(clean.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// The reason phrase of RFC 9110 section 15.
#[must_use]
pub fn phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let check = |reply: Reply, asked: Asked, expected: &str| {
            let mut out = Vec::new();
            reply.write(asked, "Tue, 03 Nov 2015 14:37:11 GMT", &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        let asked = Asked { http11: true, head_only: false, keep_alive: true };
        check(
            Reply::empty(204),
            asked,
            "HTTP/1.1 204 No Content\r\nDate: Tue, 03 Nov 2015 14:37:11 GMT\r\nServer: offhook\r\n\r\n",
        );
        check(
            Reply::new(200, "text/plain", "hi").with("X", "a\r\nEvil: b"),
            Asked { head_only: true, ..asked },
            "HTTP/1.1 200 OK\r\nDate: Tue, 03 Nov 2015 14:37:11 GMT\r\nServer: offhook\r\n\
             Content-Type: text/plain\r\nX: aEvil: b\r\nContent-Length: 2\r\n\r\n",
        );
        check(
            Reply::new(200, "text/plain", "hi"),
            Asked { http11: false, ..asked },
            "HTTP/1.1 200 OK\r\nDate: Tue, 03 Nov 2015 14:37:11 GMT\r\nServer: offhook\r\n\
             Content-Type: text/plain\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi",
        );
        for (close, keep_alive) in [(true, true), (false, false), (true, false)] {
            check(
                Reply { close, ..Reply::empty(404) },
                Asked { keep_alive, ..asked },
                "HTTP/1.1 404 Not Found\r\nDate: Tue, 03 Nov 2015 14:37:11 GMT\r\nServer: offhook\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    }

    /// RFC 9112 sections 6.1 and 9.6, RFC 6455 section 4.2.2.
    #[test]
    fn heads_of_what_has_no_end() {
        let fields = [("X", "a\r\nb".to_owned())];
        for (http11, framing) in [(true, "Transfer-Encoding: chunked"), (false, "Connection: close")] {
            let mut out = Vec::new();
            write_stream_head("text/event-stream", &fields, http11, "today", &mut out);
            let expected = format!(
                "HTTP/1.1 200 OK\r\nDate: today\r\nServer: offhook\r\nContent-Type: text/event-stream\r\nX: ab\r\n\
                 {framing}\r\n\r\n"
            );
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        let mut out = Vec::new();
        write_upgrade_head("accepted", &fields, "today", &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "HTTP/1.1 101 Switching Protocols\r\nDate: today\r\nServer: offhook\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Accept: accepted\r\nX: ab\r\n\r\n"
        );
    }

    #[test]
    fn phrases() {
        let known = "100 Continue, 101 Switching Protocols, 200 OK, 201 Created, 202 Accepted, 204 No Content, \
                     400 Bad Request, 401 Unauthorized, 403 Forbidden, 404 Not Found, 405 Method Not Allowed, \
                     406 Not Acceptable, 408 Request Timeout, 409 Conflict, 413 Content Too Large, \
                     415 Unsupported Media Type, 417 Expectation Failed, 422 Unprocessable Content, \
                     426 Upgrade Required, 429 Too Many Requests, 431 Request Header Fields Too Large, \
                     500 Internal Server Error, 501 Not Implemented, 503 Service Unavailable, \
                     505 HTTP Version Not Supported, 299 Unknown";
        for line in known.split(", ") {
            let (status, words) = line.split_once(' ').unwrap();
            assert_eq!(phrase(status.parse().unwrap()), words);
        }
    }
}

//! The client's side of HTTP, strict: replies, chunks, the inner framing of XMS, and Server-Sent Events. Whatever a
//! server may not send ends in a panic that shows the bytes.

/// A reply's head and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Status line and header fields, with their line ends.
    pub head: String,
    /// The body without its framing.
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of a header field; it stands at most once.
    ///
    /// # Panics
    /// If the field stands twice.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.head.split("\r\n").skip(1).filter_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then_some(value)
        });
        let value = values.next();
        assert!(values.next().is_none(), "{name} stands once: {}", self.head);
        value
    }

    /// The body as text.
    ///
    /// # Panics
    /// If it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }
}

/// What came of a chunked body so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunks {
    /// The content of each whole chunk.
    pub chunks: Vec<Vec<u8>>,
    /// The last chunk came.
    pub ended: bool,
    /// What came of a chunk that is not whole.
    pub rest: Vec<u8>,
}

impl Chunks {
    /// All content in one piece.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    /// Each chunk as text.
    ///
    /// # Panics
    /// If a chunk is not UTF-8.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        let text = |chunk: &Vec<u8>| String::from_utf8(chunk.clone()).expect("a chunk is UTF-8");
        self.chunks.iter().map(text).collect()
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Takes a reply's head; `None` if it is not whole.
///
/// # Panics
/// If it is no head.
pub fn take_head(received: &mut Vec<u8>) -> Option<Reply> {
    let end = find(received, b"\r\n\r\n")? + 4;
    let head: Vec<u8> = received.drain(..end).collect();
    let head = String::from_utf8(head).expect("a head is ASCII");
    let status =
        head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    let status = status.unwrap_or_else(|| panic!("a reply starts with its status line: {head:?}"));
    Some(Reply { status, head: head[..end - 2].to_owned(), body: Vec::new() })
}

/// Takes a whole reply; `None` if it is not whole. The answer to a HEAD has no body.
///
/// # Panics
/// If it is no reply, or its length is unknown.
pub fn take_reply(received: &mut Vec<u8>, to_head: bool) -> Option<Reply> {
    let mut rest = received.clone();
    let mut reply = take_head(&mut rest)?;
    if !to_head && reply.status >= 200 && reply.status != 204 {
        if reply.field("transfer-encoding").is_some() {
            let body = chunks(&rest);
            if !body.ended {
                return None;
            }
            reply.body = body.content();
            rest = body.rest;
        } else {
            let length = reply.field("content-length").and_then(|length| length.parse::<usize>().ok());
            let length = length.unwrap_or_else(|| panic!("a reply says how long it is: {}", reply.head));
            if rest.len() < length {
                return None;
            }
            reply.body = rest.drain(..length).collect();
        }
    }
    *received = rest;
    Some(reply)
}

/// Takes a chunked body apart as far as it came (RFC 9112 section 7.1). After the last chunk the rest is what follows.
///
/// # Panics
/// If it is not what this server sends: lower-case sizes without extensions, and no trailer.
#[must_use]
pub fn chunks(bytes: &[u8]) -> Chunks {
    let mut out = Chunks::default();
    let mut rest = bytes;
    while let Some(end) = find(rest, b"\r\n") {
        let size = hex(&rest[..end]);
        let Some(chunk) = rest.get(end + 2..end + 2 + size + 2) else { break };
        assert_eq!(&chunk[size..], b"\r\n", "a chunk ends with CR LF: {:?}", String::from_utf8_lossy(rest));
        rest = &rest[end + 2 + size + 2..];
        if size == 0 {
            out.ended = true;
            break;
        }
        out.chunks.push(chunk[..size].to_vec());
    }
    out.rest = rest.to_vec();
    out
}

/// A length as this server writes it: hex digits in lower case without leading zeros.
///
/// # Panics
/// On anything else.
#[must_use]
pub fn hex(digits: &[u8]) -> usize {
    let text = String::from_utf8_lossy(digits);
    let is_plain = digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let is_short = (1..=8).contains(&digits.len()) && (digits == b"0" || digits[0] != b'0');
    assert!(is_plain && is_short, "a length line is plain lower-case hex: {text:?}");
    usize::from_str_radix(&text, 16).expect("hex digits are a number")
}

/// Takes de-chunked XMS content apart: hex length, CR LF, exactly that many bytes, and nothing between.
///
/// # Panics
/// If the content is framed otherwise, is not whole, or is not ASCII.
#[must_use]
pub fn xms_events(content: &[u8]) -> Vec<String> {
    let mut events = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let end = find(rest, b"\r\n").expect("a length line ends with CR LF");
        let size = hex(&rest[..end]);
        let xml = &rest[end + 2..][..size];
        assert!(xml.is_ascii(), "the XML is ASCII");
        let xml = String::from_utf8_lossy(xml).into_owned();
        assert!(xml.starts_with("<web_service version=\"1.0\">\r\n<event type=\""), "{xml:?}");
        assert!(xml.ends_with("</web_service>"), "{xml:?}");
        events.push(xml);
        rest = &rest[end + 2 + size..];
    }
    events
}

/// One event of a stream of Server-Sent Events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSent {
    /// `id`.
    pub id: Option<String>,
    /// `event`.
    pub event: Option<String>,
    /// `data`.
    pub data: Option<String>,
    /// `retry`.
    pub retry: Option<String>,
    /// How many comments stand in it.
    pub comments: usize,
}

/// Takes Server-Sent Events apart.
///
/// # Panics
/// If a block is not whole, or a line is none that this server writes.
#[must_use]
pub fn server_sent(content: &[u8]) -> Vec<ServerSent> {
    let text = std::str::from_utf8(content).expect("an event stream is UTF-8");
    let Some(blocks) = text.strip_suffix("\n\n") else {
        assert!(text.is_empty(), "a block ends with a blank line: {text:?}");
        return Vec::new();
    };
    let block = |block: &str| {
        let mut event = ServerSent::default();
        for line in block.split('\n') {
            match line.split_once(": ") {
                Some(("id", value)) => event.id = Some(value.to_owned()),
                Some(("event", value)) => event.event = Some(value.to_owned()),
                Some(("data", value)) => event.data = Some(value.to_owned()),
                Some(("retry", value)) => event.retry = Some(value.to_owned()),
                _ if line.starts_with(':') => event.comments += 1,
                _ => panic!("a line that no client expects: {line:?}"),
            }
        }
        event
    };
    blocks.split("\n\n").map(block).collect()
}

//! A strict reader of what the server sends (RFC 9112): it panics where a client would be confused.

/// One answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The content: of a chunked one, chunk by chunk.
    pub(super) chunks: Vec<Vec<u8>>,
}

/// Reads all that a connection sent. `heads`: there may be answers to HEAD among these, which have no body whatever
/// their fields say.
pub(super) fn read_all(bytes: &[u8], heads: bool) -> Vec<Answer> {
    let mut input = bytes;
    let mut answers = Vec::new();
    while !input.is_empty() {
        answers.push(read(&mut input, heads));
    }
    answers
}

fn read(input: &mut &[u8], heads: bool) -> Answer {
    let mut head = line(input).splitn(3, ' ');
    assert_eq!(head.next(), Some("HTTP/1.1"));
    let digits = head.next().expect("a status code");
    assert!(digits.len() == 3 && head.next().is_some_and(|reason| !reason.is_empty()), "{digits:?}");
    let status: u16 = digits.parse().expect("a status code");
    let (mut length, mut chunked, mut close, mut dated) = (None, false, false, false);
    loop {
        let line = line(input);
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ").expect("a field has a name and a value");
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{name:?}");
        match name.to_ascii_lowercase().as_str() {
            "content-length" => assert_eq!(length.replace(value.parse().expect("a number")), None),
            "transfer-encoding" => {
                assert!(value == "chunked" && !chunked);
                chunked = true;
            }
            "connection" => close = value == "close",
            "date" => dated = value.ends_with(" GMT"),
            _ => {}
        }
    }
    assert!(!chunked || length.is_none(), "a length beside a coding");
    assert_eq!(dated, status >= 200, "an answer has its date");
    let bodiless = status < 200 || status == 204;
    assert!(!bodiless || !chunked && length.is_none(), "{status} announces a body");
    let to_head = heads && (input.is_empty() || input.starts_with(b"HTTP/1.1 "));
    let chunks = match length {
        Some(_) if to_head => Vec::new(),
        _ if bodiless => Vec::new(),
        Some(length) => vec![take(input, length).to_vec()],
        None if chunked && to_head => Vec::new(),
        None if chunked => read_chunks(input),
        None => {
            assert!(close, "a body without an end, and the connection goes on");
            vec![take(input, input.len()).to_vec()]
        }
    };
    Answer { status, chunks }
}

/// The chunks of an endless body: they end with the last chunk, or with the bytes.
fn read_chunks(input: &mut &[u8]) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    while !input.is_empty() {
        let digits = line(input);
        let length = usize::from_str_radix(digits, 16).expect("a chunk's length");
        assert_eq!(digits, format!("{length:x}"));
        let chunk = take(input, length).to_vec();
        assert_eq!(line(input), "");
        if length == 0 {
            assert!(input.is_empty(), "nothing follows a stream");
            break;
        }
        chunks.push(chunk);
    }
    chunks
}

fn line<'i>(input: &mut &'i [u8]) -> &'i str {
    let end = input.windows(2).position(|two| two == b"\r\n").expect("a line ends with CR LF");
    let line = take(input, end);
    take(input, 2);
    assert!(!line.contains(&b'\r') && !line.contains(&b'\n'));
    std::str::from_utf8(line).expect("a line is UTF-8")
}

fn take<'i>(input: &mut &'i [u8], n: usize) -> &'i [u8] {
    let (front, rest) = input.split_at_checked(n).expect("a body as long as was announced");
    *input = rest;
    front
}

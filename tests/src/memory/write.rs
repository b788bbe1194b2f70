//! Requests as clients write them.

/// A request by HTTP/1.1 with further header fields (each with its line end) and a body.
#[must_use]
pub fn request(method: &str, target: &str, fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = match method {
        "POST" | "PUT" => format!("Content-Length: {}\r\n", body.len()),
        _ if body.is_empty() => String::new(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    let mut out =
        format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}{length}\r\n").into_bytes();
    out.extend_from_slice(body);
    out
}

/// A GET.
#[must_use]
pub fn get(target: &str) -> Vec<u8> {
    request("GET", target, "", "")
}

/// A publish request in the relaxed JSON form.
#[must_use]
pub fn publish(body: impl AsRef<[u8]>) -> Vec<u8> {
    request("POST", "/v1/events", "Content-Type: application/json\r\n", body)
}

/// A body in chunks of at most `size` bytes, with the last chunk.
#[must_use]
pub fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in body.chunks(size) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// An event of a call, in the relaxed JSON form: `word` is the last part of its type.
#[must_use]
pub fn call_event(word: &str, call: &str, data: &str) -> String {
    format!(r#"{{"type":"call.{word}","subject":"call/{call}","data":{{{data}}}}}"#)
}

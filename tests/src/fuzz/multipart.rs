//! A body of several parts; its type is the first line of the input.

use offhook_core::wire::multipart::{Part, parts, write};
use offhook_core::wire::sip::fields::Parameterised;

/// Cuts `data` into parts.
pub fn run(data: &[u8]) {
    let Some(line) = data.iter().position(|b| *b == b'\n') else { return };
    let Ok(content_type) = std::str::from_utf8(&data[..line]) else { return };
    let body = &data[line + 1..];
    let found = match parts(content_type, body) {
        Ok(found) => found,
        Err(reason) => return assert!(!reason.is_empty()),
    };
    assert!(!found.is_empty());
    let kind = Parameterised::read(content_type);
    let boundary = kind.param("boundary").expect("a boundary");
    for part in &found {
        judge(part, body, &boundary);
    }
    let total: usize = found.iter().map(|part| part.body.len()).sum();
    assert!(total + found.len() * boundary.len() <= body.len(), "parts overlap");
    // Written again, the root is first: `start` would move nothing.
    let mut out = Vec::new();
    write(&boundary, found.iter().cloned(), &mut out);
    assert_eq!(parts(&format!("multipart/mixed;boundary=\"{boundary}\""), &out), Ok(found));
}

fn judge(part: &Part<'_>, body: &[u8], boundary: &str) {
    assert!(body.windows(part.body.len().max(1)).any(|w| w == part.body) || part.body.is_empty());
    assert!(!part.content_type.contains(['\r', '\n']));
    for end in ["\r\n", "--"] {
        let delimiter = format!("\r\n--{boundary}{end}");
        assert!(
            !part.body.windows(delimiter.len()).any(|w| w == delimiter.as_bytes()),
            "a delimiter is in a part"
        );
    }
}

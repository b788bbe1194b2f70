//! The request that opens a websocket (RFC 6455 sections 4.1 and 4.2). Its path, its origin and who asks are judged
//! elsewhere; extensions and subprotocols that it offers are passed over.

use data_encoding::BASE64;
use sha1::{Digest as _, Sha1};

use crate::wire::http::head::{Framing, Head};
use crate::wire::http::reply::Fields;

/// What section 1.3 puts behind the key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The protocol's version (section 4.1), the only one that is spoken.
const VERSION: &str = "13";

/// Bytes of a key.
const KEY_BYTES: usize = 16;

/// What is wrong with a handshake, as it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// 400, 405 or 426.
    pub status: u16,
    /// A sentence for whoever reads the answer.
    pub reason: &'static str,
    /// Header fields that belong to the status.
    pub fields: Fields,
}

/// Judges an upgrade request (section 4.2.1): the value of `Sec-WebSocket-Accept`, or what is wrong.
///
/// # Errors
/// What is wrong.
pub fn judge(head: &Head<'_>) -> Result<String, Wrong> {
    if head.method != "GET" {
        let fields = vec![("Allow", "GET".to_owned())];
        return Err(Wrong { status: 405, reason: "a websocket is opened with GET", fields });
    }
    if !lists(head, "upgrade", "websocket") {
        return Err(upgrade_required("a websocket is spoken here: Upgrade must list websocket", &[]));
    }
    if !head.http11 {
        return Err(bad("a websocket is opened with HTTP/1.1"));
    }
    if !lists(head, "connection", "upgrade") {
        return Err(bad("Connection must list Upgrade"));
    }
    if head.framing != Framing::Length(0) {
        return Err(bad("a request that opens a websocket has no content"));
    }
    let version = single(head, "sec-websocket-version", "there is more than one Sec-WebSocket-Version")?;
    if version != Some(VERSION) {
        let field = ("Sec-WebSocket-Version", VERSION);
        return Err(upgrade_required("Sec-WebSocket-Version must be 13", &[field]));
    }
    let key = single(head, "sec-websocket-key", "there is more than one Sec-WebSocket-Key")?;
    let key = key.ok_or_else(|| bad("Sec-WebSocket-Key is missing"))?;
    // The decoder takes two texts of Base64 in a row, each with its padding; the length with one at the end is 24.
    let is_padded_once = key.find('=') == Some(22);
    if !is_padded_once || !BASE64.decode(key.as_bytes()).is_ok_and(|bytes| bytes.len() == KEY_BYTES) {
        return Err(bad("Sec-WebSocket-Key must be 16 bytes in Base64"));
    }
    Ok(accept(key))
}

/// The answer to a key (section 4.2.2): proof that its reader speaks websocket.
#[must_use]
pub fn accept(key: &str) -> String {
    BASE64.encode(&Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

fn bad(reason: &'static str) -> Wrong {
    Wrong { status: 400, reason, fields: Fields::new() }
}

/// RFC 9110 section 15.5.22: a 426 says what to upgrade to, and section 7.8: `Upgrade` is named in `Connection`.
fn upgrade_required(reason: &'static str, further: &[(&'static str, &str)]) -> Wrong {
    let fields = [("Upgrade", "websocket"), ("Connection", "Upgrade")];
    let fields = fields.iter().chain(further).map(|(name, value)| (*name, (*value).to_owned())).collect();
    Wrong { status: 426, reason, fields }
}

fn values<'a>(head: &Head<'a>, name: &'static str) -> impl Iterator<Item = &'a str> {
    head.fields().iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

/// Whether a field that is a list, perhaps in several lines, has this token.
fn lists(head: &Head<'_>, name: &'static str, token: &str) -> bool {
    values(head, name)
        .flat_map(|value| value.split(','))
        .any(|member| member.trim_matches([' ', '\t']).eq_ignore_ascii_case(token))
}

/// A field that may stand once (sections 11.3.1 and 11.3.5).
fn single<'a>(head: &Head<'a>, name: &'static str, twice: &'static str) -> Result<Option<&'a str>, Wrong> {
    let mut values = values(head, name);
    let first = values.next();
    if values.next().is_some() { Err(bad(twice)) } else { Ok(first) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::head::parse;

    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const VERSION_13: &str = "Sec-WebSocket-Version: 13\r\n";

    fn verdict(line: &str, fields: &[&str]) -> Result<String, Wrong> {
        let text = format!("{line}\r\nHost: server.example.com\r\n{}\r\n", fields.concat());
        judge(&parse(text.as_bytes(), 100).unwrap())
    }

    /// Each row names its section.
    #[test]
    fn rfc6455_4_the_request() {
        let (get, both) = ("GET /chat HTTP/1.1", "Upgrade: websocket\r\nConnection: Upgrade\r\n");
        let accepted = Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let no = |status: u16, part: &'static str| Err((status, part));
        for (section, line, fields, expected) in [
            ("1.3", get, &[both, KEY, VERSION_13][..], accepted),
            // 4.2.1 1: GET, HTTP/1.1.
            ("4.2.1", "POST /chat HTTP/1.1", &[both, KEY, VERSION_13], no(405, "GET")),
            ("4.2.1", "HEAD /chat HTTP/1.1", &[both, KEY, VERSION_13], no(405, "GET")),
            ("4.2.1", "GET /chat HTTP/1.0", &[both, KEY, VERSION_13], no(400, "HTTP/1.1")),
            ("4.2.1", "GET /chat HTTP/1.0", &[], no(426, "Upgrade")),
            // 4.2.1 3: Upgrade lists websocket, without case.
            ("4.2.1", get, &[KEY, VERSION_13], no(426, "Upgrade")),
            ("4.2.1", get, &["Upgrade: h2c\r\nConnection: Upgrade\r\n", KEY, VERSION_13], no(426, "Upgrade")),
            (
                "4.2.1",
                get,
                &["Upgrade: h2c,\tWebSocket\r\nConnection: upgrade\r\n", KEY, VERSION_13],
                accepted,
            ),
            (
                "4.2.1",
                get,
                &["Upgrade: websockets\r\nConnection: upgrade\r\n", KEY, VERSION_13],
                no(426, "Upgrade"),
            ),
            // 4.2.1 4: Connection lists Upgrade, without case.
            (
                "4.2.1",
                get,
                &["Upgrade: websocket\r\nConnection: keep-alive, UPGRADE\r\n", KEY, VERSION_13],
                accepted,
            ),
            (
                "4.2.1",
                get,
                &["Upgrade: websocket\r\nConnection: keep-alive\r\nConnection: Upgrade\r\n", KEY, VERSION_13],
                accepted,
            ),
            ("4.2.1", get, &["Upgrade: websocket\r\n", KEY, VERSION_13], no(400, "Connection")),
            (
                "4.2.1",
                get,
                &["Upgrade: websocket\r\nConnection: close\r\n", KEY, VERSION_13],
                no(400, "Connection"),
            ),
            // 4.2.1 5 and 11.3.1: one key of 16 bytes.
            ("4.2.1", get, &[both, VERSION_13], no(400, "missing")),
            ("4.2.1", get, &[both, VERSION_13, "Sec-WebSocket-Key: \r\n"], no(400, "16 bytes")),
            (
                "4.2.1",
                get,
                &[both, VERSION_13, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n"],
                no(400, "16 bytes"),
            ),
            (
                "4.2.1",
                get,
                &[both, VERSION_13, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n"],
                no(400, "16 bytes"),
            ),
            (
                "4.2.1",
                get,
                &[both, VERSION_13, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBu2Q==j5Zb\r\n"],
                no(400, "16 bytes"),
            ),
            (
                "4.2.1",
                get,
                &[both, VERSION_13, "Sec-WebSocket-Key: !!!!IHNhbXBsZSBub25jZQ==\r\n"],
                no(400, "16 bytes"),
            ),
            ("11.3.1", get, &[both, VERSION_13, KEY, KEY], no(400, "more than one")),
            // 4.2.1 6, 4.2.2 and 4.4: version 13.
            ("4.4", get, &[both, KEY], no(426, "13")),
            ("4.4", get, &[both, KEY, "Sec-WebSocket-Version: 8\r\n"], no(426, "13")),
            ("4.4", get, &[both, KEY, "Sec-WebSocket-Version: 25\r\n"], no(426, "13")),
            ("4.4", get, &[both, KEY, "Sec-WebSocket-Version: 13, 8\r\n"], no(426, "13")),
            ("11.3.5", get, &[both, KEY, VERSION_13, VERSION_13], no(400, "more than one")),
            // 4.2.1 8 to 10: what is offered besides is passed over.
            (
                "4.2.1",
                get,
                &[both, KEY, VERSION_13, "Sec-WebSocket-Protocol: chat\r\nOrigin: http://a\r\n"],
                accepted,
            ),
            (
                "9.1",
                get,
                &[both, KEY, VERSION_13, "Sec-WebSocket-Extensions: permessage-deflate\r\n"],
                accepted,
            ),
            // RFC 9110 section 9.3.1: what follows is the first frame, and no content.
            ("4.1", get, &[both, KEY, VERSION_13, "Content-Length: 1\r\n"], no(400, "content")),
            ("4.1", get, &[both, KEY, VERSION_13, "Content-Length: 0\r\n"], accepted),
            ("4.1", get, &[both, KEY, VERSION_13, "Transfer-Encoding: chunked\r\n"], no(400, "content")),
        ] {
            match (verdict(line, fields), expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{section} {line} {fields:?}"),
                (Err(wrong), Err((status, part))) => {
                    assert_eq!(wrong.status, status, "{section} {line} {fields:?}");
                    assert!(wrong.reason.contains(part), "{section} {line} {fields:?}: {wrong:?}");
                }
                (got, expected) => panic!("{section} {line} {fields:?}: {got:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn rfc6455_4_4_a_refusal_says_what_would_do() {
        let fields = |line: &str, fields: &[&str]| {
            let wrong = verdict(line, fields).unwrap_err();
            wrong.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(fields("GET / HTTP/1.1", &[]), "Upgrade: websocket, Connection: Upgrade");
        let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
        assert_eq!(
            fields("GET / HTTP/1.1", &[upgrade]),
            "Upgrade: websocket, Connection: Upgrade, Sec-WebSocket-Version: 13"
        );
        assert_eq!(fields("POST / HTTP/1.1", &[upgrade]), "Allow: GET");
    }
}

//! The request that opens a websocket, against a second reading of RFC 6455 section 4.2.1.

use offhook_core::wire::Step;
use offhook_core::wire::http::head::{Framing, Head, HeadEnd, parse};
use offhook_core::wire::ws::handshake::{accept, judge};

/// Cuts a head off the front of `data` and judges it.
pub fn run(data: &[u8]) {
    let Step::Item((), len) = HeadEnd::default().find(data, 16_384) else { return };
    let Ok(head) = parse(&data[..len], 100) else { return };
    let verdict = judge(&head);
    match &verdict {
        Ok(answer) => {
            assert_eq!(shortcoming(&head), None, "{head:?}");
            assert_eq!(answer, &accept(all(&head, "sec-websocket-key")[0]));
            assert!(answer.len() == 28 && answer.ends_with('='), "20 bytes in Base64: {answer}");
        }
        Err(wrong) => {
            assert_eq!(shortcoming(&head), Some(wrong.status), "{head:?}: {wrong:?}");
            assert!(!wrong.reason.is_empty());
            let has = |name: &str| wrong.fields.iter().any(|(n, _)| *n == name);
            assert_eq!((has("Allow"), has("Upgrade")), (wrong.status == 405, wrong.status == 426));
        }
    }
    // Names and tokens have no case, white space around list members means nothing.
    if head.method == "GET" {
        let mut text = format!("GET {}?{} HTTP/1.{}\r\n", head.path, head.query, u8::from(head.http11));
        for (name, value) in head.fields() {
            let value = match name.to_ascii_lowercase().as_str() {
                "upgrade" | "connection" => value.to_ascii_uppercase().replace(',', "\t, "),
                _ => (*value).to_owned(),
            };
            text.push_str(&format!("{}: {value}\r\n", name.to_ascii_uppercase()));
        }
        text.push_str("\r\n");
        let again = parse(text.as_bytes(), 100).expect("an accepted head is accepted again");
        assert_eq!(judge(&again), verdict, "{text}");
    }
}

/// The status of what is wrong, if anything is.
fn shortcoming(head: &Head<'_>) -> Option<u16> {
    let has = |name: &str, token: &str| {
        let list = all(head, name).join(",").to_ascii_lowercase();
        list.split(',').any(|member| member.trim_matches([' ', '\t']) == token)
    };
    let (versions, keys) = (all(head, "sec-websocket-version"), all(head, "sec-websocket-key"));
    let is_key = |key: &str| {
        let digits = key.strip_suffix("==").unwrap_or("");
        // 128 bits in 22 digits leave four that are 0.
        digits.len() == 22
            && digits.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
            && digits.ends_with(['A', 'Q', 'g', 'w'])
    };
    if head.method != "GET" {
        Some(405)
    } else if !has("upgrade", "websocket") {
        Some(426)
    } else if !head.http11
        || !has("connection", "upgrade")
        || head.framing != Framing::Length(0)
        || versions.len() > 1
    {
        Some(400)
    } else if versions != ["13"] {
        Some(426)
    } else if keys.len() != 1 || !is_key(keys[0]) {
        Some(400)
    } else {
        None
    }
}

fn all<'a>(head: &Head<'a>, name: &str) -> Vec<&'a str> {
    head.fields().iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value).collect()
}

//! What is asked of Asterisk. What is absent here: answers.

use data_encoding::HEXLOWER;
use md5::{Digest, Md5};

/// A value that would be more than one line, by the key that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsayable(pub Box<str>);

/// Appends an action: its name, the id by which its answers are known, and its keys and values. A key or value that holds
/// a line's end would say more than it should, so nothing is appended then.
pub fn write<'a>(
    out: &mut Vec<u8>,
    name: &str,
    id: &str,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), Unsayable> {
    let start = out.len();
    let said = line(out, "Action", name)
        .and_then(|()| line(out, "ActionID", id))
        .and_then(|()| fields.into_iter().try_for_each(|(key, value)| line(out, key, value)));
    match said {
        Ok(()) => out.extend_from_slice(b"\r\n"),
        Err(_) => out.truncate(start),
    }
    said
}

fn line(out: &mut Vec<u8>, key: &str, value: &str) -> Result<(), Unsayable> {
    let breaks = |text: &str| text.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    if key.is_empty() || key.contains(':') || breaks(key) || breaks(value) {
        return Err(Unsayable(key.into()));
    }
    for part in [key, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    Ok(())
}

/// The key of a login that answers a challenge with `AuthType: MD5`.
#[must_use]
pub fn md5_key(challenge: &[u8], password: &str) -> String {
    HEXLOWER.encode(&Md5::new().chain_update(challenge).chain_update(password).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_lines() {
        let mut out = b"before".to_vec();
        write(&mut out, "QueueStatus", "7", [("Queue", "süd"), ("Member", "")]).unwrap();
        assert_eq!(
            out,
            "beforeAction: QueueStatus\r\nActionID: 7\r\nQueue: süd\r\nMember: \r\n\r\n".as_bytes()
        );
    }

    #[test]
    fn no_value_is_more_than_a_line() {
        for (name, field, key) in [
            ("Ping\r\nAction: Originate", ("Queue", "a"), "Action"),
            ("QueueStatus", ("Queue", "a\nb"), "Queue"),
            ("QueueStatus", ("Queue", "a\rb"), "Queue"),
            ("QueueStatus", ("Queue", "a\0b"), "Queue"),
            ("QueueStatus", ("Queue: a\r\nb", "a"), "Queue: a\r\nb"),
            ("QueueStatus", ("Queue:", "a"), "Queue:"),
            ("QueueStatus", ("", "a"), ""),
        ] {
            let mut out = b"before".to_vec();
            assert_eq!(write(&mut out, name, "7", [field]), Err(Unsayable(key.into())));
            assert_eq!(out, b"before");
        }
    }

    #[test]
    fn a_challenge_has_one_answer() {
        // `printf 840415273test | md5sum`
        assert_eq!(md5_key(b"840415273", "test"), "e7a056e1488882c6c509bbe71a049978");
    }
}

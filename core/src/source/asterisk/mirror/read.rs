//! Values of messages as this machine wants them: what stands for nothing is absent, times and states are read.

use crate::ground::time::{Now, Wall};
use crate::wire::ami::Message;

/// Text of bytes, unless they stand for nothing.
pub(super) fn text(bytes: &[u8]) -> Option<Box<str>> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    let absent = text.is_empty() || text.eq_ignore_ascii_case("<unknown>") || text == "(null)";
    (!absent).then(|| text.into())
}

/// The text of a value, unless it stands for nothing.
pub(super) fn said(message: &Message<'_>, key: &str) -> Option<Box<str>> {
    message.get(key).and_then(text)
}

/// A value that is a whole number.
pub(super) fn number(message: &Message<'_>, key: &str) -> Option<u64> {
    std::str::from_utf8(message.get(key)?).ok()?.trim().parse().ok()
}

/// Whether a value says yes.
pub(super) fn yes(message: &Message<'_>, key: &str) -> bool {
    message.get(key).is_some_and(|value| {
        [&b"1"[..], b"yes", b"true", b"on"].iter().any(|word| value.eq_ignore_ascii_case(word))
    })
}

/// When the PBX says that it happened (`Timestamp`, with `timestampevents = yes` in manager.conf), else now.
pub(super) fn when(message: &Message<'_>, now: Now) -> Wall {
    let stamp = |text: &[u8]| {
        let (seconds, rest) = std::str::from_utf8(text).ok()?.trim().split_once('.')?;
        let seconds: u64 = seconds.parse().ok()?;
        let ms: u64 = format!("{rest:0<3}").get(..3)?.parse().ok()?;
        seconds.checked_mul(1000)?.checked_add(ms).map(Wall)
    };
    message.get("Timestamp").and_then(stamp).unwrap_or(now.wall)
}

/// `hh:mm:ss` in seconds.
pub(super) fn clock(text: &str) -> Option<u64> {
    let mut parts = text.split(':').map(|part| part.parse::<u64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?.checked_add(seconds)
}

/// The device that a channel belongs to: `PJSIP/100` of `PJSIP/100-0000001b`.
pub(super) fn device(channel: &str) -> &str {
    channel.rsplit_once('-').map_or(channel, |(device, _)| device)
}

/// The endpoint of a device: `100` of `PJSIP/100`.
pub(super) fn endpoint(device: &str) -> &str {
    device.split_once('/').map_or(device, |(_, endpoint)| endpoint)
}

/// A device's state by its number, as queues tell it (`enum ast_device_state`).
pub(super) fn device_state(message: &Message<'_>, key: &str) -> Option<&'static str> {
    const NAMES: [&str; 9] =
        ["UNKNOWN", "NOT_INUSE", "INUSE", "BUSY", "INVALID", "UNAVAILABLE", "RINGING", "RINGINUSE", "ONHOLD"];
    NAMES.get(usize::try_from(number(message, key)?).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_nothing_is_absent() {
        for (value, expected) in [
            ("100", Some("100")),
            (" Alice ", Some("Alice")),
            ("", None),
            ("<unknown>", None),
            ("<Unknown>", None),
            ("(null)", None),
        ] {
            let block = format!("Event: X\r\nA: {value}");
            assert_eq!(said(&Message::of(block.as_bytes()), "A").as_deref(), expected, "{value}");
        }
        assert_eq!(said(&Message::of(b"A: \xff"), "A").as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn times_are_read() {
        for (stamp, ms) in [
            ("1795443829.123456", 1_795_443_829_123),
            ("1795443829.5", 1_795_443_829_500),
            ("1795443829", 7),
            ("18446744073709551615.0", 7),
            ("x.y", 7),
        ] {
            let block = format!("Timestamp: {stamp}");
            let now = Now { wall: Wall(7), ..Now::default() };
            assert_eq!(when(&Message::of(block.as_bytes()), now), Wall(ms), "{stamp}");
        }
        for (text, seconds) in
            [("00:01:05", Some(65)), ("100:00:00", Some(360_000)), ("1:2", None), ("a:b:c", None)]
        {
            assert_eq!(clock(text), seconds, "{text}");
        }
    }

    #[test]
    fn devices_are_parts_of_channels() {
        for (channel, device_of, endpoint_of) in [
            ("PJSIP/100-0000001b", "PJSIP/100", "100"),
            ("PJSIP/my-trunk-0000001b", "PJSIP/my-trunk", "my-trunk"),
            ("Local/101@office-00000000;1", "Local/101@office", "101@office"),
            ("odd", "odd", "odd"),
        ] {
            assert_eq!((device(channel), endpoint(device(channel))), (device_of, endpoint_of));
        }
    }
}

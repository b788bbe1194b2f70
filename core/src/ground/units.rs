//! Durations and sizes as people write them. A number without a unit is a size in bytes; a duration needs its unit.

const DURATIONS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZES: &[(&str, u64)] = &[
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
    ("", 1),
];

/// `250ms`, `10s`, `5m`, `24h`, `30d` in milliseconds.
#[must_use]
pub fn duration_ms(text: &str) -> Option<u64> {
    with_unit(text, DURATIONS)
}

/// `64KiB`, `1GiB`, `1MB`, `512` in bytes.
#[must_use]
pub fn size_bytes(text: &str) -> Option<u64> {
    with_unit(text, SIZES)
}

/// The largest unit that leaves no rest. Minutes are not among them: people say 600s where a rule says seconds.
#[must_use]
pub fn write_duration(ms: u64) -> String {
    write(ms, DURATIONS.iter().rev().filter(|(name, _)| *name != "m"), "ms")
}

/// The largest unit that leaves no rest; binary units, as the defaults are.
#[must_use]
pub fn write_size(bytes: u64) -> String {
    write(bytes, SIZES[..4].iter().rev(), "")
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn write<'a>(value: u64, units: impl Iterator<Item = &'a (&'a str, u64)>, smallest: &str) -> String {
    for (name, factor) in units {
        if value > 0 && value.is_multiple_of(*factor) {
            return format!("{}{name}", value / factor);
        }
    }
    if value == 0 && smallest == "ms" { "0s".to_owned() } else { format!("{value}{smallest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("250ms", Some(250)),
            ("10s", Some(10_000)),
            ("5m", Some(300_000)),
            ("24h", Some(86_400_000)),
            ("30d", Some(2_592_000_000)),
            ("0s", Some(0)),
            ("10", None),
            ("10m30", None),
            ("1h30m", None),
            ("1.5s", None),
            ("-1s", None),
            (" 1s", None),
            ("s", None),
            ("", None),
            ("99999999999999999999s", None),
            ("300000000000d", None),
        ] {
            assert_eq!(duration_ms(text), ms, "{text}");
            if let Some(ms) = ms {
                assert_eq!(duration_ms(&write_duration(ms)), Some(ms));
            }
        }
        assert_eq!(write_duration(86_400_000), "1d");
        assert_eq!(write_duration(1_500), "1500ms");
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("64KiB", Some(65_536)),
            ("1GiB", Some(1 << 30)),
            ("1MB", Some(1_000_000)),
            ("512", Some(512)),
            ("512B", Some(512)),
            ("0", Some(0)),
            ("1kib", None),
            ("1 KiB", None),
            ("KiB", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(size_bytes(text), bytes, "{text}");
            if let Some(bytes) = bytes {
                assert_eq!(size_bytes(&write_size(bytes)), Some(bytes));
            }
        }
        assert_eq!(write_size(8_388_608), "8MiB");
    }
}

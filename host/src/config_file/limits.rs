//! `[limits]`: any row of the core's limits, by its name.

use std::ops::RangeInclusive;

use offhook_core::ground::limits::Limits;
use offhook_core::ground::units;
use toml::de::DeTable;

use super::reader::{Keys, Reader};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const TIB: u64 = 1 << 40;
const DAY_MS: u64 = 86_400_000;

/// Reads the table.
pub(super) fn read<'t>(reader: &mut Reader<'t>, table: &'t DeTable<'t>, limits: &mut Limits) {
    let names: Vec<&str> = Limits::ROWS.iter().map(|row| row.name).collect();
    for item in reader.entries("[limits]", table, Keys { known: &names, later: &[] }) {
        let default = Limits::ROWS.iter().find(|row| row.name == item.key).map_or(0, |row| row.default);
        let range = bounds(item.key);
        let value = if item.key.ends_with("_ms") {
            reader.duration(&item, range, true, &units::write_duration(default))
        } else if item.key.contains("bytes") {
            reader.size(&item, range, &units::write_size(default))
        } else {
            reader.integer(&item, range)
        };
        if let Some(value) = value {
            assert!(limits.set(item.key, value), "a name from the rows is a row");
        }
    }
}

/// What a row may be. Below the lower end the server would do nothing useful; the upper ends keep sums within 64 bits,
/// or are a protocol's.
pub(super) fn bounds(name: &str) -> RangeInclusive<u64> {
    match name {
        "connections" => 1..=10_000_000,
        "refusal_places" => 0..=65_536,
        "send_buffer_bytes" => 4 * KIB..=1_024 * MIB,
        "read_buffer_bytes" | "head_bytes" | "reply_bytes" => KIB..=1_024 * MIB,
        "publish_bytes" => KIB..=1_024 * MIB,
        "read_bytes" => 4 * KIB..=16 * MIB,
        "retained_bytes" | "xms_arena_bytes" | "isymphony_arena_bytes" => MIB..=TIB,
        // A head and a few groups at least; a segment is read into memory at a start.
        "log_segment_bytes" => 64 * KIB..=1_024 * MIB,
        "log_group_bytes" => KIB..=256 * MIB,
        "head_fields" => 1..=128,
        // Four hexadecimal digits on the length line (docs/xms.md).
        "xms_event_bytes" => KIB..=65_535,
        // Zero means "at once".
        "linger_ms" | "stream_drain_ms" | "shutdown_ms" | "body_grace_ms" => 0..=DAY_MS,
        "body_bytes_per_s" | "body_discard_bytes" => 0..=1_024 * MIB,
        "connections_per_address" | "handshakes_per_second" => 0..=10_000_000,
        "tls_sessions" => 1..=10_000_000,
        // A header without TLVs has 52 bytes, and the length of one is told in 16 bits.
        "proxy_header_bytes" => 52..=65_551,
        // Each has a thread, and takes the memory that its hash asks for.
        "checks_running" => 1..=64,
        "checks_remembered" | "failed_logins_per_address" => 0..=1_000_000,
        "dedup_events" | "isymphony_connections_per_address" => 0..=100_000_000,
        // The text is read into memory, and the depth bounds nothing but itself.
        "isymphony_message_bytes" => KIB..=16 * MIB,
        "isymphony_depth" => 3..=128,
        // The document nests four elements, its lists more.
        "sep_depth" => 4..=128,
        "sep_body_bytes" => KIB..=1_024 * MIB,
        "sep_expires_ms" => 1_000..=3_650 * DAY_MS,
        "log_readers" => 1..=10_000,
        // Each has a connection, and is looked for among the others when it speaks.
        "sources" => 1..=10_000,
        // Each resync has so many at least, and without their answers nothing is known of calls.
        "source_questions" => 8..=TIB,
        "source_message_bytes" => KIB..=64 * MIB,
        "retained_ms" => 1_000..=3_650 * DAY_MS,
        _ if name.ends_with("_ms") => 1..=30 * DAY_MS,
        _ => 1..=TIB,
    }
}

#[cfg(test)]
mod tests {
    use offhook_core::source::asterisk::Asterisk;

    use super::*;

    #[test]
    fn a_resync_may_ask_its_first_questions() {
        let questions = Asterisk::questions().len() as u64;
        assert_eq!(*bounds("source_questions").start(), questions);
    }

    #[test]
    fn every_default_is_within_its_bounds() {
        for row in Limits::ROWS {
            assert!(bounds(row.name).contains(&row.default), "{}", row.name);
        }
    }
}

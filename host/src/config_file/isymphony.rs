//! `[isymphony]`.

use offhook_core::ground::config::Isymphony;
use toml::de::DeTable;

use super::reader::{Keys, Reader};
use super::{access, sections, xms};

pub(super) const KEYS: Keys<'_> = Keys {
    known: &[
        "users",
        "allow",
        "allowed_origins",
        "lenient",
        "query_token",
        "dropped_notice",
        "ping",
        "silence",
    ],
    later: &[],
};

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;

/// Reads the table; what it does not say stays at its default.
pub(super) fn read<'t>(reader: &mut Reader<'t>, table: &'t DeTable<'t>) -> Isymphony {
    let mut isymphony = Isymphony::default();
    let items = reader.entries("[isymphony]", table, KEYS);
    for item in &items {
        match item.key {
            "users" => isymphony.users = access::users(reader, item).into(),
            "allow" => isymphony.allow = xms::networks(reader, item).unwrap_or(isymphony.allow),
            "allowed_origins" => isymphony.allowed_origins = sections::origins(reader, item),
            "lenient" => isymphony.lenient = reader.boolean(item).unwrap_or(true),
            "query_token" => isymphony.query_token = reader.boolean(item).unwrap_or(false),
            "dropped_notice" => isymphony.dropped_notice = reader.boolean(item).unwrap_or(true),
            "ping" => {
                let ms = reader.duration(item, SECOND..=HOUR, false, "30s");
                isymphony.ping_ms = ms.unwrap_or(isymphony.ping_ms);
            }
            _ => {
                let ms = reader.duration(item, SECOND..=HOUR, false, "60s");
                isymphony.silence_ms = ms.unwrap_or(isymphony.silence_ms);
            }
        }
    }
    let either = items.iter().find(|item| matches!(item.key, "silence" | "ping"));
    if let Some(item) = either.filter(|_| isymphony.silence_ms <= isymphony.ping_ms) {
        reader
            .problem(item, "silence must be longer than ping, or clients that answer every ping are closed");
    }
    isymphony
}

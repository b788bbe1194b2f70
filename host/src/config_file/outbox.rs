//! `[outbox]`: patience with all destinations, and what may wait.

use std::ops::RangeInclusive;

use offhook_core::ground::config::{Outbox, Proxy, Retry};
use toml::de::DeTable;

use super::reader::{Item, Keys, Reader};
use super::xms::networks;

pub(super) const KEYS: Keys<'_> =
    Keys { known: &["retry", "pending_bytes", "dead_letters", "allow_private", "egress_proxy"], later: &[] };
pub(super) const RETRY_KEYS: Keys<'_> =
    Keys { known: &["first", "factor", "cap", "jitter", "give_up_after"], later: &[] };
pub(super) const DEAD_KEYS: Keys<'_> = Keys { known: &["age", "count"], later: &[] };

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
const DELAYS: RangeInclusive<u64> = 1..=DAY;
const PROXY: &str = "http:// with a host and a port, and user:password@ before them if need be, such as \
                     \"http://proxy.example.com:3128\"";

/// Reads the table; what it does not say stays as it is.
pub(super) fn read<'t>(reader: &mut Reader<'t>, table: &'t DeTable<'t>) -> Outbox {
    let mut outbox = Outbox::default();
    for item in reader.entries("[outbox]", table, KEYS) {
        match item.key {
            "retry" => retry(reader, &item, &mut outbox.retry),
            "pending_bytes" => {
                let bytes = reader.size(&item, 1 << 20..=1 << 40, "1GiB");
                outbox.pending_bytes = bytes.unwrap_or(outbox.pending_bytes);
            }
            "dead_letters" => dead_letters(reader, &item, &mut outbox),
            "allow_private" => outbox.allow_private = networks(reader, &item).unwrap_or_default(),
            _ => outbox.egress_proxy = proxy(reader, &item),
        }
    }
    outbox
}

fn retry<'t>(reader: &mut Reader<'t>, item: &Item<'t>, retry: &mut Retry) {
    let Some(table) = reader.table(item, "a table such as { first = \"1s\", give_up_after = \"72h\" }")
    else {
        return;
    };
    for item in reader.entries("[outbox] retry.", table, RETRY_KEYS) {
        match item.key {
            "first" => set(&mut retry.first_ms, reader.duration(&item, DELAYS, false, "1s")),
            "cap" => set(&mut retry.cap_ms, reader.duration(&item, DELAYS, false, "1h")),
            "give_up_after" => {
                let ms = reader.duration(&item, 0..=365 * DAY, false, "72h");
                set(&mut retry.give_up_after_ms, ms);
            }
            "factor" => set(&mut retry.factor, reader.number(&item, 1.0..=100.0)),
            _ => set(&mut retry.jitter, reader.number(&item, 0.0..=1.0)),
        }
    }
}

fn dead_letters<'t>(reader: &mut Reader<'t>, item: &Item<'t>, outbox: &mut Outbox) {
    let Some(table) = reader.table(item, "a table such as { age = \"30d\", count = 100000 }") else { return };
    for item in reader.entries("[outbox] dead_letters.", table, DEAD_KEYS) {
        match item.key {
            "age" => {
                let ms = reader.duration(&item, 1_000..=3_650 * DAY, false, "30d");
                set(&mut outbox.dead_letters.age_ms, ms);
            }
            _ => set(&mut outbox.dead_letters.count, reader.integer(&item, 0..=10_000_000)),
        }
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// What is wrong is not quoted: a password may stand in it.
fn proxy<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Option<Proxy> {
    let text = reader.text(item, PROXY)?;
    let authority = text.strip_prefix("http://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let proxy = authority.and_then(|authority| authority.parse().ok());
    if proxy.is_none() {
        reader.problem(item, &format!("not understood; allowed: {PROXY}"));
    }
    proxy
}

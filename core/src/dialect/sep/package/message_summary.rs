//! Messages that wait: `application/simple-message-summary` (RFC 3842 section 5).

use super::{Item, Unreadable};
use crate::event::Fact;

/// New, old, and of these urgent.
type Counts = [u64; 4];

const NAMES: [&str; 4] = ["new", "old", "urgent_new", "urgent_old"];

/// The account's facts. The counts are those of voice messages; where there are none of these, of all others together.
pub(super) fn read(bytes: &[u8]) -> Result<Item, Unreadable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unreadable)?;
    let (mut waiting, mut account) = (None, None);
    let (mut voice, mut others): (Option<Counts>, Option<Counts>) = (None, None);
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        match name.as_str() {
            "messages-waiting" => {
                waiting = Some(match value.to_ascii_lowercase().as_str() {
                    "yes" => true,
                    "no" => false,
                    _ => return Err(Unreadable),
                });
            }
            "message-account" => account = Some(value).filter(|account| !account.is_empty()),
            // The classes of RFC 3458 section 4.
            "voice-message" => voice = Some(counts(value)?),
            "fax-message" | "pager-message" | "multimedia-message" | "text-message" | "none" => {
                let counts = counts(value)?;
                let sum = others.get_or_insert([0; 4]);
                sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum = sum.saturating_add(count));
            }
            _ => {}
        }
    }
    let waiting = waiting.ok_or(Unreadable)?;
    let mut item = Item::new("sip.message_summary", ("account", account)).text("account", account);
    item.facts.push(("waiting".into(), Fact::Bool(waiting)));
    for (name, count) in NAMES.iter().zip(voice.or(others).iter().flatten()) {
        item.facts.push(((*name).into(), Fact::Number(count.to_string().into())));
    }
    Ok(item)
}

/// `2/8` or `2/8 (0/2)`.
fn counts(value: &str) -> Result<Counts, Unreadable> {
    let pair = |text: &str| {
        let (new, old) = text.split_once('/')?;
        Some((new.trim().parse().ok()?, old.trim().parse().ok()?))
    };
    let (all, urgent) = match value.split_once('(') {
        None => (value, None),
        Some((all, rest)) => (all, Some(rest.trim_end().strip_suffix(')').ok_or(Unreadable)?)),
    };
    let (new, old) = pair(all).ok_or(Unreadable)?;
    let (urgent_new, urgent_old) = urgent.map_or(Some((0, 0)), pair).ok_or(Unreadable)?;
    Ok([new, old, urgent_new, urgent_old])
}

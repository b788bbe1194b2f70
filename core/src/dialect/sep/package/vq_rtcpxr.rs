//! Reports on the quality of voice: `application/vq-rtcpxr` (RFC 6035 section 4.6).
//!
//! Facts have the names of RFC 6035: a parameter of the local metrics has its own (`NLR`, `MOSLQ`), one of the remote
//! metrics is preceded by `Remote` (`RemoteNLR`); a line outside of the metrics has the line's name (`LocalID`,
//! `RemoteAddr`, `DialogID`); those of an alert's first line are `Type`, `Severity` and `Dir`. `CallID` is `call_id`, and
//! the kind of report is `report`; `CallTerm` says that it is the call's last.

use super::{Item, Unreadable};
use crate::event::Fact;

/// Facts of one report; RFC 6035 knows some 40 for each side. Beyond, they are left out: the body has them still.
const FACTS_MAX: usize = 128;

/// Kinds of reports.
const REPORTS: [&str; 3] = ["VQSessionReport", "VQIntervalReport", "VQAlertReport"];

/// Groups of parameters within metrics (RFC 6035 section 4.6.1).
const GROUPS: [&str; 8] = [
    "Timestamps",
    "SessionDesc",
    "JitterBuffer",
    "PacketLoss",
    "BurstGapLoss",
    "Delay",
    "Signal",
    "QualityEst",
];

/// The facts of a report.
pub(super) fn read(bytes: &[u8]) -> Result<Item, Unreadable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unreadable)?;
    let lines = unfolded(text);
    let mut lines = lines.iter().filter_map(|line| line.split_once(':')).map(|(n, v)| (n.trim(), v.trim()));
    let (first, what) = lines.next().ok_or(Unreadable)?;
    let report = REPORTS.iter().find(|r| r.eq_ignore_ascii_case(first)).ok_or(Unreadable)?;
    let mut facts = Vec::new();
    match what {
        "" => {}
        "CallTerm" => facts.push(("CallTerm".into(), Fact::Bool(true))),
        _ => parameters(what, "", &mut facts),
    }
    let (mut call_id, mut side) = (None, "");
    for (name, value) in lines {
        match name {
            "CallID" => call_id = Some(value),
            "LocalMetrics" => side = "",
            "RemoteMetrics" => side = "Remote",
            _ if GROUPS.contains(&name) => parameters(value, side, &mut facts),
            _ => facts.push((name.into(), Fact::Text(value.into()))),
        }
    }
    let mut item = Item::new("sip.vq_rtcpxr", ("call", call_id)).text("call_id", call_id);
    item = item.text("report", Some(*report));
    for (name, fact) in facts {
        if item.facts.len() == FACTS_MAX {
            break;
        }
        if !item.facts.iter().any(|(known, _)| *known == name) {
            item.facts.push((name, fact));
        }
    }
    Ok(item)
}

/// Lines that are not empty; one that begins with white space belongs to the one before (RFC 6035 section 4.6.1).
fn unfolded(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        match lines.last_mut() {
            Some(before) if line.starts_with([' ', '\t']) => {
                before.push(' ');
                before.push_str(line.trim_start());
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}

/// `NLR=5.0 FMTP="annexb=no" …`
fn parameters(mut text: &str, side: &str, facts: &mut Vec<(Box<str>, Fact)>) {
    while let Some((name, rest)) = text.split_once('=') {
        let quoted = rest.strip_prefix('"').and_then(|rest| rest.split_once('"'));
        let (value, rest) = quoted.unwrap_or_else(|| rest.split_once([' ', '\t']).unwrap_or((rest, "")));
        // What stands before a name without being one belongs to nothing.
        let name = name.rsplit([' ', '\t', ';']).next().unwrap_or_default();
        if !name.is_empty() {
            let value = if quoted.is_some() { Fact::Text(value.into()) } else { Item::number_or_text(value) };
            facts.push((format!("{side}{name}").into(), value));
        }
        text = rest.trim_start();
    }
}

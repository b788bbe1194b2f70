//! Query strings.

use offhook_core::wire::http::query::{Pair, pairs, percent_decode};

use super::split;

/// Splits and decodes `data` as a query, with the separators of both dialects.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(decoded) = percent_decode(text) {
        assert_eq!(percent_decode(&encode(&decoded)), Ok(decoded));
    }
    for separators in [&['&'][..], &['&', ';']] {
        let whole = pairs(text, separators);
        if let Ok(found) = &whole {
            let written: Vec<String> =
                found.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect();
            assert_eq!(pairs(&written.join("&"), separators).as_ref(), Ok(found), "written again");
        }
        let seams: Vec<usize> = text.match_indices(separators).map(|(at, _)| at).collect();
        if seams.is_empty() {
            continue;
        }
        let seam = seams[split::place(data, 0, seams.len() - 1)];
        let (front, back) = (pairs(&text[..seam], separators), pairs(&text[seam + 1..], separators));
        assert_eq!(joined(front, back), whole, "cut at the separator at byte {seam}");
    }
}

fn joined(front: Result<Vec<Pair>, String>, back: Result<Vec<Pair>, String>) -> Result<Vec<Pair>, String> {
    let mut all = front?;
    all.extend(back?);
    Ok(all)
}

/// Every byte as a percent triplet.
fn encode(text: &str) -> String {
    text.bytes().map(|b| format!("%{b:02X}")).collect()
}

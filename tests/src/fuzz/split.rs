//! Where an input is cut: at places that its own bytes choose, so that the same input is always cut alike.

/// A number in `0..=max` that depends on every byte of `data` (FNV-1a) and on which one is asked for.
pub(super) fn place(data: &[u8], which: u64, max: usize) -> usize {
    let hash = data.iter().fold(0xcbf2_9ce4_8422_2325 ^ which, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The low bits of FNV-1a alone know too little of the first bytes.
    usize::try_from((hash ^ hash >> 32) % (max as u64 + 1)).unwrap_or(0)
}

/// `data` in up to four pieces; some may be empty.
pub(super) fn pieces(data: &[u8]) -> Vec<&[u8]> {
    let mut cuts = [0; 3];
    for (which, cut) in (0..).zip(&mut cuts) {
        *cut = place(data, which, data.len());
    }
    cuts.sort_unstable();
    let [a, b, c] = cuts;
    vec![&data[..a], &data[a..b], &data[b..c], &data[c..]]
}

/// `data` one byte at a time.
pub(super) fn bytes(data: &[u8]) -> Vec<&[u8]> {
    data.chunks(1).collect()
}

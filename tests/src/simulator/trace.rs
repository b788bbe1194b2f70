//! What happened, as a hash and as lines. The hash is the same on every run of a seed; the lines are kept only when
//! somebody wants to read them, the youngest of them.

use std::collections::VecDeque;
use std::fmt;

/// Lines that are kept.
const LINES_MAX: usize = 400;

/// The trace of one seed.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    lines: Option<VecDeque<String>>,
}

impl Trace {
    /// Nothing has happened. `keeps_lines`: it is written down, too.
    #[must_use]
    pub fn new(keeps_lines: bool) -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, lines: keeps_lines.then(VecDeque::new) }
    }

    /// Something happened: numbers that tell what, and bytes that moved (FNV-1a over both).
    pub fn note(&mut self, numbers: &[u64], bytes: &[u8]) {
        for number in numbers {
            self.hash = (self.hash ^ number).wrapping_mul(0x0000_0100_0000_01b3);
        }
        for piece in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            self.hash = (self.hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3);
            self.hash ^= self.hash >> 29;
        }
    }

    /// A line for those who read.
    pub fn line(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            if lines.len() == LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(line());
        }
    }

    /// The hash so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().flatten().try_for_each(|line| writeln!(f, "{line}"))
    }
}

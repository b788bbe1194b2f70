//! What happened, as a hash and as lines. The hash is the same on every run of a seed; the lines are kept only when
//! somebody wants to read them, the youngest of them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

/// Lines that are kept.
const LINES_MAX: usize = 400;

thread_local! {
    /// The trace of the seed that this thread runs, for a panic that nobody catches.
    static CURRENT: RefCell<Option<Trace>> = const { RefCell::new(None) };
}

/// The trace of one seed.
#[derive(Clone, Debug)]
pub struct Trace(Rc<RefCell<Kept>>);

#[derive(Debug)]
struct Kept {
    hash: u64,
    lines: Option<VecDeque<String>>,
}

impl Trace {
    /// Nothing has happened. `keeps_lines`: it is written down, too.
    #[must_use]
    pub fn new(keeps_lines: bool) -> Trace {
        let kept = Kept { hash: 0xcbf2_9ce4_8422_2325, lines: keeps_lines.then(VecDeque::new) };
        let trace = Trace(Rc::new(RefCell::new(kept)));
        CURRENT.set(Some(trace.clone()));
        trace
    }

    /// That of the seed that this thread runs, or ran last.
    #[must_use]
    pub fn current() -> Option<Trace> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Something happened: numbers that tell what, and bytes that moved (FNV-1a over both).
    pub fn note(&mut self, numbers: &[u64], bytes: &[u8]) {
        let mut hash = self.hash();
        for number in numbers {
            hash = (hash ^ number).wrapping_mul(0x0000_0100_0000_01b3);
        }
        for piece in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3);
            hash ^= hash >> 29;
        }
        self.0.borrow_mut().hash = hash;
    }

    /// A line for those who read.
    pub fn line(&mut self, line: impl FnOnce() -> String) {
        if self.0.borrow().lines.is_none() {
            return;
        }
        let line = line();
        if let Some(lines) = &mut self.0.borrow_mut().lines {
            if lines.len() == LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }

    /// The hash so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.0.borrow().hash
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.borrow().lines.iter().flatten().try_for_each(|line| writeln!(f, "{line}"))
    }
}

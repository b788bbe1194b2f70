//! The crash lab: a real server under load that is killed, stopped, frozen, left without room, or given a disk that fails,
//! and started again over the same folder. What it acknowledged must be there. [`Scenario::ALL`] is the list.
//!
//! Publishers note every `202`, makers of eventhandlers every `201` and `204`; a stream of Server-Sent Events resumes with
//! its last id; a receiver of hooks, some of which it refuses, notes what arrives. At the end the books are compared:
//! every acknowledged event was seen by the stream, once and in order but for a gap that it was told of, and has arrived
//! at every destination, in order per subject; every acknowledged eventhandler is there, and so is the SIP subscription,
//! whose last states were called back.
//!
//! What is absent here: virtual time and a model of the disk. What the kernel was given survives a kill; losses of the page
//! cache are made by hand where they can be (`torn-tail`), and all others by the tests of the log.
//!
//! ```text
//!   runtime-*/tests/crash.rs ─► run ─┐                                               publisher ─┐
//!   bin/crash-lab ──────────────────┴► play ─► rounds of a scenario: start, load, fault  reader ├─► books
//!                                             a clean stop, a last start              receiver ─┘
//! ```
//!
//! `OFFHOOK_CRASH_ROUNDS` (default 5) and `OFFHOOK_CRASH_SEED` change a run of the tests.
//!
//! | file | what it holds |
//! |---|---|
//! | `scenario`, `play` | the list; one scenario with one binary |
//! | `kill`, `stop`, `freeze`, `full_disk`, `broken_disk`, `torn` | the faults |
//! | `strace`, `folder` | what faults of the disk are made with |
//! | `publisher`, `handlers`, `phone`, `reader`, `receiver`, `wire` | the load |
//! | `stage`, `books` | where the server is; what was promised and what came |

mod books;
mod broken_disk;
mod folder;
mod freeze;
mod full_disk;
mod handlers;
mod kill;
mod phone;
mod play;
mod publisher;
mod reader;
mod receiver;
mod scenario;
mod stage;
mod stop;
mod strace;
mod torn;
mod wire;

pub use crate::conformance::Subject;
pub use play::{Outcome, play};
pub use scenario::Scenario;

/// The destinations' names, and the first part of their paths.
const DESTINATIONS: [&str; 3] = ["good", "moody", "isr"];

/// The scenario of this name against the binary at this path.
///
/// # Panics
/// At a loss, a repetition or a disorder.
pub fn run(binary: &'static str, name: &str) {
    let seed = variable("OFFHOOK_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let rounds = variable("OFFHOOK_CRASH_ROUNDS").unwrap_or(5);
    println!("OFFHOOK_CRASH_SEED={seed} OFFHOOK_CRASH_ROUNDS={rounds}");
    let scenario = Scenario::named(name).expect("a scenario of ours");
    let outcome = play(Subject::new(binary), scenario, rounds, seed);
    println!("{outcome:?}");
    assert_eq!(outcome.lost, 0, "acknowledged, and gone");
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

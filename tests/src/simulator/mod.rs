//! The simulator: a whole server with its disk, its network and its clients, driven by one number, in virtual time.
//!
//! ```text
//!   seed ─► swarm: which clients, which faults, which bounds
//!        ─► world: one thing happens at a time
//!             server   engines with loops like the binaries', over a simulated log      (server, log)
//!             disk     forgets, tears, fills up, fails, flips bits                      (disk)
//!             net      delays, splits, joins, stalls, cuts; loses datagrams             (net)
//!             TLS      of the clients' end, where there is any                          (sealed)
//!             clients  one small machine each: what they do, what they must see         (clients)
//!             books    what was acknowledged, what the log and backends say            (books, hooks)
//!        ─► faults, then calm: everybody gets what he waits for; then a stop: nothing is left
//! ```
//!
//! The invariants are asserted where things happen: at each client's input, after each turn of an engine, at each start.
//! The same seed gives the same trace, whose hash is printed. [`sabotage`] holds bugs that are switched off; tests switch
//! them on, one at a time, to see that each is caught.
//!
//! What is absent here: sockets, files, threads, clocks. What the binaries make of those is the conformance suite's
//! affair and the crash suite's.

pub mod books;
pub mod client;
pub mod clients;
pub mod disk;
mod faults;
pub mod hooks;
mod log;
pub mod net;
mod population;
pub mod sabotage;
mod sealed;
mod server;
pub mod swarm;
pub mod trace;
pub mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use offhook_core::ground::rng::Rng;

pub use faults::Counts;
use sabotage::Sabotage;
use swarm::Swarm;
use world::World;

/// What came of a seed.
#[derive(Debug)]
pub struct Outcome {
    /// The hash of its trace.
    pub hash: u64,
    /// How often what happened.
    pub counts: Counts,
    /// What went wrong, and the youngest lines of the trace, if they were wanted.
    pub failure: Option<(String, String)>,
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64, sabotage: Option<Sabotage>, keeps_lines: bool) -> Outcome {
    run_changed(seed, |_| {}, sabotage, keeps_lines)
}

/// Runs a seed after somebody has changed what it chose.
#[must_use]
pub fn run_changed(
    seed: u64,
    change: impl FnOnce(&mut Swarm),
    sabotage: Option<Sabotage>,
    keeps_lines: bool,
) -> Outcome {
    let mut rng = Rng::new(seed);
    let mut swarm = Swarm::draw(&mut rng);
    change(&mut swarm);
    let mut world = World::new(swarm, rng, sabotage, keeps_lines);
    world.populate();
    let done = catch_unwind(AssertUnwindSafe(|| world.run()));
    let failure = done.err().map(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        (text.unwrap_or_default(), world.trace().to_string())
    });
    Outcome { hash: world.trace().hash(), counts: world.counts(), failure }
}

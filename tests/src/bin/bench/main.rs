//! The benchmark: how close the servers come to floors that do nothing but move prepared bytes.
//!
//! Absolute figures of a shared machine mean nothing, so every figure of speed is a ratio to the floor
//! measured next to it: one core for the server, one for the load, server and floor in turn, and the
//! median over the pairs. Every delivery is checked for its sequence number, and every publication for
//! its answer; a run in which one is missing is a failure, never a figure.
//!
//! | scenarios | what is measured | over |
//! |---|---|---|
//! | `…-w1`, `…-w32`, `…-w32-5k` | deliveries a second to streams or websockets (`ws-…`) | a server that writes prepared bytes to sockets |
//! | `…-disk` | the same, with the log on disk | the same |
//! | `…-p99` | latency of paced deliveries | the same |
//! | `…-idle` | private bytes per idle stream, or websocket with two filters of its own | |
//! | `tls-w1` | deliveries a second to streams behind TLS | nginx with nchan |
//! | `tls-idle` | private bytes per idle stream behind TLS | |
//! | `filters`, `ws-filters` | CPU time against 100,000 filters | that against ten |
//! | `ingest` | durable records a second, in requests of 100 | groups of 100 appended to a file written before |
//! | `publishers` | durable events a second of 64 publishers of single events | the same server with `--data none` |
//! | `hooks`, `hooks-durable` | webhooks a second from a backlog; durable: signed, log on disk | a client that sends the same bytes |
//! | `hooks-memory` | private bytes per waiting delivery, beyond its event | |
//!
//! ```text
//! cargo run --release -p offhook-tests --bin bench                     # everything, half an hour   
//! cargo run --release -p offhook-tests --bin bench -- --quick          # one pair of one second each
//! cargo run --release -p offhook-tests --bin bench -- --only mio --scenario xms-w1 --scenario sse-w1
//! cargo run --release -p offhook-tests --bin bench -- --write README.md
//! ```
//!
//! Logs on disk go to fresh folders beside the folder of these programs, or in `OFFHOOK_BENCH_FOLDER`; a
//! file system in memory is refused.
//!
//! | module | what it holds |
//! |---|---|
//! | [`plan`] | the scenarios, and the rows of the table |
//! | [`pair`] | what is measured, the order of a pair's runs, the figure that comes of it |
//! | [`measure`] | one run of each kind against one fresh server |
//! | [`load`], [`fleet`], [`publish`] | the load: subscribers, publisher, pacing |
//! | [`flow`] | the load of the log: publishers without subscribers |
//! | [`hooks`], [`receiver`] | webhooks: backlog, the receiver that answers 200 |
//! | [`floor`], [`disk`], [`hook`] | the floors of streams, of durable ingest and of webhooks |
//! | [`sealed`], [`mod@line`] | streams behind TLS, and nginx beside them |
//! | [`dialect`], [`http`], [`websocket`], [`stamp`] | what is said on the wire, and how a delivery is recognised |
//! | [`process`], [`machine`], [`socket`], [`folder`] | children, cores, sockets, folders on disk |
//! | [`report`], [`rate`], [`stats`] | the table, rates, medians |

mod dialect;
mod disk;
mod fleet;
mod floor;
mod flow;
mod folder;
mod hook;
mod hooks;
mod http;
mod line;
mod load;
mod machine;
mod measure;
mod options;
mod pair;
mod plan;
mod process;
mod publish;
mod rate;
mod receiver;
mod report;
mod sealed;
mod socket;
mod stamp;
mod stats;
mod websocket;

use std::process::ExitCode;

use clap::Parser;

use crate::options::{Command, Options};

/// What goes wrong in a benchmark is told to a person and ends the run: a sentence is enough.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// What most of it returns.
pub(crate) type Result<T> = std::result::Result<T, Error>;

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match options.command {
        None => plan::run(&options.plan),
        Some(Command::Floor(floor)) => floor::serve(floor.listen, floor.coalesce == 0).map(|()| true),
        Some(Command::Load(load)) => measure::load_by_hand(&load).map(|()| true),
        Some(Command::Idle(idle)) => measure::idle_by_hand(&idle).map(|()| true),
        Some(Command::Publish(publish)) => measure::publish_by_hand(&publish).map(|()| true),
        Some(Command::DiskFloor(floor)) => disk::run(&floor).map(|()| true),
        Some(Command::HookFloor(floor)) => hook::run(&floor).map(|()| true),
        Some(Command::Pinned(pinned)) => machine::exec_pinned(pinned.core, &pinned.command).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

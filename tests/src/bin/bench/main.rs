//! The benchmark: how close the servers come to a floor that does nothing but write prepared bytes.
//!
//! Absolute figures of a shared machine mean nothing, so every figure of speed is a ratio to the floor
//! measured next to it: one core for the server, one for the load, server and floor in turn, and the
//! median over the pairs. Every delivery is checked for its sequence number; a run in which one is
//! missing is a failure, never a figure.
//!
//! ```text
//! cargo run --release -p offhook-tests --bin bench                     # everything, a quarter of an hour
//! cargo run --release -p offhook-tests --bin bench -- --quick          # one pair of one second each
//! cargo run --release -p offhook-tests --bin bench -- --only mio --scenario xms-w1 --scenario sse-w1
//! cargo run --release -p offhook-tests --bin bench -- --write README.md
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`plan`] | the scenarios, the order of the runs, the rows of the table |
//! | [`measure`] | one run of each kind against one fresh server |
//! | [`load`], [`fleet`], [`publish`] | the load: subscribers, publisher, pacing |
//! | [`floor`] | the floor |
//! | [`dialect`], [`http`], [`stamp`] | what is said on the wire, and how a delivery is recognised |
//! | [`process`], [`machine`], [`socket`] | children, cores, sockets |
//! | [`report`], [`stats`] | the table, medians |

mod dialect;
mod fleet;
mod floor;
mod http;
mod load;
mod machine;
mod measure;
mod options;
mod plan;
mod process;
mod publish;
mod report;
mod socket;
mod stamp;
mod stats;

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

//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::dialect::Dialect;

/// Measures the servers against a floor that only writes prepared bytes.
///
/// Without a subcommand: the whole plan, floor and servers in turn, and a Markdown table on stdout.
#[derive(Debug, Parser)]
#[command(name = "bench", args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    /// One piece by hand instead of the whole plan.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// What the whole plan measures.
    #[command(flatten)]
    pub(crate) plan: PlanOptions,
}

/// The pieces of the plan, each usable by hand.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The server that only writes prepared bytes
    Floor(FloorOptions),
    /// Subscribers and a publisher against a running server
    Load(LoadOptions),
    /// Memory per idle stream of a running server
    Idle(IdleOptions),
    /// Publishers, and no subscriber, against a running server
    Publish(PublishOptions),
    /// The floor of durable ingest: groups of records appended to a file written before
    DiskFloor(DiskFloorOptions),
    /// The floor of webhooks: the same request again and again, until the receiver closes
    HookFloor(HookFloorOptions),
    /// Run a command on one core
    #[command(hide = true)]
    Pinned(PinnedOptions),
}

/// What the whole plan measures, and for how long.
#[derive(Debug, Args)]
pub(crate) struct PlanOptions {
    /// Measure this server alone
    #[arg(long, value_enum)]
    pub(crate) only: Option<Candidate>,
    /// Measure this scenario alone; may be repeated
    #[arg(long, value_name = "NAME", value_parser = crate::plan::scenario_names())]
    pub(crate) scenario: Vec<String>,
    /// Pairs of floor and server in each scenario
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pairs: u32,
    /// Seconds of each run
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// One pair, one second: a smoke test, not a measurement
    #[arg(long)]
    quick: bool,
    /// Take the server binaries as they are
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Put the table between the markers `<!-- bench:begin -->` and `<!-- bench:end -->` of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
}

impl PlanOptions {
    /// How many pairs each scenario is measured in.
    pub(crate) fn pairs(&self) -> u32 {
        if self.quick { 1 } else { self.pairs }
    }

    /// How long each run lasts.
    pub(crate) fn span(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { self.seconds })
    }
}

/// What `--only` can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Candidate {
    /// `offhook-mio`
    Mio,
    /// `offhook-smol`
    Smol,
    /// The floor with all that is pending in one write: a check of the yardstick, and the most that any
    /// server could reach
    Ceiling,
}

/// Options of `floor`.
#[derive(Debug, Args)]
pub(crate) struct FloorOptions {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// 1: one write per delivery; 0: all events found in one read go out in one write
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub(crate) coalesce: u8,
}

/// Options of `load`.
#[derive(Debug, Args)]
pub(crate) struct LoadOptions {
    /// The server's address
    #[arg(long)]
    pub(crate) address: SocketAddr,
    /// What the server speaks
    #[arg(long, value_enum)]
    pub(crate) dialect: Dialect,
    /// Open streams
    #[arg(long, default_value_t = 1000)]
    pub(crate) subscribers: usize,
    /// Events in flight
    #[arg(long, default_value_t = 1)]
    pub(crate) window: u32,
    /// Events a second, paced, for latency; without it as fast as the window allows
    #[arg(long)]
    pub(crate) rate: Option<u32>,
    /// Seconds to publish for
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
}

/// Options of `idle`.
#[derive(Debug, Args)]
pub(crate) struct IdleOptions {
    /// The server's address
    #[arg(long)]
    pub(crate) address: SocketAddr,
    /// What the server speaks
    #[arg(long, value_enum)]
    pub(crate) dialect: Dialect,
    /// Open streams
    #[arg(long, default_value_t = crate::pair::IDLE_STREAMS)]
    pub(crate) streams: usize,
    /// The server's process id
    #[arg(long)]
    pub(crate) pid: u32,
}

/// Options of `publish`.
#[derive(Debug, Args)]
pub(crate) struct PublishOptions {
    /// The server's address
    #[arg(long)]
    pub(crate) address: SocketAddr,
    /// Publishers, one connection each
    #[arg(long, default_value_t = 4)]
    pub(crate) connections: usize,
    /// Requests of each publisher in flight
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) depth: u32,
    /// Events of each request
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch: u32,
    /// Seconds to publish for
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
}

/// Options of `disk-floor`.
#[derive(Debug, Args)]
pub(crate) struct DiskFloorOptions {
    /// The file to write, which must not exist; it is removed afterwards
    #[arg(long)]
    pub(crate) file: PathBuf,
    /// Milliseconds to append for
    #[arg(long, default_value_t = 5000)]
    pub(crate) milliseconds: u64,
}

/// Options of `hook-floor`.
#[derive(Debug, Args)]
pub(crate) struct HookFloorOptions {
    /// The receiver's address
    #[arg(long)]
    pub(crate) address: SocketAddr,
    /// A file with the request, head and body
    #[arg(long)]
    pub(crate) request: PathBuf,
    /// Kept-alive connections, one request in flight on each
    #[arg(long, default_value_t = crate::hooks::CONCURRENCY)]
    pub(crate) connections: usize,
}

/// Options of `pinned`.
#[derive(Debug, Args)]
pub(crate) struct PinnedOptions {
    /// The core to stay on
    pub(crate) core: usize,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }

    #[test]
    fn quick_is_one_pair_of_one_second() {
        let options = Options::parse_from(["bench", "--quick", "--only", "mio", "--scenario", "xms-w1"]);
        assert_eq!(options.plan.pairs(), 1);
        assert_eq!(options.plan.span(), Duration::from_secs(1));
        assert_eq!(options.plan.scenario, ["xms-w1"]);
    }

    #[test]
    fn a_pinned_command_keeps_its_own_flags() {
        let options = Options::parse_from(["bench", "pinned", "0", "server", "--listen", "127.0.0.1:0"]);
        let Some(Command::Pinned(pinned)) = options.command else { panic!("a pinned command") };
        assert_eq!(pinned.command, ["server", "--listen", "127.0.0.1:0"]);
    }
}

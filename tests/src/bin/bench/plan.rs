//! The plan: which scenarios are measured, in which order, and what is wanted of each.

use std::process::Command;
use std::time::Duration;

use clap::builder::PossibleValuesParser;

use crate::Result;
use crate::dialect::Dialect;
use crate::hooks::Hooks;
use crate::machine::{self, Cores};
use crate::measure::Log;
use crate::options::{Candidate, PlanOptions};
use crate::pair::Kind;
use crate::process::{Process, Server, Setup};
use crate::report::{self, Row, Wanted};

/// A pair in which other programs kept floor, server or load waiting is measured again, so many times at
/// most.
const ATTEMPTS: u32 = 3;

/// A line of the plan.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    name: &'static str,
    kind: Kind,
    mio: Wanted,
    smol: Wanted,
}

const fn w1(dialect: Dialect, log: Log) -> Kind {
    Kind::FanOut { dialect, window: 1, subscribers: 1000, log }
}

const fn w32(dialect: Dialect, log: Log) -> Kind {
    Kind::FanOut { dialect, window: 32, subscribers: 1000, log }
}

const fn w32_5k(dialect: Dialect) -> Kind {
    Kind::FanOut { dialect, window: 32, subscribers: 5000, log: Log::Memory }
}

#[rustfmt::skip]
const SCENARIOS: [Scenario; 28] = {
    use Dialect::{Sse, Ws, Xms};
    use Hooks::{Durable, Plain};
    use Log::{Disk, Memory};
    use Wanted::{AtLeast, AtMost, Stated};
    [
        Scenario { name: "xms-w1",        kind: w1(Xms, Memory),        mio: AtLeast(0.90), smol: AtLeast(0.80) },
        Scenario { name: "xms-w32",       kind: w32(Xms, Memory),       mio: AtLeast(12.0), smol: AtLeast(8.0) },
        Scenario { name: "xms-w32-5k",    kind: w32_5k(Xms),            mio: AtLeast(12.0), smol: AtLeast(8.0) },
        Scenario { name: "sse-w1",        kind: w1(Sse, Memory),        mio: AtLeast(0.90), smol: AtLeast(0.80) },
        Scenario { name: "sse-w32",       kind: w32(Sse, Memory),       mio: AtLeast(12.0), smol: AtLeast(8.0) },
        Scenario { name: "sse-w32-5k",    kind: w32_5k(Sse),            mio: AtLeast(12.0), smol: AtLeast(8.0) },
        Scenario { name: "ws-w1",         kind: w1(Ws, Memory),         mio: AtLeast(0.90), smol: AtLeast(0.80) },
        Scenario { name: "ws-w32",        kind: w32(Ws, Memory),        mio: AtLeast(12.0), smol: AtLeast(8.0) },
        Scenario { name: "ws-w32-5k",     kind: w32_5k(Ws),             mio: AtLeast(12.0), smol: AtLeast(8.0) },
        Scenario { name: "xms-w1-disk",   kind: w1(Xms, Disk),          mio: AtLeast(0.90), smol: AtLeast(0.80) },
        Scenario { name: "xms-w32-disk",  kind: w32(Xms, Disk),         mio: AtLeast(12.0), smol: AtLeast(8.0) },
        Scenario { name: "sse-w1-disk",   kind: w1(Sse, Disk),          mio: AtLeast(0.90), smol: AtLeast(0.80) },
        Scenario { name: "sse-w32-disk",  kind: w32(Sse, Disk),         mio: AtLeast(12.0), smol: AtLeast(8.0) },
        Scenario { name: "xms-p99",       kind: Kind::Latency(Xms),     mio: AtMost(1.10),  smol: AtMost(1.20) },
        Scenario { name: "sse-p99",       kind: Kind::Latency(Sse),     mio: AtMost(1.10),  smol: AtMost(1.20) },
        Scenario { name: "ws-p99",        kind: Kind::Latency(Ws),      mio: AtMost(1.10),  smol: AtMost(1.20) },
        Scenario { name: "xms-idle",      kind: Kind::Idle(Xms),        mio: AtMost(600.0), smol: AtMost(1200.0) },
        Scenario { name: "sse-idle",      kind: Kind::Idle(Sse),        mio: AtMost(600.0), smol: AtMost(1200.0) },
        Scenario { name: "ws-idle",       kind: Kind::Idle(Ws),         mio: AtMost(1200.0), smol: Stated },
        Scenario { name: "tls-w1",        kind: Kind::Sealed,           mio: AtLeast(1.0),  smol: AtLeast(1.0) },
        Scenario { name: "tls-idle",      kind: Kind::SealedIdle,       mio: Stated,        smol: Stated },
        Scenario { name: "filters",       kind: Kind::Filters,          mio: AtMost(2.0),   smol: AtMost(2.0) },
        Scenario { name: "ws-filters",    kind: Kind::SocketFilters,    mio: AtMost(2.0),   smol: AtMost(2.0) },
        Scenario { name: "ingest",        kind: Kind::Ingest,           mio: AtLeast(0.60), smol: AtLeast(0.60) },
        Scenario { name: "publishers",    kind: Kind::Publishers,       mio: AtLeast(0.80), smol: AtLeast(0.80) },
        Scenario { name: "hooks",         kind: Kind::Hooks(Plain),     mio: AtLeast(0.80), smol: AtLeast(0.70) },
        Scenario { name: "hooks-durable", kind: Kind::Hooks(Durable),   mio: Stated,        smol: Stated },
        Scenario { name: "hooks-memory",  kind: Kind::HooksMemory,      mio: AtMost(100.0), smol: AtMost(100.0) },
    ]
};

/// What `--scenario` accepts.
pub(crate) fn scenario_names() -> PossibleValuesParser {
    PossibleValuesParser::new(SCENARIOS.map(|scenario| scenario.name))
}

/// Measures everything that the options name and prints the table. False if something could not be
/// measured.
pub(crate) fn run(options: &PlanOptions) -> Result<bool> {
    let servers = match options.only {
        None => vec![Server::Mio, Server::Smol],
        Some(Candidate::Mio) => vec![Server::Mio],
        Some(Candidate::Smol) => vec![Server::Smol],
        Some(Candidate::Ceiling) => vec![Server::Ceiling],
    };
    if cfg!(debug_assertions) {
        eprintln!("bench: this is a debug build; its figures mean nothing");
    }
    if !options.no_build {
        build(&servers)?;
    }
    machine::raise_file_limit();
    machine::pin(Cores::of_this_machine().load)?;
    // Who does not even start is told so at once, not scenario by scenario.
    for server in &servers {
        drop(Process::start(*server, &Setup::default())?);
    }

    let (pairs, span) = (options.pairs(), options.span());
    let mut rows = Vec::new();
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.is_chosen(options)) {
        rows.extend(scenario.measure(&servers, pairs, span));
    }
    let table = report::table(&rows, pairs, span);
    println!("{table}");
    if let Some(file) = &options.write {
        offhook_tests::readme::write(file, "bench", &table)?;
    }
    Ok(rows.iter().all(|row| row.failure.is_none()))
}

fn build(servers: &[Server]) -> Result<()> {
    let packages: Vec<_> = servers.iter().filter_map(|server| server.package()).collect();
    if packages.is_empty() {
        return Ok(());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release"]).args(packages.iter().flat_map(|package| ["-p", package]));
    match command.status()? {
        status if status.success() => Ok(()),
        status => Err(format!("the servers cannot be built: {status}").into()),
    }
}

impl Scenario {
    fn is_chosen(&self, options: &PlanOptions) -> bool {
        let named = options.scenario.is_empty() || options.scenario.iter().any(|name| name == self.name);
        named && (self.kind.is_of_floors() || options.only != Some(Candidate::Ceiling))
    }

    /// All pairs of this scenario. A server that fails once is not asked again.
    fn measure(&self, servers: &[Server], pairs: u32, span: Duration) -> Vec<Row> {
        let mut rows: Vec<Row> = servers.iter().map(|server| self.row(*server)).collect();
        for pair in 1..=pairs {
            let mut open: Vec<&mut Row> = rows.iter_mut().filter(|row| row.failure.is_none()).collect();
            for attempt in 1..=ATTEMPTS {
                let servers: Vec<_> = open.iter().map(|row| row.server).collect();
                let samples = self.kind.pair(&servers, span);
                let mut again = Vec::new();
                for (row, sample) in open.into_iter().zip(samples) {
                    let which = format!("{} {pair}/{pairs} {}", self.name, row.server.name());
                    match sample {
                        Ok(sample) if sample.disturbed && attempt < ATTEMPTS => {
                            eprintln!("{which}: {}; once more, because others had the cores", sample.note);
                            again.push(row);
                        }
                        Ok(sample) => {
                            eprintln!("{which}: {}", sample.note);
                            row.samples.push(sample);
                        }
                        Err(error) => {
                            eprintln!("{which}: FAILED: {error}");
                            row.failure = Some(error.to_string());
                        }
                    }
                }
                open = again;
            }
        }
        rows
    }

    fn row(&self, server: Server) -> Row {
        Row {
            scenario: self.name,
            server,
            unit: self.kind.unit(),
            wanted: match server {
                Server::Mio => Some(self.mio),
                Server::Smol => Some(self.smol),
                Server::Floor | Server::Ceiling | Server::Nginx => None,
            },
            samples: Vec::new(),
            failure: None,
        }
    }
}

//! The plan: which scenarios are measured, in which order, and what is wanted of each.

use std::process::Command;
use std::time::Duration;

use clap::builder::PossibleValuesParser;

use crate::Result;
use crate::dialect::Dialect;
use crate::load::{Pace, Run};
use crate::machine::{self, Busy, Cores};
use crate::measure;
use crate::options::{Candidate, PlanOptions};
use crate::process::{Process, Server};
use crate::report::{self, Row, Sample, Unit, Wanted};
use crate::stats::percentile;

/// Open streams in the idle scenarios.
pub(crate) const IDLE_STREAMS: usize = 9000;

/// The paced scenarios: 50 events a second to 1,000 streams are 50,000 deliveries a second.
const PACED_RATE: u32 = 50;
const PACED_STREAMS: usize = 1000;

/// A pair in which other programs kept floor, server or load waiting for more than this share of the time
/// is measured again, so many times at most.
const KEPT_WAITING_MAX: f64 = 0.05;
const ATTEMPTS: u32 = 3;

/// The filter scenario compares many eventhandlers with few.
const MANY_HANDLERS: usize = 100_000;
const FEW_HANDLERS: usize = 10;

/// What is measured.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Deliveries a second with so many events in flight, over the floor's.
    Throughput { window: u32, subscribers: usize },
    /// 99th percentile of the time from due to delivered, over the floor's.
    Latency,
    /// Bytes per idle stream.
    Idle,
    /// CPU time of publishing against many filters, over that against few.
    Filters,
}

/// A line of the plan.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    name: &'static str,
    dialect: Dialect,
    kind: Kind,
    mio: Wanted,
    smol: Wanted,
}

const W1: Kind = Kind::Throughput { window: 1, subscribers: 1000 };
const W32: Kind = Kind::Throughput { window: 32, subscribers: 1000 };
const W32_5K: Kind = Kind::Throughput { window: 32, subscribers: 5000 };

#[rustfmt::skip]
const SCENARIOS: [Scenario; 11] = {
    use Dialect::{Sse, Xms};
    use Kind::{Filters, Idle, Latency};
    use Wanted::{AtLeast, AtMost};
    [
        Scenario { name: "xms-w1",     dialect: Xms, kind: W1,      mio: AtLeast(0.90),  smol: AtLeast(0.80) },
        Scenario { name: "xms-w32",    dialect: Xms, kind: W32,     mio: AtLeast(12.0),  smol: AtLeast(8.0) },
        Scenario { name: "xms-w32-5k", dialect: Xms, kind: W32_5K,  mio: AtLeast(12.0),  smol: AtLeast(8.0) },
        Scenario { name: "sse-w1",     dialect: Sse, kind: W1,      mio: AtLeast(0.90),  smol: AtLeast(0.80) },
        Scenario { name: "sse-w32",    dialect: Sse, kind: W32,     mio: AtLeast(12.0),  smol: AtLeast(8.0) },
        Scenario { name: "sse-w32-5k", dialect: Sse, kind: W32_5K,  mio: AtLeast(12.0),  smol: AtLeast(8.0) },
        Scenario { name: "xms-p99",    dialect: Xms, kind: Latency, mio: AtMost(1.10),   smol: AtMost(1.20) },
        Scenario { name: "sse-p99",    dialect: Sse, kind: Latency, mio: AtMost(1.10),   smol: AtMost(1.20) },
        Scenario { name: "xms-idle",   dialect: Xms, kind: Idle,    mio: AtMost(600.0),  smol: AtMost(1200.0) },
        Scenario { name: "sse-idle",   dialect: Sse, kind: Idle,    mio: AtMost(600.0),  smol: AtMost(1200.0) },
        Scenario { name: "filters",    dialect: Xms, kind: Filters, mio: AtMost(2.0),    smol: AtMost(2.0) },
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
        drop(Process::start(*server)?);
    }

    let (pairs, span) = (options.pairs(), options.span());
    let mut rows = Vec::new();
    for scenario in SCENARIOS.iter().filter(|scenario| scenario.is_chosen(options)) {
        rows.extend(scenario.measure(&servers, pairs, span));
    }
    let table = report::table(&rows, pairs, span);
    println!("{table}");
    if let Some(file) = &options.write {
        report::write(file, &table)?;
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
        // The floor speaks no dialect, so it has neither their streams nor their filters.
        let against_floor = matches!(self.kind, Kind::Throughput { .. } | Kind::Latency);
        named && (against_floor || options.only != Some(Candidate::Ceiling))
    }

    /// All pairs of this scenario. A server that fails once is not asked again.
    fn measure(&self, servers: &[Server], pairs: u32, span: Duration) -> Vec<Row> {
        let mut rows: Vec<Row> = servers.iter().map(|server| self.row(*server)).collect();
        for pair in 1..=pairs {
            let mut open: Vec<&mut Row> = rows.iter_mut().filter(|row| row.failure.is_none()).collect();
            for attempt in 1..=ATTEMPTS {
                let servers: Vec<_> = open.iter().map(|row| row.server).collect();
                let samples = self.pair(&servers, span);
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
            unit: if matches!(self.kind, Kind::Idle) { Unit::Bytes } else { Unit::Ratio },
            wanted: match server {
                Server::Mio => Some(self.mio),
                Server::Smol => Some(self.smol),
                Server::Floor | Server::Ceiling => None,
            },
            samples: Vec::new(),
            failure: None,
        }
    }

    /// One sample of each server.
    fn pair(&self, servers: &[Server], span: Duration) -> Vec<Result<Sample>> {
        match self.kind {
            Kind::Throughput { .. } | Kind::Latency => self.beside_the_floor(servers, span),
            Kind::Idle => servers.iter().map(|server| self.idle(*server)).collect(),
            Kind::Filters => servers.iter().map(|server| filters(*server, span)).collect(),
        }
    }

    /// Runs the floor right after the first server and right before the second, so that it is the
    /// neighbour of both.
    fn beside_the_floor(&self, servers: &[Server], span: Duration) -> Vec<Result<Sample>> {
        let Some((first, rest)) = servers.split_first() else { return Vec::new() };
        let mut runs = vec![self.deliver(*first, span)];
        let floor = self.deliver(Server::Floor, span);
        runs.extend(rest.iter().map(|server| self.deliver(*server, span)));
        runs.into_iter()
            .map(|run| match &floor {
                Ok(floor) => self.compare(&run?, floor),
                Err(error) => Err(format!("the floor itself failed: {error}").into()),
            })
            .collect()
    }

    fn deliver(&self, server: Server, span: Duration) -> Result<Run> {
        let dialect = if server.package().is_some() { self.dialect } else { Dialect::Floor };
        match self.kind {
            Kind::Throughput { window, subscribers } => {
                measure::delivery(server, dialect, subscribers, Pace::Window(window), span)
            }
            Kind::Latency | Kind::Idle | Kind::Filters => {
                measure::delivery(server, dialect, PACED_STREAMS, Pace::Rate(PACED_RATE), span)
            }
        }
    }

    fn compare(&self, ours: &Run, floor: &Run) -> Result<Sample> {
        let (busy, lower_bound) = (Some(ours.busy), self.is_held_back(ours.busy));
        let cores = format!("cores {} to {}", ours.busy, floor.busy);
        let (value, note) = if matches!(self.kind, Kind::Latency) {
            let (ours_us, floor_us) = (p99_us(ours)?, p99_us(floor)?);
            (ours_us / floor_us, format!("p99 {ours_us:.0} µs to {floor_us:.0} µs"))
        } else {
            let (ours, floor) = (ours.deliveries_per_second(), floor.deliveries_per_second());
            (ours / floor, format!("{ours:.0} to {floor:.0} deliveries a second"))
        };
        let disturbed = ours.kept_waiting.max(floor.kept_waiting) > KEPT_WAITING_MAX;
        Ok(Sample { value, busy, lower_bound, disturbed, note: format!("{value:.3}, {note}, {cores}") })
    }

    /// The load was busier than the server, so the server could have delivered more. A paced load is
    /// always busy, because it spins.
    fn is_held_back(&self, busy: Busy) -> bool {
        matches!(self.kind, Kind::Throughput { .. }) && busy.load > busy.server
    }

    fn idle(&self, server: Server) -> Result<Sample> {
        let value = measure::idle(server, self.dialect, IDLE_STREAMS)?;
        let note = format!("{value:.0} B per idle stream");
        Ok(Sample::plain(value, note))
    }
}

fn filters(server: Server, span: Duration) -> Result<Sample> {
    let few = measure::filters(server, FEW_HANDLERS, span)?;
    let many = measure::filters(server, MANY_HANDLERS, span)?;
    let (value, few_us, many_us) = (many / few, few / 1000.0, many / 1000.0);
    let note = format!("{value:.3}, {many_us:.2} µs to {few_us:.2} µs of CPU time an event");
    Ok(Sample::plain(value, note))
}

fn p99_us(run: &Run) -> Result<f64> {
    let mut latencies_ns = run.latencies_ns.clone();
    Ok(percentile(&mut latencies_ns, 99).ok_or("nothing was delivered")? as f64 / 1000.0)
}

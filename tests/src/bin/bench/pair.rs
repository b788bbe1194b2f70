//! What one pair is: each server once, the floor between them, and the figure that comes of it.

use std::time::Duration;

use crate::Result;
use crate::dialect::Dialect;
use crate::disk;
use crate::hooks::{self, Hooks};
use crate::load::{Pace, Run};
use crate::machine::Busy;
use crate::measure::{self, Log};
use crate::process::Server;
use crate::rate::Rate;
use crate::receiver::Received;
use crate::report::{Sample, Unit};
use crate::sealed;
use crate::stats::percentile;

/// Open streams in the idle scenarios.
pub(crate) const IDLE_STREAMS: usize = 9000;

/// The paced scenarios: 50 events a second to 1,000 streams are 50,000 deliveries a second.
const PACED_RATE: u32 = 50;
const PACED_STREAMS: usize = 1000;

/// Streams behind TLS.
const SEALED_STREAMS: usize = 1000;

/// A pair in which other programs kept floor, server or load waiting for more than this share of the time
/// counts as disturbed.
const KEPT_WAITING_MAX: f64 = 0.05;

/// A load that is busy for less than this share of the time holds nobody back.
const LOAD_BUSY: f64 = 0.8;

/// The filter scenario compares many eventhandlers with few.
const MANY_HANDLERS: usize = 100_000;
const FEW_HANDLERS: usize = 10;

/// So many websockets, and distinct filters of each.
const MANY_SOCKETS: (usize, usize) = (100, 1000);
const FEW_SOCKETS: (usize, usize) = (10, 1);

/// Waiting deliveries in the memory scenario.
const WAITING: u32 = 100_000;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Deliveries a second with so many events in flight, over the floor's.
    FanOut { dialect: Dialect, window: u32, subscribers: usize, log: Log },
    /// 99th percentile of the time from due to delivered, over the floor's.
    Latency(Dialect),
    /// Bytes per idle stream.
    Idle(Dialect),
    /// Deliveries a second behind TLS with one event in flight, over those of nginx.
    Sealed,
    /// Bytes per idle stream behind TLS.
    SealedIdle,
    /// CPU time of publishing against many filters, over that against few.
    Filters,
    /// The same of websockets.
    SocketFilters,
    /// Durable records a second, over those of a file written before.
    Ingest,
    /// Events a second of publishers that wait for each answer: on disk, over in memory.
    Publishers,
    /// Webhooks a second, over those of a bare client.
    Hooks(Hooks),
    /// Bytes per waiting delivery.
    HooksMemory,
}

impl Kind {
    /// What its figures are.
    pub(crate) fn unit(self) -> Unit {
        match self {
            Self::Idle(_) | Self::SealedIdle | Self::HooksMemory => Unit::Bytes,
            Self::FanOut { .. } | Self::Latency(_) | Self::Sealed => Unit::Ratio,
            Self::Filters | Self::SocketFilters => Unit::Ratio,
            Self::Ingest | Self::Publishers | Self::Hooks(_) => Unit::Ratio,
        }
    }

    /// Whether the floor of streams can stand in for a server: it has no dialect's eventhandlers or filters,
    /// and keeps no log.
    pub(crate) fn is_of_floors(self) -> bool {
        matches!(self, Self::FanOut { log: Log::Memory, .. } | Self::Latency(_))
    }

    /// One sample of each server.
    pub(crate) fn pair(self, servers: &[Server], span: Duration) -> Vec<Result<Sample>> {
        match self {
            Self::FanOut { dialect, window, subscribers, log } => {
                let run = |server, log, dialect| {
                    Ok(measure::delivery(server, log, dialect, subscribers, Pace::Window(window), span)?.rate)
                };
                let ours = |server| run(server, log, words(server, dialect));
                let floor = |_: &Rate| run(Server::Floor, Log::Memory, dialect.on_the_floor());
                beside_the_floor(servers, ours, floor, |ours, floor| Ok(compare(ours, floor, "deliveries")))
            }
            Self::Latency(dialect) => {
                let run = |server| {
                    let (dialect, pace) = (words(server, dialect), Pace::Rate(PACED_RATE));
                    measure::delivery(server, Log::Memory, dialect, PACED_STREAMS, pace, span)
                };
                beside_the_floor(servers, run, |_| run(Server::Floor), compare_latencies)
            }
            Self::Idle(dialect) => each(servers, |server| idle(server, dialect)),
            Self::Sealed => {
                let run = |server| sealed::delivery(server, SEALED_STREAMS, Pace::Window(1), span);
                let compare = |ours: &Rate, nginx: &Rate| Ok(compare(ours, nginx, "deliveries"));
                beside_the_floor(servers, run, |_| run(Server::Nginx), compare)
            }
            Self::SealedIdle => each(servers, |server| {
                let value = sealed::idle(server, IDLE_STREAMS)?;
                Ok(Sample::plain(value, format!("{value:.0} B per idle stream behind TLS")))
            }),
            Self::Filters => each(servers, |server| {
                filters(|handlers| measure::filters(server, handlers, span), FEW_HANDLERS, MANY_HANDLERS)
            }),
            Self::SocketFilters => each(servers, |server| {
                let cpu_ns = |(sockets, each)| measure::socket_filters(server, sockets, each, span);
                filters(cpu_ns, FEW_SOCKETS, MANY_SOCKETS)
            }),
            Self::Ingest => {
                let ours = |server| measure::ingest(server, span);
                let compare = |ours: &Rate, floor: &Rate| Ok(compare(ours, floor, "records"));
                beside_the_floor(servers, ours, |_| disk::floor(span), compare)
            }
            Self::Publishers => each(servers, |server| publishers(server, span)),
            Self::Hooks(hooks) => {
                let count = hooks::backlog(span);
                let ours = |server| hooks::deliver(server, hooks, count);
                let floor = |first: &Received| hooks::floor(&first.first, count);
                beside_the_floor(servers, ours, floor, |ours, floor| {
                    let sample = compare(&ours.rate, &floor.rate, "webhooks");
                    // Client and receiver cost nearly the same; where the receiver was the slower one, the floor is
                    // higher than what was measured.
                    let held =
                        if is_held_back(floor.rate.busy) { ", the receiver held the floor back" } else { "" };
                    let note = format!("{}, {} B a request{held}", sample.note, ours.first.len());
                    Ok(Sample { note, ..sample })
                })
            }
            Self::HooksMemory => each(servers, |server| {
                let value = hooks::memory(server, WAITING)?;
                Ok(Sample::plain(value, format!("{value:.1} B per waiting delivery")))
            }),
        }
    }
}

/// What is said to a server: a floor has a dialect of its own.
fn words(server: Server, dialect: Dialect) -> Dialect {
    if server.package().is_some() { dialect } else { dialect.on_the_floor() }
}

fn each(servers: &[Server], sample: impl Fn(Server) -> Result<Sample>) -> Vec<Result<Sample>> {
    servers.iter().map(|server| sample(*server)).collect()
}

/// Runs the floor right after the first server that can be measured, and right before the next, so that it
/// is the neighbour of both. The floor is told what that first run showed.
fn beside_the_floor<R>(
    servers: &[Server],
    ours: impl Fn(Server) -> Result<R>,
    floor: impl Fn(&R) -> Result<R>,
    compare: impl Fn(&R, &R) -> Result<Sample>,
) -> Vec<Result<Sample>> {
    let mut floors = None;
    let mut runs = Vec::with_capacity(servers.len());
    for server in servers {
        let run = ours(*server);
        if let (Ok(run), None) = (&run, &floors) {
            floors = Some(floor(run));
        }
        runs.push(run);
    }
    let against_the_floor = |run: Result<R>| match (run?, &floors) {
        (run, Some(Ok(floor))) => compare(&run, floor),
        (_, Some(Err(error))) => Err(format!("the floor itself failed: {error}").into()),
        (_, None) => Err("the floor was not measured".into()),
    };
    runs.into_iter().map(against_the_floor).collect()
}

fn compare(ours: &Rate, floor: &Rate, what: &str) -> Sample {
    let (first, second) = (ours.per_second(), floor.per_second());
    let value = first / second;
    let (mine, its) = (ours.busy, floor.busy);
    Sample {
        value,
        busy: Some(mine),
        lower_bound: is_held_back(mine),
        disturbed: is_disturbed(ours, floor),
        note: format!("{value:.3}, {first:.0} to {second:.0} {what} a second, cores {mine} to {its}"),
    }
}

fn compare_latencies(ours: &Run, floor: &Run) -> Result<Sample> {
    let (first, second) = (p99_us(ours)?, p99_us(floor)?);
    let value = first / second;
    let (mine, its) = (ours.rate.busy, floor.rate.busy);
    Ok(Sample {
        value,
        busy: Some(mine),
        // A paced load is always busy, because it spins.
        lower_bound: false,
        disturbed: is_disturbed(&ours.rate, &floor.rate),
        note: format!("{value:.3}, p99 {first:.0} µs to {second:.0} µs, cores {mine} to {its}"),
    })
}

/// The load was busy, and busier than the server, so the server could have done more. Where neither is
/// busy, both wait for the disk.
fn is_held_back(busy: Busy) -> bool {
    busy.load > busy.server && busy.load > LOAD_BUSY
}

fn is_disturbed(ours: &Rate, floor: &Rate) -> bool {
    ours.kept_waiting.max(floor.kept_waiting) > KEPT_WAITING_MAX
}

fn publishers(server: Server, span: Duration) -> Result<Sample> {
    let durable = measure::publishers(server, Log::Disk, span)?;
    let in_memory = measure::publishers(server, Log::Memory, span)?;
    Ok(compare(&durable, &in_memory, "events"))
}

fn idle(server: Server, dialect: Dialect) -> Result<Sample> {
    let value = measure::idle(server, dialect, IDLE_STREAMS)?;
    Ok(Sample::plain(value, format!("{value:.0} B per idle stream")))
}

fn filters<T>(cpu_ns: impl Fn(T) -> Result<f64>, few: T, many: T) -> Result<Sample> {
    let (few, many) = (cpu_ns(few)?, cpu_ns(many)?);
    let (value, few_us, many_us) = (many / few, few / 1000.0, many / 1000.0);
    let note = format!("{value:.3}, {many_us:.2} µs to {few_us:.2} µs of CPU time an event");
    Ok(Sample::plain(value, note))
}

fn p99_us(run: &Run) -> Result<f64> {
    let mut latencies_ns = run.latencies_ns.clone();
    Ok(percentile(&mut latencies_ns, 99).ok_or("nothing was delivered")? as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(done: u64, server: f64, load: f64, kept_waiting: f64) -> Rate {
        Rate { done, wall: Duration::from_secs(2), busy: Busy { server, load }, kept_waiting }
    }

    #[test]
    fn a_figure_is_ours_over_the_floors() {
        let sample = compare(&rate(300, 0.9, 0.5, 0.0), &rate(400, 0.9, 0.5, 0.0), "records");
        assert!((sample.value - 0.75).abs() < 1e-9 && !sample.lower_bound && !sample.disturbed);
        assert!(sample.note.starts_with("0.750, 150 to 200 records a second"), "{}", sample.note);
        let sample = compare(&rate(300, 0.5, 0.9, 0.0), &rate(400, 0.9, 0.5, 0.06), "records");
        assert!(sample.lower_bound && sample.disturbed);
        let sample = compare(&rate(300, 0.3, 0.5, 0.0), &rate(400, 0.9, 0.5, 0.0), "records");
        assert!(!sample.lower_bound, "both wait for the disk");
    }

    #[test]
    fn the_floor_runs_once_beside_the_first_that_works() {
        let order = std::cell::RefCell::new(Vec::new());
        let ours = |server: Server| {
            order.borrow_mut().push(server.name());
            if server == Server::Mio { Err("broken".into()) } else { Ok(7) }
        };
        let floor = |first: &i32| {
            order.borrow_mut().push("floor");
            Ok(first + 1)
        };
        let compare = |ours: &i32, floor: &i32| Ok(Sample::plain(f64::from(ours * floor), String::new()));
        let samples = beside_the_floor(&[Server::Mio, Server::Smol, Server::Ceiling], ours, floor, compare);
        assert_eq!(*order.borrow(), ["mio", "smol", "floor", "ceiling"]);
        let values: Vec<_> = samples.into_iter().map(|sample| sample.ok().map(|it| it.value)).collect();
        assert_eq!(values, [None, Some(56.0), Some(56.0)]);
    }
}

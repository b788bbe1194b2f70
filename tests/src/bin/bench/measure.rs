//! One run of each kind, against one fresh server each, so that nothing is left over from the run before.

use std::net::SocketAddr;
use std::time::Duration;

use crate::Result;
use crate::dialect::{Dialect, create_handler, handler_href, open_handler};
use crate::fleet::Fleet;
use crate::http::Client;
use crate::load::{Load, Pace, Run};
use crate::machine::{self, Cores};
use crate::options::{IdleOptions, LoadOptions};
use crate::process::{Process, Scheduled, Server, settled_memory};
use crate::stats::percentile;

/// The subject of events to everybody.
const SUBJECT: &str = "call/1";

/// The one handler that matches in [`filters`], among few and among many.
const MATCHING_HANDLER: usize = 7;

/// Publish requests in flight in [`filters`].
const FILTER_BURST: u32 = 32;

/// Eventhandlers created with one write.
const CREATED_AT_ONCE: usize = 50;

/// Starts `server`, hands it to `measure`, and lets an error say how the server fared.
fn with<T>(server: Server, measure: impl FnOnce(&Process) -> Result<T>) -> Result<T> {
    let mut process = Process::start(server)?;
    measure(&process).map_err(|error| process.explain(error))
}

/// Delivers events to `subscribers` streams for `span`.
pub(crate) fn delivery(
    server: Server,
    dialect: Dialect,
    subscribers: usize,
    pace: Pace,
    span: Duration,
) -> Result<Run> {
    with(server, |process| {
        let mut load = subscribe(process.address(), dialect, subscribers)?;
        let both = [process.id(), std::process::id()];
        let before = both.map(Scheduled::of);
        let mut run = load.run(pace, span)?;
        for (before, after) in before.into_iter().zip(both.map(Scheduled::of)) {
            let waited = Duration::from_nanos(after?.waited_ns.saturating_sub(before?.waited_ns));
            run.kept_waiting = run.kept_waiting.max(waited.div_duration_f64(run.wall));
        }
        Ok(run)
    })
}

fn subscribe(address: SocketAddr, dialect: Dialect, subscribers: usize) -> Result<Load> {
    let fleet = Fleet::open(address, &dialect.subscription(address)?, subscribers)?;
    Load::start(address, dialect, SUBJECT, fleet)
}

/// Bytes of private memory per open stream that waits for events.
pub(crate) fn idle(server: Server, dialect: Dialect, streams: usize) -> Result<f64> {
    with(server, |process| memory_per_stream(process.address(), process.id(), dialect, streams))
}

fn memory_per_stream(address: SocketAddr, pid: u32, dialect: Dialect, streams: usize) -> Result<f64> {
    let request = dialect.subscription(address)?;
    let before = settled_memory(pid)?;
    let mut fleet = Fleet::open(address, &request, streams)?;
    let after = settled_memory(pid)?;
    // A stream that was closed meanwhile costs nothing, and must not pass for a cheap one.
    fleet.drain()?;
    Ok((after as f64 - before as f64) / streams as f64)
}

/// Nanoseconds of the server's CPU time for one event, published against `handlers` eventhandlers with
/// distinct resource ids. Exactly one of them matches; its stream is open, which proves the match.
pub(crate) fn filters(server: Server, handlers: usize, span: Duration) -> Result<f64> {
    with(server, |process| {
        let address = process.address();
        let href = create_handlers(address, handlers)?;
        let fleet = Fleet::open(address, &open_handler(address, &href), 1)?;
        let subject = format!("call/call-{MATCHING_HANDLER}");
        let mut load = Load::start(address, Dialect::Xms, &subject, fleet)?;
        let before = Scheduled::of(process.id())?;
        let run = load.run(Pace::Bursts(FILTER_BURST), span)?;
        let after = Scheduled::of(process.id())?;
        Ok(after.ran_ns.saturating_sub(before.ran_ns) as f64 / f64::from(run.events))
    })
}

/// Creates eventhandlers `call-0`, `call-1` … and returns the path of the matching one.
fn create_handlers(address: SocketAddr, count: usize) -> Result<String> {
    let mut client = Client::connect(address)?;
    let mut hrefs = Vec::with_capacity(count);
    while hrefs.len() < count {
        let numbers = hrefs.len()..count.min(hrefs.len() + CREATED_AT_ONCE);
        let requests: Vec<u8> = numbers
            .clone()
            .map(|number| format!(r#"<eventsubscribe resource_id="call-{number}" resource_type="call"/>"#))
            .flat_map(|subscription| create_handler(address, &subscription))
            .collect();
        for reply in client.exchange(&requests, numbers.len())? {
            hrefs.push(handler_href(Some((reply.status, &reply.body)))?);
        }
    }
    Ok(hrefs.swap_remove(MATCHING_HANDLER))
}

/// The load alone, against a server that somebody else has started.
pub(crate) fn load_by_hand(options: &LoadOptions) -> Result<()> {
    machine::raise_file_limit();
    machine::pin(Cores::of_this_machine().load)?;
    let pace = options.rate.map_or(Pace::Window(options.window), Pace::Rate);
    let span = Duration::from_secs(options.seconds);
    let mut run = subscribe(options.address, options.dialect, options.subscribers)?.run(pace, span)?;
    println!("{} events, {} deliveries, none lost", run.events, run.deliveries);
    println!("{:.0} deliveries a second", run.deliveries_per_second());
    println!("busy cores: {} (server, load)", run.busy);
    for percent in [50, 99] {
        if let Some(ns) = percentile(&mut run.latencies_ns, percent) {
            println!("p{percent}: {:.0} µs", ns as f64 / 1000.0);
        }
    }
    Ok(())
}

/// The memory of idle streams alone, of a server that somebody else has started.
pub(crate) fn idle_by_hand(options: &IdleOptions) -> Result<()> {
    machine::raise_file_limit();
    machine::pin(Cores::of_this_machine().load)?;
    let bytes = memory_per_stream(options.address, options.pid, options.dialect, options.streams)?;
    println!("{bytes:.0} B of private memory (RssAnon) per idle stream, over {}", options.streams);
    Ok(())
}

//! One run of each kind, against one fresh server each, so that nothing is left over from the run before.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use crate::Result;
use crate::dialect::{
    Dialect, Template, create_handler, filter_message, handler_href, is_success, open_handler,
};
use crate::disk::GROUP_RECORDS;
use crate::fleet::Fleet;
use crate::flow::{Flow, Until};
use crate::folder::Folder;
use crate::http::Client;
use crate::load::{Load, Pace, Run};
use crate::machine::{self, Cores};
use crate::options::{IdleOptions, LoadOptions, PublishOptions};
use crate::process::{Process, Scheduled, Server, Setup, settled_memory};
use crate::rate::Rate;
use crate::stats::percentile;

/// The subject of events to everybody.
const SUBJECT: &str = "call/1";

/// The one handler that matches in [`filters`], among few and among many.
const MATCHING_HANDLER: usize = 7;

/// Publish requests in flight in [`filters`].
const FILTER_BURST: u32 = 32;

/// Eventhandlers created with one write.
const CREATED_AT_ONCE: usize = 50;

/// Durable ingest: 32 requests of a hundred events in flight.
const INGEST_CONNECTIONS: usize = 4;
const INGEST_DEPTH: u32 = 8;

/// Publishers of single events.
const PUBLISHERS: usize = 64;

/// Where a server keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    /// In memory (`--data none`).
    Memory,
    /// In a fresh folder on a disk (`--data FOLDER`).
    Disk,
}

/// Starts `server` with its log in `folder`, if it is to be on disk, and perhaps with a config file; hands
/// it to `measure`, and lets an error say how the server fared.
pub(crate) fn with<T>(
    server: Server,
    log: Log,
    config: Option<&str>,
    measure: impl FnOnce(&Process) -> Result<T>,
) -> Result<T> {
    let folder = if log == Log::Disk || config.is_some() { Some(Folder::on_disk()?) } else { None };
    let mut setup = Setup::default();
    if let Some(folder) = &folder {
        setup.data = (log == Log::Disk).then(|| folder.file("data"));
        setup.config = config.map(|text| folder.write("offhook.toml", text.as_bytes())).transpose()?;
    }
    let mut process = Process::start(server, &setup)?;
    measure(&process).map_err(|error| process.explain(error))
}

/// Delivers events to `subscribers` streams for `span`.
pub(crate) fn delivery(
    server: Server,
    log: Log,
    dialect: Dialect,
    subscribers: usize,
    pace: Pace,
    span: Duration,
) -> Result<Run> {
    with(server, log, dialect.config(), |process| {
        subscribe(process.address(), dialect, subscribers)?.run(pace, span, &[process.id()])
    })
}

/// Publishes requests of [`GROUP_RECORDS`] events for `span`, as many in flight as pay.
pub(crate) fn ingest(server: Server, span: Duration) -> Result<Rate> {
    with(server, Log::Disk, None, |process| {
        let template = Template::batch(process.address(), GROUP_RECORDS);
        let mut flow = Flow::connect(process.address(), &template, INGEST_CONNECTIONS, INGEST_DEPTH)?;
        flow.warm_up()?;
        flow.run(Until::Span(span), &[process.id()])
    })
}

/// Publishes single events for `span` over many connections, one request in flight on each.
pub(crate) fn publishers(server: Server, log: Log, span: Duration) -> Result<Rate> {
    with(server, log, None, |process| {
        let template = Template::single(process.address());
        let mut flow = Flow::connect(process.address(), &template, PUBLISHERS, 1)?;
        flow.warm_up()?;
        flow.run(Until::Span(span), &[process.id()])
    })
}

fn subscribe(address: SocketAddr, dialect: Dialect, subscribers: usize) -> Result<Load> {
    Load::start(address, dialect, SUBJECT, dialect.open(address, subscribers)?)
}

/// Bytes of private memory per open stream that waits for events.
pub(crate) fn idle(server: Server, dialect: Dialect, streams: usize) -> Result<f64> {
    with(server, Log::Memory, dialect.config(), |process| {
        memory_per_stream(process.address(), process.id(), dialect, streams)
    })
}

fn memory_per_stream(address: SocketAddr, pid: u32, dialect: Dialect, streams: usize) -> Result<f64> {
    // What the first of all costs (an eventhandler, a password that is checked) is no cost of a stream.
    drop(dialect.open(address, 1)?);
    let before = settled_memory(pid)?;
    let mut fleet = dialect.open(address, streams)?;
    if dialect == Dialect::Ws {
        let filters = |index| filter_message(&[("type", "hangup"), ("username", &agent(index))]);
        fleet.say(filters, is_success)?;
    }
    let after = settled_memory(pid)?;
    // A stream that was closed meanwhile costs nothing, and must not pass for a cheap one.
    fleet.drain()?;
    Ok((after as f64 - before as f64) / streams as f64)
}

/// Nanoseconds of the server's CPU time for one event, published against `handlers` eventhandlers with
/// distinct resource ids. Exactly one of them matches; its stream is open, which proves the match.
pub(crate) fn filters(server: Server, handlers: usize, span: Duration) -> Result<f64> {
    with(server, Log::Memory, None, |process| {
        let address = process.address();
        let href = create_handlers(address, handlers)?;
        let fleet = Fleet::open(address, &open_handler(address, &href), 1)?;
        let subject = format!("call/call-{MATCHING_HANDLER}");
        cpu_per_event(&mut Load::start(address, Dialect::Xms, &subject, fleet)?, process.id(), span)
    })
}

/// The same of `sockets` websockets with `each` distinct filters each. The one that matches stands with the
/// first of them; nothing reaches the others.
pub(crate) fn socket_filters(server: Server, sockets: usize, each: usize, span: Duration) -> Result<f64> {
    with(server, Log::Memory, Dialect::Ws.config(), |process| {
        let address = process.address();
        let open = |sockets: Range<usize>| {
            let mut fleet = Dialect::Ws.open(address, sockets.len())?;
            fleet.say(
                |index| name_agents(each * (sockets.start + index)..each * (sockets.start + index + 1)),
                is_success,
            )?;
            Ok::<_, crate::Error>(fleet)
        };
        let (fleet, mut others) = (open(0..1)?, open(1..sockets)?);
        let subject = agent(each - 1);
        let mut load = Load::start(address, Dialect::Ws, &subject, fleet)?;
        let cpu_ns = cpu_per_event(&mut load, process.id(), span)?;
        others.drain()?;
        Ok(cpu_ns)
    })
}

/// The message that filters for these agents, whichever of them an event names.
fn name_agents(numbers: Range<usize>) -> String {
    let names: Vec<_> = numbers.map(agent).collect();
    let filters: Vec<_> = names.iter().map(|name| ("username", name.as_str())).collect();
    filter_message(&filters)
}

fn agent(number: usize) -> String {
    format!("agent-{number}")
}

/// Nanoseconds of the server's CPU time for one event of a load.
fn cpu_per_event(load: &mut Load, pid: u32, span: Duration) -> Result<f64> {
    let before = Scheduled::of(pid)?;
    let run = load.run(Pace::Bursts(FILTER_BURST), span, &[])?;
    let after = Scheduled::of(pid)?;
    Ok(after.ran_ns.saturating_sub(before.ran_ns) as f64 / f64::from(run.events))
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
    let mut run = subscribe(options.address, options.dialect, options.subscribers)?.run(pace, span, &[])?;
    println!("{} events, {} deliveries, none lost", run.events, run.rate.done);
    println!("{:.0} deliveries a second", run.rate.per_second());
    println!("busy cores: {} (server, load)", run.rate.busy);
    for percent in [50, 99] {
        if let Some(ns) = percentile(&mut run.latencies_ns, percent) {
            println!("p{percent}: {:.0} µs", ns as f64 / 1000.0);
        }
    }
    Ok(())
}

/// Publishers alone, against a server that somebody else has started.
pub(crate) fn publish_by_hand(options: &PublishOptions) -> Result<()> {
    machine::pin(Cores::of_this_machine().load)?;
    let template = Template::batch(options.address, options.batch);
    let mut flow = Flow::connect(options.address, &template, options.connections, options.depth)?;
    flow.warm_up()?;
    let rate = flow.run(Until::Span(Duration::from_secs(options.seconds)), &[])?;
    println!("{} events, all accepted; {:.0} a second", rate.done, rate.per_second());
    println!("busy cores: {} (server, load)", rate.busy);
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

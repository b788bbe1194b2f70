//! Webhooks: a backlog of events with distinct subjects is built while nobody answers, then the receiver
//! begins to answer and counts.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Result;
use crate::dialect::Template;
use crate::disk::GROUP_RECORDS;
use crate::flow::{Flow, Until};
use crate::folder::Folder;
use crate::measure::{Log, with};
use crate::process::{Process, Server, settled_memory};
use crate::receiver::{Expect, Received, Receiver};

/// Requests in flight.
pub(crate) const CONCURRENCY: usize = 32;

/// Deliveries of a whole run, and of one that is to last so many seconds.
const BACKLOG: u32 = 200_000;
const BACKLOG_PER_SECOND: u32 = 40_000;

/// Requests of the backlog's publisher in flight.
const PUBLISHER_DEPTH: u32 = 8;

/// A server gives a request up after 15 s without an answer. A backlog that takes longer than this would be
/// measured with the retries of the first requests.
const HELD_MAX: Duration = Duration::from_secs(12);

/// Which webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hooks {
    /// Unsigned, records in memory.
    Plain,
    /// Signed, the log on disk.
    Durable,
}

/// How many deliveries a run of this length has.
pub(crate) fn backlog(span: Duration) -> u32 {
    let seconds = u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
    // Whole requests, so that every event of them is counted.
    BACKLOG_PER_SECOND.saturating_mul(seconds).min(BACKLOG)
}

/// Delivers a backlog of `count` events.
pub(crate) fn deliver(server: Server, hooks: Hooks, count: u32) -> Result<Received> {
    let mut receiver = Receiver::bind()?;
    let (log, secret) = match hooks {
        Hooks::Plain => (Log::Memory, ""),
        Hooks::Durable => (Log::Disk, SECRET),
    };
    let config = config(receiver.address()?, "*", secret);
    with(server, log, Some(&config), |process| {
        let begin = Instant::now();
        publish(process.address(), count)
            .map_err(|error| format!("the backlog of {count} events was not built: {error}"))?;
        let held = begin.elapsed();
        if held > HELD_MAX {
            return Err(format!("the backlog took {held:.1?}: its first requests are being retried").into());
        }
        receiver
            .receive(count, Expect::Distinct, &[process.id()])
            .map_err(|error| format!("of a backlog built in {held:.1?}: {error}").into())
    })
}

/// The floor: a client on the server's core that sends the same `request` so often.
pub(crate) fn floor(request: &[u8], count: u32) -> Result<Received> {
    let folder = Folder::on_disk()?;
    let mut receiver = Receiver::bind()?;
    let file = folder.write("request", request)?;
    let address = receiver.address()?.to_string();
    let connections = CONCURRENCY.to_string();
    let arguments = ["hook-floor", "--address", &address, "--connections", &connections, "--request"];
    let arguments = [&arguments.map(OsString::from)[..], &[file.into()]].concat();
    let mut process = Process::start_client(&arguments)?;
    receiver.receive(count, Expect::Same, &[process.id()]).map_err(|error| process.explain(error))
}

/// Private bytes per waiting delivery: those of `count` events that wait for a receiver, without those of
/// the same events where the only webhook wants none of them. What the log and the streams keep of an
/// event is the same in both.
pub(crate) fn memory(server: Server, count: u32) -> Result<f64> {
    let waiting = memory_of(server, "*", count)?;
    let unwanted = memory_of(server, "call.ringing", count)?;
    Ok((waiting as f64 - unwanted as f64) / f64::from(count))
}

fn memory_of(server: Server, types: &str, count: u32) -> Result<u64> {
    let receiver = Receiver::bind()?;
    let config = config(receiver.address()?, types, "") + RETAIN;
    with(server, Log::Memory, Some(&config), |process| {
        let before = settled_memory(process.id())?;
        publish(process.address(), count)
            .map_err(|error| format!("{count} events were not published: {error}"))?;
        Ok(settled_memory(process.id())?.saturating_sub(before))
    })
}

/// Publishes `count` events, each with a subject of its own.
fn publish(address: SocketAddr, count: u32) -> Result<()> {
    let template = Template::batch(address, GROUP_RECORDS);
    let mut flow = Flow::connect(address, &template, 1, PUBLISHER_DEPTH)?;
    let rate = flow.run(Until::Events(count), &[])?;
    if rate.done == u64::from(count) {
        return Ok(());
    }
    Err(format!("{} events were published instead of {count}", rate.done).into())
}

/// Room for all events of a run, so that none that waits has left the streams' memory.
const RETAIN: &str = "[log]\nretain = { age = \"24h\", bytes = \"1GiB\" }\n";

/// The key of the signed webhook: it protects nothing.
const SECRET: &str = "secret = \"whsec_b2ZmaG9vayBiZW5jaG1hcmsgc2VjcmV0IQ==\"\n";

fn config(receiver: SocketAddr, types: &str, secret: &str) -> String {
    format!(
        "[[webhook]]\nname = \"bench\"\nurl = \"http://{receiver}/hook\"\ntypes = [\"{types}\"]\n\
         concurrency = {CONCURRENCY}\n{secret}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_has_whole_requests() {
        for (seconds, count) in [(1, 40_000), (5, BACKLOG), (60, BACKLOG), (u64::MAX, BACKLOG)] {
            assert_eq!(backlog(Duration::from_secs(seconds)), count);
            assert!(count.is_multiple_of(GROUP_RECORDS));
        }
    }

    #[test]
    fn the_config_names_the_receiver() {
        let receiver = SocketAddr::from(([127, 0, 0, 1], 9000));
        let expected = "[[webhook]]\nname = \"bench\"\nurl = \"http://127.0.0.1:9000/hook\"\n\
                        types = [\"*\"]\nconcurrency = 32\n";
        assert_eq!(config(receiver, "*", ""), expected);
        assert!(config(receiver, "*", SECRET).starts_with(expected));
    }
}

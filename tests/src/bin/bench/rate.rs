//! What a run comes to: so many done in so much time, who had the cores, and who had to wait for them.

use std::time::{Duration, Instant};

use crate::Result;
use crate::machine::{Busy, CoreClock};
use crate::process::Scheduled;

/// So many of something in so much time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// How many: deliveries, records or events.
    pub(crate) done: u64,
    /// How long they took.
    pub(crate) wall: Duration,
    /// How busy both cores were.
    pub(crate) busy: Busy,
    /// The share of the time in which other programs kept the server or the load waiting, whichever is
    /// larger; known to those who know the server's process.
    pub(crate) kept_waiting: f64,
}

impl Rate {
    /// How many a second.
    pub(crate) fn per_second(&self) -> f64 {
        self.done as f64 / self.wall.as_secs_f64()
    }
}

/// Notes what a [`Rate`] needs, from the beginning of a run to its end.
#[derive(Debug)]
pub(crate) struct Watch {
    begin: Instant,
    cores: CoreClock,
    /// Those on the server's core.
    servers: Vec<(u32, Scheduled)>,
    /// This one, if it is on the load's.
    load: Vec<(u32, Scheduled)>,
}

impl Watch {
    /// The run begins. `servers` are the processes on the server's core; this one is on the load's, unless
    /// it is among them.
    pub(crate) fn start(servers: &[u32]) -> Result<Self> {
        let this = std::process::id();
        let read = |id| Ok((id, Scheduled::of(id)?));
        let load = Some(this).filter(|this| !servers.contains(this));
        let servers = servers.iter().copied().map(read).collect::<Result<_>>()?;
        let load = load.into_iter().map(read).collect::<Result<_>>()?;
        Ok(Self { servers, load, cores: CoreClock::read()?, begin: Instant::now() })
    }

    /// The run began just now, after all: nothing before counts but who had the cores.
    pub(crate) fn restart(&mut self) {
        self.begin = Instant::now();
    }

    /// The run is over, and so many are done.
    pub(crate) fn stop(self, done: u64) -> Result<Rate> {
        let wall = self.begin.elapsed();
        let busy = self.cores.busy_since()?;
        let server = kept_waiting(&self.servers, wall, busy.server)?;
        let load = kept_waiting(&self.load, wall, busy.load)?;
        Ok(Rate { done, wall, busy, kept_waiting: server.max(load) })
    }
}

/// The share of the time in which processes that have a core to themselves were kept from it by others.
/// Threads of theirs that wait for each other do not count: others cannot have had more of the core than
/// what its owners left.
fn kept_waiting(before: &[(u32, Scheduled)], wall: Duration, core_busy: f64) -> Result<f64> {
    let (mut ran_ns, mut waited_ns) = (0, 0);
    for (id, before) in before {
        let after = Scheduled::of(*id)?;
        ran_ns += after.ran_ns.saturating_sub(before.ran_ns);
        waited_ns += after.waited_ns.saturating_sub(before.waited_ns);
    }
    let share = |ns| Duration::from_nanos(ns).div_duration_f64(wall);
    Ok(others_share(share(ran_ns), share(waited_ns), core_busy))
}

fn others_share(ran: f64, waited: f64, core_busy: f64) -> f64 {
    waited.min((core_busy - ran).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_done_by_time() {
        let wall = Duration::from_millis(500);
        let rate = Rate { done: 100, wall, busy: Busy::default(), kept_waiting: 0.0 };
        assert!((rate.per_second() - 200.0).abs() < 1e-9);
    }

    #[test]
    fn threads_that_wait_for_each_other_are_not_kept_waiting_by_others() {
        let nearly = |share: f64, expected: f64| (share - expected).abs() < 1e-9;
        assert!(nearly(others_share(0.9, 0.5, 1.0), 0.1));
        assert!(nearly(others_share(0.9, 0.02, 1.0), 0.02));
        assert!(nearly(others_share(1.01, 0.5, 1.0), 0.0));
    }

    #[test]
    fn a_watch_counts_from_its_last_start() {
        let begin = Instant::now();
        let mut watch = Watch::start(&[]).expect("our own process");
        while begin.elapsed() < Duration::from_millis(20) {}
        watch.restart();
        let restarted = Instant::now();
        let rate = watch.stop(7).expect("our own process");
        assert_eq!(rate.done, 7);
        assert!(rate.wall <= restarted.elapsed() + Duration::from_millis(1));
        assert!(rate.wall < begin.elapsed() - Duration::from_millis(15));
    }
}

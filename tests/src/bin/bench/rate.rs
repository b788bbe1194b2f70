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
    processes: Vec<(u32, Scheduled)>,
}

impl Watch {
    /// The run begins. `processes` are those that take part beside this one.
    pub(crate) fn start(processes: &[u32]) -> Result<Self> {
        let all = processes.iter().copied().chain([std::process::id()]);
        let processes = all.map(|id| Ok((id, Scheduled::of(id)?))).collect::<Result<_>>()?;
        Ok(Self { cores: CoreClock::read()?, processes, begin: Instant::now() })
    }

    /// The run began just now, after all: nothing before counts but who had the cores.
    pub(crate) fn restart(&mut self) {
        self.begin = Instant::now();
    }

    /// The run is over, and so many are done.
    pub(crate) fn stop(self, done: u64) -> Result<Rate> {
        let wall = self.begin.elapsed();
        let mut kept_waiting = 0.0_f64;
        for (id, before) in self.processes {
            let waited_ns = Scheduled::of(id)?.waited_ns.saturating_sub(before.waited_ns);
            kept_waiting = kept_waiting.max(Duration::from_nanos(waited_ns).div_duration_f64(wall));
        }
        Ok(Rate { done, wall, busy: self.cores.busy_since()?, kept_waiting })
    }
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

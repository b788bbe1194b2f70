//! The load: a publisher and its subscribers, driven in one loop on one core.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Result;
use crate::dialect::Dialect;
use crate::fleet::Fleet;
use crate::publish::Publisher;
use crate::rate::{Rate, Watch};

/// Without any progress for this long, what is missing counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Events that are delivered one by one before anything is measured.
const WARM_UP_EVENTS: u32 = 5;

/// When the next event is published.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As soon as fewer than this many events are in flight, on average over the subscribers. HTTP
    /// pipelining is as deep as the window.
    Window(u32),
    /// This many at once, as soon as nothing is in flight.
    Bursts(u32),
    /// This many a second, whether or not the server keeps up.
    Rate(u32),
}

/// What one run showed. That nothing was lost is implied: a run with a loss is an error.
#[derive(Debug)]
pub(crate) struct Run {
    /// Events published.
    pub(crate) events: u32,
    /// From due time to delivery, in nanoseconds; kept for paced runs alone.
    pub(crate) latencies_ns: Vec<u64>,
    /// Deliveries (events times subscribers), from the first publication to the last delivery.
    pub(crate) rate: Rate,
}

/// A publisher and its subscribers.
pub(crate) struct Load {
    fleet: Fleet,
    publisher: Publisher,
    epoch: Instant,
    delivered: u64,
}

impl Load {
    /// Connects a publisher of events about `subject` to a fleet, and warms the server up.
    pub(crate) fn start(address: SocketAddr, dialect: Dialect, subject: &str, fleet: Fleet) -> Result<Self> {
        let publisher = Publisher::connect(address, dialect, dialect.publication(address, subject))?;
        fleet.add_guest(publisher.stream())?;
        let mut load = Self { fleet, publisher, epoch: Instant::now(), delivered: 0 };
        for _ in 0..WARM_UP_EVENTS {
            load.publisher.publish(load.now_ns());
            load.settle()?;
        }
        Ok(load)
    }

    /// Publishes for `span`, then waits until everything is delivered and answered. `processes` are the
    /// server's, as far as they are known.
    pub(crate) fn run(&mut self, pace: Pace, span: Duration, processes: &[u32]) -> Result<Run> {
        let (published, delivered) = (self.publisher.published(), self.delivered);
        let (watch, begin_ns) = (Watch::start(processes)?, self.now_ns());
        let end_ns = begin_ns + span.as_nanos() as u64;
        let mut due_ns = begin_ns;
        let mut latencies_ns = Vec::new();

        // A paced loop spins, because waking from a wait would be late by more than a delivery takes.
        let paced = matches!(pace, Pace::Rate(_));
        let timeout = if paced { Duration::ZERO } else { Duration::from_millis(10) };
        let mut progress_at = Instant::now();
        loop {
            let now_ns = self.now_ns();
            match pace {
                Pace::Window(window) if now_ns < end_ns => self.fill_window(window, now_ns),
                Pace::Bursts(burst) if now_ns < end_ns && self.is_settled() => {
                    self.fill_window(burst, now_ns)
                }
                Pace::Rate(rate) => {
                    while due_ns <= now_ns && due_ns < end_ns {
                        self.publisher.publish(due_ns);
                        due_ns += 1_000_000_000 / u64::from(rate);
                    }
                }
                Pace::Window(_) | Pace::Bursts(_) => {}
            }
            let deliveries = self.turn(timeout, paced.then_some(&mut latencies_ns))?;
            if now_ns >= end_ns && self.is_settled() {
                break;
            }
            self.check_progress(deliveries, &mut progress_at)?;
        }
        Ok(Run {
            events: self.publisher.published() - published,
            latencies_ns,
            rate: watch.stop(self.delivered - delivered)?,
        })
    }

    fn fill_window(&mut self, window: u32, now_ns: u64) {
        let everywhere = self.delivered / self.fleet.len() as u64;
        while u64::from(self.publisher.published()) < everywhere + u64::from(window)
            && self.publisher.unanswered() < window
        {
            self.publisher.publish(now_ns);
        }
    }

    /// Waits until nothing is in flight.
    fn settle(&mut self) -> Result<()> {
        let mut progress_at = Instant::now();
        while !self.is_settled() {
            let deliveries = self.turn(Duration::from_millis(10), None)?;
            self.check_progress(deliveries, &mut progress_at)?;
        }
        Ok(())
    }

    fn is_settled(&self) -> bool {
        self.in_flight() == 0 && self.publisher.unanswered() == 0
    }

    fn in_flight(&self) -> u64 {
        u64::from(self.publisher.published()) * self.fleet.len() as u64 - self.delivered
    }

    fn turn(&mut self, timeout: Duration, mut latencies_ns: Option<&mut Vec<u64>>) -> Result<u64> {
        let Self { fleet, publisher, epoch, .. } = self;
        publisher.flush()?;
        let deliveries = fleet.turn(
            timeout,
            |buffer| publisher.receive(buffer),
            |due_ns| {
                if let Some(latencies_ns) = &mut latencies_ns {
                    latencies_ns.push((epoch.elapsed().as_nanos() as u64).saturating_sub(due_ns));
                }
            },
        )?;
        self.delivered += deliveries;
        Ok(deliveries)
    }

    fn check_progress(&self, deliveries: u64, progress_at: &mut Instant) -> Result<()> {
        if deliveries > 0 {
            *progress_at = Instant::now();
        } else if progress_at.elapsed() > PATIENCE {
            let (lost, unanswered) = (self.in_flight(), self.publisher.unanswered());
            return Err(format!("{lost} deliveries and {unanswered} replies never came").into());
        }
        Ok(())
    }

    fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floor::Floor;

    fn load_on_a_floor(dialect: Dialect, coalesce: bool, subscribers: usize) -> Load {
        let (listening, address) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut floor = Floor::bind(([127, 0, 0, 1], 0).into(), coalesce)?;
            listening.send(floor.address()?)?;
            floor.run()
        });
        let address = address.recv().expect("the floor listens");
        let fleet = dialect.open(address, subscribers).expect("the floor answers");
        Load::start(address, dialect, "call/1", fleet).expect("the floor delivers")
    }

    #[test]
    fn every_pace_delivers_everything() {
        let floors = [Dialect::Floor, Dialect::FloorWs]
            .into_iter()
            .flat_map(|dialect| [(dialect, false), (dialect, true)]);
        for (dialect, coalesce) in floors {
            let mut load = load_on_a_floor(dialect, coalesce, 3);
            for pace in [Pace::Window(1), Pace::Window(8), Pace::Bursts(8), Pace::Rate(200)] {
                let run = load.run(pace, Duration::from_millis(50), &[]).expect("nothing is lost");
                assert!(run.events > 0);
                assert_eq!(run.rate.done, u64::from(run.events) * 3);
            }
        }
    }

    #[test]
    fn a_paced_run_keeps_its_rate_and_its_latencies() {
        let mut load = load_on_a_floor(Dialect::Floor, false, 2);
        let run = load.run(Pace::Rate(100), Duration::from_millis(100), &[]).expect("nothing is lost");
        assert_eq!(run.events, 10);
        assert_eq!(run.latencies_ns.len(), 20);
    }
}

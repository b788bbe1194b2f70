//! What goes wrong, and when.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use offhook_core::{Completion, Wall};

use super::books::Seen;
use super::net::LinkId;
use super::sabotage::Sabotage;
use super::server::{Mail, Server, shown};
use super::world::{Wake, World};

/// Something that goes wrong, or is right again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Kill,
    Power,
    Cut,
    Stall,
    Pause,
    WallJump,
    DiskFills,
    DiskHasRoom,
    DiskFails,
    Stop,
}

const ALL: [Fault; 9] = [
    Fault::Kill,
    Fault::Power,
    Fault::Cut,
    Fault::Stall,
    Fault::Pause,
    Fault::WallJump,
    Fault::DiskFills,
    Fault::DiskFails,
    Fault::Stop,
];

/// How often what happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Time that went by in the world.
    pub virtual_ms: u64,
    /// Things that happened.
    pub steps: u64,
    /// Events that were acknowledged.
    pub acknowledged: u64,
    /// What clients have seen.
    pub seen: Seen,
    /// The process was killed.
    pub kills: u64,
    /// The power went.
    pub power: u64,
    /// Connections were reset.
    pub cuts: u64,
    /// Connections carried nothing for a while.
    pub stalls: u64,
    /// Shards stood still.
    pub pauses: u64,
    /// The wall clock jumped.
    pub wall_jumps: u64,
    /// The disk was full.
    pub full: u64,
    /// A write or a sync failed.
    pub disk_faults: u64,
    /// The server was stopped as one does it.
    pub stops: u64,
    /// Ends of the log were torn.
    pub torn: u64,
    /// Bits flipped, and were found.
    pub flips: u64,
    /// Datagrams were lost, came twice or late.
    pub datagrams: u64,
    /// Segments were asked to leave.
    pub retired: u64,
}

impl World {
    fn mean(&self, fault: Fault) -> Option<u64> {
        let faults = self.faults();
        match fault {
            Fault::Kill => faults.kill_ms,
            Fault::Power => faults.power_ms,
            Fault::Cut => faults.cut_ms,
            Fault::Stall => faults.stall_ms,
            Fault::Pause => faults.pause_ms,
            Fault::WallJump => faults.wall_ms,
            Fault::DiskFills | Fault::DiskHasRoom => faults.full_ms,
            Fault::DiskFails => faults.sync_ms,
            Fault::Stop => faults.stop_ms,
        }
    }

    pub(super) fn plan_faults(&mut self) {
        ALL.into_iter().for_each(|fault| self.plan(fault));
    }

    fn plan(&mut self, fault: Fault) {
        if let Some(mean) = self.mean(fault) {
            let at = self.now.mono.0 + 1 + self.rng.below(2 * mean);
            self.wake_at(at, Wake::Fault(fault));
        }
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        if self.calm {
            return;
        }
        let now = self.now.mono.0;
        self.trace.note(&[8, now, fault as u64], &[]);
        self.trace.line(|| format!("{now} {fault:?}"));
        match fault {
            Fault::Kill => {
                self.counts.kills += u64::from(self.server.is_some());
                self.interrupt_disk();
                self.end_life(false);
            }
            Fault::Power => {
                self.counts.power += 1;
                self.interrupt_disk();
                self.disk.cut_power(&mut self.rng);
                self.end_life(true);
            }
            Fault::Cut => self.cut(),
            Fault::Stall => {
                if let Some(link) = self.any_link() {
                    let until = now + self.rng.below(20_000);
                    if let Some(there) = self.net.get(link) {
                        there.stalled_until = until;
                        self.counts.stalls += 1;
                    }
                }
            }
            Fault::Pause => {
                let until = now + self.rng.below(4_000);
                let shard = self.rng.below(self.swarm.shards.into()) as usize;
                if let Some(server) = &mut self.server {
                    server.shards[shard].paused_until = until;
                    self.counts.pauses += 1;
                }
            }
            Fault::WallJump => {
                let by = self.rng.below(2 * 3_600_000);
                let back = self.rng.below(2) == 0;
                let wall = self.now.wall.0;
                self.now.wall = Wall(if back { wall - by } else { wall + by });
                self.books.latest = self.books.latest.max(self.now.wall);
                self.counts.wall_jumps += 1;
            }
            Fault::DiskFills => {
                self.disk_full = true;
                self.counts.full += 1;
                let at = now + self.rng.below(15_000);
                self.wake_at(at, Wake::Fault(Fault::DiskHasRoom));
            }
            Fault::DiskHasRoom => self.disk_full = false,
            Fault::DiskFails => self.disk_fails = true,
            Fault::Stop => self.stop(),
        }
        if fault != Fault::DiskHasRoom {
            self.plan(fault);
        }
    }

    /// The process is gone, and is started again.
    pub(super) fn end_life(&mut self, silent: bool) {
        let at = self.now.mono.0 + self.rng.below(6_000);
        self.die(silent);
        self.wake_at(at, Wake::Start);
    }

    fn interrupt_disk(&mut self) {
        if let Some(server) = &mut self.server
            && server.log.is_busy()
            && let Some(operation) = server.log.writer.operation()
        {
            self.disk.interrupt(operation, &mut self.rng);
        }
    }

    fn any_link(&mut self) -> Option<LinkId> {
        let count = self.net.len() as u64;
        let at = self.rng.below(count) as usize;
        self.net.iter().nth(at).map(|(link, _)| link)
    }

    /// A connection breaks: each side hears of it, and what was under way is gone.
    fn cut(&mut self) {
        let now = self.now.mono.0;
        let Some(link) = self.any_link() else { return };
        let Some(there) = self.net.get(link) else { return };
        if there.dialing {
            return;
        }
        self.counts.cuts += 1;
        there.up.reset(now);
        if !there.down.told {
            there.down.reset(now);
        }
        self.wake_at(now, Wake::Link(link));
    }

    /// The server is asked to stop.
    pub(super) fn stop(&mut self) {
        let Some(server) = &mut self.server else { return };
        if std::mem::replace(&mut server.stopping, true) {
            return;
        }
        self.counts.stops += 1;
        for shard in 0..usize::from(self.swarm.shards) {
            self.mail(shard, Mail::Completion(Completion::Stop));
        }
    }

    /// After a stop: the process ends when all engines are drained and all is written, with a mark behind it.
    pub(super) fn try_to_end(&mut self) {
        let is_drained =
            |server: &Server| server.stopping && server.shards.iter().all(|s| s.engine.is_drained());
        let drained = self.server.as_ref().is_some_and(is_drained);
        if !drained || !self.log_is_idle() {
            return;
        }
        let World { server: Some(server), disk, .. } = self else { return };
        server.log.writer.mark();
        while let Some(operation) = server.log.writer.operation() {
            disk.carry_out(operation);
            server.log.writer.done(offhook_core::log::writer::Outcome::Done);
        }
        if self.leaving {
            self.die(false);
        } else {
            self.end_life(false);
        }
    }

    /// Before a start, once in a while: a bit of what was known durable is wrong.
    pub(super) fn flip_a_bit(&mut self) {
        if self.flipped.is_some() || self.rng.below(100) >= self.faults().flip_percent {
            return;
        }
        let Ok(recovered) = self.disk.recover() else { return };
        let places = self.disk.sound_bytes(&recovered);
        let Some((segment, bytes)) = places.get(self.rng.below(places.len() as u64) as usize).cloned() else {
            return;
        };
        let offset = bytes.start + self.rng.below(bytes.len() as u64) as usize;
        let bit = self.rng.below(8) as u32;
        if !self.is_sabotaged(Sabotage::OverlookDamage) {
            self.disk.flip(segment, offset, bit);
        }
        self.flipped = Some((segment, offset, bit));
    }

    /// What a name stands for.
    pub(super) fn resolve(&mut self, host: &str) -> Result<Vec<IpAddr>, Box<str>> {
        if self.rng.below(100) < self.faults().dial_percent {
            return Err("the name server does not answer".into());
        }
        match host
            .strip_suffix(".example")
            .and_then(|name| name.strip_prefix("host"))
            .and_then(|n| n.parse().ok())
        {
            Some(number) => Ok(vec![IpAddr::from([192, 0, 2, number])]),
            None => Err("no such name".into()),
        }
    }

    /// A datagram leaves the server.
    pub(super) fn send_datagram(&mut self, _via: u16, to: SocketAddr, bytes: &[u8]) {
        let Some(client) = self.client_at(to) else { return };
        let now = self.now.mono.0;
        self.trace.line(|| format!("{now} a datagram to {to}: {}", shown(bytes)));
        if self.sabotage.is_some_and(|bug| bug.keeps(bytes)) {
            return;
        }
        for at in self.datagram_arrivals() {
            self.wake_at(at, Wake::ToClient { client, bytes: bytes.to_vec() });
        }
    }

    /// A datagram leaves a client.
    pub(super) fn datagram_leaves(&mut self, client: usize, bytes: Vec<u8>) {
        let Some(from) = self.address_of(client) else { return };
        for at in self.datagram_arrivals() {
            self.wake_at(at, Wake::ToServer { from, bytes: bytes.clone() });
        }
    }

    pub(super) fn datagram_arrived(&mut self, from: SocketAddr, bytes: &[u8]) {
        let now = self.now.mono.0;
        self.trace.note(&[9, now], bytes);
        self.trace.line(|| format!("{now} a datagram from {from}: {}", shown(bytes)));
        if let Some(server) = self.server.as_mut().filter(|server| server.log.is_open()) {
            server.shards[0].datagrams.push_back((from, bytes.into()));
            self.wake_shard_soon(0);
        }
    }

    /// When the copies of a datagram arrive.
    fn datagram_arrivals(&mut self) -> Vec<u64> {
        let percent = self.faults().datagram_percent;
        let usual = self.arrival();
        if self.rng.below(100) >= percent {
            return vec![usual];
        }
        self.counts.datagrams += 1;
        match self.rng.below(3) {
            0 => Vec::new(),
            1 => vec![usual, self.arrival() + self.rng.below(1_000)],
            _ => vec![usual + self.rng.below(3_000)],
        }
    }
}

impl Counts {
    /// Adds another seed's.
    pub fn add(&mut self, more: &Counts) {
        for (mine, theirs) in self.rows().into_iter().zip({ *more }.rows()) {
            *mine.1 += *theirs.1;
        }
    }

    fn rows(&mut self) -> [(&'static str, &mut u64); 29] {
        let Counts { seen, .. } = self;
        [
            ("virtual ms", &mut self.virtual_ms),
            ("steps", &mut self.steps),
            ("events acknowledged", &mut self.acknowledged),
            ("seen by SSE", &mut seen.sse),
            ("gaps told", &mut seen.gaps),
            ("seen by XMS", &mut seen.xms),
            ("seen by iSymphony", &mut seen.isymphony),
            ("webhook events", &mut seen.hooks),
            ("ISR notifications", &mut seen.notifications),
            ("WCS hooks of events", &mut seen.backend),
            ("WCS operations", &mut seen.operations),
            ("answers of 503", &mut seen.busy),
            ("SIP states", &mut seen.states),
            ("SIP callbacks", &mut seen.callbacks),
            ("NOTIFYs answered", &mut seen.notifies),
            ("WCS sessions", &mut seen.sessions),
            ("kills", &mut self.kills),
            ("power cuts", &mut self.power),
            ("connections cut", &mut self.cuts),
            ("connections stalled", &mut self.stalls),
            ("shards paused", &mut self.pauses),
            ("wall clock jumps", &mut self.wall_jumps),
            ("disk full", &mut self.full),
            ("disk faults", &mut self.disk_faults),
            ("clean stops", &mut self.stops),
            ("torn ends", &mut self.torn),
            ("bits flipped", &mut self.flips),
            ("datagram faults", &mut self.datagrams),
            ("segments retired", &mut self.retired),
        ]
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.virtual_ms as f64 / 3_600_000.0;
        write!(f, "{hours:.1} virtual hours")?;
        let mut all = *self;
        all.rows().into_iter().skip(1).try_for_each(|(name, count)| write!(f, ", {name} {count}"))
    }
}

//! Machines that bring events in: [`demo`], a small office for newcomers, and the PBXs of `[[source]]`. [`Sources`] dials
//! them, on shard 0, and publishes what they tell; what one kind of PBX says and means is in a folder of its own
//! ([`asterisk`]).

pub mod asterisk;
pub mod demo;
mod dialect;
pub mod kept;
mod link;
mod publish;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::ground::config::Source;
use crate::ground::deadline::Due;
use crate::ground::id::{ConnId, Seq};
use crate::ground::slots::Slots;
use crate::ground::stats::SourceStats;
use crate::ground::time::Mono;
use crate::hub::Hub;
use crate::wire::tls::Compiled;
use asterisk::Asterisk;
use asterisk::told::Key;

/// The part's name in records.
pub const NAME: &str = "source";

/// The deadline at which it is looked whether reading goes on.
const PAUSED: u32 = u32::MAX;

/// How often that is.
const PAUSED_MS: u64 = 1_000;

/// The sources of an engine.
#[derive(Debug)]
pub struct Sources {
    /// Its place in the list of dialects.
    place: u8,
    links: Slots<Link>,
    /// What the log says is open, by source, until the start is complete.
    kept: BTreeMap<Box<str>, Kept>,
    /// When it is looked next whether reading goes on.
    watch: Mono,
    /// Counts attempts to connect.
    attempt: u32,
}

/// What is known of the open things of a source, by their keys.
type Kept = BTreeMap<Box<str>, Box<[u8]>>;

/// One source, and its connection.
#[derive(Debug)]
struct Link {
    config: Source,
    asterisk: Asterisk,
    tls: Result<Option<Compiled>, Box<str>>,
    state: State,
    on_its_way: OnItsWay,
    /// It is not read, because too much is on its way.
    paused: bool,
    /// What is open; where a log is kept, it stands there.
    open: BTreeSet<Key>,
    /// Connections that were lost in a row.
    lost: u32,
    /// Since when the connection is there.
    since: Mono,
    /// Until then an end of the connection may come of its not being read; [`Mono::NEVER`] while it is not.
    slow_until: Mono,
    /// The reason that `source.down` told last, until it is up again.
    down: Option<&'static str>,
    /// The questions that the last resync had no answer to.
    unanswered: Vec<&'static str>,
    /// The deadline that is armed.
    armed: Mono,
    stats: SourceStats,
}

/// Where a source's connection stands.
#[derive(Debug)]
enum State {
    /// The next try is then.
    Waiting(Mono),
    /// Its name is being resolved in this attempt, until then at most.
    Resolving(u32, Mono),
    /// It is being made; these addresses are left.
    Dialing(ConnId, VecDeque<std::net::SocketAddr>),
    /// It is there.
    Connected(ConnId),
    /// Nothing more comes.
    Ended,
}

impl State {
    const fn conn(&self) -> Option<ConnId> {
        match self {
            State::Dialing(id, _) | State::Connected(id) => Some(*id),
            State::Waiting(_) | State::Resolving(..) | State::Ended => None,
        }
    }
}

impl Link {
    /// Stops reading or goes on, as it has become: on at half of what is too much, so that it is not for a few. Before it
    /// is logged in a PBX tells nothing, and a login does not wait.
    fn regulate(&mut self, hub: &mut Hub) {
        let events_max = hub.config.limits.source_waiting_events.max(1);
        let events = self.on_its_way.events();
        let is_much = if self.paused { events > events_max / 2 } else { events >= events_max };
        self.paused = is_much || hub.full || hub.outbox_full;
        let State::Connected(conn) = self.state else { return };
        let paused = self.paused && self.asterisk.is_up();
        if paused {
            self.slow_until = Mono::NEVER;
        } else if self.slow_until == Mono::NEVER {
            // That it was closed is seen only after all that waited has been read.
            self.slow_until = hub.now.mono.plus_ms(self.config.ping_ms);
        }
        hub.pause_flow(conn, paused);
    }
}

/// A source's events between being told and being durable.
#[derive(Debug, Default)]
struct OnItsWay {
    /// Those that are not in the log.
    appended: u64,
    /// Those that are, by their numbers.
    applied: VecDeque<Seq>,
}

impl OnItsWay {
    fn events(&self) -> u64 {
        self.appended + self.applied.len() as u64
    }

    fn became_durable(&mut self, through: Seq) {
        while self.applied.front().is_some_and(|seq| *seq <= through) {
            self.applied.pop_front();
        }
    }
}

impl Sources {
    /// The sources of an engine, as a dialect at this place of the list.
    #[must_use]
    pub fn new(place: u8) -> Sources {
        Sources { place, links: Slots::default(), kept: BTreeMap::new(), watch: Mono::NEVER, attempt: 0 }
    }

    /// Pauses each source or reads on, as it has become.
    fn regulate(&mut self, hub: &mut Hub) {
        self.links.iter_mut().for_each(|(_, link)| link.regulate(hub));
        self.watch_pauses(hub);
    }

    /// What has made room is not always told.
    fn watch_pauses(&mut self, hub: &mut Hub) {
        let is_paused = self.links.iter().any(|(_, link)| link.paused);
        if is_paused && self.watch == Mono::NEVER {
            self.watch = hub.now.mono.plus_ms(PAUSED_MS);
            hub.deadlines.arm(self.watch, Due::Dialect(self.place, PAUSED));
        }
    }

    /// The slot of a source's connection.
    fn slot_of(&self, conn: ConnId) -> Option<u32> {
        self.links.iter().find(|(_, link)| link.state.conn() == Some(conn)).map(|(slot, _)| slot)
    }
}

/// Whether this engine has the sources.
fn acts(hub: &Hub) -> bool {
    hub.place.shard.0 == 0
}

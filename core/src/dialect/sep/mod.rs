//! The SIP Event Package API: a client subscribes over HTTP to the events of SIP resources ([`read`], `routes`), gets
//! their states as documents ([`render`], [`json`]), and a callback for each change ([`receiver`]). The same is under
//! `/v1/subscriptions` in JSON.
//!
//! Subscriptions are state that all engines share through the log ([`state`], [`change`]), so any of them answers. Shard
//! 0 alone has an [`agent`], speaks SIP, says what notifiers told, and ends what has expired.

pub mod agent;
mod calls;
pub mod change;
pub mod json;
pub mod package;
pub mod read;
pub mod receiver;
pub mod render;
pub mod rlmi;
mod routes;
pub mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use uuid::Uuid;

use super::{Asker, Dialect, Verdict};
use crate::event::Event;
use crate::ground::deadline::Due;
use crate::ground::id::{ConnId, Seq};
use crate::ground::stats::Stats;
use crate::ground::time::{Mono, Wall};
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::hub::flow::{FlowFault, Found};
use crate::log::record::{Actor, Body, Record};
use crate::wire::Fault;
use crate::wire::http::head::Head;
use crate::wire::http::reply::Reply;

use agent::{Agent, Said};
use calls::{Calls, When};
use change::{Change, Made, Told};
use routes::Face;
pub(super) use routes::claims;
use state::{How, InstanceState, Subscription, Subscriptions};

pub(super) const NAME: &str = "sep";

/// The namespace of the API's own elements.
pub const NAMESPACE: &str = "http://voip.co.uk/api/sep/2009-06";

/// By how much the version of a subscription rises at the first change after starts of the server, for each of them and
/// beyond the usual one: a callback may have left whose record was not durable when the server died. More changes than
/// that are not under way at a time.
const RESTART_JUMP: u64 = 1_000;

/// The deadline at which the next subscription expires or is forgotten.
const ENDS: u32 = 0;
/// The deadline at which callbacks are offered again for which the outbox had no room.
const OWED: u32 = 1;
/// The agent's deadline.
pub const AGENT: u32 = 2;
/// The deadline at which changes that were gathered are told.
const GATHERED: u32 = 3;

/// The state of the SEP dialect.
#[derive(Debug)]
pub struct Sep {
    /// Its place in the list of dialects.
    place: u8,
    subscriptions: Subscriptions,
    /// Requests that wait for their record, and in which words they are answered.
    asked: Vec<(ConnId, u32, Face)>,
    /// On shard 0.
    agent: Agent,
    /// On shard 0: when subscriptions expire or are forgotten.
    ends: BTreeSet<(Wall, Uuid)>,
    /// When a deadline looks at them.
    ends_armed: Mono,
    /// On shard 0: callbacks that are still to leave.
    calls: Calls,
}

/// What came of a change, for whoever asked for it.
enum Applied {
    /// The subscription is there.
    Created(Uuid),
    /// It is as it was asked to be.
    Changed(Uuid),
    /// It has ended.
    Ended,
    /// It cannot be, and why.
    Refused(u16, String),
    /// Nobody waits for this.
    Nothing,
}

impl Sep {
    /// The dialect at this place in the list.
    pub fn new(hub: &mut Hub, place: u8) -> Sep {
        Sep {
            place,
            subscriptions: Subscriptions::default(),
            asked: Vec::new(),
            agent: Agent::new(hub, place),
            ends: BTreeSet::new(),
            ends_armed: Mono::NEVER,
            calls: Calls::new(),
        }
    }

    /// Takes a change in, in the order of the log.
    fn apply(&mut self, hub: &mut Hub, wall: Wall, change: Change) -> Applied {
        match change {
            Change::Created(made) if let Some(full) = self.is_full(hub, &made) => {
                if acts(hub) {
                    if made.notify.is_some() {
                        append(hub, receiver::removed(made.id));
                    }
                    // At a start there may be room for it, because what was carried has ended since.
                    append(hub, own(&Change::Forgotten { id: made.id }));
                }
                Applied::Refused(503, full)
            }
            Change::Created(made) => {
                let id = made.id;
                if self.subscriptions.get(id).is_none() {
                    self.subscriptions.insert(Subscription::new(*made, hub.applied));
                    self.act(hub, id, |agent, hub, subscription| agent.begin(hub, subscription));
                }
                Applied::Created(id)
            }
            Change::Put { id, put } => match self.living(hub, id) {
                Err(refused) => refused,
                Ok(subscription) => {
                    let end = subscription.expires;
                    let difference = self.subscriptions.put(id, *put, hub.applied);
                    self.ends.remove(&(end, id));
                    self.act(hub, id, |agent, hub, subscription| {
                        agent.change(hub, subscription, &difference);
                    });
                    Applied::Changed(id)
                }
            },
            Change::State { id, state } => {
                if let Some(subscription) = self.known(hub, id) {
                    subscription.tell(*state);
                    forget_states(subscription);
                }
                Applied::Nothing
            }
            Change::Dialog { id, uri, dialog, saved } => {
                // Later, the agent knows them.
                if hub.recovering
                    && let Some(subscription) = self.known(hub, id)
                {
                    subscription.save(uri, dialog, saved);
                }
                Applied::Nothing
            }
            Change::Ended { id, how } => match self.living(hub, id) {
                Err(refused) => refused,
                // A PUT that stands before it in the log has put the end off.
                Ok(subscription) if how == How::Expired && subscription.expires > wall => {
                    self.watch_if_acting(hub, id);
                    Applied::Nothing
                }
                Ok(subscription) => {
                    let end = subscription.expires;
                    self.ends.remove(&(end, id));
                    self.subscriptions.end(id, how, wall);
                    self.act(hub, id, |agent, hub, subscription| agent.end(hub, subscription));
                    Applied::Ended
                }
            },
            Change::Forgotten { id } => {
                if self.known(hub, id).is_some() {
                    self.subscriptions.remove(id);
                    self.calls.remove(id);
                }
                Applied::Nothing
            }
            Change::Carried(_) => Applied::Nothing,
        }
    }

    /// Why there is no room for a subscription, if so. Those that are carried may have grown after a record that is read
    /// again made one: what was refused for its entries is forgotten by a record of its own.
    fn is_full(&self, hub: &Hub, made: &Made) -> Option<String> {
        if self.subscriptions.living() >= made.room {
            return Some(routes::all_made(made.room));
        }
        let room = made.entries_room.filter(|_| !hub.recovering)?;
        let entries = self.subscriptions.entries() + made.entries.len() as u64;
        (entries > room).then(|| routes::all_listed(room))
    }

    /// A subscription that this record may change: what is carried holds already what it says, up to a record.
    fn known(&mut self, hub: &Hub, id: Uuid) -> Option<&mut Subscription> {
        self.subscriptions.get_mut(id).filter(|subscription| subscription.as_of < hub.applied.0)
    }

    /// The same, if it has not ended.
    fn living(&mut self, hub: &Hub, id: Uuid) -> Result<&mut Subscription, Applied> {
        match self.known(hub, id) {
            None => Err(Applied::Refused(404, routes::NO_SUCH.to_owned())),
            Some(subscription) => match subscription.ended {
                Some(ended) => Err(Applied::Refused(410, routes::has_ended(ended.how))),
                None => Ok(subscription),
            },
        }
    }

    /// Shard 0 acts on a subscription that has changed.
    fn act(&mut self, hub: &mut Hub, id: Uuid, tell: impl FnOnce(&mut Agent, &mut Hub, &Subscription)) {
        if acts(hub)
            && let Some(subscription) = self.subscriptions.get(id)
        {
            tell(&mut self.agent, hub, subscription);
            self.watch(hub, id);
            self.settle(hub);
        }
    }

    /// Says what the agent has to say.
    fn settle(&mut self, hub: &mut Hub) {
        while let Some((id, said)) = self.agent.poll(hub, &self.subscriptions) {
            match said {
                Said::Told { resources, dropped } => {
                    self.tell(hub, id, 1, Told { resources, dropped, ..Told::default() });
                }
                Said::Quiet { resources, dropped } => {
                    self.tell(hub, id, 0, Told { resources, dropped, ..Told::default() });
                }
                Said::Over => self.conclude(hub, id),
                Said::Dialog { uri, dialog, saved } => {
                    append(hub, own(&Change::Dialog { id, uri, dialog, saved }));
                }
            }
        }
    }

    /// Says that resources have changed, by so many versions: with a new one goes a callback. Shard 0 applies it at once,
    /// so that the next thing that it says builds on it.
    fn tell(&mut self, hub: &mut Hub, id: Uuid, versions: u64, told: Told) {
        let when = if versions > 0 { self.calls.when(hub.now.mono, id, &told) } else { When::Together };
        if when == When::Apart {
            self.call(hub, id);
        }
        let known = self.subscriptions.get_mut(id);
        let Some(subscription) = known.filter(|s| s.ended.is_none_or(|ended| !ended.over)) else { return };
        // What was told of the versions before a crash may be lost: none of their numbers is given twice.
        let jump = if versions > 0 { subscription.starts * RESTART_JUMP } else { 0 };
        let (step, version) = (subscription.step + 1, subscription.version + versions + jump);
        // The last one goes in any case: there is one of it.
        let has_room = told.last || !hub.outbox_full;
        let is_told = versions > 0 && subscription.is_called();
        let leaves = is_told && when != When::Together && has_room;
        let owed_since = match leaves {
            true => None,
            false if is_told => Some(hub.now.wall),
            false => subscription.owed_since,
        };
        let state = Told { step, version, owed_since, ..told };
        subscription.tell(state.clone());
        // A letter without its state is followed by another one after a crash; a state without its letter never is.
        let now = hub.now.wall;
        if leaves && let Some(letter) = receiver::letter(subscription, now, now, &hub.config) {
            append(hub, letter);
        }
        forget_states(subscription);
        if leaves {
            self.called(hub, id, Some(&state));
        } else if is_told && when == When::Together {
            self.calls.gather(id, &state);
        } else if is_told {
            self.owe(hub, id);
        }
        append(hub, own(&Change::State { id, state: Box::new(state) }));
    }

    /// A subscription that ended is over: its last document shows all instances terminated.
    fn conclude(&mut self, hub: &mut Hub, id: Uuid) {
        let Some(subscription) = self.subscriptions.get(id) else { return };
        if subscription.ended.is_none_or(|ended| ended.over) {
            return;
        }
        let mut resources = subscription.resources.clone();
        for instance in resources.iter_mut().flat_map(|resource| &mut resource.instances) {
            instance.body = None;
            if instance.state != InstanceState::Terminated {
                (instance.state, instance.reason) = (InstanceState::Terminated, Some("timeout".into()));
            }
        }
        self.tell(hub, id, 1, Told { resources, last: true, ..Told::default() });
    }

    /// When a subscription expires or, once it has ended, is forgotten.
    fn ends_at(hub: &Hub, subscription: &Subscription) -> Wall {
        match subscription.ended {
            None => subscription.expires,
            Some(ended) => Wall(ended.at.0.saturating_add(hub.config.limits.sep_ended_ms)),
        }
    }

    fn watch_if_acting(&mut self, hub: &mut Hub, id: Uuid) {
        if acts(hub) {
            self.watch(hub, id);
        }
    }

    fn watch(&mut self, hub: &mut Hub, id: Uuid) {
        let Some(subscription) = self.subscriptions.get(id) else { return };
        self.ends.insert((Sep::ends_at(hub, subscription), id));
        self.arm(hub);
    }

    fn arm(&mut self, hub: &mut Hub) {
        let Some((wall, _)) = self.ends.first() else { return };
        let at = hub.now.mono.plus_ms(wall.since(hub.now.wall));
        if at < self.ends_armed {
            self.ends_armed = at;
            hub.deadlines.arm(at, Due::Dialect(self.place, ENDS));
        }
    }

    /// Ends what has expired, and forgets what ended long ago.
    fn end_due(&mut self, hub: &mut Hub) {
        while let Some(&(wall, id)) = self.ends.first()
            && wall <= hub.now.wall
        {
            self.ends.pop_first();
            let Some(subscription) = self.subscriptions.get(id) else { continue };
            if Sep::ends_at(hub, subscription) > hub.now.wall {
                self.watch(hub, id);
            } else if subscription.ended.is_none() {
                append(hub, own(&Change::Ended { id, how: How::Expired }));
            } else {
                if subscription.notify.is_some() {
                    append(hub, receiver::removed(id));
                }
                append(hub, own(&Change::Forgotten { id }));
            }
        }
        self.arm(hub);
    }

    /// The log's words, in the order of the log, and the answer to whoever waits for them.
    fn take_in(&mut self, hub: &mut Hub, record: &Record, change: Change) {
        let waiting = record.origin.request.filter(|_| hub.is_own(record));
        let applied = self.apply(hub, record.header.wall, change);
        let Some((conn, request)) = waiting else { return };
        let at = self.asked.iter().position(|(c, r, _)| (*c, *r) == (conn, request));
        let Some((.., face)) = at.map(|at| self.asked.swap_remove(at)) else { return };
        let shown = |id: Uuid, status: u16| match self.subscriptions.get(id) {
            Some(subscription) => face.document(status, subscription, &hub.config),
            None => face.refusal(404, routes::NO_SUCH),
        };
        let reply = match applied {
            Applied::Created(id) => shown(id, 201),
            Applied::Changed(id) => shown(id, 200),
            Applied::Refused(503, text) => routes::no_room(face, &text),
            Applied::Refused(status, text) => face.refusal(status, &text),
            Applied::Ended | Applied::Nothing => Reply::empty(204),
        };
        hub.reply_when_durable(conn, request, reply);
    }
}

/// Whether this engine acts on subscriptions.
fn acts(hub: &Hub) -> bool {
    hub.place.shard.0 == 0 && !hub.recovering
}

/// Once all is told that will be, what was known of the resources is of no use.
fn forget_states(subscription: &mut Subscription) {
    if subscription.ended.is_some_and(|ended| ended.over) {
        subscription.resources = Vec::new();
        subscription.dialogs = Vec::new();
    }
}

fn own(change: &Change) -> Body {
    Body::Change(NAME, change.encode())
}

fn append(hub: &mut Hub, body: Body) {
    hub.append(Actor::Server(NAME), None, true, true, body);
}

impl Dialect for Sep {
    fn name(&self) -> &'static str {
        NAME
    }

    fn claims(&self, _hub: &Hub, path: &str) -> bool {
        claims(path)
    }

    fn judge(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>) -> Verdict {
        self.judge_request(hub, asker, head)
    }

    fn serve(&mut self, hub: &mut Hub, asker: Asker, head: &Head<'_>, content: &[u8]) {
        self.serve_request(hub, asker, head, content);
    }

    fn refusal(&self, path: &str, fault: Fault) -> Reply {
        routes::face(path).refusal(fault.status, fault.reason)
    }

    /// Its own events leave through others.
    fn publish(&mut self, _hub: &mut Hub, _seq: Seq, _record: &Record, _event: &Arc<Event>) {}

    fn change(&mut self, hub: &mut Hub, record: &Record, change: &[u8]) {
        match Change::decode(change) {
            Ok(change) => self.take_in(hub, record, change),
            Err(wrong) => {
                hub.note(Level::Warn, format!("sep: a record that this version does not know: {wrong}"));
            }
        }
    }

    fn handle_timeout(&mut self, hub: &mut Hub, key: u32, at: Mono) {
        match key {
            ENDS if at == self.ends_armed => {
                self.ends_armed = Mono::NEVER;
                self.end_due(hub);
            }
            ENDS => {}
            OWED => self.call_again(hub),
            GATHERED if at == self.calls.armed => self.call_gathered(hub),
            GATHERED => {}
            _ => {
                self.agent.handle_timeout(hub, at);
                self.settle(hub);
            }
        }
    }

    fn datagram(&mut self, hub: &mut Hub, via: u16, from: SocketAddr, bytes: &[u8]) {
        self.agent.datagram(hub, via, from, bytes);
        self.settle(hub);
    }

    fn flow_opened(
        &mut self,
        hub: &mut Hub,
        flow: ConnId,
        accepted: Option<SocketAddr>,
        secure: bool,
        key: u32,
    ) {
        self.agent.flow_opened(hub, flow, accepted, secure, key);
        self.settle(hub);
    }

    fn flow_received(&mut self, hub: &mut Hub, flow: ConnId, bytes: &[u8]) {
        self.agent.flow_received(hub, flow, bytes);
        self.settle(hub);
    }

    fn flow_closed(&mut self, hub: &mut Hub, flow: ConnId, _key: u32, _why: Option<FlowFault>) {
        self.agent.flow_closed(hub, flow);
        self.settle(hub);
    }

    fn looked_up(&mut self, hub: &mut Hub, ticket: u64, found: Found) {
        self.agent.looked_up(hub, ticket, found);
        self.settle(hub);
    }

    fn is_drained(&self) -> bool {
        self.agent.is_drained()
    }

    /// This start itself is counted in [`Dialect::started`], which stands before the first thing that is told.
    fn restarted(&mut self, hub: &mut Hub, _record: &Record) {
        if hub.recovering {
            let known = self.subscriptions.iter_mut().filter(|s| s.as_of < hub.applied.0);
            known.for_each(|subscription| subscription.starts += 1);
        }
    }

    fn started(&mut self, hub: &mut Hub) {
        if hub.place.shard.0 != 0 {
            self.subscriptions.iter_mut().for_each(|subscription| subscription.dialogs = Vec::new());
            return;
        }
        for subscription in self.subscriptions.iter_mut() {
            self.ends.insert((Sep::ends_at(hub, subscription), subscription.id));
            if subscription.ended.is_none_or(|ended| !ended.over) {
                subscription.starts += 1;
                self.agent.resume(hub, subscription);
            }
        }
        let owed: Vec<Uuid> =
            self.subscriptions.iter().filter(|s| s.owed_since.is_some()).map(|s| s.id).collect();
        for id in owed {
            self.owe(hub, id);
        }
        self.arm(hub);
        self.settle(hub);
    }

    fn restate(&mut self, hub: &mut Hub, through: Seq) {
        if hub.place.shard.0 != 0 {
            return;
        }
        let as_of = hub.applied.0;
        for subscription in self.subscriptions.iter().filter(|s| s.born <= through.0) {
            let dialogs = self.agent.dialogs(hub, subscription);
            let carried = Subscription { as_of, dialogs, ..subscription.clone() };
            append(hub, own(&Change::Carried(Box::new(carried))));
        }
    }

    fn carried(&mut self, hub: &mut Hub, _record: &Record, change: &[u8], first: bool) {
        match Change::decode(change) {
            Ok(Change::Carried(subscription)) if first => self.subscriptions.insert(*subscription),
            Ok(_) => {}
            Err(wrong) => {
                hub.note(
                    Level::Warn,
                    format!("sep: a subscription that this version does not know: {wrong}"),
                );
            }
        }
    }

    fn stop(&mut self, hub: &mut Hub) {
        self.agent.stop(hub);
        self.settle(hub);
    }

    fn stats(&self, hub: &Hub, stats: &mut Stats) {
        if hub.place.shard.0 == 0 {
            stats.sep_subscriptions = self.subscriptions.living();
            stats.sip = self.agent.stats();
        }
    }
}

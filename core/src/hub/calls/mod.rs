//! Calls under way: a connection that waits is taken, or one is made (resolve, check, dial, CONNECT, TLS); the answer, or
//! why there is none, goes to whoever called. One request is in flight on a connection; connections to equal targets are
//! shared, the youngest first.
//!
//! What is absent here: requests and answers as dialects mean them, attempts beyond the addresses of one name, redirects.
//!
//! ```text
//!   call ─► an idle connection ──────────────────────────────┐
//!     └─► Resolve ─► check ─► Dial ─► CONNECT ─► handshake ─► ask ─► answer ─► idle, or closed
//! ```

mod connect;
mod lookup;
pub mod outgoing;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use foldhash::quality::FixedState;

use super::Hub;
use super::action::Action;
use super::call::{Answer, Call, CallFault, CallId, Caller, Target};
use super::conn::{Conn, Ending, Machine};
use crate::event::index::Map;
use crate::ground::id::ConnId;
use crate::ground::slots::Slots;
use crate::ground::time::{Mono, Wall};
use crate::wire::http::client::{Ask, Ended, Received, Response};
use crate::wire::tls::{Compiled, WallClock};
use connect::Wants;
use lookup::Lookups;
use outgoing::{Outgoing, Stage};

/// All calls of an engine, and the connections to others.
#[derive(Debug)]
pub struct Calls {
    pending: Slots<Pending>,
    generations: Vec<u32>,
    pools: Slots<Pool>,
    by_target: Map<Arc<Target>, u32>,
    /// The target of the latest call: most calls go where the one before went.
    latest: Option<(Arc<Target>, u32)>,
    outcomes: VecDeque<(Caller, Result<Answer, CallFault>)>,
    lookups: Lookups,
    /// Connections, idle ones and flows included.
    open: u64,
    /// Of these, those that a dialect has made for a protocol of its own.
    flows: u64,
    /// Of these, those that wait for a request.
    idle: u64,
    /// Counts the reloads: what was made by an earlier config carries no further call.
    epoch: u32,
    clock: WallClock,
}

/// One call.
#[derive(Debug)]
struct Pending {
    caller: Caller,
    request: Vec<u8>,
    content_max: u64,
    connect_ms: u64,
    first_byte_ms: u64,
    /// When all of it has taken too long.
    due: Mono,
    pool: u32,
    on: On,
    /// Where to dial next.
    addresses: VecDeque<SocketAddr>,
    /// What the proxy is asked to connect to, one after the other, if not what the URL says.
    through: VecDeque<SocketAddr>,
    /// Why the last attempt to connect failed.
    fault: Option<CallFault>,
}

/// What a call waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum On {
    Nothing,
    /// A lookup, until this moment.
    Name(u64, Wants, Mono),
    Conn(ConnId),
}

/// Connections to one target.
#[derive(Debug)]
struct Pool {
    target: Arc<Target>,
    idle: Vec<ConnId>,
    /// Calls and connections.
    users: u32,
    /// TLS as the target wants it, once it was needed.
    tls: Option<Result<Compiled, Box<str>>>,
}

impl Calls {
    pub(super) fn new(seed: u64) -> Calls {
        Calls {
            pending: Slots::default(),
            generations: Vec::new(),
            pools: Slots::default(),
            by_target: Map::with_hasher(FixedState::with_seed(seed)),
            latest: None,
            outcomes: VecDeque::new(),
            lookups: Lookups::default(),
            open: 0,
            flows: 0,
            idle: 0,
            epoch: 0,
            clock: WallClock::default(),
        }
    }

    /// Connections to others that are open or being opened.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open
    }

    /// Connections that dialects have made for protocols of their own, but those that they bound themselves.
    #[must_use]
    pub fn flows(&self) -> u64 {
        self.flows
    }

    pub(super) fn enter_flow(&mut self, is_counted: bool) {
        self.open += 1;
        self.flows += u64::from(is_counted);
    }

    /// Tells TLS of our own connections the time.
    pub(crate) fn set_clock(&self, wall: Wall) {
        self.clock.set(wall);
    }

    pub(crate) fn leave_flow(&mut self, is_counted: bool) {
        self.open -= 1;
        self.flows -= u64::from(is_counted);
    }

    /// Calls under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.pending.len()
    }

    fn pool_of(&mut self, target: &Arc<Target>) -> u32 {
        if let Some((latest, pool)) = &self.latest
            && Arc::ptr_eq(latest, target)
        {
            return *pool;
        }
        let pool = match self.by_target.get(target) {
            Some(pool) => *pool,
            None => {
                let pool = Pool { target: Arc::clone(target), idle: Vec::new(), users: 0, tls: None };
                let pool = self.pools.insert(pool);
                self.by_target.insert(Arc::clone(target), pool);
                pool
            }
        };
        self.latest = Some((Arc::clone(target), pool));
        pool
    }

    /// A call or a connection of a target is gone; targets that nobody uses are forgotten when there are many.
    fn leave_pool(&mut self, pool: u32, targets_max: u64) {
        let Some(entry) = self.pools.get_mut(pool) else { return };
        entry.users -= 1;
        if entry.users == 0 && self.pools.len() as u64 > targets_max {
            if self.latest.as_ref().is_some_and(|(_, latest)| *latest == pool) {
                self.latest = None;
            }
            if let Some(entry) = self.pools.remove(pool) {
                self.by_target.remove(&entry.target);
            }
        }
    }

    /// The place of a call that is still under way.
    fn find(&self, id: CallId) -> Option<u32> {
        let generation = *self.generations.get(id.slot as usize)?;
        (generation == id.generation && self.pending.get(id.slot).is_some()).then_some(id.slot)
    }
}

impl Hub {
    /// Makes a call. What comes of it is said once, later, unless it is cancelled.
    pub fn call(&mut self, call: Call) -> CallId {
        let under_way = self.calls.pending.len() as u64;
        let calls = &mut self.calls;
        let pool = calls.pool_of(&call.target);
        calls.pools[pool].users += 1;
        let due = if call.total_ms == 0 { Mono::NEVER } else { self.now.mono.plus_ms(call.total_ms) };
        let slot = calls.pending.insert(Pending {
            caller: call.caller,
            request: call.request,
            content_max: call.content_max,
            connect_ms: call.connect_ms,
            first_byte_ms: call.first_byte_ms,
            due,
            pool,
            on: On::Nothing,
            addresses: VecDeque::new(),
            through: VecDeque::new(),
            fault: None,
        });
        if slot as usize == calls.generations.len() {
            calls.generations.push(1);
        }
        let id = CallId { slot, generation: calls.generations[slot as usize] };
        if under_way >= self.config.limits.calls || self.stopping {
            self.finish_call(slot, Err(CallFault::NoRoom));
            return id;
        }
        self.begin(slot);
        id
    }

    /// Sends a call on its way: over a connection that waits, or over a new one.
    fn begin(&mut self, slot: u32) {
        let pool = self.calls.pending[slot].pool;
        while let Some(conn) = self.calls.pools[pool].idle.pop() {
            self.calls.idle -= 1;
            let usable = |c: &Conn| {
                c.ending == Ending::No && matches!(&c.machine, Machine::Client(o) if o.stage == Stage::Idle)
            };
            if self.conns.get(conn).is_some_and(usable) {
                return self.ask(slot, conn);
            }
        }
        self.connect(slot);
    }

    /// Gives a call up: nothing is heard of it any more.
    pub fn cancel(&mut self, id: CallId) {
        let Some(slot) = self.calls.find(id) else { return };
        match self.calls.pending[slot].on {
            On::Conn(conn) => {
                if let Some(Machine::Client(outgoing)) = self.conns.get_mut(conn).map(|c| &mut c.machine) {
                    outgoing.call = None;
                }
                self.drop_outgoing(conn);
            }
            On::Name(ticket, ..) => self.calls.lookups.leave(ticket, slot),
            On::Nothing => {}
        }
        self.forget_call(slot);
        // An outcome that nobody was told of yet is not told.
    }

    /// What came of a call, for whoever made it.
    pub(crate) fn take_outcome(&mut self) -> Option<(Caller, Result<Answer, CallFault>)> {
        self.calls.outcomes.pop_front()
    }

    fn forget_call(&mut self, slot: u32) -> Option<Pending> {
        let pending = self.calls.pending.remove(slot)?;
        let generation = &mut self.calls.generations[slot as usize];
        *generation = generation.wrapping_add(1).max(1);
        self.calls.leave_pool(pending.pool, self.config.limits.call_targets);
        Some(pending)
    }

    fn finish_call(&mut self, slot: u32, result: Result<Answer, CallFault>) {
        if let Some(pending) = self.forget_call(slot) {
            match result {
                Ok(_) => self.stats.calls_answered += 1,
                Err(_) => self.stats.calls_failed += 1,
            }
            self.calls.outcomes.push_back((pending.caller, result));
        }
    }

    /// Sends a call's request on a connection that is ready.
    fn ask(&mut self, slot: u32, id: ConnId) {
        let pending = &mut self.calls.pending[slot];
        pending.on = On::Conn(id);
        let request = std::mem::take(&mut pending.request);
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Machine::Client(outgoing) = &mut conn.machine else { return };
        outgoing.call = Some(slot);
        outgoing.stage = Stage::Asked;
        outgoing.sent = false;
        outgoing.due = match pending.first_byte_ms {
            0 => pending.due,
            ms => self.now.mono.plus_ms(ms).min(pending.due),
        };
        let head_only = request.starts_with(b"HEAD ");
        outgoing.client.ask(Ask { head_only, connect: false, content_max: pending.content_max });
        if outgoing.is_sealed() {
            outgoing.plain = (request, 0);
        } else {
            conn.output.push_bytes(request);
        }
        self.arm(id);
        self.flush(id);
    }

    /// Bytes of a connection to others.
    pub(crate) fn receive_outgoing(&mut self, id: ConnId, bytes: &[u8]) {
        self.calls.set_clock(self.now.wall);
        let Some(Machine::Client(outgoing)) = self.conns.get_mut(id).map(|c| &mut c.machine) else { return };
        let Some(layer) = &mut outgoing.tls else { return self.receive_plain(id, bytes) };
        if outgoing.stage == Stage::Leaving {
            return;
        }
        let mut plain = Vec::new();
        let opened = layer.receive(bytes, &mut plain);
        let (agreed, ended) = (!layer.is_handshaking(), layer.is_ended());
        let writes = layer.wants_write();
        if let Err(why) = opened {
            // What was opened before that is good: it depends on the split alone whether it came together.
            if !plain.is_empty() {
                self.receive_plain(id, &plain);
            }
            return self.fail_tls(id, why);
        }
        if agreed && outgoing.stage == Stage::Handshaking {
            match outgoing.call {
                Some(slot) => self.ask(slot, id),
                None => return self.drop_outgoing(id),
            }
        } else if writes {
            self.flush(id);
        }
        if !plain.is_empty() {
            self.receive_plain(id, &plain);
        }
        if ended {
            self.end_outgoing(id, true);
        }
    }

    fn receive_plain(&mut self, id: ConnId, bytes: &[u8]) {
        let Some(Machine::Client(outgoing)) = self.conns.get_mut(id).map(|c| &mut c.machine) else { return };
        let (stage, call) = (outgoing.stage, outgoing.call);
        match (stage, call) {
            (Stage::Asked | Stage::Proxying, Some(slot)) => {
                if stage == Stage::Asked {
                    // The first byte is there: from here on all of it counts.
                    outgoing.due = self.calls.pending[slot].due;
                }
                match outgoing.client.receive(self.now.wall, bytes, &self.config.limits) {
                    Received::More => {}
                    Received::Fault(reason) => self.fail_outgoing(id, CallFault::BadAnswer(reason)),
                    Received::Whole(response, used) if stage == Stage::Proxying => {
                        if (200..300).contains(&response.status) && used < bytes.len() {
                            let reason = "the peer speaks before it is asked";
                            self.fail_outgoing(id, CallFault::BadAnswer(reason));
                        } else if (200..300).contains(&response.status) {
                            self.established(id);
                        } else {
                            self.refused_by_proxy(slot, id, response.status);
                        }
                    }
                    Received::Whole(response, _) => self.answered(slot, id, response),
                }
            }
            // Bytes that nobody asked for: whatever they are, the connection is not to be trusted.
            _ => self.fail_outgoing(id, CallFault::BadAnswer("bytes that nobody asked for")),
        }
    }

    /// The proxy cannot reach one address: the next one, if there is one.
    fn refused_by_proxy(&mut self, slot: u32, id: ConnId, status: u16) {
        let through = &mut self.calls.pending[slot].through;
        through.pop_front();
        if through.is_empty() {
            return self.fail_outgoing(id, CallFault::Proxy(status));
        }
        self.drop_outgoing(id);
        self.resolve(slot, Wants::Proxy);
    }

    fn answered(&mut self, slot: u32, id: ConnId, response: Response) {
        let reusable = response.reusable;
        let answer = Answer {
            status: response.status,
            retry_after_ms: response.retry_after_ms,
            content_type: response.content_type,
            content: response.content,
            cut: response.cut,
        };
        let idle_ms = self.config.limits.call_idle_ms;
        let due = self.now.mono.plus_ms(idle_ms);
        let (epoch, keep) = (self.calls.epoch, reusable && !self.stopping);
        if let Some(conn) = self.conns.get_mut(id)
            && let Machine::Client(outgoing) = &mut conn.machine
        {
            outgoing.call = None;
            outgoing.reused = true;
            let pool = &mut self.calls.pools[outgoing.pool];
            // An answer that came before its request was sent leaves the rest of it behind.
            let whole = outgoing.sent;
            if keep
                && whole
                && outgoing.epoch == epoch
                && (pool.idle.len() as u64) < self.config.limits.calls_idle_per_target
                && self.calls.idle < self.config.limits.calls_idle
            {
                outgoing.stage = Stage::Idle;
                outgoing.due = due;
                pool.idle.push(id);
                self.calls.idle += 1;
                self.arm(id);
            } else {
                self.drop_outgoing(id);
            }
        }
        self.finish_call(slot, Ok(answer));
    }

    /// The peer has ended its side, or the connection broke.
    pub(crate) fn end_outgoing(&mut self, id: ConnId, clean: bool) {
        let Some(Machine::Client(outgoing)) = self.conns.get_mut(id).map(|c| &mut c.machine) else { return };
        let (sent, reused) = (outgoing.sent, outgoing.reused);
        let Some(slot) = outgoing.call else { return self.drop_outgoing(id) };
        let clean = clean && outgoing.tls.as_ref().is_none_or(|layer| layer.is_ended());
        let fault = match outgoing.stage {
            Stage::Asked => match outgoing.client.receive_eof(clean) {
                Ended::Whole(response) => return self.answered(slot, id, response),
                Ended::Silent => {
                    if let Some(request) = self.untouched(id).filter(|_| reused) {
                        // It was closed while it waited, and the request finds another one.
                        self.calls.pending[slot].request = request;
                        self.drop_outgoing(id);
                        return self.begin(slot);
                    }
                    CallFault::Closed { sent, reused }
                }
                Ended::Cut => CallFault::Cut,
            },
            Stage::Handshaking => {
                CallFault::Tls("the peer closed the connection during the handshake".into())
            }
            Stage::Dialing | Stage::Proxying | Stage::Idle | Stage::Leaving => {
                CallFault::Closed { sent: false, reused }
            }
        };
        self.fail_outgoing(id, fault);
    }

    /// The request on a connection of which no byte has left.
    fn untouched(&mut self, id: ConnId) -> Option<Vec<u8>> {
        let conn = self.conns.get_mut(id)?;
        let Machine::Client(outgoing) = &mut conn.machine else { return None };
        if outgoing.is_sealed() {
            let (request, done) = &mut outgoing.plain;
            return (*done == 0 && !request.is_empty()).then(|| std::mem::take(request));
        }
        conn.output.take_untouched()
    }

    /// The peer takes no byte of what waits.
    pub(crate) fn stalled_outgoing(&mut self, id: ConnId) {
        self.fail_outgoing(id, CallFault::Timeout);
    }

    /// A stage has taken too long.
    pub(crate) fn outgoing_due(&mut self, id: ConnId) {
        let now = self.now.mono;
        let Some(Machine::Client(outgoing)) = self.conns.get(id).map(|c| &c.machine) else { return };
        let over = |slot: u32| self.calls.pending.get(slot).is_some_and(|pending| pending.due <= now);
        match (outgoing.stage, outgoing.call) {
            (Stage::Idle | Stage::Leaving, _) | (_, None) => self.drop_outgoing(id),
            (Stage::Asked, _) => self.fail_outgoing(id, CallFault::Timeout),
            (_, Some(slot)) if over(slot) => self.fail_outgoing(id, CallFault::Timeout),
            (Stage::Dialing, Some(slot)) => self.next_address(slot, id, CallFault::ConnectTimeout),
            (Stage::Proxying | Stage::Handshaking, Some(_)) => {
                self.fail_outgoing(id, CallFault::ConnectTimeout);
            }
        }
    }

    /// TLS failed: its call hears of it at once, and the peer by an alert (RFC 8446 section 6.2).
    fn fail_tls(&mut self, id: ConnId, why: String) {
        let due = self.now.mono.plus_ms(self.config.limits.linger_ms);
        let Some(Machine::Client(outgoing)) = self.conns.get_mut(id).map(|c| &mut c.machine) else { return };
        let Some(slot) = outgoing.call.filter(|_| outgoing.tls.as_ref().is_some_and(|l| l.wants_write()))
        else {
            return self.fail_outgoing(id, CallFault::Tls(why.into()));
        };
        outgoing.call = None;
        outgoing.stage = Stage::Leaving;
        outgoing.plain = (Vec::new(), 0);
        outgoing.due = due;
        self.arm(id);
        self.flush(id);
        self.finish_call(slot, Err(CallFault::Tls(why.into())));
    }

    /// The socket took `n` bytes of what was lent; whether more waits.
    pub(crate) fn advance_outgoing(&mut self, id: ConnId, n: usize) -> bool {
        let Hub { conns, channels, .. } = self;
        let Some(conn) = conns.get_mut(id) else { return false };
        let Machine::Client(outgoing) = &mut conn.machine else { return false };
        if outgoing.is_sealed() {
            let more = outgoing.advance(n);
            if !more && outgoing.stage == Stage::Leaving {
                self.drop_outgoing(id);
            }
            return more;
        }
        conn.output.advance(n, channels, 0);
        let more = !conn.output.is_empty(channels);
        if !more {
            outgoing.drained();
        }
        more
    }

    /// Closes a connection, and says so to its call.
    fn fail_outgoing(&mut self, id: ConnId, fault: CallFault) {
        let call = match self.conns.get(id).map(|c| &c.machine) {
            Some(Machine::Client(outgoing)) => outgoing.call,
            Some(_) | None => return,
        };
        self.drop_outgoing(id);
        if let Some(slot) = call {
            self.finish_call(slot, Err(fault));
        }
    }

    /// Closes a connection to others; whoever waits for it is told by the caller.
    fn drop_outgoing(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.remove(id) {
            if let Machine::Client(outgoing) = &conn.machine {
                self.forget_outgoing(outgoing, id);
            }
            self.act(Action::Close(id));
        }
    }

    fn forget_outgoing(&mut self, outgoing: &Outgoing, id: ConnId) {
        self.calls.open -= 1;
        if outgoing.stage == Stage::Idle
            && let Some(pool) = self.calls.pools.get_mut(outgoing.pool)
        {
            let before = pool.idle.len();
            pool.idle.retain(|idle| *idle != id);
            self.calls.idle -= (before - pool.idle.len()) as u64;
        }
        self.calls.leave_pool(outgoing.pool, self.config.limits.call_targets);
    }

    /// The engine has closed a connection to others.
    pub(crate) fn closed_outgoing(&mut self, id: ConnId, outgoing: &Outgoing) {
        self.forget_outgoing(outgoing, id);
        if let Some(slot) = outgoing.call {
            let fault = CallFault::Closed { sent: outgoing.sent, reused: outgoing.reused };
            self.finish_call(slot, Err(fault));
        }
    }

    /// The server stops: idle connections end, others get some time.
    pub(crate) fn stop_outgoing(&mut self, id: ConnId) {
        let by = self.now.mono.plus_ms(self.config.limits.stream_drain_ms);
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Machine::Client(outgoing) = &conn.machine else { return };
        if outgoing.stage == Stage::Idle {
            self.drop_outgoing(id);
        } else {
            conn.patience = by;
            self.arm(id);
        }
    }
}

#[cfg(test)]
impl Hub {
    /// For tests of a dialect alone: takes the calls that it has made, before anything is dialed.
    pub(crate) fn take_calls(&mut self) -> Vec<(CallId, Call)> {
        let slots: Vec<u32> = self.calls.pending.iter().map(|(slot, _)| slot).collect();
        let mut all = Vec::new();
        for slot in slots {
            let id = CallId { slot, generation: self.calls.generations[slot as usize] };
            let pending = &mut self.calls.pending[slot];
            let call = Call {
                target: Arc::clone(&self.calls.pools[pending.pool].target),
                request: std::mem::take(&mut pending.request),
                connect_ms: pending.connect_ms,
                first_byte_ms: pending.first_byte_ms,
                total_ms: if pending.due == Mono::NEVER { 0 } else { pending.due.since(self.now.mono) },
                content_max: pending.content_max,
                caller: pending.caller,
            };
            self.cancel(id);
            all.push((id, call));
        }
        all
    }
}

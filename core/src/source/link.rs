//! A source's connection: finding its address, dialing, trying again with patience, and what a reload changes.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use super::asterisk::Asterisk;
use super::asterisk::session::Fault;
use super::asterisk::told::Key;
use super::{Link, OnItsWay, Sources, State};
use crate::ground::config::Source;
use crate::ground::deadline::Due;
use crate::ground::id::ConnId;
use crate::ground::stats::SourceStats;
use crate::ground::time::Mono;
use crate::hub::Hub;
use crate::hub::flow::{FlowFault, Found};

impl Sources {
    /// Begins with a source; what is open there is as `kept` says.
    pub(super) fn add<'k>(
        &mut self,
        hub: &mut Hub,
        config: Source,
        kept: impl IntoIterator<Item = (Key, &'k [u8])>,
    ) {
        let prefix = prefix(hub);
        let mut asterisk = Asterisk::new(&config, &hub.config.limits, prefix);
        let mut open = BTreeSet::new();
        for (key, kept) in kept {
            asterisk.restore(kept);
            open.insert(key);
        }
        let slot = self.links.insert(Link {
            tls: config.tls.as_ref().map(|tls| hub.flow_tls(tls)).transpose(),
            asterisk,
            state: State::Waiting(hub.now.mono),
            on_its_way: OnItsWay::default(),
            paused: false,
            open,
            lost: 0,
            since: Mono::NEVER,
            slow_until: Mono(0),
            down: None,
            unanswered: Vec::new(),
            armed: Mono::NEVER,
            stats: SourceStats::default(),
            config,
        });
        self.arm(hub, slot);
    }

    /// Takes over what the config says of sources.
    pub(super) fn reload(&mut self, hub: &mut Hub) {
        let slots: Vec<u32> = self.links.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let Some(link) = self.links.get(slot) else { continue };
            let new = hub.config.sources.iter().find(|source| source.name == link.config.name).cloned();
            if new.as_ref() == Some(&link.config) {
                continue;
            }
            let is_up = link.asterisk.is_up();
            self.part(hub, slot);
            if new.is_some() && is_up {
                self.publish_down(hub, slot, "reload", "its section of the config file was changed");
            } else if new.is_none() {
                if let Some(link) = self.links.get_mut(slot) {
                    link.asterisk.end(hub.now);
                }
                self.publish_said(hub, slot);
                self.publish_down(hub, slot, "removed", "its section of the config file was removed");
            }
            let Some(link) = self.links.remove(slot) else { continue };
            if let Some(new) = new {
                let kept: Vec<_> = link
                    .open
                    .iter()
                    .filter_map(|key| Some((key.clone(), link.asterisk.keep(key)?)))
                    .collect();
                self.add(hub, new, kept.iter().map(|(key, kept)| (key.clone(), &**kept)));
            }
        }
        // In the order of the file.
        let known = |name: &str| self.links.iter().any(|(_, link)| *link.config.name == *name);
        let new: Vec<Source> =
            hub.config.sources.iter().filter(|source| !known(&source.name)).cloned().collect();
        for source in new {
            self.add(hub, source, []);
        }
    }

    /// Says goodbye, and closes the connection if there is one.
    pub(super) fn part(&mut self, hub: &mut Hub, slot: u32) {
        let Some(link) = self.links.get_mut(slot) else { return };
        link.asterisk.log_off();
        let output = link.asterisk.take_output();
        link.asterisk.lost(false);
        let state = std::mem::replace(&mut link.state, State::Ended);
        if let Some(conn) = state.conn() {
            hub.write_flow(conn, &output);
            hub.close_flow(conn);
        }
    }

    /// Looks for the addresses of a source's host.
    fn connect(&mut self, hub: &mut Hub, slot: u32) {
        let Some(link) = self.links.get_mut(slot) else { return };
        self.attempt = self.attempt.wrapping_add(1);
        link.state = State::Resolving(self.attempt, hub.now.mono.plus_ms(hub.config.limits.source_dial_ms));
        hub.lookup(self.place, u64::from(self.attempt) << 32 | u64::from(slot), &link.config.host);
        self.arm(hub, slot);
    }

    /// The addresses of a name that was looked for with this key.
    pub(super) fn found(&mut self, hub: &mut Hub, key: u64, found: Found) {
        let (slot, attempt) = ((key & u64::from(u32::MAX)) as u32, (key >> 32) as u32);
        let Some(link) = self.links.get_mut(slot) else { return };
        if !matches!(link.state, State::Resolving(of, _) if of == attempt) {
            return;
        }
        let Source { host, port, .. } = &link.config;
        match found {
            Err(why) => {
                let fault = Fault::Unreachable(format!("`{host}`: {why}").into());
                self.fail(hub, slot, &fault);
            }
            Ok(addresses) => {
                let addresses = addresses.iter().map(IpAddr::to_canonical);
                let most = hub.config.limits.call_addresses as usize;
                let addresses = addresses.take(most).map(|address| SocketAddr::new(address, *port)).collect();
                self.dial(hub, slot, addresses, None);
            }
        }
    }

    /// Dials the first of these addresses; `fault` is what came of the one before.
    fn dial(&mut self, hub: &mut Hub, slot: u32, mut addresses: VecDeque<SocketAddr>, fault: Option<Fault>) {
        let Some(link) = self.links.get_mut(slot) else { return };
        let Some(address) = addresses.pop_front() else {
            let fault = fault.unwrap_or_else(|| {
                Fault::Unreachable(format!("`{}` has no address", link.config.host).into())
            });
            return self.fail(hub, slot, &fault);
        };
        let by_ms = hub.config.limits.source_dial_ms;
        let dialed = link.tls.as_ref().map_err(Clone::clone).and_then(|tls| {
            let tls = tls.as_ref().map(|tls| (tls, &*link.config.host));
            hub.connect_flow(self.place, slot, address, tls, by_ms)
        });
        match dialed {
            Ok(conn) => link.state = State::Dialing(conn, addresses),
            Err(why) => self.fail(hub, slot, &Fault::Tls(why)),
        }
    }

    /// A connection is there.
    pub(super) fn opened(&mut self, hub: &mut Hub, conn: ConnId, slot: u32) {
        let Some(link) = self.links.get_mut(slot).filter(|link| link.state.conn() == Some(conn)) else {
            return hub.close_flow(conn);
        };
        link.state = State::Connected(conn);
        link.since = hub.now.mono;
        link.asterisk.connected(hub.now);
        self.arm(hub, slot);
    }

    /// A connection has ended, or cannot be had.
    pub(super) fn closed(&mut self, hub: &mut Hub, conn: ConnId, slot: u32, why: Option<FlowFault>) {
        let Some(link) = self.links.get_mut(slot).filter(|link| link.state.conn() == Some(conn)) else {
            return;
        };
        let address = link.config.address();
        let is_connected = matches!(link.state, State::Connected(_));
        let fault = match why {
            Some(FlowFault::Connect(why)) => {
                Fault::Unreachable(format!("no connection with {address}: {why}").into())
            }
            Some(FlowFault::Tls(why)) => Fault::Tls(why),
            Some(FlowFault::Stalled) => Fault::Silent,
            None if is_connected => link.asterisk.ended(),
            None if link.config.tls.is_some() => {
                Fault::Tls("it has closed the connection instead of agreeing on TLS".into())
            }
            None => Fault::Unreachable(format!("no connection with {address}").into()),
        };
        if let State::Dialing(_, rest) = std::mem::replace(&mut link.state, State::Ended)
            && let Fault::Unreachable(_) = fault
        {
            self.dial(hub, slot, rest, Some(fault));
        } else {
            self.fail(hub, slot, &fault);
        }
    }

    /// Bytes of a connection.
    pub(super) fn received(&mut self, hub: &mut Hub, conn: ConnId, bytes: &[u8]) {
        let Some(slot) = self.slot_of(conn) else { return };
        let Some(link) = self.links.get_mut(slot) else { return };
        let received = link.asterisk.receive(hub.now, bytes);
        self.settle(hub, slot, received);
    }

    /// A deadline of a source.
    pub(super) fn fall_due(&mut self, hub: &mut Hub, slot: u32, at: Mono) {
        let Some(link) = self.links.get_mut(slot).filter(|link| link.armed == at) else { return };
        link.armed = Mono::NEVER;
        let now = hub.now.mono;
        match link.state {
            State::Waiting(until) if until <= now => self.connect(hub, slot),
            State::Resolving(_, until) if until <= now => {
                let why = format!("`{}`: no name server answered in time", link.config.host);
                self.fail(hub, slot, &Fault::Unreachable(why.into()));
            }
            State::Connected(_) => {
                let looked = link.asterisk.handle_timeout(hub.now, link.paused);
                self.settle(hub, slot, looked);
            }
            State::Waiting(_) | State::Resolving(..) | State::Dialing(..) | State::Ended => {
                self.arm(hub, slot);
            }
        }
    }

    /// After a source has heard something: publishes, sends, and ends the connection if it is of no use any more.
    fn settle(&mut self, hub: &mut Hub, slot: u32, heard: Result<(), Fault>) {
        self.publish_said(hub, slot);
        if let Err(fault) = heard {
            self.fail(hub, slot, &fault);
        } else if let Some(link) = self.links.get_mut(slot) {
            let output = link.asterisk.take_output();
            if let Some(conn) = link.state.conn() {
                hub.write_flow(conn, &output);
            }
            self.arm(hub, slot);
        }
        self.regulate(hub);
    }

    /// There is no connection any more: says so, and tries again later.
    fn fail(&mut self, hub: &mut Hub, slot: u32, fault: &Fault) {
        let Some(link) = self.links.get_mut(slot) else { return };
        let limits = &hub.config.limits;
        let now = hub.now.mono;
        if link.since != Mono::NEVER && now.since(link.since) >= limits.source_stable_ms {
            link.lost = 0;
        }
        let conn = link.state.conn();
        let cap_ms = limits.source_retry_cap_ms.max(1);
        let doubled_ms = limits.source_retry_ms.saturating_mul(1 << link.lost.min(32));
        let wait_ms = if fault.is_lasting() { cap_ms } else { doubled_ms.clamp(1, cap_ms) };
        // A quarter more or less.
        let wait_ms = wait_ms - wait_ms / 4 + hub.rng.below(wait_ms / 2 + 1);
        link.lost += 1;
        link.since = Mono::NEVER;
        link.stats.lost += 1;
        link.asterisk.lost(now < link.slow_until);
        link.slow_until = Mono(0);
        link.state = State::Waiting(now.plus_ms(wait_ms));
        link.note_fault(hub, fault, wait_ms);
        if let Some(conn) = conn {
            hub.close_flow(conn);
        }
        self.publish_down(hub, slot, fault.word(), &fault.to_string());
        self.arm(hub, slot);
    }

    /// Wakes a source when something is due there.
    fn arm(&mut self, hub: &mut Hub, slot: u32) {
        let Some(link) = self.links.get_mut(slot) else { return };
        let at = match &link.state {
            State::Waiting(until) | State::Resolving(_, until) => *until,
            State::Connected(_) => link.asterisk.poll_timeout(),
            State::Dialing(..) | State::Ended => return,
        };
        let at = at.max(hub.now.mono);
        if at < link.armed {
            link.armed = at;
            hub.deadlines.arm(at, Due::Dialect(self.place, slot));
        }
    }
}

/// What makes our `ActionID`s different from those of other clients, whose broadcast answers come to us as well.
pub(super) fn prefix(hub: &mut Hub) -> String {
    format!("offhook-{:08x}-", hub.rng.next_u64() as u32)
}

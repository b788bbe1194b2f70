//! Sources among the dialects: what the engine tells all of them, sources hear as well. Nobody asks them for anything.

use std::net::SocketAddr;
use std::sync::Arc;

use super::asterisk::told::Key;
use super::kept::Change;
use super::publish::append_change;
use super::{NAME, PAUSED, Sources, acts};
use crate::dialect::problem::problem;
use crate::dialect::{Asker, Dialect, Verdict};
use crate::event::Event;
use crate::ground::config::Source;
use crate::ground::id::{ConnId, Seq};
use crate::ground::stats::Stats;
use crate::ground::time::Mono;
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::hub::flow::{FlowFault, Found};
use crate::log::record::{Actor, Record};
use crate::wire::Fault;
use crate::wire::http::head::Head;
use crate::wire::http::reply::Reply;

impl Dialect for Sources {
    fn name(&self) -> &'static str {
        NAME
    }

    fn claims(&self, _hub: &Hub, _path: &str) -> bool {
        false
    }

    fn judge(&mut self, _hub: &mut Hub, _asker: Asker, _head: &Head<'_>) -> Verdict {
        Verdict::Refuse(problem(404, "there is nothing here"))
    }

    fn serve(&mut self, _hub: &mut Hub, _asker: Asker, _head: &Head<'_>, _content: &[u8]) {}

    fn refusal(&self, _path: &str, fault: Fault) -> Reply {
        problem(fault.status, fault.reason)
    }

    /// Of each source's events it counts how many are on their way.
    fn publish(&mut self, hub: &mut Hub, seq: Seq, record: &Record, event: &Arc<Event>) {
        if hub.is_own(record) && record.header.actor == Actor::Server(NAME) {
            let mut links = self.links.iter_mut().map(|(_, link)| link);
            if let Some(link) = links.find(|link| link.config.name == event.source) {
                link.on_its_way.appended = link.on_its_way.appended.saturating_sub(1);
                link.on_its_way.applied.push_back(seq);
            }
        }
    }

    fn durable(&mut self, hub: &mut Hub, through: Seq) {
        for (_, link) in self.links.iter_mut() {
            link.on_its_way.became_durable(through);
        }
        self.regulate(hub);
    }

    /// At a start what was open is found again; later this engine knows it.
    fn change(&mut self, hub: &mut Hub, _record: &Record, change: &[u8]) {
        if !acts(hub) || !hub.recovering {
            return;
        }
        match Change::decode(change) {
            Ok(Change { source, key, kept: Some(kept) }) => {
                let kept = kept.get().as_bytes().into();
                self.kept.entry(source).or_default().insert(key, kept);
            }
            Ok(Change { source, key, kept: None }) => {
                if let Some(open) = self.kept.get_mut(&source) {
                    open.remove(&key);
                }
            }
            Err(wrong) => {
                hub.note(Level::Warn, format!("source: a record that this version does not know: {wrong}"));
            }
        }
    }

    fn started(&mut self, hub: &mut Hub) {
        let mut kept = std::mem::take(&mut self.kept);
        if !acts(hub) {
            return;
        }
        for source in hub.config.sources.clone() {
            let kept = kept.remove(&source.name).unwrap_or_default();
            self.add(hub, source, kept.iter().map(|(key, kept)| (Key::parse(key), &**kept)));
        }
        // Of those that are no longer in the config, nobody will say how things ended.
        for (name, kept) in kept.into_iter().filter(|(_, kept)| !kept.is_empty()) {
            let source = Source { name, ..Source::default() };
            self.add(hub, source, kept.iter().map(|(key, kept)| (Key::parse(key), &**kept)));
        }
        self.reload(hub);
    }

    fn restate(&mut self, hub: &mut Hub, _through: Seq) {
        for (_, link) in self.links.iter() {
            for key in &link.open {
                if let Some(kept) = link.kept(key) {
                    append_change(hub, &link.config.name, key, Some(kept));
                }
            }
        }
    }

    fn flow_opened(
        &mut self,
        hub: &mut Hub,
        flow: ConnId,
        _accepted: Option<SocketAddr>,
        _secure: bool,
        key: u32,
    ) {
        self.opened(hub, flow, key);
    }

    fn flow_received(&mut self, hub: &mut Hub, flow: ConnId, bytes: &[u8]) {
        self.received(hub, flow, bytes);
    }

    fn flow_closed(&mut self, hub: &mut Hub, flow: ConnId, key: u32, why: Option<FlowFault>) {
        self.closed(hub, flow, key, why);
    }

    fn looked_up(&mut self, hub: &mut Hub, key: u64, found: Found) {
        self.found(hub, key, found);
    }

    fn handle_timeout(&mut self, hub: &mut Hub, key: u32, at: Mono) {
        if hub.stopping {
            return;
        }
        if key == PAUSED {
            if at != self.watch {
                return;
            }
            self.watch = Mono::NEVER;
            self.regulate(hub);
        } else {
            self.fall_due(hub, key, at);
        }
    }

    fn reloaded(&mut self, hub: &mut Hub) {
        if acts(hub) && !hub.stopping {
            self.reload(hub);
        }
    }

    fn stop(&mut self, hub: &mut Hub) {
        let slots: Vec<u32> = self.links.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            self.part(hub, slot);
        }
    }

    fn stats(&self, _hub: &Hub, stats: &mut Stats) {
        for (_, link) in self.links.iter() {
            let counted = link.asterisk.counted();
            let mut of = link.stats.clone();
            of.connected = u64::from(link.asterisk.is_up());
            (of.skipped, of.dropped, of.resyncs) = (counted.skipped, counted.dropped, counted.resyncs);
            (of.held, of.forgotten) = (link.asterisk.held() as u64, counted.forgotten);
            stats.sources.insert(link.config.name.to_string(), of);
        }
    }
}

//! How bytes and names find their way between the subscriber and the hub.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::super::AGENT;
use super::super::package::Package;
use super::{Agent, is_here};
use crate::ground::config::{SipCredential, SipTransport};
use crate::ground::deadline::Due;
use crate::ground::id::ConnId;
use crate::ground::stats::SipStats;
use crate::ground::time::Mono;
use crate::hub::Hub;
use crate::hub::action::Level;
use crate::hub::flow::Found;
use crate::wire::sip::digest::Credential;
use crate::wire::sip::endpoint::{self, Endpoint, FlowId, Output};
use crate::wire::sip::subscriber::{Settings, Subscriber};
use crate::wire::sip::uri::bracketed;
use crate::wire::tls::Compiled;

/// What is known of connections and deadlines.
#[derive(Debug, Default)]
pub(super) struct Transport {
    conns: BTreeMap<FlowId, ConnId>,
    flows: BTreeMap<ConnId, FlowId>,
    /// For connections of our own.
    tls: Option<Compiled>,
    /// The deadline that is armed.
    armed: Option<Mono>,
}

/// The subscriber as `[sip]` wants it.
pub(super) fn subscriber(hub: &mut Hub) -> Subscriber {
    let sip = &hub.config.sip;
    let addresses = |transport| sip.addresses(transport).collect::<Vec<_>>();
    let udp = addresses(SipTransport::Udp);
    let host =
        sip.host.clone().or_else(|| sip.listen.first().map(|l| bracketed(&l.address.ip().to_string())));
    let from = sip.from.clone().unwrap_or_else(|| format!("sip:offhook@{}", host.unwrap_or_default()).into());
    let accept: Vec<&str> = PACKAGES.iter().filter_map(|package| package.accept()).collect();
    let settings = endpoint::Settings {
        tcp: addresses(SipTransport::Tcp),
        tls: addresses(SipTransport::Tls),
        udp,
        advertised: sip.host.clone(),
        proxy: sip.proxy.as_deref().and_then(|proxy| proxy.parse().ok()),
        requests_per_second: sip.requests_per_second,
        accept: accept.join(", ").into(),
        limits: hub.config.limits.clone(),
        ..endpoint::Settings::default()
    };
    // A password goes no further than a subscription may.
    let hosts = |c: &SipCredential| if c.hosts.is_empty() { &sip.targets } else { &c.hosts }.clone();
    let credential = |c: &SipCredential| Credential {
        realm: c.realm.clone(),
        hosts: hosts(c),
        user: c.user.clone(),
        password: c.password.clone(),
    };
    let credentials = sip.credentials.iter().map(credential).collect();
    let (targets, limits) = (sip.targets.clone(), hub.config.limits.clone());
    let endpoint = Endpoint::new(settings, hub.rng.next_u64());
    Subscriber::new(endpoint, Settings { from, credentials, targets, limits }, hub.rng.next_u64())
}

/// The packages whose bodies mean something here.
const PACKAGES: [Package; 5] =
    [Package::Reg, Package::Dialog, Package::MessageSummary, Package::Presence, Package::VqRtcpxr];

impl Transport {
    pub(super) fn new(hub: &mut Hub) -> Transport {
        if !is_here(hub) || hub.config.tls.is_none() {
            return Transport::default();
        }
        let tls = hub.flow_tls(&hub.config.sip.tls);
        let tls = tls.map_err(|why| hub.note(Level::Warn, format!("sip: no TLS towards peers: {why}")));
        Transport { tls: tls.ok(), ..Transport::default() }
    }

    fn forget(&mut self, flow: FlowId) -> Option<ConnId> {
        let conn = self.conns.remove(&flow)?;
        self.flows.remove(&conn);
        Some(conn)
    }

    fn know(&mut self, flow: FlowId, conn: ConnId) {
        self.conns.insert(flow, conn);
        self.flows.insert(conn, flow);
    }
}

impl Agent {
    /// What SIP counted.
    pub fn stats(&self) -> SipStats {
        let counted = self.subscriber.as_ref().map(Subscriber::counted).unwrap_or_default();
        SipStats {
            unreadable: counted.unreadable,
            copies_sent: counted.copies_sent,
            copies_received: counted.copies_received,
            stray_responses: counted.stray_responses,
            strangers_answered: counted.strangers_answered,
            strangers_dropped: counted.strangers_dropped,
            requests_dropped: counted.requests_dropped,
            flows_refused: counted.flows_refused,
            bodies_unreadable: self.unreadable,
        }
    }

    /// A datagram came to one of our sockets.
    pub fn datagram(&mut self, hub: &Hub, via: u16, from: SocketAddr, bytes: &[u8]) {
        if let Some(subscriber) = &mut self.subscriber {
            subscriber.receive_datagram(hub.now, via, from, bytes);
        }
    }

    /// A connection is open: a peer's, or one of our own with this key.
    pub fn flow_opened(
        &mut self,
        hub: &Hub,
        conn: ConnId,
        accepted: Option<SocketAddr>,
        secure: bool,
        key: u32,
    ) {
        let Some(subscriber) = &mut self.subscriber else { return };
        match accepted {
            Some(peer) => {
                let flow = subscriber.accept(hub.now, peer, secure);
                self.transport.know(flow, conn);
            }
            None => subscriber.connected(hub.now, FlowId(key)),
        }
    }

    /// Bytes of a connection.
    pub fn flow_received(&mut self, hub: &Hub, conn: ConnId, bytes: &[u8]) {
        if let (Some(subscriber), Some(flow)) = (&mut self.subscriber, self.transport.flows.get(&conn)) {
            subscriber.receive(hub.now, *flow, bytes);
        }
    }

    /// A connection is gone, or could not be had.
    pub fn flow_closed(&mut self, hub: &Hub, conn: ConnId) {
        let Some(flow) = self.transport.flows.get(&conn).copied() else { return };
        self.transport.forget(flow);
        if let Some(subscriber) = &mut self.subscriber {
            subscriber.closed(hub.now, flow);
        }
    }

    /// What a name stands for.
    pub fn looked_up(&mut self, hub: &Hub, ticket: u64, found: Found) {
        if let Some(subscriber) = &mut self.subscriber {
            subscriber.resolved(hub.now, ticket, found);
        }
    }

    /// Its deadline has come: [`AGENT`] is the key.
    pub fn handle_timeout(&mut self, hub: &mut Hub, at: Mono) {
        if self.transport.armed == Some(at) {
            self.transport.armed = None;
        }
        if self.leaving.is_some_and(|until| until <= hub.now.mono) {
            // Peers that do not answer keep nobody from stopping.
            if !self.entries.is_empty() {
                let text = format!(
                    "sip: {} subscriptions are left to run out at their notifiers",
                    self.entries.len()
                );
                hub.note(Level::Warn, text);
            }
            (self.entries, self.subscriber) = (Default::default(), None);
        }
        if let Some(subscriber) = &mut self.subscriber {
            subscriber.handle_timeout(hub.now);
        }
    }

    /// Does what the subscriber asks for, and wakes it when it is due.
    pub(super) fn carry_out(&mut self, hub: &mut Hub) {
        let Agent { subscriber: Some(subscriber), transport, place, .. } = self else { return };
        while let Some(output) = subscriber.poll_output() {
            match output {
                Output::Datagram { via, to, bytes } => hub.send(via, to, bytes),
                Output::Write { flow, bytes } => {
                    if let Some(conn) = transport.conns.get(&flow) {
                        hub.write_flow(*conn, &bytes);
                    }
                }
                Output::Close { flow } => {
                    if let Some(conn) = transport.forget(flow) {
                        hub.close_flow(conn);
                    }
                }
                Output::Resolve { ticket, host } => hub.lookup(*place, ticket, &host),
                Output::Dial { flow, to, tls } => {
                    let tls = tls.as_deref().map(|name| transport.tls.as_ref().map(|tls| (tls, name)));
                    let dialed = match tls {
                        Some(None) => Err("no TLS towards peers".into()),
                        None => hub.dial_flow(*place, flow.0, to, None),
                        Some(tls) => hub.dial_flow(*place, flow.0, to, tls),
                    };
                    match dialed {
                        Ok(conn) => transport.know(flow, conn),
                        Err(why) => {
                            hub.note(Level::Info, format!("sip: no connection with {to}: {why}"));
                            subscriber.closed(hub.now, flow);
                        }
                    }
                }
            }
        }
        if let Some(at) = subscriber.poll_timeout()
            && transport.armed.is_none_or(|armed| at < armed)
        {
            transport.armed = Some(at);
            hub.deadlines.arm(at, Due::Dialect(*place, AGENT));
        }
    }
}

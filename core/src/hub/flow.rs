//! Flows and datagrams: bytes of a protocol that its dialect frames itself. A flow (the word of RFC 5626) is a connection
//! that a listener of that protocol has accepted, or that the dialect has made; what lies between its socket and the
//! dialect, TLS above all, is the engine's affair. What goes out is bounded here.
//!
//! What is absent here: messages, their meaning, patience with a silent peer, who may connect. The dialect closes what it
//! no longer needs, and pauses what it cannot keep up with.

use std::net::{IpAddr, SocketAddr};

use super::Hub;
use super::action::{Action, Level};
use super::conn::{Conn, Ending, Machine};
use super::transport::Transport;
use crate::ground::config::Tls;
use crate::ground::id::ConnId;
use crate::wire::tls::Compiled;
use crate::wire::tls::layer::Layer;

/// What a name stands for, or why it is not known.
pub type Found = Result<Vec<IpAddr>, Box<str>>;

/// One flow.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Its dialect, by its place in the list.
    pub dialect: u8,
    /// The dialect's own key, if the dialect has made it; else 0.
    pub key: u32,
    /// Where it stands.
    pub stage: Stage,
    /// Nothing is read for now.
    pub paused: bool,
    /// It is one of those that [`Hub::dial_flow`] bounds.
    pub is_counted: bool,
    /// Why it ends, once that is known.
    pub why: Option<FlowFault>,
}

impl Flow {
    /// A flow of this dialect.
    #[must_use]
    pub fn new(dialect: u8, key: u32, stage: Stage) -> Flow {
        Flow { dialect, key, stage, paused: false, is_counted: false, why: None }
    }
}

/// Why a flow cannot be had, or ends other than by its peer or its dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowFault {
    /// The socket could not be connected.
    Connect(Box<str>),
    /// TLS failed.
    Tls(Box<str>),
    /// The peer takes nothing.
    Stalled,
}

/// Where a flow stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The socket is being connected.
    Dialing,
    /// TLS is being agreed on.
    Handshaking,
    /// Its dialect knows of it.
    Open,
}

impl Hub {
    /// TLS as `tls` says it, for connections that a dialect makes itself. Made once, it serves all of them.
    ///
    /// # Errors
    /// A sentence that names the key at fault.
    pub fn flow_tls(&self, tls: &Tls) -> Result<Compiled, Box<str>> {
        self.compile(tls).map(Compiled::without_alpn)
    }

    /// Makes a connection. What comes of it: [`crate::dialect::Dialect::flow_opened`] or
    /// [`crate::dialect::Dialect::flow_closed`], with this key. `tls`: how the peer is verified, and under which name.
    ///
    /// # Errors
    /// There is no room for another connection, or the name is none that a certificate can hold. Nothing follows.
    pub fn dial_flow(
        &mut self,
        dialect: u8,
        key: u32,
        address: SocketAddr,
        tls: Option<(&Compiled, &str)>,
    ) -> Result<ConnId, Box<str>> {
        if self.calls.flows() >= self.config.limits.sip_flows {
            return Err("there is no room for another connection".into());
        }
        let flow = Flow { is_counted: true, ..Flow::new(dialect, key, Stage::Dialing) };
        self.begin_flow(flow, address, tls, self.config.limits.sip_dial_ms)
    }

    /// The same for a dialect that bounds its connections itself, and has its own patience with them.
    ///
    /// # Errors
    /// The name is none that a certificate can hold. Nothing follows.
    pub fn connect_flow(
        &mut self,
        dialect: u8,
        key: u32,
        address: SocketAddr,
        tls: Option<(&Compiled, &str)>,
        patience_ms: u64,
    ) -> Result<ConnId, Box<str>> {
        self.begin_flow(Flow::new(dialect, key, Stage::Dialing), address, tls, patience_ms)
    }

    fn begin_flow(
        &mut self,
        flow: Flow,
        address: SocketAddr,
        tls: Option<(&Compiled, &str)>,
        patience_ms: u64,
    ) -> Result<ConnId, Box<str>> {
        let layer = tls.map(|(compiled, name)| Layer::client(compiled, name)).transpose()?;
        let is_counted = flow.is_counted;
        let mut conn = Conn::dialed(Machine::Flow(Box::new(flow)), address);
        conn.transport =
            layer.map(|layer| Box::new(Transport { tls: Some(Box::new(layer)), ..Transport::default() }));
        conn.patience = self.now.mono.plus_ms(patience_ms);
        let id = self.conns.insert(conn);
        self.calls.enter_flow(is_counted);
        self.arm(id);
        self.act(Action::Dial(id, address));
        Ok(id)
    }

    /// Sends bytes on a flow, after those that wait. A peer that takes none is cut when too many do.
    pub fn write_flow(&mut self, id: ConnId, bytes: &[u8]) {
        let unsent_max = self.config.limits.sip_unsent_bytes;
        let Some(conn) = self.conns.get_mut(id) else { return };
        if !matches!(conn.machine, Machine::Flow(_)) || conn.ending == Ending::AfterFlush || bytes.is_empty()
        {
            return;
        }
        if conn.output.private_bytes() + bytes.len() as u64 > unsent_max {
            let text = format!("the connection with {} was cut: it takes nothing", conn.address());
            self.note(Level::Info, text);
            self.note_flow_fault(id, FlowFault::Stalled);
            return self.doom(id);
        }
        conn.output.push_bytes(bytes.to_vec());
        self.flush(id);
    }

    /// Lets the adapter read from a flow, or not: then what its peer sends waits in the kernel, and with the peer.
    pub fn pause_flow(&mut self, id: ConnId, paused: bool) {
        if let Some(Machine::Flow(flow)) = self.conns.get_mut(id).map(|conn| &mut conn.machine) {
            flow.paused = paused;
        }
    }

    /// Notes why a flow is about to end.
    pub(crate) fn note_flow_fault(&mut self, id: ConnId, why: FlowFault) {
        if let Some(Machine::Flow(flow)) = self.conns.get_mut(id).map(|conn| &mut conn.machine) {
            flow.why.get_or_insert(why);
        }
    }

    /// Ends a flow, after what waits on it. [`crate::dialect::Dialect::flow_closed`] is still told.
    pub fn close_flow(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        match &conn.machine {
            Machine::Flow(flow) if flow.stage != Stage::Open => self.doom(id),
            Machine::Flow(_) => {
                if conn.ending == Ending::No {
                    conn.ending = Ending::AfterFlush;
                }
                self.flush(id);
            }
            Machine::Http(_) | Machine::Stream(_) | Machine::Client(_) | Machine::Lingering => {}
        }
    }

    /// Sends a datagram from the UDP socket with this number.
    pub fn send(&mut self, via: u16, to: SocketAddr, bytes: impl Into<Box<[u8]>>) {
        self.stats.datagrams_sent += 1;
        self.act(Action::Send { via, to, bytes: bytes.into() });
    }
}

//! Flows and datagrams: bytes of a protocol that its dialect frames itself. A flow (the word of RFC 5626) is a connection
//! that a listener of that protocol has accepted, or that the dialect has made; what lies between its socket and the
//! dialect, TLS above all, is the engine's affair. What goes out is bounded here.
//!
//! What is absent here: messages, their meaning, patience with a silent peer, who may connect. The dialect closes what it
//! no longer needs.

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
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// Its dialect, by its place in the list.
    pub dialect: u8,
    /// The dialect's own key, if the dialect has made it; else 0.
    pub key: u32,
    /// Where it stands.
    pub stage: Stage,
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
        let layer = tls.map(|(compiled, name)| Layer::client(compiled, name)).transpose()?;
        let flow = Flow { dialect, key, stage: Stage::Dialing };
        let mut conn = Conn::dialed(Machine::Flow(Box::new(flow)), address);
        conn.transport =
            layer.map(|layer| Box::new(Transport { tls: Some(Box::new(layer)), ..Transport::default() }));
        conn.patience = self.now.mono.plus_ms(self.config.limits.sip_dial_ms);
        let id = self.conns.insert(conn);
        self.calls.enter_flow();
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
            return self.doom(id);
        }
        conn.output.push_bytes(bytes.to_vec());
        self.flush(id);
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

//! Bytes on their way through what lies between socket and machine: the PROXY header comes off, TLS is opened and
//! sealed, and a request that a proxy passes on gets the address that it comes from.

use std::net::IpAddr;
use std::ops::ControlFlow;

use super::{Engine, Outbound};
use crate::dialect::Asker;
use crate::ground::config::Listener;
use crate::ground::id::ConnId;
use crate::ground::network::is_in;
use crate::ground::time::Mono;
use crate::hub::Hub;
use crate::hub::action::{Action, Level};
use crate::hub::addresses::Addresses;
use crate::hub::conn::{Conn, Ending, Machine};
use crate::hub::flow::FlowFault;
use crate::wire::http::forwarded;
use crate::wire::http::head::Head;
use crate::wire::http::server::Server;
use crate::wire::{Fault, Step, proxy};

const NOT_TLS: Fault = Fault::bad("this port speaks TLS: the URL begins with https:// or wss://");
const TOO_MANY: Fault = Fault { status: 503, reason: "this address has as many connections as it may" };
const TOO_FAST: Fault = Fault { status: 503, reason: "this address opens connections faster than it may" };

impl Engine {
    /// The address of a connection is known: whether there is room for one more of it. A few places beyond the limit are kept
    /// to answer 503, where there is no TLS.
    pub(super) fn enter_address(&mut self, id: ConnId) -> bool {
        let Hub { conns, addresses, config, stats, .. } = &mut self.hub;
        let Some(conn) = conns.get_mut(id).filter(|conn| is_counted(conn)) else { return true };
        let (open, most) = (addresses.enter(conn.peer), config.limits.connections_per_address);
        if most == 0 || open <= most {
            return true;
        }
        stats.connections_refused += 1;
        conn.surplus = true;
        let refusable = matches!(conn.machine, Machine::Http(_)) && conn.tls().is_none();
        refusable && open <= most + config.limits.refusal_places
    }

    /// A connection is gone.
    pub(super) fn leave_address(&mut self, conn: &Conn) {
        if is_counted(conn) {
            self.hub.addresses.leave(conn.peer);
        }
    }

    /// Bytes of a socket that has something between itself and its machine.
    pub(super) fn receive_through(&mut self, id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.hub.conns.get_mut(id) else { return };
        let Some(transport) = &mut conn.transport else { return };
        let Some(mut announced) = transport.announcing.take() else { return self.open(id, bytes) };
        announced.extend_from_slice(bytes);
        let bytes_max = self.hub.config.limits.proxy_header_bytes as usize;
        match proxy::header(&announced, bytes_max) {
            Step::More => transport.announcing = Some(announced),
            Step::Fault(fault) => {
                let text = format!("the proxy {} was refused: {}", conn.peer, fault.reason);
                // It stays one of those that are not counted.
                transport.announcing = Some(Vec::new());
                self.hub.note(Level::Info, text);
                self.hub.doom(id);
            }
            Step::Item(peer, len) => {
                match peer {
                    Some(peer) => (conn.peer, conn.port) = (peer.ip(), peer.port()),
                    // It speaks for itself, and is not counted.
                    None => transport.proxy = Some(conn.peer),
                }
                if !self.enter_address(id) {
                    return self.hub.doom(id);
                }
                if len < announced.len() {
                    self.open(id, &announced[len..]);
                }
            }
        }
    }

    /// Takes TLS off, if it is there.
    fn open(&mut self, id: ConnId, bytes: &[u8]) {
        let now = self.hub.now;
        let Hub { conns, config, addresses, stats, calls, .. } = &mut self.hub;
        let Some(conn) = conns.get_mut(id) else { return };
        let (peer, via, ours) = (conn.peer, conn.via, conn.is_ours());
        let is_http = matches!(conn.machine, Machine::Http(_));
        let Some(tls) = conn.tls_mut() else { return self.receive_plain(id, bytes) };
        if tls.is_closing() {
            return;
        }
        let limits = &config.limits;
        if tls.is_fresh() && !ours {
            let per_s = limits.handshakes_per_second;
            if !addresses.admits_handshake(now.mono, peer, per_s, limits.addresses_counted) {
                stats.connections_refused += 1;
                return self.hub.doom(id);
            }
            if is_http && bytes.first().is_some_and(u8::is_ascii_alphabetic) {
                return self.answer_in_the_clear(id);
            }
        }
        let was_handshaking = tls.is_handshaking();
        if ours {
            calls.set_clock(now.wall);
        } else if let Some(served) = config.listeners.get(usize::from(via.0)).and_then(|l| l.tls.as_ref()) {
            served.clock.set(now.wall);
        }
        let mut plain = std::mem::take(&mut self.plain);
        let opened = tls.receive(bytes, &mut plain);
        let (ended, writes) = (tls.is_ended(), tls.wants_write());
        let is_agreed = was_handshaking && !tls.is_handshaking();
        if is_agreed && !ours {
            stats.tls_handshakes += 1;
        }
        if is_agreed && is_http {
            // From here on the pace of requests counts.
            conn.machine = Machine::Http(Box::new(Server::new(now.mono, limits)));
            conn.patience = Mono::NEVER;
            self.hub.arm(id);
        } else if is_agreed {
            self.open_flow(id);
        }
        if writes {
            self.hub.flush(id);
        }
        if !plain.is_empty() {
            self.receive_plain(id, &plain);
            plain.clear();
        }
        self.plain = plain;
        match opened {
            Err(why) => self.fail_tls(id, &why),
            Ok(()) if ended => self.end_of_input(id),
            Ok(()) => {}
        }
    }

    /// Somebody speaks HTTP where TLS is expected, and is told so in the clear.
    fn answer_in_the_clear(&mut self, id: ConnId) {
        let now = self.hub.now.mono;
        let Some(conn) = self.hub.conns.get_mut(id) else { return };
        let text = format!("{} speaks plain HTTP on a port with TLS", conn.peer);
        if let Some(transport) = &mut conn.transport {
            transport.tls = None;
        }
        conn.patience = Mono::NEVER;
        conn.machine = Machine::Http(Box::new(Server::new(now, &self.hub.config.limits)));
        self.hub.stats.tls_failures += 1;
        self.hub.note(Level::Info, text);
        self.fault(id, NOT_TLS);
        self.hub.arm(id);
    }

    /// The peer hears of it by an alert (RFC 8446 section 6.2), and nothing else.
    fn fail_tls(&mut self, id: ConnId, why: &str) {
        let Some(conn) = self.hub.conns.get(id) else { return };
        let text = format!("TLS with {} failed: {why}", conn.peer);
        let is_blocked = conn.blocked;
        self.hub.note_flow_fault(id, FlowFault::Tls(why.into()));
        self.hub.stats.tls_failures += 1;
        self.hub.note(Level::Info, text);
        self.linger(id);
        match self.hub.conns.get(id).and_then(Conn::tls) {
            Some(tls) if tls.wants_write() && !is_blocked => self.hub.flush(id),
            Some(_) | None => self.hub.doom(id),
        }
    }

    /// The handshake took too long.
    pub(super) fn note_slow_handshake(&mut self, id: ConnId) {
        let Some(conn) = self.hub.conns.get(id).filter(|conn| conn.is_handshaking()) else { return };
        let text = format!("TLS with {} failed: the handshake took too long", conn.peer);
        self.hub.stats.tls_failures += 1;
        self.hub.note(Level::Info, text);
    }

    /// Closes a connection; with TLS, after the peer has been told (RFC 8446 section 6.1).
    pub(super) fn leave(&mut self, id: ConnId) {
        let says = |conn: &Conn| {
            !conn.blocked && conn.tls().is_some_and(|tls| !tls.is_handshaking() && !tls.is_closing())
        };
        if !self.hub.conns.get(id).is_some_and(says) {
            return self.hub.doom(id);
        }
        self.linger(id);
        if let Some(conn) = self.hub.conns.get_mut(id) {
            conn.ending = Ending::Half;
        }
        self.say_goodbye(id);
    }

    /// Nothing more is sent: ends the sending direction, with TLS after the peer has been told.
    pub(super) fn end_sending(&mut self, id: ConnId) {
        if self.hub.conns.get(id).and_then(Conn::tls).is_some() {
            self.say_goodbye(id);
        } else {
            self.hub.act(Action::Finish(id));
        }
    }

    fn say_goodbye(&mut self, id: ConnId) {
        if let Some(tls) = self.hub.conns.get_mut(id).and_then(Conn::tls_mut) {
            tls.close();
        }
        self.hub.flush(id);
    }

    /// Seals a record's worth of what waits, unless an earlier record does, and lends it.
    pub(super) fn outbound_sealed(&mut self, id: ConnId) -> Option<Outbound<'_>> {
        let Hub { conns, channels, .. } = &mut self.hub;
        let conn = conns.get_mut(id)?;
        let (channel, lending) = (conn.channel(), conn.lending());
        let transport = conn.transport.as_mut().filter(|transport| !transport.finished)?;
        let tls = transport.tls.as_mut()?;
        if tls.outbound().is_empty() {
            let waits = conn.output.lend(channels, channel, lending);
            tls.seal(waits.slices());
            if tls.is_spent() && tls.outbound().is_empty() && !waits.is_empty() {
                self.end_spent(id);
                return None;
            }
        }
        let out = Outbound::of(self.hub.conns.get(id)?.tls()?.outbound());
        self.lent = out.len();
        (!out.is_empty()).then_some(out)
    }

    /// Keys have sealed as much as they may, and more waits: the peer is told that the connection ends, and comes back.
    fn end_spent(&mut self, id: ConnId) {
        let Some(conn) = self.hub.conns.get(id) else { return };
        let text = format!("TLS 1.2 with {} was ended: its keys have sealed as much as they may", conn.peer);
        self.hub.note(Level::Info, text);
        self.leave(id);
        self.settle();
    }

    /// The socket took `n` bytes: how many of them count for what waits. `Break`: none do, and whether more can be lent.
    pub(super) fn advance_sealed(&mut self, id: ConnId, n: usize) -> ControlFlow<bool, usize> {
        let Hub { conns, channels, .. } = &mut self.hub;
        let Some(conn) = conns.get_mut(id) else { return ControlFlow::Break(false) };
        let Some(transport) = &mut conn.transport else { return ControlFlow::Continue(n) };
        let Some(tls) = &mut transport.tls else { return ControlFlow::Continue(n) };
        let sent = tls.advance(n);
        if conn.blocked {
            if matches!(conn.machine, Machine::Lingering) || tls.is_handshaking() {
                // It has been given its time already.
                return ControlFlow::Break(false);
            }
            let frames = conn.output.hold(tls.held() as u64, channels, conn.socket.is_some());
            if let Some(socket) = &mut conn.socket {
                // What its reader skips begins behind them.
                socket.before = socket.before.wrapping_add(frames);
            }
            return ControlFlow::Continue(0);
        }
        // Of a connection that lingers nothing waits any more, whatever is in its last record.
        if sent > 0 && !matches!(conn.machine, Machine::Lingering) {
            return ControlFlow::Continue(sent);
        }
        if tls.wants_write() {
            return ControlFlow::Break(true);
        }
        if matches!(conn.machine, Machine::Lingering) {
            if conn.ending == Ending::Half {
                self.hub.doom(id);
                self.settle();
            } else if !std::mem::replace(&mut transport.finished, true) {
                self.hub.act(Action::Finish(id));
            }
            return ControlFlow::Break(false);
        }
        ControlFlow::Break(!tls.is_handshaking() && !conn.output.is_empty(channels))
    }

    /// Nothing is asked on a connection: a proxy's is nobody's.
    pub(super) fn rest_peer(&mut self, id: ConnId) {
        let Hub { conns, addresses, channels, .. } = &mut self.hub;
        let Some(conn) = conns.get_mut(id) else { return };
        if let Some(proxy) = conn.transport.as_ref().and_then(|transport| transport.proxy)
            && matches!(&conn.machine, Machine::Http(server) if server.is_idle())
            && conn.output.is_empty(channels)
        {
            change_peer(conn, proxy, addresses, 0);
        }
    }

    /// A request begins: whom it comes from, and why it cannot be served, if so.
    pub(super) fn find_asker(&mut self, id: ConnId, head: &Head<'_>) -> (Option<Asker>, Option<Fault>) {
        let Hub { conns, config, addresses, .. } = &mut self.hub;
        let Some(conn) = conns.get_mut(id) else { return (None, None) };
        let most = config.limits.connections_per_address;
        let crowded = most > 0 && is_counted(conn) && addresses.open(conn.peer) > most;
        let mut fault = conn.surplus.then_some(if crowded { TOO_MANY } else { NO_ROOM });
        let listener = config.listeners.get(usize::from(conn.via.0));
        if let Some(proxy) = conn.transport.as_ref().and_then(|transport| transport.proxy)
            // There a header before all requests says it, and no field is believed.
            && let Some(Listener { proxies, proxy_protocol: false, .. }) = listener
        {
            match forwarded::client(head, |address| is_in(address, proxies)) {
                Err(wrong) => fault = Some(wrong),
                Ok(client) if !change_peer(conn, client.unwrap_or(proxy), addresses, most) => {
                    change_peer(conn, proxy, addresses, 0);
                    fault = Some(TOO_MANY);
                }
                Ok(_) => {}
            }
        }
        (Some(asker(id, conn, head)), fault)
    }

    /// Whether the listener serves other addresses alone.
    pub(super) fn is_shut_out(&mut self, asker: Asker) -> bool {
        let listener = self.hub.config.listeners.get(usize::from(asker.via.0));
        let Some(allow) = listener.and_then(|listener| listener.allow.as_deref()) else { return false };
        let is_out = !is_in(asker.peer, allow);
        if is_out {
            self.hub.give_reason(None, format!("allow = [\"{}\"] in its [[listener]] admits it", asker.peer));
        }
        is_out
    }

    /// Counts the handshake of a websocket that begins; what is wrong if there were too many of this address.
    pub(super) fn too_fast(&mut self, asker: Asker, head: &Head<'_>) -> Option<Fault> {
        let Hub { now, config, addresses, .. } = &mut self.hub;
        let (per_s, counted) = (config.limits.handshakes_per_second, config.limits.addresses_counted);
        let is_one_more = head.field("upgrade").is_some();
        (is_one_more && !addresses.admits_handshake(now.mono, asker.peer, per_s, counted)).then_some(TOO_FAST)
    }
}

const NO_ROOM: Fault = Fault { status: 503, reason: "the server has no room for more connections" };

/// Who asks, on a connection whose request began before.
pub(super) fn asker(id: ConnId, conn: &Conn, head: &Head<'_>) -> Asker {
    let proxy = conn.transport.as_ref().and_then(|transport| transport.proxy);
    let forwarded = proxy.is_some_and(|proxy| proxy != conn.peer);
    let https = conn.tls().is_some() || proxy.is_some() && forwarded::is_https(head);
    Asker { conn: id, request: 0, peer: conn.peer, via: conn.via, forwarded, https }
}

/// A proxy's connection carries requests of this client from here on; false if it has more connections than `most`.
fn change_peer(conn: &mut Conn, client: IpAddr, addresses: &mut Addresses, most: u64) -> bool {
    if client == conn.peer {
        return true;
    }
    if is_counted(conn) {
        addresses.leave(conn.peer);
    }
    conn.peer = client;
    // The connection is the proxy's: whoever is behind it has another.
    conn.port = 0;
    !is_counted(conn) || addresses.enter(client) <= most || most == 0
}

/// Proxies are not counted, nor what has not said yet for whom it speaks.
fn is_counted(conn: &Conn) -> bool {
    !conn.is_ours()
        && conn
            .transport
            .as_ref()
            .is_none_or(|transport| transport.announcing.is_none() && transport.proxy != Some(conn.peer))
}

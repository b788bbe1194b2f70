//! From what waits on a connection to what the socket takes of it: lent slices, and how much went.

use std::ops::ControlFlow;

use super::{Engine, Outbound};
use crate::ground::deadline::Due;
use crate::ground::id::ConnId;
use crate::ground::time::{Mono, Now};
use crate::hub::Hub;
use crate::hub::conn::{Ending, Machine};

impl Engine {
    /// Lends what waits on a connection, for one write. `None` if nothing does.
    pub fn outbound(&mut self, id: ConnId) -> Option<Outbound<'_>> {
        self.lent = 0;
        let Hub { conns, channels, config, .. } = &mut self.hub;
        let conn = conns.get_mut(id)?;
        if conn.blocked {
            return None;
        }
        if matches!(&conn.machine, Machine::Client(outgoing) if outgoing.is_sealed()) {
            return self.outbound_of_call(id);
        }
        if conn.tls().is_some_and(|tls| !tls.outbound().is_empty()) {
            return self.outbound_sealed(id);
        }
        let (channel, lending) = (conn.channel(), conn.lending());
        if let Machine::Stream(_) = &conn.machine {
            if conn.output.is_overrun(channels, channel) {
                let skips = self.hub.conns.get(id).is_some_and(|conn| self.skips(conn));
                if skips {
                    self.skip_ahead(id);
                    self.tell_missed(id);
                } else {
                    self.cut(id);
                }
                self.settle();
                return if skips { self.outbound(id) } else { None };
            }
            let dialect = &self.dialects[usize::from(channel)];
            let step = config.limits.resume_step_events;
            conn.output.refill(channels, channel, lending, step, |channel, feed, frame| {
                dialect.admits(channel, feed, frame)
            });
        }
        if conn.output.is_searching() {
            // A step through old events found nothing; the next one comes in the loop's next turn, so that sockets are
            // read in between.
            self.hub.deadlines.arm(self.hub.now.mono, Due::Flush(id));
            return None;
        }
        let lingers = matches!(conn.machine, Machine::Lingering);
        if conn.ending != Ending::No && !lingers && conn.output.is_empty(channels) {
            // It ends after what was queued, and nothing was: an HTTP/1.0 stream has no last chunk.
            self.finish_sent(id);
            return None;
        }
        if self.hub.conns.get(id)?.tls().is_some() {
            return self.outbound_sealed(id);
        }
        let conn = self.hub.conns.get(id)?;
        let out = conn.output.lend(&self.hub.channels, channel, lending);
        self.lent = out.len();
        (!out.is_empty()).then_some(out)
    }

    /// What TLS of a call has sealed, or seals of what waits.
    fn outbound_of_call(&mut self, id: ConnId) -> Option<Outbound<'_>> {
        if matches!(&self.hub.conns.get(id)?.machine, Machine::Client(outgoing) if outgoing.is_spent()) {
            self.hub.end_outgoing(id, false);
            self.settle();
            return None;
        }
        let Machine::Client(outgoing) = &mut self.hub.conns.get_mut(id)?.machine else { return None };
        let out = Outbound::of(outgoing.outbound());
        self.lent = out.len();
        (!out.is_empty()).then_some(out)
    }

    /// The socket took `n` bytes of what was lent. Fewer than all means that it is full: nothing is lent until
    /// [`Engine::writable`]. True: more can be lent at once.
    pub fn advance(&mut self, now: Now, id: ConnId, n: usize) -> bool {
        self.hub.set_now(now);
        let lent = std::mem::take(&mut self.lent);
        self.hub.stats.bytes_sent += n as u64;
        let Some(conn) = self.hub.conns.get_mut(id) else { return false };
        conn.blocked = n < lent;
        let dialect = usize::from(conn.channel());
        let mut sent = n;
        if conn.transport.is_some() {
            match self.advance_sealed(id, n) {
                ControlFlow::Continue(plain) => sent = plain,
                ControlFlow::Break(more) => return more,
            }
        }
        let Hub { conns, channels, config, .. } = &mut self.hub;
        let Some(conn) = conns.get_mut(id) else { return false };
        if matches!(conn.machine, Machine::Client(_)) {
            return self.advance_call(id, n);
        }
        conn.output.advance(sent, channels, dialect as u8);
        if conn.blocked {
            if n > 0 || conn.patience == Mono::NEVER {
                self.be_patient(id, dialect);
            }
            self.keep_begun_frame(id);
            return false;
        }
        if conn.ending == Ending::No && !conn.is_closing() {
            conn.patience = Mono::NEVER;
        }
        if !conn.output.is_empty(channels) {
            return true;
        }
        if conn.ending == Ending::No
            && conn.output.tail().is_none()
            && conn.socket.is_none()
            && let Machine::Stream(stream) = &conn.machine
        {
            let stream = stream.clone();
            self.dialects[dialect].drained(&mut self.hub, &stream);
            self.settle();
            return false;
        }
        if conn.ending != Ending::No {
            if matches!(&conn.machine, Machine::Http(server) if server.waiting() == 0 && !server.input.is_empty())
            {
                // Requests that stand before a half-close; what is left of them after this is no whole request.
                self.serve(id, &[]);
                self.settle();
            }
            self.finish_sent(id);
        } else if let Machine::Http(server) = &mut conn.machine {
            server.wind(now.mono, &config.limits);
            if !server.input.is_empty() {
                self.serve(id, &[]);
                self.settle();
            }
            self.rest_peer(id);
        }
        false
    }

    /// The socket of a call took `n` bytes of what was lent; whether more can be lent at once.
    fn advance_call(&mut self, id: ConnId, n: usize) -> bool {
        let more = self.hub.advance_outgoing(id, n);
        let Some(conn) = self.hub.conns.get_mut(id) else { return false };
        if conn.blocked {
            if n > 0 || conn.patience == Mono::NEVER {
                self.be_patient(id, 0);
            }
            return false;
        }
        if !self.hub.stopping {
            conn.patience = Mono::NEVER;
        }
        more
    }

    /// A socket is full: from now on what waits must move on.
    fn be_patient(&mut self, id: ConnId, dialect: usize) {
        let now = self.hub.now.mono;
        let Some(conn) = self.hub.conns.get(id) else { return };
        let patience = match &conn.machine {
            Machine::Stream(_) if conn.ending != Ending::No || conn.is_closing() => return,
            Machine::Stream(_) => {
                let dialect = &self.dialects[dialect];
                let behind_ms = dialect.behind_ms(&self.hub, &conn.output).unwrap_or(0);
                now.plus_ms(dialect.stall_ms(&self.hub).saturating_sub(behind_ms).max(1))
            }
            // It has been given its time already.
            Machine::Client(_) if self.hub.stopping => return,
            Machine::Http(_) | Machine::Client(_) | Machine::Flow(_) | Machine::Lingering => {
                now.plus_ms(self.hub.config.limits.write_stall_ms)
            }
        };
        if let Some(conn) = self.hub.conns.get_mut(id) {
            conn.patience = patience;
        }
        self.hub.arm(id);
    }

    /// A socket that was full takes bytes again.
    pub fn writable(&mut self, now: Now, id: ConnId) {
        self.hub.set_now(now);
        if let Some(conn) = self.hub.conns.get_mut(id)
            && conn.blocked
        {
            conn.blocked = false;
            self.tell_missed(id);
            self.hub.flush(id);
        }
    }
}

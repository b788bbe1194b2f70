//! From a connection's bytes to a dialect's requests: heads are judged as they come, contents gathered or swallowed,
//! and whatever the peer gets wrong is answered in the form of the dialect that it speaks.

use super::Engine;
use super::records::{NO_ROOM, RETRY_S};
use super::transport::asker;
use crate::dialect::problem::problem;
use crate::dialect::{Asker, Verdict};
use crate::ground::id::ConnId;
use crate::hub::Hub;
use crate::hub::conn::{Ending, Machine};
use crate::wire::Fault;
use crate::wire::http::head::{Framing, Head, parse};
use crate::wire::http::reply::{Asked, Reply, UNREADABLE};
use crate::wire::http::server::{Admitted, Expired, Next, Server};

/// Sent before the body of a request that waits for a go-ahead (RFC 9110 section 15.2.1).
const GO_AHEAD: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Who answers a request.
#[derive(Clone, Copy)]
enum Responder {
    Dialect(usize),
    Operations,
    Nobody,
}

impl Engine {
    /// Feeds a connection: what it kept from before, then `bytes`.
    pub(super) fn serve(&mut self, id: ConnId, bytes: &[u8]) {
        let Some(server) = self.server(id) else { return };
        let mut kept = std::mem::take(&mut server.input);
        if kept.is_empty() {
            let mut input = bytes;
            self.serve_input(id, &mut input);
            match self.server(id) {
                Some(server) => server.keep(input.to_vec()),
                None => self.hear(id, input),
            }
        } else {
            kept.extend_from_slice(bytes);
            let mut input = &kept[..];
            self.serve_input(id, &mut input);
            let used = kept.len() - input.len();
            match self.server(id) {
                Some(server) => {
                    kept.drain(..used);
                    server.keep(kept);
                }
                // The request made a websocket of it, and frames came right behind.
                None => self.hear(id, &kept[used..]),
            }
        }
        self.hub.arm(id);
    }

    fn server(&mut self, id: ConnId) -> Option<&mut Server> {
        match &mut self.hub.conn(id)?.machine {
            Machine::Http(server) => Some(server),
            Machine::Stream(_) | Machine::Client(_) | Machine::Flow(_) | Machine::Lingering => None,
        }
    }

    fn serve_input(&mut self, id: ConnId, input: &mut &[u8]) {
        loop {
            let before = *input;
            let now = self.hub.now.mono;
            let Hub { conns, config, .. } = &mut self.hub;
            let Some(conn) = conns.get_mut(id) else { return };
            let Machine::Http(server) = &mut conn.machine else { return };
            if conn.output.private_bytes() >= config.limits.reply_bytes {
                return;
            }
            match server.next(now, input, &config.limits) {
                Next::Swallowed => {}
                Next::More => return,
                Next::Head(bytes) => match parse(bytes, config.limits.head_fields as usize) {
                    Err(fault) => return self.fault(id, fault),
                    Ok(head) => {
                        if !self.request(id, &head, bytes, input) {
                            *input = before;
                            return;
                        }
                    }
                },
                Next::Request(head, content) => match parse(&head, config.limits.head_fields as usize) {
                    Err(fault) => return self.fault(id, fault),
                    Ok(head) => {
                        let responder = self.responder(id, &head);
                        self.hand_over(id, responder, &head, &content);
                    }
                },
                Next::TooLarge(head) => match parse(&head, config.limits.head_fields as usize) {
                    Err(fault) => return self.fault(id, fault),
                    Ok(head) => {
                        let responder = self.responder(id, &head);
                        let reply = self.in_own_form(responder, head.path, TOO_LARGE);
                        self.answer_now(id, &head, reply);
                    }
                },
                Next::Fault(fault) => return self.fault(id, fault),
                Next::GiveUp => return self.give_up(id),
            }
        }
    }

    /// Judges a request whose head just came, and lets it begin. False: it must wait until earlier ones are answered, or
    /// until it is known who makes it.
    fn request(&mut self, id: ConnId, head: &Head<'_>, bytes: &[u8], input: &mut &[u8]) -> bool {
        let responder = self.responder(id, head);
        let (Some(asker), fault) = self.find_asker(id, head) else { return true };
        let verdict = self.judge(responder, asker, head, fault);
        let Hub { conns, config, .. } = &mut self.hub;
        let Some(conn) = conns.get_mut(id) else { return true };
        let Machine::Http(server) = &mut conn.machine else { return true };
        let waits = matches!(verdict, Verdict::Wait);
        server.hold(waits);
        // A go-ahead must not overtake the answers to earlier requests (RFC 9110 section 15.2).
        let pipelined = matches!(verdict, Verdict::Take { pipelined: true, .. }) && !head.expects_continue;
        if waits || !server.may_start(pipelined, &config.limits) {
            return false;
        }
        self.hub.leave_checks(id);
        let verdict = match self.too_fast(asker, head) {
            Some(fault) => Verdict::Refuse(self.no_entry(id, responder, head, fault)),
            None => verdict,
        };
        self.begin(responder, asker, verdict, head, bytes, input);
        true
    }

    fn judge(
        &mut self,
        responder: Responder,
        asker: Asker,
        head: &Head<'_>,
        fault: Option<Fault>,
    ) -> Verdict {
        self.hub.begin_judging(asker.conn);
        if let Some(fault) = fault {
            return Verdict::Refuse(self.no_entry(asker.conn, responder, head, fault));
        }
        if self.is_shut_out(asker) {
            return Verdict::Refuse(self.in_own_form(responder, head.path, NOT_FROM_THERE));
        }
        let at = match responder {
            Responder::Dialect(at) => at,
            Responder::Operations => return self.operations.judge(&mut self.hub, asker, head),
            Responder::Nobody => {
                return Verdict::Refuse(problem(404, "no dialect on this listener has this address"));
            }
        };
        let verdict = self.dialects[at].judge(&mut self.hub, asker, head);
        if is_coded(head) && matches!(verdict, Verdict::Take { .. }) {
            let reply = self.in_own_form(responder, head.path, CODED);
            return Verdict::Refuse(reply.with("Accept-Encoding", "identity"));
        }
        let changes = !matches!(head.method, "GET" | "HEAD" | "OPTIONS");
        if changes && self.hub.full && matches!(verdict, Verdict::Take { .. }) {
            return Verdict::Refuse(
                self.in_own_form(responder, head.path, NO_ROOM).with("Retry-After", RETRY_S),
            );
        }
        verdict
    }

    /// A request that was judged begins: it is refused, or its content is taken.
    fn begin(
        &mut self,
        responder: Responder,
        mut asker: Asker,
        verdict: Verdict,
        head: &Head<'_>,
        bytes: &[u8],
        input: &mut &[u8],
    ) {
        let (id, now) = (asker.conn, self.hub.now.mono);
        let Hub { conns, config, .. } = &mut self.hub;
        let Some(conn) = conns.get_mut(id) else { return };
        let Machine::Http(server) = &mut conn.machine else { return };
        match verdict {
            Verdict::Refuse(mut reply) => {
                reply.close |= !server.refuse(now, head, &config.limits);
                self.hub.tell_refusal(id, self.name_of(responder), head, reply.status);
                self.answer_now(id, head, reply);
            }
            Verdict::Take { content_max, pipelined } => {
                if matches!(head.framing, Framing::Length(n) if n > content_max) {
                    let close = !server.refuse(now, head, &config.limits);
                    let reply = Reply { close, ..self.in_own_form(responder, head.path, TOO_LARGE) };
                    return self.answer_now(id, head, reply);
                }
                match server.admit(now, head, bytes, content_max, input, &config.limits) {
                    Admitted::Whole(content) => {
                        asker.request = server.open(asked(head), !pipelined);
                        self.dispatch(responder, asker, head, content);
                    }
                    Admitted::Gathering if head.expects_continue => {
                        conn.output.write(|out| out.extend_from_slice(GO_AHEAD));
                        self.hub.flush(id);
                    }
                    Admitted::Gathering => {}
                }
            }
            Verdict::Wait => {}
        }
    }

    /// Hands a request over whose content came in pieces.
    fn hand_over(&mut self, id: ConnId, responder: Responder, head: &Head<'_>, content: &[u8]) {
        let Some(conn) = self.hub.conns.get_mut(id) else { return };
        let mut asker = asker(id, conn, head);
        let Machine::Http(server) = &mut conn.machine else { return };
        // Whether the next may start before this one is answered is judged at its head; gathering took a turn of its
        // own, so the careful answer costs nothing.
        asker.request = server.open(asked(head), true);
        self.dispatch(responder, asker, head, content);
    }

    fn dispatch(&mut self, responder: Responder, asker: Asker, head: &Head<'_>, content: &[u8]) {
        match responder {
            Responder::Dialect(at) => self.dialects[at].serve(&mut self.hub, asker, head, content),
            Responder::Operations => self.operations.serve(&mut self.hub, asker, head),
            Responder::Nobody => self.hub.reply(asker.conn, asker.request, problem(404, "no such address")),
        }
    }

    fn responder(&self, id: ConnId, head: &Head<'_>) -> Responder {
        let Some(conn) = self.hub.conns.get(id) else { return Responder::Nobody };
        let listener = self.hub.config.listeners.get(usize::from(conn.via.0));
        let serves = |dialect: &str| listener.is_none_or(|listener| listener.serves(dialect));
        let mut dialects = self.dialects.iter();
        if let Some(at) = dialects.position(|d| d.claims(&self.hub, head.path) && serves(d.served_with())) {
            Responder::Dialect(at)
        } else if super::operations::claims(head.path) {
            Responder::Operations
        } else {
            Responder::Nobody
        }
    }

    fn name_of(&self, responder: Responder) -> &'static str {
        match responder {
            Responder::Dialect(at) => self.dialects[at].name(),
            Responder::Operations | Responder::Nobody => "operations",
        }
    }

    fn in_own_form(&self, responder: Responder, path: &str, fault: Fault) -> Reply {
        match responder {
            Responder::Dialect(at) => self.dialects[at].refusal(path, fault),
            Responder::Operations | Responder::Nobody => problem(fault.status, fault.reason),
        }
    }

    /// What a peer hears for which there is no room, or whose proxy makes no sense.
    fn no_entry(&self, id: ConnId, responder: Responder, head: &Head<'_>, fault: Fault) -> Reply {
        let mut reply = self.in_own_form(responder, head.path, fault);
        reply.close = self.hub.conns.get(id).is_some_and(|conn| conn.surplus);
        if fault.status == 503 { reply.with("Retry-After", "1") } else { reply }
    }

    fn answer_now(&mut self, id: ConnId, head: &Head<'_>, reply: Reply) {
        let Some(server) = self.server(id) else { return };
        let request = server.open(asked(head), true);
        self.hub.reply(id, request, reply);
    }

    /// The peer broke HTTP itself: one answer, after those that are owed, and the end. In a body the answer has the
    /// form of the dialect that was asked; in a head nobody knows yet which that is.
    pub(super) fn fault(&mut self, id: ConnId, fault: Fault) {
        let fields_max = self.hub.config.limits.head_fields as usize;
        let Some(server) = self.server(id) else { return };
        let head = server.gathering().map(<[u8]>::to_vec);
        let head = head.as_deref().and_then(|head| parse(head, fields_max).ok());
        let mut reply = match &head {
            Some(head) => self.in_own_form(self.responder(id, head), head.path, fault),
            None => problem(fault.status, fault.reason),
        };
        reply.close = true;
        let Some(server) = self.server(id) else { return };
        let request = server.open(UNREADABLE, true);
        server.close();
        self.hub.reply(id, request, reply);
    }

    /// Takes no more, sends what is owed, and ends the connection.
    fn give_up(&mut self, id: ConnId) {
        let Hub { conns, channels, .. } = &mut self.hub;
        let Some(conn) = conns.get_mut(id) else { return };
        let Machine::Http(server) = &mut conn.machine else { return };
        server.close();
        if server.waiting() == 0 && conn.output.is_empty(channels) {
            return self.finish(id);
        }
        conn.ending = Ending::AfterFlush;
        self.hub.flush(id);
    }

    /// The peer of a connection without a stream let a deadline pass.
    pub(super) fn http_due(&mut self, id: ConnId) {
        let now = self.hub.now.mono;
        let Hub { conns, config, channels, .. } = &mut self.hub;
        let Some(conn) = conns.get_mut(id) else { return };
        let Machine::Http(server) = &mut conn.machine else { return };
        match server.handle_timeout(now, &config.limits) {
            // A peer that still takes its replies is not idle; whether it does is the write stall's affair.
            Some(Expired::Idle) if !conn.output.is_empty(channels) => server.wind(now, &config.limits),
            Some(Expired::Idle) => self.leave(id),
            Some(Expired::Request(fault)) => self.fault(id, fault),
            Some(Expired::GiveUp) => self.give_up(id),
            None => {}
        }
        self.hub.arm(id);
    }
}

const NOT_FROM_THERE: Fault = Fault { status: 403, reason: "this address may not come in" };
const TOO_LARGE: Fault = Fault { status: 413, reason: "the body is larger than this address takes" };
const CODED: Fault =
    Fault { status: 415, reason: "the body has a Content-Encoding, and bodies are taken without one" };

/// Whether a body comes that would have to be decoded first (RFC 9110 section 15.5.16).
fn is_coded(head: &Head<'_>) -> bool {
    let codings = head.fields().iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-encoding"));
    let mut codings = codings.flat_map(|(_, value)| value.split(',')).map(str::trim);
    head.framing != Framing::Length(0)
        && codings.any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
}

fn asked(head: &Head<'_>) -> Asked {
    Asked { http11: head.http11, head_only: head.is_head(), keep_alive: head.keep_alive }
}

//! What peers do to a SIP endpoint: a script of lines, each ended by a form feed. The first byte says what happens, the
//! rest is its text; `{branch}` stands for the branch of our last request.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use offhook_core::ground::limits::Limits;
use offhook_core::ground::time::Mono;
use offhook_core::wire::sip::endpoint::{Endpoint, FlowId, Happened, Held, Output, Settings};
use offhook_core::wire::sip::message::Message;

const END: u8 = 0x0c;
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 5060);

/// Plays the script; afterwards every request has had its outcome, and nothing is held.
pub fn run(data: &[u8]) {
    for requests_per_second in [0, 3] {
        Play::new(requests_per_second).play(data);
    }
}

struct Play {
    endpoint: Endpoint,
    now: Mono,
    /// Requests of ours, and how many outcomes each has had.
    outcomes: BTreeMap<u64, u32>,
    branch: String,
    flows: Vec<FlowId>,
    dialing: Vec<FlowId>,
    tickets: Vec<u64>,
}

impl Play {
    fn new(requests_per_second: u32) -> Play {
        let bound = vec![SocketAddr::from(([192, 0, 2, 1], 5060))];
        let limits = Limits {
            sip_requests: 8,
            sip_requests_remembered: 4,
            sip_flows: 3,
            sip_flow_bytes: 4_000,
            sip_names: 2,
            sip_head_bytes: 2_000,
            sip_body_bytes: 2_000,
            ..Limits::default()
        };
        let settings =
            Settings { udp: bound.clone(), tcp: bound, requests_per_second, limits, ..Settings::default() };
        Play {
            endpoint: Endpoint::new(settings, 1),
            now: Mono(1_000_000),
            outcomes: BTreeMap::new(),
            branch: String::new(),
            flows: Vec::new(),
            dialing: Vec::new(),
            tickets: Vec::new(),
        }
    }

    fn play(mut self, data: &[u8]) {
        for line in data.split(|byte| *byte == END) {
            if let Some((verb, text)) = line.split_first() {
                self.step(*verb, text);
                self.drain();
            }
        }
        // Peers fall silent.
        while let Some(due) = self.endpoint.poll_timeout() {
            self.wake(due);
        }
        assert_eq!(self.endpoint.held(), Held::default());
        assert!(self.outcomes.values().all(|count| *count == 1), "{:?}", self.outcomes);
    }

    fn step(&mut self, verb: u8, text: &[u8]) {
        let now = self.now;
        match verb {
            b'd' => self.endpoint.receive_datagram(now, 0, PEER, &self.filled_in(text)),
            b'a' => self.flows.push(self.endpoint.accept(now, PEER, false)),
            b's' => {
                let text = self.filled_in(text);
                if let Some(flow) = self.flows.last() {
                    self.endpoint.receive(now, *flow, &text);
                }
            }
            b'c' => {
                if let Some(flow) = self.flows.pop() {
                    self.endpoint.closed(now, flow);
                }
            }
            b'o' => {
                for flow in std::mem::take(&mut self.dialing) {
                    self.endpoint.connected(now, flow);
                    self.flows.push(flow);
                }
            }
            b'x' => {
                for flow in std::mem::take(&mut self.dialing) {
                    self.endpoint.closed(now, flow);
                }
            }
            b'n' => {
                let addresses = text.iter().map(|last| IpAddr::from([192, 0, 2, *last])).collect();
                if let Some(ticket) = self.tickets.pop() {
                    self.endpoint.resolved(now, ticket, Ok(addresses));
                }
            }
            b'r' => self.request(&String::from_utf8_lossy(text)),
            b't' => {
                let ms: u64 = text.iter().map(|byte| u64::from(*byte) * 50).sum();
                let until = now.plus_ms(ms);
                while let Some(due) = self.endpoint.poll_timeout().filter(|due| *due <= until) {
                    self.wake(due);
                }
                self.now = until;
            }
            _ => {}
        }
    }

    fn filled_in(&self, text: &[u8]) -> Vec<u8> {
        match std::str::from_utf8(text) {
            Ok(text) => text.replace("{branch}", &self.branch).into(),
            Err(_) => text.into(),
        }
    }

    /// A request of ours; a body follows the URI behind a space.
    fn request(&mut self, text: &str) {
        let (uri, body) = text.split_once(' ').unwrap_or((text, ""));
        let mut request = Message::request("SUBSCRIBE", uri);
        for (name, value) in [
            ("From", "<sip:a@a.test>;tag=a"),
            ("To", "<sip:b@b.test>"),
            ("Call-ID", "1"),
            ("CSeq", "1 SUBSCRIBE"),
        ] {
            request.fields.push(name, value);
        }
        request.body = body.into();
        let key = self.outcomes.len() as u64;
        self.outcomes.insert(key, 0);
        self.endpoint.request(self.now, key, request, None);
    }

    fn wake(&mut self, due: Mono) {
        assert!(due >= self.now || self.endpoint.poll_timeout() == Some(due));
        self.now = self.now.max(due);
        self.endpoint.handle_timeout(self.now);
        assert!(self.endpoint.poll_timeout().is_none_or(|next| next > self.now), "what was due is done");
        self.drain();
    }

    /// Does what the endpoint asks for, and answers what it was asked; all that leaves is SIP.
    fn drain(&mut self) {
        loop {
            while let Some(output) = self.endpoint.poll_output() {
                match output {
                    Output::Datagram { bytes, .. } => match Message::from_datagram(&bytes) {
                        Ok(sent) => self.note_branch(&sent),
                        // What was malformed in a request is so in its refusal too.
                        Err(_) => {
                            assert!(bytes.starts_with(b"SIP/2.0 4") || bytes.starts_with(b"SIP/2.0 5"));
                        }
                    },
                    Output::Write { flow, bytes } => {
                        assert!(!self.dialing.contains(&flow), "nothing is written before it is open");
                        // Several messages may have waited.
                        assert!(bytes.starts_with(b"SIP/2.0 ") || bytes.starts_with(b"SUBSCRIBE "));
                    }
                    Output::Dial { flow, .. } => self.dialing.push(flow),
                    Output::Close { flow } => {
                        self.flows.retain(|known| *known != flow);
                        self.dialing.retain(|known| *known != flow);
                    }
                    Output::Resolve { ticket, .. } => self.tickets.push(ticket),
                }
            }
            let Some(happened) = self.endpoint.poll_happened() else { return };
            match happened {
                Happened::Sent { key } => assert_eq!(self.outcomes.get(&key), Some(&0)),
                Happened::Answered { key, .. } | Happened::Unanswered { key, .. } => {
                    *self.outcomes.get_mut(&key).expect("only what was sent has an outcome") += 1;
                }
                Happened::Asked { id, request } => {
                    assert_eq!((request.method(), request.to_tag().is_some()), (Some("NOTIFY"), true));
                    let status = if request.body.is_empty() { 200 } else { 481 };
                    self.endpoint.answer(self.now, id, Message::response(&request, status, ""));
                }
            }
        }
    }

    fn note_branch(&mut self, sent: &Message) {
        if sent.method().is_some()
            && let Some(branch) = sent.vias().next().as_ref().and_then(|via| via.branch())
        {
            self.branch = branch.to_owned();
        }
    }
}

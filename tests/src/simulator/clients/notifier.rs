//! A notifier at the other end of a bad link: it says no in many ways, changes its resources, forgets its subscribers, and
//! repeats what has no answer. After the faults each NOTIFY must be answered.
//!
//! What is absent here: dialogs and their messages (`crate::sip::notifier`).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use offhook_core::wire::sip::message::Message;
use offhook_core::wire::sip::transaction::{LIFE_MS, T1_MS, T2_MS};

use super::super::books::Books;
use super::super::client::{Client, Io};
use super::super::net::{End, LinkId};
use crate::sip::notifier::Notifier as Dialogs;

/// Where it is.
pub const ADDRESS: &str = "192.0.2.70:5060";

/// How long the answer to a request is repeated: Timer J, and what a copy may be late.
const ANSWERED_MS: u64 = LIFE_MS + 8_000;

/// From one look at what is due to the next.
const TICK_MS: u64 = 200;

/// After the faults the server may still be starting for so long.
const START_MS: u64 = 30_000;

/// Copies of a NOTIFY that a good link makes at most, whatever the server is doing.
const COPIES_MAX: u32 = 4;

/// The nonce of its challenges.
const NONCE: &str = "84a4cc6f3082121f32b42a2187831a9e";

/// The notifier.
#[derive(Debug)]
pub struct Notifier {
    dialogs: Dialogs,
    /// Of a hundred requests, so many are not simply granted.
    fails_percent: u64,
    /// What it said to each request, by branch; nothing, if it keeps silent about it.
    answers: BTreeMap<String, (u64, Vec<u8>)>,
    /// NOTIFYs without an answer, by branch.
    sending: BTreeMap<String, Sending>,
    /// What was granted, by Call-ID.
    granted: BTreeMap<String, Granted>,
    /// Each resource's package, and whether it has changed since the faults are over.
    resources: BTreeMap<String, (String, bool)>,
    changes: u64,
    calm_since: Option<u64>,
    next_act: u64,
}

#[derive(Debug)]
struct Sending {
    call_id: String,
    bytes: Vec<u8>,
    since: u64,
    next: u64,
    wait_ms: u64,
    copies: u32,
}

#[derive(Debug)]
struct Granted {
    /// The number of the last SUBSCRIBE.
    cseq: u32,
    until: u64,
}

impl Notifier {
    /// A notifier that grants so many seconds.
    #[must_use]
    pub fn new(granted_s: u32, fails_percent: u64) -> Notifier {
        let mut dialogs = Dialogs::new(ADDRESS);
        dialogs.granted_s = granted_s;
        Notifier {
            dialogs,
            fails_percent,
            answers: BTreeMap::new(),
            sending: BTreeMap::new(),
            granted: BTreeMap::new(),
            resources: BTreeMap::new(),
            changes: 0,
            calm_since: None,
            next_act: 0,
        }
    }

    fn fails(&self, io: &mut Io<'_>) -> bool {
        !io.calm && io.rng.below(100) < self.fails_percent
    }

    /// A SUBSCRIBE that it has not seen.
    fn requested(&mut self, io: &mut Io<'_>, request: &Message, bytes: &[u8]) {
        assert_eq!(request.method(), Some("SUBSCRIBE"), "a subscriber sends nothing else");
        let (uri, call_id) =
            (request.uri().expect("a request has one").to_owned(), request.call_id().to_owned());
        let cseq = request.cseq().expect("a request has a number").0;
        let overtaken = self.granted.get(&call_id).is_some_and(|granted| cseq <= granted.cseq);
        let refusal = if !self.dialogs.may_take(request) {
            None
        } else if overtaken {
            Some(answer(request, 500, &[]))
        } else if self.fails(io) {
            refusal(io, request)
        } else {
            None
        };
        if let Some(said) = refusal {
            if said.starts_with(b"SIP/2.0 481") {
                self.forget(&call_id);
            }
            if !said.is_empty() {
                io.datagram(said.clone());
            }
            self.answers.insert(branch(request), (io.now + ANSWERED_MS, said));
            return;
        }
        if request.to_tag().is_none() {
            let event = request.fields.get("Event").unwrap_or_default().to_owned();
            self.resources.entry(uri).or_insert((event, false));
        }
        let mut said = self.dialogs.receive(bytes);
        self.answers.insert(branch(request), (io.now + ANSWERED_MS, said[0].clone()));
        if let Some(expires_s) = field(&said[0], "Expires") {
            let until = io.now + 1_000 * expires_s.parse::<u64>().expect("a number");
            self.granted.insert(call_id, Granted { cseq, until });
        }
        // The NOTIFY may come before the 200 (RFC 6665 section 4.1.2.4).
        let swaps = said.len() == 2 && self.fails(io);
        if swaps {
            said.swap(0, 1);
        }
        for (at, bytes) in said.into_iter().enumerate() {
            if (at == 1) != swaps {
                self.notify(io, bytes);
            } else {
                io.datagram(bytes);
            }
        }
    }

    /// Sends a NOTIFY until it is answered.
    fn notify(&mut self, io: &mut Io<'_>, bytes: Vec<u8>) {
        let message = Message::from_datagram(&bytes).expect("it writes SIP");
        io.datagram(bytes.clone());
        let call_id = message.call_id().to_owned();
        let (since, next) = (io.now, io.now + T1_MS);
        let sending = Sending { call_id, bytes, since, next, wait_ms: T1_MS, copies: 0 };
        self.sending.insert(branch(&message), sending);
    }

    /// The answer to a NOTIFY.
    fn answered(&mut self, io: &mut Io<'_>, response: &Message, status: u16) {
        let Some(sending) = self.sending.remove(&branch(response)) else { return };
        io.books.seen.notifies += 1;
        match status {
            200 => {}
            481 => self.forget(&sending.call_id),
            // One that was sent later has overtaken it.
            500 => {}
            _ => panic!("a NOTIFY is answered {status}: {}", String::from_utf8_lossy(&sending.bytes)),
        }
    }

    fn forget(&mut self, call_id: &str) {
        self.dialogs.forget(call_id);
        self.granted.remove(call_id);
    }

    /// Does what is due.
    fn go_on(&mut self, io: &mut Io<'_>) {
        let now = io.now;
        self.answers.retain(|_, (until, _)| *until > now);
        for (_, sending) in self.sending.extract_if(.., |_, sending| sending.since + LIFE_MS <= now) {
            // Nobody is there (RFC 6665 section 4.2.2).
            self.dialogs.forget(&sending.call_id);
            self.granted.remove(&sending.call_id);
        }
        let good_from = self.calm_since.map_or(u64::MAX, |since| since + START_MS);
        for sending in self.sending.values_mut().filter(|sending| sending.next <= now) {
            io.datagram(sending.bytes.clone());
            sending.copies += 1;
            assert!(
                sending.since < good_from || sending.copies <= COPIES_MAX,
                "over a good link a NOTIFY has no answer: {}",
                String::from_utf8_lossy(&sending.bytes)
            );
            sending.wait_ms = (sending.wait_ms * 2).min(T2_MS);
            sending.next = now + sending.wait_ms;
        }
        let ended: Vec<String> = self
            .granted
            .iter()
            .filter(|(_, granted)| granted.until <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for call_id in ended {
            self.end(io, &call_id, "terminated;reason=timeout");
        }
    }

    fn end(&mut self, io: &mut Io<'_>, call_id: &str, state: &str) {
        self.granted.remove(call_id);
        if let Some(last) = self.dialogs.end_one(call_id, state) {
            self.notify(io, last);
        }
    }

    /// Does something of its own accord.
    fn act(&mut self, io: &mut Io<'_>) {
        if io.now < self.next_act {
            return;
        }
        self.next_act = io.now + if io.calm { 1_000 } else { io.rng.below(4_000) };
        if io.calm {
            if self.calm_since.is_none() {
                self.calm_since = Some(io.now);
                // What it did not want to hear it hears now.
                self.answers.retain(|_, (_, said)| !said.is_empty());
            }
            // All have a state that nobody can have seen before.
            let still =
                self.resources.iter().filter(|(_, (_, changed))| !changed).map(|(uri, _)| uri.clone());
            for uri in still.collect::<Vec<_>>() {
                self.change(io, &uri);
                self.resources.entry(uri).and_modify(|(_, changed)| *changed = true);
            }
            return;
        }
        let (uris, calls) = (self.resources.len() as u64, self.granted.len() as u64);
        let uri = self.resources.keys().nth(io.rng.below(uris) as usize).cloned();
        let call_id = self.granted.keys().nth(io.rng.below(calls) as usize).cloned();
        match (io.rng.below(100), uri, call_id) {
            (0..70, Some(uri), _) => self.change(io, &uri),
            (70..80, _, Some(call_id)) if self.fails(io) => {
                let states = [
                    "deactivated",
                    "probation;retry-after=3",
                    "timeout",
                    "probation",
                    "giveup;retry-after=9",
                ];
                let reason = states[io.rng.below(states.len() as u64) as usize];
                self.end(io, &call_id, &format!("terminated;reason={reason}"));
            }
            (80..82, ..) if self.fails(io) => {
                self.dialogs.restart();
                (self.granted, self.sending, self.answers) = Default::default();
            }
            _ => {}
        }
    }

    /// A resource is not as it was.
    fn change(&mut self, io: &mut Io<'_>, uri: &str) {
        let Some((event, _)) = self.resources.get(uri) else { return };
        self.changes += 1;
        let (changes, mark) = (self.changes, mark(self.changes));
        let (content_type, body) = match event.as_str() {
            "message-summary" => (
                "application/simple-message-summary",
                format!(
                    "Messages-Waiting: yes\r\nMessage-Account: sip:{mark}@example.test\r\nVoice-Message: 1/0\r\n"
                ),
            ),
            "presence" => (
                "application/pidf+xml",
                format!(
                    "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"{uri}\"><tuple id=\"t\"><status><basic>open\
                     </basic></status><note>{mark}</note></tuple></presence>"
                ),
            ),
            _ => (
                "application/dialog-info+xml",
                format!(
                    "<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{changes}\" state=\"full\" \
                     entity=\"{uri}\"><dialog id=\"{mark}\"><state>confirmed</state></dialog></dialog-info>"
                ),
            ),
        };
        io.books.resources.entry(uri.to_owned()).or_default().mark = mark;
        for notify in self.dialogs.change(uri, content_type, body.as_bytes()) {
            self.notify(io, notify);
        }
    }

    /// Tells the books how many dialogs there are.
    fn account(&self, io: &mut Io<'_>) {
        for uri in self.resources.keys() {
            let held = io.books.resources.entry(uri.clone()).or_default();
            held.dialogs = self.dialogs.dialogs_of(uri);
        }
    }
}

/// A word that stands in one state alone.
fn mark(change: u64) -> String {
    format!("state-{change}-")
}

fn branch(message: &Message) -> String {
    let via = message.vias().next().expect("a message has a Via");
    via.branch().expect("a Via has a branch").to_owned()
}

fn field(bytes: &[u8], name: &str) -> Option<String> {
    let message = Message::from_datagram(bytes).expect("it writes SIP");
    message.fields.get(name).map(str::to_owned)
}

fn answer(request: &Message, status: u16, fields: &[(&str, String)]) -> Vec<u8> {
    let mut response = Message::response(request, status, "No");
    for (name, value) in fields {
        response.fields.push(name, value.as_str());
    }
    let mut bytes = Vec::new();
    response.write(&mut bytes);
    bytes
}

/// One of the ways to say no; nothing is silence, and `None` yes all the same.
fn refusal(io: &mut Io<'_>, request: &Message) -> Option<Vec<u8>> {
    let is_first = request.to_tag().is_none();
    match io.rng.below(8) {
        0 | 1 if request.fields.get("Authorization").is_none() => {
            let challenge =
                format!("Digest realm=\"example.test\", nonce=\"{NONCE}\", qop=\"auth\", algorithm=MD5");
            Some(answer(request, 401, &[("WWW-Authenticate", challenge)]))
        }
        2 => {
            let asked_s: u32 = request.fields.get("Expires").and_then(|s| s.parse().ok()).unwrap_or_default();
            let brief = (1..7_200).contains(&asked_s);
            brief.then(|| answer(request, 423, &[("Min-Expires", (asked_s + 30).to_string())]))
        }
        3 => Some(answer(request, 503, &[])),
        4 => Some(answer(request, 503, &[("Retry-After", "4".to_owned())])),
        5 => Some(Vec::new()),
        6 if !is_first => Some(answer(request, 481, &[])),
        _ => None,
    }
}

impl Client for Notifier {
    fn name(&self) -> &'static str {
        "a notifier"
    }

    fn address(&self) -> Option<SocketAddr> {
        ADDRESS.parse().ok()
    }

    fn wake(&mut self, io: &mut Io<'_>) {
        self.go_on(io);
        self.act(io);
        self.account(io);
        io.wake_in(TICK_MS);
    }

    fn received(&mut self, _io: &mut Io<'_>, _link: LinkId, _bytes: &[u8]) {}

    fn ended(&mut self, _io: &mut Io<'_>, _link: LinkId, _how: End) {}

    fn datagram(&mut self, io: &mut Io<'_>, bytes: &[u8]) {
        let message = Message::from_datagram(bytes).expect("SIP is sent here");
        if let Some(status) = message.status() {
            self.answered(io, &message, status);
        } else if let Some((_, said)) = self.answers.get(&branch(&message)) {
            if !said.is_empty() {
                io.datagram(said.clone());
            }
        } else {
            self.requested(io, &message, bytes);
        }
        self.account(io);
    }

    fn waits_for(&self, _books: &Books) -> Option<String> {
        let still = self.resources.iter().find(|(_, (_, changed))| !changed);
        still.map(|(uri, _)| format!("a change of {uri}"))
    }
}

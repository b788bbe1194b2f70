//! What the tests of the subscriber share: one without sockets in virtual time, and a notifier whose every line a test
//! writes.

mod challenges;
mod ends;
mod forks;
mod hostile;
mod model;
mod orderings;
mod pace;
mod refreshes;
mod restarts;
mod subscribing;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use super::{Content, Event, Saved, Settings, Subscriber, Wanted};
use crate::ground::limits::Limits;
use crate::ground::time::{Mono, Now, Wall};
use crate::wire::sip::digest::Credential;
use crate::wire::sip::endpoint::{self, Endpoint, Output};
use crate::wire::sip::message::Message;

pub(super) const KEY: u32 = 7;
const BEGINNING: Now = Now { mono: Mono(1_000_000), wall: Wall(1_767_225_600_000) };
const URI: &str = "sip:alice@192.0.2.9";

fn us() -> SocketAddr {
    "192.0.2.1:5060".parse().unwrap()
}

fn peer() -> SocketAddr {
    "192.0.2.9:5060".parse().unwrap()
}

pub(super) fn wanted() -> Wanted {
    Wanted {
        uri: URI.into(),
        event: "dialog".into(),
        accept: ["application/dialog-info+xml".into()].into(),
        expires_s: 3_600,
        client: 0,
        takes_forks: true,
    }
}

/// A subscriber with this seed, and so many requests in a second.
fn subscriber(seed: u64, requests_per_second: u32) -> Subscriber {
    let endpoint = endpoint::Settings { udp: vec![us()], requests_per_second, ..Default::default() };
    let credential = Credential {
        realm: "*".into(),
        hosts: vec!["192.0.2.0/24".parse().unwrap()],
        user: "gateway".into(),
        password: "secret".into(),
    };
    let settings = Settings {
        from: "sip:offhook@example.test".into(),
        credentials: vec![credential],
        targets: ["192.0.2.0/24", "198.51.100.9"].map(|hosts| hosts.parse().unwrap()).into(),
        limits: Limits::default(),
    };
    Subscriber::new(Endpoint::new(endpoint, seed), settings, seed)
}

/// A subscriber, and what it has sent and said.
pub(super) struct Stage {
    pub(super) subscriber: Subscriber,
    pub(super) now: Now,
    /// SUBSCRIBEs, without their copies.
    pub(super) requests: VecDeque<Message>,
    /// Answers to NOTIFYs.
    responses: VecDeque<Message>,
    /// Numbers of dialogs, in the order of their appearance.
    numbers: Vec<u32>,
    pub(super) saved: Vec<Saved>,
    branches: u32,
    /// Branches of all SUBSCRIBEs.
    seen: BTreeSet<String>,
}

impl Stage {
    pub(super) fn new() -> Stage {
        Stage::with(1, 0)
    }

    /// With this seed, and so many requests in a second.
    pub(super) fn with(seed: u64, requests_per_second: u32) -> Stage {
        Stage {
            subscriber: subscriber(seed, requests_per_second),
            now: BEGINNING,
            requests: VecDeque::new(),
            responses: VecDeque::new(),
            numbers: Vec::new(),
            saved: Vec::new(),
            branches: 0,
            seen: BTreeSet::new(),
        }
    }

    /// What is wanted until a moment far away.
    pub(super) fn subscribe(&mut self, wanted: Wanted) {
        let until = self.in_s(1_000_000);
        self.subscriber.subscribe(self.now, KEY, wanted, until);
        self.collect();
    }

    /// Subscribes; the peer grants it, and its NOTIFY says so.
    pub(super) fn subscribed(expires_s: u32) -> (Stage, Message) {
        let mut stage = Stage::new();
        stage.subscribe(Wanted { expires_s, ..wanted() });
        let request = stage.request();
        stage.answer(&request, 200, &[("Expires", &expires_s.to_string())]);
        assert_eq!(stage.notify(&request, 1, &format!("active;expires={expires_s}")), 200);
        stage.events();
        (stage, request)
    }

    pub(super) fn in_s(&self, s: u64) -> Wall {
        Wall(self.now.wall.0 + s * 1_000)
    }

    /// The next SUBSCRIBE.
    pub(super) fn request(&mut self) -> Message {
        self.requests.pop_front().expect("a SUBSCRIBE was sent")
    }

    /// Lets time pass; what is due is done when it is due.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now.mono.plus_ms(ms);
        while let Some(due) = self.subscriber.poll_timeout().filter(|due| *due <= end) {
            self.set(due.max(self.now.mono));
            self.subscriber.handle_timeout(self.now);
            self.collect();
        }
        self.set(end);
    }

    /// Lets time pass until the next SUBSCRIBE, and says how many milliseconds that took.
    pub(super) fn until_request(&mut self) -> (u64, Message) {
        let before = self.now.mono;
        self.collect();
        while self.requests.is_empty() {
            let due = self.subscriber.poll_timeout().expect("something is due");
            self.pass(due.since(self.now.mono));
        }
        (self.now.mono.since(before), self.request())
    }

    fn set(&mut self, mono: Mono) {
        self.now.wall.0 += mono.since(self.now.mono);
        self.now.mono = mono;
    }

    /// Takes what the subscriber has sent.
    pub(super) fn collect(&mut self) {
        while let Some(output) = self.subscriber.poll_output() {
            let Output::Datagram { bytes, .. } = output else { panic!("{output:?}") };
            let message = Message::from_datagram(&bytes).expect("we write messages that can be read");
            if message.status().is_some() {
                self.responses.push_back(message);
                continue;
            }
            if self.seen.insert(branch(&message)) {
                self.requests.push_back(message);
            }
        }
    }

    pub(super) fn receive(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        self.subscriber.receive_datagram(self.now, 0, peer(), &bytes);
        self.collect();
    }

    /// The peer answers.
    pub(super) fn answer(&mut self, request: &Message, status: u16, fields: &[(&str, &str)]) {
        let mut response = Message::response(request, status, "As the test says");
        if request.to_tag().is_none() {
            let to = response.fields.get("To").unwrap_or_default().to_owned();
            response.fields.set("To", format!("{to};tag=p1"));
        }
        response.fields.push("Contact", "<sip:192.0.2.9:5060>");
        for (name, value) in fields {
            response.fields.set(name, *value);
        }
        self.receive(&response);
    }

    /// The peer's NOTIFY for a SUBSCRIBE; what it is answered.
    pub(super) fn notify(&mut self, request: &Message, cseq: u32, state: &str) -> u16 {
        self.notify_with(request, cseq, state, &[], "")
    }

    /// The same with further or other fields, and a body.
    pub(super) fn notify_with(
        &mut self,
        request: &Message,
        cseq: u32,
        state: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> u16 {
        let message = self.notify_message(request, cseq, state, fields, body);
        self.receive(&message);
        self.responses
            .pop_front()
            .and_then(|response| response.status())
            .expect("a NOTIFY is answered at once")
    }

    pub(super) fn notify_message(
        &mut self,
        request: &Message,
        cseq: u32,
        state: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Message {
        self.branches += 1;
        let get = |name| request.fields.get(name).unwrap_or_default();
        let mut notify = Message::request("NOTIFY", "sip:offhook@192.0.2.1:5060");
        let from = get("To").split(";tag=").next().unwrap_or_default();
        let all = [
            ("Via", format!("SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKn{}", self.branches)),
            ("Max-Forwards", "70".to_owned()),
            ("From", format!("{from};tag=p1")),
            ("To", get("From").to_owned()),
            ("Call-ID", get("Call-ID").to_owned()),
            ("CSeq", format!("{cseq} NOTIFY")),
            ("Contact", "<sip:192.0.2.9:5060>".to_owned()),
            ("Event", get("Event").to_owned()),
            ("Subscription-State", state.to_owned()),
        ];
        for (name, value) in all {
            notify.fields.push(name, value);
        }
        for (name, value) in fields {
            if value.is_empty() { notify.fields.remove(name) } else { notify.fields.set(name, *value) }
        }
        if !body.is_empty() {
            notify.fields.set("Content-Type", "application/dialog-info+xml");
            notify.body = body.into();
        }
        notify
    }

    /// What was said since the last look: dialogs as `#1`, `#2` in the order of their appearance.
    pub(super) fn events(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some((key, event)) = self.subscriber.poll_event() {
            assert_eq!(key, KEY);
            said.push(self.tell(event));
        }
        said
    }

    fn tell(&mut self, event: Event) -> String {
        let body = |content: Option<Content>| {
            content
                .map_or_else(String::new, |content| format!(" {}", String::from_utf8_lossy(&content.bytes)))
        };
        let flag = |is: bool, word: &str| if is { format!(" {word}") } else { String::new() };
        match event {
            Event::Notified { dialog, pending, content, first, eventlist } => {
                let (dialog, body) = (self.name(dialog), body(content));
                let flags = flag(pending, "pending") + &flag(first, "first") + &flag(eventlist, "list");
                format!("notified {dialog}{flags}{body}")
            }
            Event::Ended { dialog, reason, status, content, for_good } => {
                let (dialog, body) = (self.name(dialog), body(content));
                let status = status.map_or_else(String::new, |status| format!(" {status}"));
                format!("ended {dialog} {reason}{status}{}{body}", flag(for_good, "for good"))
            }
            Event::Save { dialog, saved } => {
                self.saved.retain(|saved| saved.dialog != dialog);
                let said = format!("{} {}", if saved.is_some() { "save" } else { "gone" }, self.name(dialog));
                self.saved.extend(saved);
                said
            }
            Event::Over => "over".into(),
        }
    }

    fn name(&mut self, number: u32) -> String {
        if number == 0 {
            return "#0".into();
        }
        let at = self.numbers.iter().position(|known| *known == number).unwrap_or_else(|| {
            self.numbers.push(number);
            self.numbers.len() - 1
        });
        format!("#{}", at + 1)
    }

    /// The number of the dialog that is called `#1` and so on.
    pub(super) fn number(&self, place: usize) -> u32 {
        self.numbers[place - 1]
    }

    /// The next SUBSCRIBE is one of a new subscription: another Call-ID, another tag, none of the peer's.
    pub(super) fn assert_new(request: &Message, before: &Message) {
        assert_ne!(request.call_id(), before.call_id());
        assert_ne!(request.from_tag(), before.from_tag());
        assert_eq!(request.to_tag(), None);
        assert_eq!(request.cseq().map(|(number, _)| number), Some(1));
    }

    /// Nothing of anything is left.
    pub(super) fn assert_empty(&mut self) {
        self.pass(64_000);
        assert_empty(&self.subscriber);
    }
}

fn assert_empty(subscriber: &Subscriber) {
    assert!(subscriber.is_empty());
    assert_eq!(subscriber.poll_timeout(), None);
    assert!(subscriber.agent.is_empty());
    assert!(subscriber.deadlines.is_empty());
}

/// The branch of a request of ours.
pub(super) fn branch(request: &Message) -> String {
    let via = request.vias().next().expect("a request has a Via");
    via.branch().expect("our Via has a branch").to_owned()
}

pub(super) fn field<'a>(message: &'a Message, name: &str) -> &'a str {
    message.fields.get(name).unwrap_or("none")
}

//! Two sides over a link that loses, copies, delays and so reorders datagrams: a subscriber, which now and then crashes
//! and starts again with what it had saved, and a model of a notifier, which now and then forgets everything. Once the
//! link is good again both sides agree, and after the end nothing is left on either side.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use proptest::prelude::*;

use super::*;
use crate::ground::rng::Rng;
use crate::wire::sip::transaction::T1_MS;

/// What the notifier grants at most, in seconds.
const GRANTED_S: u32 = 300;
/// 64·T1, and one second: how long a transaction lives.
const TRANSACTION_MS: u64 = 33_000;

/// The model of a notifier.
#[derive(Default)]
struct Notifier {
    /// Subscriptions by Call-ID and the subscriber's tag.
    subscriptions: BTreeMap<(String, String), Subscribed>,
    /// Answers by branch, for copies of requests.
    answers: BTreeMap<String, (Mono, Vec<u8>)>,
    /// NOTIFYs without an answer, by branch.
    notifies: BTreeMap<String, Sending>,
    state: u32,
    names: u32,
}

struct Subscribed {
    tag: String,
    /// `From` of the SUBSCRIBE.
    watcher: String,
    contact: String,
    received: u32,
    sent: u32,
    expires: Mono,
}

struct Sending {
    subscription: (String, String),
    bytes: Vec<u8>,
    next: Mono,
    wait_ms: u64,
    until: Mono,
}

impl Notifier {
    fn receive(&mut self, now: Mono, bytes: &[u8]) -> Vec<Vec<u8>> {
        let message = Message::from_datagram(bytes).expect("we write messages that can be read");
        let branch = branch(&message);
        if let Some(status) = message.status() {
            if let Some(sending) = self.notifies.remove(&branch)
                && status == 481
            {
                self.subscriptions.remove(&sending.subscription);
            }
            return Vec::new();
        }
        if let Some((_, answer)) = self.answers.get(&branch) {
            return vec![answer.clone()];
        }
        let mut sent = Vec::new();
        let mut response = self.subscribe(now, &message, &mut sent);
        response.fields.push("Contact", "<sip:192.0.2.9>");
        let mut bytes = Vec::new();
        response.write(&mut bytes);
        self.answers.insert(branch, (now.plus_ms(TRANSACTION_MS), bytes.clone()));
        sent.insert(0, bytes);
        sent
    }

    fn subscribe(&mut self, now: Mono, request: &Message, sent: &mut Vec<Vec<u8>>) -> Message {
        let name = (request.call_id().to_owned(), request.from_tag().unwrap().to_owned());
        let cseq = request.cseq().unwrap().0;
        let asked_s: u32 = field(request, "Expires").parse().unwrap();
        let granted_s = asked_s.min(GRANTED_S);
        if request.to_tag().is_none() {
            self.names += 1;
            let subscribed = Subscribed {
                tag: format!("p{}", self.names),
                watcher: field(request, "From").to_owned(),
                contact: request.contact().unwrap().uri.into(),
                received: 0,
                sent: 0,
                expires: now,
            };
            self.subscriptions.insert(name.clone(), subscribed);
        }
        let Some(subscribed) = self.subscriptions.get_mut(&name) else {
            return Message::response(request, 481, "Gone");
        };
        if cseq <= subscribed.received {
            return Message::response(request, 500, "Overtaken");
        }
        subscribed.received = cseq;
        subscribed.expires = now.plus_ms(u64::from(granted_s) * 1_000);
        let mut response = Message::response(request, 200, "OK");
        let to = format!("<{URI}>;tag={}", subscribed.tag);
        response.fields.set("To", to);
        response.fields.push("Expires", granted_s.to_string());
        self.notify(now, &name, granted_s == 0, sent);
        response
    }

    fn notify(&mut self, now: Mono, name: &(String, String), is_last: bool, sent: &mut Vec<Vec<u8>>) {
        let Some(subscribed) = self.subscriptions.get_mut(name) else { return };
        subscribed.sent += 1;
        self.names += 1;
        let branch = format!("z9hG4bKm{}", self.names);
        let state = match is_last {
            true => "terminated;reason=timeout".to_owned(),
            false => format!("active;expires={}", subscribed.expires.since(now) / 1_000),
        };
        let mut notify = Message::request("NOTIFY", &subscribed.contact);
        for (field, value) in [
            ("Via", format!("SIP/2.0/UDP 192.0.2.9:5060;branch={branch}")),
            ("Max-Forwards", "70".into()),
            ("From", format!("<{URI}>;tag={}", subscribed.tag)),
            ("To", subscribed.watcher.clone()),
            ("Call-ID", name.0.clone()),
            ("CSeq", format!("{} NOTIFY", subscribed.sent)),
            ("Contact", "<sip:192.0.2.9>".into()),
            ("Event", "dialog".into()),
            ("Subscription-State", state),
            ("Content-Type", "text/plain".into()),
        ] {
            notify.fields.push(field, value);
        }
        notify.body = self.state.to_string().into();
        let mut bytes = Vec::new();
        notify.write(&mut bytes);
        sent.push(bytes.clone());
        let until = now.plus_ms(32_000);
        let subscription = name.clone();
        let sending = Sending { subscription, bytes, next: now.plus_ms(T1_MS), wait_ms: T1_MS, until };
        self.notifies.insert(branch, sending);
        if is_last {
            self.subscriptions.remove(name);
        }
    }

    /// Another state, which everybody is told of.
    fn change(&mut self, now: Mono) -> Vec<Vec<u8>> {
        self.state += 1;
        let mut sent = Vec::new();
        let names: Vec<_> = self.subscriptions.keys().cloned().collect();
        names.iter().for_each(|name| self.notify(now, name, false, &mut sent));
        sent
    }

    /// What is due: copies of NOTIFYs, ends of subscriptions.
    fn handle_timeout(&mut self, now: Mono) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        self.answers.retain(|_, (until, _)| *until > now);
        let gone = |sending: &Sending| sending.until <= now;
        for sending in self.notifies.values().filter(|sending| gone(sending)) {
            self.subscriptions.remove(&sending.subscription);
        }
        self.notifies.retain(|_, sending| !gone(sending));
        for sending in self.notifies.values_mut().filter(|sending| sending.next <= now) {
            sent.push(sending.bytes.clone());
            sending.wait_ms = (sending.wait_ms * 2).min(4_000);
            sending.next = now.plus_ms(sending.wait_ms);
        }
        let ended = self.subscriptions.iter().filter(|(_, subscribed)| subscribed.expires <= now);
        let ended: Vec<_> = ended.map(|(name, _)| name.clone()).collect();
        ended.iter().for_each(|name| self.notify(now, name, true, &mut sent));
        sent
    }
}

/// A datagram on its way: when it arrives, in which order it was sent, whether to the notifier, and what it is.
type Datagram = (Mono, u64, bool, Vec<u8>);

/// Both sides and the link.
struct World {
    now: Now,
    rng: Rng,
    seed: u64,
    subscriber: Subscriber,
    notifier: Notifier,
    link: BinaryHeap<Reverse<Datagram>>,
    sent: u64,
    /// Of a hundred datagrams, how many are lost, and how many come twice.
    faults: u64,
    delay_ms: u64,
    /// What each key was told last, while it is subscribed.
    told: BTreeMap<u32, Option<String>>,
    saved: BTreeMap<(u32, u32), Saved>,
    until: Wall,
}

impl World {
    fn new(seed: u64, faults: u64, delay_ms: u64) -> World {
        let until = Wall(BEGINNING.wall.0 + 1_000_000_000);
        World {
            now: BEGINNING,
            rng: Rng::new(seed),
            seed,
            subscriber: subscriber(seed, 0),
            notifier: Notifier::default(),
            link: BinaryHeap::new(),
            sent: 0,
            faults,
            delay_ms,
            told: BTreeMap::new(),
            saved: BTreeMap::new(),
            until,
        }
    }

    fn subscribe(&mut self, key: u32) {
        self.told.insert(key, None);
        self.subscriber.subscribe(self.now, key, Wanted { takes_forks: false, ..wanted() }, self.until);
        self.collect();
    }

    fn unsubscribe(&mut self, key: u32) {
        self.told.remove(&key);
        self.subscriber.unsubscribe(self.now, key);
        self.collect();
    }

    /// Everything that was not saved is lost. What was given up is given up again, if a dialog of it was left.
    fn crash(&mut self) {
        self.seed += 1;
        self.subscriber = subscriber(self.seed, 0);
        let kept: BTreeSet<u32> = self.told.keys().copied().chain(self.saved.keys().map(|at| at.0)).collect();
        for key in kept {
            let of_key = self.saved.range((key, 0)..=(key, u32::MAX)).map(|(_, saved)| saved.clone());
            let saved = of_key.collect();
            let wanted = Wanted { takes_forks: false, ..wanted() };
            let is_wanted = self.told.contains_key(&key);
            let until = if is_wanted { self.until } else { Wall(0) };
            self.subscriber.restore(self.now, key, wanted, until, saved);
            if !is_wanted {
                self.subscriber.unsubscribe(self.now, key);
            }
        }
        self.collect();
    }

    fn send(&mut self, to_notifier: bool, bytes: Vec<u8>) {
        let copies = match self.rng.below(100) {
            n if n < self.faults => 0,
            n if n < 2 * self.faults => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let at = self.now.mono.plus_ms(self.rng.below(self.delay_ms) + 1);
            self.sent += 1;
            self.link.push(Reverse((at, self.sent, to_notifier, bytes.clone())));
        }
    }

    fn collect(&mut self) {
        while let Some(output) = self.subscriber.poll_output() {
            let Output::Datagram { bytes, .. } = output else { panic!("{output:?}") };
            self.send(true, bytes);
        }
        while let Some((key, event)) = self.subscriber.poll_event() {
            match event {
                Event::Notified { content, .. } => {
                    let text = content.map(|content| String::from_utf8_lossy(&content.bytes).into_owned());
                    let told = self.told.get_mut(&key).expect("nothing is told of what was given up");
                    *told = text;
                }
                Event::Ended { for_good, .. } => {
                    if let Some(told) = self.told.get_mut(&key) {
                        assert!(!for_good, "no peer said so");
                        *told = None;
                    }
                }
                Event::Save { dialog, saved: Some(saved) } => {
                    assert!(self.told.contains_key(&key));
                    self.saved.insert((key, dialog), saved);
                }
                Event::Save { dialog, saved: None } => drop(self.saved.remove(&(key, dialog))),
                Event::Over => assert!(!self.told.contains_key(&key)),
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 50 {
            self.now.mono.0 += 50;
            self.now.wall.0 += 50;
            while let Some(Reverse((at, ..))) = self.link.peek()
                && *at <= self.now.mono
            {
                let Some(Reverse((_, _, to_notifier, bytes))) = self.link.pop() else { break };
                if to_notifier {
                    let sent = self.notifier.receive(self.now.mono, &bytes);
                    sent.into_iter().for_each(|bytes| self.send(false, bytes));
                } else {
                    self.subscriber.receive_datagram(self.now, 0, peer(), &bytes);
                    self.collect();
                }
            }
            if self.subscriber.poll_timeout().is_some_and(|due| due <= self.now.mono) {
                self.subscriber.handle_timeout(self.now);
                let due = self.subscriber.poll_timeout();
                assert!(due.is_none_or(|due| due > self.now.mono), "what is due is done");
                self.collect();
            }
            let sent = self.notifier.handle_timeout(self.now.mono);
            sent.into_iter().for_each(|bytes| self.send(false, bytes));
        }
    }

    fn change(&mut self) {
        let sent = self.notifier.change(self.now.mono);
        sent.into_iter().for_each(|bytes| self.send(false, bytes));
    }
}

/// Both sides agree after `minutes` over a link that loses `faults` of a hundred datagrams and takes `delay_ms` for them.
fn agree(seed: u64, faults: u64, delay_ms: u64, minutes: u64) {
    let mut world = World::new(seed, faults, delay_ms);
    let mut key = 0;
    for _ in 0..4 {
        key += 1;
        world.subscribe(key);
    }
    for _ in 0..minutes * 6 {
        world.pass(10_000);
        match world.rng.below(100) {
            0..20 => world.change(),
            20..22 => world.notifier.subscriptions.clear(),
            22..24 => world.crash(),
            24..28 => {
                let first = world.told.keys().next().copied();
                world.unsubscribe(first.unwrap());
                key += 1;
                world.subscribe(key);
            }
            28..32 => {
                let dialogs: Vec<(u32, u32)> = world.saved.keys().copied().collect();
                dialogs.iter().for_each(|(key, dialog)| world.subscriber.refresh(world.now, *key, *dialog));
                world.collect();
            }
            _ => {}
        }
    }

    // A good link: within a backoff, a subscription's life and what is under way, both sides agree.
    (world.faults, world.delay_ms) = (0, 20);
    world.pass(1_000_000);
    world.change();
    world.pass(1_000);
    let state = Some(world.notifier.state.to_string());
    assert!(world.told.values().all(|told| *told == state), "{:?} {state:?}", world.told);
    assert_eq!(world.notifier.subscriptions.len(), 4);
    assert_eq!(world.saved.len(), 4);
    // A refresh may have been answered a moment ago; over a good link no NOTIFY is sent twice.
    let repeated = world.notifier.notifies.values().find(|sending| sending.wait_ms > T1_MS);
    assert!(
        repeated.is_none(),
        "a NOTIFY has no answer: {:?}",
        repeated.map(|sending| &sending.subscription)
    );

    let keys: Vec<u32> = world.told.keys().copied().collect();
    keys.into_iter().for_each(|key| world.unsubscribe(key));
    world.pass(1_000);
    assert!(world.notifier.subscriptions.is_empty());
    assert!(world.subscriber.is_empty() && world.saved.is_empty());
    world.pass(64_000);
    assert_empty(&world.subscriber);
}

#[test]
fn s47_a_crash_while_a_dialog_is_given_up() {
    agree(3_755_227_484_529_495_059, 43, 1_207, 25);
}

#[test]
fn s47_a_refresh_at_the_very_end() {
    agree(2_343_768_740_244_210_871, 29, 3_467, 29);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn s47_over_a_bad_link_both_sides_come_to_agree(
        seed: u64,
        faults in 0_u64..45,
        delay_ms in 1_u64..4_000,
        minutes in 1_u64..40,
    ) {
        agree(seed, faults, delay_ms, minutes);
    }
}

//! What shard 0 says, as the agent leads to it: versions, callbacks and the end. The hub's records are numbered and
//! applied here, as an engine would.

use super::change::{Made, Put};
use super::package::Body as State;
use super::state::{Entry, Form, Instance, Resource};
use super::*;
use crate::ground::config::{Config, Place};
use crate::ground::time::Now;
use crate::log::record::{Actor, Header, Origin, VERSION};
use crate::outbox::change::{Carried, Said as Outboxed};
use crate::outbox::id;

const ID: Uuid = Uuid::from_u128(7);

struct Talk {
    hub: Hub,
    sep: Sep,
    /// What was left with the outbox.
    letters: Vec<Carried>,
}

impl Talk {
    fn new() -> Talk {
        let mut hub = Hub::new(Config::default(), Place::default(), 7);
        hub.set_now(Now { mono: Mono(1_000), wall: Wall(1_000_000) });
        let sep = Sep::new(&mut hub, 5);
        let mut talk = Talk { hub, sep, letters: Vec::new() };
        let entry = |uri: &str| Entry { uri: uri.into(), name: None };
        let made = Made {
            id: ID,
            owner: None,
            base: "http://localhost".into(),
            event: "reg".into(),
            accept: vec!["application/reginfo+xml".into()],
            multipart: false,
            form: Form::Json,
            notify: Some("http://example.com/".into()),
            expires: Wall(2_000_000),
            entries: vec![entry("sip:a@b"), entry("sip:c@d")],
            room: 10,
            entries_room: None,
        };
        talk.apply(&Change::Created(Box::new(made)));
        talk
    }

    /// A record of somebody else.
    fn apply(&mut self, change: &Change) {
        append(&mut self.hub, own(change));
        self.run();
    }

    /// Numbers and applies what was appended.
    fn run(&mut self) {
        while let Some(records) = self.hub.next_append() {
            for record in records {
                self.hub.applied = self.hub.applied.next();
                match &record.body {
                    Body::Change(NAME, change) => self.sep.change(&mut self.hub, &record, change),
                    Body::Change(_, change) => match Outboxed::decode(change) {
                        Some(Outboxed::Carried(letter)) => self.letters.push(*letter),
                        other => assert!(other.is_some(), "the outbox knows it"),
                    },
                    Body::Event(_)
                    | Body::Repeat { .. }
                    | Body::Carried { .. }
                    | Body::Epoch { .. }
                    | Body::Retire { .. }
                    | Body::Retired { .. } => panic!("nobody appends {:?}", record.body),
                }
            }
        }
    }

    fn tell(&mut self, versions: u64, text: &str) {
        let resources = vec![resource(text)];
        self.sep.tell(&mut self.hub, ID, versions, Told { resources, ..Told::default() });
    }

    fn pass(&mut self, ms: u64) {
        let Now { mono, wall } = self.hub.now;
        self.hub.set_now(Now { mono: mono.plus_ms(ms), wall: Wall(wall.0 + ms) });
        while let Some((at, due)) = self.hub.deadlines.pop(self.hub.now.mono) {
            let Due::Dialect(5, key) = due else { continue };
            self.sep.handle_timeout(&mut self.hub, key, at);
            self.run();
        }
    }

    /// The documents that were left with the outbox: their versions, and whether they hold these words.
    fn documents(&mut self, words: &str) -> Vec<(u64, bool)> {
        let letters = std::mem::take(&mut self.letters);
        let holds = |letter: &Carried| {
            let content = letter.event.facts().iter().find(|(name, _)| &**name == "content");
            content.and_then(|(_, fact)| fact.as_text()).expect("a document").contains(words)
        };
        letters.iter().map(|letter| (letter.seq.0, holds(letter))).collect()
    }

    fn known(&self) -> &Subscription {
        self.sep.subscriptions.get(ID).expect("it is there")
    }
}

fn resource(text: &str) -> Resource {
    let body = State { content_type: "text/plain".into(), bytes: text.as_bytes().into() };
    let instance = Instance {
        id: "i1".into(),
        dialog: 1,
        state: InstanceState::Active,
        reason: None,
        status: None,
        body: Some(body),
    };
    Resource { uri: "sip:a@b".into(), of: None, since: 1, name: None, instances: vec![instance] }
}

/// S31: a crash takes back that the callback has left: what then leaves again is the same delivery.
#[test]
fn s31_a_callback_that_was_owed_is_one_delivery() {
    let mut talk = Talk::new();
    talk.hub.outbox_full = true;
    talk.tell(1, "one");
    talk.run();
    talk.hub.outbox_full = false;
    let owing = talk.known().clone();
    for _ in 0..2 {
        *talk.sep.subscriptions.get_mut(ID).expect("it is there") = owing.clone();
        talk.sep.owe(&mut talk.hub, ID);
        talk.pass(5_000);
    }
    let ids = talk.letters.iter().map(|letter| id::delivery(&letter.name, letter.seq, &letter.event));
    let ids: Vec<Uuid> = ids.collect();
    assert_eq!((ids.len(), ids[0]), (2, ids[1]));
    assert!(talk.letters[0].since < talk.letters[1].since);
}

#[test]
fn s30_each_version_has_its_document_though_its_record_is_still_on_its_way() {
    let mut talk = Talk::new();
    talk.tell(1, "one");
    talk.tell(1, "two");
    assert_eq!(talk.known().version, 2, "shard 0 is ahead of the log");
    talk.run();
    assert_eq!(talk.known().version, 2, "and takes nothing twice");
    assert_eq!(talk.documents("two"), [(1, false), (2, true)]);
    talk.tell(0, "quiet");
    talk.run();
    assert_eq!((talk.known().version, talk.known().step), (2, 3));
    assert!(talk.letters.is_empty(), "what is no news makes no callback");
    talk.tell(1, "three");
    talk.run();
    assert_eq!(talk.documents("three"), [(3, true)]);
}

#[test]
fn s50_a_callback_that_found_no_room_is_owed_with_the_last_state() {
    let mut talk = Talk::new();
    talk.hub.outbox_full = true;
    talk.tell(1, "one");
    talk.tell(1, "two");
    talk.run();
    talk.pass(1_000);
    talk.pass(1_000);
    assert!(talk.letters.is_empty(), "there is no room still");
    talk.hub.outbox_full = false;
    talk.pass(1_000);
    assert_eq!(talk.documents("two"), [(2, true)]);
    talk.pass(10_000);
    assert!(talk.letters.is_empty());
    // One that came meanwhile carries all that was owed.
    talk.hub.outbox_full = true;
    talk.tell(1, "three");
    talk.hub.outbox_full = false;
    talk.tell(1, "four");
    talk.run();
    talk.pass(10_000);
    assert_eq!(talk.documents("four"), [(4, true)]);
}

#[test]
fn a_full_outbox_is_looked_at_once_in_a_while() {
    let mut talk = Talk::new();
    talk.hub.outbox_full = true;
    for _ in 0..3 {
        (0..5).for_each(|at| talk.tell(1, &format!("state {at}")));
        talk.run();
        talk.hub.set_now(Now { mono: talk.hub.now.mono.plus_ms(1_000), ..talk.hub.now });
        let mut woken = Vec::new();
        while let Some((_, due)) = talk.hub.deadlines.pop(talk.hub.now.mono) {
            woken.push(due);
        }
        assert_eq!(woken, [Due::Dialect(5, OWED)]);
        talk.sep.call_again(&mut talk.hub);
    }
}

#[test]
fn s33_s37_s38_the_last_document() {
    for (how, word) in [(How::Deleted, "deleted"), (How::Expired, "expired"), (How::Gone, "gone")] {
        let mut talk = Talk::new();
        talk.tell(1, "one");
        talk.run();
        talk.letters.clear();
        // The last one goes even if there is no room.
        talk.hub.outbox_full = true;
        if how == How::Expired {
            // Too early: a PUT that stands before it in the log has put the end off (S38).
            talk.apply(&Change::Ended { id: ID, how });
            assert_eq!(talk.known().ended, None);
            talk.hub.set_now(Now { wall: Wall(2_000_000), ..talk.hub.now });
        }
        talk.apply(&Change::Ended { id: ID, how });
        talk.apply(&Change::Ended { id: ID, how: How::Deleted });
        assert!(talk.known().ended.is_some_and(|ended| ended.how == how), "the first end counts");
        if talk.known().ended.is_some_and(|ended| !ended.over) {
            talk.sep.conclude(&mut talk.hub, ID);
            talk.run();
        }
        let document = format!("\"ended\":\"{word}\"");
        let expected = if how == How::Gone { vec![] } else { vec![(2, true)] };
        assert_eq!(talk.documents(&document), expected, "{word}");
        assert!(talk.known().resources.is_empty(), "nothing is kept that nobody will see");
        talk.apply(&Change::Put { id: ID, put: Box::default() });
        talk.tell(1, "late");
        talk.run();
        assert!(talk.letters.is_empty(), "nothing comes after the last");
        assert_eq!(talk.sep.subscriptions.living(), 0);
        talk.pass(3_600_001);
        assert!(talk.sep.subscriptions.get(ID).is_none(), "an hour later it is forgotten");
    }
}

#[test]
fn what_is_carried_holds_what_records_say_up_to_a_place() {
    let mut talk = Talk::new();
    talk.tell(1, "one");
    talk.apply(&Change::Put {
        id: ID,
        put: Box::new(Put { expires: Some(Wall(3_000_000)), ..Put::default() }),
    });
    talk.hub.carrying = Some(Seq(1));
    talk.sep.restate(&mut talk.hub, Seq(1));
    talk.hub.carrying = None;
    let carried = talk.hub.next_append().expect("it says the subscription again");
    let [Record { body: Body::Carried { change, .. }, .. }] = &carried[..] else { panic!("{carried:?}") };
    // A start: what is carried comes first, then the records that are left.
    let mut hub = Hub::new(Config::default(), Place::default(), 7);
    let mut sep = Sep::new(&mut hub, 5);
    hub.recovering = true;
    sep.carried(&mut hub, &carried[0], change, true);
    let header =
        Header { version: VERSION, wall: Wall(0), actor: Actor::Server(NAME), trace: None, kept: true };
    let mut replay = |seq: u64, change: Change| {
        hub.applied = Seq(seq);
        let body = own(&change);
        let Body::Change(_, bytes) = &body else { panic!("a change") };
        let record = Record {
            header: header.clone(),
            origin: Origin::NOBODY,
            body: Body::Change(NAME, bytes.clone()),
        };
        sep.change(&mut hub, &record, bytes);
        sep.subscriptions.get(ID).map(|s| (s.expires, s.version))
    };
    let earlier = Put { expires: Some(Wall(5)), entries: Some(vec![]), ..Put::default() };
    let as_of = talk.hub.applied.0;
    let before = Some((Wall(3_000_000), 1));
    assert_eq!(replay(as_of, Change::Put { id: ID, put: Box::new(earlier.clone()) }), before);
    assert_eq!(replay(as_of + 1, Change::Put { id: ID, put: Box::new(earlier) }), Some((Wall(5), 1)));
    assert_eq!(replay(as_of + 2, Change::Forgotten { id: ID }), None);
}

//! What the log says of the outbox. Outcomes, of which there may be 100,000 a second, and letters that are carried have
//! compact forms; all else is JSON.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::event::Event;
use crate::ground::id::Seq;
use crate::ground::time::Wall;
use crate::log::encode::{put_event, take_event};
use crate::log::form::{Reader, put_bytes, put_number};

/// The name of the part in records.
pub const PART: &str = "outbox";

/// Who brought a destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The config file.
    File,
    /// A request.
    Api,
}

/// What must hold before a destination is put.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// Nothing: the config file has its way.
    Always,
    /// The name is free.
    Free,
    /// The name is free, or a request brought one of the same kind.
    FreeOrOwn,
}

/// A change, as a record holds it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Change {
    /// A destination is there, or has another specification; one that was disabled is no longer.
    Put {
        /// Its name.
        name: Box<str>,
        /// `webhook` or `isr`.
        kind: Box<str>,
        /// Its specification.
        spec: Box<str>,
        /// Who says so.
        by: By,
        /// Under which condition.
        when: When,
    },
    /// A destination is gone; what waited for it is dead.
    Removed {
        /// Its name.
        name: Box<str>,
        /// Only who brought it takes it away.
        by: By,
    },
    /// A destination gets events again.
    Enabled {
        /// Its name.
        name: Box<str>,
    },
    /// Dead letters go on their way again.
    Redriven {
        /// Their ids.
        ids: Vec<Uuid>,
    },
    /// Dead letters are forgotten.
    Forgotten {
        /// Their ids.
        ids: Vec<Uuid>,
        /// `[outbox] dead_letters` asks for it, and nobody else.
        bound: bool,
    },
    /// Carried over the end of the log's history: a destination as it was there.
    Carried(Version),
}

/// A destination between two changes of it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Version {
    /// Its name.
    pub name: Box<str>,
    /// Its kind.
    pub kind: Box<str>,
    /// Its specification.
    pub spec: Box<str>,
    /// Who brought it.
    pub by: By,
    /// Why it got nothing more.
    pub disabled: Option<Box<str>>,
}

/// A letter, or a dead one, that is carried over the end of the log's history: all that is known of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Carried {
    /// Its destination.
    pub name: Box<str>,
    /// The destination's kind.
    pub kind: Box<str>,
    /// The event's number.
    pub seq: Seq,
    /// When it was accepted, or sent again.
    pub since: Wall,
    /// It was dead and was sent again.
    pub redriven: bool,
    /// Attempts so far.
    pub attempts: u32,
    /// When it is tried next.
    pub due: Wall,
    /// When it died, if it did.
    pub died: Option<Wall>,
    /// Why it was not delivered yet, or never.
    pub reason: Box<str>,
    /// What request it was to be.
    pub summary: Box<str>,
    /// The event.
    pub event: Arc<Event>,
}

/// What came of a destination's letters in one turn.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Outcomes {
    /// The destination.
    pub name: Box<str>,
    /// Delivered.
    pub done: Vec<Seq>,
    /// Failed, to be tried again.
    pub failed: Vec<Failed>,
    /// Dead, after so many attempts.
    pub dead: Vec<Failed>,
    /// The receiver wants nothing more, and why.
    pub disabled: Option<Box<str>>,
}

/// A letter that did not arrive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failed {
    /// The event's number.
    pub seq: Seq,
    /// Attempts so far.
    pub attempts: u32,
    /// When it is tried next; for a dead one of no meaning.
    pub due: Wall,
    /// Why.
    pub reason: Box<str>,
}

/// The first byte of the compact forms; JSON begins with a brace.
const OUTCOMES: u8 = 1;
const CARRIED: u8 = 2;

impl Change {
    /// The change as a record holds it.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        serde_json::to_vec(self).expect("plain data without maps is always JSON").into_boxed_slice()
    }
}

/// What a record says, in any of its forms.
#[derive(Clone, PartialEq, Debug)]
pub enum Said {
    /// A change.
    Change(Change),
    /// Outcomes.
    Outcomes(Outcomes),
    /// A letter that is carried.
    Carried(Box<Carried>),
}

impl Said {
    /// Reads a record; `None`: a later version wrote it.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Said> {
        match bytes.split_first()? {
            (b'{', _) => serde_json::from_slice(bytes).ok().map(Said::Change),
            (&OUTCOMES, rest) => Outcomes::decode(Reader(rest)).map(Said::Outcomes),
            (&CARRIED, rest) => Carried::decode(Reader(rest)).map(Box::new).map(Said::Carried),
            _ => None,
        }
    }
}

impl Outcomes {
    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.done.is_empty() && self.failed.is_empty() && self.dead.is_empty() && self.disabled.is_none()
    }

    /// The outcomes as a record holds them. The number of each done letter is its distance from the one before.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        let mut out = Vec::with_capacity(16 + self.name.len() + 2 * self.done.len());
        out.push(OUTCOMES);
        put_bytes(&mut out, self.name.as_bytes());
        put_number(&mut out, self.done.len() as u64);
        let mut before = 0_u64;
        for seq in &self.done {
            // A distance may be negative: its sign goes to the lowest bit.
            let distance = seq.0.wrapping_sub(before).cast_signed();
            put_number(&mut out, ((distance << 1) ^ (distance >> 63)).cast_unsigned());
            before = seq.0;
        }
        put_failed(&mut out, &self.failed);
        put_failed(&mut out, &self.dead);
        out.push(u8::from(self.disabled.is_some()));
        put_bytes(&mut out, self.disabled.as_deref().unwrap_or_default().as_bytes());
        out.into_boxed_slice()
    }

    fn decode(mut input: Reader<'_>) -> Option<Outcomes> {
        let name = input.text()?.into();
        let mut done = Vec::new();
        let mut before = 0_u64;
        for _ in 0..input.number()? {
            let coded = input.number()?;
            let distance = (coded >> 1).cast_signed() ^ -((coded & 1).cast_signed());
            before = before.wrapping_add(distance.cast_unsigned());
            done.push(Seq(before));
        }
        let failed = take_failed(&mut input)?;
        let dead = take_failed(&mut input)?;
        let is_disabled = input.byte()? == 1;
        let reason = input.text()?;
        Some(Outcomes { name, done, failed, dead, disabled: is_disabled.then(|| reason.into()) })
    }
}

fn put_failed(out: &mut Vec<u8>, list: &[Failed]) {
    put_number(out, list.len() as u64);
    let mut reason = "";
    for failed in list {
        put_number(out, failed.seq.0);
        put_number(out, u64::from(failed.attempts));
        put_number(out, failed.due.0);
        // A reason that repeats the one before is not written again.
        let again = *failed.reason == *reason;
        out.push(u8::from(!again));
        if !again {
            put_bytes(out, failed.reason.as_bytes());
        }
        reason = &failed.reason;
    }
}

fn take_failed(input: &mut Reader<'_>) -> Option<Vec<Failed>> {
    let mut list: Vec<Failed> = Vec::new();
    for _ in 0..input.number()? {
        let (seq, attempts, due) = (Seq(input.number()?), input.number()?, Wall(input.number()?));
        let reason = match input.byte()? {
            0 => list.last().map(|failed| failed.reason.clone()).unwrap_or_default(),
            _ => input.text()?.into(),
        };
        list.push(Failed { seq, attempts: u32::try_from(attempts).ok()?, due, reason });
    }
    Some(list)
}

impl Carried {
    /// A letter that was accepted then, and that nobody has tried to deliver.
    #[must_use]
    pub fn new(name: Box<str>, kind: &str, seq: Seq, since: Wall, event: Arc<Event>) -> Carried {
        Carried {
            name,
            kind: kind.into(),
            seq,
            since,
            redriven: false,
            attempts: 0,
            due: Wall(0),
            died: None,
            reason: Box::default(),
            summary: Box::default(),
            event,
        }
    }

    /// The letter as a record holds it.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        let mut out = Vec::with_capacity(512);
        out.push(CARRIED);
        for text in [&self.name, &self.kind, &self.reason, &self.summary] {
            put_bytes(&mut out, text.as_bytes());
        }
        for number in [self.seq.0, self.since.0, u64::from(self.attempts), self.due.0] {
            put_number(&mut out, number);
        }
        out.push(u8::from(self.redriven) | u8::from(self.died.is_some()) << 1);
        put_number(&mut out, self.died.unwrap_or_default().0);
        put_event(&self.event, &mut out);
        out.into_boxed_slice()
    }

    fn decode(mut input: Reader<'_>) -> Option<Carried> {
        let mut texts = [const { None }; 4];
        for text in &mut texts {
            *text = Some(input.text()?.into());
        }
        let [Some(name), Some(kind), Some(reason), Some(summary)] = texts else { return None };
        let (seq, since) = (Seq(input.number()?), Wall(input.number()?));
        let (attempts, due) = (u32::try_from(input.number()?).ok()?, Wall(input.number()?));
        let flags = input.byte()?;
        let died = Wall(input.number()?);
        let (redriven, died) = (flags & 1 != 0, (flags & 2 != 0).then_some(died));
        let event = Arc::new(take_event(&mut input)?);
        Some(Carried { name, kind, seq, since, redriven, attempts, due, died, reason, summary, event })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failed() -> impl Strategy<Value = Vec<Failed>> {
        let one = (any::<u64>(), any::<u32>(), any::<u64>(), prop_oneof!["", "answered 50[0-3]", ".*"]);
        let one = one.prop_map(|(seq, attempts, due, reason)| Failed {
            seq: Seq(seq),
            attempts,
            due: Wall(due),
            reason: reason.into(),
        });
        prop::collection::vec(one, 0..5)
    }

    proptest! {
        #[test]
        fn outcomes_come_back(
            name in ".*",
            done in prop::collection::vec(any::<u64>().prop_map(Seq), 0..20),
            failed in failed(),
            dead in failed(),
            disabled in prop::option::of(".*".prop_map(Box::<str>::from)),
        ) {
            let outcomes = Outcomes { name: name.into(), done, failed, dead, disabled };
            let bytes = outcomes.encode();
            prop_assert_eq!(Said::decode(&bytes), Some(Said::Outcomes(outcomes)));
            for end in 0..bytes.len() {
                prop_assert_eq!(Said::decode(&bytes[..end]), None, "a part is no whole");
            }
        }

        #[test]
        fn a_carried_letter_comes_back(seq: u64, since: u64, redriven: bool, attempts: u32, due: u64, died: Option<u64>, reason: String) {
            let carried = Carried {
                name: "crm".into(),
                kind: "webhook".into(),
                seq: Seq(seq),
                since: Wall(since),
                redriven,
                attempts,
                due: Wall(due),
                died: died.map(Wall),
                reason: reason.into(),
                summary: "POST http://a/".into(),
                event: Arc::new(crate::outbox::tests::event("call/1")),
            };
            prop_assert_eq!(Said::decode(&carried.encode()), Some(Said::Carried(Box::new(carried))));
        }

        #[test]
        fn other_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = Said::decode(&bytes);
        }
    }

    #[test]
    fn a_done_letter_takes_a_byte_or_two() {
        let done = (1_000_000..1_000_032).map(Seq).collect();
        assert!(Outcomes { name: "crm".into(), done, ..Outcomes::default() }.encode().len() < 32 + 16);
    }
}

//! One resync: the questions that are under way, by the numbers of their actions, and those that were not answered.
//!
//! What is absent here: what answers mean.

use std::collections::BTreeMap;

use super::mirror::{Mirror, Question};
use super::session::{Fault, Session};
use crate::ground::limits::Limits;
use crate::ground::time::Mono;
use crate::wire::ami::Message;

/// The question without whose answer nothing is known of calls.
pub const ESSENTIAL: &str = "CoreShowChannels";

/// What a refusal for want of rights says.
const DENIED: &[u8] = b"Permission denied";

/// Rounds of questions that follow from the answers before them.
const ROUNDS_MAX: u32 = 8;

/// A resync that is under way.
#[derive(Debug)]
pub struct Resync {
    asked: BTreeMap<u64, Question>,
    unanswered: Vec<Question>,
    rounds: u32,
    /// It was given up.
    is_lost: bool,
    /// Questions that may still be asked.
    room: u64,
    answer_ms: u64,
    /// When it has taken too long as a whole, however much is still answered.
    until: Mono,
    /// When all that is still asked counts as unanswered.
    due: Mono,
}

impl Resync {
    /// Begins one. `allowed` are the actions that the user may use, as far as that is known.
    pub fn begin(
        mirror: &mut Mirror,
        session: &mut Session,
        allowed: impl Fn(&str) -> bool,
        limits: &Limits,
        now: Mono,
    ) -> Resync {
        mirror.begin_resync();
        let mut resync = Resync {
            asked: BTreeMap::new(),
            unanswered: Vec::new(),
            rounds: 0,
            is_lost: false,
            room: limits.source_questions,
            answer_ms: limits.source_answer_ms,
            until: now.plus_ms(limits.source_resync_ms),
            due: now,
        };
        resync.ask(mirror, session, allowed, now);
        resync
    }

    /// Asks what there is to ask, until something is under way or nothing is left to be asked.
    pub fn ask(&mut self, mirror: &Mirror, session: &mut Session, allowed: impl Fn(&str) -> bool, now: Mono) {
        while self.asked.is_empty() && self.rounds < ROUNDS_MAX {
            let questions = mirror.questions();
            if questions.is_empty() {
                return;
            }
            self.rounds += 1;
            self.due = now.plus_ms(self.answer_ms);
            for question in questions {
                let has_room = self.room > 0 && allowed(question.action);
                let fields = question.fields.iter().map(|(key, value)| (*key, value.as_str()));
                match has_room.then(|| session.ask(question.action, fields)) {
                    Some(Ok(id)) => {
                        self.room -= 1;
                        self.asked.insert(id, question);
                    }
                    Some(Err(_)) | None => self.unanswered.push(question),
                }
            }
        }
    }

    /// Takes a part of an answer; one to another action is passed over.
    ///
    /// # Errors
    /// What has to be known may not be asked for.
    pub fn answer(
        &mut self,
        mirror: &mut Mirror,
        id: u64,
        message: &Message<'_>,
        now: Mono,
    ) -> Result<(), Fault> {
        let Some(question) = self.asked.get(&id) else { return Ok(()) };
        self.due = now.plus_ms(self.answer_ms);
        let taken = mirror.answer(question, message);
        let is_over = match (message.response(), question.end) {
            (Some(said), _) if said.eq_ignore_ascii_case(b"Error") => true,
            // What is not announced as a list has no end to wait for.
            (Some(_), end) => end.is_none() || message.get("EventList").is_none(),
            (None, end) => {
                end.zip(message.event()).is_some_and(|(end, name)| name.eq_ignore_ascii_case(end.as_bytes()))
            }
        };
        if is_over && let Some(question) = self.asked.remove(&id) {
            let is_refusal = message.response().is_some() && !taken;
            if is_refusal && question.action == ESSENTIAL && message.get("Message") == Some(DENIED) {
                return Err(Fault::MissingRights(ESSENTIAL.into()));
            }
            if is_refusal {
                self.unanswered.push(question);
            }
        }
        Ok(())
    }

    /// Whether nothing is under way.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.asked.is_empty()
    }

    /// What is still asked counts as unanswered from here on.
    pub fn give_up(&mut self) {
        self.is_lost = true;
        self.unanswered.extend(std::mem::take(&mut self.asked).into_values());
        self.rounds = ROUNDS_MAX;
    }

    /// Nothing was read so far: patience begins here.
    pub fn wait(&mut self, now: Mono) {
        self.due = now.plus_ms(self.answer_ms);
        self.until = self.until.max(self.due);
    }

    /// Whether answers are missing that may come another time.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// When it is given up; earlier answers put that off, though not for ever.
    #[must_use]
    pub fn due(&self) -> Mono {
        self.due.min(self.until)
    }

    /// The questions that were refused, lost or never asked.
    #[must_use]
    pub fn into_unanswered(self) -> Vec<Question> {
        self.unanswered
    }
}

//! The client's side (RFC 3261 section 17.1.2): copies of the request over UDP (Timer E), an end without an answer
//! (Timer F), and a rest in which copies of the answer are swallowed (Timer K).
//!
//! What is absent here: errors of the transport. Whoever sends sees them, and ends the machine.

use super::{LIFE_MS, T1_MS, T2_MS, T4_MS};
use crate::ground::time::Mono;

/// One request on its way to one address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Client {
    phase: Phase,
    is_reliable: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Phase {
    /// There is no final answer yet.
    Waiting { copy_at: Mono, copy_after_ms: u64, until: Mono },
    /// The final answer is there.
    Completed { until: Mono },
    /// Nothing is left to do.
    Terminated,
}

/// What a deadline asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timeout {
    /// Nothing yet.
    Nothing,
    /// The request is sent again.
    Copy,
    /// No answer came in time, as if it were a 408 (section 8.1.3.1).
    Unanswered,
    /// The machine can be forgotten.
    Over,
}

impl Client {
    /// The request is sent for the first time.
    #[must_use]
    pub fn new(now: Mono, is_reliable: bool) -> Client {
        let copy_at = if is_reliable { Mono::NEVER } else { now.plus_ms(T1_MS) };
        let phase = Phase::Waiting { copy_at, copy_after_ms: T1_MS, until: now.plus_ms(LIFE_MS) };
        Client { phase, is_reliable }
    }

    /// An answer; true if it is the one for the user: the first that is final.
    pub fn receive(&mut self, now: Mono, status: u16) -> bool {
        let Phase::Waiting { copy_after_ms, .. } = &mut self.phase else { return false };
        if status < 200 {
            // Proceeding: after the next copy they are sent every T2.
            *copy_after_ms = T2_MS;
            return false;
        }
        let completed = Phase::Completed { until: now.plus_ms(T4_MS) };
        self.phase = if self.is_reliable { Phase::Terminated } else { completed };
        true
    }

    /// What is due.
    pub fn handle_timeout(&mut self, now: Mono) -> Timeout {
        match &mut self.phase {
            Phase::Waiting { until, .. } if *until <= now => {
                self.phase = Phase::Terminated;
                Timeout::Unanswered
            }
            Phase::Waiting { copy_at, copy_after_ms, .. } if *copy_at <= now => {
                *copy_after_ms = T2_MS.min(*copy_after_ms * 2);
                *copy_at = now.plus_ms(*copy_after_ms);
                Timeout::Copy
            }
            Phase::Completed { until } if *until <= now => {
                self.phase = Phase::Terminated;
                Timeout::Over
            }
            Phase::Terminated => Timeout::Over,
            Phase::Waiting { .. } | Phase::Completed { .. } => Timeout::Nothing,
        }
    }

    /// When there is something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Mono {
        match self.phase {
            Phase::Waiting { copy_at, until, .. } => copy_at.min(until),
            Phase::Completed { until } => until,
            Phase::Terminated => Mono::NEVER,
        }
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Terminated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a machine from 0: answers come as (time, status); says what was due when, and which answer counted.
    fn run(is_reliable: bool, answers: &[(u64, u16)]) -> Vec<(u64, &'static str)> {
        let mut client = Client::new(Mono(0), is_reliable);
        let mut answers = answers.iter().peekable();
        let mut seen = Vec::new();
        loop {
            let due = client.poll_timeout();
            if let Some((at, status)) = answers.next_if(|(at, _)| Mono(*at) <= due) {
                if client.receive(Mono(*at), *status) {
                    seen.push((*at, "answer"));
                }
                continue;
            }
            if due == Mono::NEVER {
                assert!(client.is_over());
                return seen;
            }
            match client.handle_timeout(due) {
                Timeout::Nothing => panic!("a deadline was nothing, {due:?}"),
                Timeout::Copy => seen.push((due.0, "copy")),
                Timeout::Unanswered => seen.push((due.0, "F")),
                Timeout::Over => seen.push((due.0, "K")),
            }
        }
    }

    #[test]
    fn rfc3261_17_1_2_2_e_doubles_to_t2_and_f_ends_it() {
        let copies = [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
        let mut expected: Vec<_> = copies.map(|at| (at, "copy")).into();
        expected.push((32_000, "F"));
        assert_eq!(run(false, &[]), expected);
        assert_eq!(run(true, &[]), [(32_000, "F")]);
    }

    #[test]
    fn rfc3261_17_1_2_2_k_swallows_copies_of_the_answer() {
        assert_eq!(run(false, &[(100, 200), (600, 200), (4_000, 500)]), [(100, "answer"), (5_100, "K")]);
        assert_eq!(run(true, &[(100, 404), (600, 200)]), [(100, "answer")]);
    }

    #[test]
    fn rfc3261_17_1_2_2_after_a_provisional_answer_copies_go_every_t2() {
        let seen = run(false, &[(100, 100), (9_000, 200)]);
        assert_eq!(seen, [(500, "copy"), (4_500, "copy"), (8_500, "copy"), (9_000, "answer"), (14_000, "K")]);
    }

    #[test]
    fn a_deadline_that_comes_too_early_does_nothing() {
        let mut client = Client::new(Mono(0), false);
        assert_eq!(client.handle_timeout(Mono(499)), Timeout::Nothing);
        assert!(client.receive(Mono(499), 200));
        assert_eq!(client.handle_timeout(Mono(5_498)), Timeout::Nothing);
        assert_eq!(client.handle_timeout(Mono(5_499)), Timeout::Over);
    }
}

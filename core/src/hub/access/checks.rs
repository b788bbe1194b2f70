//! Passwords that are being checked. A check is dear by design, so it is done off the loop: a few at a time, equal ones
//! once, and what was right is remembered by a keyed digest. A password is kept until its check begins, and no longer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::ground::id::ConnId;
use crate::ground::limits::Limits;
use crate::ground::rng::Rng;
use crate::hub::action::{Action, Password};

/// What a hash and a password are known by.
type Digest = [u8; 32];

/// What a password is held against.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The user that was named.
    pub user: &'a str,
    /// There is such a user. For one that is not there the check is made all the same, and fails.
    pub known: bool,
    /// The hash that the password must give, a PHC string.
    pub hash: &'a str,
    /// The password.
    pub password: &'a [u8],
}

/// What is known of a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checked {
    /// It is right.
    Right,
    /// It is wrong.
    Wrong,
    /// The check is under way; the connection's request is judged again when it is done.
    Waits,
    /// More checks wait already than may.
    Full,
}

/// Checks of one engine.
#[derive(Debug)]
pub(super) struct Checks {
    key: Digest,
    next: u64,
    /// Checks that wait or are under way, by their tickets.
    open: BTreeMap<u64, Check>,
    by_digest: BTreeMap<Digest, u64>,
    /// Those that wait, in their order.
    queue: VecDeque<u64>,
    /// How each connection stands whose request waits, or was waiting and is to be judged again.
    standing: BTreeMap<ConnId, Standing>,
    /// What was right, in the order in which it was found.
    right: BTreeSet<Digest>,
    found: VecDeque<Digest>,
}

#[derive(Debug)]
struct Check {
    digest: Digest,
    known: bool,
    /// Until it begins.
    asked: Option<(Box<str>, Password)>,
    waiting: Vec<ConnId>,
}

#[derive(Clone, Copy, Debug)]
enum Standing {
    Waits(u64),
    Done(Digest, bool),
}

impl Checks {
    pub(super) fn new(seed: u64) -> Checks {
        let mut key = [0; 32];
        Rng::new(seed).fill(&mut key);
        Checks {
            key,
            next: 0,
            open: BTreeMap::new(),
            by_digest: BTreeMap::new(),
            queue: VecDeque::new(),
            standing: BTreeMap::new(),
            right: BTreeSet::new(),
            found: VecDeque::new(),
        }
    }

    /// What is known of a claim that a connection makes; if nothing is, a check waits for its turn.
    pub(super) fn ask(&mut self, conn: ConnId, claim: Claim<'_>, limits: &Limits) -> Checked {
        let digest = self.digest(claim);
        if claim.known && self.right.contains(&digest) {
            return Checked::Right;
        }
        match self.standing.get(&conn) {
            Some(Standing::Done(of, right)) if *of == digest => {
                return if *right { Checked::Right } else { Checked::Wrong };
            }
            Some(Standing::Waits(ticket)) if self.by_digest.get(&digest) == Some(ticket) => {
                return Checked::Waits;
            }
            Some(_) => self.leave(conn),
            None => {}
        }
        let ticket = match self.by_digest.get(&digest) {
            Some(ticket) => *ticket,
            None if self.queue.len() as u64 >= limits.checks_waiting => return Checked::Full,
            None => self.open(digest, claim),
        };
        if let Some(check) = self.open.get_mut(&ticket) {
            check.waiting.push(conn);
        }
        self.standing.insert(conn, Standing::Waits(ticket));
        Checked::Waits
    }

    fn open(&mut self, digest: Digest, claim: Claim<'_>) -> u64 {
        self.next += 1;
        let asked = Some((claim.hash.into(), Password::new(claim.password)));
        self.open.insert(self.next, Check { digest, known: claim.known, asked, waiting: Vec::new() });
        self.by_digest.insert(digest, self.next);
        self.queue.push_back(self.next);
        self.next
    }

    /// The next check to be made, if one more may be under way. Connections for which `may_try` does not hold any more
    /// are left out of it; they come second, to be judged again.
    pub(super) fn start(
        &mut self,
        limits: &Limits,
        may_try: impl Fn(ConnId) -> bool,
    ) -> (Option<Action>, Vec<ConnId>) {
        let (mut begun, mut left_out) = (None, Vec::new());
        while begun.is_none() && ((self.open.len() - self.queue.len()) as u64) < limits.checks_running {
            let Some(ticket) = self.queue.pop_front() else { break };
            let Some(check) = self.open.get_mut(&ticket) else { continue };
            left_out.extend(check.waiting.extract_if(.., |conn| !may_try(*conn)));
            match check.asked.take() {
                Some((hash, password)) if !check.waiting.is_empty() => {
                    begun = Some(Action::Check { ticket, hash, password });
                }
                Some(_) | None => drop(self.close(ticket)),
            }
        }
        for conn in &left_out {
            self.standing.remove(conn);
        }
        (begun, left_out)
    }

    /// A check is done: the connections that waited for it.
    pub(super) fn done(&mut self, ticket: u64, right: bool, limits: &Limits) -> Vec<ConnId> {
        let Some(check) = self.close(ticket) else { return Vec::new() };
        let right = right && check.known;
        for conn in &check.waiting {
            self.standing.insert(*conn, Standing::Done(check.digest, right));
        }
        if right && limits.checks_remembered > 0 && self.right.insert(check.digest) {
            self.found.push_back(check.digest);
        }
        while self.found.len() as u64 > limits.checks_remembered {
            let Some(oldest) = self.found.pop_front() else { break };
            self.right.remove(&oldest);
        }
        check.waiting
    }

    fn close(&mut self, ticket: u64) -> Option<Check> {
        let check = self.open.remove(&ticket)?;
        self.by_digest.remove(&check.digest);
        Some(check)
    }

    /// A connection's request was answered or goes another way, or the connection is gone. A check that nobody waits for
    /// does not begin.
    pub(super) fn leave(&mut self, conn: ConnId) {
        let Some(Standing::Waits(ticket)) = self.standing.remove(&conn) else { return };
        let Some(check) = self.open.get_mut(&ticket) else { return };
        check.waiting.retain(|waiting| *waiting != conn);
        if check.waiting.is_empty() && check.asked.is_some() {
            self.close(ticket);
            self.queue.retain(|queued| *queued != ticket);
        }
    }

    fn digest(&self, claim: Claim<'_>) -> Digest {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("any key fits HMAC");
        mac.update(&[u8::from(claim.known)]);
        for part in [claim.hash.as_bytes(), claim.user.as_bytes()] {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.update(claim.password);
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: fn() -> Limits =
        || Limits { checks_running: 1, checks_waiting: 2, checks_remembered: 2, ..Limits::default() };

    fn conn(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    fn claim<'a>(user: &'a str, password: &'a str) -> Claim<'a> {
        Claim { user, known: user != "nobody", hash: "$argon2id$x", password: password.as_bytes() }
    }

    /// The ticket of the check that begins.
    fn begin(checks: &mut Checks, limits: &Limits) -> Option<u64> {
        match checks.start(limits, |_| true) {
            (Some(Action::Check { ticket, .. }), left) if left.is_empty() => Some(ticket),
            (None, left) if left.is_empty() => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn equal_claims_share_a_check_and_what_was_right_is_remembered() {
        let (mut checks, limits) = (Checks::new(1), LIMITS());
        for slot in [1, 2, 1] {
            assert_eq!(checks.ask(conn(slot), claim("ann", "a"), &limits), Checked::Waits);
        }
        let ticket = begin(&mut checks, &limits).unwrap();
        assert_eq!(begin(&mut checks, &limits), None, "nothing else waits");
        assert_eq!(checks.ask(conn(3), claim("ann", "a"), &limits), Checked::Waits, "it joins");
        assert_eq!(checks.done(ticket, true, &limits), [conn(1), conn(2), conn(3)]);
        assert_eq!(checks.done(ticket, true, &limits), []);
        for slot in [1, 2, 3, 4] {
            assert_eq!(checks.ask(conn(slot), claim("ann", "a"), &limits), Checked::Right);
        }
        assert_eq!(checks.ask(conn(4), claim("ann", "b"), &limits), Checked::Waits, "another password");
        assert_eq!(checks.ask(conn(5), claim("bob", "a"), &limits), Checked::Waits, "another user");
    }

    #[test]
    fn the_memory_is_bounded_and_wrong_ones_are_not_in_it() {
        let (mut checks, limits) = (Checks::new(1), LIMITS());
        let mut check = |password: &str, right| {
            let known = checks.ask(conn(1), claim("ann", password), &limits);
            if let Some(ticket) = begin(&mut checks, &limits) {
                checks.done(ticket, right, &limits);
            }
            checks.leave(conn(1));
            known
        };
        assert_eq!(["w", "w"].map(|password| check(password, false)), [Checked::Waits; 2]);
        assert_eq!(["a", "b", "a"].map(|p| check(p, true)), [Checked::Waits, Checked::Waits, Checked::Right]);
        assert_eq!(["c", "b", "a"].map(|p| check(p, true)), [Checked::Waits, Checked::Right, Checked::Waits]);
        assert!(checks.open.is_empty() && checks.standing.is_empty() && checks.by_digest.is_empty());
    }

    #[test]
    fn a_user_that_is_not_there_is_never_right() {
        let (mut checks, limits) = (Checks::new(1), LIMITS());
        assert_eq!(checks.ask(conn(1), claim("nobody", "a"), &limits), Checked::Waits);
        let ticket = begin(&mut checks, &limits).unwrap();
        checks.done(ticket, true, &limits);
        assert_eq!(checks.ask(conn(1), claim("nobody", "a"), &limits), Checked::Wrong);
        assert_eq!(checks.ask(conn(2), claim("nobody", "a"), &limits), Checked::Waits);
    }

    #[test]
    fn few_run_and_few_wait() {
        let (mut checks, limits) = (Checks::new(1), LIMITS());
        assert_eq!(checks.ask(conn(0), claim("ann", "0"), &limits), Checked::Waits);
        let first = begin(&mut checks, &limits).unwrap();
        for (slot, expected) in [(1, Checked::Waits), (2, Checked::Waits), (3, Checked::Full)] {
            assert_eq!(checks.ask(conn(slot), claim("ann", &slot.to_string()), &limits), expected);
        }
        assert_eq!(begin(&mut checks, &limits), None, "one is under way");
        checks.leave(conn(1));
        assert_eq!(checks.ask(conn(3), claim("ann", "3"), &limits), Checked::Waits, "a place came free");
        checks.done(first, false, &limits);
        // The next is left out because its connection may not try any more, and the one after it begins.
        let (begun, left_out) = checks.start(&limits, |id| id != conn(2));
        assert!(matches!(begun, Some(Action::Check { .. })) && left_out == [conn(2)]);
        assert!(checks.queue.is_empty() && checks.open.len() == 1);
    }
}

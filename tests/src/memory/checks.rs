//! Passwords that engines want checked, as the test decides. The hash of a password here is [`hash`] of it, so that no
//! check costs anything.

use offhook_core::Completion;
use offhook_core::hub::action::Password;

use super::World;

/// A check that an engine asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) shard: usize,
    pub(super) ticket: u64,
    pub(super) hash: Box<str>,
    pub(super) password: Password,
}

/// What stands in the config for a password.
#[must_use]
pub fn hash(password: &str) -> String {
    format!("$argon2id$of {password}")
}

impl World {
    /// How many checks are under way.
    #[must_use]
    pub fn checking(&self) -> usize {
        self.checks.len()
    }

    /// The check that has been under way for longest is done, as its password and hash demand.
    ///
    /// # Panics
    /// If none is under way.
    pub fn finish_check(&mut self) {
        let Asked { shard, ticket, hash: expected, password } =
            self.checks.pop_front().expect("a check is under way");
        let right = std::str::from_utf8(password.bytes()).is_ok_and(|password| *expected == hash(password));
        self.shards[shard].engine.complete(self.now, Completion::Checked(ticket, right));
        self.turn();
    }

    /// All checks are done, and those that they make room for; how many there were.
    pub fn finish_checks(&mut self) -> usize {
        let mut count = 0;
        while self.checking() > 0 {
            self.finish_check();
            count += 1;
        }
        count
    }
}

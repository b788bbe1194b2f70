//! Passwords that are held against their hashes, on threads of their own, because each takes a core for a while. A
//! bounded number of threads start when they are needed and stay; the engines bound what waits.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};

use offhook_core::Completion;
use offhook_core::hub::action::Password;

use crate::mailbox::{Mail, lock};
use crate::password;
use crate::process::Process;

/// A password, and who wants to know.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) shard: usize,
    pub(crate) ticket: u64,
    pub(crate) hash: Box<str>,
    pub(crate) password: Password,
}

/// The door to the threads.
#[derive(Debug)]
pub(crate) struct Checker {
    wanted: Sender<Wanted>,
    waiting: Arc<Mutex<Receiver<Wanted>>>,
    /// Those that run, and how many there may be.
    threads: Mutex<(u64, u64)>,
}

impl Default for Checker {
    fn default() -> Checker {
        let (wanted, waiting) = channel();
        Checker { wanted, waiting: Arc::new(Mutex::new(waiting)), threads: Mutex::new((0, 1)) }
    }
}

impl Checker {
    /// From here on there may be so many threads, for all shards together. Those that run stay.
    pub(crate) fn set_threads_max(&self, threads_max: u64) {
        lock(&self.threads).1 = threads_max;
    }

    /// Checks a password; what comes of it goes to the shard's mailbox.
    pub(crate) fn ask(&self, process: &Arc<Process>, wanted: Wanted) {
        let (threads, threads_max) = &mut *lock(&self.threads);
        if *threads < *threads_max {
            let (waiting, of_thread) = (Arc::clone(&self.waiting), Arc::downgrade(process));
            let thread = std::thread::Builder::new().name("passwords".to_owned());
            match thread.spawn(move || work(&waiting, &of_thread)) {
                Ok(_) => *threads += 1,
                Err(error) => {
                    tracing::warn!(%error, "cannot start a thread that checks passwords");
                    if *threads == 0 {
                        // Nobody would take it, and its request would wait for ever.
                        return answer(process, wanted.shard, wanted.ticket, false);
                    }
                }
            }
        }
        // The other end is held by this checker as well.
        let _ = self.wanted.send(wanted);
    }
}

fn work(waiting: &Mutex<Receiver<Wanted>>, process: &Weak<Process>) {
    loop {
        let next = lock(waiting).recv();
        let Ok(Wanted { shard, ticket, hash, password }) = next else { return };
        let right = password::is_right(&hash, password.bytes());
        let Some(process) = process.upgrade() else { return };
        answer(&process, shard, ticket, right);
    }
}

fn answer(process: &Process, shard: usize, ticket: u64, right: bool) {
    // A shard that has ended wants nothing.
    drop(process.mailbox(shard).post(Mail::Completion(Completion::Checked(ticket, right))));
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};
    use std::sync::Condvar;

    use super::*;

    /// Waits until so many completions have come to a shard.
    fn completions(process: &Process, shard: usize, count: usize) -> BTreeMap<u64, bool> {
        let bell = Arc::new((Mutex::new(()), Condvar::new()));
        let ringer = Arc::clone(&bell);
        process.mailbox(shard).on_mail(Box::new(move || {
            let _held = lock(&ringer.0);
            ringer.1.notify_one();
        }));
        let (mut done, mut mail) = (BTreeMap::new(), VecDeque::new());
        let mut held = lock(&bell.0);
        while done.len() < count {
            process.mailbox(shard).take(&mut mail);
            for mail in mail.drain(..) {
                let Mail::Completion(Completion::Checked(ticket, right)) = mail else {
                    panic!("a check was asked for: {mail:?}");
                };
                done.insert(ticket, right);
            }
            if done.len() < count && !process.mailbox(shard).has_mail() {
                held = bell.1.wait(held).unwrap();
            }
        }
        done
    }

    #[test]
    fn few_threads_check_all_that_shards_ask() {
        let process = Arc::new(Process::new(2, "test"));
        process.checker.set_threads_max(2);
        let hash: Box<str> = password::hash("sesame").unwrap().into();
        for ticket in 0..6_u64 {
            let text: &[u8] = if ticket % 3 == 0 { b"sesame" } else { b"Sesame" };
            let (hash, password) = (hash.clone(), Password::new(text));
            process.checker.ask(&process, Wanted { shard: (ticket % 2) as usize, ticket, hash, password });
        }
        assert_eq!(completions(&process, 0, 3), [(0, true), (2, false), (4, false)].into());
        assert_eq!(completions(&process, 1, 3), [(1, false), (3, true), (5, false)].into());
        assert_eq!(*lock(&process.checker.threads), (2, 2));
    }

    #[test]
    fn what_is_no_hash_lets_nobody_in() {
        let process = Arc::new(Process::new(1, "test"));
        let (hash, password) = ("sesame".into(), Password::new(b"sesame"));
        process.checker.ask(&process, Wanted { shard: 0, ticket: 7, hash, password });
        assert_eq!(completions(&process, 0, 1), [(7, false)].into());
    }
}

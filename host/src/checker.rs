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
            let (waiting, process) = (Arc::clone(&self.waiting), Arc::downgrade(process));
            let thread = std::thread::Builder::new().name("passwords".to_owned());
            match thread.spawn(move || work(&waiting, &process)) {
                Ok(_) => *threads += 1,
                Err(error) => tracing::warn!(%error, "cannot start a thread that checks passwords"),
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
        // A shard that has ended wants nothing.
        drop(process.mailbox(shard).post(Mail::Completion(Completion::Checked(ticket, right))));
    }
}

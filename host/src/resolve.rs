//! Names of hosts, resolved by the operating system on threads of their own, because it answers when it likes. There is a
//! line for each [`Share`]: a bounded number of threads start when they are needed and stay; further names wait in line.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use offhook_core::Completion;
use offhook_core::hub::action::Share;

use crate::mailbox::{Mail, lock};
use crate::process::Process;

/// Names of a line that are resolved at a time. One that hangs holds its thread for as long as the system waits, so a few such
/// names must leave some for the others.
const THREADS: usize = 16;

/// A name that has stood in line for so long is not resolved any more: whoever wanted it has given up.
const PATIENCE: Duration = Duration::from_secs(30);

type Found = Result<Vec<IpAddr>, Box<str>>;

/// A name, and who wants to know.
#[derive(Debug)]
struct Wanted {
    shard: usize,
    ticket: u64,
    host: Box<str>,
    since: Instant,
}

/// The door to the threads.
#[derive(Debug)]
pub(crate) struct Resolver {
    calls: Line,
    dialects: Line,
}

impl Default for Resolver {
    fn default() -> Resolver {
        Resolver { calls: Line::new(resolve), dialects: Line::new(resolve) }
    }
}

impl Resolver {
    /// Asks for the addresses of a name; they come to the shard's mailbox.
    pub(crate) fn ask(
        &self,
        process: &Arc<Process>,
        shard: usize,
        ticket: u64,
        host: Box<str>,
        share: Share,
    ) {
        let line = match share {
            Share::Calls => &self.calls,
            Share::Dialects => &self.dialects,
        };
        line.enter(process, Wanted { shard, ticket, host, since: Instant::now() });
    }
}

/// Names that wait for the threads of a share.
#[derive(Debug)]
struct Line {
    wanted: Sender<Wanted>,
    waiting: Arc<Mutex<Receiver<Wanted>>>,
    threads: Mutex<usize>,
    resolve: fn(&str) -> Found,
}

impl Line {
    fn new(resolve: fn(&str) -> Found) -> Line {
        let (wanted, waiting) = channel();
        Line { wanted, waiting: Arc::new(Mutex::new(waiting)), threads: Mutex::new(0), resolve }
    }

    fn enter(&self, process: &Arc<Process>, wanted: Wanted) {
        let mut threads = lock(&self.threads);
        if *threads < THREADS {
            let (waiting, process) = (Arc::clone(&self.waiting), Arc::downgrade(process));
            let resolve = self.resolve;
            let thread = std::thread::Builder::new().name("resolver".to_owned());
            match thread.spawn(move || work(&waiting, &process, resolve)) {
                Ok(_) => *threads += 1,
                Err(error) => tracing::warn!(%error, "cannot start a thread that resolves names"),
            }
        }
        // The other end is held by this resolver as well.
        let _ = self.wanted.send(wanted);
    }
}

fn work(waiting: &Mutex<Receiver<Wanted>>, process: &Weak<Process>, resolve: fn(&str) -> Found) {
    loop {
        let next = lock(waiting).recv();
        let Ok(Wanted { shard, ticket, host, since }) = next else { return };
        let is_wanted = since.elapsed() < PATIENCE;
        let found = if is_wanted { resolve(&host) } else { Err("its turn came too late".into()) };
        let Some(process) = process.upgrade() else { return };
        // A shard that has ended wants nothing.
        drop(process.mailbox(shard).post(Mail::Completion(Completion::Resolved(ticket, found))));
    }
}

fn resolve(host: &str) -> Found {
    match (host, 0).to_socket_addrs() {
        Ok(addresses) => {
            let mut found: Vec<IpAddr> = Vec::new();
            for address in addresses.map(|address| address.ip()) {
                if !found.contains(&address) {
                    found.push(address);
                }
            }
            Ok(found)
        }
        Err(error) => Err(error.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn names_of_this_machine_are_found_and_others_are_not() {
        let found = resolve("localhost").unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
        assert!(resolve("no-such-host.invalid").is_err());
    }

    /// What a shard was told, once it was told so much.
    fn told(process: &Process, count: usize) -> Vec<(u64, Found)> {
        let (bell, rung) = channel();
        process.mailbox(0).on_mail(Box::new(move || bell.send(()).unwrap_or_default()));
        let (mut all, mut taken) = (Vec::new(), VecDeque::new());
        while all.len() < count {
            rung.recv().expect("the mailbox has the bell");
            process.mailbox(0).take(&mut taken);
            all.extend(taken.drain(..).map(|mail| {
                let Mail::Completion(Completion::Resolved(ticket, found)) = mail else { panic!("{mail:?}") };
                (ticket, found)
            }));
        }
        all
    }

    #[test]
    fn names_that_hang_keep_the_other_line_going() {
        let process = Arc::new(Process::new(1, "test"));
        let hangs = |_: &str| loop {
            std::thread::park();
        };
        let resolver = Resolver { calls: Line::new(hangs), dialects: Line::new(|_| Ok(Vec::new())) };
        for ticket in 0..2 * THREADS as u64 {
            resolver.ask(&process, 0, ticket, "hangs.test".into(), Share::Calls);
        }
        resolver.ask(&process, 0, 99, "answers.test".into(), Share::Dialects);
        assert_eq!(told(&process, 1), [(99, Ok(Vec::new()))]);
    }

    #[test]
    fn what_stood_in_line_for_too_long_is_not_resolved() {
        let process = Arc::new(Process::new(1, "test"));
        let line = Line::new(|host| panic!("{host} is resolved"));
        let since = Instant::now().checked_sub(PATIENCE).expect("the machine runs for longer");
        line.enter(&process, Wanted { shard: 0, ticket: 7, host: "late.test".into(), since });
        assert_eq!(told(&process, 1), [(7, Err("its turn came too late".into()))]);
    }
}

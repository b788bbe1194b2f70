//! Names of hosts, resolved by the operating system on threads of their own, because it answers when it likes. A bounded
//! number of threads start when they are needed and stay; further names wait in line.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};

use offhook_core::Completion;

use crate::mailbox::{Mail, lock};
use crate::process::Process;

/// Names that are resolved at a time. One that hangs holds its thread for as long as the system waits, so a few such
/// names must leave some for the others.
const THREADS: usize = 16;

/// A name, and who wants to know.
#[derive(Debug)]
struct Wanted {
    shard: usize,
    ticket: u64,
    host: Box<str>,
}

/// The door to the threads.
#[derive(Debug)]
pub(crate) struct Resolver {
    wanted: Sender<Wanted>,
    waiting: Arc<Mutex<Receiver<Wanted>>>,
    threads: Mutex<usize>,
}

impl Default for Resolver {
    fn default() -> Resolver {
        let (wanted, waiting) = channel();
        Resolver { wanted, waiting: Arc::new(Mutex::new(waiting)), threads: Mutex::new(0) }
    }
}

impl Resolver {
    /// Asks for the addresses of a name; they come to the shard's mailbox.
    pub(crate) fn ask(&self, process: &Arc<Process>, shard: usize, ticket: u64, host: Box<str>) {
        let mut threads = lock(&self.threads);
        if *threads < THREADS {
            let (waiting, process) = (Arc::clone(&self.waiting), Arc::downgrade(process));
            let thread = std::thread::Builder::new().name("resolver".to_owned());
            match thread.spawn(move || work(&waiting, &process)) {
                Ok(_) => *threads += 1,
                Err(error) => tracing::warn!(%error, "cannot start a thread that resolves names"),
            }
        }
        // The other end is held by this resolver as well.
        let _ = self.wanted.send(Wanted { shard, ticket, host });
    }
}

fn work(waiting: &Mutex<Receiver<Wanted>>, process: &Weak<Process>) {
    loop {
        let next = lock(waiting).recv();
        let Ok(Wanted { shard, ticket, host }) = next else { return };
        let found = resolve(&host);
        let Some(process) = process.upgrade() else { return };
        // A shard that has ended wants nothing.
        drop(process.mailbox(shard).post(Mail::Completion(Completion::Resolved(ticket, found))));
    }
}

fn resolve(host: &str) -> Result<Vec<IpAddr>, Box<str>> {
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
    use super::*;

    #[test]
    fn names_of_this_machine_are_found_and_others_are_not() {
        let found = resolve("localhost").unwrap();
        assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
        assert!(resolve("no-such-host.invalid").is_err());
    }
}

//! Servers of others, as far as a test plays them: who listens where, and what names mean. What the engine sends to one is
//! what its [`Peer`] receives, as with clients.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use super::{Peer, World};

/// Names and addresses.
#[derive(Debug, Default)]
pub(super) struct Others {
    names: BTreeMap<String, Vec<IpAddr>>,
    /// Names that are never answered.
    silent: BTreeSet<String>,
    listening: BTreeSet<SocketAddr>,
    /// Addresses that never answer.
    lost: BTreeSet<SocketAddr>,
    dialed: VecDeque<(Peer, SocketAddr)>,
    ever: Vec<(Peer, String)>,
    /// What the kernel takes at first on connections to come; `None` is no bound.
    pub(super) room: Option<usize>,
}

impl Others {
    pub(super) fn dialed_ever(&self) -> &[(Peer, String)] {
        &self.ever
    }

    pub(super) fn resolve(&self, host: &str) -> Option<Result<Vec<IpAddr>, Box<str>>> {
        if self.silent.contains(host) {
            return None;
        }
        Some(self.names.get(host).cloned().ok_or_else(|| "no such name".into()))
    }

    pub(super) fn dial(&mut self, peer: Peer, address: SocketAddr) -> Option<Result<(), Box<str>>> {
        self.dialed.push_back((peer, address));
        self.ever.push((peer, address.to_string()));
        if self.lost.contains(&address) {
            return None;
        }
        Some(if self.listening.contains(&address) { Ok(()) } else { Err("connection refused".into()) })
    }
}

impl World {
    /// A name has these addresses from here on; none: it is never answered.
    ///
    /// # Panics
    /// If one is no address.
    pub fn name(&mut self, host: &str, addresses: &[&str]) {
        let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().expect("an address")).collect();
        if addresses.is_empty() {
            self.others.silent.insert(host.to_owned());
        } else {
            self.others.names.insert(host.to_owned(), addresses);
        }
    }

    /// Somebody listens there from here on.
    ///
    /// # Panics
    /// If it is no address.
    pub fn serve(&mut self, address: &str) {
        self.others.listening.insert(address.parse().expect("an address with a port"));
    }

    /// Nobody listens there any more.
    ///
    /// # Panics
    /// If it is no address.
    pub fn close_port(&mut self, address: &str) {
        self.others.listening.remove(&address.parse().expect("an address with a port"));
    }

    /// Packets to this address are lost.
    ///
    /// # Panics
    /// If it is no address.
    pub fn lose(&mut self, address: &str) {
        self.others.lost.insert(address.parse().expect("an address with a port"));
    }

    /// On connections to come the kernel takes so many bytes, then none.
    pub fn limit_dialed(&mut self, bytes: usize) {
        self.others.room = Some(bytes);
    }

    /// The next connection that an engine has tried to make, also one that was refused.
    pub fn take_dialed(&mut self) -> Option<(Peer, String)> {
        let (peer, address) = self.others.dialed.pop_front()?;
        Some((peer, address.to_string()))
    }
}

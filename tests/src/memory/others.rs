//! Servers of others, as far as a test plays them: who listens where, and what names mean. What the engine sends to one is
//! what its [`Peer`] receives, as with clients.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use offhook_core::Completion;
use offhook_core::hub::call::{Answer, Call, CallFault, CallId};

use super::{Peer, World};

/// What a name stands for.
type Found = Result<Vec<IpAddr>, Box<str>>;

/// What came of a call, with its key.
pub type Outcome = (u64, Result<Answer, CallFault>);

/// Names and addresses.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// Each answer is given once, the last one for ever.
    names: BTreeMap<String, VecDeque<Found>>,
    /// Names that are never answered.
    silent: BTreeSet<String>,
    listening: BTreeSet<SocketAddr>,
    /// Addresses that never answer.
    lost: BTreeSet<SocketAddr>,
    dialed: VecDeque<(Peer, SocketAddr)>,
    ever: Vec<(Peer, String)>,
    /// What the kernel takes at first on connections to come; `None` is no bound.
    pub(super) room: Option<usize>,
    /// The test decides itself what comes of each connection that is tried.
    by_hand: bool,
    /// By hand: names that nothing is known of; their lookups wait.
    lookups: Vec<(usize, u64, String)>,
    outcomes: Vec<Outcome>,
}

impl Others {
    pub(super) fn dialed_ever(&self) -> &[(Peer, String)] {
        &self.ever
    }

    fn find(&mut self, name: &str) -> Option<Found> {
        let known = self.names.get_mut(name)?;
        if known.len() > 1 { known.pop_front() } else { known.front().cloned() }
    }

    pub(super) fn resolve(&mut self, shard: usize, ticket: u64, host: &str) -> Option<Found> {
        if self.silent.contains(host) {
            return None;
        }
        match self.find(host) {
            None if self.by_hand => {
                self.lookups.push((shard, ticket, host.to_owned()));
                None
            }
            found => Some(found.unwrap_or_else(|| Err("no such name".into()))),
        }
    }

    pub(super) fn dial(&mut self, peer: Peer, address: SocketAddr) -> Option<Result<(), Box<str>>> {
        self.dialed.push_back((peer, address));
        self.ever.push((peer, address.to_string()));
        if self.by_hand || self.lost.contains(&address) {
            return None;
        }
        Some(if self.listening.contains(&address) { Ok(()) } else { Err("connection refused".into()) })
    }
}

/// By hand: the test makes calls through the first engine, and decides what comes of each step.
impl World {
    /// Makes a call through the first engine.
    pub fn call(&mut self, call: Call) -> CallId {
        self.others.by_hand = true;
        let id = self.shards[0].engine.call(self.now, call);
        self.turn();
        id
    }

    /// Gives a call up.
    pub fn cancel(&mut self, id: CallId) {
        self.shards[0].engine.cancel(self.now, id);
        self.turn();
    }

    /// Takes what came of calls.
    pub fn take_answers(&mut self) -> Vec<Outcome> {
        std::mem::take(&mut self.others.outcomes)
    }

    pub(super) fn take_answers_of(&mut self, shard: usize) {
        let engine = &mut self.shards[shard].engine;
        self.others.outcomes.extend(std::iter::from_fn(|| engine.poll_answer()));
    }

    /// The next connection that an engine dials, still to be accepted or refused.
    ///
    /// # Panics
    /// If none is dialed.
    pub fn expect_dial(&mut self) -> (Peer, SocketAddr) {
        self.next_dial().expect("an engine dials")
    }

    /// The next connection that an engine dials, if there is one.
    pub fn next_dial(&mut self) -> Option<(Peer, SocketAddr)> {
        self.others.dialed.pop_front()
    }

    /// The server takes the connection.
    pub fn accept_dial(&mut self, peer: Peer) {
        self.finish_dial(peer, Ok(()));
    }

    /// The next connection that an engine dials, accepted.
    ///
    /// # Panics
    /// If none is dialed, or another address.
    pub fn expect_accepted(&mut self, address: &str) -> Peer {
        let (peer, dialed) = self.expect_dial();
        assert_eq!(dialed.to_string(), address);
        self.accept_dial(peer);
        peer
    }

    /// The server does not take the connection.
    pub fn refuse_dial(&mut self, peer: Peer, why: &str) {
        self.finish_dial(peer, Err(why.into()));
    }

    fn finish_dial(&mut self, peer: Peer, result: Result<(), Box<str>>) {
        let socket = &mut self.sockets[peer.0];
        assert!(socket.dialing && !socket.closed, "a connection that is still wanted");
        // The socket of a refused one has nothing to read or write.
        socket.dialing = result.is_err();
        let (shard, id) = (socket.shard, socket.id);
        self.shards[shard].engine.complete(self.now, Completion::Dialed(id, result));
        self.turn();
    }

    /// From here on a name stands for these addresses.
    ///
    /// # Panics
    /// If one of them is none.
    pub fn set_name(&mut self, name: &str, addresses: &[&str]) {
        self.others.names.insert(name.to_owned(), VecDeque::from([Ok(parsed(addresses))]));
    }

    /// What the name stands for after it was looked up once more.
    ///
    /// # Panics
    /// If one of them is no address, or the name is unknown.
    pub fn rebind_name(&mut self, name: &str, addresses: &[&str]) {
        self.others.names.get_mut(name).expect("a known name").push_back(Ok(parsed(addresses)));
    }

    /// From here on a name cannot be resolved.
    pub fn break_name(&mut self, name: &str, why: &str) {
        self.others.names.insert(name.to_owned(), VecDeque::from([Err(why.into())]));
    }

    /// The lookups that wait because nothing is known of their names.
    #[must_use]
    pub fn waiting_names(&self) -> Vec<&str> {
        self.others.lookups.iter().map(|(_, _, name)| &**name).collect()
    }

    /// The lookups that wait are answered with what is known by now.
    ///
    /// # Panics
    /// If nothing is.
    pub fn answer_lookups(&mut self) {
        for (shard, ticket, name) in std::mem::take(&mut self.others.lookups) {
            let found = self.others.find(&name).expect("a known name");
            self.shards[shard].engine.complete(self.now, Completion::Resolved(ticket, found));
        }
        self.turn();
    }
}

fn parsed(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|address| address.parse().expect("an address")).collect()
}

/// By itself: whoever listens accepts at once, others refuse.
impl World {
    /// A name has these addresses from here on; none: it is never answered.
    ///
    /// # Panics
    /// If one is no address.
    pub fn name(&mut self, host: &str, addresses: &[&str]) {
        if addresses.is_empty() {
            self.others.silent.insert(host.to_owned());
        } else {
            self.set_name(host, addresses);
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

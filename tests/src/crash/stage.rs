//! Where the server is at present, and how far the play has come: what the actors wait for.

use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard};

use super::scenario::Load;
use crate::conformance::server::PATIENCE;

#[derive(Debug)]
pub(super) struct Stage {
    pub(super) load: Load,
    /// Where hooks and callbacks go.
    pub(super) receiver: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// `None` from just before a kill until the next server is ready.
    address: Option<SocketAddr>,
    /// Requests acknowledged.
    acknowledgements: u64,
    /// Whoever is refused waits.
    is_full: bool,
    /// Requests refused since there was room, or since the last start.
    refusals: u64,
    /// Publishers make nothing new.
    finishing: bool,
    /// Publishers without anything left to say.
    finished: u32,
    /// Everybody goes home.
    over: bool,
}

/// Ends the play when it goes, however it goes: nobody waits for actors that wait for a server.
#[derive(Debug)]
pub(super) struct End<'a>(&'a Stage);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        (state.over, state.address) = (true, None);
        self.0.changed.notify_all();
    }
}

impl Stage {
    pub(super) fn new(load: Load, receiver: SocketAddr) -> Stage {
        Stage { load, receiver, state: Mutex::default(), changed: Condvar::new() }
    }

    pub(super) fn end_with(&self) -> End<'_> {
        End(self)
    }

    pub(super) fn up(&self, address: SocketAddr) {
        let mut state = self.state();
        (state.address, state.refusals) = (Some(address), 0);
        self.changed.notify_all();
    }

    /// Whoever loses its connection from here on waits for the next server.
    pub(super) fn down(&self) {
        self.state().address = None;
    }

    /// Where the server is, as soon as there is one; `None`: it is over.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let mut state = self.state();
        loop {
            if state.over {
                return None;
            }
            if let Some(address) = state.address {
                return Some(address);
            }
            state = self.changed.wait(state).expect("no holder panics");
        }
    }

    /// As [`Stage::address`], but another one than this.
    pub(super) fn another_address(&self, known: SocketAddr) -> Option<SocketAddr> {
        let state = self.state();
        let same = |state: &mut State| !state.over && state.address.is_none_or(|address| address == known);
        let state = self.changed.wait_while(state, same).expect("no holder panics");
        state.address.filter(|_| !state.over)
    }

    pub(super) fn acknowledged(&self) {
        self.state().acknowledgements += 1;
        self.changed.notify_all();
    }

    pub(super) fn wait_for_acknowledgements(&self, count: u64) {
        self.wait("acknowledgements", |state| state.acknowledgements >= count);
    }

    pub(super) fn acknowledgements(&self) -> u64 {
        self.state().acknowledgements
    }

    /// A request was refused for want of room: `Some` when there is room again, `None` if the server has gone.
    pub(super) fn refused(&self, by: SocketAddr) -> Option<()> {
        assert_eq!(self.load, Load::Refused, "nothing is refused for want of room here");
        let mut state = self.state();
        state.refusals += 1;
        self.changed.notify_all();
        let waits = |state: &mut State| !state.over && state.is_full && state.address == Some(by);
        let state = self.changed.wait_while(state, waits).expect("no holder panics");
        (state.address == Some(by)).then_some(())
    }

    pub(super) fn has_room(&self, has: bool) {
        let mut state = self.state();
        state.is_full = !has;
        if has {
            state.refusals = 0;
        }
        self.changed.notify_all();
    }

    pub(super) fn wait_for_refusals(&self) {
        self.wait("refusals", |state| state.refusals > 0);
    }

    pub(super) fn finishing(&self) -> bool {
        self.state().finishing
    }

    pub(super) fn finished(&self) {
        self.state().finished += 1;
        self.changed.notify_all();
    }

    pub(super) fn let_publishers_finish(&self, count: u32) {
        self.state().finishing = true;
        self.wait("the publishers' ends", |state| state.finished == count);
    }

    fn wait(&self, what: &str, done: impl Fn(&State) -> bool) {
        let state = self.state();
        let (state, timeout) =
            self.changed.wait_timeout_while(state, PATIENCE, |state| !done(state)).expect("no holder panics");
        let shown = format!("{:?}", *state);
        // Others are still to hear that it is over.
        drop(state);
        assert!(!timeout.timed_out(), "waited in vain for {what}: {shown}");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

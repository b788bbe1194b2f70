//! A subscription over SIP that outlives every server, with a notifier whose resources change all the time. What was
//! acknowledged is there after every start, and the last state of each resource is called back.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Mutex, MutexGuard};

use super::books::Books;
use super::stage::Stage;
use super::wire::Wire;
use crate::conformance::peer::{get, request, value_after};
use crate::sip::notifier::Notifier;

const URIS: [&str; 3] = ["sip:1@example.test", "sip:2@example.test", "sip:3@example.test"];
const SUMMARY: &str = "application/simple-message-summary";

/// Changes that one start sees.
const PER_START: u32 = 20;

/// The notifier's side, and what the subscriber was promised.
#[derive(Debug)]
pub(super) struct Phone {
    socket: UdpSocket,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    notifier: Notifier,
    /// Where the last SUBSCRIBE came from.
    server: Option<SocketAddr>,
    /// How often resources have changed.
    changes: u32,
    /// The path of the subscription, acknowledged.
    path: Option<String>,
}

/// Ends [`Phone::answer`] when it goes, however it goes.
#[derive(Debug)]
struct HangUp<'a>(&'a Phone);

impl Drop for HangUp<'_> {
    fn drop(&mut self) {
        self.0.socket.send_to(&[], self.0.address()).expect("loopback takes it");
    }
}

impl Phone {
    pub(super) fn new() -> Phone {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let notifier = Notifier::new(&socket.local_addr().expect("the socket is sound").to_string());
        Phone { socket, state: Mutex::new(State { notifier, server: None, changes: 0, path: None }) }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("the socket is sound")
    }

    /// Answers what comes, until it is over: then an empty datagram comes.
    pub(super) fn answer(&self) {
        let mut bytes = vec![0; 65_535];
        loop {
            // A port that is gone says so here; the next server has another.
            let Ok((length, from)) = self.socket.recv_from(&mut bytes) else { continue };
            if length == 0 {
                return;
            }
            let mut state = self.state();
            let said = state.notifier.receive(&bytes[..length]);
            state.server = Some(from);
            self.send(&state, &said);
        }
    }

    /// At each server: looks whether the subscription is there, or makes it; then resources change.
    pub(super) fn run(&self, stage: &Stage) {
        let _end = HangUp(self);
        let mut place = stage.address();
        while let Some(address) = place {
            // The end of a connection is a kill's doing.
            let _: Option<()> = self.visit(stage, address);
            place = stage.another_address(address);
        }
    }

    fn visit(&self, stage: &Stage, address: SocketAddr) -> Option<()> {
        let mut wire = Wire::connect(address)?;
        if self.state().path.is_none() {
            self.subscribe(stage, address, &mut wire)?;
        }
        for _ in 0..PER_START {
            self.change();
            self.look(&mut wire)?;
        }
        Some(())
    }

    fn subscribe(&self, stage: &Stage, address: SocketAddr, wire: &mut Wire) -> Option<()> {
        let body = format!(
            r#"{{"package":"message-summary","uris":{URIS:?},"callback":"http://{}/sep","expires":36000}}"#,
            stage.receiver
        );
        loop {
            wire.send(request("POST /v1/subscriptions", "Content-Type: application/json\r\n", &body))?;
            let (status, content) = wire.reply()?;
            if status == 503 {
                stage.refused(address)?;
                continue;
            }
            assert_eq!(status, 201, "{content}");
            let id = value_after(&content, "\"id\":\"");
            self.state().path = Some(format!("/v1/subscriptions/{id}"));
            return Some(());
        }
    }

    fn look(&self, wire: &mut Wire) -> Option<()> {
        let path = self.state().path.clone();
        let path = path.expect("it was made");
        wire.send(get(&path))?;
        let (status, content) = wire.reply()?;
        assert_eq!(status, 200, "the subscription {path} was acknowledged: {content}");
        Some(())
    }

    /// Each resource changes; how often that was so far.
    fn change(&self) -> u32 {
        let mut state = self.state();
        state.changes += 1;
        let body = format!("Messages-Waiting: yes\r\nVoice-Message: {}/0\r\n", state.changes);
        for uri in URIS {
            let said = state.notifier.change(uri, SUMMARY, body.as_bytes());
            self.send(&state, &said);
        }
        state.changes
    }

    /// At the end: resources change once more; how many of them were not called back with that.
    pub(super) fn lost(&self, books: &Books) -> usize {
        if self.state().path.is_none() {
            return 0;
        }
        let last = self.change();
        URIS.len() - books.wait_until_called_back(last, URIS.len())
    }

    fn send(&self, state: &State, said: &[Vec<u8>]) {
        for bytes in said {
            // Nobody may be there: the refresh at the next start brings the state anew.
            let _: Option<usize> = state.server.and_then(|server| self.socket.send_to(bytes, server).ok());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

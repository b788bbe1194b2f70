//! Sessions of WCS in whatever order things happen: what clients do, sources publish and the backend answers.

use std::collections::{BTreeMap, BTreeSet};

use offhook_core::ground::config::{Keepalive, WcsApp};
use offhook_tests::memory::ws::Frame;
use offhook_tests::memory::{Peer, World};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::wcs_common::{Hook, answer, app, config, hooks, say, stream, world_with};

#[derive(Clone, Debug)]
enum Step {
    Ask(usize),
    SendData(usize),
    Publish(usize, usize),
    Answer(usize, u16),
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let shard = 0..2usize;
    let status = prop::sample::select(&[200u16, 200, 200, 403][..]);
    prop_oneof![
        2 => shard.clone().prop_map(Step::Ask),
        3 => (0..8usize).prop_map(Step::SendData),
        3 => (shard, 0..8usize).prop_map(|(shard, of)| Step::Publish(shard, of)),
        5 => (0..8usize, status).prop_map(|(which, status)| Step::Answer(which, status)),
        1 => (0..8usize).prop_map(Step::Leave),
    ]
}

/// The world, and what must be true of it.
struct Play {
    world: World,
    clients: Vec<Peer>,
    /// Hooks that the backend has not answered.
    open: Vec<Hook>,
    /// What the backend was told of each session, in its order.
    heard: BTreeMap<String, Vec<String>>,
    /// What clients and sources have done, counted, so that every hook has its place.
    done: u32,
    sessions: Vec<String>,
}

impl Play {
    fn new() -> Play {
        let hooks = ["connect", "ConnectionStatusEvent", "StreamStatusEvent", "OnDataEvent"];
        let mut config = config(WcsApp { timeout_ms: 0, ..app(&hooks) });
        config.wcs.keepalive = Keepalive::None;
        Play {
            world: world_with(config, 2),
            clients: Vec::new(),
            open: Vec::new(),
            heard: BTreeMap::new(),
            done: 0,
            sessions: Vec::new(),
        }
    }

    fn run(&mut self, step: &Step) {
        self.done += 1;
        match *step {
            Step::Ask(shard) => {
                // A port of its own, and so a name of its own.
                let client = self.world.connect_from(shard, &format!("127.0.0.1:{}", 1_000 + self.done));
                self.world.upgrade(client, "/", "");
                say(&mut self.world, client, "connection", json!({}));
                self.clients.push(client);
            }
            Step::SendData(of) if !self.clients.is_empty() => {
                let client = self.clients[of % self.clients.len()];
                let data = json!({"operationId": format!("{:05}", self.done), "payload": 1});
                say(&mut self.world, client, "sendData", data);
            }
            Step::Publish(shard, of) if !self.sessions.is_empty() => {
                let session = self.sessions[of % self.sessions.len()].clone();
                stream(&mut self.world, shard, &session, &format!("{:05}", self.done));
            }
            Step::Answer(which, status) if !self.open.is_empty() => {
                let hook = self.open.remove(which % self.open.len());
                answer(&mut self.world, &hook, status, "{}");
            }
            Step::Leave(of) if !self.clients.is_empty() => {
                let client = self.clients.remove(of % self.clients.len());
                self.world.break_off(client);
            }
            Step::SendData(_) | Step::Publish(..) | Step::Answer(..) | Step::Leave(_) => {}
        }
        self.look();
    }

    fn look(&mut self) {
        for client in self.clients.clone() {
            for frame in self.world.frames(client) {
                let Frame::Text(text) = frame else {
                    assert!(matches!(frame, Frame::Close(Some(1008), _)), "declined: {frame:?}");
                    self.clients.retain(|open| *open != client);
                    self.world.break_off(client);
                    break;
                };
                let message: Value = serde_json::from_str(&text).expect("a message is JSON");
                if message["message"] == "getUserData" {
                    self.sessions.push(message["data"][0]["sessionId"].as_str().expect("a name").to_owned());
                }
            }
        }
        for hook in hooks(&mut self.world) {
            let session = hook.body["sessionId"].as_str().expect("a name").to_owned();
            let what = ["name", "operationId", "status"].iter().find_map(|name| hook.body[name].as_str());
            self.heard.entry(session).or_default().push(what.unwrap_or("connect").to_owned());
            self.open.push(hook);
        }
        let busy: BTreeSet<Option<&str>> =
            self.open.iter().map(|hook| hook.body["sessionId"].as_str()).collect();
        assert_eq!(busy.len(), self.open.len(), "W27: one hook at a time in a session");
    }

    /// Everybody leaves, and the backend answers all there is.
    fn end(&mut self) {
        while !self.clients.is_empty() || !self.open.is_empty() {
            self.run(&Step::Answer(0, 200));
            if self.open.is_empty() {
                self.run(&Step::Leave(0));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// W27, W28, W37: in a session hooks come one at a time and in order, from `connect` to the one end; each that was let
    /// in has its beginning and its end, and nothing is left over.
    #[test]
    fn w27_w28_w37_whatever_happens_a_session_is_told_in_order(steps in prop::collection::vec(step(), 1..60)) {
        let mut play = Play::new();
        steps.iter().for_each(|step| play.run(step));
        play.end();
        for (session, heard) in &play.heard {
            let place = |what: &str| heard.iter().position(|heard| heard == what);
            let count = |what: &str| heard.iter().filter(|heard| *heard == what).count();
            prop_assert_eq!((place("connect"), count("connect")), (Some(0), 1), "{:?}", heard);
            let begun = count("ESTABLISHED");
            prop_assert_eq!(begun, usize::from(heard.len() > 1), "{:?}", heard);
            prop_assert_eq!(count("DISCONNECTED"), begun, "{:?}", heard);
            prop_assert!(begun == 0 || place("ESTABLISHED") == Some(1), "{:?}", heard);
            let numbers: Vec<&String> = heard.iter().filter(|what| what.starts_with('0')).collect();
            prop_assert!(numbers.is_sorted(), "{} of {:?}", session, heard);
        }
        prop_assert!(play.world.stats().wcs_waiting.values().all(|waiting| *waiting == 0));
    }
}

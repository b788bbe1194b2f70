//! A login, a resync and what comes between.

use super::*;
use crate::ground::time::Wall;

/// A PBX that answers what it is told to.
struct Pbx {
    asterisk: Asterisk,
    now: Now,
    /// Actions that were asked, with their ids.
    asked: Vec<(String, String)>,
}

impl Pbx {
    /// Logged in; the resync is asked for.
    fn new(limits: &Limits) -> Pbx {
        let now = Now { mono: Mono(0), wall: Wall(1_795_443_800_000) };
        let asterisk = Asterisk::new(&Source { md5: false, ..Source::default() }, limits, "oh-".into());
        let mut pbx = Pbx { asterisk, now, asked: Vec::new() };
        pbx.asterisk.connected(now);
        pbx.tell("Asterisk Call Manager/11.0.0\n");
        for action in ["Login", "CoreSettings", "ListCommands"] {
            let response = if action == "ListCommands" { "Error" } else { "Success" };
            pbx.answer(action, &format!("Response: {response}"));
            if action == "Login" {
                pbx.tell("Event: FullyBooted\n\n");
            }
        }
        assert!(matches!(pbx.said()[..], [Said::Up { .. }]));
        pbx
    }

    fn tell(&mut self, text: &str) {
        let bytes = text.replace('\n', "\r\n");
        self.asterisk.receive(self.now, bytes.as_bytes()).expect("of use");
        let sent = String::from_utf8(self.asterisk.take_output()).expect("text");
        for block in sent.split("\r\n\r\n").filter(|block| !block.is_empty()) {
            let message = Message::of(block.as_bytes());
            let [action, id] =
                ["Action", "ActionID"].map(|key| message.text(key).expect("is there").into_owned());
            self.asked.push((action, id));
        }
    }

    /// A message of an answer to an action that was asked.
    fn answer(&mut self, action: &str, message: &str) {
        let asked = self.asked.iter().rev().find(|(asked, _)| asked == action);
        let id = asked.unwrap_or_else(|| panic!("{action} is not asked: {:?}", self.asked)).1.clone();
        let (first, rest) = message.split_once('\n').unwrap_or((message, ""));
        self.tell(&format!("{first}\nActionID: {id}\n{rest}{}\n", if rest.is_empty() { "" } else { "\n" }));
    }

    /// Answers all that is asked with nothing.
    fn answer_all(&mut self) {
        for action in Asterisk::questions() {
            self.answer(action, "Response: Success");
        }
    }

    fn said(&mut self) -> Vec<Said> {
        std::iter::from_fn(|| self.asterisk.poll_said()).collect()
    }

    /// Waits for what is due, until then at most.
    fn wait(&mut self, ms: u64) {
        let end = self.now.mono.plus_ms(ms);
        while self.asterisk.poll_timeout() <= end {
            self.now.mono = self.now.mono.max(self.asterisk.poll_timeout());
            self.asterisk.handle_timeout(self.now, false).expect("of use");
            self.tell("");
        }
        self.now.mono = end;
    }
}

fn resynced(unanswered: &[&'static str]) -> Said {
    Said::Resynced { unanswered: unanswered.to_vec() }
}

/// Answers without an end put the end of a resync off, but not for ever.
#[test]
fn a_resync_ends() {
    let mut pbx = Pbx::new(&Limits { source_resync_ms: 50_000, ..Limits::default() });
    for action in Asterisk::questions().into_iter().filter(|action| *action != "Agents") {
        pbx.answer(action, "Response: Success");
    }
    pbx.answer("Agents", "Response: Success\nEventList: start");
    for agent in 0..4 {
        assert_eq!(pbx.said(), []);
        pbx.answer("Agents", &format!("Event: Agents\nAgent: {agent}\nStatus: AGENT_IDLE"));
        pbx.wait(14_000);
    }
    assert_eq!(pbx.said()[..], [resynced(&["Agents"])]);
}

/// Events that nobody looks at take no room while answers are awaited; those that find none are a gap, and asked for.
#[test]
fn a_flood_during_a_resync() {
    let mut pbx = Pbx::new(&Limits { source_aside_bytes: 300, ..Limits::default() });
    for _ in 0..100 {
        pbx.tell("Event: Newexten\nUniqueid: 1.1\n\n");
    }
    pbx.answer(
        "CoreShowChannels",
        "Event: CoreShowChannel\nChannel: PJSIP/100-1\nChannelState: 6\nUniqueid: 1.1\nLinkedid: 1.1",
    );
    for _ in 0..2 {
        pbx.tell("Event: DTMFEnd\nUniqueid: 1.1\nDirection: Received\nDigit: 1\n\n");
    }
    pbx.answer_all();
    let kinds = |said: Vec<Said>| -> Vec<&str> {
        said.iter()
            .filter_map(|said| if let Said::Told(told) = said { Some(told.event_type) } else { None })
            .collect()
    };
    assert_eq!(pbx.asterisk.counted().skipped, 100);
    let told = kinds(pbx.said());
    assert_eq!(told, ["call.incoming", "call.connected", "call.dtmf", "call.dtmf"]);
    pbx.wait(60_000);
    assert_eq!(pbx.said(), []);
}

#[test]
fn a_flood_that_finds_no_room_is_a_gap() {
    let mut pbx = Pbx::new(&Limits { source_aside_bytes: 300, ..Limits::default() });
    for _ in 0..10 {
        pbx.tell("Event: DTMFEnd\nUniqueid: 1.1\nDirection: Received\nDigit: 1\n\n");
    }
    pbx.answer_all();
    assert_eq!(pbx.said(), [resynced(&[])]);
    let asked = pbx.asked.len();
    pbx.wait(11_000);
    assert_eq!(pbx.said(), [Said::Gap { reason: "flood", dropped: Some(7) }]);
    assert_eq!(pbx.asked.len(), asked + Asterisk::questions().len());
}

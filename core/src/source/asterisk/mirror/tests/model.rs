//! Random histories of a PBX, of which a part is lost, and a resync: in the end, what was told to be open is what is open
//! there. Nothing starts twice or ends twice.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A PBX that is simple enough to be right.
#[derive(Default)]
struct Pbx {
    channels: Vec<Channel>,
    next: usize,
    contacts: BTreeSet<usize>,
    agents: BTreeSet<usize>,
    /// What it sends.
    events: Vec<String>,
}

struct Channel {
    id: String,
    name: String,
    /// The other half, of a Local channel.
    half: Option<String>,
    inbound: bool,
    state: u8,
    bridge: Option<usize>,
    conference: bool,
    queue: bool,
}

impl Channel {
    fn shows(&self) -> String {
        format!(
            "Channel: {}\nChannelState: {}\nUniqueid: {}\nLinkedid: {}",
            self.name, self.state, self.id, self.id
        )
    }
}

#[derive(Clone, Debug)]
enum Step {
    Calls,
    IsCalled,
    Local,
    Rings(usize),
    Answers(usize),
    Enters(usize, usize),
    Leaves(usize),
    Joins(usize),
    Queues(usize),
    Hangs(usize),
    Registers(usize),
    Member(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let some = 0_usize..8;
    prop_oneof![
        3 => Just(Step::Calls),
        3 => Just(Step::IsCalled),
        1 => Just(Step::Local),
        2 => some.clone().prop_map(Step::Rings),
        4 => some.clone().prop_map(Step::Answers),
        6 => (some.clone(), 0_usize..3).prop_map(|(channel, bridge)| Step::Enters(channel, bridge)),
        2 => some.clone().prop_map(Step::Leaves),
        1 => some.clone().prop_map(Step::Joins),
        1 => some.clone().prop_map(Step::Queues),
        2 => some.clone().prop_map(Step::Hangs),
        1 => (0_usize..3).prop_map(Step::Registers),
        1 => (0_usize..3).prop_map(Step::Member),
    ]
}

/// The bridge that a conference is.
const CONFERENCE: usize = 9;

impl Pbx {
    fn play(&mut self, step: &Step) {
        match *step {
            Step::Calls => self.make("PJSIP/100-1", None, true, 4),
            Step::IsCalled => {
                self.make("PJSIP/101-1", None, false, 0);
                let id = self.next - 1;
                self.events.push(format!("Event: DialBegin\nDestUniqueid: 1.{id}\nDestLinkedid: 1.{id}"));
            }
            Step::Local => {
                let [one, other] = [self.next, self.next + 1].map(|id| format!("1.{id}"));
                let name = format!("Local/x@y-{one}");
                self.make(&format!("{name};1"), Some(other), false, 6);
                self.make(&format!("{name};2"), Some(one), false, 6);
            }
            Step::Registers(nth) => {
                let status = if self.contacts.remove(&nth) { "Removed" } else { "Reachable" };
                if status != "Removed" {
                    self.contacts.insert(nth);
                }
                self.events
                    .push(format!("Event: ContactStatus\nAOR: {nth}\nURI: sip:a\nContactStatus: {status}"));
            }
            Step::Member(nth) => {
                let event = if self.agents.remove(&nth) { "QueueMemberRemoved" } else { "QueueMemberAdded" };
                if event == "QueueMemberAdded" {
                    self.agents.insert(nth);
                }
                self.events.push(format!("Event: {event}\nQueue: q\nInterface: PJSIP/{nth}\nStatus: 1"));
            }
            Step::Rings(nth) | Step::Answers(nth) | Step::Enters(nth, _) | Step::Leaves(nth) => {
                self.go_on(nth, step)
            }
            Step::Joins(nth) | Step::Queues(nth) | Step::Hangs(nth) => self.go_on(nth, step),
        }
    }

    fn make(&mut self, name: &str, half: Option<String>, inbound: bool, state: u8) {
        let id = format!("1.{}", self.next);
        self.next += 1;
        let name = name.to_owned();
        let channel =
            Channel { id, name, half, inbound, state, bridge: None, conference: false, queue: false };
        self.events.push(format!("Event: Newchannel\n{}", channel.shows()));
        self.channels.push(channel);
    }

    /// A step of the channel that is the nth, counted round.
    fn go_on(&mut self, nth: usize, step: &Step) {
        if self.channels.is_empty() {
            return;
        }
        let nth = nth % self.channels.len();
        let channel = &mut self.channels[nth];
        match step {
            Step::Rings(_) if !channel.inbound && channel.state == 0 => self.state(nth, 5),
            Step::Answers(_) if channel.state < 6 => self.state(nth, 6),
            Step::Enters(_, bridge) if channel.state == 6 && !channel.queue => {
                self.enter(nth, *bridge, "basic")
            }
            Step::Leaves(_) => self.leave(nth),
            Step::Joins(_) if channel.state == 6 && channel.half.is_none() && !channel.conference => {
                self.enter(nth, CONFERENCE, "base");
                self.channels[nth].conference = true;
                let shows = self.channels[nth].shows();
                self.events.push(format!("Event: ConfbridgeJoin\nConference: c\n{shows}"));
            }
            Step::Queues(_) if channel.state == 6 && channel.half.is_none() && channel.bridge.is_none() => {
                channel.queue = !channel.queue;
                let event = if channel.queue { "QueueCallerJoin" } else { "QueueCallerLeave" };
                let event = format!("Event: {event}\nQueue: q\n{}", channel.shows());
                self.events.push(event);
            }
            Step::Hangs(_) => {
                self.leave(nth);
                let channel = self.channels.remove(nth);
                if channel.queue {
                    self.events.push(format!("Event: QueueCallerLeave\nQueue: q\n{}", channel.shows()));
                }
                self.events.push(format!("Event: Hangup\nCause: 16\n{}", channel.shows()));
            }
            Step::Calls | Step::IsCalled | Step::Local | Step::Registers(_) | Step::Member(_) => {}
            Step::Rings(_) | Step::Answers(_) | Step::Enters(..) | Step::Joins(_) | Step::Queues(_) => {}
        }
    }

    fn state(&mut self, nth: usize, state: u8) {
        self.channels[nth].state = state;
        self.events.push(format!("Event: Newstate\n{}", self.channels[nth].shows()));
    }

    fn enter(&mut self, nth: usize, bridge: usize, kind: &str) {
        self.leave(nth);
        let channel = &mut self.channels[nth];
        channel.bridge = Some(bridge);
        self.events.push(format!(
            "Event: BridgeEnter\nBridgeUniqueid: b{bridge}\nBridgeType: {kind}\n{}",
            channel.shows()
        ));
    }

    fn leave(&mut self, nth: usize) {
        let channel = &mut self.channels[nth];
        let shows = channel.shows();
        if std::mem::take(&mut channel.conference) {
            self.events.push(format!("Event: ConfbridgeLeave\nConference: c\n{shows}"));
        }
        if let Some(bridge) = channel.bridge.take() {
            self.events.push(format!("Event: BridgeLeave\nBridgeUniqueid: b{bridge}\n{shows}"));
        }
    }

    /// What it answers.
    fn answers(&self) -> String {
        let mut text = String::from("--- BridgeList\nResponse: Success\n\n");
        let bridges: BTreeSet<usize> = self.channels.iter().filter_map(|channel| channel.bridge).collect();
        for bridge in bridges {
            let kind = if bridge == CONFERENCE { "base" } else { "basic" };
            text += &format!("Event: BridgeListItem\nBridgeUniqueid: b{bridge}\nBridgeType: {kind}\n\n");
        }
        text += "--- CoreShowChannels\nResponse: Success\n\n";
        for channel in &self.channels {
            let (application, data) = match channel {
                Channel { conference: true, .. } => ("ConfBridge", "c,,x"),
                Channel { inbound: true, .. } => ("Dial", "PJSIP/101"),
                Channel { .. } => ("AppDial", "(Outgoing Line)"),
            };
            let bridge = channel.bridge.map(|bridge| format!("b{bridge}")).unwrap_or_default();
            text += &format!("Event: CoreShowChannel\n{}\nApplication: {application}\n", channel.shows());
            text += &format!("ApplicationData: {data}\nBridgeId: {bridge}\nDuration: 00:00:05\n\n");
        }
        text += "--- QueueStatus\nResponse: Success\n\n";
        for channel in self.channels.iter().filter(|channel| channel.queue) {
            text += &format!("Event: QueueEntry\nQueue: q\nUniqueid: {}\n\n", channel.id);
        }
        for nth in &self.agents {
            text += &format!("Event: QueueMember\nQueue: q\nLocation: PJSIP/{nth}\nStatus: 1\n\n");
        }
        text += "--- PJSIPShowContacts\nResponse: Success\n\n";
        for nth in &self.contacts {
            text += &format!("Event: ContactList\nObjectName: {nth};@1\nUri: sip:a\nStatus: Reachable\n\n");
        }
        text
    }

    /// What is open there.
    fn open(&self) -> BTreeSet<String> {
        let mut open = BTreeSet::new();
        for channel in self.channels.iter().filter(|channel| channel.half.is_none()) {
            open.insert(format!("call/{}", channel.id));
            if channel.conference {
                open.insert(format!("conference/{}/c", channel.id));
            }
            if channel.queue {
                open.insert(format!("caller/{}/q", channel.id));
            }
            let company = self.company(channel);
            if let [one, other] = &company[..] {
                open.insert(format!("link/{one}+{other}"));
            }
        }
        open.extend(self.contacts.iter().map(|nth| format!("contact/{nth}/sip:a")));
        open.extend(self.agents.iter().map(|nth| format!("agent/q/PJSIP/{nth}")));
        open
    }

    /// The legs that talk with each other, one of which this is; who called stands first.
    fn company(&self, channel: &Channel) -> Vec<&str> {
        let mut bridges: Vec<usize> =
            channel.bridge.filter(|bridge| *bridge != CONFERENCE).into_iter().collect();
        let mut at = 0;
        while let Some(bridge) = bridges.get(at).copied() {
            at += 1;
            let inside = self.channels.iter().filter(|channel| channel.bridge == Some(bridge));
            for half in inside.filter_map(|channel| channel.half.as_deref()) {
                let other = self.channels.iter().find(|channel| channel.id == half);
                let next = other.and_then(|channel| channel.bridge);
                bridges.extend(next.filter(|next| !bridges.contains(next)));
            }
        }
        let legs = self.channels.iter().filter(|channel| channel.half.is_none());
        let mut legs: Vec<&Channel> =
            legs.filter(|leg| leg.bridge.is_some_and(|b| bridges.contains(&b))).collect();
        legs.sort_by_key(|leg| !leg.inbound);
        legs.iter().map(|leg| &*leg.id).collect()
    }
}

/// Keys of links, whose two legs stand in either order where both called or both were called.
fn in_order(keys: &BTreeSet<String>) -> BTreeSet<String> {
    keys.iter()
        .map(|key| match key.strip_prefix("link/").and_then(|legs| legs.split_once('+')) {
            Some((one, other)) => format!("link/{}+{}", one.min(other), one.max(other)),
            None => key.clone(),
        })
        .collect()
}

fn enter(play: &mut Play, books: &mut Books) {
    for told in play.out.drain(..) {
        books.enter(&told);
        assert!(told.open == Open::No || !told.subject.contains("Local"), "{}", brief(&told));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Events are told, then lost, then come while answers are on their way: some before the PBX made its answers, some
    /// behind, and as late as that the resync is over. Then all that is open is known, and whatever comes is told.
    #[test]
    fn what_is_told_is_what_is(
        told in vec(step(), 0..25),
        missed in vec((step(), any::<bool>()), 0..25),
        before in vec(step(), 0..6),
        behind in vec(step(), 0..6),
        last in vec(step(), 0..10),
        late in 0_usize..12,
        restarts in any::<bool>(),
    ) {
        let (mut pbx, mut play, mut books) = (Pbx::default(), Play::new(&[]), Books::new());
        let take = |pbx: &mut Pbx| std::mem::take(&mut pbx.events);
        told.iter().for_each(|step| pbx.play(step));
        take(&mut pbx).iter().for_each(|event| play.events(event));
        enter(&mut play, &mut books);
        prop_assert_eq!(in_order(&books.open), in_order(&pbx.open()), "before anything is lost");
        for (step, is_lost) in &missed {
            pbx.play(step);
            // A part of what a step sends may come.
            let events = take(&mut pbx);
            events.iter().skip(usize::from(*is_lost)).for_each(|event| play.events(event));
        }
        enter(&mut play, &mut books);
        if restarts {
            let mut restarted = Play::new(&[]);
            for key in &books.open {
                restarted.mirror.restore(&play.mirror.keep(&Key::parse(key)).expect("what is open is kept"));
            }
            play = restarted;
        }
        before.iter().for_each(|step| pbx.play(step));
        let answers = pbx.answers();
        behind.iter().for_each(|step| pbx.play(step));
        let events = take(&mut pbx);
        let late = events.len().saturating_sub(late);
        play.begin(&answers);
        events[..late].iter().for_each(|event| play.events(event));
        play.mirror.finish_resync(&[], play.now, &mut play.out);
        events[late..].iter().for_each(|event| play.events(event));
        enter(&mut play, &mut books);
        prop_assert_eq!(in_order(&books.open), in_order(&pbx.open()), "after the resync");
        last.iter().for_each(|step| pbx.play(step));
        take(&mut pbx).iter().for_each(|event| play.events(event));
        enter(&mut play, &mut books);
        prop_assert_eq!(in_order(&books.open), in_order(&pbx.open()), "in the end");
    }
}

//! An office with a PBX, as conversations with sources need it: a world, the scripted PBX that it dials, and a reader.

use offhook_core::ground::config::Source;
use offhook_core::hub::action::Level;
use offhook_core::log::record::Body;
use offhook_core::{Completion, Config};
use offhook_tests::ami::{PASSWORD, Pbx, USER};
use offhook_tests::memory::read::server_sent;
use offhook_tests::memory::write::get;
use offhook_tests::memory::{Peer, World};

/// Where the PBX listens.
pub(crate) const PBX: &str = "127.0.0.1:5038";

/// A source.
pub(crate) fn source() -> Source {
    Source {
        name: "pbx".into(),
        host: "127.0.0.1".into(),
        user: USER.into(),
        password: PASSWORD.into(),
        ..Source::default()
    }
}

pub(crate) fn config() -> Config {
    Config { sources: vec![source()], ..Config::default() }
}

/// The world, its PBX, and somebody who reads all events.
pub(crate) struct Office {
    pub(crate) world: World,
    pub(crate) pbx: Pbx,
    /// The PBX's end of the connection.
    pub(crate) line: Option<Peer>,
    reader: Peer,
    /// Events that the reader gets from the log's history.
    past: usize,
}

impl Office {
    /// An office whose PBX is reached at once.
    pub(crate) fn new(pbx: Pbx) -> Office {
        Office::with(config(), pbx)
    }

    /// The same with another config.
    pub(crate) fn with(config: Config, pbx: Pbx) -> Office {
        let mut world = World::with(config, 1);
        world.serve(PBX);
        let mut office = Office::over(world, pbx);
        office.dialed();
        office
    }

    /// The same over a log that is kept.
    pub(crate) fn keeping(config: Config, pbx: Pbx) -> Office {
        let mut world = World::keeping(config, 1);
        // The first try comes before anybody listens.
        world.take_dialed().expect("the PBX is dialed");
        world.serve(PBX);
        let mut office = Office::over(world, pbx);
        office.redialed(1_250);
        assert_eq!(office.events()[0], "source.down source/pbx reason=unreachable");
        office
    }

    /// An office in a world; nothing is dialed so far.
    pub(crate) fn over(mut world: World, pbx: Pbx) -> Office {
        let reader = Office::read(&mut world);
        Office { world, pbx, line: None, reader, past: 0 }
    }

    fn read(world: &mut World) -> Peer {
        let reader = world.connect();
        // What happened before the first request comes after a gap.
        world.open(reader, get("/v1/events?last_event_id=0-0"));
        reader
    }

    /// The server is killed and started again. What the log holds from before is not told by [`Office::events`].
    pub(crate) fn restart(&mut self, config: Config) {
        let held = self.world.kept_records();
        self.world.restart(config);
        self.reader = Office::read(&mut self.world);
        self.line = None;
        self.past = held.iter().filter(|(_, record)| matches!(record.body, Body::Event(_))).count();
    }

    /// The config file has changed.
    pub(crate) fn reload(&mut self, config: &Config) {
        self.world.tell(|| Completion::Reloaded(Box::new(config.clone())));
    }

    /// The PBX takes the connection that is made to it, greets, and talks until there is nothing more to say.
    pub(crate) fn dialed(&mut self) {
        self.world.jump(0);
        let (line, address) = self.world.take_dialed().expect("the PBX is dialed");
        assert_eq!(address, PBX);
        self.line = Some(line);
        let greeting = self.pbx.greeting();
        self.say(&greeting);
    }

    /// Time passes until the PBX is dialed, so many milliseconds at most.
    pub(crate) fn redialed(&mut self, ms: u64) {
        let until = self.world.now().mono.plus_ms(ms);
        self.line = None;
        while self.line.is_none() {
            let due = self.world.next_deadline().filter(|due| *due <= until);
            let due = due.expect("the PBX is dialed in time");
            self.world.pass(due.since(self.world.now().mono));
            self.line = self.world.take_dialed().map(|(line, _)| line);
        }
        let greeting = self.pbx.greeting();
        self.say(&greeting);
    }

    /// The PBX says something, and answers what it is asked then.
    pub(crate) fn say(&mut self, text: &str) {
        let line = self.line.expect("a connection");
        self.world.send(line, text);
        self.talk();
    }

    /// The PBX answers what it was asked.
    pub(crate) fn talk(&mut self) {
        let Some(line) = self.line else { return };
        loop {
            let asked = self.world.take(line);
            let answers = self.pbx.hear(&asked);
            if answers.is_empty() {
                return;
            }
            self.world.send(line, answers);
        }
    }

    /// Time passes, and the PBX answers all along.
    pub(crate) fn pass(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(1_000) {
            self.world.pass(1_000.min(ms));
            self.talk();
        }
    }

    pub(crate) fn begin(&mut self, id: &str) {
        let told = self.pbx.begin(id);
        self.say(&told);
    }

    pub(crate) fn end(&mut self, id: &str) {
        let told = self.pbx.end(id);
        self.say(&told);
    }

    /// The connection breaks.
    pub(crate) fn cut(&mut self) {
        let line = self.line.take().expect("a connection");
        self.world.break_off(line);
    }

    /// The events since the last time: beginnings and ends of calls and what is told of the source, with the facts that
    /// matter.
    pub(crate) fn events(&mut self) -> Vec<String> {
        let content = self.world.chunks(self.reader).content();
        let events = server_sent(&content).into_iter().filter(|event| event.event.is_none());
        let events: Vec<String> = events.filter_map(|event| event.data).collect();
        let past = std::mem::take(&mut self.past);
        events[past..].iter().filter_map(|data| shown(data)).collect()
    }

    /// What stands in the server's own log since the last time, of sources.
    pub(crate) fn notes(&mut self) -> Vec<String> {
        let notes = self.world.take_notes().into_iter().filter(|note| note.level != Level::Debug);
        let notes = notes.map(|note| note.text);
        notes.filter(|text| text.starts_with("source ")).collect()
    }

    /// Requires these events, and no others.
    #[track_caller]
    pub(crate) fn expect(&mut self, events: &[&str]) {
        assert_eq!(self.events(), events);
    }
}

fn shown(data: &str) -> Option<String> {
    let event: serde_json::Value = serde_json::from_str(data).expect("data is JSON");
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (kind, subject) = (text(&event["type"]), text(&event["subject"]));
    if !kind.starts_with("source.") && kind != "call.incoming" && kind != "call.hangup" {
        return None;
    }
    assert_eq!(event["source"], "pbx", "the source is named");
    let facts = ["version", "reason", "dropped"].into_iter().filter(|fact| !event["data"][*fact].is_null());
    let facts: Vec<String> = facts.map(|fact| format!(" {fact}={}", text(&event["data"][fact]))).collect();
    // Why a call ended by itself is the mirror's affair.
    let facts = facts.concat().replace(" reason=Normal Clearing", "");
    Some(format!("{kind} {subject}{facts}"))
}

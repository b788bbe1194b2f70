//! One scenario, played against one binary: its rounds, then the comparison of the books.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use offhook_core::ground::rng::Rng;
use rustix::process::Signal;

use super::books::Books;
use super::folder::Folder;
use super::handlers::Handlers;
use super::phone::Phone;
use super::reader::Reader;
use super::scenario::{Need, Scenario};
use super::stage::Stage;
use super::wire::Wire;
use super::{publisher, receiver};
use crate::conformance::Subject;
use crate::conformance::peer::get;
use crate::conformance::server::{PATIENCE, Server};

/// Publishers at a time.
const PUBLISHERS: u32 = 4;

/// From so many acknowledged requests on a round may go on to its fault.
const REQUESTS_MAX: u64 = 60;

/// After its last acknowledgement it waits for at most this time, so that the fault hits anything.
const AFTER_MS: u64 = 10;

/// What a scenario came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How often it was played.
    pub rounds: u64,
    /// Events with a `202`.
    pub acknowledged: usize,
    /// Of these: missing on the stream, or at a destination, after all is over.
    pub lost: usize,
    /// Hooks that came again after they had been answered.
    pub repeated: u64,
    /// How long starts took; where the server lives on, how long until it acknowledged something again.
    pub recoveries: Vec<Duration>,
}

/// Plays a scenario. The seed decides what is published and when the fault comes; what the processes make of it is up to
/// the machine.
///
/// # Panics
/// If something comes twice or in another order where it must not, or if the server says what it should not.
#[must_use]
pub fn play(subject: Subject, scenario: &Scenario, rounds: u64, seed: u64) -> Outcome {
    let mut rng = Rng::new(seed);
    let books = Books::new();
    let receiver = receiver::start(books.clone(), Rng::new(rng.next_u64()));
    let folder = if scenario.needs == Need::Mount { Folder::small() } else { Some(Folder::new()) };
    let phone = Phone::new();
    let stage = Stage::new(scenario.load, receiver);
    let mut play = Play {
        subject,
        config: config(receiver, phone.address(), scenario.limits),
        folder: folder.expect("a scenario with an obstacle is not played"),
        stage: &stage,
        rng: Rng::new(rng.next_u64()),
        round: 0,
        recoveries: Vec::new(),
    };
    let handlers = Handlers::default();
    let lost = std::thread::scope(|scope| {
        let end = stage.end_with();
        for number in 0..PUBLISHERS {
            let rng = Rng::new(rng.next_u64());
            let (stage, books) = (&stage, &books);
            scope.spawn(move || publisher::run(stage, books, number, rng));
        }
        let reader = scope.spawn(|| Reader::new(&books).run(&stage));
        let maker_rng = Rng::new(rng.next_u64());
        scope.spawn(|| handlers.run(&stage, maker_rng));
        scope.spawn(|| phone.answer());
        scope.spawn(|| phone.run(&stage));
        for round in 0..rounds {
            play.round = round;
            (scenario.round)(&mut play);
        }
        let server = play.start_unmeasured();
        stage.up(server.address);
        stage.let_publishers_finish(PUBLISHERS);
        let lost = books.wait_until_all_arrived() + phone.lost(&books);
        play.stop(server);
        drop(end);
        println!("the stream: {}", reader.join().expect("the stream's reader is content"));
        lost
    });
    play.after_a_clean_stop(&books, &handlers);
    println!("{}; {}", books.summary(), handlers.summary());
    let outcome = Outcome {
        rounds,
        acknowledged: books.acknowledged(),
        lost,
        repeated: books.repeats(),
        recoveries: play.recoveries,
    };
    assert!(scenario.may_repeat || outcome.repeated == 0, "hooks came again, and nobody died");
    outcome
}

/// What a round has to do with.
pub(super) struct Play<'a> {
    subject: Subject,
    config: String,
    folder: Folder,
    pub(super) stage: &'a Stage,
    pub(super) rng: Rng,
    pub(super) round: u64,
    recoveries: Vec<Duration>,
}

impl Play<'_> {
    /// A server that is ready, and that everybody knows.
    pub(super) fn start(&mut self) -> Server {
        let begun = Instant::now();
        let server = self.start_unmeasured();
        self.recovered_in(begun.elapsed());
        self.stage.up(server.address);
        server
    }

    fn start_unmeasured(&mut self) -> Server {
        let mut server = self.spawn();
        server.wait_until_ready();
        server
    }

    /// One that may or may not become ready. The number of shards changes from start to start.
    pub(super) fn spawn(&mut self) -> Server {
        let shards = (1 + self.rng.below(2)).to_string();
        let arguments = ["--listen", "127.0.0.1:0", "--data", self.folder.name(), "--shards", &shards];
        self.subject.spawn(Some(&self.config), &arguments)
    }

    pub(super) fn recovered_in(&mut self, took: Duration) {
        self.recoveries.push(took);
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Lets the server work until it has acknowledged some more requests, and a moment longer.
    pub(super) fn work(&mut self) {
        let wanted = self.stage.acknowledgements() + 1 + self.rng.below(REQUESTS_MAX);
        self.stage.wait_for_acknowledgements(wanted);
        pass(self.rng.below(AFTER_MS * 1_000));
    }

    /// Publishers are refused, and the server says that it is not ready, and why.
    pub(super) fn expect_refusals(&self, server: &Server) {
        self.stage.has_room(false);
        self.stage.wait_for_refusals();
        let (status, content) = readiness(server);
        assert!(status == 503 && content.contains("the log has no room"), "{status} {content}");
    }

    /// The server is ready again, and acknowledges.
    pub(super) fn expect_room(&mut self, server: &Server) {
        let begun = Instant::now();
        while readiness(server).0 != 200 {
            assert!(begun.elapsed() < PATIENCE, "there is room, and the server does not see it");
            pass(5_000);
        }
        let before = self.stage.acknowledgements();
        self.stage.has_room(true);
        self.stage.wait_for_acknowledgements(before + 1);
        self.recovered_in(begun.elapsed());
    }

    /// Asks the server to stop.
    pub(super) fn stop(&self, mut server: Server) {
        self.stage.down();
        server.signal(Signal::TERM);
        let (code, log) = server.wait_exit();
        assert_eq!(code, Some(0), "{log}");
    }

    /// Another start, after a stop that was asked for: the eventhandlers are there, and a reader that resumes with the
    /// first id of all gets everything after it, which is more than what a new process remembers of itself.
    fn after_a_clean_stop(&mut self, books: &Books, handlers: &Handlers) {
        let begun = Instant::now();
        let server = self.start_unmeasured();
        println!("the last start, over {} events, took {:?}", books.acknowledged(), begun.elapsed());
        handlers.check(server.address);
        Reader::from_the_first(books).read_all(server.address);
        self.stop(server);
    }
}

/// Lets a moment pass. When exactly a fault comes is the one thing that time decides here; no check waits for it.
pub(super) fn pass(us: u64) {
    let begun = Instant::now();
    while let Some(left) = Duration::from_micros(us).checked_sub(begun.elapsed()) {
        std::thread::park_timeout(left);
    }
}

fn readiness(server: &Server) -> (u16, String) {
    let mut wire = Wire::connect(server.address).expect("the server listens");
    wire.send(get("/readyz")).and_then(|()| wire.reply()).expect("the server answers")
}

/// Retries that do not outlast a run.
fn config(receiver: SocketAddr, phone: SocketAddr, limits: &str) -> String {
    let text = "[xms]\nkeepalive = \"600s\"\n\
         [limits]\nsse_heartbeat_ms = \"1h\"\nstream_drain_ms = 200\nshutdown_ms = 400\n";
    let retry = "retry = { first = \"20ms\", factor = 2, cap = \"200ms\", give_up_after = \"1h\" }";
    let webhook = |name| {
        format!(
            "[[webhook]]\nname = \"{name}\"\nurl = \"http://{receiver}/{name}\"\ntypes = [\"call.*\", \"recording.*\"]\n{retry}\n"
        )
    };
    let isr = format!(
        "[[isr.destination]]\nname = \"isr\"\nurl = \"http://{receiver}/isr\"\nglobal = true\n\
         events = [\"RECORDING_STARTED_EVENT\"]\nparameters = \"id=%EVENTID%\"\n{retry}\n"
    );
    let sip = format!(
        "[outbox]\nallow_private = [\"127.0.0.0/8\"]\n{retry}\n\
         [sip]\nlisten = [\"udp:127.0.0.1:0\"]\nproxy = \"sip:{phone}\"\n"
    );
    [text, limits, &sip, &webhook("good"), &webhook("moody"), &isr].concat()
}

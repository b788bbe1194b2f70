//! The crash suite: a server that is killed (kill -9) again and again under load, and started again over the same
//! folder. What it acknowledged must be there.
//!
//! Publishers note every `202`, makers of eventhandlers every `201` and `204`; a stream of Server-Sent Events resumes with
//! its last id; a receiver of hooks, some of which it refuses, notes what arrives. At the end the books are compared:
//! every acknowledged event was seen by the stream, once and in order but for a gap that it was told of, and has arrived
//! at every destination, in order per subject; every acknowledged eventhandler is there.
//!
//! What is absent here: power cuts and torn writes. What the kernel was given survives a kill; the log's own tests, where
//! the disk is a model, take it away.
//!
//! ```text
//!   runtime-*/tests/crash.rs ─► run ─► rounds: start, load, kill      publisher ─┐
//!                                      a clean stop, a last start     reader     ├─► books
//!                                                                     receiver  ─┘
//! ```
//!
//! `OFFHOOK_CRASH_ROUNDS` (default 5) and `OFFHOOK_CRASH_SEED` change a run. The seed decides what is published and when
//! the server is asked to die; what the two processes make of it is up to the machine.

mod books;
mod handlers;
mod publisher;
mod reader;
mod receiver;
mod stage;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use offhook_core::ground::rng::Rng;
use rustix::process::Signal;

use crate::conformance::Subject;
use crate::conformance::server::Server;
use books::Books;
use handlers::Handlers;
use reader::Reader;
use stage::Stage;

/// What the server under test has beside the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hooks {
    /// The log alone: streams and eventhandlers.
    None,
    /// The outbox: webhooks and ISR notifications too.
    All,
}

/// The destinations' names, and the first part of their paths.
const DESTINATIONS: [&str; 3] = ["good", "moody", "isr"];

/// Publishers at a time.
const PUBLISHERS: u32 = 4;

/// From so many acknowledged requests on a round may end.
const REQUESTS_MAX: u64 = 60;

/// A round that is to end before the server is ready ends within this time.
const YOUNG_MS: u64 = 60;

/// After its last acknowledgement a round goes on for at most this time, so that the kill hits anything.
const AFTER_MS: u64 = 10;

/// The whole suite against the binary at this path.
///
/// # Panics
/// At a loss, a repetition or a disorder.
pub fn run(binary: &'static str, hooks: Hooks) {
    let seed = variable("OFFHOOK_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let rounds = variable("OFFHOOK_CRASH_ROUNDS").unwrap_or(5);
    println!("OFFHOOK_CRASH_SEED={seed} OFFHOOK_CRASH_ROUNDS={rounds}");
    let mut rng = Rng::new(seed);
    let books = Books::new(if hooks == Hooks::All { &DESTINATIONS } else { &[] });
    let receiver = (hooks == Hooks::All).then(|| receiver::start(books.clone(), Rng::new(rng.next_u64())));
    let config = config(receiver);
    let folder = Folder::new();
    let house = House { subject: Subject::new(binary), config: &config, folder: &folder };
    let (stage, handlers) = (Stage::default(), Handlers::default());
    let restarts = std::thread::scope(|scope| {
        let end = stage.end_with();
        for number in 0..PUBLISHERS {
            let rng = Rng::new(rng.next_u64());
            let (stage, books) = (&stage, &books);
            scope.spawn(move || publisher::run(stage, books, number, rng));
        }
        let reader = scope.spawn(|| Reader::new(&books).run(&stage));
        let maker_rng = Rng::new(rng.next_u64());
        scope.spawn(|| handlers.run(&stage, maker_rng));
        let mut restarts = Vec::new();
        for round in 0..rounds {
            restarts.push(house.round(&mut rng, &stage, round));
        }
        let (server, _) = house.start(&mut rng);
        stage.up(server.address);
        stage.let_publishers_finish(PUBLISHERS);
        books.wait_until_all_arrived();
        stage.down();
        house.end(server);
        drop(end);
        let reader = reader.join().expect("the stream's reader is content");
        println!("the stream: {reader}");
        restarts
    });
    after_a_clean_stop(&house, &mut rng, &books, &handlers);
    println!("{}; {}; {}", books.summary(), handlers.summary(), spread(restarts));
}

/// Another start, after a stop that was asked for: the eventhandlers are there, and a reader that resumes with the first
/// id of all gets everything after it, which is more than what a new process remembers of itself.
fn after_a_clean_stop(house: &House<'_>, rng: &mut Rng, books: &Books, handlers: &Handlers) {
    let (server, took) = house.start(rng);
    println!("the last start, over {} acknowledged events, took {took:?}", books.acknowledged());
    handlers.check(server.address);
    Reader::from_the_first(books).read_all(server.address);
    house.end(server);
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// What every start has in common.
struct House<'a> {
    subject: Subject,
    config: &'a str,
    folder: &'a Folder,
}

impl House<'_> {
    /// Starts a server, lets it work and kills it. How long the start took, if it came so far.
    fn round(&self, rng: &mut Rng, stage: &Stage, round: u64) -> Option<Duration> {
        // One round of five ends in the middle of the recovery.
        if round > 0 && rng.below(5) == 0 {
            let server = self.spawn(rng);
            pass(rng.below(YOUNG_MS * 1_000));
            server.kill();
            return None;
        }
        let (server, took) = self.start(rng);
        stage.up(server.address);
        stage.wait_for_acknowledgements(1 + rng.below(REQUESTS_MAX));
        pass(rng.below(AFTER_MS * 1_000));
        stage.down();
        server.kill();
        Some(took)
    }

    fn start(&self, rng: &mut Rng) -> (Server, Duration) {
        let begun = Instant::now();
        let mut server = self.spawn(rng);
        server.wait_until_ready();
        (server, begun.elapsed())
    }

    /// The number of shards changes from start to start.
    fn spawn(&self, rng: &mut Rng) -> Server {
        let shards = (1 + rng.below(2)).to_string();
        let folder = self.folder.0.to_str().expect("a temporary folder has a plain name");
        let arguments = ["--listen", "127.0.0.1:0", "--data", folder, "--shards", &shards];
        self.subject.spawn(Some(self.config), &arguments)
    }

    fn end(&self, mut server: Server) {
        server.signal(Signal::TERM);
        let (code, log) = server.wait_exit();
        assert_eq!(code, Some(0), "{log}");
    }
}

/// Lets a moment pass. When exactly the server dies is the one thing that time decides here; no check waits for it.
fn pass(us: u64) {
    std::thread::park_timeout(Duration::from_micros(us));
}

/// Small files of the log, so that a run fills many; retries that do not outlast a run.
fn config(receiver: Option<SocketAddr>) -> String {
    let text = "[xms]\nkeepalive = \"600s\"\n\
         [limits]\nlog_segment_bytes = \"256KiB\"\nsse_heartbeat_ms = \"1h\"\nstream_drain_ms = 200\nshutdown_ms = 400\n";
    text.to_owned() + &receiver.map(destinations).unwrap_or_default()
}

fn destinations(address: SocketAddr) -> String {
    let retry = "retry = { first = \"20ms\", factor = 2, cap = \"200ms\", give_up_after = \"1h\" }";
    let webhook = |name| {
        format!(
            "[[webhook]]\nname = \"{name}\"\nurl = \"http://{address}/{name}\"\ntypes = [\"*\"]\n{retry}\n"
        )
    };
    let isr = format!(
        "[[isr.destination]]\nname = \"isr\"\nurl = \"http://{address}/isr\"\nglobal = true\n\
         events = [\"RECORDING_STARTED_EVENT\"]\nparameters = \"id=%EVENTID%\"\n{retry}\n"
    );
    [webhook("good"), webhook("moody"), isr].concat()
}

fn spread(restarts: Vec<Option<Duration>>) -> String {
    let young = restarts.iter().filter(|took| took.is_none()).count();
    let mut times: Vec<Duration> = restarts.into_iter().flatten().collect();
    times.sort_unstable();
    let (median, worst) = (times.get(times.len() / 2), times.last());
    format!(
        "{} kills, {young} before the server was ready; starts took {median:?} (median) to {worst:?}",
        times.len() + young
    )
}

/// A data folder among the temporary ones, gone with its owner unless the test failed.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Folder(std::env::temp_dir().join(format!("offhook-crash-{}-{number}", std::process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the data folder is left for you to look at: {}", self.0.display());
        } else {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }
}

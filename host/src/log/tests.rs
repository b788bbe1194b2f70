//! The log over real files in a folder of its own, with faults put between; engines without sockets write to it and are
//! started again from it.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use offhook_core::ground::config::{Config, Listener, Place};
use offhook_core::log::segment;
use offhook_core::{Action, ConnId, Engine, Epoch, ListenerId, Seq, ShardId};

use super::disk::Disk;
use super::folder::Folder;
use super::thread::LogThread;
use crate::clock::Clock;
use crate::kept::start_over;
use crate::port::Port;
use crate::process::Process;
use crate::shard::Shard;

/// What the disk is to do wrong.
#[derive(Debug, Default)]
struct Faults {
    full: bool,
    no_sync: bool,
    no_write: bool,
    failures: Vec<String>,
}

struct Faulty(Box<dyn Disk>, Arc<Mutex<Faults>>);

impl Faulty {
    fn fault(&self, is: impl Fn(&Faults) -> bool, error: io::ErrorKind) -> io::Result<()> {
        if is(&self.1.lock().unwrap()) { Err(error.into()) } else { Ok(()) }
    }
}

impl Disk for Faulty {
    fn create(&mut self, segment: u64, bytes: u64, head: &[u8]) -> io::Result<()> {
        self.fault(|faults| faults.full, io::ErrorKind::StorageFull)?;
        self.0.create(segment, bytes, head)
    }

    fn write(&mut self, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.fault(|faults| faults.no_write, io::ErrorKind::InvalidData)?;
        if self.1.lock().unwrap().full {
            // As a file system does that has room for a part.
            self.0.write(segment, offset, &bytes[..bytes.len() / 2])?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write(segment, offset, bytes)
    }

    fn sync(&mut self, segment: u64) -> io::Result<()> {
        self.fault(|faults| faults.no_sync, io::ErrorKind::InvalidData)?;
        self.0.sync(segment)
    }

    fn delete(&mut self, segment: u64) -> io::Result<()> {
        self.0.delete(segment)
    }
}

/// A server without sockets: engines, their log, and one loop for all of them.
struct Server {
    shards: Vec<Shard>,
    log: Option<LogThread>,
    folder: Option<Folder>,
    faults: Arc<Mutex<Faults>>,
    bell: Arc<(Mutex<bool>, Condvar)>,
    clients: Vec<(usize, ConnId, Vec<u8>)>,
}

fn config() -> Config {
    let mut config = Config { listeners: vec![Listener::default()], ..Config::default() };
    config.limits.log_segment_bytes = 64 * 1024;
    config.limits.log_group_bytes = 8 * 1024;
    config.limits.log_retry_ms = 1;
    config.limits.log_look_ms = 1;
    config
}

impl Server {
    fn start(path: &Path, config: &Config, shards: u16) -> Result<Server, String> {
        let folder = Folder::open(path.to_str().unwrap())?;
        let process = Arc::new(Process::new(usize::from(shards), "test"));
        let clock = Clock::start();
        let bell = Arc::new((Mutex::new(false), Condvar::new()));
        let mut made = Vec::new();
        for shard in 0..shards {
            let place =
                Place { shard: ShardId(shard), shards, epoch: Epoch(clock.now().wall.0), keeps_log: true };
            let mut port = Port::new(usize::from(shard), Arc::clone(&process));
            let ringer = Arc::clone(&bell);
            port.on_mail(move || {
                *ringer.0.lock().unwrap() = true;
                ringer.1.notify_one();
            });
            made.push(Shard {
                engine: Engine::new(config.clone(), place, u64::from(shard)),
                clock,
                acceptors: Vec::new(),
                udp: Vec::new(),
                port,
                limits: config.limits.clone(),
            });
        }
        let faults = Arc::new(Mutex::new(Faults::default()));
        let (of_disk, of_failure) = (Arc::clone(&faults), Arc::clone(&faults));
        let ringer = Arc::clone(&bell);
        let log = start_over(
            &folder,
            config,
            &mut made,
            &process,
            |files| Box::new(Faulty(Box::new(files), of_disk)),
            Box::new(move |text| {
                of_failure.lock().unwrap().failures.push(text);
                *ringer.0.lock().unwrap() = true;
                ringer.1.notify_one();
            }),
        )?;
        process.tell_all(|| offhook_core::Completion::Recovered);
        let mut server =
            Server { shards: made, log: Some(log), folder: Some(folder), faults, bell, clients: Vec::new() };
        server.turn();
        Ok(server)
    }

    /// A turn of all loops.
    fn turn(&mut self) {
        let Server { shards, clients, .. } = self;
        for (number, shard) in shards.iter_mut().enumerate() {
            let now = shard.clock.now();
            shard.port.take_mail(now, &mut shard.engine);
            shard.engine.handle_timeout(now);
            while let Some(action) = shard.engine.poll_action() {
                match action {
                    Action::Flush(id) => {
                        while let Some(out) = shard.engine.outbound(id) {
                            let taken: Vec<u8> = out.slices().iter().flat_map(|s| s.to_vec()).collect();
                            if let Some(client) = clients.iter_mut().find(|c| (c.0, c.1) == (number, id)) {
                                client.2.extend_from_slice(&taken);
                            }
                            shard.engine.advance(now, id, taken.len());
                        }
                    }
                    Action::Finish(_) | Action::Close(_) => {}
                    Action::Dial(..) | Action::Resolve(..) | Action::Send { .. } => {
                        unreachable!("nobody is called")
                    }
                    other @ (Action::Append(_)
                    | Action::Read { .. }
                    | Action::Report(_)
                    | Action::Check { .. }
                    | Action::Audit(_)
                    | Action::Note(_)) => shard.port.carry_out(now, &mut shard.engine, other),
                }
            }
            shard.port.let_go();
        }
    }

    /// Turns until `is` holds.
    fn until(&mut self, what: &str, mut is: impl FnMut(&mut Server) -> bool) {
        let patience = std::time::Instant::now() + Duration::from_secs(30);
        loop {
            self.turn();
            if is(self) {
                return;
            }
            assert!(std::time::Instant::now() < patience, "waited too long for {what}");
            let rung = self.bell.0.lock().unwrap();
            let wait = self.bell.1.wait_timeout_while(rung, Duration::from_millis(20), |rung| !*rung);
            *wait.unwrap().0 = false;
        }
    }

    fn connect(&mut self, shard: usize) -> usize {
        let peer: SocketAddr = "127.0.0.1:4000".parse().unwrap();
        let Shard { engine, clock, .. } = &mut self.shards[shard];
        let id = engine.accept(clock.now(), ListenerId(0), peer).unwrap();
        self.clients.push((shard, id, Vec::new()));
        self.clients.len() - 1
    }

    fn send(&mut self, client: usize, bytes: &str) {
        let (shard, id, _) = self.clients[client];
        let Shard { engine, clock, port, .. } = &mut self.shards[shard];
        port.take_mail(clock.now(), engine);
        engine.receive(clock.now(), id, bytes.as_bytes());
        self.turn();
    }

    fn received(&self, client: usize) -> String {
        String::from_utf8_lossy(&self.clients[client].2).into_owned()
    }

    /// Sends a request on a connection of its own, and waits for an answer.
    fn ask(&mut self, shard: usize, request: &str) -> String {
        let client = self.connect(shard);
        self.send(client, request);
        self.until(request, |server| server.received(client).contains("\r\n\r\n"));
        self.received(client)
    }

    fn publish(&mut self, shard: usize, digits: u32) -> String {
        self.ask(shard, &publication(digits))
    }

    /// A clean stop.
    fn stop(mut self) {
        if let Some(log) = self.log.take() {
            log.stop();
        }
    }

    /// What kill -9 leaves: files as they are, nothing closed. The threads end, but write nothing more.
    fn kill(mut self, into: &Path) {
        let path = self.folder.as_ref().unwrap().path().to_owned();
        for entry in std::fs::read_dir(&path).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), into.join(entry.file_name())).unwrap();
        }
        self.log.take().unwrap().stop();
    }
}

fn publication(digits: u32) -> String {
    padded(digits, 0)
}

fn padded(digits: u32, padding: usize) -> String {
    let name = "x".repeat(padding);
    let body = format!(
        r#"{{"type":"call.dtmf","subject":"call/1","data":{{"digits":"{digits}","name":"{name}"}}}}"#
    );
    let length = body.len();
    format!(
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

const CREATE: &str = "POST /default/eventhandlers?appid=app HTTP/1.1\r\nHost: localhost\r\nContent-Length: 82\r\n\r\n\
    <web_service version=\"1.0\"><eventhandler><eventsubscribe/></eventhandler></web_service>";

fn create(server: &mut Server, shard: usize) -> String {
    let body = CREATE.split("\r\n\r\n").nth(1).unwrap();
    let request = CREATE.replace("82", &body.len().to_string());
    let reply = server.ask(shard, &request);
    assert!(reply.starts_with("HTTP/1.1 201"), "{reply}");
    let location = reply.split("Location: http://localhost").nth(1).unwrap();
    location.split("\r\n").next().unwrap().to_owned()
}

/// The digits of the events that a stream has shown.
fn digits(text: &str) -> Vec<u32> {
    let parts = text.split("digits\" value=\"").skip(1).chain(text.split("\"digits\":\"").skip(1));
    parts.filter_map(|part| part.split('"').next()?.parse().ok()).collect()
}

/// X41: ids, subscriptions and undelivered events survive a stop and a kill; so do Server-Sent Events and their ids.
#[test]
fn x41_eventhandlers_and_undelivered_events_survive_a_restart() {
    for shards in [1, 2] {
        let last = usize::from(shards) - 1;
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut server = Server::start(first.path(), &config(), shards).unwrap();
        let handler = create(&mut server, 0);
        for number in 1..=3 {
            assert!(server.publish(last, number).starts_with("HTTP/1.1 202"));
        }
        let sse = server.connect(0);
        server.send(sse, &get("/v1/events?last_event_id=0-0"));
        server.until("the stream", |server| digits(&server.received(sse)).len() == 3);
        let id = server.received(sse).split("id: ").nth(1).unwrap().lines().next().unwrap().to_owned();
        server.kill(second.path());

        let mut server = Server::start(second.path(), &config(), shards).unwrap();
        server.publish(last, 4);
        let resumed = server.connect(last);
        let resume = get(&format!("/v1/events?last_event_id={id}"));
        server.send(resumed, &resume);
        server.until("the events after the first", |server| digits(&server.received(resumed)) == [2, 3, 4]);
        assert!(!server.received(resumed).contains("gap"), "{}", server.received(resumed));
        let stream = server.connect(last);
        server.send(stream, &get(&format!("{handler}?appid=app")));
        server.until("undelivered events", |server| digits(&server.received(stream)) == [1, 2, 3, 4]);
        server.stop();

        let mut server = Server::start(second.path(), &config(), shards).unwrap();
        let resumed = server.connect(0);
        server.send(resumed, &resume);
        server.until("the same after a clean stop", |server| digits(&server.received(resumed)) == [2, 3, 4]);
        assert!(server.ask(0, &get("/default/eventhandlers?appid=app")).contains("size=\"1\""));
        server.stop();
    }
}

/// An id of a record that was seen and then lost with the power is followed by a gap, though its number was given again.
#[test]
fn a_number_that_was_lost_and_given_again_is_not_mistaken() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &config(), 1).unwrap();
    server.publish(0, 1);
    server.stop();
    let mut server = Server::start(folder.path(), &config(), 1).unwrap();
    server.publish(0, 2);
    let sse = server.connect(0);
    server.send(sse, &get("/v1/events?last_event_id=0-0"));
    server.until("both events", |server| digits(&server.received(sse)) == [1, 2]);
    let text = server.received(sse);
    let ids: Vec<&str> = text.split("id: ").skip(1).map(|part| part.lines().next().unwrap()).collect();
    let (epochs, numbers): (Vec<&str>, Vec<&str>) = ids.iter().map(|id| id.split_once('-').unwrap()).unzip();
    assert!(epochs[0] != epochs[1] && numbers == ["2", "4"], "{ids:?}");
    for (id, gap, wanted) in [
        (format!("{}-2", epochs[0]), false, &[2][..]),
        // The first start ended with record 2, so this was one that it lost.
        (format!("{}-3", epochs[0]), true, &[2]),
        (format!("{}-3", epochs[1]), false, &[2]),
        ("1234-1".to_owned(), true, &[1, 2]),
    ] {
        let sse = server.connect(0);
        server.send(sse, &get(&format!("/v1/events?last_event_id={id}")));
        server.until("what follows", |server| digits(&server.received(sse)) == wanted);
        assert_eq!(server.received(sse).contains("event: gap"), gap, "{id}: {}", server.received(sse));
    }
    server.stop();
}

/// No space: what waits is answered with 503, what would change something as well, and the server says that it is not
/// ready; then all of it goes on, and nothing that was accepted is lost.
#[test]
fn a_full_disk_is_told_and_gets_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &config(), 2).unwrap();
    assert!(server.publish(0, 1).starts_with("HTTP/1.1 202"));
    server.faults.lock().unwrap().full = true;
    let waiting = server.publish(1, 2);
    assert!(waiting.starts_with("HTTP/1.1 503") && waiting.contains("Retry-After: "), "{waiting}");
    server.until("all to know", |server| {
        (0..2).all(|shard| server.ask(shard, &get("/readyz")).contains("the log has no room"))
    });
    let refused = server.publish(0, 3);
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("the log has no room"), "{refused}");
    let refused = server.ask(1, CREATE);
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("<"), "in its own form: {refused}");
    server.faults.lock().unwrap().full = false;
    server.until("room", |server| {
        (0..2).all(|shard| server.ask(shard, &get("/readyz")).starts_with("HTTP/1.1 200"))
    });
    assert!(server.publish(1, 4).starts_with("HTTP/1.1 202"));
    server.stop();
    let mut server = Server::start(folder.path(), &config(), 1).unwrap();
    let sse = server.connect(0);
    server.send(sse, &get("/v1/events?last_event_id=0-0"));
    server.until("what was written late", |server| digits(&server.received(sse)) == [1, 2, 4]);
    server.stop();
}

/// A failed write or sync: nothing is acknowledged any more, and whoever runs the process is told once.
#[test]
fn a_failed_write_or_sync_ends_the_log() {
    for is_sync in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Server::start(folder.path(), &config(), 1).unwrap();
        assert!(server.publish(0, 1).starts_with("HTTP/1.1 202"));
        if is_sync {
            server.faults.lock().unwrap().no_sync = true;
        } else {
            server.faults.lock().unwrap().no_write = true;
        }
        let client = server.connect(0);
        server.send(client, &publication(2));
        server.until("the failure", |server| !server.faults.lock().unwrap().failures.is_empty());
        server.turn();
        assert_eq!(server.received(client), "");
        let failures = server.faults.lock().unwrap().failures.clone();
        let verb = if is_sync { "sync" } else { "write" };
        assert!(
            failures[0].starts_with(&format!("cannot {verb} the log's file 00000001.log: ")),
            "{failures:?}"
        );
        server.send(client, &publication(3));
        let faults = Arc::clone(&server.faults);
        server.stop();
        assert_eq!(faults.lock().unwrap().failures.len(), 1, "it is said once, and nothing is tried again");
    }
}

#[test]
fn a_folder_is_private_and_has_one_server() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("deep/data");
    let mut server = Server::start(&path, &config(), 1).unwrap();
    server.publish(0, 1);
    let text = Folder::open(path.to_str().unwrap()).map(|_| ()).unwrap_err();
    assert!(text.contains("is in use by another process"), "{text}");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for file in ["lock", "00000001.log"] {
        assert_eq!(mode(&path.join(file)), 0o600, "{file}");
    }
    server.stop();
    drop(Folder::open(path.to_str().unwrap()).unwrap());
    let text = Folder::open("/dev/null/data").map(|_| ()).unwrap_err();
    assert!(text.starts_with("cannot make the data folder /dev/null/data: "), "{text}");
}

#[test]
fn real_damage_keeps_the_server_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &config(), 1).unwrap();
    for number in 0..5 {
        server.publish(0, number);
    }
    server.stop();
    let file = folder.path().join(segment::name(1));
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let text = Server::start(folder.path(), &config(), 1).map(|_| ()).unwrap_err();
    assert!(text.contains("/00000001.log is damaged at byte ") && text.contains("--data"), "{text}");
    assert_eq!(std::fs::read(&file).unwrap(), bytes, "nothing was changed");
}

/// Old segments go; an eventhandler that was made in one of them lives on, over a restart too, and nothing that waits
/// for it is lost.
#[test]
fn live_state_outlives_the_segments_that_it_was_made_in() {
    for shards in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config();
        config.log.retain_bytes = 4 * config.limits.log_segment_bytes;
        config.xms.replay_events = 30;
        let mut server = Server::start(folder.path(), &config, shards).unwrap();
        let handler = create(&mut server, 0);
        let mut number = 0;
        let gone = |server: &Server, id| {
            let path = server.folder.as_ref().unwrap().path().join(segment::name(id));
            !path.exists()
        };
        for last in [1, 4] {
            server.until("a segment to be deleted", |server| {
                number += 1;
                let publication = padded(number, 3_000);
                server.ask(usize::from(number % 2 == 0 && shards == 2), &publication);
                gone(server, last)
            });
        }
        server.stop();
        for is_first in [true, false] {
            let mut server = Server::start(folder.path(), &config, shards).unwrap();
            let stream = server.connect(0);
            server.send(stream, &get(&format!("{handler}?appid=app")));
            let wanted: Vec<u32> = (number - 29..=number).collect();
            server.until("the last thirty", |server| digits(&server.received(stream)).len() >= 30);
            assert_eq!(digits(&server.received(stream)), wanted);
            // What is beyond the replay's bound was missed, and that is told once.
            let head = server.received(stream);
            let missed = format!("Offhook-Missed: {}", number - 30);
            assert_eq!(head.contains(&missed), is_first, "{missed}: {}", &head[..300]);
            // The stream ends with the server, without a word, so that what it sent is sent again.
            server.stop();
        }
    }
}

/// What engines read back of the log, in steps.
#[test]
fn the_log_is_read_back_in_steps() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), &config(), 1).unwrap();
    // Requests in one turn share a write, so that many records are many and few syncs.
    let client = server.connect(0);
    for _ in 0..6 {
        let requests: String = (0..100).map(publication).collect();
        server.send(client, &requests);
        server.until("all answers", |server| {
            let got = server.received(client).matches("HTTP/1.1 202").count();
            got % 100 == 0 && got > 0
        });
    }
    let path = server.folder.as_ref().unwrap().path().to_owned();
    let recovered = {
        server.stop();
        Folder::open(path.to_str().unwrap()).unwrap().recover().unwrap()
    };
    assert!(recovered.segments.iter().count() > 1);
    let segments = Mutex::new(recovered.segments);
    for bytes in [1, 5_000, 1 << 20] {
        let mut from = Seq(0);
        let mut numbers = Vec::new();
        loop {
            let found = super::reader::read(&path, &segments, from, bytes).unwrap();
            let Some((last, _)) = found.last() else { break };
            assert!(bytes > 1 || found.len() == 1);
            from = last.next();
            numbers.extend(found.iter().map(|(seq, _)| seq.0));
        }
        assert_eq!(numbers, (1..=601).collect::<Vec<_>>(), "{bytes}");
    }
}

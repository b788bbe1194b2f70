//! What the data folder is for: what was acknowledged is there after kill -9, whoever wrote it.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;
use tempfile::TempDir;

use super::QUIET;
use super::peer::{Peer, get, value_after};
use super::server::{Server, Subject};
use super::xms::{COLLECTION, create, delete, digits, dtmf, instance, open, publication, publish, put};

/// Small files, so that a few thousand events fill several of them; and room for all that a script publishes.
const KEPT: &str = "log_segment_bytes = \"256KiB\"\n[xms.app.app]\n";

fn start(subject: &Subject, folder: &TempDir, shards: u16) -> Server {
    let (shards, folder) = (shards.to_string(), folder.path().display().to_string());
    let arguments = ["--listen", "127.0.0.1:0", "--data", &folder, "--shards", &shards];
    let config =
        format!("{QUIET}{KEPT}").replace("[xms]\n", "[xms]\nreplay = { events = 100000, age = \"1h\" }\n");
    subject.start(Some(&config), &arguments)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("the folder for temporary files can be written")
}

/// X41: a restart keeps eventhandlers with their ids and subscriptions, and the events that they have not sent, in order.
pub fn x41_restart_keeps_eventhandlers(subject: &Subject) {
    for shards in [1, 2] {
        let folder = folder();
        let server = start(subject, &folder, shards);
        let peer = &mut Peer::connect(server.address);
        let all = create(peer, "<eventsubscribe/>");
        let one = create(peer, "<eventsubscribe resource_type=\"call\" resource_id=\"2\"/>");
        let gone = create(peer, "<eventsubscribe/>");
        let subscription =
            "<eventsubscribe action=\"add\" type=\"dtmf\" resource_type=\"call\" resource_id=\"3\"/>";
        assert_eq!(peer.ask(put(&one, subscription)).status(), 200);
        assert_eq!(peer.ask(delete(&gone)).status(), 204);
        let list = peer.ask(get(COLLECTION)).text();
        for number in 0..9 {
            publish(peer, &dtmf(&(number % 3 + 1).to_string(), number));
        }
        server.kill();

        let mut server = start(subject, &folder, shards);
        let peer = &mut Peer::connect(server.address);
        assert_eq!(peer.ask(get(COLLECTION)).text(), list, "ids and subscriptions");
        assert_eq!(peer.ask(get(&instance(&gone))).status(), 404);
        let read = |id: &str, count: usize| -> Vec<u64> {
            let mut stream = open(&server, id);
            (0..count).map(|_| digits(&stream.chunk())).collect()
        };
        assert_eq!(read(&all, 9), (0..9).collect::<Vec<_>>());
        assert_eq!(read(&one, 6), [1, 2, 4, 5, 7, 8]);
        server.signal(Signal::TERM);
        peer.rest();
        peer.end();
        let (code, log) = server.wait_exit();
        assert_eq!(code, Some(0), "{log}");

        // After a clean stop too, and what was sent is not sent again.
        let server = start(subject, &folder, shards);
        let peer = &mut Peer::connect(server.address);
        assert_eq!(peer.ask(get(COLLECTION)).text(), list);
        let mut stream = open(&server, &one);
        publish(peer, &dtmf("2", 100));
        assert_eq!(digits(&stream.chunk()), 100);
    }
}

/// Publishers note every 202; the server is killed under load; what was acknowledged is there after the start, in the
/// order of each publisher and once.
pub fn kill_loses_nothing_acknowledged(subject: &Subject) {
    const ROUNDS: usize = 4;
    let folder = folder();
    let mut publishers = [const { Publisher { sent: 0, acknowledged: Vec::new() } }; 4];
    for round in 0..ROUNDS {
        let server = start(subject, &folder, 1 + (round % 2) as u16);
        check(&server, round, &publishers);
        let address = server.address;
        let count = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for (name, publisher) in publishers.iter_mut().enumerate() {
                let count = &count;
                scope.spawn(move || publisher.run(name, &mut Peer::connect(address), count));
            }
            while count.load(Ordering::Acquire) < 40 * (round + 1) {
                std::thread::yield_now();
            }
            server.kill();
        });
    }
    check(&start(subject, &folder, 1), ROUNDS, &publishers);
}

#[derive(Debug)]
struct Publisher {
    sent: u64,
    acknowledged: Vec<u64>,
}

impl Publisher {
    /// Publishes one event after the other until the connection breaks.
    fn run(&mut self, name: usize, peer: &mut Peer, count: &AtomicUsize) {
        loop {
            self.sent += 1;
            let request = publication(&dtmf(&name.to_string(), self.sent));
            let Some(reply) = peer.try_ask(&request) else { return };
            assert!(reply.starts_with("HTTP/1.1 202"), "{reply}");
            self.acknowledged.push(self.sent);
            count.fetch_add(1, Ordering::AcqRel);
        }
    }
}

/// Reads all events back and looks for what was acknowledged.
fn check(server: &Server, round: usize, publishers: &[Publisher]) {
    let end = format!("user/{round}");
    let login = format!(r#"{{"type":"user.login","subject":"{end}"}}"#);
    publish(&mut Peer::connect(server.address), &login);
    let mut sse = Peer::connect(server.address);
    sse.send(get("/v1/events?last_event_id=0-0"));
    sse.head();
    let mut seen: Vec<Vec<u64>> = vec![Vec::new(); publishers.len()];
    loop {
        let chunk = String::from_utf8(sse.chunk()).expect("events are text");
        if chunk.contains(&format!("\"subject\":\"{end}\"")) {
            break;
        }
        if chunk.contains("\"subject\":\"call/") {
            let publisher: usize = value_after(&chunk, "\"subject\":\"call/").parse().expect("a number");
            seen[publisher].push(value_after(&chunk, "\"digits\":\"").parse().expect("a number"));
        }
    }
    for (seen, publisher) in seen.iter().zip(publishers) {
        assert!(seen.is_sorted_by(|a, b| a < b), "out of order or twice: {seen:?}");
        let lost: Vec<_> = publisher.acknowledged.iter().filter(|n| seen.binary_search(n).is_err()).collect();
        assert!(lost.is_empty(), "{lost:?} were acknowledged and are gone");
    }
}

/// One folder, one server: a second one says so and ends; the lock dies with the first.
pub fn a_data_folder_has_one_server(subject: &Subject) {
    let folder = folder();
    let server = start(subject, &folder, 1);
    let path = folder.path().display().to_string();
    let mut second = subject.spawn(None, &["--listen", "127.0.0.1:0", "--data", &path]);
    let (code, log) = second.wait_exit();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(&format!("the data folder {path} is in use by another process; stop it")), "{log}");
    server.kill();
    drop(start(subject, &folder, 1));
}

/// A damaged log: exit code 1, and a sentence that names file and byte and says what to do.
pub fn a_damaged_log_is_refused(subject: &Subject) {
    let folder = folder();
    let mut server = start(subject, &folder, 1);
    for number in 0..5 {
        publish(&mut Peer::connect(server.address), &dtmf("1", number));
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit().0, Some(0));
    let file = folder.path().join("00000001.log");
    let mut bytes = std::fs::read(&file).expect("the log is there");
    bytes[400] ^= 0x10;
    std::fs::write(&file, bytes).expect("the log can be written");
    let path = folder.path().display().to_string();
    let mut server = subject.spawn(None, &["--listen", "127.0.0.1:0", "--data", &path]);
    let (code, log) = server.wait_exit();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains(&format!("{path}/00000001.log is damaged at byte ")), "{log}");
    assert!(log.contains("Bring the folder back from a copy"), "{log}");
}

//! SIP subscriptions over HTTP against a server binary and a scripted notifier on loopback: what 10,000 of them take of a
//! core and of memory, with one change of each in a minute, and one refresh of each in that minute as well, because the
//! notifier grants 120 s. `cargo bench -p offhook-tests --bench sep_loopback -- target/release/offhook-mio`
//!
//! The server's own time and memory are read from `/proc`; the notifier is another process's affair. The run fails if a
//! mark is missed.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use offhook_tests::sip::notifier::Notifier;

const SUBSCRIPTIONS: u64 = 10_000;
const RUN: Duration = Duration::from_secs(60);
const GRANTED_S: u32 = 120;
/// The server's pace towards the notifier.
const PER_SECOND: u64 = 250;
/// The marks: a part of a core, and bytes of each subscription.
const BUSY_MAX: f64 = 0.10;
const BYTES_MAX: u64 = 4_096;
/// The kernel's clock ticks in a second.
const TICKS: f64 = 100.0;

/// A server, ended with this.
struct Server {
    child: Child,
    http: String,
    sip: String,
}

impl Server {
    fn start(binary: &str, peer: &str) -> Server {
        let config = std::env::temp_dir().join(format!("offhook-sep-{}.toml", std::process::id()));
        let text = format!(
            "data = \"none\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[sip]\nlisten = [\"udp:127.0.0.1:0\"]\n\
             proxy = \"sip:{peer}\"\nrequests_per_second = {PER_SECOND}\n\
             # What streams resume from is no subscription's.\n[limits]\nretained_events = 100\n"
        );
        fs::write(&config, text).expect("a config file");
        let mut child = Command::new(binary)
            .arg("--config")
            .arg(&config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{binary}: {error}; build it with --release first"));
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut address = |start: &str, end: &str| loop {
            let line = lines.next().expect("the server runs").expect("text");
            if let Some((_, rest)) = line.split_once(start) {
                break rest.trim_end_matches(end).to_owned();
            }
        };
        let http = address("listening on http://", "");
        let sip = address("listening on sip:", ";transport=udp");
        std::thread::spawn(move || lines.for_each(drop));
        Server { child, http, sip }
    }

    /// Seconds of a core that the server has taken.
    fn busy_s(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let (_, rest) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks =
            |place: usize| rest.split(' ').nth(place).and_then(|t| t.parse::<f64>().ok()).expect("ticks");
        // User and system time, fields 14 and 15 of proc(5).
        (ticks(12) + ticks(13)) / TICKS
    }

    fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its size");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1_024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The notifier and its socket.
struct Peer {
    notifier: Notifier,
    socket: UdpSocket,
    server: String,
    buffer: Vec<u8>,
}

impl Peer {
    /// Answers what comes until then; `done` ends it early.
    fn serve(&mut self, until: Instant, done: impl Fn(&Notifier) -> bool) {
        while Instant::now() < until && !done(&self.notifier) {
            let Ok(n) = self.socket.recv(&mut self.buffer) else { continue };
            for said in self.notifier.receive(&self.buffer[..n]) {
                self.socket.send_to(&said, &self.server).expect("loopback");
            }
        }
    }

    /// Each resource changes once; how many did.
    fn run(&mut self, round: u64) -> u64 {
        let (start, mut n) = (Instant::now(), 0);
        while start.elapsed() < RUN {
            let due = (start.elapsed().as_secs_f64() / RUN.as_secs_f64() * SUBSCRIPTIONS as f64) as u64;
            while n < due {
                self.change(n, round);
                n += 1;
            }
            self.serve(Instant::now() + Duration::from_millis(5), |_| false);
        }
        n
    }

    fn change(&mut self, n: u64, round: u64) {
        let state = ["trying", "early", "confirmed", "terminated"][(round % 4) as usize];
        let body = dialog_info(n, round, state);
        for said in self.notifier.change(&uri(n), "application/dialog-info+xml", body.as_bytes()) {
            self.socket.send_to(&said, &self.server).expect("loopback");
        }
    }
}

fn uri(n: u64) -> String {
    format!("sip:user{n}@example.com")
}

fn dialog_info(n: u64, version: u64, state: &str) -> String {
    let uri = uri(n);
    format!(
        "<?xml version=\"1.0\"?>\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{version}\" \
         state=\"full\" entity=\"{uri}\">\n<dialog id=\"as7d900as8{n}\" call-id=\"a84b4c76e66710{n}\" \
         local-tag=\"1928301774\" remote-tag=\"456887766\" direction=\"recipient\">\n<state>{state}</state>\n\
         <local><identity>{uri}</identity><target uri=\"{uri}\"/></local>\n\
         <remote><identity>sip:caller{n}@example.net</identity></remote>\n</dialog>\n</dialog-info>\n"
    )
}

/// Subscribes to all of them over one connection.
fn create(http: &str) {
    let mut stream = TcpStream::connect(http).expect("the server listens");
    let mut buffer = vec![0; 65_536];
    for n in 0..SUBSCRIPTIONS {
        let body = format!("{{\"package\":\"dialog\",\"uris\":[\"{}\"],\"expires\":86400}}", uri(n));
        let head = "POST /v1/subscriptions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).expect("it takes requests");
        let read = stream.read(&mut buffer).expect("an answer");
        assert!(buffer[..read].starts_with(b"HTTP/1.1 201 "), "{}", String::from_utf8_lossy(&buffer[..read]));
    }
}

fn measure(binary: &str) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(Duration::from_millis(1))).expect("a timeout");
    let address = socket.local_addr().expect("an address").to_string();
    let server = Server::start(binary, &address);
    let mut notifier = Notifier::new(&address);
    notifier.granted_s = GRANTED_S;
    let mut peer = Peer { notifier, socket, server: server.sip.clone(), buffer: vec![0; 65_536] };
    let before = server.resident();
    let http = server.http.clone();
    let creation = std::thread::spawn(move || create(&http));
    let patience = Instant::now() + Duration::from_secs(120);
    peer.serve(patience, |notifier| notifier.dialogs() as u64 == SUBSCRIPTIONS);
    creation.join().expect("all are created");
    assert_eq!(peer.notifier.dialogs() as u64, SUBSCRIPTIONS, "all are subscribed");
    // A minute in which all get their first body, and one that is measured.
    peer.run(1);
    let bytes = server.resident().saturating_sub(before) / SUBSCRIPTIONS;
    let (start, busy) = (Instant::now(), server.busy_s());
    let (asked, taken) = (peer.notifier.asked, peer.notifier.taken);
    let n = peer.run(2);
    let busy = (server.busy_s() - busy) / start.elapsed().as_secs_f64();
    println!(
        "{binary}: {n} changes and {} refreshes in {:.0} s, {} NOTIFYs answered, {:.1} % of a core, {bytes} bytes each",
        peer.notifier.asked - asked,
        start.elapsed().as_secs_f64(),
        peer.notifier.taken - taken,
        busy * 100.0
    );
    assert_eq!(peer.notifier.refused, 0, "every NOTIFY is taken");
    busy < BUSY_MAX && bytes < BYTES_MAX
}

fn main() {
    let given: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/");
    let both = || ["offhook-mio", "offhook-smol"].map(|name| format!("{root}{name}")).to_vec();
    let binaries = if given.is_empty() { both() } else { given };
    assert!(binaries.iter().all(|binary| measure(binary)), "a mark was missed");
}

//! PBXs as sources: a scripted Asterisk on loopback, a server that dials it, and `check-source`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};

use super::QUIET;
use super::peer::{Peer, get, value_after};
use super::server::{ScratchFile, Server, Subject};
use super::xms::{create, dtmf, metric, open, publish};
use crate::ami::{PASSWORD, Pbx, USER};

/// A PBX that listens, for one connection at a time.
struct Office {
    address: SocketAddr,
    pbx: Arc<Mutex<Pbx>>,
    line: Arc<Mutex<Option<TcpStream>>>,
}

impl Office {
    fn new(pbx: Pbx) -> Office {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (pbx, line) = (Arc::new(Mutex::new(pbx)), Arc::new(Mutex::new(None)));
        let (of_thread, line_of_thread) = (Arc::clone(&pbx), Arc::clone(&line));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                *line_of_thread.lock().unwrap() = Some(stream.try_clone().unwrap());
                talk(&stream, &of_thread);
                // As Asterisk does: who leaves is left.
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
        Office { address, pbx, line }
    }

    /// What the PBX says of something that happens there.
    fn tell(&self, what: impl FnOnce(&mut Pbx) -> String) {
        let told = what(&mut self.pbx.lock().unwrap());
        let line = self.line.lock().unwrap();
        line.as_ref().expect("a connection").write_all(told.as_bytes()).unwrap();
    }

    fn cut(&self) {
        let line = self.line.lock().unwrap().take().expect("a connection");
        line.shutdown(Shutdown::Both).unwrap();
    }

    fn config(&self, rest: &str) -> String {
        format!(
            "[[source]]\nname = \"pbx\"\ntype = \"asterisk\"\naddress = \"{}\"\nuser = \"{USER}\"\n\
             password = \"{PASSWORD}\"\n{rest}\n",
            self.address
        )
    }
}

fn talk(mut stream: &TcpStream, pbx: &Mutex<Pbx>) {
    let greeting = pbx.lock().unwrap().greeting();
    let mut buffer = [0; 4_096];
    if stream.write_all(greeting.as_bytes()).is_err() {
        return;
    }
    while let Ok(n) = stream.read(&mut buffer)
        && n > 0
    {
        let answers = pbx.lock().unwrap().hear(&buffer[..n]);
        if stream.write_all(answers.as_bytes()).is_err() {
            return;
        }
    }
}

/// What a PBX tells reaches streams; a cut is got over; a reload takes a source away.
pub fn sources_are_heard(subject: &Subject) {
    for shards in [1, 2] {
        let office = Office::new(Pbx::default());
        let source = office.config("scope = [{ context = \"demo\", appid = \"app\" }]");
        let limits = format!("{QUIET}source_retry_ms = 1\n");
        let mut server = subject.shards(shards, &format!("{source}{limits}"));
        server.wait_for("source pbx: connected with Asterisk 22.10.0");
        let peer = &mut Peer::connect(server.address);
        let id = create(peer, "<eventsubscribe/>");
        let mut stream = open(&server, &id);
        let mut sse = Peer::connect(server.address);
        sse.send(get("/v1/events?type=call.*&type=source.*"));
        sse.head();
        sse.chunk();
        let mut told = |part: &str| {
            let event = String::from_utf8(sse.chunk()).unwrap();
            assert!(event.contains(part), "{part} in {event}");
            assert!(event.contains("\"source\":\"pbx\""), "{event}");
        };
        office.tell(|pbx| pbx.begin("1.0"));
        told("\"type\":\"call.incoming\",\"subject\":\"call/1.0\"");
        let event = String::from_utf8(stream.chunk()).unwrap();
        assert!(event.contains("type=\"incoming\" resource_id=\"1.0\" resource_type=\"call\""), "{event}");
        office.pbx.lock().unwrap().channels.clear();
        office.cut();
        told("\"type\":\"source.down\",\"subject\":\"source/pbx\"");
        told("\"type\":\"source.up\",\"subject\":\"source/pbx\"");
        told("\"type\":\"call.hangup\",\"subject\":\"call/1.0\"");
        assert_eq!(metric(peer, "offhook_source_connected{source=\"pbx\"}"), 1);
        assert_eq!(metric(peer, "offhook_source_connections_lost_total{source=\"pbx\"}"), 1);
        server.rewrite_config(&limits);
        server.signal(Signal::HUP);
        server.wait_for("config reloaded");
        told("\"reason\":\"removed\"");
        server.signal(Signal::TERM);
        drop((stream, sse));
        assert_eq!(server.wait_exit().0, Some(0));
    }
}

/// kill -9 in the middle of calls: the next start over the same folder ends what ended meanwhile, and begins nothing twice.
pub fn sources_survive_a_kill(subject: &Subject) {
    for shards in ["1", "2"] {
        let office = Office::new(Pbx::default());
        let folder = tempfile::tempdir().unwrap();
        let start = || {
            let folder = folder.path().display().to_string();
            let arguments = ["--listen", "127.0.0.1:0", "--data", &folder, "--shards", shards];
            let mut server = subject.start(Some(&(office.config("") + QUIET)), &arguments);
            server.wait_for("source pbx: connected with Asterisk 22.10.0");
            server
        };
        let told = |server: &Server, count: usize| -> Vec<String> {
            let mut sse = Peer::connect(server.address);
            sse.send(get("/v1/events?type=call.incoming&type=call.hangup&last_event_id=0-0"));
            sse.head();
            let event = |chunk: Vec<u8>| {
                let text = String::from_utf8(chunk).unwrap();
                let (kind, subject) =
                    (value_after(&text, "\"type\":\""), value_after(&text, "\"subject\":\""));
                format!("{kind} {subject}")
            };
            // First the time to wait, and the gap before the log's beginning.
            sse.until(b"event: gap");
            sse.until(b"\r\n");
            (0..count).map(|_| event(sse.chunk())).collect()
        };
        let server = start();
        for id in ["1.0", "2.0", "3.0"] {
            office.tell(|pbx| pbx.begin(id));
        }
        office.tell(|pbx| pbx.end("3.0"));
        let begun = [
            "call.incoming call/1.0",
            "call.incoming call/2.0",
            "call.incoming call/3.0",
            "call.hangup call/3.0",
        ];
        assert_eq!(told(&server, 4), begun);
        // What is published behind them is durable behind them.
        publish(&mut Peer::connect(server.address), &dtmf("1", 1));
        server.kill();
        office.pbx.lock().unwrap().channels.remove("1.0");
        let server = start();
        office.tell(|pbx| pbx.end("2.0"));
        // Whichever comes first.
        let ended = ["call.hangup call/1.0", "call.hangup call/2.0"];
        let mut all = told(&server, 6);
        all[4..].sort_unstable();
        assert_eq!(all, [&begun[..], &ended].concat());
    }
}

/// `check-source`: what it finds, how events are mapped, and each fault with its exit code.
pub fn check_source(subject: &Subject) {
    let office = Office::new(Pbx { denied: ["Agents"].into(), ..Pbx::default() });
    let file = ScratchFile::new(&office.config(""));
    let config = file.0.to_str().unwrap();
    let command = |arguments: &[&str]| {
        let mut command = Command::new(subject.program());
        command.arg("check-source").args(arguments).stdin(Stdio::null());
        command
    };
    let mut child = command(&["pbx", "--config", config]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut wait_for =
        |part: &str| lines.find(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part}"));
    let first = wait_for("source pbx: ");
    assert_eq!(
        first,
        format!("source pbx: {} over plain TCP, as {USER}, which answers a challenge (md5)", office.address)
    );
    wait_for("connected: Asterisk 22.10.0");
    assert!(wait_for("questions: ").contains("CoreShowChannels"));
    assert!(wait_for("missing:   ").contains("Agents: not allowed by \"write\""));
    wait_for("the next events follow");
    office.tell(|pbx| pbx.begin("1.0"));
    let mapped = wait_for("Newchannel -> call.incoming call/1.0");
    assert!(mapped.contains(" caller_number=100") && mapped.contains(" caller_name=Alice"), "{mapped}");
    office.tell(|pbx| pbx.end("1.0"));
    assert!(wait_for("Hangup -> call.hangup call/1.0").contains("reason=\"Normal Clearing\""));
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    wait_for("end:       ");
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let fails = |arguments: &[&str], code: i32, part: &str| {
        let output = command(arguments).stdout(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(part), "{part} in {said}");
    };
    fails(&["pby", "--config", config], 2, "there is no [[source]] named \"pby\", but: pbx");
    fails(&["pbx"], 2, "there is no [[source]] named \"pbx\": the config has none");
    office.pbx.lock().unwrap().refuses = true;
    fails(&["pbx", "--config", config], 1, "the login was refused: Authentication failed");
    office.pbx.lock().unwrap().protocol = "1.1";
    fails(&["pbx", "--config", config], 1, "it speaks version 1.1 of the protocol");
    let unheard = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody =
        office.config("").replace(&office.address.to_string(), &unheard.local_addr().unwrap().to_string());
    drop(unheard);
    let nobody = ScratchFile::new(&nobody);
    fails(&["pbx", "--config", nobody.0.to_str().unwrap()], 1, "[unreachable]");
    // Who says nothing is no connection, and does not keep anybody from leaving.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = office
        .config("tls = { insecure = true }")
        .replace(&office.address.to_string(), &silent.local_addr().unwrap().to_string());
    let file = ScratchFile::new(&config);
    let config = file.0.to_str().unwrap();
    fails(&["pbx", "--config", config, "--seconds", "1"], 1, "the handshake took too long");
    drop(silent.accept().unwrap());
    let mut child = command(&["pbx", "--config", config]).stdout(Stdio::null()).spawn().unwrap();
    let _line = silent.accept().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

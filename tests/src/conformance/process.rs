//! The life of the server: start, faults at the start, reload, stop, and the start after a kill.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use rustix::process::Signal;

use super::QUIET;
use super::peer::{Peer, content, get, request};
use super::server::{Server, Subject};
use super::transcript::Transcript;
use super::xms::{
    COLLECTION, KEEPALIVE, create, digits, digits_to_end, document, dtmf, instance, open, publication,
    publish,
};

/// SIGTERM: streams get what is queued and end with the last chunk, idle connections are closed, exit code 0.
pub fn a_stop_ends_streams(subject: &Subject) {
    for shards in [1, 2] {
        let mut server = subject.shards(shards, QUIET);
        let peer = &mut Peer::connect(server.address);
        let mut t = Transcript::new("a_stop_ends_streams");
        let id = create(peer, "<eventsubscribe/>");
        let mut streams: Vec<Peer> = (0..20).map(|_| open(&server, &id)).collect();
        let mut sse = Peer::connect(server.address);
        sse.send(get("/v1/events"));
        sse.head();
        sse.chunk();
        let mut old = Peer::connect(server.address);
        old.send(format!("GET {} HTTP/1.0\r\n\r\n", instance(&id)));
        old.head();
        old.take(72);
        let mut half = Peer::connect(server.address);
        half.send("POST /v1/events HTTP/1.1\r\nHost: loc");
        for number in 0..10 {
            publish(peer, &dtmf("1", number));
        }
        server.signal(Signal::TERM);
        for stream in &mut streams {
            assert_eq!(digits_to_end(stream), ((0..10).collect(), true), "an XMS stream ends cleanly");
        }
        t.title("an HTTP/1.0 stream: the events, then the end");
        for _ in 0..10 {
            old.until(b"</web_service>");
        }
        t.ended(&mut old);
        t.title("an SSE stream (its events are not shown)");
        for _ in 0..10 {
            sse.chunk();
        }
        t.chunks_to_end(&mut sse);
        t.title("an idle connection, and one with half a head");
        t.ended(peer);
        t.ended(&mut half);
        t.check();
        drop(streams);
        drop((sse, old));
        let (code, log) = server.wait_exit();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("stopping"), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// SIGTERM with readers that take nothing: they get their patience and no more, then the server exits with 0.
pub fn a_stop_does_not_wait_for_stalled_readers(subject: &Subject) {
    for shards in [1, 2] {
        let config = "[limits]\nsend_buffer_bytes = \"16KiB\"\nstream_drain_ms = 200\nshutdown_ms = 400\nlinger_ms = \"1h\"\n";
        let mut server = subject.shards(shards, config);
        let peer = &mut Peer::connect(server.address);
        let id = create(peer, "<eventsubscribe/>");
        let mut streams: Vec<Peer> = (0..4).map(|_| open(&server, &id)).collect();
        let mut sse = Peer::connect(server.address);
        sse.send(get("/v1/events"));
        sse.head();
        for number in 0..200 {
            publish(peer, &super::replay::large(number));
        }
        server.signal(Signal::TERM);
        let (code, log) = server.wait_exit();
        assert_eq!(code, Some(0), "{log}");
        for stream in &mut streams {
            assert!(!digits_to_end(stream).1, "a reader that is behind is not told that it had all");
        }
        assert!(!sse.rest().ends_with(super::peer::LAST_CHUNK));
    }
}

/// SIGHUP: the changed config is in force, open streams and their handlers stay; a wrong one changes nothing.
pub fn a_reload_keeps_streams(subject: &Subject) {
    for shards in [1, 2] {
        let mut server = subject.shards(shards, QUIET);
        let peer = &mut Peer::connect(server.address);
        let id = create(peer, "<eventsubscribe/>");
        let mut streams: Vec<Peer> = (0..8).map(|_| open(&server, &id)).collect();
        let mut sse = Peer::connect(server.address);
        sse.send(get("/v1/events"));
        sse.head();
        sse.chunk();
        let new_app = request("POST /default/eventhandlers?appid=new", "", document("<eventsubscribe/>"));
        assert_eq!(peer.ask(&new_app).status(), 404);

        server.rewrite_config("[xms]\nkeepaliv = \"5s\"\n");
        server.signal(Signal::HUP);
        let line = server.wait_for("did you mean \"keepalive\"?");
        assert!(line.contains(&format!("{}:2: [xms] keepaliv", server.config_name())), "{line}");
        server.wait_for("the config was not reloaded");
        assert_eq!(peer.ask(&new_app).status(), 404);

        server.rewrite_config(&format!(
            "{QUIET}publish_bytes = \"4KiB\"\n[xms.app.app]\n[xms.app.new]\n[native]\nsource = \"reloaded\"\n\
             [[vocabulary]]\ntype = \"call.parked\"\nxms = \"status\"\n"
        ));
        server.signal(Signal::HUP);
        server.wait_for("config reloaded");
        for _ in 0..4 {
            assert_eq!(Peer::connect(server.address).ask(&new_app).status(), 201, "{shards} shards");
            let large = publication(&" ".repeat(4_097));
            assert_eq!(Peer::connect(server.address).ask(large).status(), 413, "{shards} shards");
        }
        publish(&mut Peer::connect(server.address), &dtmf("1", 1));
        publish(&mut Peer::connect(server.address), r#"{"type":"call.parked","subject":"call/1"}"#);
        for stream in &mut streams {
            assert_eq!(digits(&stream.chunk()), 1, "a stream goes on");
            let chunk = stream.chunk();
            assert!(
                content(&chunk).windows(13).any(|w| w == b"type=\"status\""),
                "a vocabulary row is in force"
            );
        }
        let event = String::from_utf8(sse.chunk()).unwrap();
        assert!(event.contains("\"source\":\"reloaded\""), "{event}");

        server.rewrite_config(&format!("[[listener]]\naddress = \"127.0.0.1:1\"\n{QUIET}"));
        server.signal(Signal::HUP);
        server.wait_for("config reloaded");
        assert_eq!(peer.ask(&new_app).status(), 404, "an application that is gone from the file");
        server.signal(Signal::TERM);
        drop((streams, sse));
        assert_eq!(server.wait_exit().0, Some(0));
    }
}

/// R31: a reload with a fault leaves the destinations as they were; one without brings and takes them away.
pub fn a_reload_with_a_fault_keeps_destinations(subject: &Subject) {
    let receiver = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = receiver.local_addr().expect("an address");
    let isr = |name: &str, parameters: &str| {
        format!(
            "{QUIET}[[isr.destination]]\nname = \"{name}\"\nurl = \"http://{address}/notify\"\nglobal = true\n\
             events = [\"RECORDING_STARTED_EVENT\"]\nparameters = \"{parameters}\"\n"
        )
    };
    let mut server = subject.server(&isr("old", "ucid=%UCID%"));
    server.rewrite_config(&isr("new", "ucid=%UCIDD%"));
    server.signal(Signal::HUP);
    let line = server.wait_for("UCIDD");
    assert!(line.contains("allowed"), "{line}");
    server.wait_for("the config was not reloaded");
    let recording = r#"{"type":"recording.started","subject":"recording/1","data":{"ucid":"7"}}"#;
    publish(&mut Peer::connect(server.address), recording);
    let (mut socket, _) = receiver.accept().expect("the old destination is called");
    let mut request = vec![0; 4_096];
    let read = socket.read(&mut request).expect("a request");
    let request = String::from_utf8_lossy(&request[..read]).into_owned();
    assert!(request.starts_with("GET /notify?ucid=7 HTTP/1.1\r\n"), "{request}");
    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").expect("an answer");
    server.rewrite_config(&isr("new", "id=%UCID%"));
    server.signal(Signal::HUP);
    server.wait_for("config reloaded");
    let peer = &mut Peer::connect(server.address);
    let listed = || peer.ask(get("/v1/isr/destinations")).text();
    let listed = std::iter::repeat_with(listed).find(|text| text.contains("\"new\"")).unwrap_or_default();
    assert!(!listed.contains("\"old\""), "{listed}");
}

/// A wrong config file: exit code 2, and a line for each problem with file, line, key, what was found and what is
/// allowed.
pub fn config_errors(subject: &Subject) {
    let mut t = Transcript::new("config_errors");
    for (title, config) in [
        ("no TOML", "[xms\nkeepalive = 1"),
        ("an unknown key", "[xms]\nkeepaliv = \"5s\"\n"),
        ("an unknown table", "[xmss]\n"),
        (
            "several at once",
            "data = 5\n[xms]\nkeepalive = \"10\"\nreplay = { events = 0, aeg = \"1m\" }\napps = [\"a\", \"a\"]\n\
             [limits]\nconnections = \"many\"\n[[listener]]\naddress = \"localhost\"\n",
        ),
        ("a dialect that is none", "[[listener]]\naddress = \"127.0.0.1:0\"\ndialects = [\"xml\"]\n"),
        ("what this version does not have", "[users]\n"),
        ("a source that lacks nearly all", "[[source]]\nname = \"pbx\"\n"),
        ("a socket that is none", "[sip]\nlisten = [\"127.0.0.1:5060\"]\n"),
    ] {
        t.title(title);
        let mut server = subject.spawn(Some(config), &[]);
        t.name(server.config_name(), "config");
        let (code, log) = server.wait_exit();
        t.received(log.as_bytes());
        t.remark(&format!("exit code {code:?}"));
        assert_eq!(code, Some(2), "{log}");
    }
    t.title("no such file");
    let mut server = subject.spawn(None, &["--config", "no/such/file.toml"]);
    let (code, log) = server.wait_exit();
    t.received(log.as_bytes());
    t.remark(&format!("exit code {code:?}"));
    t.check();
}

/// A wrong command line: exit code 2, and what is allowed.
pub fn command_line_errors(subject: &Subject) {
    for (arguments, part) in [
        (&["--listen", "localhost"][..], "such as 127.0.0.1:8080"),
        (&["--shards", "0"], "1..=64"),
        (&["--shards", "many"], "'many' for '--shards <N>'"),
        (&["--lisen", "127.0.0.1:0"], "--listen"),
        (&["--listen", "127.0.0.1:1", "--listen", "127.0.0.1:1"], "given twice"),
    ] {
        let mut server = subject.spawn(None, arguments);
        let (code, log) = server.wait_exit();
        assert_eq!(code, Some(2), "{arguments:?}: {log}");
        assert!(log.contains(part), "{arguments:?}: {log}");
    }
    for argument in ["--help", "--version"] {
        assert_eq!(subject.spawn(None, &[argument]).wait_exit().0, Some(0));
    }
}

/// A port that is taken: a sentence that says what to do, and exit code 1; a second server is kept off as well.
pub fn a_taken_port(subject: &Subject) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let running = subject.server("");
    for address in [address, running.address.to_string()] {
        let mut server = subject.spawn(None, &["--listen", &address, "--data", "none"]);
        let (code, log) = server.wait_exit();
        assert_eq!(code, Some(1), "{log}");
        let sentence = format!(
            "{}: cannot listen on {address}: Address already in use; another process listens there; stop it, or \
             choose another address (--listen, or address in [[listener]])",
            subject.name()
        );
        assert!(log.lines().any(|line| line == sentence), "{log}");
    }
}

/// `--demo`: events of its own on both dialects, lines to paste, and nothing is kept.
pub fn demo(subject: &Subject) {
    let mut server = subject.start(None, &["--demo", "--listen", "127.0.0.1:0"]);
    let mut t = Transcript::new("demo");
    t.name(server.address.to_string(), "address");
    t.title("lines to paste");
    for start in ["# Watch", "curl -N", "# Publish", "curl -H", "# Create", "HREF=", "curl -N"] {
        let line = server.wait_for(start);
        t.received(line.as_bytes());
    }
    t.check();
    let peer = &mut Peer::connect(server.address);
    let id = create(peer, "<eventsubscribe/>");
    let mut stream = open(&server, &id);
    let event = String::from_utf8(stream.chunk()).unwrap();
    assert!(event.contains("<event type=\"") && event.contains(" resource_type=\"call\">"), "{event}");
    peer.send(get("/v1/events"));
    peer.head();
    peer.chunk();
    let event = String::from_utf8(peer.chunk()).unwrap();
    assert!(event.contains("\"source\":\"demo\""), "{event}");
    server.signal(Signal::TERM);
    drop(stream);
    peer.rest();
    peer.end();
    let (code, log) = server.wait_exit();
    assert_eq!(code, Some(0), "{log}");
}

/// kill -9 with streams open: the next start binds the same port at once; nothing is kept, so the ids are gone.
pub fn restart_after_kill(subject: &Subject) {
    // An address that no other test's connections have: a client's port on 127.0.0.1 would be in the way.
    let arguments = |port: u16| {
        ["--listen".to_owned(), format!("127.0.0.9:{port}"), "--data".to_owned(), "none".to_owned()]
    };
    let start = |port: u16| -> Server {
        let arguments = arguments(port);
        subject.start(None, &arguments.each_ref().map(String::as_str))
    };
    let server = start(0);
    let port = server.address.port();
    let peer = &mut Peer::connect(server.address);
    let id = create(peer, "<eventsubscribe/>");
    let mut streams: Vec<Peer> = (0..5).map(|_| open(&server, &id)).collect();
    publish(peer, &dtmf("1", 1));
    assert_eq!(digits(&streams[0].chunk()), 1);
    server.kill();
    for stream in &mut streams[1..] {
        assert!(!digits_to_end(stream).1, "a killed server ends no stream cleanly");
    }
    for _ in 0..3 {
        let server = start(port);
        let peer = &mut Peer::connect(server.address);
        assert_eq!(peer.ask(get(&instance(&id))).status(), 404);
        assert!(peer.ask(get(COLLECTION)).text().contains("size=\"0\""));
        let id = create(peer, "<eventsubscribe/>");
        let mut stream = Peer::connect(server.address);
        stream.send(get(&instance(&id)));
        stream.head();
        assert_eq!(stream.chunk(), KEEPALIVE);
        server.kill();
    }
}

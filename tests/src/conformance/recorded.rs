//! Two calls that real servers sent, published and read back; and the same to thousands of streams at once. Their
//! origin is in `tests/data/README.md`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::QUIET;
use super::peer::{LAST_CHUNK, Peer, content, request};
use super::server::Subject;
use super::transcript::Transcript;
use super::xms::{create, delete, digits, dtmf, open, open_on, publish};

/// Both calls as canonical events, one a line.
const EVENTS: &str = include_str!("../../data/recorded-calls.ndjson");

/// The de-chunked body of the first call's stream, without its keepalive.
const STREAM_OF_2015: &[u8] = include_bytes!("../../data/recorded-call-2015.stream");

/// How many events the call of 2015 has.
const EVENTS_OF_2015: usize = 4;

fn events_of(source: &str) -> Vec<&'static str> {
    let source = format!("\"source\": \"{source}\"");
    EVENTS.lines().filter(|line| line.contains(&source)).collect()
}

fn publish_lines(peer: &mut Peer, lines: &[&str]) {
    let body = lines.join("\n");
    let reply = peer.ask(request("POST /v1/events", "Content-Type: application/x-ndjson\r\n", body));
    assert_eq!(reply.status(), 202, "{}", reply.text());
}

/// The call of 2015 comes out byte for byte on every open stream, one chunk an event, on one shard and on two,
/// published as one batch and event by event (X22).
pub fn recorded_call_of_2015(subject: &Subject) {
    let lines = events_of("xms-2015-02-13");
    assert_eq!(lines.len(), EVENTS_OF_2015);
    for shards in [1, 2] {
        let server = subject.shards(shards, QUIET);
        let peer = &mut Peer::connect(server.address);
        let ids: Vec<String> = (0..10).map(|_| create(peer, "<eventsubscribe/>")).collect();
        let mut streams: Vec<Peer> = ids.iter().cycle().take(100).map(|id| open(&server, id)).collect();
        let mut t = Transcript::new("recorded_call_of_2015");
        t.given(EVENTS);
        publish_lines(peer, &lines);
        for line in &lines {
            publish(peer, line);
        }
        for (at, stream) in streams.iter_mut().enumerate() {
            for title in ["in one batch", "event by event"] {
                let chunks: Vec<Vec<u8>> = lines.iter().map(|_| stream.chunk()).collect();
                let body: Vec<u8> = chunks.iter().flat_map(|chunk| content(chunk).to_vec()).collect();
                assert_eq!(body, STREAM_OF_2015, "stream {at}, {shards} shards, {title}");
                if at == 0 {
                    t.title(title);
                    chunks.iter().for_each(|chunk| t.chunk(chunk));
                }
            }
        }
        t.check();
    }
}

/// The inbound call of 2014, with its header block of CR LF lines; on two shards.
pub fn recorded_call_of_2014(subject: &Subject) {
    let server = subject.shards(2, QUIET);
    let peer = &mut Peer::connect(server.address);
    let id = create(peer, "<eventsubscribe/>");
    let mut stream = open(&server, &id);
    let lines = events_of("xms-2014-03-17");
    publish_lines(peer, &lines);
    let mut t = Transcript::new("recorded_call_of_2014");
    t.given(EVENTS);
    t.title("incoming, end_play, hangup");
    t.chunks(&mut stream, lines.len());
    assert_eq!(peer.ask(delete(&id)).status(), 204);
    t.chunks_to_end(&mut stream);
    t.check();
}

/// 2,000 streams at once, each opened on the connection of its POST (X33): each gets the recorded call, then a burst,
/// whole and in order (X22), on one shard and on two.
pub fn two_thousand_streams(subject: &Subject) {
    const STREAMS: usize = 2_000;
    const BURST: u64 = 40;
    raise_open_files(STREAMS as u64 + 200);
    for shards in [1, 2] {
        let server = subject.shards(shards, QUIET);
        let mut streams: Vec<(Peer, String)> = Vec::with_capacity(STREAMS);
        for _ in 0..STREAMS {
            let mut stream = Peer::connect(server.address);
            let id = create(&mut stream, "<eventsubscribe/>");
            open_on(&mut stream, &id);
            streams.push((stream, id));
        }
        let peer = &mut Peer::connect(server.address);
        publish_lines(peer, &events_of("xms-2015-02-13"));
        let burst: Vec<String> = (0..BURST).map(|number| dtmf("1", number)).collect();
        publish(peer, &format!("[{}]", burst.join(",")));
        for (at, (stream, _)) in streams.iter_mut().enumerate() {
            let body: Vec<u8> = (0..EVENTS_OF_2015).flat_map(|_| content(&stream.chunk()).to_vec()).collect();
            assert_eq!(body, STREAM_OF_2015, "stream {at}, {shards} shards");
            for number in 0..BURST {
                assert_eq!(digits(&stream.chunk()), number, "stream {at}, {shards} shards");
            }
        }
        // The last one shows that nothing more was sent.
        let (mut stream, id) = streams.pop().unwrap();
        assert_eq!(peer.ask(delete(&id)).status(), 204);
        assert_eq!(stream.chunk(), LAST_CHUNK);
        stream.expect_end();
    }
}

/// Lets this process have so many files open.
fn raise_open_files(count: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        let wanted = Rlimit { current: Some(count.max(4_096)), maximum: limit.maximum };
        setrlimit(Resource::Nofile, wanted)
            .unwrap_or_else(|e| panic!("this test needs {count} open files (ulimit -Hn): {e}"));
    }
}

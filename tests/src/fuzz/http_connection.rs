//! A whole connection: any bytes at an engine with all its dialects, over memory and with virtual time, while two
//! others watch what is published.

use std::sync::OnceLock;

use offhook_core::dialect::xms::render::keepalive;
use offhook_core::ground::limits::Limits;
use offhook_core::wire::xml::{Bounds, read};
use offhook_core::{Config, ConnId};

use super::memory::{Memory, Sent};
use super::replies::{Answer, read_all};
use super::split;

/// Stands for the id of the watching eventhandler, so that an input can name it.
const HANDLER: &[u8] = b"{id}";

/// How long the engine runs after the input: beyond all deadlines of a connection.
const REST_MS: u64 = 200_000;

const CREATE: &str =
    "<web_service version=\"1.0\"><eventhandler><eventsubscribe/></eventhandler></web_service>";

/// Everything that leaves the engine on account of one input.
#[derive(Debug, PartialEq, Eq)]
struct Transcript {
    peer: Sent,
    events: Vec<String>,
    sse: Sent,
    xms: Sent,
}

/// Sends `data` over one connection, then lets time pass, then stops the engine.
pub fn run(data: &[u8]) {
    let data = &replace(data, HANDLER, watched_handler().as_bytes())[..];
    let whole = converse(data, &[data.len()], usize::MAX);
    let lengths = |pieces: Vec<&[u8]>| pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>();
    assert_same(&converse(data, &lengths(split::pieces(data)), usize::MAX), &whole, "input in pieces");
    assert_same(&converse(data, &[data.len()], 11), &whole, "output in small writes");
    if data.len() <= 256 {
        assert_same(&converse(data, &lengths(split::bytes(data)), usize::MAX), &whole, "input by bytes");
    }

    let heads = data.windows(5).any(|five| five == b"HEAD ");
    for answer in read_all(&whole.peer.bytes, heads) {
        assert!(matches!(answer.status, 200..=204 | 400..=431 | 501..=505), "{answer:?}");
    }
    let sse = stream(&whole.sse);
    let told = sse.chunks.iter().filter(|chunk| chunk.starts_with(b"id: ")).count();
    assert_eq!(told, whole.events.len(), "every event is told once");
    let xms = stream(&whole.xms);
    assert_eq!(xms.chunks.first().map(Vec::as_slice), Some(keepalive(true)), "a keepalive comes first");
    xms.chunks.iter().for_each(|chunk| check_xms(chunk));
}

fn assert_same(got: &Transcript, whole: &Transcript, how: &str) {
    assert_eq!(got.peer, whole.peer, "{how}");
    assert_eq!(got, whole, "{how}");
}

fn converse(data: &[u8], pieces: &[usize], write_bytes_max: usize) -> Transcript {
    let mut memory = Memory::new(config(), write_bytes_max);
    let (sse, xms, _) = watch(&mut memory);
    let peer = memory.connect();
    let mut rest = data;
    for piece in pieces {
        let (bytes, after) = rest.split_at(*piece);
        memory.receive(peer, bytes);
        rest = after;
    }
    memory.pass(REST_MS);
    memory.stop();
    let mut transcript = Transcript {
        peer: memory.sent(peer).clone(),
        sse: memory.sent(sse).clone(),
        xms: memory.sent(xms).clone(),
        events: memory.events,
    };
    // Whether a go-ahead was needed depends on how much of the body came along with the head.
    transcript.peer.bytes = replace(&transcript.peer.bytes, b"HTTP/1.1 100 Continue\r\n\r\n", b"");
    transcript
}

/// Opens a stream of each dialect: their connections, and the id of the eventhandler.
fn watch(memory: &mut Memory) -> (ConnId, ConnId, String) {
    let sse = memory.connect();
    memory.receive(sse, b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let xms = memory.connect();
    let length = CREATE.len();
    let create = format!(
        "POST /default/eventhandlers?appid=app HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{CREATE}"
    );
    memory.receive(xms, create.as_bytes());
    let reply = String::from_utf8_lossy(&memory.sent(xms).bytes).into_owned();
    let (_, id) = reply.split_once("identifier=\"").expect("the eventhandler is made");
    let id = id[..36].to_owned();
    let get = format!("GET /default/eventhandlers/{id}?appid=app HTTP/1.1\r\nHost: localhost\r\n\r\n");
    memory.receive(xms, get.as_bytes());
    (sse, xms, id)
}

/// The id of the watching eventhandler: the engine's seed is fixed, so it is always the same.
fn watched_handler() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| watch(&mut Memory::new(config(), usize::MAX)).2)
}

/// Limits that a small input reaches.
fn config() -> Config {
    let limits = Limits {
        head_bytes: 512,
        head_fields: 12,
        chunk_line_bytes: 64,
        body_discard_bytes: 256,
        pipelined_requests: 4,
        publish_bytes: 1_024,
        batch_events: 8,
        xms_body_bytes: 512,
        xms_subscriptions: 4,
        xms_handlers_per_app: 3,
        retained_bytes: 1 << 18,
        xms_arena_bytes: 1 << 18,
        ..Limits::default()
    };
    Config { limits, ..Config::default() }
}

fn replace(bytes: &[u8], part: &[u8], with: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        if let Some(after) = rest.strip_prefix(part) {
            out.extend_from_slice(with);
            rest = after;
        } else {
            out.push(*first);
            rest = &rest[1..];
        }
    }
    out
}

/// The last answer of a connection that became a stream.
fn stream(sent: &Sent) -> Answer {
    assert!(sent.closed && sent.bytes.ends_with(b"0\r\n\r\n"), "a stream ends cleanly");
    let last = read_all(&sent.bytes, false).pop();
    last.filter(|answer| answer.status == 200).expect("the stream was opened")
}

/// A chunk is one event: its length in hex digits, CR LF, and that many bytes of XML, all of them ASCII.
fn check_xms(chunk: &[u8]) {
    let text = std::str::from_utf8(chunk).expect("XMS is ASCII");
    let (digits, xml) = text.split_once("\r\n").expect("a length line");
    assert!(text.is_ascii() && digits == format!("{:x}", xml.len()), "{text:?}");
    let bounds = Bounds { depth: 3, attributes: 3 };
    read(xml, bounds).expect("an event is well-formed");
    assert!(
        xml.starts_with("<web_service version=\"1.0\">\r\n<event type=\"") && xml.ends_with("</web_service>")
    );
}

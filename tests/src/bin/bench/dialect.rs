//! What is said on the wire: the requests that open a stream, the message that sets filters, and the request
//! that publishes an event.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::ValueEnum;
use memchr::memmem;
use offhook_tests::memory::ws::UPGRADE;
use rustls::ClientConfig;

use crate::Result;
use crate::fleet::Fleet;
use crate::http::{Client, Reply};
use crate::stamp::{STAMP_BYTES, write_stamp};

/// Size of the payload before the dialect escapes it.
const PAYLOAD_BYTES: usize = 300;

/// What a small event takes as the server renders it, and how much of that the server adds.
const SMALL_EVENT_BYTES: usize = 300;
const ADDED_BYTES: usize = 119;

/// The word for a server's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// The floor's own: one event a line
    Floor,
    /// XMS event streams
    Xms,
    /// Server-Sent Events
    Sse,
    /// The floor's own, in websocket frames
    FloorWs,
    /// iSymphony's websocket; the server needs the user `bench` with the password `bench`
    Ws,
    /// nginx with nchan: Server-Sent Events at `/sub`, published at `/pub`
    Nchan,
}

/// The fields of the user whom [`Dialect::config`] lets in.
const CREDENTIALS: &str = "Authorization: Basic YmVuY2g6YmVuY2g=\r\n";

/// Whom it lets in; the hash is that of `bench`, and protects nothing.
const ISYMPHONY: &str = r#"[isymphony]
users = [{ name = "bench", password_hash = "$argon2id$v=19$m=19456,t=2,p=1$b2ZmaG9vay1iZW5jaC0wMA$wN6GHM01DJttXzOgU8t+DMR7ebIRKs70lCmE75S423s" }]
"#;

impl Dialect {
    /// The config file of a server that is to speak it.
    pub(crate) fn config(self) -> Option<&'static str> {
        (self == Self::Ws).then_some(ISYMPHONY)
    }

    /// What the floor speaks beside it.
    pub(crate) fn on_the_floor(self) -> Self {
        match self {
            Self::Floor | Self::Xms | Self::Sse | Self::Nchan => Self::Floor,
            Self::FloorWs | Self::Ws => Self::FloorWs,
        }
    }

    /// Opens `count` streams of the same subscription: for XMS one eventhandler, for iSymphony one filter.
    pub(crate) fn open(self, address: SocketAddr, count: usize) -> Result<Fleet> {
        let mut fleet = Fleet::open(address, &self.subscription(address)?, count)?;
        if self == Self::Ws {
            fleet.say(|_| filter_message(&[("type", "callDtmf")]), is_success)?;
        }
        Ok(fleet)
    }

    /// The same behind TLS, at a server whose streams need nothing else.
    pub(crate) fn open_sealed(
        self,
        address: SocketAddr,
        count: usize,
        tls: &Arc<ClientConfig>,
    ) -> Result<Fleet> {
        Fleet::open_sealed(address, &self.subscription(address)?, count, tls)
    }

    /// The request that opens a stream. For XMS it creates the eventhandler that all streams share.
    fn subscription(self, address: SocketAddr) -> Result<Vec<u8>> {
        match self {
            Self::Floor => Ok(get(address, "/", "*/*")),
            Self::Sse => Ok(get(address, "/v1/events?type=call.dtmf", "text/event-stream")),
            Self::Nchan => Ok(get(address, "/sub", "text/event-stream")),
            Self::FloorWs => Ok(open_websocket(address, "/", "")),
            Self::Ws => Ok(open_websocket(address, "/communication_manager/ws/event", CREDENTIALS)),
            Self::Xms => {
                let request = create_handler(address, "<eventsubscribe/>");
                let replies = Client::connect(address)?.exchange(&request, 1)?;
                let href = handler_href(replies.first().map(|reply| (reply.status, &reply.body[..])))?;
                Ok(open_handler(address, &href))
            }
        }
    }

    /// How an event about `subject` is published. iSymphony has no subjects, so the event names it as its user.
    pub(crate) fn publication(self, address: SocketAddr, subject: &str) -> Template {
        let payload = payload();
        let user = if self == Self::Ws { format!(r#""username":"{subject}","#) } else { String::new() };
        let bytes = match self {
            Self::Floor | Self::FloorWs => payload + "\n",
            // What our server makes of the event, so that both send the same.
            Self::Nchan => {
                let payload = payload.replace('\\', "\\\\").replace('"', "\\\"");
                let body = format!(
                    r#"{{"specversion":"1.0","id":"019ab2c3-0000-7000-8000-000000000000","source":"offhook","type":"call.dtmf","subject":"{subject}","time":"2026-01-31T12:00:00.000Z","data":{{"payload":"{payload}"}}}}"#
                );
                post(address, "/pub", "application/json", &body)
            }
            Self::Xms | Self::Sse | Self::Ws => {
                let payload = payload.replace('\\', "\\\\").replace('"', "\\\"");
                let body = format!(
                    r#"{{"type":"call.dtmf","subject":"{subject}","data":{{{user}"payload":"{payload}"}}}}"#
                );
                post(address, "/v1/events", "application/json", &body)
            }
        };
        Template::of(bytes)
    }

    /// What the publisher says first.
    pub(crate) fn greeting(self) -> &'static [u8] {
        match self {
            Self::Floor | Self::FloorWs => b"PUB\n",
            Self::Xms | Self::Sse | Self::Ws | Self::Nchan => b"",
        }
    }

    /// Whether each publication is answered.
    pub(crate) fn answers(self) -> bool {
        !matches!(self, Self::Floor | Self::FloorWs)
    }

    /// Whether an answer accepts all events of a request.
    pub(crate) fn accepted(self, reply: &Reply, events: u32) -> Result<()> {
        match (self, reply.status) {
            // nchan: whether there were subscribers.
            (Self::Nchan, 201 | 202) => Ok(()),
            (Self::Xms | Self::Sse | Self::Ws, 202) => check_accepted(&reply.body, events),
            (_, status) => {
                let body = String::from_utf8_lossy(&reply.body);
                Err(format!("an event was not accepted: {status}, {body}").into())
            }
        }
    }
}

/// A publication of one event or of many; the events' stamps alone differ from one time to the next.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    stamps_at: Vec<usize>,
}

impl Template {
    fn of(bytes: String) -> Self {
        let stamps_at = bytes.match_indices('^').map(|(at, _)| at).collect();
        Self { bytes: bytes.into_bytes(), stamps_at }
    }

    /// A native request with so many small events, each with its stamp in its subject: no two events
    /// have the same subject.
    pub(crate) fn batch(address: SocketAddr, events: u32) -> Self {
        let events = vec![small_event(); events as usize].join(",");
        Self::of(post(address, "/v1/events", "application/json", &format!("[{events}]")))
    }

    /// A native request with one such event.
    pub(crate) fn single(address: SocketAddr) -> Self {
        Self::of(post(address, "/v1/events", "application/json", &small_event()))
    }

    /// How many events a publication holds.
    pub(crate) fn events(&self) -> u32 {
        self.stamps_at.len() as u32
    }

    /// Appends a publication; the stamps' sequence numbers begin with `sequence`.
    pub(crate) fn append(&self, due_ns: u64, sequence: u32, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.bytes);
        for (sequence, stamp_at) in (sequence..).zip(&self.stamps_at) {
            let stamp_at = begin + stamp_at;
            out[stamp_at..stamp_at + STAMP_BYTES].copy_from_slice(&write_stamp(due_ns, sequence));
        }
    }
}

/// An event that the server renders in about [`SMALL_EVENT_BYTES`]: what it does not bring (`specversion`,
/// `id`, `source`, `time`) is added.
fn small_event() -> String {
    let stamp = String::from_utf8_lossy(&write_stamp(0, 0)).into_owned();
    let mut event = format!(
        r#"{{"type":"call.dtmf","subject":"{stamp}","data":{{"digit":"5","duration_ms":120,"channel":"SIP/trunk-00000042","note":""#
    );
    while event.len() + ADDED_BYTES + 3 < SMALL_EVENT_BYTES {
        event.push('.');
    }
    event + "\"}}"
}

/// Whether a reply (docs/native.md) names as many events as were sent.
fn check_accepted(body: &[u8], events: u32) -> Result<()> {
    let accepted = memmem::find_iter(body, b"\"seq\":").count();
    if accepted == events as usize {
        return Ok(());
    }
    let body = String::from_utf8_lossy(body);
    Err(format!("{accepted} of the {events} events of a request were accepted: {body}").into())
}

/// A small JSON object with a stamp, as a PBX might send it.
fn payload() -> String {
    let stamp = String::from_utf8_lossy(&write_stamp(0, 0)).into_owned();
    let mut payload = format!(
        r#"{{"stamp":"{stamp}","digit":"5","duration_ms":120,"leg":"a","channel":"SIP/trunk-00000042","caller":{{"name":"Grace Example","number":"+15550100"}},"callee":{{"number":"+15550199"}},"note":""#
    );
    while payload.len() < PAYLOAD_BYTES - 2 {
        payload.push('.');
    }
    payload + "\"}"
}

/// The request that creates an XMS eventhandler with these subscriptions.
pub(crate) fn create_handler(address: SocketAddr, subscriptions: &str) -> Vec<u8> {
    let body =
        format!(r#"<web_service version="1.0"><eventhandler>{subscriptions}</eventhandler></web_service>"#);
    post(address, "/default/eventhandlers?appid=app", "application/xml", &body).into_bytes()
}

/// The path of the eventhandler that a reply created.
pub(crate) fn handler_href(reply: Option<(u16, &[u8])>) -> Result<String> {
    let (status, body) = reply.ok_or("no reply to the creation of an eventhandler")?;
    let body = String::from_utf8_lossy(body);
    let href = body.split_once("href=\"").and_then(|(_, rest)| Some(rest.split_once('"')?.0));
    match (status, href) {
        (201, Some(href)) => Ok(href.to_owned()),
        _ => Err(format!("an eventhandler was not created: {status}, {body}").into()),
    }
}

/// The request that opens an XMS event stream.
pub(crate) fn open_handler(address: SocketAddr, href: &str) -> Vec<u8> {
    get(address, &format!("{href}?appid=app"), "*/*")
}

/// The request that opens a websocket.
fn open_websocket(address: SocketAddr, path: &str, credentials: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{credentials}{UPGRADE}\r\n").into_bytes()
}

/// iSymphony's message that sets the filters of a connection: properties and the values that they must have.
pub(crate) fn filter_message(filters: &[(&str, &str)]) -> String {
    let filters: Vec<_> = filters
        .iter()
        .map(|(property, value)| format!(r#"{{"property":"{property}","value":"{value}"}}"#))
        .collect();
    format!(r#"{{"type":"filter","filters":[{}]}}"#, filters.join(","))
}

/// Whether the answer to such a message says that the filters are set.
pub(crate) fn is_success(answer: &[u8]) -> bool {
    answer.ends_with(br#""type":"success"}"#)
}

fn get(address: SocketAddr, path: &str, accept: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: {accept}\r\n\r\n").into_bytes()
}

fn post(address: SocketAddr, path: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_has_the_promised_size_and_one_stamp() {
        assert_eq!(payload().len(), PAYLOAD_BYTES);
        assert_eq!(payload().matches('^').count(), 1);
    }

    #[test]
    fn the_stamp_is_put_in_place() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let template = Dialect::Sse.publication(address, "call/1");
        let mut out = b"before".to_vec();
        template.append(1, 2, &mut out);
        let text = String::from_utf8(out).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a blank line");
        assert!(body.contains(r#"{\"stamp\":\"^0000000000000001:00000002|\""#));
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
    }

    #[test]
    fn the_websocket_event_names_its_user() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let template = Dialect::Ws.publication(address, "agent-7");
        let text = String::from_utf8(template.bytes).expect("ASCII");
        assert!(text.contains(r#""data":{"username":"agent-7","payload":"{\"stamp\":"#), "{text}");
    }

    #[test]
    fn a_filter_message_is_json_and_its_answer_is_judged() {
        let expected = r#"{"type":"filter","filters":[{"property":"type","value":"dial"},{"property":"username","value":"*"}]}"#;
        assert_eq!(filter_message(&[("type", "dial"), ("username", "*")]), expected);
        assert!(is_success(br#"{"correlationId":null,"time":1,"type":"success"}"#));
        assert!(!is_success(br#"{"correlationId":null,"error":"no","time":1,"type":"error"}"#));
    }

    #[test]
    fn a_batch_stamps_each_event() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let template = Template::batch(address, 3);
        assert_eq!(template.events(), 3);
        let mut out = b"before".to_vec();
        template.append(1, 7, &mut out);
        let text = String::from_utf8(out).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a blank line");
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
        for sequence in 7..10 {
            assert_eq!(body.matches(&format!(r#""subject":"^0000000000000001:{sequence:08x}|""#)).count(), 1);
        }
        assert_eq!(Template::single(address).events(), 1);
    }

    #[test]
    fn a_small_event_is_rendered_in_the_promised_size() {
        let added = r#""specversion":"1.0","id":"019ab2c3-0000-7000-8000-000000000000","source":"offhook","time":"2026-01-31T12:00:00.000Z","#;
        let rendered = small_event().replacen('{', &format!("{{{added}"), 1);
        assert!(
            (SMALL_EVENT_BYTES - 2..=SMALL_EVENT_BYTES + 2).contains(&rendered.len()),
            "{}",
            rendered.len()
        );
    }

    #[test]
    fn each_event_of_a_request_is_to_be_accepted() {
        let body = br#"{"accepted":[{"id":"a","seq":1},{"id":"b","seq":2}]}"#;
        assert!(check_accepted(body, 2).is_ok());
        assert!(check_accepted(body, 3).is_err() && check_accepted(body, 1).is_err());
        assert!(check_accepted(b"{}", 1).is_err());
    }

    #[test]
    fn the_href_is_found() {
        let body = b"<eventhandler_response identifier=\"x\" href=\"/default/eventhandlers/x\"\r\n>";
        assert_eq!(handler_href(Some((201, body))).expect("created"), "/default/eventhandlers/x");
        assert!(handler_href(Some((400, body))).is_err());
        assert!(handler_href(Some((201, b""))).is_err());
        assert!(handler_href(None).is_err());
    }
}

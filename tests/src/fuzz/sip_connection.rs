//! A whole engine that speaks SIP: subscriptions come over HTTP, a notifier answers by datagrams and on connections, in
//! virtual time. The first byte chooses the way of our requests; what follows are lines, each ended by a form feed. The
//! first byte of a line says what happens, the rest is its text.
//!
//! In datagrams and on connections `{branch}`, `{call}`, `{cseq}`, `{from}`, `{to}` and `{contact}` stand for what our last
//! request says there.

use offhook_core::ground::config::{Listener, SipListener, SipTransport};
use offhook_core::wire::sip::message::Message;
use offhook_core::wire::sip::stream::{Framed, Framing};
use offhook_core::{Completion, Config};

use super::split;
use crate::memory::calls::Made;
use crate::memory::write::{get, request};
use crate::memory::{Peer, World};

const END: u8 = 0x0c;
const OURS: &str = "192.0.2.1:5060";
const NOTIFIER: &str = "192.0.2.70:5060";
const CALLBACK: &str = "192.0.2.5:8081";
const SEP: &str = "/v/2009-06/sep";

/// An ended subscription is remembered for an hour; this is beyond it, and beyond all of SIP's own deadlines.
const REST_MS: u64 = 2 * 3_600_000;

/// How the bytes of connections get to the engine.
#[derive(Clone, Copy)]
enum Split {
    Whole,
    Pieces,
    Bytes,
}

/// Plays `data`, and once more with connections whose bytes come in pieces.
pub fn run(data: &[u8]) {
    let Some((choice, script)) = data.split_first() else { return };
    let whole = Play::new(*choice).play(script, Split::Whole);
    let mut splits = Vec::new();
    if script.split(|byte| *byte == END).any(|line| line.first() == Some(&b'b')) {
        splits = vec![Split::Pieces, Split::Bytes];
        splits.truncate(if script.len() <= 1_024 { 2 } else { 1 });
    }
    for split in splits {
        assert_eq!(Play::new(*choice).play(script, split), whole, "it depends on where a connection is cut");
    }
}

struct Play {
    world: World,
    /// The connection that the notifier speaks on.
    flow: Option<Peer>,
    accepted: Vec<Peer>,
    /// Our last request, and the connection that it came on.
    asked: Option<(Message, Option<Peer>)>,
    notified: u32,
    paths: Vec<String>,
    /// Callbacks that nobody has answered.
    open: Vec<Made>,
    /// Everything that left the engine.
    said: Vec<String>,
}

impl Play {
    fn new(choice: u8) -> Play {
        let mut config = config();
        let way = if choice & 1 == 1 { ";transport=tcp" } else { "" };
        config.sip.proxy = Some(format!("sip:{NOTIFIER}{way}").into());
        let mut world = World::keeping(config, 1);
        world.serve(CALLBACK);
        if choice & 2 == 0 {
            world.serve(NOTIFIER);
        }
        Play {
            world,
            flow: None,
            accepted: Vec::new(),
            asked: None,
            notified: 0,
            paths: Vec::new(),
            open: Vec::new(),
            said: Vec::new(),
        }
    }

    fn play(mut self, script: &[u8], split: Split) -> Vec<String> {
        for line in script.split(|byte| *byte == END) {
            if let Some((verb, text)) = line.split_first() {
                self.step(*verb, text, split);
                self.look();
            }
        }
        self.finish();
        self.said
    }

    fn step(&mut self, verb: u8, text: &[u8], split: Split) {
        match verb {
            // A client subscribes by a document, or to an event and URIs; it looks, and ends it.
            b's' => self.subscribe(text),
            b'w' => self.subscribe(document(&String::from_utf8_lossy(text)).as_bytes()),
            b'g' => self.look_at_all(),
            b'x' => {
                if let Some(path) = self.paths.last() {
                    let status = self.world.ask_alone(request("DELETE", path, "", "")).status;
                    assert!(matches!(status, 204 | 410), "{status}");
                }
            }
            // The notifier says something by a datagram, on a connection, or in answer to what it was asked.
            b'd' => self.world.datagram(NOTIFIER, 0, self.filled_in(text)),
            b'a' => {
                self.flow = self.world.connect_via(1, "192.0.2.70:40000");
                self.accepted.extend(self.flow);
            }
            b'b' => self.say_on_flow(text, split),
            b'c' => {
                if let Some(flow) = self.flow.take() {
                    self.world.break_off(flow);
                }
            }
            b'k' => self.answer(&String::from_utf8_lossy(text)),
            b'n' => self.notify(&String::from_utf8_lossy(text)),
            b'h' if !self.open.is_empty() => {
                let made = self.open.remove(0);
                let status = 200 + 100 * u16::from(text.first().unwrap_or(&b'0') % 4);
                self.world.answer(&made, status);
            }
            b't' => self.world.pass(text.iter().map(|byte| u64::from(*byte) * 100).sum()),
            _ => {}
        }
    }

    fn subscribe(&mut self, body: &[u8]) {
        let (target, fields) = match body.first() {
            Some(b'{') => ("/v1/subscriptions", "Content-Type: application/json\r\n"),
            _ => (SEP, "Content-Type: text/xml\r\n"),
        };
        let reply = self.world.ask_alone(request("POST", target, fields, body));
        if reply.status == 201 {
            let location = reply.field("location").expect("what was made has a place");
            self.paths.push(location[location.find("/v").expect("an absolute URL")..].to_owned());
        } else {
            assert!(matches!(reply.status, 400..=499 | 503) && !reply.text().is_empty(), "{reply:?}");
        }
    }

    fn look_at_all(&mut self) {
        for path in &self.paths {
            let reply = self.world.ask_alone(get(path));
            assert!(matches!(reply.status, 200 | 404 | 410), "{reply:?}");
            let media = reply.field("content-type").unwrap_or_default();
            if media.contains("xml") && !media.contains("multipart") {
                roxmltree::Document::parse(reply.text()).expect("a document is well-formed");
            }
            self.said.push(format!("{reply:?}"));
        }
    }

    fn filled_in(&self, text: &[u8]) -> Vec<u8> {
        let (Some((asked, _)), Ok(text)) = (&self.asked, std::str::from_utf8(text)) else {
            return text.into();
        };
        let field = |name| asked.fields.get(name).unwrap_or_default();
        let branch = asked.vias().next().and_then(|via| via.branch().map(str::to_owned)).unwrap_or_default();
        let contact = asked.contact().map(|contact| contact.uri.to_string()).unwrap_or_default();
        let cseq = asked.cseq().map_or(0, |(number, _)| number).to_string();
        let names = ["{branch}", "{call}", "{cseq}", "{from}", "{to}", "{contact}"];
        let values = [&branch, field("Call-ID"), &cseq, field("From"), field("To"), &contact];
        let filled =
            names.iter().zip(values).fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
        filled.into()
    }

    fn say_on_flow(&mut self, text: &[u8], split: Split) {
        let Some(flow) = self.flow else { return };
        let text = self.filled_in(text);
        let pieces = match split {
            Split::Whole => vec![&text[..]],
            Split::Pieces => split::pieces(&text),
            Split::Bytes => split::bytes(&text),
        };
        for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
            self.world.send(flow, piece);
        }
    }

    /// Answers our last request: a status and header fields, each on a line.
    fn answer(&mut self, text: &str) {
        let Some((asked, way)) = self.asked.clone() else { return };
        let mut lines = text.lines();
        let status =
            lines.next().and_then(|word| word.parse().ok()).filter(|status| (100..700).contains(status));
        let mut response = Message::response(&asked, status.unwrap_or(200), "");
        if asked.to_tag().is_none() {
            response.fields.set("To", format!("{};tag=n", asked.fields.get("To").unwrap_or_default()));
        }
        response.fields.push("Contact", format!("<sip:{NOTIFIER}>"));
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            response.fields.push(name, value);
        }
        self.send(&response, way);
    }

    /// Tells in the dialog of our last request: header fields, each on a line, an empty line, and the body.
    fn notify(&mut self, text: &str) {
        let Some((asked, way)) = self.asked.clone() else { return };
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let field = |name| asked.fields.get(name).unwrap_or_default().to_owned();
        let target = asked.contact().map(|contact| contact.uri.to_string()).unwrap_or_default();
        self.notified += 1;
        let mut notify = Message::request("NOTIFY", &target);
        let via = if way.is_some() { "TCP" } else { "UDP" };
        let tag = if asked.to_tag().is_none() { ";tag=n" } else { "" };
        for (name, value) in [
            ("Via", format!("SIP/2.0/{via} {NOTIFIER};branch=z9hG4bKn{}", self.notified)),
            ("Max-Forwards", "70".to_owned()),
            ("From", field("To") + tag),
            ("To", field("From")),
            ("Call-ID", field("Call-ID")),
            ("CSeq", format!("{} NOTIFY", self.notified)),
            ("Contact", format!("<sip:{NOTIFIER}>")),
            ("Event", field("Event")),
        ] {
            notify.fields.push(name, value);
        }
        for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
            notify.fields.push(name, value);
        }
        notify.body = body.as_bytes().into();
        self.send(&notify, way);
    }

    fn send(&mut self, message: &Message, way: Option<Peer>) {
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        match way.or(self.flow) {
            Some(flow) => self.world.send(flow, bytes),
            None => self.world.datagram(NOTIFIER, 0, bytes),
        }
    }

    /// Takes what left the engine: all of it is SIP, or a callback.
    fn look(&mut self) {
        for datagram in self.world.take_datagrams() {
            self.said.push(format!("{} {}", datagram.to, String::from_utf8_lossy(&datagram.bytes)));
            match Message::from_datagram(&datagram.bytes) {
                Ok(message) => self.came(message, None),
                Err(_) => is_refusal(&datagram.bytes),
            }
        }
        for flow in self.accepted.clone() {
            let bytes = self.world.take(flow);
            self.came_on(flow, &bytes);
        }
        for made in self.world.take_calls() {
            if made.address == CALLBACK {
                self.said.push(String::from_utf8_lossy(&made.request).into_owned());
                assert!(made.request.starts_with(b"POST /hook HTTP/1.1\r\n"), "{made:?}");
                self.open.push(made);
            } else {
                self.flow = Some(made.peer);
                self.came_on(made.peer, &made.request);
            }
        }
    }

    fn came_on(&mut self, flow: Peer, mut bytes: &[u8]) {
        self.said.push(String::from_utf8_lossy(bytes).into_owned());
        let mut framing = Framing::default();
        let whole = bytes;
        loop {
            match framing.next(&mut bytes) {
                Framed::More => break,
                Framed::Message(message) => self.came(message, Some(flow)),
                Framed::Unreadable(_) => return is_refusal(whole),
            }
        }
        assert_eq!(framing.held_bytes(), 0, "whole messages alone: {:?}", String::from_utf8_lossy(whole));
    }

    /// A message of ours: an answer, or a SUBSCRIBE with all that RFC 3261 section 8.1.1 and RFC 6665 section 8.2.1 want.
    fn came(&mut self, message: Message, way: Option<Peer>) {
        if message.status().is_some() {
            return;
        }
        assert_eq!(message.method(), Some("SUBSCRIBE"));
        let branch = message.vias().next().and_then(|via| via.branch().map(str::to_owned));
        assert!(branch.is_some_and(|branch| branch.starts_with("z9hG4bK")));
        assert!(
            message.cseq().is_some_and(|(_, method)| method == "SUBSCRIBE") && message.from_tag().is_some()
        );
        let wanted = ["Max-Forwards", "To", "Call-ID", "Contact", "Event", "Expires"];
        assert!(wanted.iter().all(|name| message.fields.lines(name).count() == 1), "{message:?}");
        self.asked = Some((message, way));
    }

    /// Every subscription ends, everybody falls silent, and nothing is held any more.
    fn finish(&mut self) {
        self.look_at_all();
        for path in &self.paths {
            let status = self.world.ask_alone(request("DELETE", path, "", "")).status;
            assert!(matches!(status, 204 | 404 | 410), "{status}");
        }
        self.world.pass(REST_MS);
        self.look();
        for path in &self.paths {
            assert_eq!(self.world.ask_alone(get(path)).status, 404, "it is forgotten");
        }
        self.world.pass(REST_MS);
        assert!(self.world.take_datagrams().is_empty(), "nobody is spoken to any more");
        let stats = self.world.stats();
        assert_eq!((stats.sep_subscriptions, stats.connections_open, stats.call_connections_open), (0, 0, 0));
        self.world.tell(|| Completion::Stop);
        self.world.pass(REST_MS);
        assert!(self.world.is_drained(), "a stop has its time");
    }
}

/// What was malformed in a request is so in its refusal too.
fn is_refusal(bytes: &[u8]) {
    assert!(bytes.starts_with(b"SIP/2.0 4") || bytes.starts_with(b"SIP/2.0 5"), "what leaves is SIP");
}

/// A subscription with callbacks; the words are the event and URIs.
fn document(words: &str) -> String {
    let (event, uris) = words.split_once(' ').unwrap_or((words, ""));
    let entries: String = uris.split(' ').map(|uri| format!("<entry uri=\"{uri}\"/>")).collect();
    format!(
        "<subscribe xmlns=\"http://voip.co.uk/api/sep/2009-06\" event=\"{event}\">\
         <resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>{entries}</list></resource-lists>\
         <notify url=\"http://{CALLBACK}/hook\"/></subscribe>"
    )
}

/// SEP with a UDP socket and one of TCP; limits that a small input reaches.
fn config() -> Config {
    let mut config = Config::default();
    let address = OURS.parse().expect("an address");
    for transport in [SipTransport::Udp, SipTransport::Tcp] {
        config.sip.listen.push(SipListener { transport, address, tls: None });
    }
    config.listeners = vec![Listener::default()];
    config.listeners.extend(config.sip.listeners());
    config.sep.served = true;
    config.sep.domain = "example.test".to_owned();
    config.outbox.allow_private = vec!["192.0.2.0/24".parse().expect("a network")];
    let limits = &mut config.limits;
    (limits.sep_subscriptions, limits.sep_entries, limits.sep_items) = (4, 8, 16);
    (limits.sip_flows, limits.sip_forks, limits.sip_list_resources) = (4, 2, 8);
    (limits.sip_head_bytes, limits.sip_body_bytes, limits.sip_requests) = (4_000, 4_000, 16);
    config
}

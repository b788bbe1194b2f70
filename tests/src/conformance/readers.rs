//! X39: readers of our own that frame as the vendor's clients do, each with the client's own weakness, on one stream
//! each. What they break on is listed with the reference's section 2.6.

use std::collections::BTreeMap;

use super::QUIET;
use super::peer::{Peer, content};
use super::server::Subject;
use super::xms::{create, dtmf, open, publish};

/// An event as a client sees it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    event_type: String,
    data: BTreeMap<String, String>,
}

/// A burst of 100 events and some of every form, to one stream for each client's way of reading.
pub fn clients_framings(subject: &Subject) {
    let server = subject.server(QUIET);
    let peer = &mut Peer::connect(server.address);
    let id = create(peer, "<eventsubscribe/>");
    let mut streams: Vec<Peer> = (0..6).map(|_| open(&server, &id)).collect();
    let mut events: Vec<String> = (0..100).map(|number| dtmf("1", number)).collect();
    events.push(r#"{"type":"call.stream","subject":"call/ü","data":{"state":"streaming"}}"#.to_owned());
    events.push(
        r#"{"type":"call.info","subject":"call/2","data":{"content":"a\r\n\"b\"<c>\té","n":1}}"#.to_owned(),
    );
    let filler = "y".repeat(20_000);
    events.push(format!(r#"{{"type":"call.hangup","subject":"call/2","data":{{"reason":"{filler}"}}}}"#));
    publish(peer, &format!("[{}]", events.join(",")));

    let node = read_chunks(&mut streams[0], events.len(), node);
    let data = |seen: &Seen, name: &str| seen.data.get(name).cloned().unwrap_or_default();
    for (number, seen) in node[..100].iter().enumerate() {
        assert_eq!((&*seen.event_type, data(seen, "digits")), ("dtmf", number.to_string()));
    }
    assert_eq!(data(&node[101], "content"), "a\r\n\"b\"<c>\té");
    assert_eq!(data(&node[102], "reason"), filler);
    assert_eq!(read_chunks(&mut streams[1], events.len(), perl), node, "PERL");
    assert_eq!(read_chunks(&mut streams[2], events.len(), cpp), node, "CPP");
    let mut body = Dechunked { peer: &mut streams[3], left: Vec::new() };
    assert_eq!((0..events.len()).map(|_| rt(&mut body)).collect::<Vec<_>>(), node, "RT");
    let mut body = Dechunked { peer: &mut streams[4], left: Vec::new() };
    assert_eq!((0..events.len()).map(|_| py(&mut body)).collect::<Vec<_>>(), node, "PY");
    assert_eq!(read_chunks(&mut streams[5], events.len(), jlib), node, "JLIB");
}

fn read_chunks(peer: &mut Peer, count: usize, parse: fn(&[u8]) -> Seen) -> Vec<Seen> {
    (0..count).map(|_| parse(content(&peer.chunk()))).collect()
}

/// `node-xmseventmon.js`: one `data` event, which is one chunk, is one event; the first line goes, the rest is XML.
fn node(data: &[u8]) -> Seen {
    let text = std::str::from_utf8(data).unwrap();
    let (_, xml) = text.split_once("\r\n").expect("NODE: a length line");
    event(xml)
}

/// `xms_rest_helloworld.pl`: what one callback gets is `hex CR LF XML`; a length of 0 ends the program.
fn perl(data: &[u8]) -> Seen {
    let line = data.iter().position(|b| *b == b'\n').expect("PERL: a length line");
    let digits = std::str::from_utf8(&data[..line]).unwrap().strip_suffix('\r').expect("PERL: CR LF");
    let length = usize::from_str_radix(digits, 16).expect("PERL: hex digits alone");
    assert!(length > 0, "PERL: an inner 0 line kills it");
    let xml = &data[line + 1..];
    assert_eq!(xml.len(), length, "PERL: the chunk is one event, by bytes");
    event(std::str::from_utf8(xml).unwrap())
}

/// `appframework.cpp`: skips four bytes of a chunk blindly; its XML parser forgives white space before the root, and
/// nothing else.
fn cpp(data: &[u8]) -> Seen {
    event(std::str::from_utf8(&data[4..]).unwrap().trim_start_matches(['\r', '\n']))
}

/// XMSRestTest: lines and lengths over the body, whatever the chunks; `Integer.parseInt` forgives nothing. It counts
/// characters.
fn rt(body: &mut Dechunked<'_>) -> Seen {
    let mut digits = String::new();
    loop {
        match char::from(body.byte()) {
            '\r' => {}
            '\n' => break,
            digit => digits.push(digit),
        }
    }
    let length = usize::from_str_radix(&digits, 16).unwrap_or_else(|e| panic!("RT: {digits:?}: {e}"));
    let mut xml = String::new();
    while xml.chars().count() < length {
        xml.push(char::from(body.byte()));
    }
    event(&xml)
}

/// `xmsapp.py`: reads to CR LF byte by byte, then so many bytes as ISO-8859-1; needs both resource attributes.
fn py(body: &mut Dechunked<'_>) -> Seen {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(body.byte());
    }
    let length =
        usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim_end(), 16).expect("PY: int(line, 16)");
    let xml: String = (0..length).map(|_| char::from(body.byte())).collect();
    assert!(xml.contains(" resource_id=\"") && xml.contains(" resource_type=\""), "PY: {xml}");
    event(&xml)
}

/// XMSClientLibrary: literals, and replies cut at blanks and double quotes.
fn jlib(data: &[u8]) -> Seen {
    let text = std::str::from_utf8(data).unwrap();
    assert!(text.contains("<web_service version=\"1.0\">"), "JLIB: the literal");
    let start = text.find("<event type=\"").expect("JLIB: the literal") + "<event ".len();
    let words: Vec<&str> = text[start..].lines().next().unwrap().split('"').collect();
    assert_eq!((words[0], words[2], words[4]), ("type=", " resource_id=", " resource_type="), "JLIB");
    node(data)
}

/// The body after de-chunking, as most HTTP libraries hand it out.
struct Dechunked<'p> {
    peer: &'p mut Peer,
    left: Vec<u8>,
}

impl Dechunked<'_> {
    fn byte(&mut self) -> u8 {
        if self.left.is_empty() {
            self.left = content(&self.peer.chunk()).to_vec();
            self.left.reverse();
        }
        self.left.pop().expect("a chunk is not empty")
    }
}

/// Reads one event by its literals; whatever stands differently is a fault.
fn event(xml: &str) -> Seen {
    assert!(xml.is_ascii(), "Java and C# count characters: {xml}");
    let lines = xml.strip_prefix("<web_service version=\"1.0\">\r\n<event type=\"").expect("the first lines");
    let lines = lines.strip_suffix("</event>\r\n</web_service>").expect("the last lines");
    let (head, lines) = lines.split_once("\">\r\n").expect("the event's line");
    let (event_type, resource) = head.split_once("\" resource_id=\"").expect("resource_id");
    assert!(resource.contains("\" resource_type=\""), "resource_type");
    let mut data = BTreeMap::new();
    let mut before = String::new();
    for line in lines.split_terminator("\r\n") {
        let pair = line.strip_prefix("<event_data name=\"").and_then(|rest| rest.strip_suffix("\" />"));
        let (name, value) =
            pair.and_then(|pair| pair.split_once("\" value=\"")).expect("an event_data's literal");
        assert!(*name > *before, "event_data are sorted");
        name.clone_into(&mut before);
        data.insert(unescape(name), unescape(value));
    }
    assert_eq!(data.get("type"), Some(&event_type.to_uppercase()));
    Seen { event_type: event_type.to_owned(), data }
}

/// Resolves references; whatever must not stand in a value is a fault.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let (name, after) = rest[at + 1..].split_once(';').expect("a reference ends");
        let number = name.strip_prefix("#x").map(|hex| u32::from_str_radix(hex, 16));
        let number = number.or_else(|| name.strip_prefix('#').map(str::parse));
        out.push(match (name, number) {
            ("amp", _) => '&',
            ("lt", _) => '<',
            ("gt", _) => '>',
            ("quot", _) => '"',
            (_, Some(number)) => number.ok().and_then(char::from_u32).expect("a character"),
            (other, None) => panic!("&{other};"),
        });
        rest = after;
    }
    out.push_str(rest);
    assert!(!text.contains(['<', '>', '"', '\r', '\n', '\t']), "{text}");
    out
}

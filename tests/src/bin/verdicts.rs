//! What we make of inputs, for comparison with what others make of them: each input comes on stdin behind its length (four
//! bytes, big-endian) and is answered by a line of JSON on stdout.
//!
//!     verdicts http|xml <INPUTS >LINES
//!
//! No socket and no engine here: of HTTP the server's machine, of XML both readers.

use std::io::{self, Read as _, Write as _};

use data_encoding::HEXLOWER;
use offhook_core::ground::limits::Limits;
use offhook_core::ground::time::Mono;
use offhook_core::wire::Fault;
use offhook_core::wire::http::head::{Head, parse};
use offhook_core::wire::http::server::{Admitted, Next, Server};
use offhook_core::wire::xml::tree::{Element, Node, tree};
use offhook_core::wire::xml::{Bounds, Token, read};
use serde_json::{Value, json};

/// The most content of a request that is looked at.
const CONTENT_MAX: u64 = 1 << 20;

fn main() -> io::Result<()> {
    let verdict = match std::env::args().nth(1).as_deref() {
        Some("http") => http,
        Some("xml") => xml,
        _ => return Err(io::Error::other("verdicts http|xml")),
    };
    let (mut input, mut out) = (Vec::new(), io::BufWriter::new(io::stdout().lock()));
    io::stdin().read_to_end(&mut input)?;
    let mut rest = &input[..];
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes(*length) as usize;
        let (one, behind) =
            behind.split_at_checked(length).ok_or_else(|| io::Error::other("a torn input"))?;
        writeln!(out, "{}", verdict(one))?;
        rest = behind;
    }
    out.flush()
}

/// The requests of a connection, each with the place where it ends, and why there are no more.
fn http(input: &[u8]) -> Value {
    let limits = Limits::default();
    let mut server = Server::new(Mono(0), &limits);
    let (mut requests, mut rest) = (Vec::new(), input);
    let why = loop {
        let (head, content) = match server.next(Mono(0), &mut rest, &limits) {
            Next::Head(bytes) => match parse(bytes, limits.head_fields as usize) {
                Err(fault) => break said(fault),
                Ok(head) => match server.admit(Mono(0), &head, bytes, CONTENT_MAX, &mut rest, &limits) {
                    Admitted::Whole(content) => (bytes.to_vec(), content.to_vec()),
                    Admitted::Gathering => continue,
                },
            },
            Next::Request(head, content) => (head, content),
            Next::More => break "more".to_owned(),
            Next::Fault(fault) => break said(fault),
            Next::TooLarge(_) | Next::Swallowed | Next::GiveUp => break "too large".to_owned(),
        };
        let read = parse(&head, limits.head_fields as usize).expect("a head that was read is read again");
        requests.push(request(&read, &head, &content, input.len() - rest.len()));
        if !read.keep_alive {
            break "closed".to_owned();
        }
    };
    json!({ "requests": requests, "why": why })
}

fn said(fault: Fault) -> String {
    format!("{} {}", fault.status, fault.reason)
}

fn request(head: &Head<'_>, bytes: &[u8], content: &[u8], end: usize) -> Value {
    let target = bytes.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    let fields: Vec<_> = head.fields().iter().map(|(name, value)| json!([name, value])).collect();
    json!({
        "method": head.method,
        "target": String::from_utf8_lossy(target),
        "fields": fields,
        "content": HEXLOWER.encode(content),
        "end": end,
    })
}

/// What both readers find in a document, or why it is none.
fn xml(input: &[u8]) -> Value {
    let bounds = Bounds { depth: 64, attributes: 64 };
    let text = std::str::from_utf8(input).map_err(|_| "no UTF-8".to_owned());
    let tokens = text.clone().and_then(|text| read(text, bounds).map_err(|error| error.to_string()));
    let root = text.and_then(|_| tree(input, bounds).map_err(|error| error.to_string()));
    let token = |token: &Token| match token {
        Token::Start { name, attributes, .. } => json!([name, attributes]),
        Token::End => json!([]),
    };
    json!({
        "tokens": tokens.as_ref().map(|tokens| tokens.iter().map(token).collect::<Vec<_>>()).ok(),
        "tree": root.as_ref().map(element).ok(),
        "why": tokens.as_ref().err().or(root.as_ref().err()),
    })
}

fn element(element: &Element) -> Value {
    let mut attributes: Vec<_> =
        element.attributes.iter().map(|a| (&*a.namespace, &*a.name, &*a.value)).collect();
    attributes.sort_unstable();
    let child = |node: &Node| match node {
        Node::Element(child) => self::element(child),
        Node::Text(text) => json!(text),
    };
    let children: Vec<Value> = element.children.iter().map(child).collect();
    json!([&*element.namespace, &*element.name, attributes, children])
}

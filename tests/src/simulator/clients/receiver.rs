//! A server of HTTP that deliveries are made to, and that fails in many ways.

use std::collections::BTreeMap;

use super::super::client::Io;
use super::super::net::LinkId;

/// The receiver, whose connections the server has made.
#[derive(Debug)]
pub(super) struct Receiver {
    /// Of a hundred requests, so many are not answered with 200.
    fails_percent: u64,
    /// What came on each connection.
    incoming: BTreeMap<LinkId, Vec<u8>>,
    /// Answers that are late: when, where, what.
    late: Vec<(u64, LinkId, Vec<u8>)>,
}

/// A whole request.
#[derive(Debug)]
pub(super) struct Request {
    /// Its first line and its fields.
    head: String,
    pub(super) body: String,
}

impl Request {
    /// Takes one off what has come.
    fn take(received: &mut Vec<u8>) -> Option<Request> {
        let text = std::str::from_utf8(received).ok()?;
        let (head, _) = text.split_once("\r\n\r\n")?;
        let mut request = Request { head: head.to_owned(), body: String::new() };
        let length: usize = request.field("Content-Length").parse().expect("a length");
        let end = head.len() + 4 + length;
        request.body = text.get(head.len() + 4..end)?.to_owned();
        received.drain(..end);
        Some(request)
    }

    /// A field that each request has.
    pub(super) fn field(&self, name: &str) -> &str {
        let of = |line| str::strip_prefix(line, name)?.strip_prefix(": ");
        self.head.lines().find_map(of).unwrap_or_else(|| panic!("{name} is missing: {}", self.head))
    }
}

fn plain(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")
}

impl Receiver {
    pub(super) fn new(fails_percent: u64) -> Receiver {
        Receiver { fails_percent, incoming: BTreeMap::new(), late: Vec::new() }
    }

    /// Sends the answers that are late enough.
    pub(super) fn go_on(&mut self, io: &mut Io<'_>) {
        let now = io.now;
        for (_, link, answer) in self.late.extract_if(.., |(at, _, _)| *at <= now) {
            if self.incoming.contains_key(&link) {
                io.send(link, answer);
            }
        }
    }

    pub(super) fn connected(&mut self, link: LinkId) {
        self.incoming.insert(link, Vec::new());
    }

    /// A whole request, if one has come.
    pub(super) fn received(&mut self, link: LinkId, bytes: &[u8]) -> Option<Request> {
        let received = self.incoming.get_mut(&link)?;
        received.extend_from_slice(bytes);
        Request::take(received)
    }

    pub(super) fn ended(&mut self, link: LinkId) {
        self.incoming.remove(&link);
    }

    /// Answers in one of its ways. Says whether it has read the request: one that is said to have failed may have been
    /// read all the same.
    pub(super) fn answer(&mut self, io: &mut Io<'_>, link: LinkId) -> bool {
        let fails = !io.calm && io.rng.below(100) < self.fails_percent;
        let answer = if fails { io.rng.below(7) } else { 0 };
        let text = match answer {
            0 => plain("200 OK"),
            1 => plain("500 Oops"),
            2 => "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n".to_owned(),
            3 => "garbage\r\n\r\n".to_owned(),
            4 => plain("301 Elsewhere"),
            5 => {
                // It took the request, and dies before it says so.
                self.incoming.remove(&link);
                io.close(link);
                return true;
            }
            _ => {
                let at = io.now + io.rng.below(40_000);
                self.late.push((at, link, plain("204 Late").into_bytes()));
                io.wake_in(at - io.now);
                return true;
            }
        };
        io.send(link, text);
        answer == 0
    }

    /// Says that it wants no more.
    pub(super) fn refuse(&self, io: &mut Io<'_>, link: LinkId) {
        io.send(link, plain("410 Gone"));
    }

    /// Closes what there is.
    pub(super) fn leave(&mut self, io: &mut Io<'_>) {
        for link in std::mem::take(&mut self.incoming).into_keys() {
            io.close(link);
        }
    }
}

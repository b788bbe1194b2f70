//! Connections from their first byte to their last, and the pace that their peers must keep.

use proptest::prelude::*;

use super::*;
use crate::wire::http::head;

const MAX: u64 = 10;

fn limits() -> Limits {
    Limits {
        head_ms: 1_000,
        idle_ms: 60_000,
        body_grace_ms: 5_000,
        body_bytes_per_s: 100,
        body_discard_bytes: 20,
        pipelined_requests: 2,
        ..Limits::default()
    }
}

/// A driver that takes every request with at most [`MAX`] bytes of content, but none to `/no`, and notes what comes.
struct Rig {
    server: Server,
    limits: Limits,
    now: Mono,
    noted: Vec<String>,
}

impl Rig {
    fn new() -> Rig {
        let (limits, now) = (limits(), Mono(1_000_000));
        Rig { server: Server::new(now, &limits), limits, now, noted: Vec::new() }
    }

    fn receive(&mut self, text: &str) {
        let bytes = [&std::mem::take(&mut self.server.input)[..], text.as_bytes()].concat();
        let mut input = &bytes[..];
        loop {
            match self.server.next(self.now, &mut input, &self.limits) {
                Next::Head(bytes) => self.judge(bytes, &mut input),
                Next::Request(head, content) => {
                    let head = head::parse(&head, 100).unwrap();
                    self.request(&head, &content);
                }
                Next::TooLarge(head) => {
                    let head = head::parse(&head, 100).unwrap();
                    self.note(&head, "too large");
                }
                Next::Swallowed => self.noted.push("swallowed".to_owned()),
                Next::More => break,
                Next::Fault(fault) => {
                    self.noted.push(fault.status.to_string());
                    self.server.close();
                }
                Next::GiveUp => {
                    self.noted.push("gives up".to_owned());
                    self.server.close();
                }
            }
        }
        self.server.keep(input.to_vec());
    }

    fn judge(&mut self, bytes: &[u8], input: &mut &[u8]) {
        let head = head::parse(bytes, 100).unwrap();
        if head.path == "/no" {
            let goes_on = self.server.refuse(self.now, &head, &self.limits);
            self.note(&head, if goes_on { "refused" } else { "refused, the end" });
        } else if let Admitted::Whole(content) =
            self.server.admit(self.now, &head, bytes, MAX, input, &self.limits)
        {
            self.request(&head, content);
        }
    }

    fn request(&mut self, head: &Head<'_>, content: &[u8]) {
        self.note(head, std::str::from_utf8(content).unwrap());
    }

    fn note(&mut self, head: &Head<'_>, what: &str) {
        self.noted.push(format!("{} {what}", head.path));
        self.server.open(asked(head), false);
    }

    fn answer(&mut self, number: u32, reply: Reply) -> String {
        let mut out = Vec::new();
        self.server.answer(number, reply, "date", &mut out, |_| {});
        String::from_utf8(out).unwrap()
    }

    /// Time passes; what its end brings.
    fn pass(&mut self, ms: u64) -> Option<Expired> {
        self.now = self.now.plus_ms(ms);
        self.server.handle_timeout(self.now, &self.limits)
    }

    /// How long the peer may take from here on.
    fn patience(&self) -> Option<u64> {
        Some(self.server.poll_timeout()).filter(|at| *at != Mono::NEVER).map(|at| at.since(self.now))
    }
}

fn asked(head: &Head<'_>) -> Asked {
    Asked { http11: head.http11, head_only: head.is_head(), keep_alive: head.keep_alive }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n")
}

fn post(path: &str, fields: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n{body}")
}

fn length(path: &str, length: usize, body: &str) -> String {
    post(path, &format!("Content-Length: {length}"), body)
}

fn chunked(path: &str, body: &str) -> String {
    post(path, "Transfer-Encoding: chunked", body)
}

fn connections() -> Vec<(String, &'static [&'static str])> {
    let twenty = "x".repeat(20);
    vec![
        (get("/a") + &get("/b"), &["/a ", "/b "]),
        // RFC 9112 section 2.2.
        ("\r\n\r\n".to_owned() + &get("/a") + "\r\n" + &get("/b"), &["/a ", "/b "]),
        (length("/a", 5, "hello") + &get("/b"), &["/a hello", "/b "]),
        (chunked("/a", "5\r\nhello\r\n0\r\n\r\n") + &get("/b"), &["/a hello", "/b "]),
        (chunked("/a", "5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n") + &get("/b"), &["/a helloworld", "/b "]),
        (chunked("/a", "b\r\nhello world\r\n0\r\n\r\n") + &get("/b"), &["/a too large", "swallowed", "/b "]),
        (chunked("/a", "5\r\nhelloXX"), &["400"]),
        ("GET / HTTP/1.1\n\n".to_owned() + &get("/b"), &["400"]),
        // What is refused is swallowed, up to a bound.
        (get("/no") + &get("/b"), &["/no refused", "/b "]),
        (length("/no", 20, &twenty) + &get("/b"), &["/no refused", "swallowed", "/b "]),
        (length("/no", 21, &twenty) + &get("/b"), &["/no refused, the end"]),
        (
            chunked("/no", &format!("14\r\n{twenty}\r\n0\r\n\r\n")) + &get("/b"),
            &["/no refused", "swallowed", "/b "],
        ),
        (chunked("/no", &format!("14\r\n{twenty}\r\n1\r\nx\r\n0\r\n\r\n")), &["/no refused", "gives up"]),
        (chunked("/no", "5\r\nhelloXX"), &["/no refused", "gives up"]),
        (
            post("/no", "Content-Length: 1\r\nExpect: 100-continue", "x") + &get("/b"),
            &["/no refused, the end"],
        ),
        // RFC 9112 section 9.6.
        (post("/a", "Connection: close\r\nContent-Length: 1", "x") + &get("/b"), &["/a x"]),
    ]
}

#[test]
fn requests_come_in_their_order() {
    for (text, expected) in connections() {
        let mut rig = Rig::new();
        rig.receive(&text);
        assert_eq!(rig.noted, expected, "{text}");
        let mut rig = Rig::new();
        text.chars().for_each(|c| rig.receive(&c.to_string()));
        assert_eq!(rig.noted, expected, "{text}, one by one");
    }
}

proptest! {
    /// The splitting property.
    #[test]
    fn splitting(at in 0..connections().len(), mut cuts in prop::collection::vec(0_usize..200, 0..6)) {
        let (text, expected) = &connections()[at];
        cuts.iter_mut().for_each(|cut| *cut = (*cut).min(text.len()));
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut rig = Rig::new();
        cuts.windows(2).for_each(|ends| rig.receive(&text[ends[0]..ends[1]]));
        prop_assert_eq!(&rig.noted[..], *expected);
    }
}

/// RFC 9112 section 9.3.2: whichever answer is ready first.
#[test]
fn answers_leave_in_the_order_of_their_requests() {
    let mut rig = Rig::new();
    rig.receive(&(get("/a") + "HEAD /b HTTP/1.1\r\nHost: h\r\n\r\n" + &get("/c")));
    assert_eq!((rig.server.waiting(), rig.server.owes(), rig.server.is_idle()), (3, true, false));
    assert_eq!(
        [0, 1, 3].map(|n| rig.server.asked(n).map(|asked| asked.head_only)),
        [Some(false), Some(true), None]
    );
    assert_eq!(rig.answer(1, Reply::empty(202)), "");
    assert_eq!(rig.answer(9, Reply::empty(500)), "");
    let (mut out, mut statuses) = (Vec::new(), Vec::new());
    rig.server.answer(0, Reply::empty(200), "date", &mut out, |status| statuses.push(status));
    assert_eq!((statuses, rig.server.waiting()), (vec![200, 202], 1));
    assert_eq!(rig.server.asked(0), None);
    assert!(rig.answer(2, Reply::empty(204)).starts_with("HTTP/1.1 204 "));
    assert_eq!((rig.server.waiting(), rig.server.owes(), rig.server.is_idle()), (0, false, true));
    rig.receive(&get("/d"));
    assert!(rig.answer(3, Reply::empty(201)).starts_with("HTTP/1.1 201 "));
    assert!(!rig.server.is_ended());
}

#[test]
fn nothing_follows_the_answer_that_ends_the_connection() {
    let mut rig = Rig::new();
    rig.receive(&(get("/a") + &get("/b") + "GET /part"));
    assert!(!rig.server.is_idle() && !rig.server.input.is_empty());
    rig.answer(1, Reply::empty(200));
    let written = rig.answer(0, Reply { close: true, ..Reply::empty(200) });
    assert_eq!(written.matches("HTTP/1.1").count(), 1, "{written}");
    assert!(rig.server.is_ended() && rig.server.input.is_empty() && !rig.server.is_idle());
    assert_eq!((rig.patience(), rig.server.owes()), (None, false));
    rig.receive(&get("/c"));
    rig.server.keep(b"GET".to_vec());
    assert!(rig.server.input.is_empty() && rig.noted.len() == 2);
}

#[test]
fn what_may_start_beside_what_waits() {
    let mut rig = Rig::new();
    let asked = Asked { http11: true, head_only: false, keep_alive: true };
    let may = |rig: &Rig| [true, false].map(|pipelined| rig.server.may_start(pipelined, &rig.limits));
    assert_eq!(may(&rig), [true, true]);
    rig.server.open(asked, false);
    assert_eq!(may(&rig), [true, false]);
    rig.server.open(asked, false);
    assert_eq!(may(&rig), [false, false], "two are enough");
    rig.answer(0, Reply::empty(200));
    assert_eq!(may(&rig), [true, false]);
    rig.answer(1, Reply::empty(200));
    rig.server.open(asked, true);
    assert_eq!(may(&rig), [false, false]);
    rig.answer(2, Reply::empty(200));
    rig.server.open(asked, false);
    assert_eq!(may(&rig), [true, false]);
}

#[test]
fn an_idle_peer_and_a_slow_head_end() {
    let mut rig = Rig::new();
    assert_eq!((rig.patience(), rig.pass(999)), (Some(1_000), None));
    assert_eq!(rig.pass(1), Some(Expired::Idle), "nothing was ever asked");
    let mut rig = Rig::new();
    rig.pass(900);
    rig.receive("GET /");
    assert_eq!(rig.patience(), Some(1_000), "counted from the head's first byte");
    rig.pass(600);
    rig.receive(" HTTP/1.1\r\n");
    assert_eq!((rig.patience(), rig.pass(399)), (Some(400), None));
    assert!(matches!(rig.pass(1), Some(Expired::Request(Fault { status: 408, .. }))));
}

#[test]
fn between_requests_there_is_more_time() {
    for request in
        [get("/a"), length("/a", 1, "x"), chunked("/a", "0\r\n\r\n"), get("/no"), length("/no", 1, "x")]
    {
        let mut rig = Rig::new();
        rig.receive(&request);
        assert_eq!(
            (rig.patience(), rig.pass(1 << 40)),
            (None, None),
            "a peer that waits for us has all time"
        );
        rig.answer(0, Reply::empty(200));
        rig.server.wind(rig.now, &rig.limits);
        assert_eq!(rig.patience(), Some(60_000));
        rig.receive("\r");
        assert_eq!(rig.patience(), Some(60_000), "the end of a line is no request");
        rig.server.hold(true);
        assert_eq!((rig.patience(), rig.server.owes()), (None, true));
        rig.server.hold(false);
        rig.receive("\nG");
        rig.pass(10);
        assert_eq!(rig.patience(), Some(990));
        rig.server.wind(rig.now, &rig.limits);
        assert_eq!(rig.patience(), Some(1_000), "what was begun while we were busy");
        assert!(rig.server.handle_timeout(rig.now.plus_ms(1_000), &rig.limits).is_some());
    }
}

/// A body has its grace, and earns further time with what comes.
#[test]
fn a_body_keeps_a_pace() {
    for (request, end) in [
        (
            length("/a", 1_000, ""),
            Expired::Request(Fault { status: 408, reason: "the body of the request came too slowly" }),
        ),
        (chunked("/no", "ff\r\n"), Expired::GiveUp),
    ] {
        let mut rig = Rig::new();
        rig.limits.body_discard_bytes = 1_000;
        rig.receive(&request);
        assert_eq!(rig.server.gathering().is_some(), request.contains("/a"));
        rig.server.wind(rig.now, &rig.limits);
        assert_eq!((rig.patience(), rig.server.is_idle()), (Some(5_000), false));
        rig.pass(1_000);
        rig.receive("xxxx");
        rig.pass(1_000);
        rig.receive("yyyyyy");
        assert_eq!((rig.pass(2_999), rig.pass(1)), (None, None), "ten bytes are a tenth of a second");
        assert_eq!((rig.patience(), rig.pass(99)), (Some(100), None));
        assert_eq!(rig.pass(1), Some(end));
    }
}

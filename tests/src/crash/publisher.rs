//! A publisher: requests of some events each, a few of them in flight, and every `202` noted. After a kill it sends again
//! what was not acknowledged, or leaves it and goes on with later numbers: both must do.

use std::collections::VecDeque;
use std::net::SocketAddr;

use offhook_core::ground::rng::Rng;

use super::books::{Books, Mark};
use super::scenario::Load;
use super::stage::Stage;
use super::wire::Wire;
use crate::conformance::peer::request;

/// Subjects of one publisher: nobody else publishes to them.
const SUBJECTS: u32 = 8;
const IN_FLIGHT: usize = 4;
const EVENTS_MAX: u64 = 6;

pub(super) fn run(stage: &Stage, books: &Books, number: u32, rng: Rng) {
    let mut publisher = Publisher { first: number * SUBJECTS, next: [1; SUBJECTS as usize], rng };
    let mut waiting = VecDeque::new();
    while let Some(address) = stage.address() {
        if publisher.rng.below(2) == 0 {
            waiting.clear();
        }
        let ended = Wire::connect(address)
            .and_then(|mut wire| publisher.publish(&mut wire, stage, address, books, &mut waiting));
        if ended.is_some() {
            stage.finished();
            return;
        }
    }
}

struct Publisher {
    first: u32,
    next: [u32; SUBJECTS as usize],
    rng: Rng,
}

/// A request, and the events in it.
struct Request {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
}

impl Publisher {
    /// Until there is nothing left to say (`Some`), or the connection has ended (`None`).
    fn publish(
        &mut self,
        wire: &mut Wire,
        stage: &Stage,
        address: SocketAddr,
        books: &Books,
        waiting: &mut VecDeque<Request>,
    ) -> Option<()> {
        let in_flight = if stage.load == Load::Refused { 1 } else { IN_FLIGHT };
        for request in &*waiting {
            wire.send(&request.bytes)?;
        }
        loop {
            while waiting.len() < in_flight && !stage.finishing() {
                let request = self.request();
                let sent = wire.send(&request.bytes);
                waiting.push_back(request);
                sent?;
            }
            let Some(request) = waiting.front() else { return Some(()) };
            let (status, content) = wire.reply()?;
            if status == 503 && stage.load == Load::Refused {
                stage.refused(address)?;
                wire.send(&request.bytes)?;
                continue;
            }
            assert_eq!(status, 202, "{content}");
            books.acknowledge(request.marks.iter().copied().zip(numbers(&content, &request.marks)));
            waiting.pop_front();
            stage.acknowledged();
        }
    }

    fn request(&mut self) -> Request {
        let count = 1 + self.rng.below(EVENTS_MAX);
        let (mut events, mut marks) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let at = self.rng.below(u64::from(SUBJECTS)) as u32;
            let next = &mut self.next[at as usize];
            let mark = Mark { subject: self.first + at, number: *next };
            *next += 1;
            events.push(event(mark));
            marks.push(mark);
        }
        let (media_type, body) = match self.rng.below(2) {
            0 => ("application/json", format!("[{}]", events.join(","))),
            _ => ("application/x-ndjson", events.join("\n")),
        };
        let fields = format!("Content-Type: {media_type}\r\n");
        Request { bytes: request("POST /v1/events", &fields, body), marks }
    }
}

fn event(mark: Mark) -> String {
    let Mark { subject, number } = mark;
    let id = mark.id();
    if mark.is_recording() {
        format!(
            r#"{{"id":"{id}","source":"crash","type":"recording.started","subject":"recording/{subject}","data":{{"ucid":"{subject}"}}}}"#
        )
    } else {
        format!(
            r#"{{"id":"{id}","source":"crash","type":"call.dtmf","subject":"call/{subject}","data":{{"digits":"{number}"}}}}"#
        )
    }
}

/// The numbers that the server gave, one for each event.
fn numbers(content: &str, marks: &[Mark]) -> Vec<u64> {
    let accepted = content.split(r#"{"id":""#).skip(1);
    let numbers = accepted.zip(marks).map(|(rest, mark)| {
        let (id, rest) = rest.split_once('"').expect("an id ends");
        assert_eq!(id, mark.id(), "events are acknowledged in their order");
        let digits = rest.strip_prefix(r#","seq":"#).and_then(|rest| rest.split('}').next());
        digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("no number in {content}"))
    });
    let numbers: Vec<u64> = numbers.collect();
    assert_eq!(numbers.len(), marks.len(), "{content}");
    numbers
}

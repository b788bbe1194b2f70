//! Bodies of publish requests, in all five forms.

use offhook_core::dialect::native::read::{Defaults, Form, Wrong, events};
use offhook_core::dialect::native::render;
use offhook_core::dialect::xms::{Words, render as xms};
use offhook_core::event::Event;
use offhook_core::ground::limits::Limits;
use offhook_core::ground::rng::Rng;
use offhook_core::wire::http::head::parse;
use offhook_core::wire::xml::{Bounds, read as read_xml};
use offhook_core::{Epoch, Seq, Wall};

use super::split;

/// Most events of one body.
const BATCH_EVENTS: usize = 6;

type Read = Result<Vec<Event>, Wrong>;

/// Publishes `data` in every form.
pub fn run(data: &[u8]) {
    let relaxed = publish(Form::Json, data, &mut rng());
    let lines = publish(Form::Lines, data, &mut rng());
    let strict = publish(Form::Structured, data, &mut rng());
    let batch = publish(Form::Batch, data, &mut rng());
    let binary = publish(Form::Binary, data, &mut rng());
    for read in [&relaxed, &lines, &strict, &batch, &binary] {
        match read {
            Ok(events) => events.iter().for_each(check_event),
            Err(wrong) => {
                assert!(matches!(wrong.status, 400 | 413) && !wrong.detail.is_empty(), "{wrong:?}");
            }
        }
    }
    for narrow in [&strict, &batch] {
        if narrow.is_ok() {
            assert_eq!(narrow, &relaxed, "what is taken strictly is taken as it stands");
        }
    }
    if let Ok(text) = std::str::from_utf8(data) {
        lines_are_cut_anywhere(text, &lines);
        lines_are_an_array(text, &lines);
    }
}

fn rng() -> Rng {
    Rng::new(1)
}

/// With limits that are small, so that an input reaches them.
fn publish(form: Form, content: &[u8], rng: &mut Rng) -> Read {
    let limits = Limits { batch_events: BATCH_EVENTS as u64, event_names: 8, ..Limits::default() };
    publish_within(&limits, form, content, rng)
}

fn publish_within(limits: &Limits, form: Form, content: &[u8], rng: &mut Rng) -> Read {
    let fields = match form {
        Form::Json => "Content-Type: application/json\r\n",
        Form::Lines => "Content-Type: application/x-ndjson\r\n",
        Form::Structured => "Content-Type: application/cloudevents+json\r\n",
        Form::Batch => "Content-Type: application/cloudevents-batch+json\r\n",
        Form::Binary => {
            "Content-Type: application/json\r\n\
             ce-specversion: 1.0\r\nce-id: 1\r\nce-source: s\r\nce-type: call.dtmf\r\n"
        }
    };
    let head = format!("POST /v1/events HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    let head = parse(head.as_bytes(), 100).expect("the head is fixed");
    assert_eq!(Form::of(&head), Some(form));
    let mut defaults = Defaults { source: "here", wall: Wall(1_000), rng, limits };
    events(form, &head, content, &mut defaults)
}

fn check_event(event: &Event) {
    assert!(!event.id.is_empty() && !event.source.is_empty() && !event.event_type.is_empty());
    assert!(event.extensions.is_sorted_by(|a, b| a.0 < b.0), "{:?}", event.extensions);

    let mut json = Vec::new();
    render::json(event, &mut json);
    assert!(json.iter().all(|byte| *byte >= b' '), "JSON on one line");
    // Attributes that were filled in count as well: what comes back is all the sender's own.
    let again = publish_within(&Limits::default(), Form::Structured, &json, &mut rng());
    let given = Event { id_given: true, ..event.clone() };
    assert_eq!(again.as_deref(), Ok(std::slice::from_ref(&given)), "{}", String::from_utf8_lossy(&json));

    let mut frame = Vec::new();
    render::frame(event, Epoch(1), Seq(2), &mut frame);
    let text = std::str::from_utf8(&frame).expect("frames are UTF-8");
    let json = std::str::from_utf8(&json).expect("JSON is UTF-8");
    let content = format!("id: 1-2\ndata: {json}\n\n");
    assert_eq!(text, format!("{:x}\r\n{content}\r\n", content.len()));

    let words = Words { word: "info", resource_type: "call", resource_id: "r", appid: None, event };
    let mut frame = Vec::new();
    if xms::frame(&words, event, 65_535, &mut frame) {
        assert!(frame.is_ascii());
        let text = std::str::from_utf8(&frame).expect("ASCII was asserted");
        let mut parts = text.splitn(3, "\r\n");
        let mut length = || {
            let digits = parts.next().expect("a length line");
            usize::from_str_radix(digits, 16).expect("hex digits")
        };
        let (outer, inner) = (length(), length());
        let xml = parts.next().and_then(|rest| rest.strip_suffix("\r\n")).expect("the chunk ends with CR LF");
        assert_eq!(xml.len(), inner);
        assert_eq!(outer, format!("{inner:x}\r\n").len() + inner);
        read_xml(xml, Bounds { depth: 3, attributes: 3 }).expect("an event's XML is well-formed");
    }
}

/// A body of lines is what its lines are, wherever it is cut between two of them.
fn lines_are_cut_anywhere(text: &str, whole: &Read) {
    let seams: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
    if seams.is_empty() {
        return;
    }
    let seam = seams[split::place(text.as_bytes(), 0, seams.len() - 1)];
    let mut rng = rng();
    let front = publish(Form::Lines, &text.as_bytes()[..seam], &mut rng);
    match front {
        Ok(mut events) => match publish(Form::Lines, &text.as_bytes()[seam..], &mut rng) {
            Ok(back) if events.len() + back.len() > BATCH_EVENTS => {
                assert_eq!(whole.as_ref().map_err(|w| w.status), Err(413));
            }
            Ok(back) => {
                events.extend(back);
                assert_eq!(whole.as_deref(), Ok(&events[..]));
            }
            Err(wrong) if whole.as_ref().is_err_and(|w| w.status == 413) => drop(wrong),
            Err(wrong) => {
                let index = wrong.index.map(|index| index + events.len());
                assert_eq!(whole, &Err(Wrong { index, ..wrong }));
            }
        },
        Err(wrong) => assert_eq!(whole, &Err(wrong)),
    }
}

/// Events that are taken a line each are taken as an array.
fn lines_are_an_array(text: &str, lines: &Read) {
    if lines.is_ok() {
        let items: Vec<&str> = text.lines().filter(|line| !line.trim_ascii().is_empty()).collect();
        let array = format!("[{}]", items.join(","));
        assert_eq!(&publish(Form::Json, array.as_bytes(), &mut rng()), lines);
    }
}

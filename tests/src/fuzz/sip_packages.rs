//! Bodies of NOTIFYs: a run of them, as one dialog brings them. The first byte chooses the package; after it each body
//! is preceded by a line `T`, with the letters `f` (it answers our SUBSCRIBE), `b` (it is of another type), `m` (it is a
//! resource list) and any number of `.` (ten seconds pass).

use offhook_core::Mono;
use offhook_core::dialect::sep::package::carrier::Carrier;
use offhook_core::dialect::sep::package::{Body, Ended, Package, Taken, take};
use offhook_core::dialect::sep::rlmi::{Lists, Notified, Resource};

const PACKAGES: [Package; 6] = [
    Package::Reg,
    Package::Dialog,
    Package::MessageSummary,
    Package::Presence,
    Package::VqRtcpxr,
    Package::Other,
];

const LIST: &str = "multipart/related;type=\"application/rlmi+xml\";boundary=\"B\"";

/// More resources than any input of the corpus has, fewer than one can have.
const RESOURCES_MAX: usize = 8;

/// Takes all bodies in `data`, one after the other.
pub fn run(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let package = PACKAGES[usize::from(*choice) % PACKAGES.len()];
    let (mut held, mut ended, mut now) = (None, Ended::default(), Mono(0));
    let (mut lists, mut resources) = (Lists::new(RESOURCES_MAX), Vec::new());
    for (flags, bytes) in steps(data) {
        let first = flags.contains(&b'f');
        now = now.plus_ms(10_000 * flags.iter().filter(|flag| **flag == b'.').count() as u64);
        if flags.contains(&b'm') {
            take_list(
                package,
                &mut lists,
                &mut resources,
                Notified { content_type: LIST, bytes, first, now },
            );
            continue;
        }
        let other = flags.contains(&b'b').then_some("text/plain");
        let content_type = other.or(package.accept()).unwrap_or("application/x").into();
        let incoming = Body { content_type, bytes: bytes.into() };
        let before = (held.clone(), ended.clone());
        let taken = take(package, held.as_ref(), incoming.clone(), first, now, &mut ended);
        judge(package, &taken, held.as_ref(), &incoming);
        held = taken.body.or(held);
        if let Some(held) = &held {
            is_carried(held);
        }
        // What has been taken is known: said again, it changes nothing, and asks for nothing more.
        if !taken.refresh && !taken.is_new_report {
            let again = take(package, held.as_ref(), incoming, first, now, &mut ended);
            assert!(again.body.is_none() && again.items.is_empty(), "{before:?}");
        }
    }
}

/// Lines that begin with `T` and what stands between them.
fn steps(data: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut starts: Vec<usize> = Vec::new();
    for (at, byte) in data.iter().enumerate() {
        if *byte == b'T' && (at == 0 || data[at - 1] == b'\n') {
            starts.push(at);
        }
    }
    let ends = starts.iter().skip(1).copied().chain([data.len()]);
    let step = |(start, end): (&usize, usize)| {
        let step = &data[*start..end];
        let line = step.iter().position(|b| *b == b'\n').unwrap_or(step.len());
        (&step[1..line.max(1)], step.get(line + 1..).unwrap_or_default())
    };
    starts.iter().zip(ends).map(step).collect()
}

fn judge(package: Package, taken: &Taken, held: Option<&Body>, incoming: &Body) {
    assert_eq!(taken.is_new_report, taken.is_new_report && package == Package::VqRtcpxr);
    let Some(body) = &taken.body else {
        assert!(taken.items.is_empty(), "events of what did not change");
        return;
    };
    assert!(taken.is_new_report || held != Some(body), "{body:?}");
    for item in &taken.items {
        assert!(item.facts.len() <= 130 && !item.facts.is_empty());
        for (at, (name, _)) in item.facts.iter().enumerate() {
            assert!(item.facts[..at].iter().all(|(known, _)| known != name), "{item:?}");
        }
    }
    let is_table = matches!(package, Package::Reg | Package::Dialog);
    let is_own = package.accept() == Some(&*incoming.content_type);
    if taken.unreadable || !is_table || !is_own {
        assert_eq!(body, incoming, "it is carried as it came");
        return;
    }
    // A second reader of XML agrees on what was written, and it is full.
    let text = std::str::from_utf8(&body.bytes).expect("a table is UTF-8");
    let document = roxmltree::Document::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(document.root_element().attribute("state"), Some("full"));
    let said = std::str::from_utf8(&incoming.bytes).expect("a table was read");
    let said = roxmltree::Document::parse(said.trim_start_matches('\u{feff}')).expect("a table was read");
    let number = |document: &roxmltree::Document<'_>| {
        document.root_element().attribute("version").and_then(|v| v.trim().parse::<u64>().ok())
    };
    assert_eq!(number(&document), number(&said));
}

/// In a document of ours a body is what it was.
fn is_carried(body: &Body) {
    let mut document = b"<instance xmlns=\"urn:around\" xmlns:p=\"urn:p\">".to_vec();
    body.write("urn:sep", &mut document);
    document.extend_from_slice(b"</instance>");
    let text = std::str::from_utf8(&document).expect("a document is UTF-8");
    let document = roxmltree::Document::parse(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let inner = document.root_element().first_element_child().expect("a body");
    match body.carrier() {
        Carrier::Element(alone) => {
            let alone = roxmltree::Document::parse(&alone).expect("an element");
            assert_eq!(inner.tag_name(), alone.root_element().tag_name(), "{text}");
        }
        Carrier::Text(content) => assert_eq!(inner.text().unwrap_or_default(), content),
        Carrier::Base64(content) => assert_eq!(inner.text().unwrap_or_default(), content),
    }
}

fn take_list(package: Package, lists: &mut Lists, resources: &mut Vec<Resource>, notified: Notified<'_>) {
    let Ok(taken) = lists.take(package, resources, notified) else { return };
    for uri in &taken.dropped {
        let at = resources.iter().position(|known| known.uri == *uri).expect("it was there");
        resources.remove(at);
    }
    for changed in taken.changed {
        match resources.iter_mut().find(|known| known.uri == changed.uri) {
            Some(known) => *known = changed,
            None => resources.push(changed),
        }
    }
    assert!(resources.len() <= RESOURCES_MAX);
    for instance in resources.iter().flat_map(|resource| &resource.instances) {
        instance.body.iter().for_each(is_carried);
    }
    if !notified.first {
        let again = lists.take(package, resources, notified).expect("it was read before");
        assert!(again.dropped.is_empty() && (again.changed.is_empty() || again.is_new_report));
    }
}

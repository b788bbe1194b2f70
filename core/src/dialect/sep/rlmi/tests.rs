//! NOTIFYs of resource-list servers.

use super::*;
use crate::wire::multipart::{self, Part};

const TYPE: &str = "multipart/related;type=\"application/rlmi+xml\";start=\"<root@x>\";boundary=\"B\"";

/// A list's root part.
fn list(version: u64, full: bool, resources: &str) -> String {
    format!(
        "<list xmlns=\"urn:ietf:params:xml:ns:rlmi\" uri=\"sip:l@x\" version=\"{version}\" fullState=\"{full}\">\
        {resources}</list>"
    )
}

/// A resource with one instance, `i`.
fn resource(uri: &str, state: &str, cid: &str) -> String {
    let cid = if cid.is_empty() { String::new() } else { format!(" cid=\"{cid}\"") };
    format!("<resource uri=\"{uri}\"><instance id=\"i\" state=\"{state}\"{cid}/></resource>")
}

/// A body of several parts; each is content-id, type and body.
fn related(root: &str, bodies: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let part = |id: &str, content_type: &str, body| Part {
        content_type: content_type.to_owned().into(),
        content_id: Some(id.to_owned().into()),
        body,
    };
    let bodies = bodies.iter().map(|(id, content_type, body)| part(id, content_type, *body));
    let mut out = Vec::new();
    multipart::write(
        "B",
        [part("root@x", "application/rlmi+xml", root.as_bytes())].into_iter().chain(bodies),
        &mut out,
    );
    out
}

struct Entry {
    package: Package,
    lists: Lists,
    held: Vec<Resource>,
}

impl Entry {
    fn of(package: Package) -> Entry {
        Entry { package, lists: Lists::new(4), held: Vec::new() }
    }

    fn take_as(&mut self, content_type: &str, bytes: &[u8], first: bool) -> Result<TakenList, &'static str> {
        let notified = Notified { content_type, bytes, first, now: Mono(0) };
        let taken = self.lists.take(self.package, &self.held, notified)?;
        self.held.retain(|held| !taken.dropped.contains(&held.uri));
        for changed in &taken.changed {
            match self.held.iter_mut().find(|held| held.uri == changed.uri) {
                Some(held) => *held = changed.clone(),
                None => self.held.push(changed.clone()),
            }
        }
        Ok(taken)
    }

    /// What came of it, and what is shown then: resources, and in brackets their instances.
    fn take(&mut self, bytes: &[u8], first: bool) -> String {
        let taken = self.take_as(TYPE, bytes, first).unwrap();
        let mut told = format!("{}+{}-", taken.changed.len(), taken.dropped.len());
        for (note, is) in [
            ("refresh", taken.refresh),
            ("unreadable", taken.unreadable > 0),
            ("left out", taken.left_out > 0),
            ("report", taken.is_new_report),
        ] {
            told.push_str(if is { " " } else { "" });
            told.push_str(if is { note } else { "" });
        }
        format!("{told}: {}", self.shown())
    }

    fn shown(&self) -> String {
        let instance = |i: &Instance| {
            let body =
                i.body.as_ref().map_or("-".into(), |body| String::from_utf8_lossy(&body.bytes).into_owned());
            format!("{:?} {} {body}", i.state, i.reason.as_deref().unwrap_or("-"))
        };
        let resource = |r: &Resource| {
            let instances: Vec<String> = r.instances.iter().map(instance).collect();
            format!("{}[{}]", r.uri, instances.join(", "))
        };
        self.held.iter().map(resource).collect::<Vec<_>>().join(" ")
    }
}

const TEXT: &str = "text/plain";

/// Kamailio 5.6.3: the version starts at 1, `cid` is bare and has `sip:` in it, instances come in a later partial
/// document, and so does what answers a refresh.
#[test]
fn s41_a_list_of_kamailio() {
    let mut entry = Entry::of(Package::Presence);
    let root =
        list(1, true, "<resource uri=\"sip:alice@example.test\"/><resource uri=\"sip:bob@example.test\"/>");
    assert_eq!(
        entry.take(&related(&root, &[]), true),
        "2+0-: sip:alice@example.test[] sip:bob@example.test[]"
    );
    let content_type = "multipart/related;type=\"application/rlmi+xml\";\
        start=\"<1795310739.sip:watcher-list@example.test.327537356>\";boundary=\"bC22FC2wY6dvEwfCTDwtol5l\"";
    let partial = "--bC22FC2wY6dvEwfCTDwtol5l\r\n\
        Content-Transfer-Encoding: binary\r\n\
        Content-ID: <1795310739.sip:watcher-list@example.test.327537356>\r\n\
        Content-Type: application/rlmi+xml;charset=\"UTF-8\"\r\n\r\n\
        <?xml version=\"1.0\"?>\n\
        <list uri=\"sip:watcher-list@example.test\" xmlns=\"urn:ietf:params:xml:ns:rlmi\" version=\"2\" \
        fullState=\"false\"><resource uri=\"sip:alice@example.test\"><instance id=\"Scf8UhwQ\" state=\"active\" \
        cid=\"1795310739.sip:alice@example.test.1893736354\"/></resource></list>\r\n\
        --bC22FC2wY6dvEwfCTDwtol5l\r\n\
        Content-Transfer-Encoding: binary\r\n\
        Content-ID: <1795310739.sip:alice@example.test.1893736354>\r\n\
        Content-Type: application/pidf+xml;charset=\"UTF-8\"\r\n\r\n\
        <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.test\"><tuple id=\"t\"><status>\
        <basic>open</basic></status></tuple></presence>\r\n\
        --bC22FC2wY6dvEwfCTDwtol5l--\r\n";
    let taken = entry.take_as(content_type, partial.as_bytes(), false).unwrap();
    assert!(!taken.refresh && taken.unreadable == 0 && taken.changed.len() == 1);
    assert_eq!(taken.items[0].subject.as_deref(), Some("entity/sip:alice@example.test"));
    let body = entry.held[0].instances[0].body.as_ref().unwrap();
    assert_eq!(&*body.content_type, "application/pidf+xml;charset=\"UTF-8\"");
    assert!(body.bytes.starts_with(b"<presence ") && body.bytes.ends_with(b"</presence>"));
    // What answers a refresh is in part, and is taken whatever its version.
    let again = partial.replace("version=\"2\"", "version=\"1\"").replace("open", "closed");
    assert_eq!(entry.take_as(content_type, again.as_bytes(), true).unwrap().changed.len(), 1);
    let next = partial
        .replace("\"Scf8UhwQ\" state=\"active\"", "\"Scf8UhwQ\" state=\"terminated\" reason=\"timeout\"");
    let taken = entry.take_as(content_type, next.as_bytes(), false).unwrap();
    assert!(!taken.refresh, "version 2 follows 1");
    assert_eq!(entry.shown(), "sip:alice@example.test[Terminated timeout -] sip:bob@example.test[]");
}

#[test]
fn s41_versions_full_partial_gap_and_equal() {
    let a = |state: &str, cid: &str| resource("sip:a@x", state, cid);
    for (version, full, first, told) in [
        (8, true, false, "1+1-: sip:a@x[Active - new]"),
        (6, true, false, "1+1-: sip:a@x[Active - new]"),
        (6, false, false, "1+0-: sip:a@x[Active - new] sip:b@x[Active - b]"),
        (7, false, false, "1+0- refresh: sip:a@x[Active - new] sip:b@x[Active - b]"),
        (5, true, false, "0+0-: sip:a@x[Active - a] sip:b@x[Active - b]"),
        (5, false, false, "0+0-: sip:a@x[Active - a] sip:b@x[Active - b]"),
        (4, true, false, "0+0-: sip:a@x[Active - a] sip:b@x[Active - b]"),
        (5, true, true, "1+1-: sip:a@x[Active - new]"),
        (1, false, true, "1+0-: sip:a@x[Active - new] sip:b@x[Active - b]"),
        (9, false, true, "1+0-: sip:a@x[Active - new] sip:b@x[Active - b]"),
    ] {
        let mut entry = Entry::of(Package::Other);
        let both = list(5, true, &(a("active", "a@x") + &resource("sip:b@x", "active", "&lt;b@x&gt;")));
        let shown = entry.take(&related(&both, &[("a@x", TEXT, b"a"), ("b@x", TEXT, b"b")]), true);
        assert_eq!(shown, "2+0-: sip:a@x[Active - a] sip:b@x[Active - b]");
        let root = list(version, full, &a("active", "a@x"));
        assert_eq!(
            entry.take(&related(&root, &[("a@x", TEXT, b"new")]), first),
            told,
            "{version} {full} {first}"
        );
    }
    // In part, with nothing before it: the rest is asked for.
    let mut entry = Entry::of(Package::Other);
    let root = list(3, false, &a("pending", ""));
    assert_eq!(entry.take(&related(&root, &[]), false), "1+0- refresh: sip:a@x[Pending - -]");
}

#[test]
fn s41_instances() {
    let mut entry = Entry::of(Package::Other);
    let mut version = 0;
    let mut take = |instances: &str, parts: &[(&str, &str, &[u8])]| {
        version += 1;
        let resource = format!("<resource uri=\"sip:a@x\">{instances}</resource>");
        entry.take(&related(&list(version, version == 1, &resource), parts), false)
    };
    let one = "<instance id=\"1\" state=\"active\" cid=\"cid:1@x\"/>";
    assert_eq!(take(one, &[("1@x", TEXT, b"one")]), "1+0-: sip:a@x[Active - one]");
    // No body is named: the one before stands.
    assert_eq!(take("<instance id=\"1\" state=\"active\"/>", &[]), "0+0-: sip:a@x[Active - one]");
    assert_eq!(take("<instance id=\"1\" state=\"pending\"/>", &[]), "1+0-: sip:a@x[Pending - one]");
    // A body is named that is not there, or stands in another NOTIFY.
    assert_eq!(take(one, &[("2@x", TEXT, b"two")]), "1+0- unreadable: sip:a@x[Active - one]");
    // What has ended is shown until there is a new one, and another one that lives is none.
    let two = "<instance id=\"2\" state=\"active\" cid=\"2@x\"/>";
    take(two, &[("2@x", TEXT, b"two")]);
    let over = "<instance id=\"1\" state=\"terminated\" reason=\"deactivated\"/>";
    assert_eq!(take(over, &[]), "1+0-: sip:a@x[Terminated deactivated -, Active - two]");
    assert_eq!(take(two, &[("2@x", TEXT, b"too")]), "1+0-: sip:a@x[Terminated deactivated -, Active - too]");
    let three = "<instance id=\"3\" state=\"pending\"/>";
    assert_eq!(take(three, &[]), "1+0-: sip:a@x[Active - too, Pending - -]");
    let unknown = "<instance id=\"3\" state=\"terminated\" reason=\"lost\"/>";
    assert_eq!(take(unknown, &[]), "1+0-: sip:a@x[Active - too, Terminated giveup -]");
}

#[test]
fn s41_bodies_are_merged_by_their_package() {
    let info = |version: u32, state: &str, rows: &str| {
        let namespace = "urn:ietf:params:xml:ns:dialog-info";
        format!(
            "<dialog-info xmlns=\"{namespace}\" version=\"{version}\" state=\"{state}\" entity=\"sip:a@x\">{rows}\
            </dialog-info>"
        )
    };
    let row = |id: &str, state: &str| format!("<dialog id=\"{id}\"><state>{state}</state></dialog>");
    let mut entry = Entry::of(Package::Dialog);
    let kind = "application/dialog-info+xml";
    let a = resource("sip:a@x", "active", "a@x");
    let full = info(0, "full", &(row("1", "early") + &row("2", "early")));
    entry.take(&related(&list(1, true, &a), &[("a@x", kind, full.as_bytes())]), true);
    let part = info(1, "partial", &row("1", "confirmed"));
    entry.take(&related(&list(2, true, &a), &[("a@x", kind, part.as_bytes())]), false);
    let both = info(1, "full", &(row("1", "confirmed") + &row("2", "early")));
    assert_eq!(entry.shown(), format!("sip:a@x[Active - {both}]"));
    let gap = info(3, "partial", &row("2", "confirmed"));
    let told = entry.take(&related(&list(3, false, &a), &[("a@x", kind, gap.as_bytes())]), false);
    assert!(told.starts_with("1+0- refresh:"), "{told}");
    let told = entry.take(&related(&list(4, false, &a), &[("a@x", kind, b"<broken")]), false);
    assert_eq!(told, "1+0- unreadable: sip:a@x[Active - <broken]");
}

#[test]
fn s41_lists_in_lists_are_flattened() {
    let mut entry = Entry::of(Package::Other);
    // Each body of several parts has a boundary of its own: `B` for the outermost, then `BB`, …
    let deeper = |body: Vec<u8>| String::from_utf8(body).unwrap().replace("--B", "--BB").into_bytes();
    let inner = |version: u64, full: bool, uris: &[&str]| {
        let resources: String = uris.iter().map(|uri| resource(uri, "active", "x@x")).collect();
        deeper(related(&list(version, full, &resources), &[("x@x", TEXT, b"in")]))
    };
    let inner_type = &*TYPE.replace("\"B\"", "\"BB\"");
    let outer = |version: u64, full: bool, nested: Option<&[u8]>| {
        let a = resource("sip:a@x", "pending", "");
        let group = nested.map_or(String::new(), |_| resource("sip:group@x", "active", "g@x"));
        let parts: Vec<(&str, &str, &[u8])> =
            nested.iter().map(|nested| ("g@x", inner_type, *nested)).collect();
        related(&list(version, full, &(a + &group)), &parts)
    };
    let told = entry.take(&outer(1, true, Some(&inner(7, true, &["sip:b@x", "sip:c@x"]))), true);
    let all = "sip:a@x[Pending - -] sip:b@x[Active - in] sip:c@x[Active - in]";
    assert_eq!(told, format!("3+0-: {all}"));
    // Each list counts for itself.
    assert_eq!(
        entry.take(&outer(2, true, Some(&inner(7, true, &["sip:b@x"]))), false),
        format!("0+0-: {all}")
    );
    let told = entry.take(&outer(3, false, Some(&inner(8, true, &["sip:b@x", "sip:d@x"]))), false);
    assert_eq!(told, "1+1-: sip:a@x[Pending - -] sip:b@x[Active - in] sip:d@x[Active - in]");
    let told = entry.take(&outer(4, false, Some(&inner(10, false, &["sip:e@x"]))), false);
    assert_eq!(
        told,
        "1+0- refresh: sip:a@x[Pending - -] sip:b@x[Active - in] sip:d@x[Active - in] sip:e@x[Active - in]"
    );
    // The list around it no longer has it.
    assert_eq!(entry.take(&outer(5, true, None), false), "0+3-: sip:a@x[Pending - -]");
    // A list that contains itself without end.
    let mut deep = inner(1, true, &["sip:b@x"]);
    for _ in 0..4 {
        let outer = String::from_utf8(outer(1, true, Some(&deep))).unwrap();
        deep = outer.replace("--B", "--BB").replace("boundary=\"B", "boundary=\"BB").into_bytes();
    }
    assert_eq!(entry.take_as(inner_type, &deep, false), Err("lists are nested too deeply"));
}

#[test]
fn what_is_no_list_changes_nothing_and_bounds_hold() {
    let mut entry = Entry::of(Package::Other);
    let a = resource("sip:a@x", "active", "");
    for (root, expected) in [
        ("<list", "the list is not well-formed"),
        ("<!DOCTYPE list><list/>", "the list is not well-formed"),
        ("<list/>", "the root part is no list"),
        (&*list(1, true, &a).replace(" version=\"1\"", ""), "the list has no version"),
        (&*list(1, true, &a).replace("true", "yes"), "the list does not say whether it is full"),
        (&*list(1, true, &a).replace("<resource uri=\"sip:a@x\"", "<resource"), "a resource has no uri"),
        (&*list(1, true, &a).replace("active", "asleep"), "an instance has no state"),
        (&*list(1, true, &a).replace(" id=\"i\"", ""), "an instance has no id"),
    ] {
        assert_eq!(entry.take_as(TYPE, &related(root, &[]), true), Err(expected));
    }
    assert!(entry.take_as(TYPE, b"--B\r\n", true).is_err());
    assert_eq!(entry.take_as("text/plain", b"", true), Err("the type of the body is not multipart"));
    // A list that names no body may stand alone.
    let alone = entry.take_as("application/rlmi+xml", list(1, true, &a).as_bytes(), true).unwrap();
    assert_eq!(alone.changed.len(), 1);
    let many: String = (0..7).map(|n| resource(&format!("sip:{n}@x"), "active", "")).collect();
    let told = entry.take(&related(&list(2, true, &many), &[]), false);
    assert!(told.starts_with("4+1- left out: sip:0@x[Active - -] "), "{told}");
}

/// What a notifier makes us do stays within what it sent.
#[test]
fn bodies_are_not_named_without_end_and_instances_are_few() {
    let mut entry = Entry::of(Package::Other);
    // A body of 1 MiB that three name: there is room for two.
    let three: String = ["sip:a@x", "sip:b@x", "sip:c@x"].map(|uri| resource(uri, "active", "a@x")).concat();
    let body = vec![b'1'; 1 << 20];
    let taken = entry.take_as(TYPE, &related(&list(1, true, &three), &[("a@x", "text/plain", &body)]), true);
    let taken = taken.unwrap();
    assert_eq!((taken.unreadable, taken.changed.len()), (1, 3));
    let instances =
        |n: usize| (0..n).map(|n| format!("<instance id=\"{n}\" state=\"active\"/>")).collect::<String>();
    for (n, expected) in [(64, None), (65, Some("a resource has too many instances"))] {
        let many = format!("<resource uri=\"sip:c@x\">{}</resource>", instances(n));
        let taken = entry.take_as(TYPE, &related(&list(2, true, &many), &[]), true);
        assert_eq!(taken.err(), expected, "{n}");
    }
}

#[test]
fn each_report_counts() {
    let mut entry = Entry::of(Package::VqRtcpxr);
    let a = resource("sip:a@x", "active", "a@x");
    let report = ("a@x", "application/vq-rtcpxr", &b"VQIntervalReport:\r\nCallID: 1\r\n"[..]);
    for version in 1..4 {
        let told = entry.take(&related(&list(version, false, &a), &[report]), true);
        assert!(told.starts_with("1+0- report: sip:a@x[Active - VQ"), "{told}");
    }
}

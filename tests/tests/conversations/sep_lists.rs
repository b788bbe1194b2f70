//! Servers of resource lists (RFC 4662): one subscription to a list tells of all that is in it, and documents show each.

use offhook_core::Config;
use offhook_tests::memory::World;
use offhook_tests::sip::notifier::Notifier;

use crate::sep_agent::{BILL, called, change, config, converse, document, subscribed};

const TYPE: &str = "multipart/related;type=\"application/rlmi+xml\";start=\"<root@x>\";boundary=\"B\"";
const SUMMARY: &str = "application/simple-message-summary";

/// A NOTIFY's body: the list, and the bodies that it names.
fn list(version: u32, full: bool, resources: &[String], bodies: &[(&str, &str)]) -> String {
    let root = format!(
        "<list xmlns=\"urn:ietf:params:xml:ns:rlmi\" uri=\"{BILL}\" version=\"{version}\" fullState=\"{full}\">{}</list>",
        resources.concat()
    );
    let part = |id: &str, content_type: &str, body: &str| {
        format!("--B\r\nContent-Type: {content_type}\r\nContent-ID: <{id}>\r\n\r\n{body}\r\n")
    };
    let bodies: String = bodies.iter().map(|(id, body)| part(id, SUMMARY, body)).collect();
    part("root@x", "application/rlmi+xml", &root) + &bodies + "--B--\r\n"
}

fn resource(name: &str, state: &str, cid: &str) -> String {
    let cid = if cid.is_empty() { String::new() } else { format!(" cid=\"{cid}\"") };
    format!(
        "<resource uri=\"sip:{name}@example.test\"><name>{name}</name><instance id=\"{name}\" state=\"{state}\"{cid}/></resource>"
    )
}

/// A subscription to a list of which nothing has come yet.
fn of_a_list(config: Config) -> (World, Notifier, String) {
    let (world, mut notifier, path) = subscribed(config, "message-summary");
    notifier.serves_lists = true;
    (world, notifier, path)
}

fn tell(world: &mut World, notifier: &mut Notifier, body: &str) {
    change(world, notifier, BILL, TYPE, body);
}

#[test]
fn s41_each_resource_of_a_list_is_shown_and_its_changes_are_told() {
    let (mut world, mut notifier, path) = of_a_list(config());
    let both = [resource("alice", "active", "a@x"), resource("bob", "pending", "")];
    tell(&mut world, &mut notifier, &list(1, true, &both, &[("a@x", "Messages-Waiting: yes\r\n")]));
    let (version, text) = called(&mut world);
    assert_eq!(version, 1);
    for part in [
        "<resource uri=\"sip:alice@example.test\"><name>alice</name>",
        "Messages-Waiting: yes",
        "<resource uri=\"sip:bob@example.test\"><name>bob</name>",
        "state=\"pending\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(text, document(&mut world, &path));
    // In part: bob alone has changed, alice is shown as she was.
    let bob = [resource("bob", "active", "b@x")];
    tell(&mut world, &mut notifier, &list(2, false, &bob, &[("b@x", "Messages-Waiting: no\r\n")]));
    let (version, text) = called(&mut world);
    assert!(
        version == 2 && text.contains("Messages-Waiting: yes") && text.contains("Messages-Waiting: no"),
        "{text}"
    );
    // The same once more is no change.
    tell(&mut world, &mut notifier, &list(3, false, &bob, &[("b@x", "Messages-Waiting: no\r\n")]));
    assert!(world.take_calls().is_empty());
    // In full, without bob: he is gone.
    let alice = [resource("alice", "active", "a@x")];
    tell(&mut world, &mut notifier, &list(4, true, &alice, &[("a@x", "Messages-Waiting: yes\r\n")]));
    let (version, text) = called(&mut world);
    assert!(version == 3 && text.contains("sip:alice@") && !text.contains("sip:bob@"), "{text}");
    // The list ends: what came in it is known no better.
    for bytes in notifier.end(BILL, "terminated;reason=noresource") {
        world.datagram("192.0.2.70:5060", 0, bytes);
    }
    converse(&mut world, &mut notifier);
    // The list itself was not in the callback that left a moment ago: its own is gathered.
    assert!(world.take_calls().is_empty());
    world.pass(50);
    let (_, text) = called(&mut world);
    assert!(text.contains("sip:alice@") && !text.contains("state=\"active\""), "{text}");
    assert_eq!(text.matches("state=\"terminated\" reason=\"noresource\"").count(), 2, "{text}");
    assert_eq!(notifier.refused, 0);
}

#[test]
fn a_list_that_is_too_long_is_cut_and_the_log_says_so() {
    let mut config = config();
    config.limits.sip_list_resources = 1;
    let (mut world, mut notifier, path) = of_a_list(config);
    world.take_notes();
    let both = [resource("alice", "active", ""), resource("bob", "active", "")];
    tell(&mut world, &mut notifier, &list(1, true, &both, &[]));
    let text = document(&mut world, &path);
    assert!(text.contains("sip:alice@") && !text.contains("sip:bob@"), "{text}");
    let notes: Vec<String> = world.take_notes().iter().map(|note| note.text.to_string()).collect();
    assert!(
        notes.iter().any(|note| note.contains(&format!("the list {BILL} is too long: 1 resources"))),
        "{notes:?}"
    );
}

#[test]
fn a_body_of_a_list_that_means_nothing_is_carried_as_it_came() {
    let (mut world, mut notifier, path) = of_a_list(config());
    tell(&mut world, &mut notifier, "no parts at all");
    let (version, text) = called(&mut world);
    assert_eq!((version, text.clone()), (1, document(&mut world, &path)));
    assert!(text.contains("no parts at all") || text.contains("encoding=\"base64\""), "{text}");
    assert_eq!(notifier.refused, 0, "it is no fault of the dialog");
}

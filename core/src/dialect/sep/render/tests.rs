use uuid::Uuid;

use super::*;
use crate::dialect::sep::change::Made;
use crate::dialect::sep::package::Body;
use crate::dialect::sep::state::{Ended, Entry, How};
use crate::ground::id::Seq;
use crate::wire::multipart::parts;
use crate::wire::xml::Bounds;
use crate::wire::xml::tree::tree;

fn config() -> Config {
    let mut config = Config::default();
    config.sep.domain = "example.test".to_owned();
    config
}

fn subscription(event: &str, uris: &[&str]) -> Subscription {
    let made = Made {
        id: "182ebe38-3854-4873-a8ab-2cb0eff38b4c".parse().unwrap(),
        owner: None,
        base: "http://api.example.test".into(),
        event: event.into(),
        accept: vec![],
        multipart: false,
        form: Form::Xml,
        notify: Some("http://my.server.com/callback?xxx=yyy&a=\"".into()),
        expires: Wall::from_rfc3339("2009-06-01T18:00:00.9+00:00").unwrap(),
        entries: uris.iter().map(|uri| Entry { uri: (*uri).into(), name: None }).collect(),
        room: 1,
        entries_room: None,
    };
    Subscription::new(made, Seq(1))
}

fn instance(id: &str, state: InstanceState, body: Option<(&str, &[u8])>) -> Instance {
    let body =
        body.map(|(content_type, bytes)| Body { content_type: content_type.into(), bytes: bytes.into() });
    Instance { id: id.into(), dialog: 1, state, reason: None, status: None, body }
}

const SUMMARY: &[u8] =
    b"Messages-Waiting: yes\r\nMessage-Account: sip:alice@example.test\r\nVoice-Message: 2/8 (0/2)\r\n";

#[test]
fn s3_the_inline_form() {
    let mut of = subscription("reg", &["sip:bill@example.com", "sip:joe@example.org", "sip:ted@example.net"]);
    let reginfo = "<?xml version=\"1.0\"?>\n<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"1\" state=\"full\"/>\n";
    of.version = 1;
    of.resources[0].name = Some("Bill <B>".into());
    of.resources[0].instances = vec![instance(
        "juwigmtboe",
        InstanceState::Active,
        Some(("application/reginfo+xml", reginfo.as_bytes())),
    )];
    let mut refused = instance("k2", InstanceState::Terminated, None);
    (refused.reason, refused.status) = (Some("noresource".into()), Some(404));
    of.resources[1].instances = vec![refused, instance("k3", InstanceState::Pending, None)];
    let text = String::from_utf8(inline(&of, &config())).unwrap();
    let expected = "<?xml version=\"1.0\"?>\n\
        <subscription xmlns=\"http://voip.co.uk/api/sep/2009-06\" event=\"reg\">\
        <list xmlns=\"urn:ietf:params:xml:ns:rlmi\" uri=\"sip:182ebe38-3854-4873-a8ab-2cb0eff38b4c@example.test\" \
        version=\"1\" fullState=\"true\">\
        <resource uri=\"sip:bill@example.com\"><name>Bill &lt;B&gt;</name>\
        <instance id=\"juwigmtboe\" state=\"active\">\
        <reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"1\" state=\"full\"/></instance></resource>\
        <resource uri=\"sip:joe@example.org\">\
        <instance id=\"k2\" state=\"terminated\" reason=\"noresource\" \
        xmlns:sep=\"http://voip.co.uk/api/sep/2009-06\" sep:status=\"404\"/>\
        <instance id=\"k3\" state=\"pending\"/></resource>\
        <resource uri=\"sip:ted@example.net\"/></list>\
        <notify url=\"http://my.server.com/callback?xxx=yyy&amp;a=&quot;\"/>\
        <expires>2009-06-01T18:00:00+00:00</expires></subscription>\n";
    assert_eq!(text, expected);
    of.ended = Some(Ended { how: How::Expired, at: Wall(0), over: false });
    let root = tree(&inline(&of, &config()), Bounds { depth: 8, attributes: 8 }).unwrap();
    assert!(root.is(NAMESPACE, "subscription") && root.attribute("ended") == Some("expired"));
    assert_eq!(root.find(NAMESPACE, "expires").unwrap().text(), "2009-06-01T18:00:00+00:00");
    let list = root.find(RLMI, "list").unwrap();
    let uris: Vec<_> = list.all(RLMI, "resource").map(|r| r.attribute("uri").unwrap()).collect();
    assert_eq!(uris, ["sip:bill@example.com", "sip:joe@example.org", "sip:ted@example.net"]);
}

#[test]
fn text_stands_in_its_carrier() {
    let mut of = subscription("message-summary", &["sip:alice@example.test"]);
    of.resources[0].instances =
        vec![instance("k3", InstanceState::Active, Some(("application/simple-message-summary", SUMMARY)))];
    let text = String::from_utf8(inline(&of, &config())).unwrap();
    let carrier = "<instance id=\"k3\" state=\"active\"><body xmlns=\"http://voip.co.uk/api/sep/2009-06\" \
        type=\"application/simple-message-summary\" encoding=\"text\"><![CDATA[Messages-Waiting: yes\n\
        Message-Account: sip:alice@example.test\nVoice-Message: 2/8 (0/2)\n]]></body></instance>";
    assert!(text.contains(carrier), "{text}");
}

#[test]
fn s40_the_multipart_form() {
    let mut of =
        subscription("message-summary", &["sip:alice@example.test", "sip:bob@example.test", "sip:c@d"]);
    of.version = 1;
    let summary = Some(("application/simple-message-summary", SUMMARY));
    let mut refused = instance("k4", InstanceState::Terminated, summary);
    refused.reason = Some("rejected".into());
    of.resources[0].instances = vec![
        instance("k3", InstanceState::Active, summary),
        instance("k5", InstanceState::Active, None),
        instance(
            "k6",
            InstanceState::Active,
            Some(("x/y", b"\xff\r\n--offhook-182ebe3838544873a8ab2cb0eff38b4c-0\r\n")),
        ),
    ];
    of.resources[1].instances = vec![refused];
    let Document { content_type, fields, body } = multipart(&of, &config());
    assert!(content_type.starts_with("multipart/related;type=\"application/rlmi+xml\";start=\"<1.182ebe38-"));
    let expires = "2009-06-01T18:00:00+00:00".to_owned();
    let event = "message-summary".to_owned();
    assert_eq!(fields, [("Offhook-Event", event), ("Offhook-Expires", expires)]);
    let parts = parts(&content_type, &body).unwrap();
    assert_eq!(parts.len(), 3);
    assert_eq!(parts[0].content_type, "application/rlmi+xml;charset=\"UTF-8\"");
    // The root stands first, and each cid resolves.
    assert!(body.starts_with(b"--offhook-"));
    let root = tree(parts[0].body, Bounds { depth: 8, attributes: 8 }).unwrap();
    assert!(root.is(RLMI, "list") && root.attribute("version") == Some("1"));
    let instances: Vec<_> = root.all(RLMI, "resource").flat_map(|r| r.all(RLMI, "instance")).collect();
    let ids: Vec<_> = instances.iter().map(|i| i.attribute("id").unwrap()).collect();
    assert_eq!(ids, ["k3", "k6", "k4"], "an active one without a body is left out");
    for (at, bytes) in [(0, SUMMARY), (1, &of.resources[0].instances[2].body.as_ref().unwrap().bytes[..])] {
        let cid = instances[at].attribute("cid").unwrap();
        assert!(cid.ends_with("@example.test") && !cid.contains("sip:"));
        let part = parts.iter().find(|part| part.content_id.as_deref() == Some(cid)).expect("it resolves");
        assert_eq!(part.body, bytes, "byte for byte");
    }
    assert_eq!((instances[2].attribute("cid"), instances[2].attribute("reason")), (None, Some("rejected")));
    assert_eq!(root.all(RLMI, "resource").count(), 3);
}

/// Instances of a list on the far side have names of that side's choice.
#[test]
fn s40_equal_names_of_instances_have_parts_of_their_own() {
    let mut of = subscription("presence", &["sip:a@d", "sip:b@d"]);
    let name = "1\r\nContent-Type: text/html\r\n\r\n";
    for (resource, bytes) in of.resources.iter_mut().zip([&b"one"[..], b"two"]) {
        resource.instances = vec![instance(name, InstanceState::Active, Some(("text/plain", bytes)))];
    }
    let Document { content_type, body, .. } = multipart(&of, &config());
    let parts = parts(&content_type, &body).unwrap();
    assert_eq!(parts[1..].iter().map(|part| part.body).collect::<Vec<_>>(), [&b"one"[..], b"two"]);
    assert!(parts[1].content_id != parts[2].content_id && parts[1].content_type == "text/plain");
}

#[test]
fn lists_and_errors() {
    let one = subscription("reg", &["sip:a@b"]);
    let text = String::from_utf8(subscriptions([&one].into_iter())).unwrap();
    let expected = "<?xml version=\"1.0\"?>\n<subscriptions xmlns=\"http://voip.co.uk/api/sep/2009-06\">\
        <subscription href=\"http://api.example.test/v/2009-06/sep/182ebe38-3854-4873-a8ab-2cb0eff38b4c\" \
        event=\"reg\"/></subscriptions>\n";
    assert_eq!(text, expected);
    assert_eq!(one.id, Uuid::from_u128(0x182ebe38_3854_4873_a8ab_2cb0eff38b4c));
    let reply = error(403, "notify: <address> not allowed");
    assert_eq!((reply.status, reply.content_type), (403, Some("application/xml")));
    let expected = "<error xmlns=\"http://voip.co.uk/api/sep/2009-06\" code=\"403\">\
        notify: &lt;address&gt; not allowed</error>\n";
    assert_eq!(String::from_utf8(reply.body).unwrap(), expected);
}

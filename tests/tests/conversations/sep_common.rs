//! Steps that conversations about SIP subscriptions over HTTP share. What notifiers would tell is appended to the log as
//! shard 0 would append it ([`Told`] and its letter); no SIP is spoken.

use offhook_core::Config;
use offhook_core::dialect::sep::change::{Change, Told};
use offhook_core::dialect::sep::package::Body as State;
use offhook_core::dialect::sep::receiver;
use offhook_core::dialect::sep::state::{Instance, InstanceState, Resource, Subscription};
use offhook_core::ground::id::Seq;
use offhook_core::ground::time::Wall;
use offhook_core::log::record::Body;
use offhook_tests::memory::World;
use offhook_tests::memory::calls::Made;
use offhook_tests::memory::read::Reply;
use offhook_tests::memory::write::request;
use serde_json::Value;

pub(crate) const SEP: &str = "/v/2009-06/sep";
pub(crate) const JSON: &str = "/v1/subscriptions";
pub(crate) const NAMESPACE: &str = "http://voip.co.uk/api/sep/2009-06";

/// Where callbacks go in all conversations.
pub(crate) const CALLBACK: &str = "http://192.0.2.5:8081/hook?a=b";
pub(crate) const CALLBACK_ADDRESS: &str = "192.0.2.5:8081";

/// A configuration that serves SEP, and lets callbacks reach documentation addresses.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.sep.served = true;
    config.sep.domain = "example.test".to_owned();
    config.outbox.allow_private = vec!["192.0.2.0/24".parse().expect("a network")];
    // Times can be foretold.
    config.outbox.retry.jitter = 0.0;
    config
}

/// A world that keeps its log and serves SEP, with somebody who takes callbacks.
pub(crate) fn world(shards: u16) -> World {
    world_with(config(), shards)
}

/// The same with another configuration, at the beginning of 2026.
pub(crate) fn world_with(config: Config, shards: u16) -> World {
    let mut world = World::keeping(config, shards);
    world.set_wall(Wall::from_rfc3339("2026-01-01T00:00:00Z").expect("a date"));
    world.serve(CALLBACK_ADDRESS);
    world
}

/// A `<subscribe>` document with these entries and further children.
pub(crate) fn subscribe(event: &str, uris: &[&str], children: &str) -> String {
    let event = if event.is_empty() { String::new() } else { format!(" event=\"{event}\"") };
    let entries: String = uris.iter().map(|uri| format!("<entry uri=\"{uri}\"/>")).collect();
    let lists = if uris.is_empty() {
        String::new()
    } else {
        format!(
            "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>{entries}</list></resource-lists>"
        )
    };
    format!("<?xml version=\"1.0\"?>\n<subscribe xmlns=\"{NAMESPACE}\"{event}>{lists}{children}</subscribe>")
}

/// The element that asks for callbacks.
pub(crate) fn notify() -> String {
    format!("<notify url=\"{CALLBACK}\"/>")
}

/// A request with an XML body.
pub(crate) fn xml(method: &str, target: &str, body: &str) -> Vec<u8> {
    request(method, target, "Content-Type: text/xml\r\n", body)
}

/// A request with a JSON body.
pub(crate) fn json(method: &str, target: &str, body: &Value) -> Vec<u8> {
    request(method, target, "Content-Type: application/json\r\n", body.to_string())
}

/// Subscribes to `reg` of two URIs, with callbacks; the path of the subscription.
pub(crate) fn create(world: &mut World) -> String {
    create_with(world, &subscribe("reg", &["sip:bill@example.com", "sip:joe@example.org"], &notify()))
}

/// Subscribes; the path of the subscription.
#[track_caller]
pub(crate) fn create_with(world: &mut World, document: &str) -> String {
    let reply = world.ask_alone(xml("POST", SEP, document));
    assert_eq!(reply.status, 201, "{}", reply.text());
    path_of(&reply)
}

/// The path of what was made.
pub(crate) fn path_of(reply: &Reply) -> String {
    let location = reply.field("location").expect("a Location");
    let at = location.find("/v").expect("an absolute URL");
    location[at..].to_owned()
}

/// The error document in XML: its status and its words.
#[track_caller]
pub(crate) fn assert_error(reply: &Reply, status: u16, words: &str) {
    assert_eq!((reply.status, reply.field("content-type")), (status, Some("application/xml")), "{reply:?}");
    let start = format!("<error xmlns=\"{NAMESPACE}\" code=\"{status}\">");
    let text = reply.text();
    assert!(text.starts_with(&start) && text.trim_end().ends_with("</error>"), "{text}");
    assert!(text.contains(words), "{words}: {text}");
}

/// What is known of subscriptions, as the log says it.
pub(crate) fn known(world: &World, path: &str) -> Subscription {
    let id: uuid::Uuid = path.rsplit('/').next().expect("an id").parse().expect("a UUID");
    let mut found = None;
    for (seq, record) in world.kept_records() {
        let (Body::Change("sep", change) | Body::Carried { part: "sep", change, .. }) = &record.body else {
            continue;
        };
        match Change::decode(change).expect("a change") {
            Change::Carried(known) if known.id == id => found = Some(*known),
            Change::Created(made) if made.id == id => found = Some(Subscription::new(*made, seq)),
            Change::State { id: other, state } if other == id => {
                found.as_mut().expect("made before").tell(*state);
            }
            Change::Put { id: other, put } if other == id => {
                found.as_mut().expect("made before").put(*put, seq);
            }
            Change::Created(_)
            | Change::Put { .. }
            | Change::State { .. }
            | Change::Dialog { .. }
            | Change::Ended { .. }
            | Change::Forgotten { .. }
            | Change::Carried(_) => {}
        }
    }
    found.expect("the log knows it")
}

/// The resource of a URI with one active instance and this body.
pub(crate) fn active(uri: &str, content_type: &str, body: &[u8]) -> Resource {
    let body = State { content_type: content_type.into(), bytes: body.into() };
    let instance = Instance {
        id: format!("i{}", uri.len()).into(),
        dialog: 1,
        state: InstanceState::Active,
        reason: None,
        status: None,
        body: Some(body),
    };
    Resource { uri: uri.into(), of: None, since: 0, name: None, instances: vec![instance] }
}

/// Shard 0 says that resources have changed, and leaves the callback with the outbox.
pub(crate) fn tell(world: &mut World, path: &str, mut resources: Vec<Resource>) {
    let mut subscription = known(world, path);
    for resource in &mut resources {
        resource.since = subscription.resource(resource.entry()).map_or(0, |entry| entry.since);
    }
    let (step, version) = (subscription.step + 1, subscription.version + 1);
    let state = Told { step, version, resources, ..Told::default() };
    subscription.tell(state.clone());
    let change = Change::State { id: subscription.id, state: Box::new(state) };
    world.append(Body::Change("sep", change.encode()));
    if let Some(letter) = receiver::letter(&subscription, world.now().wall, world.now().wall, &config()) {
        world.append(letter);
    }
}

/// The same with a text that is new.
pub(crate) fn tell_text(world: &mut World, path: &str, text: &str) {
    tell(world, path, vec![active("sip:bill@example.com", "text/plain", text.as_bytes())]);
}

/// The callback that has come, alone.
#[track_caller]
pub(crate) fn one_call(world: &mut World) -> (Made, Head) {
    let mut calls = world.take_calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    let made = calls.remove(0);
    let head = Head::of(&made);
    (made, head)
}

/// A callback, taken apart.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) line: String,
    fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Head {
    fn of(made: &Made) -> Head {
        let end = made.request.windows(4).position(|w| w == b"\r\n\r\n").expect("a whole head");
        let head = std::str::from_utf8(&made.request[..end]).expect("a head is text");
        let mut lines = head.split("\r\n");
        let line = lines.next().expect("a request line").to_owned();
        let field = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a field");
            (name.to_ascii_lowercase(), value.to_owned())
        };
        let head = Head { line, fields: lines.map(field).collect(), body: made.request[end + 4..].to_vec() };
        let length = head.body.len().to_string();
        assert_eq!(head.field("content-length"), Some(&*length), "the whole body has come");
        head
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let first = found.next();
        assert!(found.next().is_none(), "{name} stands once");
        first
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The version of the document.
    pub(crate) fn version(&self) -> u64 {
        let (_, rest) = self.text().split_once("version=\"1.0\"?>").expect("XML");
        let (_, rest) = rest.split_once("version=\"").expect("a version");
        rest.split('"').next().expect("its end").parse().expect("a number")
    }
}

/// A record's number and body, for those who look for some.
pub(crate) fn records_of(world: &World, part: &str) -> Vec<(Seq, Box<[u8]>)> {
    let all = world.kept_records().into_iter();
    all.filter_map(|(seq, record)| {
        let Body::Change(name, change) = &record.body else { return None };
        (*name == part).then(|| (seq, change.clone()))
    })
    .collect()
}

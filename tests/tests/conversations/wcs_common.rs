//! Both faces of WCS in conversations: clients on websockets, and the backend that their hooks come to.

use offhook_core::Config;
use offhook_core::ground::config::{HookPolicy, OnError, RestPolicy, WcsApp};
use offhook_tests::memory::calls::Made;
use offhook_tests::memory::write::publish;
use offhook_tests::memory::ws::Frame;
use offhook_tests::memory::{Peer, World};
use serde_json::{Value, json};

/// Where the backend listens.
pub(crate) const BACKEND: &str = "127.0.0.1:8081";

/// The nodeId of all these servers.
pub(crate) const NODE: &str = "Hw47CFMBEchVOpBMDr29IxjudnJ1sjOY@192.168.1.101";

/// An application with these hooks.
pub(crate) fn app(hooks: &[&str]) -> WcsApp {
    WcsApp {
        url: format!("http://{BACKEND}/apps/EchoApp"),
        hooks: hooks.iter().map(|hook| (*hook).to_owned()).collect(),
        ..WcsApp::default()
    }
}

/// An application with these hooks; the first of them has `restOnError` FAIL.
pub(crate) fn failing(hooks: &[&str]) -> WcsApp {
    let policy = HookPolicy { on_error: OnError::Fail, ..HookPolicy::default() };
    WcsApp { policies: [(hooks[0].to_owned(), policy)].into(), ..app(hooks) }
}

/// An application with one hook and its policy.
pub(crate) fn overwriting(hook: &str, names: &[&str]) -> WcsApp {
    let overwrite = names.iter().map(|name| (*name).to_owned()).collect();
    let policy = HookPolicy { policy: RestPolicy::Overwrite, overwrite, ..HookPolicy::default() };
    WcsApp { policies: [(hook.to_owned(), policy)].into(), ..app(&[hook]) }
}

/// A configuration with this application.
pub(crate) fn config(app: WcsApp) -> Config {
    let mut config = Config::default();
    config.wcs.node_id = Some(NODE.to_owned());
    config.wcs.apps.push(app);
    config
}

/// Engines with this application, and its backend.
pub(crate) fn world(app: WcsApp, shards: u16) -> World {
    world_with(config(app), shards)
}

/// Engines with this configuration, and the backend.
pub(crate) fn world_with(config: Config, shards: u16) -> World {
    let mut world = World::with(config, shards);
    world.serve(BACKEND);
    world
}

/// A client's message.
pub(crate) fn say(world: &mut World, client: Peer, name: &str, data: Value) {
    world.send_text(client, json!({"message": name, "data": [data]}).to_string());
}

/// A client on an engine that has asked for its session.
pub(crate) fn ask(world: &mut World, shard: usize, connection: Value) -> Peer {
    let client = world.websocket_to(shard, "/", "");
    say(world, client, "connection", connection);
    client
}

/// A client whose session is open, and the session's name; the application lists no `connect`.
pub(crate) fn begin(world: &mut World, shard: usize) -> (Peer, String) {
    let client = ask(world, shard, json!({"appKey": "defaultApp"}));
    let id = established(world, client);
    (client, id)
}

/// The name of a session whose client was told of its beginning just now.
#[track_caller]
pub(crate) fn established(world: &mut World, client: Peer) -> String {
    let (name, data) = one(world, client);
    assert_eq!((&*name, &data["status"]), ("getUserData", &json!("ESTABLISHED")));
    data["sessionId"].as_str().expect("a session has a name").to_owned()
}

/// What a client was told since the last time: the names of messages, and the first item of their data.
#[track_caller]
pub(crate) fn told(world: &mut World, client: Peer) -> Vec<(String, Value)> {
    world.texts(client).iter().map(|text| message(text)).collect()
}

/// The one message that a client got.
#[track_caller]
pub(crate) fn one(world: &mut World, client: Peer) -> (String, Value) {
    let mut told = told(world, client);
    assert_eq!(told.len(), 1, "one message: {told:?}");
    told.remove(0)
}

/// W33: whatever the message, its data is an array.
#[track_caller]
fn message(text: &str) -> (String, Value) {
    let message: Value = serde_json::from_str(text).expect("a message is JSON");
    let data = message["data"].as_array().expect("data is an array");
    let name = message["message"].as_str().expect("a message has a name");
    (name.to_owned(), data.first().cloned().unwrap_or_default())
}

/// A client got these messages, then a Close with this code.
#[track_caller]
pub(crate) fn assert_closed(world: &mut World, client: Peer, messages: &[(&str, Value)], code: u16) {
    let frames = world.frames(client);
    let (last, texts) = frames.split_last().expect("a Close at least");
    let text = |frame: &Frame| {
        let Frame::Text(text) = frame else { panic!("a message was expected: {frame:?}") };
        message(text)
    };
    let texts: Vec<(String, Value)> = texts.iter().map(text).collect();
    let expected: Vec<(String, Value)> =
        messages.iter().map(|(name, data)| ((*name).to_owned(), data.clone())).collect();
    assert_eq!(texts, expected);
    assert!(matches!(last, Frame::Close(Some(found), _) if *found == code), "{last:?}");
}

/// `fail` with its info alone.
pub(crate) fn fail(info: &str) -> (&'static str, Value) {
    ("fail", json!({"info": info}))
}

/// A hook that came to the backend.
#[derive(Debug)]
pub(crate) struct Hook {
    pub(crate) name: String,
    pub(crate) body: Value,
    pub(crate) made: Made,
}

/// The hooks that came since the last time.
pub(crate) fn hooks(world: &mut World) -> Vec<Hook> {
    let calls = world.take_calls().into_iter();
    let hook = |made: Made| {
        let text = String::from_utf8(made.request.clone()).expect("a request is text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head ends");
        let target = head.split(' ').nth(1).expect("a request line has a target");
        let name = target.strip_prefix("/apps/EchoApp/").expect("the application's path").to_owned();
        assert!(body.starts_with("{\"nodeId\":") || body.starts_with('['), "W3: {body}");
        Hook { name, body: serde_json::from_str(body).expect("a body is JSON"), made }
    };
    calls.map(hook).collect()
}

/// The one hook that came.
#[track_caller]
pub(crate) fn hook(world: &mut World, name: &str) -> Hook {
    let mut hooks = hooks(world);
    assert_eq!(hooks.iter().map(|hook| &*hook.name).collect::<Vec<_>>(), [name]);
    hooks.remove(0)
}

/// The backend answers a hook.
pub(crate) fn answer(world: &mut World, hook: &Hook, status: u16, body: &str) {
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    world.send(hook.made.peer, head + body);
}

/// Publishes an event of the application on an engine; `session` is empty for none.
pub(crate) fn send(world: &mut World, shard: usize, event_type: &str, session: &str, data: Value) {
    let mut event = json!({"type": event_type, "appkey": "defaultApp", "data": data});
    if !session.is_empty() {
        event["sessionid"] = session.into();
    }
    let peer = world.connect_to(shard);
    let reply = world.ask(peer, publish(event.to_string()));
    assert_eq!(reply.status, 202, "{}", reply.text());
    world.break_off(peer);
}

/// A stream's event, told apart by its name.
pub(crate) fn stream(world: &mut World, shard: usize, session: &str, name: &str) {
    let data = json!({"media_session_id": "m", "name": name, "status": "PUBLISHING"});
    send(world, shard, "stream.status", session, data);
}

/// What clients and backends see of that event.
pub(crate) fn stream_fields(name: &str) -> Value {
    json!({"mediaSessionId": "m", "name": name, "status": "PUBLISHING"})
}

//! XMS requests and the documents that answer them, byte for byte (xms.md 2.1 to 2.4). Numbers in names are those of
//! the checklist.

use offhook_core::Config;
use offhook_core::ground::config::XmsApp;
use offhook_tests::memory::World;
use offhook_tests::memory::read::Reply;
use offhook_tests::memory::write::{get, request};

use crate::common::{
    COLLECTION, EVERYTHING, KEEPALIVE, assert_xms_error, create, document, identifier, instance, listen,
    post_handler, publish_all, put_handler, ringing, xml,
};

const ANY: (&str, &str, &str) = ("any", "any", "any");

/// The reply to POST and PUT as a real server of 2015 sent it; subscriptions are type, resource_id, resource_type.
fn handler_document(id: &str, subscriptions: &[(&str, &str, &str)]) -> String {
    let mut out = format!(
        "<web_service version=\"1.0\">\r\n<eventhandler_response identifier=\"{id}\" appid=\"app\" \
         href=\"/default/eventhandlers/{id}\"\r\n>\r\n"
    );
    for (word, id, kind) in subscriptions {
        out +=
            &format!("<eventsubscribe type=\"{word}\" resource_id=\"{id}\" resource_type=\"{kind}\"/>\r\n");
    }
    out + "</eventhandler_response>\r\n</web_service>\r\n"
}

/// An entry of the list and of `view=state`: other attribute order, no break in the tag.
fn entry(app: &str, id: &str, subscriptions: &[(&str, &str, &str)]) -> String {
    let mut out = format!(
        "<eventhandler_response appid=\"{app}\" href=\"/default/eventhandlers/{id}\" identifier=\"{id}\">\r\n"
    );
    for (word, id, kind) in subscriptions {
        out +=
            &format!("<eventsubscribe resource_id=\"{id}\" resource_type=\"{kind}\" type=\"{word}\"/>\r\n");
    }
    out + "</eventhandler_response>\r\n"
}

fn list(entries: &[String]) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\r\n<web_service version=\"1.0\">\r\n\
         <eventhandlers_response size=\"{}\">\r\n{}</eventhandlers_response>\r\n</web_service>\r\n",
        entries.len(),
        entries.concat()
    )
}

fn state(world: &mut World, id: &str) -> Reply {
    world.ask_alone(get(&format!("{}&view=state", instance(id))))
}

#[test]
fn x1_x2_x3_post_answers_as_the_captured_server_did() {
    let mut world = World::new();
    let fields = "Content-Type: text/xml;charset=UTF-8\r\n";
    let request = String::from_utf8(request("POST", COLLECTION, fields, document(EVERYTHING))).unwrap();
    let reply = world.ask_alone(request.replace("Host: localhost", "Host: 146.152.64.141:81"));
    let id = identifier(&reply);
    assert_eq!((reply.status, reply.field("content-type")), (201, Some("application/xml")));
    assert_eq!(reply.text(), handler_document(&id, &[ANY]));
    assert_eq!(reply.body.len(), 295, "0x127 bytes, as captured");
    let location = format!("http://146.152.64.141:81/default/eventhandlers/{id}");
    assert_eq!(reply.field("location"), Some(&*location));
    let uuid: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(uuid, [8, 4, 4, 4, 12]);
    assert!(id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f' | b'-')), "{id}");
}

#[test]
fn x3_location_uses_the_configured_public_url() {
    let mut config = Config::default();
    config.xms.public_url = Some("https://events.example.com:8443/".to_owned());
    config.xms.prefix = "/xms".to_owned();
    let mut world = World::with(config, 1);
    let reply = world.ask_alone(request("POST", "/xms/eventhandlers?appid=app", "", document(EVERYTHING)));
    let id = identifier(&reply);
    let location = format!("https://events.example.com:8443/xms/eventhandlers/{id}");
    assert_eq!(reply.field("location"), Some(&*location));
    assert!(reply.text().contains(&format!("href=\"/xms/eventhandlers/{id}\"")));
}

#[test]
fn x4_content_types_are_not_checked() {
    let mut world = World::new();
    for fields in [
        "Content-Type: text/xml;charset=UTF-8\r\n",
        "Content-Type: application/xml\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "",
    ] {
        let reply = world.ask_alone(request("POST", COLLECTION, fields, document(EVERYTHING)));
        assert_eq!(reply.status, 201, "{fields:?}");
    }
}

#[test]
fn x5_utf_16_is_taken_when_it_is_declared_and_when_it_is_sent() {
    let mut world = World::new();
    let text = "<?xml version=\"1.0\" encoding=\"utf-16\"?>\
                <web_service xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" \
                xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" version=\"1.0\"><eventhandler>\
                <eventsubscribe action=\"add\" type=\"any\" resource_id=\"any\" resource_type=\"any\" />\
                </eventhandler></web_service>";
    let little: Vec<u8> =
        [0xFEFF].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = [0xFEFF].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    for body in [text.as_bytes(), &little, &big] {
        let reply = world.ask_alone(request("POST", COLLECTION, "", body));
        assert_eq!(reply.status, 201, "{}", reply.text());
        assert_eq!(reply.text(), handler_document(&identifier(&reply), &[ANY]));
    }
}

#[test]
fn x6_unknown_children_and_attributes_are_ignored() {
    let mut world = World::new();
    for body in [
        document("<eventsubscribe/><webhooks url=\"http://x/\"><a/></webhooks>"),
        document("<webhooks><eventsubscribe type=\"hangup\"/></webhooks><eventsubscribe colour=\"red\"/>"),
        "<web_service version=\"9\"><other/><eventhandler a=\"b\"><eventsubscribe/></eventhandler></web_service>"
            .to_owned(),
    ] {
        let reply = world.ask_alone(request("POST", COLLECTION, "", &body));
        assert_eq!(reply.text(), handler_document(&identifier(&reply), &[ANY]), "{body}");
    }
}

#[test]
fn x8_semicolons_separate_as_well() {
    let mut world = World::new();
    for query in ["?tag=x;appid=app", "?appid=app;tag=x&y", "?app%69d=%61pp", "?appid=app&appid=app"] {
        let target = format!("/default/eventhandlers{query}");
        assert_eq!(
            world.ask_alone(request("POST", &target, "", document(EVERYTHING))).status,
            201,
            "{query}"
        );
    }
    // A slash at the end of the collection is no other address.
    assert_eq!(world.ask_alone(get("/default/eventhandlers/?appid=app")).status, 200);
}

#[test]
fn x9_put_add_keeps_any() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let reply = world.ask_alone(put_handler(&id, "<eventsubscribe action=\"add\" type=\"end_play\"/>"));
    assert_eq!((reply.status, reply.field("content-type")), (200, Some("application/xml")));
    let both = [ANY, ("end_play", "any", "any")];
    assert_eq!(reply.text(), handler_document(&id, &both));
    assert_eq!(reply.body.len(), 368, "0x170 bytes");
    assert_eq!(reply.field("location"), None);
    // A duplicate, also one by defaults, changes nothing.
    let reply = world.ask_alone(put_handler(&id, "<eventsubscribe type=\"end_play\"/><eventsubscribe/>"));
    assert_eq!(reply.text(), handler_document(&id, &both));
    // Ids are compared without regard to case.
    let reply = world.ask_alone(put_handler(&id.to_uppercase(), EVERYTHING));
    assert_eq!((reply.status, reply.text()), (200, &*handler_document(&id, &both)));
}

#[test]
fn x10_put_remove_takes_exactly_one_equal_entry() {
    let mut world = World::new();
    let id = create(
        &mut world,
        "<eventsubscribe/><eventsubscribe type=\"hangup\" resource_type=\"call\" resource_id=\"7\"/>",
    );
    let hangup = ("hangup", "7", "call");
    // None of these is equal.
    for other in [
        "type=\"hangup\"",
        "type=\"hangup\" resource_id=\"7\"",
        "type=\"hangup\" resource_id=\"8\" resource_type=\"call\"",
        "type=\"dtmf\"",
    ] {
        let reply =
            world.ask_alone(put_handler(&id, &format!("<eventsubscribe action=\"remove\" {other}/>")));
        assert_eq!((reply.status, reply.text()), (200, &*handler_document(&id, &[ANY, hangup])), "{other}");
    }
    let reply = world.ask_alone(put_handler(&id, "<eventsubscribe action=\"remove\"/>"));
    assert_eq!(reply.text(), handler_document(&id, &[hangup]));
    // In document order: removed, then added again at the end.
    let again = "<eventsubscribe type=\"dtmf\"/><eventsubscribe action=\"remove\" type=\"hangup\" resource_id=\"7\" \
                 resource_type=\"call\"/><eventsubscribe type=\"hangup\" resource_id=\"7\" resource_type=\"call\"/>";
    let reply = world.ask_alone(put_handler(&id, again));
    assert_eq!(reply.text(), handler_document(&id, &[("dtmf", "any", "any"), hangup]));
}

#[test]
fn x11_one_bad_entry_spoils_a_put() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let before = state(&mut world, &id);
    for bad in [
        "<eventsubscribe type=\"no_such\"/>",
        "<eventsubscribe resource_type=\"door\"/>",
        "<eventsubscribe action=\"toggle\"/>",
        "<eventsubscribe resource_id=\"\"/>",
    ] {
        let edits = format!("<eventsubscribe type=\"dtmf\"/>{bad}<eventsubscribe action=\"remove\"/>");
        assert_xms_error(&world.ask_alone(put_handler(&id, &edits)), 400);
        assert_eq!(state(&mut world, &id).text(), before.text(), "{bad}");
    }
    assert_xms_error(&world.ask_alone(put_handler(&id, "")), 400);
}

#[test]
fn x13_delete_is_a_bare_204_and_then_404() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let peer = world.connect();
    let fields = "Content-Type: application/xml\r\n";
    world.send(peer, request("DELETE", &instance(&id), fields, ""));
    let bytes = String::from_utf8(world.take(peer)).unwrap();
    let expected =
        "HTTP/1.1 204 No Content\r\nDate: Tue, 03 Nov 2015 14:37:11 GMT\r\nServer: offhook\r\n\r\n";
    assert_eq!(bytes, expected, "neither body nor Content-Length nor Transfer-Encoding");
    let state = format!("{}&view=state", instance(&id));
    for bad in [
        request("DELETE", &instance(&id), "", ""),
        put_handler(&id, EVERYTHING),
        get(&instance(&id)),
        get(&state),
        request("DELETE", &instance(&id), "", ""),
    ] {
        assert_xms_error(&world.ask(peer, bad), 404);
    }
}

#[test]
fn x15_the_list_is_per_application_and_in_creation_order() {
    let mut config = Config::default();
    for name in ["other", "empty"] {
        config.xms.apps.push(XmsApp { name: name.to_owned(), ..XmsApp::default() });
    }
    let mut world = World::with(config, 1);
    let first = create(&mut world, EVERYTHING);
    let other =
        world.ask_alone(request("POST", "/default/eventhandlers?appid=other", "", document(EVERYTHING)));
    let other = identifier(&other);
    let mut ids = vec![first];
    for _ in 0..20 {
        ids.push(create(
            &mut world,
            "<eventsubscribe type=\"hangup\"/><eventsubscribe resource_type=\"call\"/>",
        ));
    }
    let two = [("hangup", "any", "any"), ("any", "any", "call")];
    let entries = |ids: &[String]| -> Vec<String> {
        let each = ids.iter().enumerate();
        each.map(|(at, id)| entry("app", id, if at == 0 { &[ANY] } else { &two })).collect()
    };
    let reply = world.ask_alone(get(COLLECTION));
    assert_eq!((reply.status, reply.field("content-type")), (200, Some("application/xml")));
    assert_eq!(reply.text(), list(&entries(&ids)));
    let gone = ids.remove(7);
    assert_eq!(world.ask_alone(request("DELETE", &instance(&gone), "", "")).status, 204);
    assert_eq!(world.ask_alone(get(COLLECTION)).text(), list(&entries(&ids)));
    let reply = world.ask_alone(get("/default/eventhandlers?appid=other"));
    assert_eq!(reply.text(), list(&[entry("other", &other, &[ANY])]));
    let reply = world.ask_alone(get("/default/eventhandlers?appid=empty"));
    assert_eq!((reply.status, reply.text()), (200, &*list(&[])));
}

#[test]
fn x15_the_list_of_one_has_411_bytes() {
    let mut world = World::new();
    create(&mut world, EVERYTHING);
    assert_eq!(world.ask_alone(get(COLLECTION)).body.len(), 411, "0x19b bytes");
}

#[test]
fn x16_the_view_decides_and_not_accept() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let target = format!("{}&view=state", instance(&id));
    let expected =
        format!("<web_service version=\"1.0\">\r\n{}</web_service>\r\n", entry("app", &id, &[ANY]));
    assert_eq!(expected.len(), 293, "0x125 bytes");
    for accept in
        ["", "Accept: application/xml\r\n", "Accept: */*\r\n", "Accept: text/html, application/*;q=0.1\r\n"]
    {
        let reply = world.ask_alone(request("GET", &target, accept, ""));
        assert_eq!((reply.status, reply.field("content-type")), (200, Some("application/xml")), "{accept}");
        assert_eq!(reply.text(), expected);
    }
    assert_xms_error(&world.ask_alone(request("GET", &target, "Accept: text/html\r\n", "")), 406);
    assert_xms_error(&world.ask_alone(get(&format!("{}&view=other", instance(&id)))), 400);
    // Without a view it is the stream, whatever Accept says.
    let peer = world.connect();
    let head = world.open(peer, request("GET", &instance(&id), "Accept: application/xml\r\n", ""));
    assert_eq!((head.status, head.field("content-type")), (200, Some("text/plain")));
    assert_eq!(world.take(peer), KEEPALIVE.as_bytes());
    // A handler without subscriptions has no such line.
    world.ask_alone(put_handler(&id, "<eventsubscribe action=\"remove\"/>"));
    let expected = format!("<web_service version=\"1.0\">\r\n{}</web_service>\r\n", entry("app", &id, &[]));
    assert_eq!(state(&mut world, &id).text(), expected);
}

#[test]
fn x33_post_and_its_stream_share_a_connection() {
    let mut world = World::new();
    let peer = world.connect();
    let reply = world.ask(peer, post_handler(EVERYTHING));
    let head = world.open(peer, get(&instance(&identifier(&reply))));
    assert_eq!(head.status, 200);
    assert_eq!(world.take(peer), KEEPALIVE.as_bytes());
    publish_all(&mut world, &[ringing("1")]);
    assert_eq!(xml(&mut world, peer).len(), 1);
}

#[test]
fn x34_http_1_0_post_and_delete_are_answered_by_length() {
    let mut world = World::new();
    let body = document(EVERYTHING);
    let post = format!("POST {COLLECTION} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let peer = world.connect();
    let reply = world.ask(peer, &post);
    assert_eq!((reply.status, reply.field("content-length")), (201, Some("295")));
    assert_eq!((reply.field("transfer-encoding"), reply.field("connection")), (None, Some("close")));
    assert!(world.is_finished(peer));
    let id = identifier(&reply);
    let reply = world.ask_alone(format!("DELETE {} HTTP/1.0\r\n\r\n", instance(&id)));
    assert_eq!((reply.status, reply.field("content-length")), (204, None));
}

#[test]
fn x35_expect_gets_100_and_then_201() {
    let mut world = World::new();
    let peer = world.connect();
    let whole = request("POST", COLLECTION, "Expect: 100-continue\r\n", document(EVERYTHING));
    let body = document(EVERYTHING).len();
    world.send(peer, &whole[..whole.len() - body]);
    assert_eq!(world.take(peer), b"HTTP/1.1 100 Continue\r\n\r\n");
    world.send(peer, &whole[whole.len() - body..]);
    assert_eq!(world.next_reply(peer).unwrap().status, 201);
}

#[test]
fn a_handler_has_a_bounded_list() {
    let mut config = Config::default();
    config.limits.xms_subscriptions = 3;
    let mut world = World::with(config, 1);
    let some = |ids: std::ops::Range<u32>| -> String {
        ids.map(|id| format!("<eventsubscribe resource_id=\"{id}\"/>")).collect()
    };
    assert_xms_error(&world.ask_alone(post_handler(&some(0..4))), 400);
    let id = create(&mut world, &some(0..3));
    let before = state(&mut world, &id);
    assert_xms_error(&world.ask_alone(put_handler(&id, &some(3..4))), 400);
    assert_eq!(state(&mut world, &id).text(), before.text());
    assert_eq!(world.ask_alone(put_handler(&id, &some(0..3))).status, 200);
    let stream = listen(&mut world, &id);
    publish_all(&mut world, &[ringing("1"), ringing("9")]);
    assert_eq!(xml(&mut world, stream).len(), 1);
}

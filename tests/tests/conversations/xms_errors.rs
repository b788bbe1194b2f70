//! XMS requests that are refused (xms.md 2.8 and 3): an error document, nothing changed, and the connection goes on.

use offhook_core::Config;
use offhook_core::ground::config::{Listener, XmsApp};
use offhook_tests::memory::World;
use offhook_tests::memory::write::{get, request};

use crate::common::{
    COLLECTION, EVERYTHING, assert_xms_error, create, document, instance, post_handler, put_handler,
};

fn two_apps() -> World {
    let mut config = Config::default();
    config.xms.apps.push(XmsApp { name: "other".to_owned(), ..XmsApp::default() });
    World::with(config, 1)
}

#[test]
fn x7_appids_and_ids_that_are_not_ours() {
    let mut world = two_apps();
    let id = create(&mut world, EVERYTHING);
    let peer = world.connect();
    let of = |query: &str| format!("/default/eventhandlers/{id}{query}");
    for (method, target, status) in [
        ("GET", "/default/eventhandlers".to_owned(), 400),
        ("GET", "/default/eventhandlers?appid=".to_owned(), 400),
        ("POST", "/default/eventhandlers?tag=x".to_owned(), 400),
        ("GET", "/default/eventhandlers?appid=app&appid=other".to_owned(), 400),
        ("GET", "/default/eventhandlers?appid=%zz".to_owned(), 400),
        ("GET", "/default/eventhandlers?appid=nobody".to_owned(), 404),
        ("GET", "/default/eventhandlers?appid=APP".to_owned(), 404),
        ("GET", of(""), 400),
        ("GET", of("?appid=other"), 404),
        ("PUT", of("?appid=other"), 404),
        ("DELETE", of("?appid=other"), 404),
        ("HEAD", of("?appid=other"), 404),
        ("GET", instance("598ade4c-5dd5-4c4b-9a48-9e05a69da65a"), 404),
        ("DELETE", instance("598ade4c-5dd5-4c4b-9a48-9e05a69da65a"), 404),
        ("GET", instance("no-uuid"), 404),
        ("GET", instance(&id.replace('-', "")), 404),
    ] {
        let body = if matches!(method, "POST" | "PUT") { document(EVERYTHING) } else { String::new() };
        let reply = world.ask(peer, request(method, &target, "", body));
        assert_eq!(reply.status, status, "{method} {target}");
        if method != "HEAD" {
            assert_xms_error(&reply, status);
        }
    }
    // A foreign id and an unknown one get the same answer, and the handler is as it was.
    let foreign = world.ask(peer, get(&of("?appid=other")));
    assert_eq!(
        foreign.text(),
        "<web_service version=\"1.0\">\r\n<error code=\"404\" description=\"no such eventhandler\"/>\r\n</web_service>\r\n"
    );
    assert_eq!(foreign.body.len(), 101, "0x65 bytes");
    assert_eq!(world.ask(peer, get(&instance("598ade4c-5dd5-4c4b-9a48-9e05a69da65a"))).body, foreign.body);
    assert!(world.ask(peer, get(COLLECTION)).text().contains("size=\"1\""));
}

#[test]
fn x36_other_resources_are_empty_or_not_served() {
    let mut world = World::new();
    let peer = world.connect();
    for name in ["calls", "conferences"] {
        let reply = world.ask(peer, get(&format!("/default/{name}?appid=app")));
        let expected =
            format!("<web_service version=\"1.0\">\r\n<{name}_response size=\"0\"/>\r\n</web_service>\r\n");
        assert_eq!((reply.status, reply.field("content-type")), (200, Some("application/xml")));
        assert_eq!(reply.text(), expected);
        assert!(name != "calls" || reply.body.len() == 73);
        for method in ["PUT", "DELETE"] {
            let target = format!("/default/{name}/{}?appid=app", crate::common::CALL);
            assert_xms_error(&world.ask(peer, request(method, &target, "", "")), 404);
        }
    }
    for name in ["calls", "conferences", "mrcps"] {
        let reply = world.ask(peer, request("POST", &format!("/default/{name}?appid=app"), "", "<call/>"));
        assert_xms_error(&reply, 501);
        assert!(reply.text().contains("offhook serves events only"));
    }
}

#[test]
fn x38_bad_documents_are_refused_and_the_connection_goes_on() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let peer = world.connect();
    let long = format!("<eventsubscribe resource_id=\"{}\"/>", "x".repeat(257));
    let attributes: String = (0..65).map(|n| format!(" a{n}=\"\"")).collect();
    for (body, status) in [
        (String::new(), 400),
        ("<web_service version=\"1.0\"><eventhandler>".to_owned(), 400),
        ("<web_service><eventhandler><eventsubscribe></eventhandler></web_service>".to_owned(), 400),
        (format!("<!DOCTYPE web_service [<!ENTITY a \"b\">]>{}", document(EVERYTHING)), 400),
        ("<other><eventhandler><eventsubscribe/></eventhandler></other>".to_owned(), 400),
        ("<web_service version=\"1.0\"><eventsubscribe/></web_service>".to_owned(), 400),
        (document(""), 400),
        (document("<eventsubscribe action=\"ADD\"/>"), 400),
        (document("<eventsubscribe type=\"RINGING\"/>"), 400),
        (document("<eventsubscribe type=\"\"/>"), 400),
        (document("<eventsubscribe resource_type=\"stream\"/>"), 400),
        (document(&long), 400),
        (document("<eventsubscribe type=\"any\" type=\"any\"/>"), 400),
        (document(&format!("<eventsubscribe{attributes}/>")), 400),
        (document(EVERYTHING) + &" ".repeat(65_536), 413),
    ] {
        let start: String = body.chars().take(90).collect();
        let (post, put) = (request("POST", COLLECTION, "", &body), request("PUT", &instance(&id), "", &body));
        for bad in [post, put] {
            let reply = world.ask(peer, bad);
            assert_eq!(reply.status, status, "{start}");
            assert_xms_error(&reply, status);
        }
    }
    assert_eq!(world.ask(peer, put_handler(&id, EVERYTHING)).status, 200);
    assert!(
        world.ask(peer, get(COLLECTION)).text().contains("size=\"1\""),
        "a refused request changes nothing"
    );
}

#[test]
fn x46_an_address_outside_of_the_allow_list_gets_403() {
    let mut config = Config::default();
    config.xms.apps[0].allow = Some(vec!["127.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()]);
    config.xms.apps.push(XmsApp { name: "open".to_owned(), ..XmsApp::default() });
    let mut world = World::with(config, 1);
    let id = create(&mut world, EVERYTHING);
    for (from, status) in [
        ("127.9.9.9:1", 201),
        ("[2001:db8::7]:1", 201),
        ("[::ffff:127.0.0.1]:1", 201),
        ("192.0.2.7:1", 403),
        ("[2001:db9::7]:1", 403),
    ] {
        let peer = world.connect_from(0, from);
        let reply = world.ask(peer, post_handler(EVERYTHING));
        assert_eq!(reply.status, status, "{from}");
        if status == 403 {
            assert_xms_error(&reply, 403);
            for target in [COLLECTION, &*instance(&id), "/default/calls?appid=app"] {
                assert_xms_error(&world.ask(peer, get(target)), 403);
            }
            let reply = world.ask(peer, get("/default/eventhandlers?appid=open"));
            assert_eq!(reply.status, 200, "the connection goes on, and another application is open");
        }
    }
    let note = world.take_notes().into_iter().find(|note| note.text.contains("192.0.2.7"));
    let text = note.expect("a refused address is logged").text;
    assert!(text.contains("[xms.app.app] allow"), "with the line that would admit it: {text}");
}

#[test]
fn a_listener_serves_its_dialects_alone() {
    let listener = |names: &[&str]| Listener {
        dialects: Some(names.iter().map(|n| (*n).to_owned()).collect()),
        ..Listener::default()
    };
    let mut world = World::with(Config { listeners: vec![listener(&["native"])], ..Config::default() }, 1);
    assert_eq!(world.ask_alone(get(COLLECTION)).status, 404);
    let mut world = World::with(Config { listeners: vec![listener(&["xms"])], ..Config::default() }, 1);
    assert_eq!(world.ask_alone(get(COLLECTION)).status, 200);
    assert_eq!(world.ask_alone(get("/v1/events")).status, 404);
}

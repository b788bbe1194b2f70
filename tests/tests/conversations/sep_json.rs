//! The same subscriptions in JSON, under `/v1/subscriptions`.

use offhook_tests::memory::World;
use offhook_tests::memory::read::Reply;
use offhook_tests::memory::write::{get, request};
use serde_json::{Value, json};

use crate::common::assert_problem;
use crate::sep_common::*;

fn body(reply: &Reply) -> Value {
    assert_eq!(reply.field("content-type"), Some("application/json"), "{}", reply.text());
    serde_json::from_slice(&reply.body).expect("JSON")
}

fn wish() -> Value {
    json!({
        "package": "reg",
        "uris": ["sip:bill@example.com", {"uri": "sip:joe@example.org", "name": "Joe"}],
        "expires": "2026-01-02T18:00:00Z",
        "callback": CALLBACK,
    })
}

fn made(world: &mut World) -> String {
    let reply = world.ask_alone(json("POST", JSON, &wish()));
    assert_eq!(reply.status, 201, "{}", reply.text());
    path_of(&reply)
}

#[test]
fn subscriptions_are_made_shown_changed_and_ended() {
    let mut world = world(1);
    let reply = world.ask_alone(json("POST", JSON, &wish()));
    assert_eq!(reply.status, 201, "{}", reply.text());
    let location = reply.field("location").unwrap().to_owned();
    let id = location.strip_prefix("http://localhost/v1/subscriptions/").expect("absolute").to_owned();
    let path = format!("{JSON}/{id}");
    let mut expected = json!({
        "id": id,
        "package": "reg",
        "expires": "2026-01-02T18:00:00.000Z",
        "version": 0,
        "callback": CALLBACK,
        "accept": ["application/reginfo+xml"],
        "resources": [
            {"uri": "sip:bill@example.com", "instances": []},
            {"uri": "sip:joe@example.org", "name": "Joe", "instances": []},
        ],
    });
    assert_eq!(body(&reply), expected);
    tell_text(&mut world, &path, "hello\r\n");
    let instance = json!({"id": "i20", "state": "active", "content_type": "text/plain", "body": "hello\r\n"});
    expected["resources"][0]["instances"] = json!([instance]);
    expected["version"] = json!(1);
    assert_eq!(body(&world.ask_alone(get(&path))), expected);
    // The callback carries the same, in JSON.
    let (call, head) = one_call(&mut world);
    assert_eq!(head.field("content-type"), Some("application/json"));
    assert_eq!(head.field("content-location"), Some(&*location));
    assert!(head.field("offhook-delivery-id").is_some());
    assert_eq!(serde_json::from_slice::<Value>(&head.body).unwrap(), expected);
    world.answer(&call, 200);

    let put = json!({"uris": ["sip:bill@example.com"], "expires": 60});
    let reply = body(&world.ask_alone(json("PUT", &path, &put)));
    assert_eq!(reply["expires"], "2026-01-01T00:01:00.000Z");
    assert_eq!(reply["resources"], json!([expected["resources"][0]]));
    // Bytes that are no text.
    tell(&mut world, &path, vec![active("sip:bill@example.com", "x/y", b"\xff\0")]);
    let shown = body(&world.ask_alone(get(&path)));
    assert_eq!(shown["resources"][0]["instances"][0]["body_base64"], "/wA=");
    let (call, _) = one_call(&mut world);
    world.answer(&call, 200);

    assert_eq!(world.ask_alone(request("DELETE", &path, "", "")).status, 204);
    let (_, head) = one_call(&mut world);
    let last: Value = serde_json::from_slice(&head.body).unwrap();
    assert_eq!((&last["ended"], &last["version"]), (&json!("deleted"), &json!(3)));
    assert_eq!(last["resources"][0]["instances"][0]["reason"], "timeout");
    assert_problem(&world.ask_alone(get(&path)), 410);
}

#[test]
fn what_one_face_makes_the_other_shows() {
    let mut world = world(2);
    let by_json = made(&mut world);
    let by_xml = create(&mut world);
    let shown = world.ask_alone(get(&by_json.replace(JSON, SEP)));
    assert!(shown.text().contains("<resource uri=\"sip:joe@example.org\"><name>Joe</name></resource>"));
    assert_eq!(body(&world.ask_alone(get(&by_xml.replace(SEP, JSON))))["package"], "reg");
    assert_eq!(world.ask_alone(get(SEP)).text().matches("href").count(), 2);
    assert_eq!(body(&world.ask_alone(get(JSON)))["subscriptions"].as_array().unwrap().len(), 2);
    assert_eq!(world.ask_alone(request("DELETE", &by_json.replace(JSON, SEP), "", "")).status, 204);
    assert_problem(&world.ask_alone(get(&by_json)), 410);
}

#[test]
fn the_list_has_pages() {
    let mut world = world(1);
    let paths: Vec<String> = (0..5).map(|_| made(&mut world)).collect();
    let mut seen = Vec::new();
    let mut target = format!("{JSON}?limit=2");
    loop {
        let page = body(&world.ask_alone(get(&target)));
        let rows = page["subscriptions"].as_array().unwrap();
        assert!(rows.len() <= 2 && rows.iter().all(|row| row["uris"] == 2 && row.get("resources").is_none()));
        seen.extend(rows.iter().map(|row| format!("{JSON}/{}", row["id"].as_str().unwrap())));
        let Some(next) = page["next"].as_str() else { break };
        target = format!("{JSON}?limit=2&after={next}");
    }
    assert_eq!(seen, paths);
    for query in ["limit=0", "limit=1001", "limit=x", "after=x", "limit=%zz"] {
        assert_problem(&world.ask_alone(get(&format!("{JSON}?{query}"))), 400);
    }
}

#[test]
fn bad_input_gets_a_problem_document() {
    let mut world = world(1);
    let before = world.kept_records().len();
    let with = |key: &str, value: Value| {
        let mut wish = wish();
        wish[key] = value;
        wish
    };
    let without = |key: &str| {
        let mut wish = wish();
        wish.as_object_mut().unwrap().remove(key);
        wish
    };
    for (wish, status, words) in [
        (json!([]), 400, "a JSON object is wanted"),
        (json!(["reg", ["sip:a@b"], null, null, null]), 400, "a JSON object is wanted"),
        (json!({}), 400, "package: "),
        (without("package"), 400, "package"),
        (without("uris"), 400, "uris: there is no entry"),
        (with("uris", json!([])), 400, "uris: there is no entry"),
        (with("uris", json!(["sip:a@b", "sip:a@b", "tel:1"])), 422, "uris[2]: \"tel:1\""),
        (with("uris", json!(["sip:a@b?x=y"])), 422, "uris[0]: "),
        (with("uris", json!([{"uri": "sip:a@b", "nam": 1}])), 400, "URI"),
        (with("expires", json!("2009-06-01T18:00:00Z")), 400, "past"),
        (with("expires", json!("soon")), 400, "soon"),
        (with("expires", json!(0)), 400, "past"),
        (with("expires", json!(1.5)), 400, "seconds"),
        (
            with("package", json!("parking")),
            422,
            "package: the package \"parking\" is not known, and no accept",
        ),
        (with("package", json!("a b")), 422, "package: \"a b\""),
        (with("callback", json!("http://127.0.0.1/")), 422, "callback: 127.0.0.1 is a loopback"),
        (with("callback", json!("x")), 422, "callback: \"x\""),
        (with("accept", json!(["x"])), 422, "accept: \"x\" is no media type"),
        (with("colour", json!("red")), 400, "colour"),
    ] {
        let problem = assert_problem(&world.ask_alone(json("POST", JSON, &wish)), status);
        assert!(problem["detail"].as_str().unwrap().contains(words), "{words}: {problem}");
    }
    assert_problem(&world.ask_alone(request("POST", JSON, "", wish().to_string())), 415);
    let text = request("POST", JSON, "Content-Type: application/json\r\n", "{\"package\":");
    assert_problem(&world.ask_alone(text), 400);
    assert_problem(&world.ask_alone(json("PATCH", JSON, &wish())), 405);
    assert_problem(&world.ask_alone(json("POST", JSON, &with("package", json!("x".repeat(262_144))))), 413);
    assert_problem(&world.ask_alone(get(&format!("{JSON}/x"))), 404);
    assert_eq!(world.kept_records().len(), before, "nothing was made");
    let path = made(&mut world);
    assert_problem(&world.ask_alone(json("PUT", &path, &json!({"package": "dialog"}))), 409);
    let stranger = world.connect_from(0, "192.0.2.1:1");
    assert_problem(&world.ask(stranger, get(JSON)), 403);
}

//! SIP subscriptions over HTTP: the vendor's documents, and what is refused (sep.md 2.1 to 2.5 and 3).

use offhook_core::Config;
use offhook_tests::memory::World;
use offhook_tests::memory::write::{get, request};

use crate::access_common::{ask, basic, bearer, token, user};
use crate::sep_common::*;

/// The vendor's own example, with a time in the future.
const EXAMPLE: &str = "<?xml version=\"1.0\"?>

<subscribe xmlns=\"http://voip.co.uk/api/sep/2009-06\" event=\"reg\">

  <resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">
     <list>
       <entry uri=\"sip:bill@example.com\" />
       <entry uri=\"sip:joe@example.org\" />
       <entry uri=\"sip:ted@example.net\" />
     </list>
   </resource-lists>

  <notify url=\"http://my.server.com/callback?xxx=yyy\"/>
  <expires>2026-01-02T18:00:00+00:00</expires>

  <accept>application/reginfo+xml</accept>

</subscribe>
";

/// What its subscription looks like as long as nothing is known.
fn example_document(id: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n\
         <subscription xmlns=\"http://voip.co.uk/api/sep/2009-06\" event=\"reg\">\
         <list xmlns=\"urn:ietf:params:xml:ns:rlmi\" uri=\"sip:{id}@example.test\" version=\"0\" fullState=\"true\">\
         <resource uri=\"sip:bill@example.com\"/><resource uri=\"sip:joe@example.org\"/>\
         <resource uri=\"sip:ted@example.net\"/></list>\
         <notify url=\"http://my.server.com/callback?xxx=yyy\"/>\
         <expires>2026-01-02T18:00:00+00:00</expires></subscription>\n"
    )
}

#[test]
fn s1_s3_the_page_s_example() {
    let mut world = world(1);
    let reply = world.ask_alone(request("POST", SEP, "Content-Type: text/xml\r\n", EXAMPLE));
    assert_eq!(reply.status, 201, "{}", reply.text());
    let location = reply.field("location").unwrap().to_owned();
    let id = location.strip_prefix("http://localhost/v/2009-06/sep/").expect("absolute and canonical");
    let uuid: uuid::Uuid = id.parse().unwrap();
    assert_eq!(uuid.to_string(), id, "lower case");
    assert_eq!(reply.field("content-type"), Some("application/xml;charset=UTF-8"));
    assert_eq!(reply.text(), example_document(id));
    let reply = world.ask_alone(get(&format!("{SEP}/{id}")));
    assert_eq!((reply.status, reply.field("content-type")), (200, Some("application/xml;charset=UTF-8")));
    assert_eq!(reply.text(), example_document(id));
    let head = world.ask_alone(request("HEAD", &format!("{SEP}/{id}"), "", ""));
    let length = reply.body.len().to_string();
    assert_eq!((head.status, head.field("content-length")), (200, Some(&*length)));
    assert!(head.body.is_empty());
    assert!(world.take_calls().is_empty(), "no callback for version 0");
    // The list, of which there is one.
    let list = world.ask_alone(get(SEP));
    let row = format!("<subscription href=\"{location}\" event=\"reg\"/>");
    assert!(list.status == 200 && list.text().contains(&row), "{}", list.text());
}

#[test]
fn s2_the_alias_path() {
    let mut world = world(1);
    let reply = world.ask_alone(xml("POST", "/v/2009-01/sep", EXAMPLE));
    assert_eq!(reply.status, 201);
    let canonical = path_of(&reply);
    assert!(canonical.starts_with("/v/2009-06/sep/"), "{canonical}");
    let alias = canonical.replace("2009-06", "2009-01");
    let text = world.ask_alone(get(&alias)).text().to_owned();
    assert_eq!(world.ask_alone(get(&canonical)).text(), text);
    let put = subscribe("", &[], "<expires>2026-01-03T00:00:00Z</expires>");
    let reply = world.ask_alone(xml("PUT", &alias, &put));
    assert!(reply.status == 200 && reply.text().contains("<expires>2026-01-03T00:00:00+00:00</expires>"));
    assert!(world.ask_alone(get("/v/2009-01/sep")).text().contains(&canonical));
    assert_eq!(world.ask_alone(request("DELETE", &alias, "", "")).status, 204);
    assert_error(&world.ask_alone(get(&canonical)), 410, "deleted");
}

#[test]
fn s4_types_of_requests() {
    let mut world = world(1);
    for (field, status) in [
        ("Content-Type: text/xml\r\n", 201),
        ("Content-Type: TEXT/XML; charset=utf-8\r\n", 201),
        ("Content-Type: application/xml\r\n", 201),
        ("", 201),
        ("Content-Type: application/json\r\n", 415),
        ("Content-Type: application/x-www-form-urlencoded\r\n", 415),
    ] {
        let reply = world.ask_alone(request("POST", SEP, field, EXAMPLE));
        assert_eq!(reply.status, status, "{field}");
        if status != 201 {
            assert_error(&reply, 415, "text/xml, application/xml");
        }
    }
}

#[test]
fn s5_forms_of_answers() {
    let mut world = world(1);
    let path = create(&mut world);
    let with = |accept: &str| request("GET", &path, &format!("Accept: {accept}\r\n"), "");
    for accept in ["xxxx", "*/*", "application/*", "application/xml", "text/xml"] {
        let reply = world.ask_alone(with(accept));
        assert_eq!(reply.field("content-type"), Some("application/xml;charset=UTF-8"), "{accept}");
        assert!(reply.text().contains("<subscription "));
    }
    assert_error(&world.ask_alone(with("text/html")), 406, "multipart/related");
    let list = request("GET", SEP, "Accept: multipart/related\r\n", "");
    assert_error(&world.ask_alone(list), 406, "application/xml");
    tell_text(&mut world, &path, "hello");
    let reply = world.ask_alone(with("multipart/related"));
    let media = reply.field("content-type").unwrap();
    assert!(media.starts_with("multipart/related;type=\"application/rlmi+xml\";start=\"<1."), "{media}");
    assert_eq!(reply.field("content-location"), Some(&*format!("http://localhost{path}")));
    assert_eq!(reply.field("offhook-event"), Some("reg"));
    assert!(reply.field("offhook-expires").unwrap().ends_with("+00:00"));
    assert!(
        reply.text().contains("Content-Type: text/plain\r\n") && reply.text().contains("\r\n\r\nhello\r\n--")
    );
}

#[test]
fn s6_s7_s8_what_is_granted() {
    let mut world = world(1);
    let children = "<expires>2026-01-01T03:00:00+02:00</expires>";
    let path = create_with(&mut world, &subscribe("dialog", &["sip:a@b", "sip:a@b", "sip:c@d"], children));
    let text = world.ask_alone(get(&path)).text().to_owned();
    assert_eq!(text.matches("<resource ").count(), 2);
    assert!(text.contains("<expires>2026-01-01T01:00:00+00:00</expires>"), "{text}");
    for (event, expires, granted) in [
        ("reg", "", "2026-01-01T01:02:41+00:00"),
        ("dialog", "", "2026-01-01T01:00:00+00:00"),
        ("reg", "<expires>2030-01-01T00:00:00Z</expires>", "2026-01-08T00:00:00+00:00"),
    ] {
        let reply = world.ask_alone(xml("POST", SEP, &subscribe(event, &["sip:a@b"], expires)));
        assert!(reply.text().contains(granted), "{}", reply.text());
    }
}

#[test]
fn bad_input_says_what_and_where() {
    let mut world = world(1);
    let too_many: Vec<String> = (0..201).map(|at| format!("sip:{at}@example.com")).collect();
    let too_many: Vec<&str> = too_many.iter().map(String::as_str).collect();
    let one = &["sip:a@example.com"];
    let before = world.kept_records().len();
    for (document, status, words) in [
        (String::new(), 400, "root"),
        ("<subscribe".to_owned(), 400, "at byte"),
        (EXAMPLE.replace("?>", "?><!DOCTYPE x>"), 400, "document type"),
        (EXAMPLE.replace("subscribe", "register"), 400, "&lt;register&gt;"),
        (subscribe("", one, ""), 400, "event"),
        (subscribe("reg", &[], ""), 400, "no entry"),
        (subscribe("reg", one, "<expires>tomorrow</expires>"), 400, "tomorrow"),
        (subscribe("reg", one, "<expires>2009-06-01T18:00:00+00:00</expires>"), 400, "past"),
        (subscribe("reg", one, "<notify url=\"http://127.0.0.1/\"/>"), 403, "loopback"),
        (subscribe("reg", one, "<notify url=\"http://[::]/\"/>"), 403, "[outbox] allow_private"),
        (subscribe("reg", one, "<notify url=\"mailto:a@b\"/>"), 422, "mailto:a@b"),
        (subscribe("reg", &["tel:+49"], ""), 422, "tel:+49"),
        (subscribe("reg", &too_many, ""), 422, "200"),
        (subscribe("parking", one, ""), 422, "parking"),
        (subscribe("reg;id=1", one, ""), 422, "reg;id=1"),
        (subscribe("reg", one, "").replace("<entry", "<entry-ref"), 422, "entry-ref"),
    ] {
        assert_error(&world.ask_alone(xml("POST", SEP, &document)), status, words);
    }
    let large = format!("{}{}", " ".repeat(262_144), EXAMPLE);
    assert_error(&world.ask_alone(xml("POST", SEP, &large)), 413, "larger");
    assert_eq!(world.kept_records().len(), before, "nothing was made");
    let path = create(&mut world);
    for (method, target, allowed) in [
        ("PUT", SEP, "GET, HEAD, POST"),
        ("PATCH", SEP, "GET, HEAD, POST"),
        ("POST", &path, "GET, HEAD, PUT, DELETE"),
    ] {
        let reply = world.ask_alone(xml(method, target, EXAMPLE));
        assert_error(&reply, 405, allowed);
        assert_eq!(reply.field("allow"), Some(allowed));
    }
    for target in [
        format!("{SEP}/182ebe38-3854-4873-a8ab-2cb0eff38b4c"),
        format!("{SEP}/x"),
        format!("{SEP}/{}", path[SEP.len() + 1..].replace('-', "")),
        format!("{path}/list"),
    ] {
        assert_error(&world.ask_alone(get(&target)), 404, "no such");
    }
}

#[test]
fn too_many_subscriptions() {
    let mut config = config();
    config.limits.sep_subscriptions = 2;
    let mut world = world_with(config, 2);
    let first = create(&mut world);
    create(&mut world);
    let refused = |world: &mut World| {
        let reply = world.ask_alone(xml("POST", SEP, EXAMPLE));
        assert_error(&reply, 503, "there are 2");
        assert_eq!(reply.field("retry-after"), Some("60"));
    };
    refused(&mut world);
    assert_eq!(world.stats().sep_subscriptions, 2);
    assert_eq!(world.ask_alone(request("DELETE", &first, "", "")).status, 204);
    create(&mut world);
    refused(&mut world);
    // Two that race for the last place: one gets it, and nothing is left of the other.
    let all = world.ask_alone(get(SEP)).text().to_owned();
    let href = all.split("href=\"http://localhost").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_eq!(world.ask_alone(request("DELETE", &href, "", "")).status, 204);
    let peers = [world.connect_to(0), world.connect_to(1)];
    for peer in peers {
        world.queue(peer, xml("POST", SEP, &subscribe("reg", &["sip:a@b"], &notify())));
    }
    world.turn();
    let statuses = peers.map(|peer| world.next_reply(peer).unwrap().status);
    assert!(statuses == [201, 503] || statuses == [503, 201], "{statuses:?}");
    assert_eq!(world.stats().sep_subscriptions, 2);
}

#[test]
fn not_served_without_sip() {
    let mut world = World::new();
    assert_error(&world.ask_alone(xml("POST", SEP, EXAMPLE)), 404, "[sip] listen");
    assert_eq!(world.ask_alone(get(JSON)).status, 404);
}

#[test]
fn locations_are_those_of_the_request_or_of_the_config() {
    let mut world = world(1);
    let host = |host: &str| {
        format!("POST {SEP} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n{EXAMPLE}", EXAMPLE.len())
    };
    let reply = world.ask_alone(host("127.0.0.1:8080"));
    assert!(reply.field("location").unwrap().starts_with("http://127.0.0.1:8080/v/2009-06/sep/"));
    let mut config = config();
    config.sep.public_url = Some("https://api.example.test/".to_owned());
    world.tell(|| offhook_core::Completion::Reloaded(Box::new(config.clone())));
    let reply = world.ask_alone(host("localhost"));
    assert!(reply.field("location").unwrap().starts_with("https://api.example.test/v/2009-06/sep/"));
}

fn guarded() -> Config {
    let mut config = config();
    config.sep.users = [user("alice", "one", &[]), user("bob", "two", &[])].into();
    config.auth.tokens = vec![
        token("crm", "s3cret", "subscribe read", &[]),
        token("viewer", "v1ew", "read", &[]),
        token("narrow", "n4rrow", "subscribe read", &[("extension", "100")]),
    ];
    config
}

#[test]
fn s49_foreign_ids_look_like_unknown_ones() {
    let mut world = world_with(guarded(), 1);
    let peer = world.connect();
    let post = |fields: &str| request("POST", SEP, fields, EXAMPLE);
    let made = ask(&mut world, peer, post(&basic("alice", "one")));
    assert_eq!(made.status, 201, "{}", made.text());
    let path = path_of(&made);
    let json_path = path.replace(SEP, JSON);
    let unknown = format!("{SEP}/182ebe38-3854-4873-a8ab-2cb0eff38b4c");
    let put = subscribe("", &[], "<expires>2026-01-03T00:00:00Z</expires>");
    for who in [basic("bob", "two"), bearer("s3cret")] {
        for (method, body) in [("GET", ""), ("PUT", &*put), ("DELETE", "")] {
            let foreign = ask(&mut world, peer, request(method, &path, &who, body));
            assert_error(&foreign, 404, "no such subscription");
            assert_eq!(ask(&mut world, peer, request(method, &unknown, &who, body)).body, foreign.body);
        }
        assert!(!ask(&mut world, peer, request("GET", SEP, &who, "")).text().contains("href"));
        assert_eq!(ask(&mut world, peer, request("GET", &json_path, &who, "")).status, 404);
    }
    let own = basic("alice", "one");
    assert_eq!(ask(&mut world, peer, request("GET", &path, &own, "")).status, 200);
    assert_eq!(ask(&mut world, peer, request("GET", &json_path, &own, "")).status, 200);
    assert_eq!(ask(&mut world, peer, request("DELETE", &path, &own, "")).status, 204);
    assert_error(&ask(&mut world, peer, request("GET", &path, &own, "")), 410, "deleted");
    assert_error(&ask(&mut world, peer, request("GET", &path, &basic("bob", "two"), "")), 404, "no such");
}

#[test]
fn credentials_and_rights() {
    let mut world = world_with(guarded(), 1);
    let peer = world.connect();
    let reply = ask(&mut world, peer, get(SEP));
    assert_error(&reply, 401, "credentials");
    let challenges: Vec<_> =
        reply.head.lines().filter_map(|line| line.strip_prefix("WWW-Authenticate: ")).collect();
    assert_eq!(challenges, ["Bearer realm=\"offhook\"", "Basic realm=\"sep\", charset=\"UTF-8\""]);
    for (who, method, status) in [
        (basic("alice", "two"), "GET", 401),
        (basic("carol", "one"), "GET", 401),
        (bearer("wrong"), "GET", 401),
        (bearer("v1ew"), "GET", 200),
        (bearer("v1ew"), "POST", 403),
        (bearer("n4rrow"), "POST", 403),
        (bearer("n4rrow"), "GET", 403),
        (bearer("s3cret"), "POST", 201),
        (basic("bob", "two"), "POST", 201),
    ] {
        let reply =
            ask(&mut world, peer, request(method, SEP, &who, if method == "GET" { "" } else { EXAMPLE }));
        assert_eq!(reply.status, status, "{who} {method}: {}", reply.text());
    }
    // Without users and tokens it is open to this machine alone.
    let mut world = self::world(1);
    let stranger = world.connect_from(0, "192.0.2.1:1");
    assert_error(&world.ask(stranger, get(SEP)), 403, "from here");
    let evil = format!("GET {SEP} HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_error(&world.ask_alone(evil), 403, "from here");
    let page = request("GET", SEP, "Origin: https://evil.example\r\n", "");
    assert_error(&world.ask_alone(page), 403, "from here");
    // An address list keeps others out, whatever they know.
    let mut config = guarded();
    config.sep.allow = Some(vec!["198.51.100.0/24".parse().unwrap()]);
    let mut world = world_with(config, 1);
    let peer = world.connect();
    assert_error(&ask(&mut world, peer, request("GET", SEP, &bearer("s3cret"), "")), 403, "from here");
    let peer = world.connect_from(0, "198.51.100.7:1");
    assert_eq!(ask(&mut world, peer, request("GET", SEP, &bearer("s3cret"), "")).status, 200);
}

/// All lists together have a bound, which engines that read the same log judge alike.
#[test]
fn entries_of_all_subscriptions_are_bounded() {
    let mut config = config();
    config.limits.sep_entries_in_all = 3;
    let mut world = world_with(config.clone(), 2);
    let list =
        |count: usize| -> Vec<String> { (0..count).map(|n| format!("sip:u{n}@example.com")).collect() };
    let document = |event: &str, count: usize| {
        let uris = list(count);
        subscribe(event, &uris.iter().map(String::as_str).collect::<Vec<_>>(), "")
    };
    // Both engines have room when they are asked; the log decides.
    let peers = [world.connect_to(0), world.connect_to(1)];
    for peer in peers {
        world.queue(peer, xml("POST", SEP, &document("reg", 2)));
    }
    world.turn();
    let mut replies = peers.map(|peer| world.next_reply(peer).unwrap());
    replies.sort_by_key(|reply| reply.status);
    let [made, refused] = replies;
    assert_eq!((made.status, refused.field("retry-after")), (201, Some("60")));
    assert_error(&refused, 503, "all subscriptions may have 3 entries");
    // A PUT may not go beyond it either, and changes nothing then.
    let path = path_of(&made);
    let before = world.ask_alone(get(&path)).text().to_owned();
    assert_error(&world.ask_alone(xml("PUT", &path, &document("", 4))), 503, "all subscriptions");
    assert_eq!(world.ask_alone(get(&path)).text(), before);
    assert_eq!(world.ask_alone(xml("PUT", &path, &document("", 3))).status, 200);
    assert_error(&world.ask_alone(xml("POST", SEP, &document("reg", 1))), 503, "all subscriptions");
    // What was refused does not come back with a start, what was granted does.
    world.restart(config);
    assert_eq!(world.stats().sep_subscriptions, 1);
    assert_eq!(world.ask_alone(get(&path)).text().matches("<resource ").count(), 3);
    // An end makes room.
    assert_eq!(world.ask_alone(xml("DELETE", &path, "")).status, 204);
    assert_eq!(world.ask_alone(xml("POST", SEP, &document("reg", 3))).status, 201);
}

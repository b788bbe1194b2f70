//! Tokens of `/v1` (RFC 6750): their rights, the challenges, a token in the query, and pages that ask with one.

use offhook_tests::memory::World;
use offhook_tests::memory::write::{get, request};

use crate::access_common::{bearer, refusals, token, with_tokens};
use crate::common::{assert_problem, ringing};

/// One token for each right, and one that has them all.
fn world() -> World {
    World::with(
        with_tokens(vec![
            token("pbx", "p-1", "publish", &[]),
            token("wallboard", "r-1", "read", &[]),
            token("operator", "a-1", "admin", &[]),
            token("all", "x-1", "publish read admin", &[]),
        ]),
        1,
    )
}

fn post(fields: &str) -> Vec<u8> {
    let fields = format!("Content-Type: application/json\r\n{fields}");
    request("POST", "/v1/events", &fields, ringing("1"))
}

const UNKNOWN: &str = "Bearer realm=\"offhook\", error=\"invalid_token\"";
const NONE: &str = "Bearer realm=\"offhook\"";

#[test]
fn a_token_does_what_it_may() {
    let mut world = world();
    for (text, may) in [("p-1", "publish"), ("r-1", "read"), ("a-1", "admin"), ("x-1", "publish read admin")]
    {
        for (right, wanted, status) in [
            ("publish", post(&bearer(text)), 202),
            ("read", request("HEAD", "/v1/events", &bearer(text), ""), 200),
            ("admin", request("GET", "/v1/webhooks", &bearer(text), ""), 200),
            ("admin", request("GET", "/v1/dead-letters", &bearer(text), ""), 200),
            ("admin", request("GET", "/v1/xms/eventhandlers", &bearer(text), ""), 200),
        ] {
            let reply = world.ask_alone(wanted);
            if may.split(' ').any(|word| word == right) {
                assert_eq!(reply.status, status, "{may} {right}: {}", reply.text());
            } else {
                assert_eq!(reply.status, 403, "{may} {right}");
                let challenge = format!("{NONE}, error=\"insufficient_scope\", scope=\"{right}\"");
                assert_eq!(reply.field("www-authenticate"), Some(challenge.as_str()));
            }
        }
    }
}

/// With tokens everyone is asked for one, on this machine and elsewhere.
#[test]
fn without_a_known_token_nobody_comes_in() {
    let mut world = world();
    for from in ["127.0.0.1:1", "192.0.2.1:1"] {
        let peer = world.connect_from(0, from);
        for (fields, status, challenge) in [
            (String::new(), 401, NONE),
            (bearer("p-2"), 401, UNKNOWN),
            (bearer("!"), 401, UNKNOWN),
            (bearer(""), 401, NONE),
            ("Authorization: Basic cC0xOg==\r\n".to_owned(), 401, NONE),
            (bearer("p-1"), 202, ""),
            ("authorization: bearer  p-1\r\n".to_owned(), 202, ""),
        ] {
            let reply = world.ask(peer, post(&fields));
            assert_eq!(reply.status, status, "{fields}");
            if status == 401 {
                assert_problem(&reply, 401);
                assert_eq!(reply.field("www-authenticate"), Some(challenge), "{fields}");
            }
        }
    }
}

#[test]
fn without_tokens_the_log_names_the_line_that_would_admit() {
    let mut world = World::new();
    let peer = world.connect_from(0, "192.0.2.1:1");
    world.take_notes();
    assert_problem(&world.ask(peer, post("")), 403);
    assert_eq!(
        refusals(&mut world),
        ["native: 192.0.2.1 was refused: without tokens, /v1 is open to peers on this machine alone; \
         [auth] tokens = [{ name = \"...\", sha256 = \"...\", may = [\"publish\"] }] asks for a token instead"]
    );
}

#[test]
fn the_log_says_why_a_token_is_refused() {
    let mut world = world();
    world.connect();
    world.take_notes();
    for (fields, part) in [
        (
            bearer("p-2"),
            "its token is none of [auth] tokens; { name = \"...\", sha256 = \"...\", may = [\"publish\"] }",
        ),
        (
            bearer("r-1"),
            "the token \"wallboard\" may not; \"publish\" among its `may` in [auth] tokens admits it",
        ),
        (String::new(), "it sent no token of [auth] tokens"),
    ] {
        let reply = world.ask_alone(post(&fields));
        assert!(!reply.text().contains("wallboard"), "{}", reply.text());
        let lines = refusals(&mut world);
        assert!(lines.len() == 1 && lines[0].contains(part), "{lines:?}");
        assert!(!lines[0].contains("p-2") && !lines[0].contains("r-1"), "no secret: {lines:?}");
    }
}

/// RFC 6750 section 2.3, for browsers' `EventSource`; section 3.1: in one way alone.
#[test]
fn a_token_in_the_query_reads_if_the_config_wants_it() {
    let target = "/v1/events?access_token=x-1&type=call.*";
    for allowed in [false, true] {
        let mut config = with_tokens(vec![token("all", "x-1", "publish read admin", &[])]);
        config.native.query_token = allowed;
        let mut world = World::with(config, 1);
        let peer = world.connect();
        world.take_notes();
        assert_eq!(world.open(peer, get(target)).status, if allowed { 200 } else { 401 });
        if !allowed {
            assert!(
                refusals(&mut world)[0]
                    .ends_with("[native] query_token = true admits one in the query of GET /v1/events")
            );
            continue;
        }
        assert_eq!(world.ask_alone(get("/v1/events?access_token=x-2")).status, 401);
        let twice = world.ask_alone(request("GET", target, &bearer("x-1"), ""));
        assert_eq!(twice.status, 400);
        assert_eq!(
            twice.field("www-authenticate"),
            Some("Bearer realm=\"offhook\", error=\"invalid_request\"")
        );
        let json = "Content-Type: application/json\r\n";
        let published = request("POST", "/v1/events?access_token=x-1", json, ringing("1"));
        assert_eq!(world.ask_alone(published).status, 401, "a query is for readers");
        assert_eq!(world.ask_alone(get("/v1/webhooks?access_token=x-1")).status, 401);
    }
}

/// The Fetch standard: the browser asks first, without credentials, and a page reads an answer if it is let.
#[test]
fn a_listed_page_asks_with_a_token() {
    let mut config = with_tokens(vec![token("all", "x-1", "read", &[])]);
    config.native.allowed_origins = vec!["https://crm.example.com".to_owned()];
    let mut world = World::with(config, 1);
    let peer = world.connect_from(0, "192.0.2.1:1");
    for (origin, status, before) in
        [("https://crm.example.com", 200, 204), ("https://evil.example", 403, 403)]
    {
        let page = format!("Origin: {origin}\r\n");
        let asked = world.ask(peer, request("OPTIONS", "/v1/events", &page, ""));
        assert_eq!(asked.status, before, "{origin}");
        let allowed =
            asked.field("access-control-allow-headers").map(|names| names.contains("authorization"));
        assert_eq!(allowed, (before == 204).then_some(true));
        let reply = world.ask(peer, request("HEAD", "/v1/events", &format!("{page}{}", bearer("x-1")), ""));
        assert_eq!(reply.status, status, "{origin}");
        let reply = world.ask(peer, request("GET", "/v1/events", &page, ""));
        assert_eq!(reply.status, 401, "a page needs a token as well");
        let shown = (status == 200).then_some("https://crm.example.com");
        assert_eq!(reply.field("access-control-allow-origin"), shown);
    }
}

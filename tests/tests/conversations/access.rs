//! Users who come in by name and password (RFC 7617): what is asked of them, and passwords that are checked off the loop.

use offhook_core::ground::config::Listener;
use offhook_core::{Completion, Config};
use offhook_tests::memory::write::{get, request};
use offhook_tests::memory::{Peer, World};

use crate::access_common::{ask, basic, list, refusals, user, with_users};
use crate::common::{COLLECTION, EVERYTHING, assert_xms_error, document};

#[test]
fn a_user_with_a_password_comes_in() {
    let mut world = World::with(with_users(&[user("ann", "sesame", &[]), user("bob", "s:b", &[])]), 1);
    let peer = world.connect_from(0, "192.0.2.1:1");
    let challenge = "Basic realm=\"xms.app.app\", charset=\"UTF-8\"";
    for (fields, status) in [
        (String::new(), 401),
        (basic("ann", "sesame"), 200),
        (basic("ann", "sesame").replace("Basic", "bAsIc"), 200),
        (basic("bob", "s:b"), 200),
        (basic("ann", "s:b"), 401),
        (basic("Ann", "sesame"), 401),
        ("Authorization: Basic\r\n".to_owned(), 401),
        ("Authorization: Basic !\r\n".to_owned(), 401),
        (format!("Authorization: Basic {}\r\n", data_encoding::BASE64.encode(b"ann")), 401),
        ("Authorization: Bearer sesame\r\n".to_owned(), 401),
    ] {
        let reply = ask(&mut world, peer, list(&fields));
        assert_eq!(reply.status, status, "{fields}");
        if status == 401 {
            assert_xms_error(&reply, 401);
            assert_eq!(reply.field("www-authenticate"), Some(challenge), "{fields}");
            assert!(!reply.text().contains("ann"), "no part is named: {}", reply.text());
        }
    }
}

/// RFC 9110 section 11.6.1 wants a challenge; which part was wrong is in the log alone.
#[test]
fn the_log_says_which_part_was_wrong_and_what_would_admit() {
    let mut world = World::with(with_users(&[user("ann", "sesame", &[])]), 1);
    let peer = world.connect_from(0, "192.0.2.1:1");
    world.take_notes();
    let mut same = Vec::new();
    for (fields, part) in [
        (basic("ann", "x"), "wrong password for \"ann\""),
        (basic("eve", "x"), "users = [{ name = \"eve\", password_hash = \"...\" }] admits it"),
    ] {
        same.push(ask(&mut world, peer, list(&fields)));
        let lines = refusals(&mut world);
        assert!(lines.len() == 1 && lines[0].contains(part), "{lines:?}");
        assert!(lines[0].starts_with("xms: 192.0.2.1 was refused: "), "{lines:?}");
        assert!(!lines[0].contains("sesame"));
    }
    assert_eq!(same[0], same[1]);
}

/// A listener's own list goes before all that dialects ask; through a proxy it is the client's address that counts.
#[test]
fn a_listener_serves_its_addresses_alone() {
    let networks = |text: &str| vec![text.parse().expect("a network")];
    let mut config = with_users(&[user("ann", "sesame", &[])]);
    let allow = Some(networks("192.0.2.0/24"));
    config.listeners = vec![Listener { allow, proxies: networks("192.0.2.9"), ..Listener::default() }];
    let mut world = World::with(config, 1);
    let near = world.connect_from(0, "192.0.2.1:1");
    let far = world.connect_from(0, "198.51.100.1:1");
    let proxy = world.connect_from(0, "192.0.2.9:1");
    world.take_notes();
    let of_far = "X-Forwarded-For: 198.51.100.1\r\n";
    for (peer, fields, status) in [(near, "", 401), (far, "", 403), (proxy, of_far, 403), (proxy, "", 401)] {
        assert_eq!(ask(&mut world, peer, list(fields)).status, status, "{peer:?} {fields}");
        let notes = refusals(&mut world);
        let line = "xms: 198.51.100.1 was refused: allow = [\"198.51.100.1\"] in its [[listener]] admits it";
        assert_eq!(notes[0] == line, status == 403, "{notes:?}");
    }
    for path in ["/healthz", "/v1/events", "/nowhere"] {
        assert_eq!(world.ask(far, get(path)).status, 403, "{path}");
    }
}

/// The head stays where it is until the check is done, and so does all behind it.
#[test]
fn a_request_waits_for_its_check() {
    let mut world = World::with(with_users(&[user("ann", "sesame", &[])]), 1);
    let (one, other) = (world.connect(), world.connect());
    let wanted = list(&basic("ann", "sesame"));
    world.send(one, [wanted.clone(), get("/healthz"), wanted.clone()].concat());
    world.send(other, &wanted[..20]);
    world.send(other, &wanted[20..]);
    assert_eq!(world.checking(), 1, "equal credentials share a check");
    assert!(world.received(one).is_empty() && world.received(other).is_empty());
    world.pass(60_000);
    assert!(!world.is_closed(one), "a peer that waits for us has no deadline");
    world.end(other);
    assert!(!world.is_closed(other), "a half-closed one still wants its answer");
    world.finish_check();
    let statuses: Vec<u16> = std::iter::from_fn(|| world.next_reply(one)).map(|reply| reply.status).collect();
    assert_eq!(statuses, [200, 200, 200]);
    assert_eq!(world.next_reply(other).map(|reply| reply.status), Some(200));
    assert!(world.is_closed(other));
    assert_eq!(ask(&mut world, one, wanted).status, 200);
    assert_eq!(world.checking(), 0, "what was right is remembered");
    world.pass(75_000);
    assert!(world.is_closed(one), "an idle one has its deadline again");
}

#[test]
fn a_check_outlives_its_connection_and_a_reload() {
    let mut world = World::with(with_users(&[user("ann", "old", &[])]), 1);
    let (gone, peer) = (world.connect(), world.connect());
    world.send(gone, list(&basic("ann", "old")));
    world.send(peer, list(&basic("ann", "old")));
    world.break_off(gone);
    let config = with_users(&[user("ann", "new", &[])]);
    world.tell(|| Completion::Reloaded(Box::new(config.clone())));
    world.finish_check();
    assert_eq!(world.checking(), 1, "it is judged again by what holds now");
    world.finish_check();
    assert_eq!(world.next_reply(peer).map(|reply| reply.status), Some(401));
    assert_eq!(ask(&mut world, peer, list(&basic("ann", "new"))).status, 200);
    world.send(peer, list(&basic("ann", "other")));
    world.tell(|| Completion::Stop);
    world.finish_check();
    assert!(world.is_ended(peer));
}

#[test]
fn few_checks_run_and_few_wait() {
    let mut config = with_users(&[user("ann", "sesame", &[])]);
    (config.limits.checks_running, config.limits.checks_waiting) = (2, 3);
    let mut world = World::with(config, 1);
    let peers: Vec<Peer> = (0..6).map(|_| world.connect()).collect();
    for (at, peer) in peers.iter().enumerate() {
        world.send(*peer, list(&basic("ann", &at.to_string())));
    }
    assert_eq!(world.checking(), 2);
    let reply = world.next_reply(peers[5]).expect("there is no room for the last");
    assert_xms_error(&reply, 503);
    assert_eq!(reply.field("retry-after"), Some("1"));
    world.break_off(peers[3]);
    assert_eq!(world.finish_checks(), 4, "nobody waits for that of the one who left");
    for at in [0, 1, 2, 4] {
        assert_eq!(world.next_reply(peers[at]).map(|reply| reply.status), Some(401));
    }
}

/// A user who is not there costs the same check, and no answer comes sooner.
#[test]
fn an_unknown_user_costs_a_check_and_is_never_right() {
    let mut world = World::with(with_users(&[user("ann", "sesame", &[])]), 1);
    let peer = world.connect();
    for _ in 0..2 {
        world.send(peer, list(&basic("eve", "sesame")));
        assert_eq!(world.checking(), 1);
        world.finish_check();
        assert_eq!(world.next_reply(peer).map(|reply| reply.status), Some(401));
    }
}

/// A browser lets every page send, with the credentials that it keeps; who sends no `Origin` is no page.
#[test]
fn pages_of_other_origins_do_nothing_at_xms() {
    for config in [with_users(&[user("ann", "sesame", &[])]), Config::default()] {
        let mut world = World::with(config, 1);
        let peer = world.connect();
        world.take_notes();
        let post = |origin: &str| {
            let fields = format!("{}Content-Type: application/xml\r\n{origin}", basic("ann", "sesame"));
            request("POST", COLLECTION, &fields, document(EVERYTHING))
        };
        for origin in ["https://evil.example", "null", "http://localhost:81"] {
            let reply = ask(&mut world, peer, post(&format!("Origin: {origin}\r\n")));
            assert_eq!(reply.status, 403, "{origin}");
            assert_xms_error(&reply, 403);
            let line = format!(
                "xms: 127.0.0.1 was refused: its origin {origin} is another host's, whose pages may not ask here"
            );
            assert_eq!(refusals(&mut world), [line]);
        }
        let reply = ask(&mut world, peer, list(&basic("ann", "sesame")));
        assert!(reply.text().contains("size=\"0\""), "nothing was made: {}", reply.text());
        for own in ["Origin: http://localhost\r\n", "Origin: https://LOCALHOST\r\n", ""] {
            assert_eq!(ask(&mut world, peer, post(own)).status, 201, "{own}");
        }
    }
}

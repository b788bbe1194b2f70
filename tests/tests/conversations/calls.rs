//! Calls to servers of others, through WCS hooks: connections that are kept and shared, answers in every form, and
//! everything that can go wrong on the way.

use offhook_core::Config;
use offhook_core::ground::config::{HookPolicy, OnError, WcsApp};
use offhook_tests::memory::write::publish;
use offhook_tests::memory::{Peer, World};

const BACKEND: &str = "127.0.0.1:8081";

fn config(url: &str) -> Config {
    let mut config = Config::default();
    let policy = HookPolicy { on_error: OnError::Fail, ..HookPolicy::default() };
    config.wcs.apps.push(WcsApp {
        url: url.to_owned(),
        hooks: vec!["StreamStatusEvent".to_owned()],
        policies: [("StreamStatusEvent".to_owned(), policy)].into(),
        ..WcsApp::default()
    });
    config
}

/// A world whose backend listens.
fn world(url: &str) -> World {
    let mut world = World::with(config(url), 1);
    world.serve(BACKEND);
    world
}

fn hook(world: &mut World, session: &str) {
    let event = format!(
        r#"{{"type":"stream.status","subject":"stream/1","appkey":"defaultApp","sessionid":"{session}","data":{{"name":"n"}}}}"#
    );
    assert_eq!(world.ask_alone(publish(event)).status, 202);
}

/// The next connection that was tried.
fn dialed(world: &mut World) -> (Peer, String) {
    world.take_dialed().expect("a connection is tried")
}

fn request(world: &mut World, backend: Peer) -> String {
    String::from_utf8(world.take(backend)).expect("a request is text")
}

/// Why the hooks failed since the last time.
fn failures(world: &mut World) -> Vec<String> {
    let notes = world.take_notes().into_iter().filter_map(|note| {
        let (_, rest) = note.text.split_once("REST hook StreamStatusEvent failed: ")?;
        rest.split_once("; event ").map(|(why, _)| why.to_owned())
    });
    notes.collect()
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

#[test]
fn a_connection_is_kept_and_used_again() {
    let mut world = world("http://127.0.0.1:8081/app");
    hook(&mut world, "a");
    let (backend, address) = dialed(&mut world);
    assert_eq!(address, BACKEND);
    assert!(request(&mut world, backend).starts_with("POST /app/StreamStatusEvent HTTP/1.1\r\n"));
    world.send(backend, OK);
    for _ in 0..3 {
        hook(&mut world, "a");
        assert!(request(&mut world, backend).starts_with("POST "), "the same connection");
        world.send(backend, OK);
    }
    assert_eq!(world.take_dialed(), None);
    // It is closed when nobody has used it for long enough.
    world.pass(29_999);
    assert!(!world.is_closed(backend));
    world.pass(1);
    assert!(world.is_closed(backend));
    assert!(failures(&mut world).is_empty());
}

#[test]
fn answers_in_every_form_are_understood() {
    for (answer, again) in [
        (OK, true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n{}\r\n0\r\nT: v\r\n\r\n", true),
        ("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n", false),
    ] {
        for piece in [1, 7, usize::MAX] {
            let mut world = world("http://127.0.0.1:8081/app");
            hook(&mut world, "a");
            let (backend, _) = dialed(&mut world);
            for bytes in answer.as_bytes().chunks(piece) {
                world.send(backend, bytes);
            }
            assert!(failures(&mut world).is_empty(), "{answer:?}");
            // What follows a whole answer in pieces comes to an idle connection.
            assert_eq!(world.is_closed(backend), !again, "{answer:?} by {piece}");
        }
    }
}

#[test]
fn an_answer_that_ends_with_the_connection_is_whole_only_if_it_ended_well() {
    for (broken, expected) in [(false, &[][..]), (true, &["connection failed"][..])] {
        let mut world = world("http://127.0.0.1:8081/app");
        hook(&mut world, "a");
        let (backend, _) = dialed(&mut world);
        world.send(backend, "HTTP/1.1 200 OK\r\n\r\n{}");
        if broken {
            world.break_off(backend);
        } else {
            world.end(backend);
        }
        let failures = failures(&mut world);
        assert_eq!(failures.len(), expected.len(), "{failures:?}");
        assert!(world.is_closed(backend));
    }
}

#[test]
fn what_is_no_answer_is_a_fault() {
    for answer in [
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
    ] {
        let mut world = world("http://127.0.0.1:8081/app");
        hook(&mut world, "a");
        let (backend, _) = dialed(&mut world);
        world.send(backend, answer);
        assert_eq!(failures(&mut world), ["bad response"], "{answer:?}");
        assert!(world.is_closed(backend));
    }
}

#[test]
fn an_idle_connection_that_the_peer_closes_is_no_error() {
    let mut world = world("http://127.0.0.1:8081/app");
    hook(&mut world, "a");
    let (backend, _) = dialed(&mut world);
    world.send(backend, OK);
    world.end(backend);
    assert!(world.is_closed(backend));
    hook(&mut world, "a");
    let (second, _) = dialed(&mut world);
    world.send(second, OK);
    assert!(failures(&mut world).is_empty());
}

#[test]
fn w24_a_backend_that_never_answers_is_given_up_after_15_s() {
    let mut world = world("http://127.0.0.1:8081/app");
    hook(&mut world, "a");
    let (backend, _) = dialed(&mut world);
    world.pass(14_999);
    assert!(failures(&mut world).is_empty() && !world.is_closed(backend));
    world.pass(1);
    assert_eq!(failures(&mut world), ["timeout after 15 s"]);
    assert!(world.is_closed(backend));
    assert_eq!(world.take_dialed(), None, "without a retry");
}

#[test]
fn w25_a_refused_connection_is_tried_four_times() {
    let mut world = world("http://127.0.0.1:8081/app");
    world.close_port(BACKEND);
    hook(&mut world, "a");
    assert_eq!(failures(&mut world), ["connection failed"]);
    let tried = std::iter::from_fn(|| world.take_dialed()).count();
    assert_eq!(tried, 4);
}

#[test]
fn a_connection_that_is_not_made_in_time_is_given_up_after_5_s() {
    let mut world = world("http://127.0.0.1:8081/app");
    world.lose(BACKEND);
    hook(&mut world, "a");
    world.pass(4_999);
    assert_eq!(std::iter::from_fn(|| world.take_dialed()).count(), 1);
    world.pass(1);
    assert_eq!(std::iter::from_fn(|| world.take_dialed()).count(), 1, "the second attempt");
    world.pass(10_000);
    // 15 s for all attempts together.
    assert_eq!(failures(&mut world), ["timeout after 15 s"]);
}

#[test]
fn names_are_resolved_and_addresses_tried_in_turn() {
    let mut world = world("http://backend.example:8081/app");
    world.name("backend.example", &["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    world.serve("192.0.2.2:8081");
    hook(&mut world, "a");
    let tried: Vec<(Peer, String)> = std::iter::from_fn(|| world.take_dialed()).collect();
    let addresses: Vec<&str> = tried.iter().map(|(_, address)| address.as_str()).collect();
    assert_eq!(
        addresses,
        ["192.0.2.1:8081", "[2001:db8::1]:8081", "192.0.2.2:8081"],
        "the families by turns"
    );
    let backend = tried[2].0;
    assert!(request(&mut world, backend).contains("\r\nHost: backend.example:8081\r\n"));
    world.send(backend, OK);
    assert!(failures(&mut world).is_empty());
}

#[test]
fn a_name_without_an_address_or_without_an_answer() {
    for silent in [false, true] {
        let mut world = world("http://backend.example:8081/app");
        if silent {
            world.name("backend.example", &[]);
        }
        hook(&mut world, "a");
        world.pass(5_000);
        assert_eq!(failures(&mut world), ["connection failed"], "{silent}");
        assert_eq!(world.take_dialed(), None);
    }
}

#[test]
fn through_a_proxy_the_name_goes_along() {
    let mut config = config("http://backend.example:8081/app");
    config.outbox.egress_proxy = Some("user:secret@127.0.0.1:3128".parse().expect("a proxy"));
    let mut world = World::with(config, 1);
    world.serve("127.0.0.1:3128");
    hook(&mut world, "a");
    let (proxy, address) = dialed(&mut world);
    assert_eq!(address, "127.0.0.1:3128");
    let asked = request(&mut world, proxy);
    let expected = "CONNECT backend.example:8081 HTTP/1.1\r\nHost: backend.example:8081\r\n\
                    Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n\r\n";
    assert_eq!(asked, expected);
    world.send(proxy, "HTTP/1.1 200 Connection established\r\n\r\n");
    assert!(request(&mut world, proxy).starts_with("POST /app/StreamStatusEvent HTTP/1.1\r\n"));
    world.send(proxy, OK);
    // A second hook goes through the same tunnel.
    hook(&mut world, "a");
    assert!(request(&mut world, proxy).starts_with("POST "));
}

#[test]
fn a_proxy_that_refuses_is_a_fault() {
    let mut config = config("http://backend.example:8081/app");
    config.outbox.egress_proxy = Some("127.0.0.1:3128".parse().expect("a proxy"));
    let mut world = World::with(config, 1);
    world.serve("127.0.0.1:3128");
    hook(&mut world, "a");
    let (proxy, _) = dialed(&mut world);
    world.send(proxy, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    assert!(world.is_closed(proxy));
    let counted = world.stats().wcs_hooks.into_values().next().expect("the hook is counted");
    assert_eq!(counted.failed, 1);
}

#[test]
fn a_full_socket_takes_the_request_bit_by_bit() {
    let mut world = world("http://127.0.0.1:8081/app");
    world.limit_dialed(10);
    hook(&mut world, "a");
    let (backend, _) = dialed(&mut world);
    assert_eq!(world.received(backend).len(), 10);
    for _ in 0..60 {
        world.give_room(backend, 10);
    }
    let request = request(&mut world, backend);
    assert!(request.starts_with("POST /app") && request.ends_with("\"name\":\"n\"}"), "{request}");
    world.send(backend, OK);
    assert!(failures(&mut world).is_empty());
}

#[test]
fn more_calls_than_there_may_be_fail_at_once() {
    let mut config = config("http://127.0.0.1:8081/app");
    config.limits.calls = 2;
    let mut world = World::with(config, 1);
    world.serve(BACKEND);
    for session in ["a", "b", "c"] {
        hook(&mut world, session);
    }
    assert_eq!(std::iter::from_fn(|| world.take_dialed()).count(), 2);
    let counted = world.stats().wcs_hooks.into_values().next().expect("the hook is counted");
    assert_eq!(counted.failed, 1);
}

#[test]
fn a_stop_closes_idle_connections_and_waits_a_little_for_the_others() {
    let mut world = world("http://127.0.0.1:8081/app");
    hook(&mut world, "a");
    let (idle, _) = dialed(&mut world);
    world.send(idle, OK);
    hook(&mut world, "a");
    hook(&mut world, "b");
    let (busy, _) = dialed(&mut world);
    world.send(idle, OK);
    world.tell(|| offhook_core::Completion::Stop);
    assert!(world.is_closed(idle) && !world.is_closed(busy));
    world.pass(2_000);
    assert!(world.is_closed(busy) && world.is_drained());
}

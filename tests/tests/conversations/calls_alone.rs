//! Calls to servers of others, made by the engine's own user: the client machine.

use std::sync::Arc;

use offhook_core::hub::call::{Answer, Call, CallFault, CallId, Caller, Target};
use offhook_core::{Completion, Config};
use offhook_tests::memory::{Peer, World};

pub(super) const POST: &str = "POST /hook HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub(super) fn target(host: &str) -> Arc<Target> {
    Arc::new(Target { host: host.into(), port: 80, tls: None, trusted: true })
}

pub(super) fn untrusted(host: &str) -> Arc<Target> {
    Arc::new(Target { host: host.into(), port: 80, tls: None, trusted: false })
}

pub(super) fn call(target: &Arc<Target>, key: u64) -> Call {
    Call {
        target: Arc::clone(target),
        request: POST.into(),
        connect_ms: 5_000,
        first_byte_ms: 0,
        total_ms: 15_000,
        content_max: 1_000,
        caller: Caller { dialect: 0, key },
    }
}

pub(super) fn ok(content: &str) -> Result<Answer, CallFault> {
    Ok(Answer { status: 200, retry_after_ms: None, content_type: None, content: content.into(), cut: false })
}

/// Makes a call over a new connection to an address, and takes the request on the other side.
#[track_caller]
fn served(world: &mut World, target: &Arc<Target>, key: u64) -> Peer {
    world.call(call(target, key));
    let server = world.expect_accepted("192.0.2.1:80");
    assert_eq!(world.take(server), POST.as_bytes());
    server
}
pub(super) fn with_calls(change: impl FnOnce(&mut Config)) -> World {
    let mut config = Config::default();
    change(&mut config);
    World::with(config, 1)
}

pub(super) fn with_private() -> Config {
    let mut config = Config::default();
    config.outbox.allow_private = vec!["127.0.0.0/8".parse().expect("a network")];
    config
}

#[test]
fn a_connection_is_used_again() {
    let mut world = World::new();
    let target = target("192.0.2.1");
    let server = served(&mut world, &target, 1);
    world.send(server, OK);
    assert_eq!(world.take_answers(), [(1, ok("ok"))]);
    // An equal target, not the same one: calls may come from anywhere.
    let equal = self::target("192.0.2.1");
    for key in 2..50 {
        world.call(call(&equal, key));
        assert_eq!(
            (world.take(server), world.take_writes(server).len()),
            (POST.into(), 1 + usize::from(key == 2))
        );
        world.send(server, OK);
        assert_eq!(world.take_answers(), [(key, ok("ok"))]);
    }
    assert!(world.next_dial().is_none());
    let stats = world.stats();
    assert_eq!(
        (stats.calls_answered, stats.call_connections_dialed, stats.call_connections_open),
        (49, 1, 1)
    );
    assert_eq!((stats.connections_open, stats.connections_accepted), (0, 0));
}

#[test]
fn one_request_is_in_flight_on_a_connection() {
    let mut world = World::new();
    let target = target("192.0.2.1");
    let first = served(&mut world, &target, 1);
    let second = served(&mut world, &target, 2);
    world.send(second, OK);
    world.send(first, OK.replace("ok", "1k"));
    assert_eq!(world.take_answers(), [(2, ok("ok")), (1, ok("1k"))]);
    // Another target shares no connection.
    world.call(call(&self::target("192.0.2.2"), 3));
    world.expect_accepted("192.0.2.2:80");
}

#[test]
fn what_says_close_is_closed() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK",
    ] {
        let mut world = World::new();
        let server = served(&mut world, &target("192.0.2.1"), 1);
        world.send(server, answer);
        assert_eq!(world.take_answers(), [(1, ok("ok"))], "{answer}");
        assert!(world.is_closed(server), "{answer}");
    }
}

#[test]
fn an_idle_connection_that_the_peer_closes_is_no_error() {
    let mut world = World::new();
    let target = target("192.0.2.1");
    let server = served(&mut world, &target, 1);
    world.send(server, OK);
    world.end(server);
    assert!(world.is_closed(server));
    assert_eq!(world.take_answers(), [(1, ok("ok"))]);
    let server = served(&mut world, &target, 2);
    // The same for a word that nobody asked for, such as a 408.
    world.send(server, OK);
    world.send(server, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n");
    assert!(world.is_closed(server));
    assert_eq!(world.take_answers(), [(2, ok("ok"))]);
}

#[test]
fn a_stale_connection_gives_its_unsent_request_to_another() {
    let mut world = World::new();
    let target = target("192.0.2.1");
    let server = served(&mut world, &target, 1);
    world.send(server, OK);
    // The kernel takes nothing any more, so nothing of the request has left when the end is seen.
    world.limit_room(server, 0);
    world.call(call(&target, 2));
    world.end(server);
    let server = world.expect_accepted("192.0.2.1:80");
    assert_eq!(world.take(server), POST.as_bytes());
    world.send(server, OK);
    assert_eq!(world.take_answers(), [(1, ok("ok")), (2, ok("ok"))]);
}

#[test]
fn a_connection_that_ends_is_told_by_how_far_it_came() {
    let mut world = World::new();
    let target = target("192.0.2.1");
    let server = served(&mut world, &target, 1);
    world.end(server);
    assert_eq!(world.take_answers(), [(1, Err(CallFault::Closed { sent: true, reused: false }))]);
    let server = served(&mut world, &target, 2);
    world.send(server, OK);
    world.call(call(&target, 3));
    world.break_off(server);
    world.take_answers();
    let server = served(&mut world, &target, 4);
    world.send(server, &OK[..OK.len() - 1]);
    world.break_off(server);
    assert_eq!(world.take_answers(), [(4, Err(CallFault::Cut))]);
    // A part of the request is on its way.
    world.call(call(&target, 5));
    let (server, _) = world.expect_dial();
    world.limit_room(server, 10);
    world.accept_dial(server);
    world.end(server);
    assert_eq!(world.take_answers(), [(5, Err(CallFault::Closed { sent: false, reused: false }))]);
}

#[test]
fn a_reused_connection_that_ends_says_so() {
    let mut world = World::new();
    let target = target("192.0.2.1");
    let server = served(&mut world, &target, 1);
    world.send(server, OK);
    world.call(call(&target, 2));
    world.end(server);
    let closed = Err(CallFault::Closed { sent: true, reused: true });
    assert_eq!(world.take_answers(), [(1, ok("ok")), (2, closed)]);
    assert!(world.is_closed(server) && world.next_dial().is_none());
}

#[test]
fn answers_come_in_pieces() {
    for answer in [
        OK,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\no\r\n1\r\nk\r\n0\r\nT: v\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let mut world = World::new();
        let target = target("192.0.2.1");
        let server = served(&mut world, &target, 1);
        let (last, before) = answer.as_bytes().split_last().unwrap();
        for byte in before {
            world.send(server, [*byte]);
            assert!(world.take_answers().is_empty());
        }
        world.send(server, [*last]);
        assert_eq!(world.take_answers(), [(1, ok("ok"))], "{answer}");
        world.call(call(&target, 2));
        assert_eq!(world.take(server), POST.as_bytes(), "{answer}");
    }
}

#[test]
fn a_body_may_end_with_its_connection() {
    let mut world = World::new();
    let server = served(&mut world, &target("192.0.2.1"), 1);
    world.send(server, "HTTP/1.1 200 OK\r\n\r\no");
    world.send(server, "k");
    assert!(world.take_answers().is_empty());
    world.end(server);
    assert_eq!(world.take_answers(), [(1, ok("ok"))]);
    assert!(world.is_closed(server));
}

#[test]
fn content_is_bounded() {
    let mut world = World::new();
    let target = target("192.0.2.1");
    let body = "x".repeat(1 << 20);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let whole = Call { content_max: 1 << 20, ..call(&target, 1) };
    world.call(whole);
    let server = world.expect_accepted("192.0.2.1:80");
    world.send(server, &answer);
    assert_eq!(world.take_answers(), [(1, ok(&body))]);
    assert!(!world.is_closed(server));
    world.call(call(&target, 2));
    world.send(server, &answer);
    let [(2, Ok(answer))] = &world.take_answers()[..] else { panic!("an answer") };
    assert_eq!((answer.status, answer.content.len(), answer.cut), (200, 1_000, true));
    assert!(world.is_closed(server), "what is not read is in the way of the next answer");
}

#[test]
fn no_redirect_is_followed_and_a_head_has_no_body() {
    let mut world = World::new();
    let target = target("192.0.2.1");
    let server = served(&mut world, &target, 1);
    world.send(server, "HTTP/1.1 301 Moved\r\nLocation: http://192.0.2.9/\r\nContent-Length: 0\r\n\r\n");
    assert!(matches!(&world.take_answers()[..], [(1, Ok(Answer { status: 301, .. }))]));
    assert!(world.next_dial().is_none());
    let head = Call { request: "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n".into(), ..call(&target, 2) };
    world.call(head);
    world.send(server, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n");
    assert_eq!(world.take_answers(), [(2, ok(""))]);
    assert!(!world.is_closed(server));
}

#[test]
fn garbage_is_no_answer() {
    for (garbage, part) in [
        ("SSH-2.0-x\r\n", "begin"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "unequal"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "chunk"),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "switches"),
    ] {
        let mut world = World::new();
        let server = served(&mut world, &target("192.0.2.1"), 1);
        world.send(server, garbage);
        let [(1, Err(CallFault::BadAnswer(reason)))] = world.take_answers()[..] else { panic!("{garbage}") };
        assert!(reason.contains(part), "{reason}");
        assert!(world.is_closed(server));
    }
}

#[test]
fn an_answer_before_the_request_is_sent_ends_the_connection() {
    let mut world = World::new();
    world.call(call(&target("192.0.2.1"), 1));
    let (server, _) = world.expect_dial();
    world.limit_room(server, 10);
    world.accept_dial(server);
    world.send(server, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
    assert!(matches!(&world.take_answers()[..], [(1, Ok(Answer { status: 413, .. }))]));
    assert!(world.is_closed(server));
}

#[test]
fn timeouts() {
    let mut world = World::new();
    let target = target("192.0.2.1");
    // The connection.
    world.call(call(&target, 1));
    let (server, _) = world.expect_dial();
    world.pass(4_999);
    assert!(world.take_answers().is_empty());
    world.pass(1);
    assert_eq!(world.take_answers(), [(1, Err(CallFault::ConnectTimeout))]);
    assert!(world.is_closed(server));
    // The whole, counted from the call.
    world.call(call(&target, 2));
    world.pass(4_000);
    let server = world.expect_accepted("192.0.2.1:80");
    world.send(server, &OK[..20]);
    world.pass(10_999);
    assert!(world.take_answers().is_empty());
    world.pass(1);
    assert_eq!(world.take_answers(), [(2, Err(CallFault::Timeout))]);
    assert!(world.is_closed(server));
    // No end: 0.
    world.call(Call { total_ms: 0, ..call(&target, 3) });
    let server = world.expect_accepted("192.0.2.1:80");
    world.pass(86_400_000);
    world.send(server, OK);
    assert_eq!(world.take_answers(), [(3, ok("ok"))]);
    // And what waits for the next call is closed in time.
    world.pass(29_999);
    assert!(!world.is_closed(server));
    world.pass(1);
    assert!(world.is_closed(server) && world.take_answers().is_empty());
}

#[test]
fn the_first_byte_has_a_time_of_its_own() {
    let mut world = World::new();
    let target = target("192.0.2.1");
    for early in [false, true] {
        world.call(Call { first_byte_ms: 2_000, ..call(&target, 1) });
        let server = world.expect_accepted("192.0.2.1:80");
        world.pass(1_999);
        if early {
            world.send(server, &OK[..1]);
            // From here on the whole request's time counts.
            world.pass(13_000);
        }
        assert!(world.take_answers().is_empty());
        world.pass(1);
        assert_eq!(world.take_answers(), [(1, Err(CallFault::Timeout))], "{early}");
    }
}

#[test]
fn a_server_that_reads_nothing_is_given_up() {
    let mut world = World::new();
    world.call(Call { total_ms: 0, ..call(&target("192.0.2.1"), 1) });
    let (server, _) = world.expect_dial();
    world.limit_room(server, 10);
    world.accept_dial(server);
    world.pass(30_000);
    assert_eq!(world.take_answers(), [(1, Err(CallFault::Timeout))]);
    assert!(world.is_closed(server));
}

#[test]
fn there_is_room_for_so_many_calls() {
    let mut world = with_calls(|config| {
        config.limits.calls = 2;
        config.limits.calls_idle_per_target = 1;
    });
    let target = target("192.0.2.1");
    let (first, second) = (served(&mut world, &target, 1), served(&mut world, &target, 2));
    world.call(call(&target, 3));
    assert_eq!(world.take_answers(), [(3, Err(CallFault::NoRoom))]);
    assert!(world.next_dial().is_none());
    world.send(first, OK);
    world.send(second, OK);
    assert!(!world.is_closed(first) && world.is_closed(second), "one is kept for the next call");
    world.call(call(&target, 4));
    assert_eq!(world.take(first), POST.as_bytes());
}

#[test]
fn idle_connections_are_bounded_in_all() {
    let mut world = with_calls(|config| {
        config.limits.calls_idle = 1;
        config.limits.call_targets = 1;
    });
    let mut servers = Vec::new();
    for octet in 1..5 {
        let address = format!("192.0.2.{octet}");
        world.call(call(&target(&address), octet));
        let server = world.expect_accepted(&format!("{address}:80"));
        world.send(server, OK);
        servers.push(server);
    }
    let open: Vec<bool> = servers.iter().map(|server| !world.is_closed(*server)).collect();
    assert_eq!(open, [true, false, false, false]);
    world.call(call(&target("192.0.2.1"), 9));
    assert_eq!(world.take(servers[0]), [POST, POST].concat().as_bytes());
}

#[test]
fn a_call_is_cancelled() {
    let mut world = World::new();
    let target = target("192.0.2.1");
    // Waiting for its answer, being dialed, waiting for its name; and one that is known already.
    let waiting = world.call(call(&target, 1));
    let server = world.expect_accepted("192.0.2.1:80");
    world.cancel(waiting);
    assert!(world.is_closed(server));
    let dialing = world.call(call(&target, 2));
    let (server, _) = world.expect_dial();
    world.cancel(dialing);
    assert!(world.is_closed(server));
    let resolving = world.call(call(&self::target("h.example"), 3));
    world.cancel(resolving);
    world.set_name("h.example", &["192.0.2.1"]);
    world.answer_lookups();
    let known: CallId = world.call(call(&target, 4));
    let server = world.expect_accepted("192.0.2.1:80");
    world.send(server, OK);
    world.cancel(known);
    assert!(world.next_dial().is_none() && !world.is_closed(server));
    world.pass(60_000);
    assert_eq!(world.take_answers(), [(4, ok("ok"))]);
    assert_eq!(world.stats().call_connections_open, 0);
}

#[test]
fn a_stop_lets_calls_come_to_their_end() {
    let mut world = World::new();
    let target = target("192.0.2.1");
    let (idle, busy, hung) =
        (served(&mut world, &target, 1), served(&mut world, &target, 2), served(&mut world, &target, 3));
    world.send(idle, OK);
    world.tell(|| Completion::Stop);
    assert!(world.is_closed(idle) && !world.is_closed(busy) && !world.is_drained());
    world.call(call(&target, 4));
    world.send(busy, OK);
    assert!(world.is_closed(busy) && !world.is_drained());
    world.pass(5_000);
    assert!(world.is_closed(hung) && world.is_drained());
    let given_up = Err(CallFault::Closed { sent: true, reused: false });
    assert_eq!(
        world.take_answers(),
        [(1, ok("ok")), (4, Err(CallFault::NoRoom)), (2, ok("ok")), (3, given_up)]
    );
}

/// A connection that was made by the old config carries no further call, also if it was busy during the reload.
#[test]
fn a_busy_connection_outlives_no_reload() {
    let mut world = World::with(with_private(), 1);
    let target = untrusted("127.0.0.1");
    world.call(call(&target, 1));
    let server = world.expect_accepted("127.0.0.1:80");
    world.tell(|| Completion::Reloaded(Box::default()));
    world.send(server, OK);
    assert_eq!(world.take_answers(), [(1, ok("ok"))]);
    assert!(world.is_closed(server));
    world.call(call(&target, 2));
    assert!(matches!(world.take_answers()[..], [(2, Err(CallFault::Blocked { .. }))]));
}

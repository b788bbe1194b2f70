//! Wrong credentials are counted by address, and so is nothing else.

use offhook_core::ground::config::Listener;
use offhook_tests::memory::read::Reply;
use offhook_tests::memory::write::request;
use offhook_tests::memory::{Peer, World};

use crate::access_common::{ask, basic, bearer, list, refusals, token, user, with_users};
use crate::common::{assert_problem, assert_xms_error};

/// A user and a token, and at most three failures a minute.
fn world() -> World {
    let mut config = with_users(&[user("ann", "sesame", &[])]);
    config.auth.tokens = vec![token("wallboard", "r-1", "read", &[])];
    config.limits.failed_logins_per_address = 3;
    World::with(config, 1)
}

/// Asks on a connection of its own.
#[track_caller]
fn ask_from(world: &mut World, from: &str, request: impl AsRef<[u8]>) -> Reply {
    let peer = world.connect_from(0, from);
    let reply = ask(world, peer, request);
    world.break_off(peer);
    reply
}

fn head(token: &str) -> Vec<u8> {
    request("GET", "/v1/events?last_event_id", &bearer(token), "")
}

/// Passwords and tokens count alike, on this machine as well, over all connections of an address.
#[test]
fn too_many_failures_bar_an_address() {
    for from in ["192.0.2.1:1", "127.0.0.1:1", "[2001:db8::1]:1"] {
        let mut world = world();
        assert_eq!(ask_from(&mut world, from, list(&basic("ann", "x"))).status, 401);
        assert_eq!(ask_from(&mut world, from, head("r-2")).status, 401);
        assert_eq!(ask_from(&mut world, from, list(&basic("eve", "sesame"))).status, 401);
        world.pass(20_000);
        let reply = ask_from(&mut world, from, list(&basic("ann", "sesame")));
        assert_xms_error(&reply, 429);
        assert_eq!(reply.field("retry-after"), Some("40"), "the minute begins with the first failure");
        let reply = ask_from(&mut world, from, head("r-1"));
        assert_problem(&reply, 429);
        assert_eq!(reply.field("retry-after"), Some("40"));
        assert!(refusals(&mut world).iter().any(|line| line.contains("[limits] failed_logins_per_address")));
        assert_eq!(ask_from(&mut world, "192.0.2.2:1", list(&basic("ann", "sesame"))).status, 200);
        world.pass(40_000);
        assert_eq!(ask_from(&mut world, from, list(&basic("ann", "sesame"))).status, 200);
    }
}

#[test]
fn whoever_sends_no_credential_or_lacks_a_right_guesses_nothing() {
    let mut world = world();
    for _ in 0..9 {
        assert_eq!(ask_from(&mut world, "192.0.2.1:1", list("")).status, 401);
        assert_eq!(ask_from(&mut world, "192.0.2.1:1", request("GET", "/v1/events", "", "")).status, 401);
        let lacking = request("GET", "/v1/webhooks", &bearer("r-1"), "");
        assert_eq!(ask_from(&mut world, "192.0.2.1:1", lacking).status, 403);
    }
    assert_eq!(ask_from(&mut world, "192.0.2.1:1", list(&basic("ann", "sesame"))).status, 200);
}

#[test]
fn a_network_of_ipv6_is_one_address() {
    let mut world = world();
    for last in 1..=3 {
        let from = format!("[2001:db8::{last}]:1");
        assert_eq!(ask_from(&mut world, &from, list(&basic("ann", "x"))).status, 401);
    }
    for (from, status) in [("[2001:db8::9]:1", 429), ("[2001:db8:0:1::1]:1", 200)] {
        assert_eq!(ask_from(&mut world, from, list(&basic("ann", "sesame"))).status, status, "{from}");
    }
}

/// Guesses on many connections at once are no way around it: what waits for its check is not checked any more.
#[test]
fn guesses_side_by_side_are_counted_too() {
    let mut world = world();
    let peers: Vec<Peer> = (0..20).map(|_| world.connect_from(0, "192.0.2.1:1")).collect();
    for (at, peer) in peers.iter().enumerate() {
        world.send(*peer, list(&basic("ann", &at.to_string())));
    }
    // Two run at a time, so one more is under way when the third has failed; its guess gets no answer either.
    assert_eq!(world.finish_checks(), 4);
    let statuses: Vec<u16> =
        peers.iter().filter_map(|peer| world.next_reply(*peer)).map(|r| r.status).collect();
    let of = |status| statuses.iter().filter(|s| **s == status).count();
    assert_eq!((of(401), of(429)), (3, 17));
}

/// Behind a proxy of ours each client has its own count, and the actor of what it does is its own address.
#[test]
fn clients_behind_a_proxy_are_counted_one_by_one() {
    let mut config = with_users(&[user("ann", "sesame", &[])]);
    config.limits.failed_logins_per_address = 2;
    let proxies = vec!["10.0.0.1".parse().expect("a network")];
    config.listeners = vec![Listener { proxies, ..Listener::default() }];
    let mut world = World::with(config, 1);
    let proxy = world.connect_from(0, "10.0.0.1:1");
    for (client, password, status) in [
        ("192.0.2.1", "x", 401),
        ("192.0.2.2", "y", 401),
        ("192.0.2.1", "z", 401),
        ("192.0.2.1", "sesame", 429),
        ("192.0.2.2", "sesame", 200),
    ] {
        let fields = format!("X-Forwarded-For: {client}\r\n{}", basic("ann", password));
        assert_eq!(ask(&mut world, proxy, list(&fields)).status, status, "{client} {password}");
        let told = refusals(&mut world);
        assert!(
            told.iter().all(|line| line.starts_with(&format!("xms: {client} was refused: "))),
            "{told:?}"
        );
    }
}

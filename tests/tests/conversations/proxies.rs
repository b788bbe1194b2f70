//! Proxies before a listener: the PROXY header, `Forwarded` and its kin, and what single addresses may take.

use offhook_core::Config;
use offhook_core::ground::config::Listener;
use offhook_core::ground::network::Network;
use offhook_tests::memory::read::Reply;
use offhook_tests::memory::write::{get, request};
use offhook_tests::memory::{Peer, World};

use crate::common::notes;

/// A listener behind the proxy 10.0.0.1.
fn behind(proxy_protocol: bool) -> Config {
    let proxies = vec!["10.0.0.1".parse::<Network>().expect("a network")];
    let listener = Listener { proxies, proxy_protocol, ..Listener::default() };
    Config { listeners: vec![listener], ..Config::default() }
}

/// A PROXY header for a v4 address.
fn header(client: [u8; 4]) -> Vec<u8> {
    let mut out = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    out.extend(client);
    out.extend([10, 0, 0, 9, 0x9c, 0x40, 0x1f, 0x90]);
    out
}

fn from(world: &mut World, address: &str) -> Peer {
    world.connect_from(0, &format!("{address}:40000"))
}

/// Whether the peer is let in as one of this machine: `/metrics` is open to those alone.
fn is_local(reply: &Reply) -> bool {
    assert!(matches!(reply.status, 200 | 403), "{}", reply.status);
    reply.status == 200
}

#[test]
fn a_proxy_header_names_the_peer() {
    for split in [1, 7, 1_000] {
        for (client, local) in [([192, 0, 2, 7], false), ([127, 0, 0, 1], true)] {
            let mut world = World::with(behind(true), 1);
            let peer = from(&mut world, "10.0.0.1");
            for piece in [header(client), get("/metrics")].concat().chunks(split) {
                world.send(peer, piece);
            }
            assert_eq!(is_local(&world.next_reply(peer).expect("a reply")), local);
            // It holds for all requests; what says otherwise is not this machine's own.
            assert_eq!(is_local(&world.ask(peer, get("/metrics"))), local);
            let spoofed = request("GET", "/metrics", "X-Forwarded-For: 127.0.0.1\r\n", "");
            assert!(!is_local(&world.ask(peer, spoofed)));
        }
    }
}

#[test]
fn a_proxy_must_say_it() {
    for bytes in
        [get("/metrics"), b"PROXY TCP4 127.0.0.1 10.0.0.9 1 2\r\n".to_vec(), header([1; 4])[..27].to_vec()]
    {
        let mut world = World::with(behind(true), 1);
        let peer = from(&mut world, "10.0.0.1");
        world.send(peer, &bytes);
        if bytes.len() == 27 {
            // Half a header has the time of a head.
            assert!(!world.is_closed(peer));
            world.pass(10_000);
        } else {
            let [note] = &notes(&mut world)[..] else { panic!("one line") };
            assert!(note.text.starts_with("the proxy 10.0.0.1 was refused: "), "{note:?}");
        }
        assert!(world.is_closed(peer) && world.received(peer).is_empty());
    }
    // From everybody else it is no HTTP, and where it is not wanted too.
    for (config, address) in
        [(behind(true), "127.0.0.1"), (behind(false), "10.0.0.1"), (Config::default(), "10.0.0.1")]
    {
        let mut world = World::with(config, 1);
        let peer = from(&mut world, address);
        assert_eq!(world.ask(peer, [header([127, 0, 0, 1]), get("/metrics")].concat()).status, 400);
    }
    // LOCAL: the proxy asks on its own account, and no field makes it somebody else's.
    let mut world = World::with(behind(true), 1);
    let peer = from(&mut world, "10.0.0.1");
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0";
    assert_eq!(world.ask(peer, [&local[..], &get("/metrics")].concat()).status, 403);
    let spoofed = request("GET", "/metrics", "X-Forwarded-For: 127.0.0.1\r\n", "");
    assert_eq!(world.ask(peer, spoofed).status, 403);
}

/// A proxy on this machine that names nobody does not open what is this machine's own.
#[test]
fn a_proxy_on_this_machine() {
    let mut config = behind(false);
    config.listeners[0].proxies = vec!["127.0.0.1".parse().expect("a network")];
    let mut world = World::with(config, 1);
    let proxy = from(&mut world, "127.0.0.1");
    for (fields, status) in [
        ("X-Real-IP: 192.0.2.7\r\n", 403),
        ("Via: 1.1 proxy\r\n", 403),
        ("X-Forwarded-For: 192.0.2.7\r\n", 403),
        // The client's own, and the proxy's, which names nobody.
        ("Forwarded: for=127.0.0.1, proto=https;host=h\r\n", 403),
        ("", 202),
    ] {
        let fields = format!("Content-Type: application/json\r\n{fields}");
        let event = r#"{"type":"call.ringing","subject":"call/1"}"#;
        assert_eq!(
            world.ask(proxy, request("POST", "/v1/events", &fields, event)).status,
            status,
            "{fields}"
        );
        let of_metrics = world.ask(proxy, request("GET", "/metrics", &fields, ""));
        assert_eq!(is_local(&of_metrics), status == 202, "{fields}");
    }
}

#[test]
fn forwarded_names_the_peer_of_a_request() {
    let mut world = World::with(behind(false), 1);
    let proxy = from(&mut world, "10.0.0.1");
    let stranger = from(&mut world, "192.0.2.1");
    for (peer, fields, local) in [
        (proxy, "X-Forwarded-For: 127.0.0.1\r\n", true),
        (proxy, "Forwarded: for=127.0.0.1\r\n", true),
        (proxy, "X-Forwarded-For: 127.0.0.1, 192.0.2.7\r\n", false),
        (proxy, "X-Forwarded-For: 127.0.0.1, 10.0.0.1\r\n", true),
        // The one before does not rub off.
        (proxy, "", false),
        (stranger, "X-Forwarded-For: 127.0.0.1\r\n", false),
    ] {
        let reply = world.ask(peer, request("GET", "/metrics", fields, ""));
        assert_eq!(is_local(&reply), local, "{fields:?}");
    }
    for fields in [
        "Forwarded: for=\"\r\n",
        "X-Forwarded-For: somebody\r\n",
        "Forwarded: for=1.1.1.1\r\nX-Forwarded-For: 1.1.1.2\r\n",
    ] {
        let reply = world.ask(proxy, request("GET", "/metrics", fields, ""));
        assert_eq!(reply.status, 400, "{fields:?}");
        assert!(reply.text().contains("proxy"), "{}", reply.text());
    }
    assert_eq!(
        world.ask(proxy, request("GET", "/metrics", "X-Forwarded-For: 127.0.0.1\r\n", "")).status,
        200
    );
}

/// `/v1` is open to this machine's own, also through a proxy that says so.
#[test]
fn v1_through_a_proxy() {
    let mut world = World::with(behind(false), 1);
    let proxy = from(&mut world, "10.0.0.1");
    for (fields, status) in [("X-Forwarded-For: 127.0.0.1\r\n", 202), ("X-Forwarded-For: 192.0.2.7\r\n", 403)]
    {
        let fields = format!("Content-Type: application/json\r\n{fields}");
        let reply = world.ask(
            proxy,
            request("POST", "/v1/events", &fields, r#"{"type":"call.ringing","subject":"call/1"}"#),
        );
        assert_eq!(reply.status, status, "{}", reply.text());
    }
}

#[test]
fn locations_follow_the_clients_scheme() {
    let mut world = World::with(behind(false), 1);
    for (address, fields, scheme) in [
        ("10.0.0.1", "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n", "https"),
        ("10.0.0.1", "Forwarded: for=192.0.2.7;proto=https\r\n", "https"),
        ("10.0.0.1", "X-Forwarded-For: 192.0.2.7\r\n", "http"),
        ("192.0.2.7", "X-Forwarded-Proto: https\r\n", "http"),
    ] {
        let peer = from(&mut world, address);
        let fields = format!("Content-Type: application/xml\r\n{fields}");
        let document = crate::common::document(crate::common::EVERYTHING);
        let reply = world.ask(peer, request("POST", crate::common::COLLECTION, &fields, document));
        let location = reply.field("location").expect("a location");
        assert!(location.starts_with(&format!("{scheme}://localhost/")), "{location}");
    }
}

#[test]
fn an_address_has_so_many_connections() {
    let mut config = Config::default();
    config.limits.connections_per_address = 2;
    config.limits.refusal_places = 1;
    let mut world = World::with(config, 1);
    let first = from(&mut world, "192.0.2.1");
    from(&mut world, "::ffff:192.0.2.1".replace("::ffff:", "").as_str());
    // One more is told, and the next is closed.
    let third = from(&mut world, "192.0.2.1");
    assert!(world.try_connect(0, "192.0.2.1:1").is_none());
    let reply = world.ask(third, get("/healthz"));
    assert_eq!(
        (reply.status, reply.field("retry-after"), reply.field("connection")),
        (503, Some("1"), Some("close"))
    );
    assert!(reply.text().contains("this address has as many connections as it may"), "{}", reply.text());
    // Others, and this machine's own, have theirs.
    let other = from(&mut world, "192.0.2.2");
    assert_eq!(world.ask(other, get("/healthz")).status, 403);
    for _ in 0..5 {
        assert_eq!(world.ask_alone(get("/healthz")).status, 200);
    }
    world.break_off(first);
    world.break_off(third);
    let again = from(&mut world, "192.0.2.1");
    assert_eq!(world.ask(again, get("/healthz")).status, 403);
    assert_eq!(world.stats().connections_refused, 2);
}

/// Behind a proxy those are counted whom it speaks for, and it is not.
#[test]
fn connections_are_counted_behind_proxies() {
    let mut config = behind(true);
    config.limits.connections_per_address = 1;
    let mut world = World::with(config, 1);
    let mut ask = |client: [u8; 4]| {
        let peer = from(&mut world, "10.0.0.1");
        world.ask(peer, [header(client), get("/metrics")].concat()).status
    };
    assert_eq!([ask([192, 0, 2, 1]), ask([192, 0, 2, 2]), ask([192, 0, 2, 1])], [403, 403, 503]);

    let mut config = behind(false);
    config.limits.connections_per_address = 1;
    config.metrics_allow.push("192.0.2.0/24".parse().expect("a network"));
    let mut world = World::with(config, 1);
    let [a, b] = [from(&mut world, "10.0.0.1"), from(&mut world, "10.0.0.1")];
    let of = |client: u8, target: &str| {
        request("GET", target, &format!("X-Forwarded-For: 192.0.2.{client}\r\n"), "")
    };
    // A connection that rests is nobody's.
    for (peer, client) in [(a, 1), (b, 1), (a, 2), (b, 1)] {
        assert_eq!(world.ask(peer, of(client, "/metrics")).status, 200);
    }
    // A stream is somebody's.
    let handler = |client: u8| {
        let fields = format!("Content-Type: application/xml\r\nX-Forwarded-For: 192.0.2.{client}\r\n");
        request(
            "POST",
            crate::common::COLLECTION,
            &fields,
            crate::common::document(crate::common::EVERYTHING),
        )
    };
    let id = crate::common::identifier(&world.ask(a, handler(1)));
    world.open(a, of(1, &crate::common::instance(&id)));
    let reply = world.ask(b, of(1, "/metrics"));
    assert_eq!((reply.status, reply.field("retry-after"), reply.field("connection")), (503, Some("1"), None));
    assert_eq!(world.ask(b, of(2, "/metrics")).status, 200);
    world.break_off(a);
    assert_eq!(world.ask(b, of(1, "/metrics")).status, 200);
}

#[test]
fn an_address_makes_so_many_handshakes() {
    let mut config = Config::default();
    config.limits.handshakes_per_second = 2;
    let mut world = World::with(config, 1);
    let upgrade = request("GET", "/nowhere", "Connection: Upgrade\r\nUpgrade: websocket\r\n", "");
    let peer = from(&mut world, "192.0.2.1");
    let statuses: Vec<u16> = (0..3).map(|_| world.ask(peer, &upgrade).status).collect();
    assert_eq!(statuses, [404, 404, 503]);
    world.pass(1_000);
    assert_eq!(world.ask(peer, &upgrade).status, 404);
    let local = world.connect();
    assert!((0..5).all(|_| world.ask(local, &upgrade).status == 404));
}

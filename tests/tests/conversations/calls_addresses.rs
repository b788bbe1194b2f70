//! Which addresses a call may reach: names, proxies, ranges that are closed.

use offhook_core::hub::call::{Call, CallFault};
use offhook_core::{Completion, Config};
use offhook_tests::memory::World;

use super::calls_alone::{OK, POST, call, ok, target, untrusted, with_calls, with_private};

#[test]
fn addresses_are_tried_in_turn() {
    let mut world = World::new();
    world.set_name("h.example", &["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    let target = target("h.example");
    world.call(call(&target, 1));
    let (server, address) = world.expect_dial();
    assert_eq!(address.to_string(), "192.0.2.1:80");
    world.refuse_dial(server, "Connection refused");
    assert!(world.is_closed(server) && world.take_answers().is_empty());
    let (server, address) = world.expect_dial();
    assert_eq!(address.to_string(), "[2001:db8::1]:80");
    world.pass(5_000);
    assert!(world.is_closed(server));
    let server = world.expect_accepted("192.0.2.2:80");
    world.send(server, OK);
    assert_eq!(world.take_answers(), [(1, ok("ok"))]);
    // None of them: the last one's fault.
    world.end(server);
    world.call(call(&target, 2));
    for _ in 0..3 {
        let (server, _) = world.expect_dial();
        world.refuse_dial(server, "Connection refused");
    }
    let refused = Err(CallFault::Connect("192.0.2.2:80: Connection refused".into()));
    assert_eq!(world.take_answers(), [(2, refused)]);
}

#[test]
fn names_that_lead_nowhere() {
    let mut world = World::new();
    world.break_name("broken.example", "no such host");
    world.set_name("empty.example", &[]);
    world.call(call(&target("broken.example"), 1));
    world.call(call(&target("empty.example"), 2));
    world.call(call(&target("slow.example"), 3));
    world.call(call(&target("slow.example"), 4));
    let fault = |text: &str| Err(CallFault::Resolve(text.into()));
    assert_eq!(
        world.take_answers(),
        [(1, fault("`broken.example`: no such host")), (2, fault("`empty.example` has no address"))]
    );
    assert_eq!(world.waiting_names(), ["slow.example"], "a name is looked up once for all");
    world.pass(5_000);
    let late = fault("no name server answered in time");
    assert_eq!(world.take_answers(), [(3, late.clone()), (4, late)]);
    world.call(call(&target("slow.example"), 5));
    world.set_name("slow.example", &["192.0.2.1"]);
    world.answer_lookups();
    world.expect_accepted("192.0.2.1:80");
    assert!(world.next_dial().is_none());
}

#[test]
fn a_proxy_is_asked() {
    let mut world =
        with_calls(|config| config.outbox.egress_proxy = Some("me:secret@192.0.2.80:3128".parse().unwrap()));
    let target = target("h.example");
    world.call(call(&target, 1));
    let proxy = world.expect_accepted("192.0.2.80:3128");
    assert!(world.waiting_names().is_empty(), "the proxy resolves a trusted name");
    let connect = "CONNECT h.example:80 HTTP/1.1\r\nHost: h.example:80\r\n\
                   Proxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n";
    assert_eq!(String::from_utf8(world.take(proxy)).unwrap(), connect);
    world.send(proxy, "HTTP/1.1 200 Connection established\r\n\r\n");
    assert_eq!(world.take(proxy), POST.as_bytes());
    world.send(proxy, OK);
    assert_eq!(world.take_answers(), [(1, ok("ok"))]);
    world.call(call(&target, 2));
    assert_eq!(world.take(proxy), POST.as_bytes(), "the tunnel is kept");
    // A refusal.
    world.call(call(&self::target("192.0.2.9"), 3));
    let proxy = world.expect_accepted("192.0.2.80:3128");
    world.send(proxy, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(world.take_answers(), [(3, Err(CallFault::Proxy(407)))]);
    assert!(world.is_closed(proxy));
    // A proxy that says nothing.
    world.call(call(&self::target("192.0.2.9"), 4));
    let proxy = world.expect_accepted("192.0.2.80:3128");
    world.pass(5_000);
    assert_eq!(world.take_answers(), [(4, Err(CallFault::ConnectTimeout))]);
    assert!(world.is_closed(proxy));
}

/// Through a proxy, CONNECT names the address that was checked; the request keeps the URL's host.
#[test]
fn a_proxy_is_told_the_checked_address() {
    let mut world = with_calls(|config| config.outbox.egress_proxy = Some("proxy.lan:3128".parse().unwrap()));
    world.set_name("proxy.lan", &["10.0.0.80"]);
    world.set_name("h.example", &["2a00::1", "1.2.3.4"]);
    world.call(call(&untrusted("h.example"), 1));
    let proxy = world.expect_accepted("10.0.0.80:3128");
    assert!(world.take(proxy).starts_with(b"CONNECT [2a00::1]:80 HTTP/1.1\r\nHost: [2a00::1]:80\r\n\r\n"));
    world.send(proxy, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    let proxy = world.expect_accepted("10.0.0.80:3128");
    assert!(world.take(proxy).starts_with(b"CONNECT 1.2.3.4:80 HTTP/1.1\r\n"));
    world.send(proxy, "HTTP/1.1 200 OK\r\n\r\n");
    assert_eq!(world.take(proxy), POST.as_bytes());
    world.set_name("inside.example", &["169.254.169.254"]);
    world.call(call(&untrusted("inside.example"), 2));
    assert!(matches!(world.take_answers()[..], [(2, Err(CallFault::Blocked { range: "link-local", .. }))]));
}

#[test]
fn blocked_addresses() {
    let mut world = with_calls(|config| config.outbox.allow_private = vec!["10.0.0.0/24".parse().unwrap()]);
    world.set_name("mixed.example", &["1.2.3.4", "127.0.0.1"]);
    world.set_name("mapped.example", &["::ffff:192.168.0.1"]);
    for (host, range) in [
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("10.0.1.1", "private"),
        ("64:ff9b::7f00:1", "loopback"),
        ("mixed.example", "loopback"),
        ("mapped.example", "private"),
    ] {
        world.call(call(&untrusted(host), 1));
        let answers = world.take_answers();
        let [(1, Err(fault @ CallFault::Blocked { range: found, .. }))] = &answers[..] else {
            panic!("{host}: {answers:?}")
        };
        assert_eq!(*found, range, "{host}");
        assert!(fault.to_string().contains("allow_private"), "{fault}");
    }
    assert!(world.next_dial().is_none());
    world.call(call(&untrusted("10.0.0.7"), 2));
    world.expect_accepted("10.0.0.7:80");
    world.call(call(&target("127.0.0.1"), 3));
    world.expect_accepted("127.0.0.1:80");
}

/// A name that turns to another address after it was checked is checked again, and a reload ends what was checked by
/// the old rules.
#[test]
fn rebinding() {
    let mut world = World::new();
    world.set_name("h.example", &["1.2.3.4"]);
    world.rebind_name("h.example", &["127.0.0.1"]);
    let target = untrusted("h.example");
    world.call(call(&target, 1));
    let server = world.expect_accepted("1.2.3.4:80");
    world.send(server, OK.replace("OK\r\n", "OK\r\nConnection: close\r\n"));
    world.call(call(&target, 2));
    let answers = world.take_answers();
    assert!(matches!(answers[..], [(1, Ok(_)), (2, Err(CallFault::Blocked { range: "loopback", .. }))]));
    let config = with_private();
    world.tell(|| Completion::Reloaded(Box::new(config.clone())));
    world.call(call(&target, 3));
    let server = world.expect_accepted("127.0.0.1:80");
    world.send(server, OK);
    world.tell(|| Completion::Reloaded(Box::default()));
    assert!(world.is_closed(server));
    world.call(call(&target, 4));
    assert!(matches!(world.take_answers()[..], [(3, Ok(_)), (4, Err(CallFault::Blocked { .. }))]));
}

/// The address that a refusal names can be written into the config file as it stands.
#[test]
fn a_blocked_address_is_named_as_allow_private_takes_it() {
    let mut world = World::new();
    world.call(call(&untrusted("::ffff:10.0.0.1"), 1));
    let answers = world.take_answers();
    let [(1, Err(CallFault::Blocked { address, .. }))] = answers[..] else { panic!("{answers:?}") };
    assert_eq!(address.to_string(), "10.0.0.1");
    // And it is dialed as what it is.
    world.call(call(&untrusted("::ffff:1.2.3.4"), 2));
    world.expect_accepted("1.2.3.4:80");
}

/// RFC 9112 section 11.1: bytes that nobody asked for are not passed over.
#[test]
fn a_tunnel_that_speaks_first_is_not_trusted() {
    let mut world =
        with_calls(|config| config.outbox.egress_proxy = Some("192.0.2.80:3128".parse().unwrap()));
    world.call(call(&target("h.example"), 1));
    let proxy = world.expect_accepted("192.0.2.80:3128");
    world.take(proxy);
    world.send(proxy, "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n");
    assert!(matches!(world.take_answers()[..], [(1, Err(CallFault::BadAnswer(_)))]));
    assert!(world.is_closed(proxy) && world.take(proxy).is_empty());
}

/// A connection to the proxy of the old config never gets a request that is meant for the target.
#[test]
fn a_proxy_that_goes_while_it_is_dialed() {
    let proxied = |text: &str| with_calls(|config| config.outbox.egress_proxy = Some(text.parse().unwrap()));
    let mut world = proxied("192.0.2.80:3128");
    world.call(call(&target("h.example"), 1));
    let (proxy, _) = world.expect_dial();
    world.tell(|| Completion::Reloaded(Box::default()));
    if !world.is_closed(proxy) {
        world.accept_dial(proxy);
    }
    assert!(!world.take(proxy).starts_with(b"POST"));
    // The same while its name is looked up.
    let mut world = proxied("proxy.lan:3128");
    world.set_name("h.example", &["192.0.2.1"]);
    world.call(call(&target("h.example"), 2));
    world.tell(|| Completion::Reloaded(Box::default()));
    world.set_name("proxy.lan", &["10.0.0.80"]);
    world.answer_lookups();
    world.expect_accepted("192.0.2.1:80");
    // And one that comes is asked nothing by a connection that was made without it.
    let mut world = World::new();
    world.call(call(&target("192.0.2.1"), 3));
    let (server, _) = world.expect_dial();
    let mut config = Config::default();
    config.outbox.egress_proxy = Some("192.0.2.80:3128".parse().unwrap());
    world.tell(|| Completion::Reloaded(Box::new(config.clone())));
    if !world.is_closed(server) {
        world.accept_dial(server);
    }
    assert!(!world.take(server).starts_with(b"CONNECT"));
}

/// However many addresses one family has, the other has its turn.
#[test]
fn no_family_crowds_the_other_out() {
    let mut world = World::new();
    let many: Vec<String> = (1..20).map(|n| format!("2001:db8::{n}")).collect();
    let all: Vec<&str> = many.iter().map(String::as_str).chain(["192.0.2.1"]).collect();
    world.set_name("h.example", &all);
    world.call(call(&target("h.example"), 1));
    let (first, _) = world.expect_dial();
    world.refuse_dial(first, "Connection refused");
    world.expect_accepted("192.0.2.1:80");
}

/// Every address is checked, also those beyond the number that is tried.
#[test]
fn no_address_hides_behind_many() {
    let mut world = World::new();
    let many: Vec<String> = (1..20).map(|n| format!("1.2.3.{n}")).collect();
    let all: Vec<&str> = many.iter().map(String::as_str).chain(["127.0.0.1"]).collect();
    world.set_name("h.example", &all);
    world.call(call(&untrusted("h.example"), 1));
    assert!(matches!(world.take_answers()[..], [(1, Err(CallFault::Blocked { range: "loopback", .. }))]));
}

/// Whoever asks for a name that others wait for has its own time, and makes no second lookup.
#[test]
fn each_call_waits_its_own_time_for_a_name() {
    let mut world = World::new();
    world.call(call(&target("h.example"), 1));
    world.pass(4_000);
    world.call(call(&target("h.example"), 2));
    world.call(Call { total_ms: 500, ..call(&target("h.example"), 3) });
    world.pass(500);
    assert!(matches!(world.take_answers()[..], [(3, Err(_))]));
    world.pass(500);
    assert!(matches!(world.take_answers()[..], [(1, Err(CallFault::Resolve(_)))]));
    world.call(call(&target("h.example"), 4));
    assert_eq!(world.waiting_names().len(), 1, "a lookup that hangs is not made again");
    world.set_name("h.example", &["192.0.2.1"]);
    world.answer_lookups();
    let (_, second) = (world.expect_accepted("192.0.2.1:80"), world.expect_accepted("192.0.2.1:80"));
    assert_eq!(world.take(second), POST.as_bytes());
}

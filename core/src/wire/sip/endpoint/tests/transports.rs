//! TCP and TLS: what goes that way, connections, and the way back to UDP.

use super::*;
use crate::ground::limits::Limits;

/// A NOTIFY that does not fit into a datagram.
fn long(to: usize, n: u64) -> Message {
    let mut request = notify(to, n);
    request.body = vec![b'x'; 1_300];
    request
}

fn over(transport: &str, n: u64) -> Message {
    request("NOTIFY", &format!("sip:b@{};transport={transport}", address(1)), n)
}

#[test]
fn s43_a_request_over_1300_bytes_goes_by_tcp() {
    let length = |request: &Message| {
        let mut endpoint = Endpoint::new(settings(0), 1);
        endpoint.request(Mono(0), 1, request.clone(), None);
        match endpoint.poll_output() {
            Some(Output::Datagram { bytes, .. }) => Some(bytes.len()),
            Some(Output::Dial { to, tls: None, .. }) if to == address(1) => None,
            other => panic!("{other:?}"),
        }
    };
    let mut fits = notify(1, 1);
    fits.body = vec![b'x'; 500];
    fits.body.resize(500 + 1_300 - length(&fits).unwrap(), b'x');
    // One digit more in Content-Length.
    fits.body.pop();
    assert_eq!(length(&fits), Some(1_300));
    fits.body.push(b'x');
    assert_eq!(length(&fits), None);

    let mut world = World::pair();
    world.request(0, 1, long(1, 1));
    world.run_for(100);
    assert_eq!((world.outcome(0, 1), world.asked(1), world.sent.len()), ("200".into(), vec!["1"], 0));
    // The connection is used again.
    world.request(0, 2, long(1, 2));
    world.request(0, 3, over("tcp", 3));
    world.run_for(100);
    assert_eq!((world.asked(1), world.sent.len(), world.dials), (vec!["1", "2", "3"], 0, 1));
    world.run_out();
    assert_eq!(world.ends.iter().map(|end| end.endpoint.held()).collect::<Vec<_>>(), [Held::default(); 2]);
}

#[test]
fn s43_it_comes_back_to_udp_when_tcp_is_refused() {
    let mut world = World::pair();
    world.ends[1].refuses = true;
    world.request(0, 1, long(1, 1));
    world.run_for(100);
    assert_eq!((world.outcome(0, 1), world.asked(1), world.sent.len()), ("200".into(), vec!["1"], 2));
    assert_eq!(world.ends[0].seen.len(), 2, "it was sent once, as the user sees it");
    // What asked for TCP has no other way.
    world.request(0, 2, over("tcp", 2));
    world.run_for(100);
    assert_eq!(world.outcome(0, 2), "Transport");
}

#[test]
fn s57_what_comes_back_to_udp_keeps_the_pace() {
    let mut endpoint = Endpoint::new(Settings { requests_per_second: 2, ..settings(0) }, 1);
    for key in 0..3 {
        endpoint.request(Mono(1_000_000), key, long(1, key), None);
    }
    let (mut now, mut times) = (Mono(1_000_000), Vec::new());
    while times.len() < 3 {
        while let Some(output) = endpoint.poll_output() {
            match output {
                Output::Dial { flow, .. } => endpoint.closed(now, flow),
                Output::Datagram { bytes, .. } => {
                    times.push(now.0);
                    let request = Message::from_datagram(&bytes).unwrap();
                    let mut bytes = Vec::new();
                    Message::response(&request, 200, "OK").write(&mut bytes);
                    endpoint.receive_datagram(now, 0, address(1), &bytes);
                }
                Output::Write { .. } | Output::Close { .. } | Output::Resolve { .. } => panic!("{output:?}"),
            }
        }
        now = now.max(endpoint.poll_timeout().expect("a turn is due"));
        endpoint.handle_timeout(now);
    }
    // Each had one turn over TCP, and has another over UDP.
    assert!(times[0] >= 1_000_400 && times[2] >= 1_002_400, "{times:?}");
    assert!(times[2] < 1_003_000, "{times:?}");
}

#[test]
fn s43_a_notify_on_a_new_connection_is_answered_on_it() {
    let mut endpoint = Endpoint::new(settings(0), 1);
    let from = SocketAddr::from(([192, 0, 2, 2], 40_000));
    let flow = endpoint.accept(Mono(0), from, false);
    let mut notify = notify(0, 1);
    notify.fields.push("Via", "SIP/2.0/TCP 192.0.2.2:5070;branch=z9hG4bK1");
    let mut bytes = b"\r\n\r\n".to_vec();
    notify.write(&mut bytes);
    endpoint.receive(Mono(0), flow, &bytes);
    let Some(Happened::Asked { id, request }) = endpoint.poll_happened() else { panic!("it is given") };
    let response = Message::response(&request, 200, "OK");
    endpoint.answer(Mono(0), id, response.clone());
    assert!(matches!(endpoint.poll_output(), Some(Output::Write { flow: on, .. }) if on == flow));
    assert_eq!(endpoint.held().requests_remembered, 0, "Timer J is 0 on a stream");

    // A connection that is gone by then is no reason not to answer: RFC 3261 section 18.2.2.
    notify.fields.set("Via", "SIP/2.0/TCP 192.0.2.2:5070;branch=z9hG4bK2");
    bytes.clear();
    notify.write(&mut bytes);
    endpoint.receive(Mono(0), flow, &bytes);
    endpoint.closed(Mono(0), flow);
    let Some(Happened::Asked { id, request }) = endpoint.poll_happened() else { panic!("it is given") };
    endpoint.answer(Mono(0), id, Message::response(&request, 200, "OK"));
    let Some(Output::Dial { flow: back, to, tls: None }) = endpoint.poll_output() else { panic!("it dials") };
    assert_eq!(to, SocketAddr::from(([192, 0, 2, 2], 5_070)));
    assert_eq!(endpoint.poll_output(), None, "it waits for the connection");
    endpoint.connected(Mono(1), back);
    assert!(matches!(endpoint.poll_output(), Some(Output::Write { flow, .. }) if flow == back));
}

#[test]
fn sips_and_tls_name_whom_the_certificate_must_name() {
    for (uri, proxy, to, certified) in [
        ("sips:b@192.0.2.2", None, "192.0.2.2:5061", "192.0.2.2"),
        ("sips:b@peer.test", None, "192.0.2.2:5061", "peer.test"),
        ("sip:b@peer.test:5070;transport=tls", None, "192.0.2.2:5070", "peer.test"),
        ("sip:b@peer.test;transport=tls;maddr=192.0.2.9", None, "192.0.2.9:5061", "peer.test"),
        ("sip:b@other.test", Some("sips:peer.test"), "192.0.2.2:5061", "peer.test"),
        ("sips:b@other.test", Some("sip:peer.test;lr"), "192.0.2.2:5061", "peer.test"),
    ] {
        let proxy = proxy.map(|proxy: &str| proxy.parse().unwrap());
        let mut endpoint = Endpoint::new(Settings { proxy, ..settings(0) }, 1);
        endpoint.request(Mono(0), 1, request("NOTIFY", uri, 1), None);
        let dial = match endpoint.poll_output() {
            Some(Output::Resolve { ticket, .. }) => {
                endpoint.resolved(Mono(0), ticket, Ok(vec![address(1).ip()]));
                endpoint.poll_output()
            }
            other => other,
        };
        let expected = Output::Dial { flow: FlowId(0), to: to.parse().unwrap(), tls: Some(certified.into()) };
        assert_eq!(dial, Some(expected), "{uri}");
    }
}

#[test]
fn a_connection_that_breaks_fails_what_waits_on_it() {
    let mut world = World::pair();
    world.ends[1].answers_within_ms = None;
    world.request(0, 1, over("tcp", 1));
    world.request(0, 2, notify(1, 2));
    world.run_for(100);
    world.cut(1, FlowId(0));
    world.run_for(100);
    assert_eq!((world.outcome(0, 1), world.outcomes(0, 2)), ("Transport".into(), vec![]));
    assert_eq!(world.ends[0].endpoint.held().flows, 0);
    // On a stream nothing is sent twice, and 64 T1 are the end there too.
    let start = world.now;
    world.request(0, 3, over("tcp", 3));
    world.run_for(40_000);
    assert_eq!(world.outcomes(0, 3), [(start + 32_000, "TimerF".to_owned())]);
    assert_eq!(world.asked(1), ["2", "1", "3"]);
}

#[test]
fn the_next_address_is_tried_when_a_connection_is_refused() {
    let mut world = World::new(1, Link::default(), (0..3).map(settings));
    world.names.insert("peer.test".into(), vec![address(1).ip(), address(2).ip()]);
    world.ends[1].refuses = true;
    world.request(0, 1, request("NOTIFY", "sip:b@peer.test;transport=tcp", 1));
    world.run_for(100);
    assert_eq!((world.outcome(0, 1), world.asked(2)), ("200".into(), vec!["1"]));
    world.ends[2].refuses = true;
    world.cut(2, FlowId(0));
    world.run_for(100);
    world.request(0, 2, request("NOTIFY", "sip:b@peer.test;transport=tcp", 2));
    world.run_for(100);
    assert_eq!(world.outcome(0, 2), "Transport");
}

/// An endpoint with one TCP request towards each of so many peers.
fn dialing(limits: Limits, peers: u8) -> Endpoint {
    let mut endpoint = Endpoint::new(Settings { limits, ..settings(0) }, 1);
    for peer in 0..peers {
        let uri = format!("sip:b@198.51.100.{peer};transport=tcp");
        endpoint.request(Mono(0), peer.into(), request("NOTIFY", &uri, peer.into()), None);
    }
    endpoint
}

fn last(endpoint: &mut Endpoint) -> Option<Happened> {
    std::iter::from_fn(|| endpoint.poll_happened()).last()
}

#[test]
fn a_dial_that_takes_too_long_is_given_up() {
    let mut endpoint = dialing(Limits::default(), 1);
    assert!(matches!(endpoint.poll_output(), Some(Output::Dial { .. })));
    assert_eq!(endpoint.poll_timeout(), Some(Mono(5_000)));
    endpoint.handle_timeout(Mono(5_000));
    assert_eq!(endpoint.poll_output(), Some(Output::Close { flow: FlowId(0) }));
    assert_eq!(last(&mut endpoint), Some(Happened::Unanswered { key: 0, why: Unanswered::Transport }));
    // What comes of it later is nothing.
    endpoint.connected(Mono(5_001), FlowId(0));
    endpoint.receive(Mono(5_001), FlowId(0), b"SIP/2.0 200 OK\r\n");
    endpoint.closed(Mono(5_002), FlowId(0));
    assert_eq!((endpoint.poll_output(), endpoint.poll_happened()), (None, None));
    assert_eq!(endpoint.held(), Held::default());
}

#[test]
fn connections_are_bounded_of_both_kinds() {
    let mut endpoint = dialing(Limits { sip_flows: 2, ..Limits::default() }, 3);
    assert_eq!(last(&mut endpoint), Some(Happened::Unanswered { key: 2, why: Unanswered::Transport }));
    while endpoint.poll_output().is_some() {}
    let flows: Vec<FlowId> = (0..3).map(|_| endpoint.accept(Mono(0), address(3), false)).collect();
    assert_eq!(endpoint.poll_output(), Some(Output::Close { flow: flows[2] }));
    assert_eq!((endpoint.poll_output(), endpoint.counted().flows_refused), (None, 1));
    assert_eq!(endpoint.held().flows, 4);
}

#[test]
fn one_address_cannot_take_all_connections() {
    let limits = Limits { sip_flows_per_address: 2, sip_flows: 20, ..Limits::default() };
    let mut endpoint = dialing(limits, 1);
    while endpoint.poll_output().is_some() {}
    let mut accept = |from: &str| {
        let flow = endpoint.accept(Mono(0), from.parse().unwrap(), false);
        match endpoint.poll_output() {
            None => Some(flow),
            Some(Output::Close { .. }) => None,
            other => panic!("{other:?}"),
        }
    };
    // One that we dialed is not of those that its address opened.
    let first = ["198.51.100.0:1", "198.51.100.0:2"].map(|from| accept(from).expect("there is room"));
    assert_eq!((accept("198.51.100.0:3"), accept("[::ffff:198.51.100.0]:3")), (None, None));
    let others = ["198.51.100.1:1", "[2001:db8::1]:1", "[2001:db8::2]:1", "127.0.0.1:1", "127.0.0.1:2"];
    assert!(others.map(&mut accept).iter().all(Option::is_some));
    assert_eq!((accept("[2001:db8::3]:1"), accept("[2001:db8:0:1::]:1").is_some()), (None, true));
    assert!(accept("127.0.0.1:3").is_some());
    endpoint.closed(Mono(1), first[0]);
    assert_eq!(endpoint.counted().flows_refused, 3);
    endpoint.accept(Mono(1), "198.51.100.0:4".parse().unwrap(), false);
    assert_eq!((endpoint.poll_output(), endpoint.held().flows), (None, 10));
}

#[test]
fn bytes_that_wait_for_a_connection_are_bounded() {
    let mut endpoint = dialing(Limits { sip_flow_bytes: 1_000, ..Limits::default() }, 1);
    for key in 1..9 {
        let uri = "sip:b@198.51.100.0;transport=tcp";
        endpoint.request(Mono(0), key, request("NOTIFY", uri, key), None);
    }
    assert!(matches!(last(&mut endpoint), Some(Happened::Unanswered { key: 8, why: Unanswered::Transport })));
    assert!(matches!(endpoint.poll_output(), Some(Output::Dial { .. })));
    endpoint.connected(Mono(1), FlowId(0));
    let written = std::iter::from_fn(|| endpoint.poll_output()).map(|output| {
        let Output::Write { bytes, .. } = output else { panic!("{output:?}") };
        bytes.len()
    });
    let written: Vec<usize> = written.collect();
    assert!(written.len() == 1 && (500..=1_000).contains(&written[0]), "{written:?}");
}

#[test]
fn an_idle_connection_is_closed_and_one_that_is_used_is_not() {
    let mut endpoint = Endpoint::new(settings(0), 1);
    let flow = endpoint.accept(Mono(0), address(1), false);
    let mut bytes = Vec::new();
    let mut options = request("OPTIONS", "sip:offhook@192.0.2.1", 1);
    options.fields.push("Via", "SIP/2.0/TCP 192.0.2.2;branch=z9hG4bK1");
    options.write(&mut bytes);
    endpoint.receive(Mono(100_000), flow, &bytes);
    assert!(matches!(endpoint.poll_output(), Some(Output::Write { .. })));
    // Keepalives are no sign of life.
    endpoint.receive(Mono(200_000), flow, b"\r\n\r\n");
    endpoint.handle_timeout(Mono(120_000));
    endpoint.handle_timeout(Mono(219_999));
    assert_eq!(endpoint.poll_output(), None);
    assert_eq!(endpoint.poll_timeout(), Some(Mono(220_000)));
    endpoint.handle_timeout(Mono(220_000));
    assert_eq!(endpoint.poll_output(), Some(Output::Close { flow }));
    assert_eq!((endpoint.held(), endpoint.poll_timeout()), (Held::default(), None));
}

#[test]
fn a_message_that_does_not_come_to_its_end_closes_the_connection() {
    let mut whole = Vec::new();
    let mut options = request("OPTIONS", "sip:offhook@192.0.2.1", 1);
    options.fields.push("Via", "SIP/2.0/TCP 192.0.2.2;branch=z9hG4bK1");
    options.body = b"x".into();
    options.write(&mut whole);
    let len = whole.len();
    for begun in [1, 9, len - 2, len - 1] {
        let mut endpoint = Endpoint::new(settings(0), 1);
        let flow = endpoint.accept(Mono(0), address(1), false);
        // What comes to its end in time, a byte at a time, is a message; the next one has its own time.
        for (at, byte) in (0..).zip(&whole) {
            endpoint.receive(Mono(at * 31_000 / len as u64), flow, &[*byte]);
        }
        endpoint.handle_timeout(Mono(32_000));
        assert!(matches!(endpoint.poll_output(), Some(Output::Write { .. })));
        endpoint.receive(Mono(40_000), flow, &whole[..begun]);
        // Whatever comes meanwhile puts nothing off.
        endpoint.receive(Mono(71_999), flow, &[]);
        endpoint.handle_timeout(Mono(71_999));
        assert_eq!((endpoint.poll_output(), endpoint.poll_timeout()), (None, Some(Mono(72_000))), "{begun}");
        endpoint.handle_timeout(Mono(72_000));
        assert_eq!(endpoint.poll_output(), Some(Output::Close { flow }), "{begun}");
        assert_eq!((endpoint.counted().unreadable, endpoint.held()), (1, Held::default()), "{begun}");
    }
}

#[test]
fn what_is_no_sip_closes_the_connection() {
    for (bytes, is_answered) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], false),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", false),
        (
            b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.2;branch=z9hG4bK1\r\nFrom: <sip:a@a>;tag=1\r\n\
              To: <sip:x>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n\r\n",
            true,
        ),
    ] {
        let mut endpoint = Endpoint::new(settings(0), 1);
        let flow = endpoint.accept(Mono(0), address(1), false);
        endpoint.receive(Mono(0), flow, bytes);
        endpoint.receive(Mono(0), flow, &[b'x'; 70_000]);
        let outputs: Vec<Output> = std::iter::from_fn(|| endpoint.poll_output()).collect();
        assert_eq!(outputs.last(), Some(&Output::Close { flow }), "{bytes:?}");
        assert_eq!(outputs.len(), 1 + usize::from(is_answered), "{outputs:?}");
        assert_eq!(endpoint.held().flows, 0);
    }
}

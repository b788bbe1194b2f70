//! Requests of ours over UDP: turns, copies, outcomes, names.

use super::*;
use crate::ground::limits::Limits;

#[test]
fn a_request_is_sent_again_until_its_answer_is_there() {
    let mut world = World::pair();
    let start = world.now;
    world.ends[1].answers_within_ms = None;
    world.request(0, 7, notify(1, 7));
    assert!(matches!(world.ends[0].seen[..], [(at, Happened::Sent { key: 7 })] if at == start));
    world.run_out();
    let times: Vec<u64> = world.sent.iter().map(|(at, ..)| at - start).collect();
    let copies = [500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
    assert_eq!(times, [&[0][..], &copies].concat());
    assert_eq!(world.outcomes(0, 7), [(start + 32_000, "TimerF".to_owned())]);
    assert_eq!((world.ends[0].seen.len(), world.asked(1)), (2, vec!["7"]));
    assert_eq!(world.ends[0].endpoint.counted().copies_sent, 10);
    assert_eq!(world.ends[1].endpoint.counted().copies_received, 10);

    let mut world = World::pair();
    world.request(0, 7, notify(1, 7));
    world.run_out();
    assert_eq!((world.outcome(0, 7), world.sent.len()), ("200".into(), 2));
    assert_eq!(world.ends[0].endpoint.held(), Held::default());
}

/// An endpoint alone, and the one request that it sent.
fn sent() -> (Endpoint, Message) {
    let mut endpoint = Endpoint::new(settings(0), 1);
    endpoint.request(Mono(0), 7, notify(1, 7), None);
    assert_eq!(endpoint.poll_happened(), Some(Happened::Sent { key: 7 }));
    let Some(Output::Datagram { to, bytes, .. }) = endpoint.poll_output() else { panic!("it goes at once") };
    assert_eq!(to, address(1));
    (endpoint, Message::from_datagram(&bytes).unwrap())
}

fn receive(endpoint: &mut Endpoint, message: &Message) {
    let mut bytes = Vec::new();
    message.write(&mut bytes);
    endpoint.receive_datagram(Mono(1), 0, address(1), &bytes);
}

#[test]
fn a_request_gets_a_via_and_a_hop_count() {
    let (_, request) = sent();
    let via = request.vias().next().unwrap();
    assert_eq!((&*via.transport, &*via.host, via.port), ("UDP", "192.0.2.1", Some(5060)));
    assert!(via.branch().unwrap().starts_with("z9hG4bK"), "{via}");
    assert_eq!(via.param("rport").as_deref(), Some(""), "{via}");
    assert_eq!(request.fields.get("Max-Forwards"), Some("70"));
    assert_eq!(request.fields.iter().next().unwrap().0, "Via", "it stands first");
    // Nothing repeats between two requests.
    assert_ne!(sent().1.vias().next(), {
        let mut endpoint = Endpoint::new(settings(0), 2);
        endpoint.request(Mono(0), 7, notify(1, 7), None);
        let Some(Output::Datagram { bytes, .. }) = endpoint.poll_output() else { panic!("it goes at once") };
        Message::from_datagram(&bytes).unwrap().vias().next()
    });
}

#[test]
fn rfc3261_17_1_3_responses_belong_to_a_branch_and_a_method() {
    let check = |why: &str, status, change: &dyn Fn(&mut Message), strays: u64, is_outcome: bool| {
        let (mut endpoint, request) = sent();
        let mut response = Message::response(&request, status, "");
        change(&mut response);
        receive(&mut endpoint, &response);
        let happened = endpoint.poll_happened();
        assert_eq!(matches!(happened, Some(Happened::Answered { key: 7, .. })), is_outcome, "{why}");
        assert_eq!(endpoint.counted().stray_responses, strays, "{why}");
        // A copy is swallowed.
        receive(&mut endpoint, &response);
        assert_eq!(endpoint.poll_happened(), None, "{why}");
        assert_eq!(endpoint.counted().stray_responses, 2 * strays, "{why}");
    };
    let with_via = |change: fn(String) -> String| {
        move |response: &mut Message| {
            let via = change(response.fields.get("Via").unwrap().to_owned());
            response.fields.set("Via", via);
        }
    };
    check("final", 200, &|_| {}, 0, true);
    check("any final", 699, &|_| {}, 0, true);
    check("provisional", 180, &|_| {}, 0, false);
    check("another method", 200, &|response| response.fields.set("CSeq", "1 OPTIONS"), 1, false);
    check(
        "two hops",
        200,
        &|response| response.fields.insert_first("Via", "SIP/2.0/UDP x;branch=y"),
        1,
        false,
    );
    check("another attempt", 200, &with_via(|via| format!("{via}0")), 1, false);
    check("another's branch", 200, &with_via(|via| via.replace("z9hG4bK", "z9hG4bK0")), 1, false);
    check("no branch", 200, &with_via(|via| via.replace("branch=", "b=")), 1, false);
}

#[test]
fn an_abandoned_request_has_no_outcome() {
    let (mut endpoint, request) = sent();
    endpoint.abandon(7);
    receive(&mut endpoint, &Message::response(&request, 200, "OK"));
    endpoint.handle_timeout(Mono(100_000));
    assert_eq!((endpoint.poll_happened(), endpoint.poll_output()), (None, None));
    assert_eq!((endpoint.held(), endpoint.poll_timeout()), (Held::default(), None));
    // A key that is used again abandons the request before.
    let (mut endpoint, request) = sent();
    endpoint.request(Mono(1), 7, notify(1, 8), None);
    receive(&mut endpoint, &Message::response(&request, 200, "OK"));
    assert_eq!(endpoint.poll_happened(), Some(Happened::Sent { key: 7 }));
    assert_eq!(endpoint.poll_happened(), None);
}

/// Sends `requests` at a pace; every timer comes late by a number of milliseconds below `late_ms`.
fn paced(per_s: u32, late_ms: u64, requests: impl IntoIterator<Item = Message>) -> Vec<(u64, Message)> {
    let mut endpoint = Endpoint::new(Settings { requests_per_second: per_s, ..settings(0) }, 1);
    let mut rng = Rng::new(1);
    for (key, request) in (0..).zip(requests) {
        endpoint.request(Mono(1_000_000), key, request, None);
    }
    let mut now = 1_000_000;
    let mut sent = Vec::new();
    loop {
        while let Some(output) = endpoint.poll_output() {
            let Output::Datagram { to, bytes, .. } = output else { panic!("{output:?}") };
            assert_eq!(to, address(1));
            let request = Message::from_datagram(&bytes).unwrap();
            // It is answered at once, so that there are no copies.
            let mut bytes = Vec::new();
            Message::response(&request, 200, "OK").write(&mut bytes);
            endpoint.receive_datagram(Mono(now), 0, to, &bytes);
            sent.push((now, request));
        }
        let Some(due) = endpoint.poll_timeout() else { break };
        now = now.max(due.0) + rng.below(late_ms + 1);
        endpoint.handle_timeout(Mono(now));
    }
    assert_eq!(endpoint.held(), Held::default());
    sent
}

#[test]
fn s57_requests_never_exceed_the_pace_in_any_second() {
    for (per_s, late_ms, requests) in
        [(1, 0, 5), (3, 0, 20), (50, 0, 500), (100, 30, 10_000), (1_000, 7, 3_000)]
    {
        let sent = paced(per_s, late_ms, (0..requests).map(|n| subscribe(1, n)));
        let times: Vec<u64> = sent.iter().map(|(at, _)| *at).collect();
        assert_eq!(times.len() as u64, requests);
        for (first, beyond) in times.iter().zip(&times[per_s as usize..]) {
            assert!(beyond - first > 1_000, "more than {per_s} in the second from {first}");
        }
        // It is a pace, not a standstill: at most a tenth is lost to timers that come late.
        let took_ms = times.last().unwrap() - times[0];
        let ideal_ms = (requests - 1) * 1_000 / u64::from(per_s);
        assert!(took_ms <= ideal_ms * 11 / 10 + 100, "{took_ms} ms for what needs {ideal_ms}");
        let order: Vec<u64> = sent.iter().map(|(_, sent)| sent.call_id().parse().unwrap()).collect();
        assert!(order.is_sorted(), "they keep their order");
    }
}

#[test]
fn s57_what_keeps_or_ends_goes_before_what_begins() {
    let mut answers_challenge = subscribe(1, 30);
    answers_challenge.fields.push("Authorization", "Digest username=\"a\"");
    let requests: Vec<Message> = (0..10)
        .map(|n| subscribe(1, n))
        .chain((20..25).map(|n| notify(1, n)))
        .chain([answers_challenge])
        .collect();
    let sent = paced(10, 0, requests);
    let order: Vec<&str> = sent.iter().map(|(_, sent)| sent.call_id()).collect();
    let expected = ["0", "20", "21", "22", "23", "24", "30", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    assert_eq!(order, expected, "the first one went before there were others");
}

#[test]
fn s57_each_address_has_a_pace_of_its_own() {
    let mut endpoint = Endpoint::new(Settings { requests_per_second: 1, ..settings(0) }, 1);
    for key in 0..4 {
        endpoint.request(Mono(0), key, notify(1 + key as usize % 2, key), None);
    }
    let sent = |endpoint: &mut Endpoint| {
        std::iter::from_fn(|| endpoint.poll_happened())
            .filter_map(|happened| match happened {
                Happened::Sent { key } => Some(key),
                Happened::Answered { .. } | Happened::Unanswered { .. } | Happened::Asked { .. } => None,
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(sent(&mut endpoint), [0, 1]);
    endpoint.abandon(2);
    endpoint.handle_timeout(Mono(1_100));
    assert_eq!(sent(&mut endpoint), [3], "an abandoned one takes no turn");
}

#[test]
fn requests_beyond_the_limit_fail() {
    let limits = Limits { sip_requests: 2, ..Limits::default() };
    let mut endpoint = Endpoint::new(Settings { limits, ..settings(0) }, 1);
    for key in 0..3 {
        endpoint.request(Mono(0), key, subscribe(1, key), None);
    }
    let last = std::iter::from_fn(|| endpoint.poll_happened()).last();
    assert_eq!(last, Some(Happened::Unanswered { key: 2, why: Unanswered::Transport }));
    // What keeps or ends a subscription has its place.
    endpoint.request(Mono(0), 3, notify(1, 3), None);
    assert_eq!(endpoint.poll_happened(), Some(Happened::Sent { key: 3 }));
}

#[test]
fn what_leads_nowhere_has_no_address() {
    for uri in
        ["tel:+1", "sip:b@192.0.2.2;transport=sctp", "sip:b@[2001:db8::1]", "sip:b@nowhere.test", "nonsense"]
    {
        let mut world = World::pair();
        world.request(0, 1, request("NOTIFY", uri, 1));
        world.run_out();
        assert_eq!(world.outcome(0, 1), "NoAddress", "{uri}");
        assert_eq!((world.ends[0].seen.len(), world.sent.len()), (1, 0), "{uri}: it was never sent");
        assert_eq!(world.ends[0].endpoint.held(), Held::default(), "{uri}");
    }
}

#[test]
fn a_name_is_asked_for_once_and_remembered_for_a_while() {
    let mut endpoint = Endpoint::new(settings(0), 1);
    let named = |key| request("NOTIFY", "sip:b@peer.test", key);
    let resolve = |endpoint: &mut Endpoint| match endpoint.poll_output() {
        Some(Output::Resolve { ticket, host }) => (ticket, host),
        other => panic!("{other:?}"),
    };
    endpoint.request(Mono(0), 1, named(1), None);
    endpoint.request(Mono(0), 2, named(2), None);
    let (ticket, host) = resolve(&mut endpoint);
    assert_eq!((&*host, endpoint.poll_output()), ("peer.test", None));
    endpoint.abandon(2);
    endpoint.resolved(Mono(5), ticket, Ok(vec![address(1).ip()]));
    endpoint.resolved(Mono(5), ticket, Ok(vec![address(2).ip()]));
    assert!(matches!(endpoint.poll_output(), Some(Output::Datagram { to, .. }) if to == address(1)));
    assert_eq!(endpoint.poll_output(), None);
    endpoint.request(Mono(60_004), 3, named(3), None);
    assert!(matches!(endpoint.poll_output(), Some(Output::Datagram { to, .. }) if to == address(1)));
    endpoint.abandon(1);
    endpoint.abandon(3);
    // A minute later it is asked for again; nobody answers, and late answers are nothing.
    endpoint.request(Mono(60_005), 4, named(4), None);
    let (ticket, _) = resolve(&mut endpoint);
    while let Some(due) = endpoint.poll_timeout() {
        assert!(due <= Mono(70_005));
        endpoint.handle_timeout(due);
    }
    let last = std::iter::from_fn(|| endpoint.poll_happened()).last();
    assert_eq!(last, Some(Happened::Unanswered { key: 4, why: Unanswered::NoAddress }));
    endpoint.resolved(Mono(70_010), ticket, Ok(vec![address(1).ip()]));
    assert_eq!((endpoint.poll_output(), endpoint.held()), (None, Held::default()));
}

#[test]
fn names_beyond_the_limit_take_the_place_of_the_oldest() {
    let limits = Limits { sip_names: 2, ..Limits::default() };
    let mut endpoint = Endpoint::new(Settings { limits, ..settings(0) }, 1);
    for key in 0..3 {
        endpoint.request(Mono(0), key, request("NOTIFY", &format!("sip:b@{key}.test"), key), None);
    }
    let unresolved = Happened::Unanswered { key: 2, why: Unanswered::NoAddress };
    assert_eq!(endpoint.poll_happened(), Some(unresolved), "both places wait");
    endpoint.resolved(Mono(1), 0, Ok(vec![address(1).ip()]));
    endpoint.request(Mono(1), 2, request("NOTIFY", "sip:b@2.test", 2), None);
    let resolves = std::iter::from_fn(|| endpoint.poll_output());
    let resolves = resolves.filter(|output| matches!(output, Output::Resolve { .. })).count();
    assert_eq!((resolves, endpoint.held().names), (3, 2));
}

#[test]
fn the_next_address_is_tried_after_a_503_and_first_from_then_on() {
    let mut world = World::new(1, Link::default(), (0..3).map(settings));
    world.names.insert("peer.test".into(), vec![address(1).ip(), address(2).ip()]);
    let named = |key| request("NOTIFY", "sip:b@peer.test", key);
    world.ends[1].answers_within_ms = None;
    world.request(0, 1, named(1));
    world.run_for(100);
    let Some((_, Happened::Asked { id, request: asked })) = world.ends[1].seen.pop() else {
        panic!("it asks")
    };
    let now = world.mono();
    world.ends[1].endpoint.answer(now, id, Message::response(&asked, 503, "Service Unavailable"));
    world.drain(1);
    world.run_for(100);
    assert_eq!((world.outcome(0, 1), world.asked(2)), ("200".into(), vec!["1"]));
    world.request(0, 2, named(2));
    world.run_for(100);
    assert_eq!((world.outcome(0, 2), world.asked(2).len()), ("200".into(), 2));
    // The last address's 503 is the outcome.
    let mut world = World::pair();
    world.ends[1].answers_within_ms = None;
    world.request(0, 1, notify(1, 1));
    world.run_for(100);
    let Some((_, Happened::Asked { id, request: asked })) = world.ends[1].seen.pop() else {
        panic!("it asks")
    };
    let now = world.mono();
    world.ends[1].endpoint.answer(now, id, Message::response(&asked, 503, "Service Unavailable"));
    world.drain(1);
    world.run_out();
    assert_eq!(world.outcome(0, 1), "503");
}

#[test]
fn an_address_that_does_not_answer_comes_last() {
    let mut world = World::new(1, Link::default(), (0..3).map(settings));
    world.names.insert("peer.test".into(), vec![address(1).ip(), address(2).ip()]);
    world.ends[1].answers_within_ms = None;
    for (key, outcome) in [(1, "TimerF"), (2, "200")] {
        world.request(0, key, request("NOTIFY", "sip:b@peer.test", key));
        world.run_for(33_000);
        assert_eq!(world.outcome(0, key), outcome);
    }
}

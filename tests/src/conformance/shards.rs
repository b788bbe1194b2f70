//! `--shards 2`: what one shard has acknowledged, every other knows. The kernel chooses the shard of a connection, so
//! each step takes a fresh one, many times over, from several threads at once.

use super::QUIET;
use super::peer::{Peer, get, request};
use super::server::{Server, Subject};
use super::xms::{create, delete, digits, dtmf, instance, open, publish, put};

const THREADS: usize = 4;
const ROUNDS: usize = 50;

/// A POST answered by one shard is never a 404 on another; nor is a PUT unseen, or a DELETE forgotten.
pub fn shards_read_their_writes(subject: &Subject) {
    let server = subject.shards(2, QUIET);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let server = &server;
            scope.spawn(move || {
                (0..ROUNDS).for_each(|round| read_own_writes(server, thread * ROUNDS + round))
            });
        }
    });
}

fn read_own_writes(server: &Server, round: usize) {
    let fresh = || Peer::connect(server.address);
    // Other threads publish too: each round has a call of its own.
    let call = format!("round-{round}");
    let id = create(&mut fresh(), &format!("<eventsubscribe type=\"dtmf\" resource_id=\"{call}\"/>"));
    let state = get(&format!("{}&view=state", instance(&id)));
    // Two fresh connections a step, held open, so that both shards are likely to be asked.
    let both = |request: &[u8], status: u16, part: &str| {
        let mut peers = [fresh(), fresh()];
        for peer in &mut peers {
            let reply = peer.ask(request);
            assert_eq!(reply.status(), status, "round {round}: {}", reply.text());
            assert!(reply.text().contains(part), "round {round}: {}", reply.text());
        }
    };
    both(&state, 200, "type=\"dtmf\"");
    assert_eq!(fresh().ask(put(&id, "<eventsubscribe type=\"hangup\"/>")).status(), 200);
    both(&state, 200, "type=\"hangup\"");
    let reply = publish(&mut fresh(), &dtmf(&call, round));
    let seq: u64 = super::peer::value_after(&reply, "\"seq\":").parse().unwrap();
    let mut streams = [open(server, &id), fresh()];
    assert_eq!(digits(&streams[0].chunk()), round as u64, "the replay of an acknowledged event");
    // An acknowledged event is in the past of every SSE stream that resumes before it.
    streams[1].send(get(&format!("/v1/events?last_event_id=0-0&subject=call/{call}")));
    streams[1].head();
    assert!(streams[1].chunk().windows(6).any(|w| w == b"retry:"));
    assert!(streams[1].chunk().windows(10).any(|w| w == b"event: gap"));
    let event = String::from_utf8(streams[1].chunk()).unwrap();
    assert!(event.contains(&format!("-{seq}\n")), "round {round}: {event}");
    assert_eq!(fresh().ask(delete(&id)).status(), 204);
    both(&state, 404, "no such eventhandler");
    assert_eq!(fresh().ask(request(&format!("DELETE {}", instance(&id)), "", "")).status(), 404);
}

/// Events published on any connection reach streams on every shard, in one order for all.
pub fn shards_share_streams(subject: &Subject) {
    let server = subject.shards(2, QUIET);
    let id = create(&mut Peer::connect(server.address), "<eventsubscribe/>");
    let mut streams: Vec<Peer> = (0..16).map(|_| open(&server, &id)).collect();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let server = &server;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    publish(&mut Peer::connect(server.address), &dtmf("1", thread * ROUNDS + round));
                }
            });
        }
    });
    let mut read = streams
        .iter_mut()
        .map(|stream| -> Vec<u64> { (0..THREADS * ROUNDS).map(|_| digits(&stream.chunk())).collect() });
    let first = read.next().unwrap();
    for thread in 0..THREADS {
        let own = first.iter().filter(|n| **n as usize / ROUNDS == thread).copied();
        assert!(
            own.eq((thread * ROUNDS) as u64..((thread + 1) * ROUNDS) as u64),
            "each sender's order is kept"
        );
    }
    assert!(read.all(|other| other == first), "all streams have one order");
}

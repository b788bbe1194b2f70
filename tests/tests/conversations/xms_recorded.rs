//! Recorded calls of real servers, published again: what comes out is what those servers sent. The files in `data`
//! say where they come from.

use offhook_core::Config;
use offhook_tests::memory::World;
use offhook_tests::memory::write::{publish, request};

use crate::common::{EVERYTHING, create, listen, listen_on, publish_on, xml};

/// Both calls, an event a line: that of 2015 has the first four.
const EVENTS: &str = include_str!("../../data/recorded-calls.ndjson");

/// Lines from `first` on.
fn lines(first: usize, count: usize) -> impl Iterator<Item = &'static str> {
    EVENTS.lines().skip(first).take(count)
}

/// The call of 2015 comes out as the real server sent it: on every stream, one chunk an event.
fn recorded_call(shards: u16, one_by_one: bool) {
    let expected = include_bytes!("../../data/recorded-call-2015.stream");
    let mut world = World::with(Config::default(), shards);
    let mut streams = Vec::new();
    for n in 0..20 {
        let id = create(&mut world, EVERYTHING);
        streams.push(listen_on(&mut world, n % usize::from(shards), &id));
    }
    if one_by_one {
        for line in lines(0, 4) {
            publish_on(&mut world, 0, &[line.to_owned()]);
        }
    } else {
        let peer = world.connect();
        let body = lines(0, 4).collect::<Vec<_>>().join("\n");
        let reply =
            world.ask(peer, request("POST", "/v1/events", "Content-Type: application/x-ndjson\r\n", &body));
        assert_eq!(reply.status, 202);
    }
    for stream in streams {
        let chunks = world.chunks(stream);
        assert!(chunks.content() == expected, "{}", String::from_utf8_lossy(&chunks.content()));
        assert_eq!((chunks.chunks.len(), chunks.ended, chunks.rest.len()), (4, false, 0));
    }
}

#[test]
fn the_recorded_call_of_2015_on_one_shard() {
    recorded_call(1, false);
    recorded_call(1, true);
}

#[test]
fn the_recorded_call_of_2015_on_two_shards() {
    recorded_call(2, false);
    recorded_call(2, true);
}

/// That server used the older format; its facts come out under the rules of the newer one.
#[test]
fn the_recorded_call_of_2014() {
    let mut world = World::new();
    let id = create(&mut world, EVERYTHING);
    let stream = listen(&mut world, &id);
    let peer = world.connect();
    for line in lines(4, 3) {
        assert_eq!(world.ask(peer, publish(line)).status, 202);
    }
    let events = xml(&mut world, stream);
    let words = ["incoming", "end_play", "hangup"];
    assert_eq!(events.len(), words.len());
    for (event, word) in events.iter().zip(words) {
        assert!(event.contains(&format!("<event type=\"{word}\" resource_id=\"4ebc5c4d-")), "{event}");
    }
    assert!(events[0].contains("value=\"Call-ID:26e91f8-0-13c4-50022-16194f-483da073-16194f&#xD;&#xA;CSeq: 1 INVITE&#xD;&#xA;To: &lt;sip:NN@192.219.76.226&gt;&#xD;&#xA;"));
}

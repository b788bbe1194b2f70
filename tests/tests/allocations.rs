//! A delivery allocates nothing: what is allocated to publish is shared by all that read.
//!
//! This is a test binary of its own because it counts with a global allocator.

use offhook_tests::bare::{Bare, publish};

/// Allocations while one event goes to `streams` streams at `target`, after a few that fill all buffers.
fn allocations(streams: usize, target: &str) -> u64 {
    let mut bare = Bare::new();
    let publisher = bare.connect();
    let target = match target {
        "" => bare.create(publisher, "<eventsubscribe/>") + "?appid=app",
        other => other.to_owned(),
    };
    bare.streams(streams, &target);
    let request = publish("call/1");
    for _ in 0..200 {
        bare.feed(publisher, &request, None);
    }
    let before = bare.delivered;
    let counted = allocation_counter::measure(|| {
        for _ in 0..100 {
            bare.feed(publisher, &request, None);
        }
    });
    assert_eq!(bare.delivered - before, 100 * (streams as u64 + 1), "each stream, and the publisher's reply");
    counted.count_total
}

#[test]
fn a_delivery_allocates_nothing() {
    for target in ["", "/v1/events?type=call.*"] {
        let (few, many) = (allocations(10, target), allocations(1_000, target));
        // 99,000 deliveries more; the slack is for tables that double once.
        assert!(many <= few + 20, "{target}: {few} allocations with 10 streams, {many} with 1,000");
    }
}

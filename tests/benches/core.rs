//! The pure core alone: bytes of publish requests in, lent slices out, no sockets. Deliveries per second for streams of
//! both dialects, in lock-step and from a backlog, and publishing against many filters.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use offhook_tests::bare::{Bare, publish};

fn fan_out(c: &mut Criterion) {
    const STREAMS: usize = 1_000;
    let mut group = c.benchmark_group("fan-out to 1000 streams");
    for window in [1usize, 32] {
        let requests = publish("call/1").repeat(window);
        group.throughput(Throughput::Elements((STREAMS * window) as u64));
        for dialect in ["xms", "sse"] {
            let mut bare = Bare::new();
            let publisher = bare.connect();
            let target = match dialect {
                "xms" => bare.create(publisher, "<eventsubscribe/>") + "?appid=app",
                _ => "/v1/events?type=call.dtmf".to_owned(),
            };
            bare.streams(STREAMS, &target);
            group.bench_function(format!("{dialect}, {window} at a time"), |b| {
                b.iter(|| bare.feed(publisher, &requests, None));
            });
            assert!(bare.delivered as usize > STREAMS, "every stream got something");
        }
    }
    group.finish();
}

fn filters(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish against eventhandlers of which one matches");
    let request = publish("call/7");
    for count in [10, 1_000, 100_000] {
        let mut bare = Bare::new();
        let publisher = bare.connect();
        let mut seven = String::new();
        for n in 0..count {
            let href = bare
                .create(publisher, &format!("<eventsubscribe resource_type=\"call\" resource_id=\"{n}\"/>"));
            if n == 7 {
                seven = href;
            }
        }
        bare.streams(1, &(seven + "?appid=app"));
        group.bench_function(format!("{count}"), |b| b.iter(|| bare.feed(publisher, &request, None)));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = fan_out, filters
}
criterion_main!(benches);

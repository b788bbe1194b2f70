//! The pure core alone: bytes of publish requests in, lent slices out, no sockets. Deliveries per second for streams of
//! both dialects, in lock-step and from a backlog, and publishing against many filters of eventhandlers and websockets, and
//! webhooks from the event that waits to the answer.

use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use offhook_core::Config;
use offhook_core::ground::config::{Brought, Only, User};
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
            let before = bare.delivered;
            bare.feed(publisher, &requests, None);
            assert!((bare.delivered - before) as usize > STREAMS, "every stream gets something");
            group.bench_function(format!("{dialect}, {window} at a time"), |b| {
                b.iter(|| bare.feed(publisher, &requests, None));
            });
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

/// iSymphony's filters, a thousand for each of a hundred websockets and one for each of ten.
fn websocket_filters(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish against filters of websockets of which one matches");
    let request = publish("call/7");
    for (websockets, each) in [(10, 1), (100, 1_000)] {
        let user = User { name: "manager".to_owned(), password_hash: String::new(), only: Only::default() };
        let mut config = Config::default();
        config.isymphony.users = [user].into();
        let mut bare = Bare::with(config);
        for n in 0..websockets {
            bare.websocket("digits", n * each..(n + 1) * each);
        }
        let publisher = bare.connect();
        let before = bare.delivered;
        bare.feed(publisher, &request, None);
        assert_eq!(bare.delivered - before, 2, "the publisher's answer, and the one event");
        group.bench_function(format!("{} over {websockets}", websockets * each), |b| {
            b.iter(|| bare.feed(publisher, &request, None));
        });
    }
    group.finish();
}

/// A backlog for one receiver, with 32 requests under way.
fn webhooks(c: &mut Criterion) {
    const BACKLOG: u64 = 10_000;
    const SPEC: &str = r#"{"url":"http://192.0.2.1/hook","types":["*"],"concurrency":32}"#;
    let brought = Brought { kind: "webhook", name: "crm".to_owned(), spec: SPEC.to_owned() };
    let mut bare = Bare::with(Config { destinations: vec![brought], ..Config::default() });
    let publisher = bare.connect();
    let mut group = c.benchmark_group("webhooks");
    group.throughput(Throughput::Elements(BACKLOG));
    for a_turn in [1, 16] {
        group.bench_function(format!("{a_turn} answered a turn"), |b| {
            b.iter_custom(|runs| {
                let run = |_| {
                    for n in 0..BACKLOG {
                        bare.feed(publisher, &publish(&format!("call/{n}")), None);
                    }
                    let begun = Instant::now();
                    let answered = bare.answer_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", a_turn);
                    assert_eq!(answered, BACKLOG, "every event goes once");
                    begun.elapsed()
                };
                (0..runs).map(run).sum()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = fan_out, filters, websocket_filters, webhooks
}
criterion_main!(benches);

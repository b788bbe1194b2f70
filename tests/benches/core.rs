//! The pure core alone: bytes of publish requests in, lent slices out, no sockets. Deliveries per second for streams of
//! both dialects, in lock-step and from a backlog, and publishing against many filters.

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use offhook_core::ground::config::Place;
use offhook_core::{Action, Completion, Config, ConnId, Engine, ListenerId, Mono, Now, Seq, Wall};

/// An engine with its log and a peer that takes everything at once.
struct Bench {
    engine: Engine,
    now: Now,
    seq: u64,
    delivered: u64,
}

impl Bench {
    fn new() -> Bench {
        let now = Now { mono: Mono(0), wall: Wall(1_700_000_000_000) };
        Bench { engine: Engine::new(Config::default(), Place::default(), 1), now, seq: 0, delivered: 0 }
    }

    fn connect(&mut self) -> ConnId {
        let peer: SocketAddr = "127.0.0.1:40000".parse().expect("an address");
        self.engine.accept(self.now, ListenerId(0), peer).expect("room for a connection")
    }

    /// Feeds bytes and carries out all that follows; returns what `watched` got.
    fn feed(&mut self, id: ConnId, bytes: &[u8], watched: Option<ConnId>) -> Vec<u8> {
        let mut got = Vec::new();
        self.engine.receive(self.now, id, bytes);
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Append(records) => {
                    for record in records {
                        self.seq += 1;
                        self.engine.receive_record(self.now, Seq(self.seq), &Arc::new(record));
                    }
                    self.engine.complete(self.now, Completion::Durable(Seq(self.seq)));
                }
                Action::Flush(id) => {
                    while let Some(outbound) = self.engine.outbound(id) {
                        let n = outbound.len();
                        for slice in outbound.slices() {
                            if watched == Some(id) {
                                got.extend_from_slice(slice);
                            }
                            black_box(slice.as_ptr());
                        }
                        self.delivered += 1;
                        if !self.engine.advance(self.now, id, n) {
                            break;
                        }
                    }
                }
                Action::Finish(_) | Action::Close(_) | Action::Report(_) | Action::Note(_) => {}
            }
        }
        got
    }

    fn create(&mut self, id: ConnId, subscription: &str) -> String {
        let body =
            format!("<web_service version=\"1.0\"><eventhandler>{subscription}</eventhandler></web_service>");
        let request = format!(
            "POST /default/eventhandlers?appid=app HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let reply = String::from_utf8(self.feed(id, request.as_bytes(), Some(id))).expect("ASCII");
        let at = reply.find("href=\"").expect("a reply with an href") + 6;
        reply[at..].split('"').next().expect("the href").to_owned()
    }

    fn streams(&mut self, count: usize, target: &str) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        for _ in 0..count {
            let id = self.connect();
            self.feed(id, request.as_bytes(), None);
        }
    }
}

fn publish(subject: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"type":"call.dtmf","subject":"{subject}","data":{{"payload":"{}","digits":"5"}}}}"#,
        "x".repeat(240)
    );
    format!(
        "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn fan_out(c: &mut Criterion) {
    const STREAMS: usize = 1_000;
    let mut group = c.benchmark_group("fan-out to 1000 streams");
    for window in [1usize, 32] {
        let requests = publish("call/1").repeat(window);
        group.throughput(Throughput::Elements((STREAMS * window) as u64));
        for dialect in ["xms", "sse"] {
            let mut bench = Bench::new();
            let publisher = bench.connect();
            let target = match dialect {
                "xms" => bench.create(publisher, "<eventsubscribe/>") + "?appid=app",
                _ => "/v1/events?type=call.dtmf".to_owned(),
            };
            bench.streams(STREAMS, &target);
            group.bench_function(format!("{dialect}, {window} at a time"), |b| {
                b.iter(|| bench.feed(publisher, &requests, None));
            });
            assert!(bench.delivered as usize > STREAMS, "every stream got something");
        }
    }
    group.finish();
}

fn filters(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish against eventhandlers of which one matches");
    let request = publish("call/7");
    for count in [10, 1_000, 100_000] {
        let mut bench = Bench::new();
        let publisher = bench.connect();
        let mut seven = String::new();
        for n in 0..count {
            let href = bench
                .create(publisher, &format!("<eventsubscribe resource_type=\"call\" resource_id=\"{n}\"/>"));
            if n == 7 {
                seven = href;
            }
        }
        bench.streams(1, &(seven + "?appid=app"));
        group.bench_function(format!("{count}"), |b| b.iter(|| bench.feed(publisher, &request, None)));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = fan_out, filters
}
criterion_main!(benches);

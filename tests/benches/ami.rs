//! The manager protocol of Asterisk alone: bytes per second on one core, of a stream of calls in which nine events of ten
//! are wanted by nobody, of one in which none is, of one in which all are taken, and of one in which four fields of each are
//! looked up as well. And a whole source: calls per second, from its bytes to what is told.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use offhook_core::ground::config::Source;
use offhook_core::ground::limits::Limits;
use offhook_core::source::asterisk::{Asterisk, Said};
use offhook_core::wire::ami::{Framed, Stream};
use offhook_core::{Mono, Now, Wall};
use offhook_tests::ami::Pbx;

/// What one read takes.
const PIECE: usize = 65_536;

/// A megabyte of events, of which every `each`th is a `Hangup`.
fn events(each: usize) -> Vec<u8> {
    let channel = "Privilege: call,all\r\nChannel: PJSIP/100-00000001\r\nChannelState: 6\r\nChannelStateDesc: Up\r\n\
        CallerIDNum: 100\r\nCallerIDName: Alice\r\nConnectedLineNum: 101\r\nConnectedLineName: Bob\r\nLanguage: en\r\n\
        AccountCode: \r\nContext: demo\r\nExten: 101\r\nPriority: 1\r\nUniqueid: 1795314143.1\r\nLinkedid: 1795314143.0\r\n";
    let mut out = Vec::new();
    for n in 0.. {
        let (name, rest) = match n % each {
            0 => ("Hangup", "Cause: 16\r\nCause-txt: Normal Clearing\r\n"),
            _ => ("Newexten", "Extension: 101\r\nApplication: Dial\r\nAppData: PJSIP/101,30\r\n"),
        };
        out.extend_from_slice(format!("Event: {name}\r\n{channel}{rest}\r\n").as_bytes());
        if out.len() >= 1 << 20 {
            return out;
        }
    }
    out
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("manager protocol");
    for (name, each, keys) in [
        ("one of ten wanted", 10, &[][..]),
        ("none wanted", usize::MAX, &[]),
        ("all taken", 1, &[]),
        ("all taken, four fields looked up", 1, &["Uniqueid", "Linkedid", "Cause", "Cause-txt"]),
    ] {
        let input = events(each);
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(name, |b| {
            let mut stream = Stream::new(PIECE);
            stream.next(&mut &b"Asterisk Call Manager/5.0.4\r\n"[..], |_| true);
            b.iter(|| {
                let mut found = 0;
                for mut piece in input.chunks(PIECE) {
                    loop {
                        match stream.next(&mut piece, |name| name == b"Hangup") {
                            Framed::More => break,
                            Framed::Message(message) => {
                                found += 1 + keys.iter().filter_map(|key| message.get(key)).count();
                            }
                            other @ (Framed::Banner(_) | Framed::Skipped(_) | Framed::Stranger(_)) => {
                                panic!("{other:?}")
                            }
                        }
                    }
                }
                found
            });
        });
    }
    group.finish();
}

/// A source that is logged in, and whose questions were answered with nothing.
fn logged_in(now: Now) -> Asterisk {
    let source = Source { user: "offhook".into(), password: "test".into(), ..Source::default() };
    let mut asterisk = Asterisk::new(&source, &Limits::default(), "oh-".to_owned());
    let mut pbx = Pbx::default();
    asterisk.connected(now);
    let mut said = pbx.greeting();
    while !said.is_empty() {
        asterisk.receive(now, said.as_bytes()).expect("a login");
        said = pbx.hear(&asterisk.take_output());
    }
    assert!(asterisk.is_up());
    while asterisk.poll_said().is_some() {}
    asterisk
}

fn follow(c: &mut Criterion) {
    const CALLS: usize = 1_000;
    let now = Now { mono: Mono(0), wall: Wall(1_446_561_431_000) };
    let mut asterisk = logged_in(now);
    let mut pbx = Pbx::default();
    let calls: String = (0..CALLS).map(|n| pbx.begin(&n.to_string()) + &pbx.end(&n.to_string())).collect();
    let mut group = c.benchmark_group("a source");
    group.throughput(Throughput::Elements(CALLS as u64));
    group.bench_function("calls that begin and end", |b| {
        b.iter(|| {
            let mut told = 0;
            for piece in calls.as_bytes().chunks(PIECE) {
                asterisk.receive(now, piece).expect("a connection");
                while let Some(said) = asterisk.poll_said() {
                    told += usize::from(matches!(said, Said::Told(_)));
                }
            }
            assert_eq!(told, 2 * CALLS);
        });
    });
    group.finish();
}

criterion_group!(benches, decode, follow);
criterion_main!(benches);

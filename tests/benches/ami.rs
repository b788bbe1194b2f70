//! The manager protocol of Asterisk alone: bytes per second on one core, of a stream of calls in which nine events of ten
//! are wanted by nobody, of one in which none is, and of one in which all are taken and their fields looked up.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use offhook_core::wire::ami::{Framed, Stream};

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
    for (name, each) in [("one of ten wanted", 10), ("none wanted", usize::MAX), ("all taken", 1)] {
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
                                let keys = ["Uniqueid", "Linkedid", "Cause", "Cause-txt"];
                                found += keys.iter().filter_map(|key| message.get(key)).count();
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

criterion_group!(benches, decode);
criterion_main!(benches);

//! A datagram of a SIP peer, and the addresses in it.

use offhook_core::wire::sip::Bounds;
use offhook_core::wire::sip::message::{Message, Unreadable};
use offhook_core::wire::sip::uri::{NameAddr, Uri, Via};

/// Reads `data` as a message under small and roomy bounds.
pub fn run(data: &[u8]) {
    for bounds in [Bounds { head_bytes: 200, fields: 7, body_bytes: 10 }, Bounds::default()] {
        match Message::from_datagram_within(data, bounds) {
            Ok(message) => taken(&message, data, bounds),
            Err(unreadable) => refused(&unreadable, data),
        }
    }
}

fn taken(message: &Message, data: &[u8], bounds: Bounds) {
    assert!(message.fields.len() <= bounds.fields);
    let (number, method) = message.cseq().expect("a sequence number");
    assert!(number < 1 << 31 && message.method().is_none_or(|m| m == method));
    assert!(message.status().is_none_or(|status| (100..700).contains(&status)));
    assert!(!message.call_id().is_empty());
    for (name, value) in message.fields.iter() {
        assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':'), "{name:?}");
        assert!(!value.contains(['\r', '\n']) && value.trim_matches([' ', '\t']) == value, "{value:?}");
    }
    assert!(data.ends_with(&message.body) || message.fields.get("Content-Length").is_some());
    read_plainly(message, data);
    addresses(message);
    let written = write(message);
    // `Content-Length` is added.
    let roomy = Bounds { head_bytes: usize::MAX, fields: usize::MAX, ..bounds };
    let again =
        Message::from_datagram_within(&written, roomy).expect("a message that was taken is taken again");
    assert_eq!(without_length(again), without_length(message.clone()), "written again");
}

fn write(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    message.write(&mut out);
    out
}

fn without_length(mut message: Message) -> Message {
    message.fields.remove("Content-Length");
    message
}

/// A second reading of lines and folds: everything but white space, hops aside, is there in its order.
fn read_plainly(message: &Message, data: &[u8]) {
    let text = data.trim_ascii_start();
    let end = text.windows(4).position(|w| w == b"\r\n\r\n").expect("the end of the head");
    // What people alone read may be something else.
    let head = String::from_utf8_lossy(&text[..end]);
    let solid = |text: &str| text.replace([' ', '\t'], "");
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let lines = unfolded.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    let is_hop = |name: &str| ["via", "v"].iter().any(|via| name.trim().eq_ignore_ascii_case(via));
    let plain: Vec<String> = lines.filter(|(name, _)| !is_hop(name)).map(|(_, value)| solid(value)).collect();
    let fields = message.fields.iter().filter(|(name, _)| *name != "Via");
    assert_eq!(fields.map(|(_, value)| solid(value)).collect::<Vec<_>>(), plain);
}

/// What can be read of an address is the same when it is written and read again.
fn addresses(message: &Message) {
    assert!(message.vias().count() > 0 && message.vias().count() == message.fields.lines("Via").count());
    for via in message.vias() {
        assert_eq!(via.to_string().parse::<Via>(), Ok(via));
    }
    let mut uris: Vec<Box<str>> = message.uri().map(Box::from).into_iter().collect();
    for value in ["From", "To", "Contact", "Route"].into_iter().flat_map(|name| message.fields.values(name)) {
        if let Ok(address) = value.parse::<NameAddr>() {
            uris.push(address.uri.clone());
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }
    for uri in uris.iter().filter_map(|uri| uri.parse::<Uri>().ok()) {
        assert_eq!(uri.to_string().parse().as_ref(), Ok(&uri));
        assert!(uri.is_same(&uri) || uri.params.len() > 1, "{uri} is not itself");
    }
}

/// The answer to what is no message finds its sender, and is itself never answered.
fn refused(unreadable: &Unreadable, data: &[u8]) {
    assert!(!unreadable.reason.is_empty());
    let Some(answer) = &unreadable.answer else { return };
    assert!(!data.trim_ascii_start().to_ascii_lowercase().starts_with(b"sip/"), "a response was answered");
    assert!(matches!(answer.status(), Some(400 | 505 | 513)), "{answer:?}");
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        assert!(answer.fields.get(name).is_some(), "{name}");
    }
    let written = write(answer);
    let lines = written.windows(2).filter(|w| w == b"\r\n").count();
    assert_eq!(lines, answer.fields.len() + 3, "a line end came along");
    if let Err(Unreadable { answer: Some(answer), .. }) = Message::from_datagram(&written) {
        panic!("an answer is answered: {answer:?}");
    }
}

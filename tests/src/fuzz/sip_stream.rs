//! What a SIP peer sends on a connection.

use offhook_core::wire::sip::Bounds;
use offhook_core::wire::sip::message::Message;
use offhook_core::wire::sip::stream::{Framed, Framing};

use super::split;

/// Takes messages off `data` at once and in pieces, under small and roomy bounds.
pub fn run(data: &[u8]) {
    for bounds in [Bounds { head_bytes: 150, fields: 6, body_bytes: 10 }, Bounds::default()] {
        let whole = take(bounds, &[data]);
        for pieces in [split::pieces(data), split::bytes(data)] {
            assert_eq!(take(bounds, &pieces), whole, "what comes depends on how it was split");
        }
        for framed in &whole {
            judge(framed, bounds);
        }
    }
}

fn take(bounds: Bounds, pieces: &[&[u8]]) -> Vec<Framed> {
    let mut framing = Framing::new(bounds);
    let mut come = Vec::new();
    for mut input in pieces.iter().copied() {
        loop {
            match framing.next(&mut input) {
                Framed::More => break,
                framed @ (Framed::Message(_) | Framed::Unreadable(_)) => come.push(framed),
            }
        }
        assert!(input.is_empty(), "nothing is left behind");
        assert!(framing.held_bytes() <= bounds.head_bytes.max(bounds.body_bytes));
    }
    come
}

/// A message on a connection is the same in a datagram, and a refusal is the last that comes.
fn judge(framed: &Framed, bounds: Bounds) {
    match framed {
        Framed::Message(message) => {
            assert!(
                message.body.len() <= bounds.body_bytes && message.fields.get("Content-Length").is_some()
            );
            let mut out = Vec::new();
            message.write(&mut out);
            let again = Message::from_datagram(&out).expect("a message that was taken is taken again");
            assert_eq!((&again.start, &again.body), (&message.start, &message.body));
            assert_eq!(again.fields.len(), message.fields.len());
        }
        Framed::Unreadable(unreadable) => assert!(!unreadable.reason.is_empty()),
        Framed::More => unreachable!("only what came is judged"),
    }
}

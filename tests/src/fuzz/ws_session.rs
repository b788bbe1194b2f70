//! What a client sends on a websocket, against a second, plainer reading of RFC 6455. The first byte of the input chooses
//! the bound of a message, and whether the rest is bytes of the wire or a script of frames.

use offhook_core::wire::ws::frame;
use offhook_core::wire::ws::session::{Next, Session};

use super::split;
use crate::memory::ws::{masked, take_frame};

/// What came, with a failure as its code alone, and what is sent back.
type Taken = (Vec<Result<Next, u16>>, Vec<u8>);

/// Takes `data` at once and in pieces, before and after a Close of this side.
pub fn run(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let message_max = [0, 10, 125, 126, 1_000, 65_536, 1 << 20, u64::MAX][usize::from(choice & 7)];
    let wire = if choice & 0x80 == 0 { data.to_vec() } else { frames(data) };
    let whole = take(message_max, &[&wire]);
    for pieces in [split::pieces(&wire), split::bytes(&wire)] {
        assert_eq!(take(message_max, &pieces), whole, "what comes depends on how it was split");
    }
    assert_eq!(read_plainly(message_max, &wire), whole, "a second reading disagrees");
    let mut reply = whole.1;
    while take_frame(&mut reply).is_some() {}
    assert!(reply.is_empty(), "what is sent back is whole frames");
    after_a_close(message_max, &wire);
}

/// Frames from a script: a first byte, a length, and so much payload.
fn frames(mut script: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    while let [first, len, rest @ ..] = script {
        let (payload, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        let mask = u32::try_from(split::place(payload, wire.len() as u64, u32::MAX as usize)).unwrap_or(0);
        wire.extend_from_slice(&masked(*first, mask.to_be_bytes(), payload));
        script = rest;
    }
    wire
}

fn take(message_max: u64, pieces: &[&[u8]]) -> Taken {
    let mut session = Session::new(message_max);
    let (mut came, mut reply) = (Vec::new(), Vec::new());
    for mut input in pieces.iter().copied() {
        loop {
            match session.next(&mut input, &mut reply) {
                Next::More => break,
                Next::Broken(broken) => {
                    assert!(matches!(broken.code, 1002 | 1007 | 1009), "{broken:?}");
                    assert!((1..=123).contains(&broken.reason.len()), "{broken:?}");
                    came.push(Err(broken.code));
                }
                next @ (Next::Text(_) | Next::Binary(_) | Next::Ping | Next::Pong | Next::Close) => {
                    came.push(Ok(next));
                }
            }
        }
        assert!(input.is_empty(), "nothing is left behind");
        // A whole message but for its end, and a control frame.
        assert!(session.held_bytes() <= message_max.saturating_add(14 + 125 + 14));
    }
    let ends = |next: &Result<Next, u16>| matches!(next, Ok(Next::Close) | Err(_));
    assert!(came.iter().rev().skip(1).all(|next| !ends(next)), "nothing comes after an end");
    assert!(!came.last().is_some_and(ends) || session.held_bytes() == 0, "nothing is held after an end");
    (came, reply)
}

/// After a Close of this side nothing comes but the peer's, and nothing is sent back.
fn after_a_close(message_max: u64, wire: &[u8]) {
    let (before, after) = wire.split_at(split::place(wire, 7, wire.len()));
    let mut ends = Vec::new();
    for pieces in [vec![after], split::pieces(after), split::bytes(after)] {
        let mut session = Session::new(message_max);
        let (mut input, mut reply) = (before, Vec::new());
        while session.next(&mut input, &mut reply) != Next::More {}
        session.closing();
        reply.clear();
        let mut closes = 0;
        for mut input in pieces {
            let mut next = || session.next(&mut input, &mut reply);
            for next in std::iter::from_fn(|| Some(next()).filter(|next| *next != Next::More)) {
                assert_eq!(next, Next::Close, "after a Close of this side");
                closes += 1;
            }
        }
        assert!(closes <= 1 && reply.is_empty() && session.held_bytes() <= 16);
        ends.push(closes);
    }
    assert!(ends.iter().all(|closes| *closes == ends[0]), "the end depends on how it was split");
}

/// RFC 6455, read plainly: all at once, and everything kept.
fn read_plainly(message_max: u64, mut data: &[u8]) -> Taken {
    let (mut came, mut reply) = (Vec::new(), Vec::new());
    let mut message: Option<(u8, Vec<u8>)> = None;
    while let Some((first, len, mask, head_bytes)) = header(data) {
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0F);
        let is_control = opcode >= 8;
        let is_shortest = match head_bytes - mask.map_or(0, |_| 4) {
            4 => len > 125,
            10 => len > 0xFFFF,
            _ => true,
        };
        let fits_in = match opcode {
            0 => message.is_some(),
            1 | 2 => message.is_none(),
            8..=10 => fin && len <= 125,
            _ => false,
        };
        let (true, true, true, true, Some(mask)) =
            (first & 0x70 == 0, is_shortest, fits_in, len >> 63 == 0, mask)
        else {
            came.push(Err(1002));
            break;
        };
        let before = message.as_ref().map_or(0, |(_, bytes)| bytes.len() as u64);
        if !is_control && before.checked_add(len).is_none_or(|len| len > message_max) {
            came.push(Err(1009));
            break;
        }
        let Some(payload) = usize::try_from(len).ok().and_then(|len| data[head_bytes..].get(..len)) else {
            break;
        };
        data = &data[head_bytes + payload.len()..];
        let payload: Vec<u8> =
            payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        match opcode {
            8 => {
                came.push(close(&payload, &mut reply));
                break;
            }
            9 => {
                frame::header(frame::Opcode::Pong, payload.len(), &mut reply);
                reply.extend_from_slice(&payload);
                came.push(Ok(Next::Ping));
            }
            10 => came.push(Ok(Next::Pong)),
            _ => {
                let (kind, mut bytes) = message.take().unwrap_or((opcode, Vec::new()));
                bytes.extend_from_slice(&payload);
                let fault = std::str::from_utf8(&bytes).err();
                if kind == 1 && fault.is_some_and(|fault| fin || fault.error_len().is_some()) {
                    came.push(Err(1007));
                    break;
                }
                match (fin, kind) {
                    (false, _) => message = Some((kind, bytes)),
                    (true, 1) => came.push(Ok(Next::Text(String::from_utf8_lossy(&bytes).into_owned()))),
                    (true, _) => came.push(Ok(Next::Binary(bytes))),
                }
            }
        }
    }
    (came, reply)
}

/// Section 5.2: the first byte, the length, the mask, and how long the header is.
fn header(data: &[u8]) -> Option<(u8, u64, Option<[u8; 4]>, usize)> {
    let [first, second, rest @ ..] = data else { return None };
    let (len, rest) = match second & 0x7F {
        126 => rest.split_first_chunk().map(|(len, rest)| (u64::from(u16::from_be_bytes(*len)), rest))?,
        127 => rest.split_first_chunk().map(|(len, rest)| (u64::from_be_bytes(*len), rest))?,
        len => (u64::from(len), rest),
    };
    let (mask, rest) = match second & 0x80 {
        0 => (None, rest),
        _ => rest.split_first_chunk().map(|(mask, rest)| (Some(*mask), rest))?,
    };
    Some((*first, len, mask, data.len() - rest.len()))
}

/// Sections 5.5.1 and 7.4: what a Close means, and its echo.
fn close(payload: &[u8], reply: &mut Vec<u8>) -> Result<Next, u16> {
    match payload {
        [] => frame::header(frame::Opcode::Close, 0, reply),
        [_] => return Err(1002),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            let reason = std::str::from_utf8(reason).map_err(|_| 1007_u16)?;
            if matches!(code, 1000..=1003 | 1007..=1013 | 3000..=4999) {
                frame::close(code, reason, reply);
            } else {
                frame::close(1002, "Protocol violation", reply);
            }
        }
    }
    Ok(Next::Close)
}

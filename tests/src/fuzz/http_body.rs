//! Bodies off the wire: the chunked coding against a second, plainer reading of RFC 9112 section 7.1, and known lengths.

use offhook_core::wire::Fault;
use offhook_core::wire::http::body::Body;
use offhook_core::wire::http::head::Framing;

use super::split;

/// Content, whether the body came to its end, and how many bytes it took.
type Taken = (Vec<u8>, bool, usize);

/// Reads `data` as chunks, and as a body of a length that its own bytes choose.
pub fn run(data: &[u8]) {
    let length = split::place(data, 9, data.len() + 8);
    for framing in [Framing::Chunked, Framing::Length(length as u64)] {
        room_is_exact(framing, data);
        for line_bytes_max in [24, 4_096] {
            let whole = take(framing, line_bytes_max, &[data]);
            for pieces in [split::pieces(data), split::bytes(data)] {
                let split = take(framing, line_bytes_max, &pieces);
                assert_eq!(split, whole, "the body depends on how it was split");
            }
            match (framing, whole) {
                (Framing::Length(_), whole) => {
                    let content = data[..length.min(data.len())].to_vec();
                    let used = content.len();
                    assert_eq!(whole, Ok((content, length <= data.len(), used)));
                }
                (Framing::Chunked, Ok((content, true, used))) => {
                    let plain =
                        read_whole(&data[..used]).expect("the plain reading accepts what was accepted");
                    assert_eq!(plain, content);
                    written_again(&content);
                }
                (Framing::Chunked, Ok((_, false, used))) => assert_eq!(used, data.len()),
                (Framing::Chunked, Err(fault)) => assert_eq!(fault.status, 400),
            }
        }
    }
}

/// Content beyond its room is not taken, however much came at once.
fn room_is_exact(framing: Framing, data: &[u8]) {
    let room = split::place(data, 5, 32) as u64;
    for pieces in [vec![data], split::pieces(data), split::bytes(data)] {
        let mut body = Body::new(framing, 4_096);
        let mut content = Vec::new();
        for piece in pieces {
            let left = room - content.len() as u64;
            let taken = body.receive(piece, left, |bytes| content.extend_from_slice(bytes));
            assert!(content.len() as u64 <= room, "more than there was room for");
            match taken {
                Ok(taken) if taken == piece.len() => {}
                Ok(_) => {
                    assert!(body.is_done() || content.len() as u64 == room, "stopped with room to spare");
                    break;
                }
                Err(_) => break,
            }
        }
    }
}

fn take(framing: Framing, line_bytes_max: u64, pieces: &[&[u8]]) -> Result<Taken, Fault> {
    let mut body = Body::new(framing, line_bytes_max);
    let (mut content, mut used) = (Vec::new(), 0);
    for piece in pieces {
        used += body.receive(piece, u64::MAX, |bytes| content.extend_from_slice(bytes))?;
    }
    Ok((content, body.is_done(), used))
}

/// The content of exactly one chunked body; `None` if it is broken, unfinished or followed by something.
fn read_whole(mut input: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    loop {
        let line = line(&mut input)?;
        let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let size = usize::from_str_radix(std::str::from_utf8(&line[..digits]).ok()?, 16).ok()?;
        if !matches!(line.get(digits), None | Some(b';' | b' ' | b'\t')) {
            return None;
        }
        if size == 0 {
            break;
        }
        content.extend_from_slice(input.get(..size)?);
        input = input[size..].strip_prefix(b"\r\n")?;
    }
    loop {
        let line = line(&mut input)?;
        if line.is_empty() {
            return input.is_empty().then_some(content);
        }
        let colon = line.iter().position(|b| *b == b':').filter(|colon| *colon > 0)?;
        let is_name = |b: &u8| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(b);
        let is_value = |b: &u8| *b == b'\t' || !b.is_ascii_control();
        if !line[..colon].iter().all(is_name) || !line[colon..].iter().all(is_value) {
            return None;
        }
    }
}

/// A line without its CR LF; there is no CR and no LF in it.
fn line<'i>(input: &mut &'i [u8]) -> Option<&'i [u8]> {
    let end = input.iter().position(|b| matches!(b, b'\r' | b'\n'))?;
    let line = &input[..end];
    *input = input[end..].strip_prefix(b"\r\n")?;
    Some(line)
}

fn written_again(content: &[u8]) {
    let mut wire = Vec::new();
    for chunk in content.chunks(7) {
        wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        wire.extend_from_slice(chunk);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(take(Framing::Chunked, 64, &[&wire]), Ok((content.to_vec(), true, wire.len())));
}

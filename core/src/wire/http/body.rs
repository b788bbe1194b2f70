//! Bodies off the wire: a known length, or chunks (RFC 9112 section 7.1). The bytes are handed on as they come; what
//! frames them is checked to the last CR LF, because skipped bytes are how one request is smuggled inside another.
//! Onto the wire: chunks.

use super::head::{Framing, is_tchar};
use crate::ground::digits::hexadecimal;
use crate::wire::Fault;

/// A body in the middle of its way.
#[derive(Clone, Debug)]
pub struct Body {
    state: State,
    line_bytes: u64,
    line_bytes_max: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// This many bytes of a body of known length are still to come.
    Length(u64),
    /// In a chunk's size, so far this much; whether a digit was seen.
    Size(u64, bool),
    /// In the blanks after a chunk's size.
    Blank(u64),
    /// In a chunk's extensions.
    Extension(u64),
    /// The CR of the size line has come.
    SizeEnd(u64),
    /// In a chunk's data.
    Data(u64),
    /// After the data: CR, then LF.
    DataCr,
    DataLf,
    /// At the start of a trailer line, in its name, in its value, after its CR; then the LF of the last blank line.
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    Done,
}

impl Body {
    /// A body framed like this; `line_bytes_max` bounds each size line, and all trailer fields together.
    #[must_use]
    pub fn new(framing: Framing, line_bytes_max: u64) -> Body {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(n) => State::Length(n),
            Framing::Chunked => State::Size(0, false),
        };
        Body { state, line_bytes: 0, line_bytes_max }
    }

    /// Whether the body has come to its end.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How many bytes of content are certainly still to come.
    #[must_use]
    pub fn announced(&self) -> u64 {
        match self.state {
            State::Length(n)
            | State::Data(n)
            | State::Size(n, _)
            | State::Blank(n)
            | State::Extension(n)
            | State::SizeEnd(n) => n,
            State::DataCr
            | State::DataLf
            | State::TrailerStart
            | State::TrailerName
            | State::TrailerValue
            | State::TrailerLf
            | State::LastLf
            | State::Done => 0,
        }
    }

    /// Takes what belongs to the body off the front of `input`, hands its content to `take`, and returns how many
    /// bytes that were. It stops before content beyond `room`: input is left then, and the body is not done.
    ///
    /// # Errors
    /// The chunk framing is broken.
    pub fn receive(
        &mut self,
        input: &[u8],
        mut room: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<usize, Fault> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            match self.state {
                State::Length(left) | State::Data(left) => {
                    let n = usize::try_from(left.min(room)).unwrap_or(usize::MAX).min(input.len() - at);
                    if n == 0 {
                        return Ok(at);
                    }
                    room -= n as u64;
                    take(&input[at..at + n]);
                    at += n;
                    let left = left - n as u64;
                    self.state = match (self.state, left) {
                        (State::Length(_), 0) => State::Done,
                        (State::Length(_), _) => State::Length(left),
                        (_, 0) => State::DataCr,
                        _ => State::Data(left),
                    };
                }
                State::Size(..)
                | State::Blank(_)
                | State::Extension(_)
                | State::SizeEnd(_)
                | State::DataCr
                | State::DataLf
                | State::TrailerStart
                | State::TrailerName
                | State::TrailerValue
                | State::TrailerLf
                | State::LastLf
                | State::Done => {
                    self.framing_byte(input[at])?;
                    at += 1;
                }
            }
        }
        Ok(at)
    }

    fn framing_byte(&mut self, byte: u8) -> Result<(), Fault> {
        self.line_bytes += 1;
        if self.line_bytes > self.line_bytes_max {
            return Err(Fault::bad("a chunk's size line or the trailer is too long"));
        }
        self.state = match (self.state, byte) {
            (State::Size(size, _), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if size >> 60 != 0 {
                    return Err(Fault::bad("a chunk's size is too large"));
                }
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                State::Size(size << 4 | digit, true)
            }
            (State::Size(size, true), b'\r') => State::SizeEnd(size),
            (State::Size(size, true), b';') => State::Extension(size),
            (State::Size(size, true) | State::Blank(size), b' ' | b'\t') => State::Blank(size),
            (State::Blank(size), b';') => State::Extension(size),
            (State::Blank(size), b'\r') => State::SizeEnd(size),
            (State::Blank(_), _) => return Err(Fault::bad("a chunk's size is malformed")),
            (State::Size(..), _) => return Err(Fault::bad("a chunk's size is malformed")),
            (State::Extension(size), b'\r') => State::SizeEnd(size),
            (State::Extension(_), b'\n' | 0..=8 | 11..=31 | 127) => {
                return Err(Fault::bad("a chunk's extension holds a control character"));
            }
            (State::Extension(size), _) => State::Extension(size),
            (State::SizeEnd(0), b'\n') => State::TrailerStart,
            (State::SizeEnd(size), b'\n') => {
                self.line_bytes = 0;
                State::Data(size)
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => {
                self.line_bytes = 0;
                State::Size(0, false)
            }
            (State::TrailerStart, b'\r') => State::LastLf,
            (State::TrailerStart | State::TrailerName, byte) if is_tchar(byte) => State::TrailerName,
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, b'\t' | b' '..=126 | 128..) => State::TrailerValue,
            // Section 7.1.2: field lines alone. A request line is none, and must not vanish here.
            (State::TrailerStart | State::TrailerName | State::TrailerValue, _) => {
                return Err(Fault::bad("the trailer is malformed"));
            }
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::LastLf, b'\n') => State::Done,
            _ => return Err(Fault::bad("a chunk does not end with CR LF")),
        };
        Ok(())
    }
}

/// Appends `bytes`, of which there are some, as one chunk.
pub fn chunk(bytes: &[u8], out: &mut Vec<u8>) {
    size_line(bytes.len(), out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends the line before a chunk's data.
pub fn size_line(bytes: usize, out: &mut Vec<u8>) {
    hexadecimal(bytes as u64, out);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(framing: Framing, pieces: &[&[u8]]) -> Result<(Vec<u8>, bool, usize), Fault> {
        let mut body = Body::new(framing, 64);
        let (mut content, mut used) = (Vec::new(), 0);
        for piece in pieces {
            used += body.receive(piece, u64::MAX, |bytes| content.extend_from_slice(bytes))?;
        }
        Ok((content, body.is_done(), used))
    }

    fn check(input: &[u8], expected: Result<(&[u8], usize), &str>) {
        let got = decode(Framing::Chunked, &[input]);
        match (got, expected) {
            (Ok((content, true, used)), Ok((want, rest))) => {
                assert_eq!((&content[..], input.len() - used), (want, rest), "{input:?}");
            }
            (Err(fault), Err(part)) => assert!(fault.reason.contains(part), "{fault:?} {part}"),
            (got, expected) => panic!("{input:?}: {got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn chunks() {
        check(b"0\r\n\r\n", Ok((b"", 0)));
        check(b"5\r\nhello\r\n0\r\n\r\nGET", Ok((b"hello", 3)));
        check(b"3;a=b\r\nabc\r\n1 ;x\r\nd\r\n00\r\nT: v\r\nU: w\r\n\r\n", Ok((b"abcd", 0)));
        check(b"A\r\n0123456789\r\n0\r\n\r\n", Ok((b"0123456789", 0)));
        check(b"3 \r\nabc\r\n0\t\r\n\r\n", Ok((b"abc", 0)));
        check(b"\r\n", Err("size"));
        check(b"3 x\r\n", Err("size"));
        check(b";x\r\n", Err("size"));
        check(b"g\r\n", Err("size"));
        check(b"-1\r\n", Err("size"));
        check(b"0x5\r\n", Err("size"));
        check(b"5\nhello", Err("size"));
        check(b"11111111111111111\r\n", Err("too large"));
        check(b"5;a\nhello\r\n0\r\n\r\n", Err("extension"));
        check(b"5\rxhello", Err("CR LF"));
        check(b"5\r\nhelloXX0\r\n\r\n", Err("CR LF"));
        check(b"5\r\nhello\r0\r\n\r\n", Err("CR LF"));
        check(b"0\r\n\n", Err("trailer"));
        check(b"0\r\nT: v\n\r\n", Err("trailer"));
        check(b"0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Err("trailer"));
        check(b"0\r\n: v\r\n\r\n", Err("trailer"));
        check(b"0\r\nT : v\r\n\r\n", Err("trailer"));
        check(b"0\r\nT: v\r\n w\r\n\r\n", Err("trailer"));
        check(b"0\r\nT: \x7f\r\n\r\n", Err("trailer"));
        check(b"0\r\nT:\r\nU-1:\t\xC3\xBC\r\n\r\n", Ok((b"", 0)));
        check(format!("0\r\n{}", "T: v\r\n".repeat(20)).as_bytes(), Err("too long"));
        // 64 bytes, with the end of the line or of the trailer.
        check(format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(60)).as_bytes(), Ok((b"x", 0)));
        check(format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(61)).as_bytes(), Err("too long"));
        check(format!("0\r\nT:{}\r\n\r\n", "v".repeat(55)).as_bytes(), Ok((b"", 0)));
        check(format!("0\r\nT:{}\r\n\r\n", "v".repeat(56)).as_bytes(), Err("too long"));
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        chunk(&[b'x'; 300], &mut out);
        assert_eq!((&out[..6], &out[305..]), (&b"12c\r\nx"[..], &b"\r\n"[..]));
        out.extend_from_slice(b"0\r\n\r\n");
        check(&out, Ok((&[b'x'; 300], 0)));
    }

    #[test]
    fn lengths() {
        assert_eq!(decode(Framing::Length(3), &[b"ab", b"cd"]), Ok((b"abc".to_vec(), true, 3)));
        assert_eq!(decode(Framing::Length(0), &[b"ab"]), Ok((vec![], true, 0)));
        assert_eq!(decode(Framing::Length(9), &[b"ab"]), Ok((b"ab".to_vec(), false, 2)));
    }

    #[test]
    fn what_is_certainly_to_come() {
        for (framing, input, left) in [
            (Framing::Length(0), "", 0),
            (Framing::Length(7), "", 7),
            (Framing::Length(7), "hello", 2),
            (Framing::Chunked, "", 0),
            (Framing::Chunked, "a", 10),
            (Framing::Chunked, "a ;x\r\nhello", 5),
            (Framing::Chunked, "5\r\nhello\r\n", 0),
        ] {
            let mut body = Body::new(framing, 64);
            body.receive(input.as_bytes(), u64::MAX, |_| {}).unwrap();
            assert_eq!(body.announced(), left, "{framing:?} {input}");
        }
    }

    #[test]
    fn room_is_exact() {
        let mut body = Body::new(Framing::Chunked, 64);
        let mut content = Vec::new();
        let input = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let used = body.receive(input, 4, |bytes| content.extend_from_slice(bytes)).unwrap();
        assert_eq!(
            (&content[..], &input[used..], body.is_done()),
            (&b"abcd"[..], &b"e\r\n0\r\n\r\n"[..], false)
        );
        let rest = body.receive(&input[used..], 1, |bytes| content.extend_from_slice(bytes)).unwrap();
        assert_eq!((&content[..], used + rest, body.is_done()), (&b"abcde"[..], input.len(), true));
    }

    proptest! {
        /// The splitting property: any split gives the same content and the same verdict.
        #[test]
        fn splitting(
            input in proptest::collection::vec(prop_oneof![
                Just(b"5\r\nhello\r\n".to_vec()), Just(b"0\r\n\r\n".to_vec()), Just(b"a;x\r\n0123456789\r\n".to_vec()),
                Just(b"3\n".to_vec()), proptest::collection::vec(any::<u8>(), 0..4)], 0..6),
            cuts in proptest::collection::vec(0usize..80, 0..6),
        ) {
            let input: Vec<u8> = input.concat();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(input.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts { pieces.push(&input[from..cut]); from = cut; }
            pieces.push(&input[from..]);
            prop_assert_eq!(decode(Framing::Chunked, &pieces), decode(Framing::Chunked, &[&input]));
        }
    }
}

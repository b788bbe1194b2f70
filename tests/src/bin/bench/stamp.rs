//! The stamp that makes a delivery recognisable: `^`, 16 hex digits of due time, `:`, 8 hex digits of
//! sequence number, `|`.
//!
//! None of its characters is escaped by JSON or XML, so it is found in any dialect by looking for the
//! `^`, without parsing what surrounds it.

use std::fmt;

/// Length of a stamp.
pub(crate) const STAMP_BYTES: usize = 27;

const DUE: std::ops::Range<usize> = 1..17;
const SEQUENCE: std::ops::Range<usize> = 18..26;

/// A stamp's bytes for an event due at `due_ns`.
pub(crate) fn write_stamp(due_ns: u64, sequence: u32) -> [u8; STAMP_BYTES] {
    let mut stamp = *b"^----------------:--------|";
    write_hex(&mut stamp[DUE], due_ns);
    write_hex(&mut stamp[SEQUENCE], u64::from(sequence));
    stamp
}

/// Due time and sequence number of the stamp at the beginning of `bytes`, if there is one.
fn read_stamp(bytes: &[u8]) -> Option<(u64, u32)> {
    if bytes[0] != b'^' || bytes[17] != b':' || bytes[26] != b'|' {
        return None;
    }
    Some((read_hex(&bytes[DUE])?, u32::try_from(read_hex(&bytes[SEQUENCE])?).ok()?))
}

/// The sequence number of the first stamp in `bytes`.
pub(crate) fn first_sequence(bytes: &[u8]) -> Option<u32> {
    memchr::memchr_iter(b'^', bytes)
        .filter_map(|at| read_stamp(bytes.get(at..at + STAMP_BYTES)?))
        .map(|(_, sequence)| sequence)
        .next()
}

fn write_hex(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| {
        let low = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(low))
    })
}

/// An event came that was not the next one: something was lost, repeated or reordered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    expected: u32,
    found: u32,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a subscriber was due event {} and got event {}", self.expected, self.found)
    }
}

impl std::error::Error for Gap {}

/// One subscriber's place in the sequence, and the beginning of a stamp that a read cut in two.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    next: u32,
    kept: u8,
    cut: [u8; STAMP_BYTES - 1],
}

impl Tracker {
    /// Puts the kept beginning of a stamp at the start of `buffer`; the next bytes belong right after it.
    pub(crate) fn restore(&self, buffer: &mut [u8]) -> usize {
        let kept = usize::from(self.kept);
        buffer[..kept].copy_from_slice(&self.cut[..kept]);
        kept
    }

    /// Counts the deliveries in `bytes`, which begin with what [`restore`](Self::restore) put there, and
    /// calls `each` with every due time.
    pub(crate) fn scan(&mut self, bytes: &[u8], mut each: impl FnMut(u64)) -> Result<u32, Gap> {
        let (mut at, mut deliveries) = (0, 0);
        self.kept = 0;
        while let Some(offset) = memchr::memchr(b'^', &bytes[at..]) {
            at += offset;
            let rest = &bytes[at..];
            if rest.len() < STAMP_BYTES {
                self.cut[..rest.len()].copy_from_slice(rest);
                self.kept = rest.len() as u8;
                break;
            }
            let Some((due_ns, found)) = read_stamp(rest) else {
                at += 1;
                continue;
            };
            if found != self.next {
                return Err(Gap { expected: self.next, found });
            }
            self.next += 1;
            deliveries += 1;
            each(due_ns);
            at += STAMP_BYTES;
        }
        Ok(deliveries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(tracker: &mut Tracker, piece: &[u8], due: &mut Vec<u64>) -> Result<u32, Gap> {
        let mut buffer = vec![0; piece.len() + STAMP_BYTES];
        let kept = tracker.restore(&mut buffer);
        buffer[kept..kept + piece.len()].copy_from_slice(piece);
        tracker.scan(&buffer[..kept + piece.len()], |at| due.push(at))
    }

    fn stream() -> Vec<u8> {
        let mut stream = b"head ^ not a stamp, nor ^00000000000000zz:00000000|".to_vec();
        for (sequence, due_ns) in [7, u64::MAX, 0].into_iter().enumerate() {
            stream.extend_from_slice(b"data: {\"stamp\":\"");
            stream.extend_from_slice(&write_stamp(due_ns, sequence as u32));
            stream.extend_from_slice(b"\"}\n\n");
        }
        stream
    }

    #[test]
    fn a_stamp_reads_back() {
        assert_eq!(&write_stamp(0x1234, 0xab), b"^0000000000001234:000000ab|");
        assert_eq!(read_stamp(&write_stamp(u64::MAX, u32::MAX)), Some((u64::MAX, u32::MAX)));
    }

    #[test]
    fn the_first_stamp_is_found() {
        assert_eq!(first_sequence(&stream()), Some(0));
        assert_eq!(first_sequence(&write_stamp(1, 0xab)), Some(0xab));
        assert_eq!(first_sequence(&write_stamp(1, 0xab)[..STAMP_BYTES - 1]), None);
        assert_eq!(first_sequence(b"no ^ stamp"), None);
    }

    #[test]
    fn any_split_gives_the_same_deliveries() {
        let stream = stream();
        for size in 1..=stream.len() {
            let (mut tracker, mut due) = (Tracker::default(), Vec::new());
            for piece in stream.chunks(size) {
                scan(&mut tracker, piece, &mut due).expect("the sequence is whole");
            }
            assert_eq!(due, [7, u64::MAX, 0], "pieces of {size} bytes");
        }
    }

    #[test]
    fn a_lost_event_is_a_gap() {
        let mut tracker = Tracker::default();
        assert_eq!(scan(&mut tracker, &write_stamp(0, 1), &mut vec![]), Err(Gap { expected: 0, found: 1 }));
    }

    #[test]
    fn a_repeated_event_is_a_gap() {
        let mut tracker = Tracker::default();
        let twice = write_stamp(0, 0).repeat(2);
        assert_eq!(scan(&mut tracker, &twice, &mut vec![]), Err(Gap { expected: 1, found: 0 }));
    }
}

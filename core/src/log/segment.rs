//! A segment: a run of groups behind a head, in one file. Its head says where the segment before it ended, so that
//! nothing can be missing between two of them.
//!
//! No file here, but the file's name: `00000001.log` and so on, in the order of the segments.

use super::form::{u32_at, u64_at};
use crate::ground::id::{Epoch, Seq};

/// The bytes of a head; the first group stands behind it.
pub const HEAD_BYTES: usize = 64;

const MARK: [u8; 8] = *b"\xffoffhook";

/// The version of the form of segments and groups.
const VERSION: u32 = 1;

/// What a segment's head says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Its own number, from 1 on.
    pub id: u64,
    /// The start of the server that opened it.
    pub epoch: Epoch,
    /// Where the segment before it ended; 0 if there was none.
    pub before_end: u64,
    /// The last record that was written before it.
    pub before_last: Seq,
}

/// What stands where a head should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// A head.
    Head(Head),
    /// A head in a form of a later version.
    Later,
    /// Nothing that could be read.
    Nothing,
}

/// The name of a segment's file.
#[must_use]
pub fn name(id: u64) -> String {
    format!("{id:08}.log")
}

/// The segment whose file has this name.
#[must_use]
pub fn id_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    let id = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()?;
    (id > 0 && self::name(id) == name).then_some(id)
}

impl Head {
    /// The head as it stands in the file.
    #[must_use]
    pub fn bytes(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&MARK);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        for (at, number) in
            [(16, self.id), (24, self.epoch.0), (32, self.before_end), (40, self.before_last.0)]
        {
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

/// Reads the head of the segment that is in the file of `id`.
#[must_use]
pub fn parse(bytes: &[u8], id: u64) -> Found {
    let Some(bytes) = bytes.get(..HEAD_BYTES) else { return Found::Nothing };
    let mut without: [u8; HEAD_BYTES] = [0; HEAD_BYTES];
    without.copy_from_slice(bytes);
    without[12..16].fill(0);
    let head = Head {
        id: u64_at(bytes, 16),
        epoch: Epoch(u64_at(bytes, 24)),
        before_end: u64_at(bytes, 32),
        before_last: Seq(u64_at(bytes, 40)),
    };
    if bytes[..8] != MARK || crc32c::crc32c(&without) != u32_at(bytes, 12) || head.id != id {
        Found::Nothing
    } else if u32_at(bytes, 8) > VERSION {
        Found::Later
    } else {
        Found::Head(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids() {
        assert_eq!(name(1), "00000001.log");
        assert_eq!(name(123_456_789), "123456789.log");
        for (text, id) in [
            ("00000001.log", Some(1)),
            ("123456789.log", Some(123_456_789)),
            ("00000000.log", None),
            ("1.log", None),
            ("000000001.log", None),
            ("+0000001.log", None),
            ("00000001.txt", None),
            ("lock", None),
        ] {
            assert_eq!(id_of(text), id, "{text}");
        }
    }

    #[test]
    fn a_head_passes_in_its_own_file_alone() {
        let head = Head { id: 7, epoch: Epoch(3), before_end: 800, before_last: Seq(41) };
        let bytes = head.bytes();
        assert_eq!(parse(&bytes, 7), Found::Head(head));
        assert_eq!(parse(&bytes, 8), Found::Nothing);
        for at in 0..HEAD_BYTES * 8 {
            let mut flipped = bytes;
            flipped[at / 8] ^= 1 << (at % 8);
            assert_eq!(parse(&flipped, 7), Found::Nothing, "bit {at}");
        }
    }

    #[test]
    fn a_head_of_a_later_version_is_known_as_such() {
        let mut bytes = Head { id: 7, epoch: Epoch(3), before_end: 800, before_last: Seq(41) }.bytes();
        bytes[8..12].copy_from_slice(&(VERSION + 1).to_le_bytes());
        bytes[12..16].fill(0);
        let crc = crc32c::crc32c(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(parse(&bytes, 7), Found::Later);
    }
}

//! A group: records that one write carries, behind one head with a checksum. Groups stand one after the other in a
//! segment, each at a multiple of eight bytes, so that one behind damage can be found.
//!
//! ```text
//!   0  mark   4  checksum   8  payload's length   12  records   16  first number
//!  24  highest number that was durable when this was written   32  oldest segment that is needed   40  payload
//! ```
//!
//! The checksum (CRC32C) covers the rest of the head, the payload, and where the group stands (segment and offset), so
//! bytes of another place never pass. The mark is no UTF-8, so no text that a peer sends looks like a head. A group
//! without records only says what is durable, or which segments are needed no more.

use super::encode::{self, Broken};
use super::form::{Reader, put_number, u32_at, u64_at};
use super::record::Record;
use crate::ground::id::Seq;

/// The bytes of a head.
pub const HEAD_BYTES: usize = 40;

const MARK: [u8; 4] = [0xff, b'O', b'G', 0xfe];

/// What a head says beside the checksum.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    /// Bytes of the payload.
    pub length: u32,
    /// Records in the payload.
    pub count: u32,
    /// The number of the first record; of the next one to come, if there are none.
    pub first: Seq,
    /// The last written record that was known to be durable.
    pub durable: Seq,
    /// Older segments are needed no more.
    pub oldest: u64,
}

/// A group that passed its checksum.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// Its head.
    pub head: Head,
    payload: &'a [u8],
}

/// A group that is being filled.
#[derive(Debug)]
pub struct Filling {
    bytes: Vec<u8>,
    count: u32,
    first: Seq,
    last: Seq,
}

/// Where the next group may start.
#[must_use]
pub fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(8)
}

fn checksum(head_and_payload: &[u8], segment: u64, offset: u64) -> u32 {
    let crc = crc32c::crc32c(&head_and_payload[8..]);
    let crc = crc32c::crc32c_append(crc, &segment.to_le_bytes());
    crc32c::crc32c_append(crc, &offset.to_le_bytes())
}

impl Filling {
    /// An empty group in the room of `bytes`.
    #[must_use]
    pub fn new(mut bytes: Vec<u8>) -> Filling {
        bytes.clear();
        bytes.resize(HEAD_BYTES, 0);
        Filling { bytes, count: 0, first: Seq(0), last: Seq(0) }
    }

    /// Adds a record, whose number is higher than that of the one before.
    pub fn push(&mut self, seq: Seq, record: &Record) {
        if self.count == 0 {
            self.first = seq;
            self.last = seq;
        }
        put_number(&mut self.bytes, seq.0 - self.last.0);
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        encode::encode(record, &mut self.bytes);
        let length = u32::try_from(self.bytes.len() - at - 4);
        let length = length.expect("a record is smaller than 4 GiB: so are the bodies that it comes from");
        self.bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        self.last = seq;
        self.count += 1;
    }

    /// Whether it holds no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The last record's number.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.last
    }

    /// The first record's number.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.first
    }

    /// Bytes so far, the head included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Writes the head, for this place, and fills up to a multiple of eight. `next` is the number of the next record to
    /// come, for a group without records.
    ///
    /// # Panics
    /// If the group was sealed before.
    pub fn seal(&mut self, segment: u64, offset: u64, next: Seq, durable: Seq, oldest: u64) {
        assert!(self.bytes[..4] != MARK, "a group is sealed once, when its place is known");
        let length = self.bytes.len() - HEAD_BYTES;
        let first = if self.count == 0 { next } else { self.first };
        self.bytes[..4].copy_from_slice(&MARK);
        self.bytes[8..12].copy_from_slice(&(length as u32).to_le_bytes());
        self.bytes[12..16].copy_from_slice(&self.count.to_le_bytes());
        self.bytes[16..24].copy_from_slice(&first.0.to_le_bytes());
        self.bytes[24..32].copy_from_slice(&durable.0.to_le_bytes());
        self.bytes[32..40].copy_from_slice(&oldest.to_le_bytes());
        let crc = checksum(&self.bytes, segment, offset);
        self.bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        self.bytes.resize(padded(self.bytes.len() as u64) as usize, 0);
    }

    /// The bytes; after [`Filling::seal`] they are a group.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives its room back.
    #[must_use]
    pub fn into_room(self) -> Vec<u8> {
        self.bytes
    }
}

/// How many bytes the group at the start of `bytes` takes, if what stands there looks like a head at all.
#[must_use]
pub fn size(bytes: &[u8]) -> Option<u64> {
    let is_head = bytes.len() >= HEAD_BYTES && bytes[..4] == MARK;
    is_head.then(|| padded(HEAD_BYTES as u64 + u64::from(u32_at(bytes, 8))))
}

/// The group at the start of `bytes`, which stand at `offset` of `segment`; `None` if there is no sound one.
#[must_use]
pub fn parse(bytes: &[u8], segment: u64, offset: u64) -> Option<Group<'_>> {
    size(bytes)?;
    let head = Head {
        length: u32_at(bytes, 8),
        count: u32_at(bytes, 12),
        first: Seq(u64_at(bytes, 16)),
        durable: Seq(u64_at(bytes, 24)),
        oldest: u64_at(bytes, 32),
    };
    let all = bytes.get(..HEAD_BYTES.checked_add(head.length as usize)?)?;
    (checksum(all, segment, offset) == u32_at(bytes, 4)).then(|| Group { head, payload: &all[HEAD_BYTES..] })
}

/// The first sound group behind damage: `bytes` stand at `offset` of `segment`, a multiple of eight.
#[must_use]
pub fn scan(bytes: &[u8], segment: u64, offset: u64) -> Option<(u64, Head)> {
    (0..bytes.len()).step_by(8).find_map(|at| {
        let group = parse(&bytes[at..], segment, offset + at as u64)?;
        Some((offset + at as u64, group.head))
    })
}

impl<'a> Group<'a> {
    /// Bytes that it takes in its segment.
    #[must_use]
    pub fn size(&self) -> u64 {
        padded((HEAD_BYTES + self.payload.len()) as u64)
    }

    /// The records that this version knows, with the bytes of each; `None` stands for one that it does not know.
    pub fn records(&self) -> impl Iterator<Item = Result<(Seq, usize, Option<Record>), Broken>> + use<'a> {
        let mut reader = Reader(self.payload);
        let mut seq = self.head.first.0;
        (0..self.head.count).map(move |_| {
            let (Some(step), Some(length)) = (reader.number(), reader.take(4)) else { return Err(Broken) };
            seq = seq.checked_add(step).ok_or(Broken)?;
            let bytes = reader.take(u32_at(length, 0) as usize).ok_or(Broken)?;
            Ok((Seq(seq), bytes.len(), encode::decode(bytes)?))
        })
    }
}

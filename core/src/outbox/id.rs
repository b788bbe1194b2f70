//! Names that are made of what they name: the same on every shard, at every attempt and after every restart.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::event::Event;
use crate::ground::id::{Seq, ShardId};

/// The id of a delivery (a UUID of version 8, RFC 9562): of the destination's name, the event's number, and the event's own
/// words, because numbers begin anew when nothing is kept.
#[must_use]
pub fn delivery(destination: &str, seq: Seq, event: &Event) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(seq.0.to_le_bytes());
    for part in [destination, &event.source, &event.id, &event.time] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The shard that sends what a destination gets.
#[must_use]
pub fn owner(destination: &str, shards: u16) -> ShardId {
    // The seed is fixed, because all shards must come to the same answer.
    let hash = FixedState::with_seed(0).hash_one(destination);
    ShardId(u16::try_from(hash % u64::from(shards.max(1))).unwrap_or(0))
}

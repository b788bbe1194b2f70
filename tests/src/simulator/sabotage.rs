//! Deliberate bugs, all switched off: each is a mistake that an adapter, a log or a disk could make, and that one of the
//! invariants must catch. A simulator that does not catch them proves nothing when it is silent.

/// One bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Durability is told when a record is appended: an acknowledged event is lost in a crash.
    AcknowledgeBeforeTheSync,
    /// Some records never reach another shard: its streams have holes.
    LoseARecordOfAnotherShard,
    /// Some flushes are not done: output waits that nobody will ever send.
    ForgetAFlush,
    /// Deadlines are not acted on.
    SleepThroughDeadlines,
    /// The last record of the log is not given to the first engine at a start.
    ForgetALastRecord,
    /// A sync is said to be done, and was not.
    SkipASync,
    /// A client's bytes come twice.
    RepeatARead,
    /// Engines serve before the epoch that they serve under is durable: a crash lets it begin twice.
    ServeBeforeTheEpoch,
    /// Damage of the log goes unnoticed.
    OverlookDamage,
    /// What ends a SIP dialog never leaves: the notifier goes on for nobody.
    KeepDialogs,
    /// What answers a NOTIFY never leaves.
    LeaveNotifiesUnanswered,
    /// A byte that TLS has sealed is another one when it arrives.
    HarmASealedByte,
    /// A refusal of a server of others arrives as a consent.
    TurnARefusal,
    /// Nobody is told that a client has gone.
    LoseAnEnd,
    /// The trace holds bytes that TLS has sealed.
    NoteSealedBytes,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Sabotage; 15] = [
        Sabotage::AcknowledgeBeforeTheSync,
        Sabotage::LoseARecordOfAnotherShard,
        Sabotage::ForgetAFlush,
        Sabotage::SleepThroughDeadlines,
        Sabotage::ForgetALastRecord,
        Sabotage::SkipASync,
        Sabotage::RepeatARead,
        Sabotage::ServeBeforeTheEpoch,
        Sabotage::OverlookDamage,
        Sabotage::KeepDialogs,
        Sabotage::LeaveNotifiesUnanswered,
        Sabotage::HarmASealedByte,
        Sabotage::TurnARefusal,
        Sabotage::LoseAnEnd,
        Sabotage::NoteSealedBytes,
    ];
}

impl Sabotage {
    /// Whether it keeps a datagram back that the server sends.
    pub(super) fn keeps(self, bytes: &[u8]) -> bool {
        let ends_a_dialog = || {
            bytes.starts_with(b"SUBSCRIBE ") && memchr::memmem::find(bytes, b"\r\nExpires: 0\r\n").is_some()
        };
        match self == Sabotage::LeaveNotifiesUnanswered {
            true => bytes.starts_with(b"SIP/2.0 "),
            false => self == Sabotage::KeepDialogs && ends_a_dialog(),
        }
    }
}

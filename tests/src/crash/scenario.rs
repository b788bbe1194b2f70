//! The scenarios: what is done to a server under load, and what it takes to do that.

use super::play::Play;
use super::strace::Strace;
use super::{broken_disk, folder, freeze, full_disk, kill, stop, torn};

/// One way in which a server, its disk or its machine fails.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// As the command line and the table say it.
    pub name: &'static str,
    /// What happens in a round.
    pub what: &'static str,
    pub(super) needs: Need,
    pub(super) load: Load,
    /// Whether a hook that was answered may come again, because the note of the answer was lost.
    pub(super) may_repeat: bool,
    /// Rows of `[limits]` beside those of all scenarios: small files of the log, so that a run fills many.
    pub(super) limits: &'static str,
    pub(super) round: fn(&mut Play<'_>),
}

/// What a machine must permit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Need {
    Nothing,
    /// A file system of a few megabytes, which root alone may mount.
    Mount,
    /// System calls that fail.
    Strace,
}

/// How publishers behave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Load {
    /// Some requests under way at a time; all are accepted.
    Pipelined,
    /// One at a time: some are refused with a 503, and come again before what follows them.
    Refused,
}

const KILLED: Scenario = Scenario {
    name: "kill",
    what: "SIGKILL at any moment, one time of five before the server is ready",
    needs: Need::Nothing,
    load: Load::Pipelined,
    may_repeat: true,
    limits: "log_segment_bytes = \"256KiB\"\n",
    round: kill::at_any_moment,
};

const STOPPED: Scenario =
    Scenario { name: "stop", what: "SIGTERM", may_repeat: false, round: stop::under_load, ..KILLED };

const FULL: Scenario = Scenario {
    name: "full-disk",
    what: "the file system fills up, and gets room again",
    needs: Need::Mount,
    load: Load::Refused,
    may_repeat: false,
    limits: "log_segment_bytes = \"64KiB\"\nlog_retry_ms = 50\n",
    round: full_disk::and_room_again,
};

impl Scenario {
    /// All of them.
    pub const ALL: &[Scenario] = &[
        KILLED,
        Scenario {
            name: "kill-starting",
            what: "SIGKILL, and up to three more while what was written is read back",
            round: kill::while_starting,
            ..KILLED
        },
        Scenario {
            name: "kill-stopping",
            what: "SIGTERM, and SIGKILL before the stop is complete",
            round: kill::while_stopping,
            ..KILLED
        },
        STOPPED,
        Scenario {
            name: "freeze",
            what: "SIGSTOP for 1.5 s, and SIGCONT; deadlines that passed meanwhile fire",
            limits: "log_segment_bytes = \"256KiB\"\nhead_ms = 100\n",
            round: freeze::and_go_on,
            ..STOPPED
        },
        Scenario { name: "kill-frozen", what: "SIGSTOP, and SIGKILL", round: freeze::and_kill, ..KILLED },
        FULL,
        Scenario {
            name: "kill-full-disk",
            what: "the file system fills up; SIGKILL, a start without room, and room again",
            may_repeat: true,
            round: full_disk::and_kill,
            ..FULL
        },
        Scenario {
            name: "no-space",
            what: "for a while every write of the log fails with ENOSPC",
            needs: Need::Strace,
            round: broken_disk::no_space,
            ..FULL
        },
        Scenario {
            name: "failed-sync",
            what: "one fdatasync fails with EIO: the server ends with a sentence",
            needs: Need::Strace,
            round: broken_disk::failed_sync,
            ..KILLED
        },
        Scenario {
            name: "failed-write",
            what: "writes of the log fail with EIO: the server ends with a sentence",
            needs: Need::Strace,
            round: broken_disk::failed_write,
            ..KILLED
        },
        Scenario {
            name: "slow-disk",
            what: "each fdatasync takes 5 to 40 ms longer; SIGKILL",
            needs: Need::Strace,
            round: broken_disk::slow,
            ..KILLED
        },
        Scenario {
            name: "torn-tail",
            what: "SIGKILL between write and fdatasync; of that write, what follows a random byte, or some sectors, is lost",
            needs: Need::Strace,
            round: torn::tail,
            ..KILLED
        },
    ];

    /// The one with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Scenario> {
        Scenario::ALL.iter().find(|scenario| scenario.name == name)
    }

    /// Why it cannot be played on this machine, if it cannot.
    #[must_use]
    pub fn obstacle(&self) -> Option<&'static str> {
        match self.needs {
            Need::Mount if !folder::can_mount() => Some("no file system can be mounted"),
            Need::Strace if !Strace::is_there() => Some("strace is not there, or may not trace"),
            Need::Nothing | Need::Mount | Need::Strace => None,
        }
    }
}

//! The machine: its cores, how busy they are, and what it is.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::CpuSet;

use crate::Result;

/// One core for the server, one for the load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    /// The server's.
    pub(crate) server: usize,
    /// The load's; the server's own where there is only one.
    pub(crate) load: usize,
}

impl Cores {
    /// The first two that exist.
    pub(crate) fn of_this_machine() -> Self {
        let two = fs::read_to_string("/proc/stat").is_ok_and(|stat| core_ticks(&stat, 1).is_some());
        Self { server: 0, load: usize::from(two) }
    }
}

/// Keeps this thread, and all that it starts, on one core.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|error| format!("cannot stay on core {core}: {error}").into())
}

/// Becomes `command` on one core, to be ended together with the process that started it.
pub(crate) fn exec_pinned(core: usize, command: &[OsString]) -> Result<()> {
    pin(core)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let (program, arguments) = command.split_first().ok_or("no command to run")?;
    let error = Command::new(program).args(arguments).exec();
    Err(format!("cannot run {}: {error}", program.display()).into())
}

/// Raises the soft limit of open files to the hard one. Where that is refused, opening too many streams
/// says so.
pub(crate) fn raise_file_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

/// How busy both cores were, from 0 to 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Busy {
    /// The server's core.
    pub(crate) server: f64,
    /// The load's core.
    pub(crate) load: f64,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} %, {:.0} %", self.server * 100.0, self.load * 100.0)
    }
}

/// A reading of both cores' clocks.
#[derive(Debug)]
pub(crate) struct CoreClock {
    server: Ticks,
    load: Ticks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    idle: u64,
}

impl CoreClock {
    /// Reads the clocks.
    pub(crate) fn read() -> Result<Self> {
        let (stat, cores) = (fs::read_to_string("/proc/stat")?, Cores::of_this_machine());
        let ticks = |core| core_ticks(&stat, core).ok_or_else(|| format!("/proc/stat has no core {core}"));
        Ok(Self { server: ticks(cores.server)?, load: ticks(cores.load)? })
    }

    /// How busy the cores were since this reading.
    pub(crate) fn busy_since(&self) -> Result<Busy> {
        let later = Self::read()?;
        let share = |from: Ticks, to: Ticks| {
            let (busy, idle) = (to.busy.saturating_sub(from.busy), to.idle.saturating_sub(from.idle));
            busy as f64 / (busy + idle).max(1) as f64
        };
        Ok(Busy { server: share(self.server, later.server), load: share(self.load, later.load) })
    }
}

/// A core's line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal (see proc(5)).
fn core_ticks(stat: &str, core: usize) -> Option<Ticks> {
    let prefix = format!("cpu{core} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&prefix))?;
    let ticks: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, idle, iowait, irq, softirq, steal] = *ticks.first_chunk()?;
    Some(Ticks { busy: user + nice + system + irq + softirq + steal, idle: idle + iowait })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_of_a_core() {
        let stat = "cpu  1 1 1 1 1 1 1 1 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\ncpu1 10 0 0 90 0 0 0 0 0 0\n";
        assert_eq!(core_ticks(stat, 0), Some(Ticks { busy: 27, idle: 9 }));
        assert_eq!(core_ticks(stat, 1), Some(Ticks { busy: 10, idle: 90 }));
        assert_eq!(core_ticks(stat, 2), None);
    }
}

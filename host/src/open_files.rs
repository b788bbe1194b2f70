//! The limit of open files: raised as far as the process may, and `connections` lowered to what then fits. No file is
//! opened here; the spare descriptor for the day they run out is in [`crate::listen`].

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are no connection: standard streams, epoll, wakers, signals, the config file at a reload.
const RESERVE: u64 = 64;

/// Raises the soft limit to the hard one. Gives the limit in force; `None` is no limit.
pub(crate) fn raise_limit() -> io::Result<Option<u64>> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(maximum)
}

/// The limit in force without an attempt to raise it.
pub(crate) fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// What each shard can have under a limit of open files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Share {
    /// Connections, beside those that are kept to answer 503.
    pub(crate) connections: u64,
    /// Calls to servers of others: at most an eighth of all.
    pub(crate) calls: u64,
    /// Connections to SIP peers: as calls.
    pub(crate) flows: u64,
}

/// Divides `files` among the shards. Each holds a copy and a spare descriptor for each listener.
pub(crate) fn share(
    files: u64,
    listeners: u64,
    shards: u64,
    refusal_places: u64,
    [calls, flows]: [u64; 2],
) -> Share {
    let others = RESERVE + listeners * shards * 2;
    let own = files.saturating_sub(others) / shards;
    let calls = calls.min(own / 8).max(1);
    let flows = flows.min((own / 8).max(1));
    Share { connections: own.saturating_sub(calls + flows + refusal_places).max(1), calls, flows }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_divided_by_the_shards() {
        for (files, listeners, shards, refusal_places, wanted, connections, calls, flows) in [
            (1_024, 1, 1, 64, [4_096, 0], 775, 119, 0),
            (1_024, 1, 1, 64, [4_096, 1_024], 656, 119, 119),
            (1_024, 2, 2, 64, [4_096, 0], 353, 59, 0),
            (1_048_576, 1, 1, 0, [4_096, 0], 1_044_414, 4_096, 0),
            (64, 1, 1, 0, [4_096, 0], 1, 1, 0),
            (100, 1, 1, 64, [4_096, 0], 1, 4, 0),
        ] {
            let share = share(files, listeners, shards, refusal_places, wanted);
            assert_eq!(share, Share { connections, calls, flows }, "{files}");
        }
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise_limit().unwrap();
        assert_eq!(limit(), raised);
    }
}

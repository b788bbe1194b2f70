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

/// How many connections each shard can have under a limit of `files`, beside those that are kept to answer 503.
pub(crate) fn connections_that_fit(files: u64, listeners: u64, shards: u64, refusal_places: u64) -> u64 {
    // Every shard holds a copy and a spare descriptor for each listener.
    let others = RESERVE + listeners * shards * 2;
    (files.saturating_sub(others) / shards).saturating_sub(refusal_places).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_divided_by_the_shards() {
        for (files, listeners, shards, refusal_places, fit) in [
            (1_024, 1, 1, 64, 894),
            (1_024, 2, 2, 64, 412),
            (1_048_576, 1, 1, 0, 1_048_510),
            (64, 1, 1, 0, 1),
            (100, 1, 1, 64, 1),
        ] {
            assert_eq!(connections_that_fit(files, listeners, shards, refusal_places), fit, "{files}");
        }
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let raised = raise_limit().unwrap();
        assert_eq!(limit(), raised);
    }
}

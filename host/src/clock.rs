//! The two clocks that the engines get as an argument. Nothing here waits: a loop computes its own timeout from
//! [`offhook_core::Engine::poll_timeout`].

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use offhook_core::{Mono, Now, Wall};

/// Reads both clocks. All shards share one start, so that their times compare.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose monotonic zero is this moment.
    pub(crate) fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// Milliseconds since the start of the process, and since 1970. Read it once per turn of the loop.
    #[must_use]
    pub fn now(&self) -> Now {
        let mono = self.start.elapsed().as_millis();
        // A machine whose clock stands before 1970 is answered with 1970 itself.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        Now { mono: Mono(to_u64(mono)), wall: Wall(to_u64(wall)) }
    }
}

fn to_u64(ms: u128) -> u64 {
    u64::try_from(ms).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mono_starts_near_zero_and_never_goes_back() {
        let clock = Clock::start();
        let first = clock.now();
        let second = clock.now();
        assert!(first.mono <= second.mono);
        assert!(first.mono.0 < 60_000);
        assert!(first.wall > Wall::from_rfc3339("2020-01-01T00:00:00Z").unwrap());
    }
}

//! A stand-in for the machine that makes calls: calls are only gathered here, and whoever drives the hub takes them and
//! answers. It goes when the machine comes.

use super::Hub;
use super::call::Call;

/// One call's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct CallId(pub u64);

/// Calls that nobody has taken yet.
#[derive(Debug, Default)]
pub struct Calls {
    made: u64,
    waiting: Vec<(CallId, Call)>,
}

impl Hub {
    /// Makes a call.
    pub fn call(&mut self, call: Call) -> CallId {
        self.calls.made += 1;
        let id = CallId(self.calls.made);
        self.calls.waiting.push((id, call));
        id
    }

    /// Gives a call up; nothing is heard of it.
    pub fn cancel(&mut self, id: CallId) {
        self.calls.waiting.retain(|(waiting, _)| *waiting != id);
    }

    /// The calls since the last time.
    pub fn take_calls(&mut self) -> Vec<(CallId, Call)> {
        std::mem::take(&mut self.calls.waiting)
    }
}

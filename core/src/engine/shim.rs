//! A stand-in for the machine that makes calls, at the doorway: whoever drives the engine takes the calls and answers
//! them. It goes when the machine comes.

use super::Engine;
use crate::ground::time::Now;
use crate::hub::call::{Answer, Call, CallFault, Caller};

impl Engine {
    /// The calls since the last time.
    pub fn take_calls(&mut self) -> Vec<Call> {
        self.hub.take_calls().into_iter().map(|(_, call)| call).collect()
    }

    /// What came of a call.
    pub fn answer(&mut self, now: Now, caller: Caller, result: Result<Answer, CallFault>) {
        self.hub.set_now(now);
        if let Some(dialect) = self.dialects.get_mut(usize::from(caller.dialect)) {
            dialect.answered(&mut self.hub, caller.key, result);
        }
        self.settle();
    }
}

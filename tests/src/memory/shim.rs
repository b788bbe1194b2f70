//! Calls as the engine's stand-in for the call machine has them: taken, and answered by hand.

use offhook_core::hub::call::{Answer, Call, CallFault, Caller};

use super::World;

impl World {
    /// Takes the calls that an engine has made since the last time.
    pub fn take_calls(&mut self, shard: usize) -> Vec<Call> {
        self.shards[shard].engine.take_calls()
    }

    /// Answers a call of an engine.
    pub fn answer(&mut self, shard: usize, caller: Caller, result: Result<Answer, CallFault>) {
        self.shards[shard].engine.answer(self.now, caller, result);
        self.turn();
    }
}

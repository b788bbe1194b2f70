//! Calls at the doorway: the engine's own user may make them as well as its dialects, and outcomes go to whoever called.

use super::Engine;
use crate::ground::time::Now;
use crate::hub::call::{Answer, Call, CallFault, CallId, Caller, EMBEDDER};

impl Engine {
    /// Makes a call for the engine's own user, whatever its caller's dialect says. What comes of it:
    /// [`Engine::poll_answer`].
    pub fn call(&mut self, now: Now, call: Call) -> CallId {
        self.hub.set_now(now);
        let caller = Caller { dialect: EMBEDDER, key: call.caller.key };
        let id = self.hub.call(Call { caller, ..call });
        self.settle();
        id
    }

    /// Gives a call up. Nothing comes of it any more, unless it is known already.
    pub fn cancel(&mut self, now: Now, id: CallId) {
        self.hub.set_now(now);
        self.hub.cancel(id);
        self.settle();
    }

    /// What came of the next call of the engine's own user, with the key of its caller.
    pub fn poll_answer(&mut self) -> Option<(u64, Result<Answer, CallFault>)> {
        self.answers.pop_front()
    }

    pub(super) fn tell_caller(&mut self, caller: Caller, result: Result<Answer, CallFault>) {
        if caller.dialect == EMBEDDER {
            self.answers.push_back((caller.key, result));
        } else if let Some(dialect) = self.dialects.get_mut(usize::from(caller.dialect)) {
            self.hub.speaker = caller.dialect;
            dialect.answered(&mut self.hub, caller.key, result);
        }
    }
}

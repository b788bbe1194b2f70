//! The server's side (RFC 3261 section 17.2.2): a copy of a request gets a copy of its answer, for as long as one may
//! come over UDP (Timer J). There is no 408, whatever the user does (RFC 4320 section 4.2): a request that nobody
//! answers is forgotten.

use super::LIFE_MS;
use crate::ground::time::Mono;

/// One request that came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    answer: Option<Box<[u8]>>,
    until: Mono,
}

impl Server {
    /// The request just came.
    #[must_use]
    pub fn new(now: Mono) -> Server {
        Server { answer: None, until: now.plus_ms(LIFE_MS) }
    }

    /// The answer, which is sent now; only the first one counts. False: there was one, and this one must not be sent.
    pub fn answer(&mut self, now: Mono, bytes: Box<[u8]>) -> bool {
        if self.answer.is_some() {
            return false;
        }
        self.answer = Some(bytes);
        self.until = now.plus_ms(LIFE_MS);
        true
    }

    /// What a copy of the request gets: nothing as long as there is no answer.
    #[must_use]
    pub fn copy(&self) -> Option<&[u8]> {
        self.answer.as_deref()
    }

    /// When it can be forgotten.
    #[must_use]
    pub fn until(&self) -> Mono {
        self.until
    }
}

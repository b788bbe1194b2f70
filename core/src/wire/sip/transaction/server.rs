//! The server's side (RFC 3261 section 17.2.2): a copy of a request gets a copy of its answer, for as long as one may
//! come over UDP (Timer J). There is no 408, whatever the user does (RFC 4320 section 4.2): a request that nobody
//! answers is forgotten.

use super::LIFE_MS;
use crate::ground::time::Mono;
use crate::wire::sip::message::{Message, Start};

/// What copies of a request get.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Answer {
    /// `200 OK` with nothing but what stands in the request itself, as nearly all are: nothing of it has to be kept.
    Ok,
    Bytes(Box<[u8]>),
}

impl Answer {
    /// The answer of this message, which `bytes` are.
    fn of(message: &Message, bytes: &[u8]) -> Answer {
        let is_ok = matches!(&message.start, Start::Response { status: 200, reason } if **reason == *"OK");
        let copied = ["Via", "From", "To", "Call-ID", "CSeq"];
        if is_ok && message.body.is_empty() && message.fields.iter().all(|(name, _)| copied.contains(&name)) {
            Answer::Ok
        } else {
            Answer::Bytes(bytes.into())
        }
    }
}

/// One request that came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    answer: Option<Answer>,
    until: Mono,
}

impl Server {
    /// The request just came.
    #[must_use]
    pub fn new(now: Mono) -> Server {
        Server { answer: None, until: now.plus_ms(LIFE_MS) }
    }

    /// The answer, which is sent now as `bytes`; only the first one counts. False: there was one, and this one must not be
    /// sent.
    pub fn answer(&mut self, now: Mono, response: &Message, bytes: &[u8]) -> bool {
        if self.answer.is_some() {
            return false;
        }
        self.answer = Some(Answer::of(response, bytes));
        self.until = now.plus_ms(LIFE_MS);
        true
    }

    /// What this copy of the request gets: nothing as long as there is no answer.
    #[must_use]
    pub fn copy(&self, request: &Message) -> Option<Vec<u8>> {
        Some(match self.answer.as_ref()? {
            Answer::Bytes(bytes) => bytes.to_vec(),
            Answer::Ok => {
                let mut bytes = Vec::new();
                Message::response(request, 200, "OK").write(&mut bytes);
                bytes
            }
        })
    }

    /// When it can be forgotten.
    #[must_use]
    pub fn until(&self) -> Mono {
        self.until
    }
}

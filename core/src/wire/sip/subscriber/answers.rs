//! Answers to SUBSCRIBEs, and what is tried before one counts as refused (RFC 6665 section 4.1.2, RFC 3261 section 8.1.3).
//!
//! What is absent here: transactions, and how challenges are answered (`digest`).

use super::ends::End;
use super::notifies::requires;
use super::subscription::{Flight, Place, Subscription, Terms};
use super::user_agent::UserAgent;
use crate::ground::time::Now;
use crate::wire::sip::dialog::contacts;
use crate::wire::sip::endpoint::Unanswered;
use crate::wire::sip::grammar::seconds;
use crate::wire::sip::message::Message;

/// How often a SUBSCRIBE is sent again with something else, whatever that is.
const TRIES_MAX: u8 = 12;

/// How many redirections are followed (RFC 3261 section 8.1.3.4).
const REDIRECTIONS_MAX: u8 = 5;

/// After a refresh that failed, or a request to end, the next one comes no sooner.
const RETRY_MS: u64 = 5_000;

/// And no later, if no NOTIFY has come since it was sent: a start may have left open whether the peer knows the dialog.
const RETRY_MAX_MS: u64 = 300_000;

impl Subscription {
    /// The answer to a request. `Some`: that was the subscription's end.
    pub(super) fn answered(
        &mut self,
        terms: &mut Terms,
        agent: &mut UserAgent,
        now: Now,
        request: u64,
        response: &Message,
    ) -> Option<End> {
        let (place, status) = (self.place_of(request)?, response.status()?);
        if status < 300 {
            self.accepted(terms, agent, now, place, response);
            return None;
        }
        // Its NOTIFY has come: another branch of a fork says no, and nobody minds.
        if place == Place::Initial && (!self.dialogs.is_empty() || self.is_leaving) {
            self.flight = None;
            return None;
        }
        if self.sent_again(terms, agent, now, place, status, response)
            || place == Place::Initial && self.sent_elsewhere(terms, agent, now)
        {
            return None;
        }
        let retry_after_s = retry_after_s(response);
        match place {
            Place::Initial => self.fail(terms, agent, End::of_initial(status, retry_after_s), None),
            Place::Dialog(at) => self.refused(terms, agent, now, at, status, retry_after_s),
        }
    }

    /// There was no answer. `Some`: that was the subscription's end.
    pub(super) fn unanswered(
        &mut self,
        terms: &mut Terms,
        agent: &mut UserAgent,
        now: Now,
        request: u64,
        why: Unanswered,
    ) -> Option<End> {
        let end = match why {
            Unanswered::TimerF => End::UNANSWERED,
            Unanswered::Transport | Unanswered::NoAddress => End::of_initial(503, None),
        };
        match self.place_of(request)? {
            Place::Initial if self.dialogs.is_empty() => {
                if self.sent_elsewhere(terms, agent, now) {
                    None
                } else {
                    self.fail(terms, agent, end, None)
                }
            }
            Place::Initial => {
                self.flight = None;
                None
            }
            Place::Dialog(at) if self.is_leaving => self.end(terms, agent, at, End::EXPIRED, None),
            Place::Dialog(at) => {
                let is_notified = self.dialogs[at].flight.as_ref().is_some_and(|flight| flight.is_notified);
                if why == Unanswered::TimerF && !is_notified {
                    return self.end(terms, agent, at, End::EXPIRED, None);
                }
                self.refused(terms, agent, now, at, 503, None)
            }
        }
    }

    /// A 2xx (202 is as good as 200: RFC 6665 section 8.3.1). Its `Expires` counts until a NOTIFY says otherwise.
    fn accepted(
        &mut self,
        terms: &mut Terms,
        agent: &mut UserAgent,
        now: Now,
        place: Place,
        response: &Message,
    ) {
        let Some(flight) = self.flight_mut(place) else { return };
        flight.is_answered = true;
        if let Some(granted_s) = response.fields.get("Expires").and_then(seconds) {
            flight.expires_s = flight.expires_s.min(granted_s);
        }
        let (expires_s, is_stated) = (flight.expires_s, flight.is_stated);
        if flight.is_notified {
            *self.flight_mut(place) = None;
        }
        let at = match place {
            Place::Dialog(at) => Some(at),
            Place::Initial => {
                let is = |tag: &str| Some(tag) == response.to_tag();
                self.dialogs.iter().position(|dialog| is(&dialog.dialog.remote_tag))
            }
        };
        let Some(at) = at.filter(|_| !self.is_leaving) else { return };
        let dialog = &mut self.dialogs[at];
        let is_moved = dialog.dialog.retarget(response);
        let is_other = !is_stated && dialog.expires_in(now.mono, expires_s, true, &mut agent.rng);
        if is_moved || is_other {
            self.save(terms, agent, now, at);
        }
    }

    /// Sends a SUBSCRIBE again with what its answer asked for; false: there is nothing to be done about it.
    fn sent_again(
        &mut self,
        terms: &mut Terms,
        agent: &mut UserAgent,
        now: Now,
        place: Place,
        status: u16,
        response: &Message,
    ) -> bool {
        let Some(flight) = self.flight_mut(place) else { return false };
        let mut again = Flight {
            tries: flight.tries + 1,
            redirections: flight.redirections,
            elsewhere: flight.elsewhere.clone(),
            ..Flight::default()
        };
        if again.tries > TRIES_MAX {
            return false;
        }
        match status {
            401 | 407 => {
                let sent = std::mem::take(&mut flight.credentials);
                let mut request = self.request(terms, agent, now, place);
                for (name, value) in sent {
                    request.fields.push(&name, value);
                }
                if !agent.authority.answer(&mut agent.rng, response, &mut request, &self.uri) {
                    return false;
                }
                for name in ["Authorization", "Proxy-Authorization"] {
                    let lines = request.fields.lines(name).map(|line| (name.into(), line.into()));
                    again.credentials.extend(lines);
                }
                self.send(terms, agent, now, place, again, request);
                return true;
            }
            423 => {
                let Some(least_s) = response.fields.get("Min-Expires").and_then(seconds) else {
                    return false;
                };
                if least_s <= flight.expires_s || self.is_leaving {
                    return false;
                }
                terms.expires_min_s = least_s;
            }
            421 if requires(response, "eventlist") && !terms.eventlist => terms.eventlist = true,
            300..=399 if place == Place::Initial => {
                let mut targets = contacts(response);
                targets.retain(|target| agent.may_ask(target) && !flight.elsewhere.contains(target));
                targets.truncate(REDIRECTIONS_MAX.into());
                flight.elsewhere.splice(0..0, targets);
                return false;
            }
            _ => return false,
        }
        self.subscribe(terms, agent, now, place, again);
        true
    }

    /// Sends the first SUBSCRIBE to where else a redirection leads, the best place first (RFC 3261 section 8.1.3.4); false:
    /// nowhere.
    fn sent_elsewhere(&mut self, terms: &Terms, agent: &mut UserAgent, now: Now) -> bool {
        let Some(mut flight) = self.flight.take_if(|flight| {
            !self.is_leaving && !flight.elsewhere.is_empty() && flight.redirections < REDIRECTIONS_MAX
        }) else {
            return false;
        };
        self.uri = flight.elsewhere.remove(0).into();
        let Flight { tries, redirections, elsewhere, .. } = *flight;
        let again = Flight { tries, redirections: redirections + 1, elsewhere, ..Flight::default() };
        self.subscribe(terms, agent, now, Place::Initial, again);
        true
    }

    /// A refresh has failed: either that is the dialog's end, or its old expiry still holds (RFC 6665 section 4.1.2.2), and
    /// it is asked again; so it is where the peer would not end it just then.
    fn refused(
        &mut self,
        terms: &Terms,
        agent: &mut UserAgent,
        now: Now,
        at: usize,
        status: u16,
        retry_after_s: Option<u32>,
    ) -> Option<End> {
        if let Some(end) = End::of_refresh(status, retry_after_s) {
            return self.end(terms, agent, at, end, None);
        }
        let dialog = &mut self.dialogs[at];
        let is_alive = dialog.flight.take().is_some_and(|flight| flight.is_notified);
        let most_ms = if is_alive { u64::MAX } else { RETRY_MAX_MS };
        let wait_ms = if self.is_leaving { 0 } else { dialog.expires.since(now.mono) / 2 };
        let wait_ms =
            wait_ms.clamp(RETRY_MS, most_ms).max(u64::from(retry_after_s.unwrap_or_default()) * 1_000);
        dialog.refresh = now.mono.plus_ms(wait_ms);
        None
    }
}

/// `Retry-After` (RFC 3261 section 20.33): a number of seconds before a comment and parameters.
fn retry_after_s(response: &Message) -> Option<u32> {
    let value = response.fields.get("Retry-After")?;
    seconds(value.split([';', '(', ' ', '\t']).next()?)
}

//! NOTIFYs that come for a subscription (RFC 6665 sections 4.1.3 and 4.4.1).
//!
//! What is absent here: copies of them, and what their bodies mean.

use super::ends::End;
use super::said::{Content, Event};
use super::subscription::{Flight, Place, Subscription, Terms};
use super::user_agent::UserAgent;
use crate::ground::time::Now;
use crate::wire::sip::dialog::Order;
use crate::wire::sip::fields::Parameterised;
use crate::wire::sip::grammar::seconds;
use crate::wire::sip::message::Message;

/// Why a NOTIFY is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal {
    status: u16,
    reason: &'static str,
    /// The event that it should have been of.
    allowed: Option<Box<str>>,
}

impl Refusal {
    pub(super) const NO_SUBSCRIPTION: Refusal = Refusal::new(481, "Subscription does not exist");

    const fn new(status: u16, reason: &'static str) -> Refusal {
        Refusal { status, reason, allowed: None }
    }

    /// The response to the NOTIFY.
    pub(super) fn response(self, request: &Message) -> Message {
        let mut response = Message::response(request, self.status, self.reason);
        if let Some(event) = self.allowed {
            response.fields.push("Allow-Events", event);
        }
        response
    }
}

/// `Subscription-State` (section 8.4).
struct State {
    is_pending: bool,
    is_terminated: bool,
    reason: Option<Box<str>>,
    expires_s: Option<u32>,
    retry_after_s: Option<u32>,
}

impl State {
    fn read(request: &Message) -> Result<State, Refusal> {
        let line = request.fields.get("Subscription-State").unwrap_or_default();
        let state = Parameterised::read(line);
        if state.value.is_empty() {
            return Err(Refusal::new(400, "Subscription-State is missing"));
        }
        let seconds = |name| state.param(name).map(|text| seconds(&text).ok_or(())).transpose();
        let (Ok(expires_s), Ok(retry_after_s)) = (seconds("expires"), seconds("retry-after")) else {
            return Err(Refusal::new(400, "Subscription-State has a time that is no number"));
        };
        // A word that is not known counts as active.
        Ok(State {
            is_pending: state.value.eq_ignore_ascii_case("pending"),
            is_terminated: state.value.eq_ignore_ascii_case("terminated"),
            reason: state.param("reason").map(|reason| reason.into()),
            expires_s,
            retry_after_s,
        })
    }
}

/// Whether a message requires this option.
pub(super) fn requires(message: &Message, option: &str) -> bool {
    message.fields.values("Require").any(|required| required.eq_ignore_ascii_case(option))
}

impl Subscription {
    /// Takes a NOTIFY with our Call-ID. `Some`: that was the subscription's end.
    pub(super) fn notified(
        &mut self,
        terms: &mut Terms,
        agent: &mut UserAgent,
        now: Now,
        request: &mut Message,
    ) -> Result<Option<End>, Refusal> {
        self.recognise(terms, agent, request)?;
        let state = State::read(request)?;
        let (Some((cseq, _)), Some(tag)) = (request.cseq(), request.from_tag()) else {
            return Err(Refusal::new(400, "CSeq or the tag of From is missing"));
        };
        let known = self.dialogs.iter().position(|dialog| *dialog.dialog.remote_tag == *tag);
        match known.map(|at| self.dialogs[at].dialog.receive(cseq)) {
            Some(Order::Same) => return Ok(None),
            Some(Order::Older) => return Err(Refusal::new(500, "CSeq is lower than one before")),
            Some(Order::Newer) => {}
            None => self.admit(terms, agent, now, request)?,
        }
        let end = End::of_notify(state.reason.as_deref(), state.retry_after_s);
        match known {
            Some(at) if state.is_terminated => {
                let content = content(request);
                Ok(self.end(terms, agent, at, end, content))
            }
            // One fork of several says no.
            None if state.is_terminated && !self.dialogs.is_empty() => {
                self.ended.push(tag.into());
                Ok(None)
            }
            None if state.is_terminated => {
                let content = content(request);
                Ok(self.fail(terms, agent, end, content))
            }
            Some(at) if self.is_leaving => {
                self.dialogs[at].dialog.retarget(request);
                Ok(None)
            }
            Some(at) => {
                self.renew(terms, agent, now, at, &state, request);
                Ok(None)
            }
            None => {
                self.establish(terms, agent, now, &state, request);
                Ok(None)
            }
        }
    }

    /// Judges what is the same for each NOTIFY.
    fn recognise(&self, terms: &Terms, agent: &UserAgent, request: &Message) -> Result<(), Refusal> {
        if !self.tag.is(request.to_tag()) {
            return Err(Refusal::NO_SUBSCRIPTION);
        }
        let Some(event) = request.fields.get("Event").map(Parameterised::read) else {
            return Err(Refusal::new(400, "Event is missing"));
        };
        if *event.value != *terms.wanted.event {
            let allowed = Some((*terms.wanted.event).into());
            return Err(Refusal { allowed, ..Refusal::new(489, "Event is not the one that was asked for") });
        }
        // Ours have no id (section 8.2.1).
        if event.param("id").is_some() {
            return Err(Refusal::NO_SUBSCRIPTION);
        }
        let texts = request.fields.lines("Record-Route").chain(request.fields.lines("Contact"));
        let bytes = texts.map(str::len).sum::<usize>() + request.from_tag().map_or(0, str::len);
        if bytes as u64 > agent.settings.limits.sip_dialog_bytes {
            return Err(Refusal::new(513, "Record-Route and Contact are too long"));
        }
        Ok(())
    }

    /// Judges whether a NOTIFY with a new tag makes a dialog.
    fn admit(&self, terms: &Terms, agent: &UserAgent, now: Now, request: &Message) -> Result<(), Refusal> {
        let has_ended = self.ended.iter().any(|tag| Some(&**tag) == request.from_tag());
        let is_late = now.mono >= self.forks_until;
        // A list has one notifier (RFC 4662 section 4.5).
        let takes_forks = terms.wanted.takes_forks && !terms.eventlist && !requires(request, "eventlist");
        let made = self.dialogs.len() + self.ended.len();
        let is_one_too_many = if takes_forks {
            made as u64 >= agent.settings.limits.sip_forks
        } else {
            !self.dialogs.is_empty()
        };
        if has_ended || is_late || is_one_too_many {
            return Err(Refusal::NO_SUBSCRIPTION);
        }
        Ok(())
    }

    /// Makes the dialog that a NOTIFY is the first of (section 4.4.1).
    fn establish(
        &mut self,
        terms: &mut Terms,
        agent: &mut UserAgent,
        now: Now,
        state: &State,
        request: &mut Message,
    ) {
        terms.failures = 0;
        let at = self.dialogs.len();
        let mut made = self.make(agent, request);
        let mut expires_s = state.expires_s;
        if let Some(flight) = &mut self.flight {
            flight.timer_n = None;
            flight.is_notified = true;
            flight.is_stated |= expires_s.is_some();
            expires_s = expires_s.or(Some(flight.expires_s));
        }
        self.flight.take_if(|flight| flight.is_answered);
        let expires_s = expires_s.unwrap_or(u32::MAX).min(terms.expires_max_s());
        made.expires_in(now.mono, expires_s, true, &mut agent.rng);
        let number = made.number;
        // Most subscriptions have one dialog for ever.
        self.dialogs.reserve_exact(1);
        self.dialogs.push(made);
        if self.is_leaving {
            self.flight = None;
            self.subscribe(terms, agent, now, Place::Dialog(at), Flight::default());
            return;
        }
        self.save(terms, agent, now, at);
        agent.tell(terms.key, notified(number, state, true, request));
    }

    /// Takes a further NOTIFY of a dialog.
    fn renew(
        &mut self,
        terms: &Terms,
        agent: &mut UserAgent,
        now: Now,
        at: usize,
        state: &State,
        request: &mut Message,
    ) {
        let dialog = &mut self.dialogs[at];
        let mut is_first = false;
        if let Some(flight) = &mut dialog.flight {
            is_first = flight.timer_n.take().is_some();
            flight.is_notified |= is_first;
            flight.is_stated |= flight.is_notified && state.expires_s.is_some();
        }
        dialog.flight.take_if(|flight| is_first && flight.is_answered);
        let is_moved = dialog.dialog.retarget(request);
        let is_other = state.expires_s.is_some_and(|expires_s| {
            dialog.expires_in(now.mono, expires_s.min(terms.expires_max_s()), is_first, &mut agent.rng)
        });
        let number = dialog.number;
        if is_moved || is_other {
            self.save(terms, agent, now, at);
        }
        agent.tell(terms.key, notified(number, state, is_first, request));
    }
}

/// What is told of a NOTIFY.
fn notified(dialog: u32, state: &State, first: bool, request: &mut Message) -> Event {
    let eventlist = requires(request, "eventlist");
    Event::Notified { dialog, pending: state.is_pending, content: content(request), first, eventlist }
}

/// The body, which leaves the message.
fn content(request: &mut Message) -> Option<Content> {
    if request.body.is_empty() {
        return None;
    }
    let content_type = request.fields.get("Content-Type").unwrap_or_default().into();
    Some(Content { content_type, bytes: std::mem::take(&mut request.body).into() })
}

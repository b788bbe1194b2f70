//! One subscription: a Call-ID and a tag of ours, the SUBSCRIBE that asked for it, and the dialogs that NOTIFYs have made
//! of it, several if it was forked (RFC 6665 section 4.1.4).
//!
//! What is absent here: what follows its end (`usage`), answers (`answers`) and NOTIFYs (`notifies`).

use std::sync::Arc;

use super::ends::{End, Next};
use super::said::{Content, Event, Saved, Wanted};
use super::user_agent::{TIMER_N_MS, UserAgent};
use crate::ground::rng::Rng;
use crate::ground::time::{Mono, Now, Wall};
use crate::wire::sip::dialog::{CallId, Dialog, Tag, request_uri};
use crate::wire::sip::message::Message;

/// How far the numbers of a dialog's requests jump at a restart: further than any that were used since it was saved.
const CSEQ_MARGIN: u32 = 1_000;

/// How often a peer may be asked for its whole state because of a gap in it.
const GAP_MS: u64 = 30_000;

/// A subscription that is granted for less is refreshed as if it were for this.
const EXPIRES_MIN_S: u32 = 2;

/// Two moments that are as good as one: seconds are rounded on both sides.
pub(super) const ROUNDING_MS: u64 = 2_000;

/// What a usage has learnt, and needs for every subscription of its own.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) key: u32,
    pub(super) wanted: Wanted,
    pub(super) until: Wall,
    /// What a 423 has asked for.
    pub(super) expires_min_s: u32,
    /// A 421 has asked for lists.
    pub(super) eventlist: bool,
    /// Failures in a row.
    pub(super) failures: u8,
}

/// One subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) call_id: CallId,
    pub(super) tag: Tag,
    /// The number of the last SUBSCRIBE outside of a dialog.
    cseq: u32,
    /// Where that went.
    pub(super) uri: Arc<str>,
    /// It, until both its answer and its NOTIFY are there.
    pub(super) flight: Option<Box<Flight>>,
    /// Until when NOTIFYs with further tags make dialogs.
    pub(super) forks_until: Mono,
    pub(super) dialogs: Vec<Established>,
    /// Tags of dialogs that have ended.
    pub(super) ended: Vec<Box<str>>,
    /// It is being given up.
    pub(super) is_leaving: bool,
}

/// A dialog, and what is subscribed in it.
#[derive(Debug)]
pub(super) struct Established {
    pub(super) number: u32,
    pub(super) dialog: Dialog,
    /// When it runs out.
    pub(super) expires: Mono,
    /// When it is refreshed; never, if it lives as long as it is wanted.
    pub(super) refresh: Mono,
    /// When its state was last asked for because of a gap.
    gap: Option<Mono>,
    /// Its SUBSCRIBE under way.
    pub(super) flight: Option<Box<Flight>>,
}

/// A SUBSCRIBE under way.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// What the endpoint knows it by.
    pub(super) request: u64,
    /// The duration that it asks for, or that was granted.
    pub(super) expires_s: u32,
    /// Timer N (section 4.1.2.4), once it is sent and while no NOTIFY has come.
    pub(super) timer_n: Option<Mono>,
    /// A 2xx has come.
    pub(super) is_answered: bool,
    /// A NOTIFY has come since it was sent.
    pub(super) is_notified: bool,
    /// A NOTIFY has said since when the subscription runs out.
    pub(super) is_stated: bool,
    /// Further requests in its place, because of challenges and the like.
    pub(super) tries: u8,
    /// Of these, redirections.
    pub(super) redirections: u8,
    /// Where redirections lead to as well, the best first.
    pub(super) elsewhere: Vec<Box<str>>,
    /// What it says to challenges.
    pub(super) credentials: Vec<(Box<str>, Box<str>)>,
}

/// Where a SUBSCRIBE goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Outside of a dialog.
    Initial,
    /// In the dialog at this place.
    Dialog(usize),
}

impl Terms {
    /// The duration to ask for, in seconds.
    fn expires_s(&self, now: Now) -> u32 {
        let left_s = u32::try_from(self.until.since(now.wall).div_ceil(1_000)).unwrap_or(u32::MAX);
        self.wanted.expires_s.min(left_s).max(self.expires_min_s).max(1)
    }

    /// The longest duration that is believed.
    pub(super) fn expires_max_s(&self) -> u32 {
        self.wanted.expires_s.max(self.expires_min_s)
    }

    /// Adds to a SUBSCRIBE what it asks for.
    fn complete(&self, agent: &UserAgent, request: &mut Message, expires_s: u32) {
        let is_secure = self.wanted.uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"));
        request.fields.push("Contact", format!("<{}>", agent.contact(is_secure)));
        request.fields.push("Event", &*self.wanted.event);
        let mut accept: Vec<&str> = self.wanted.accept.iter().map(|media_type| &**media_type).collect();
        if self.eventlist {
            accept.extend(["application/rlmi+xml", "multipart/related"]);
            request.fields.push("Supported", "eventlist");
        }
        if !accept.is_empty() {
            request.fields.push("Accept", accept.join(", "));
        }
        request.fields.push("Expires", expires_s.to_string());
    }
}

impl Subscription {
    /// Asks for a new one.
    pub(super) fn begin(terms: &Terms, agent: &mut UserAgent, now: Now) -> Subscription {
        let mut subscription = Subscription {
            call_id: agent.call(terms.key),
            tag: Tag::new(&mut agent.rng),
            cseq: 0,
            uri: terms.wanted.uri.clone(),
            flight: None,
            forks_until: Mono::NEVER,
            dialogs: Vec::new(),
            ended: Vec::new(),
            is_leaving: false,
        };
        subscription.subscribe(terms, agent, now, Place::Initial, Flight::default());
        subscription
    }

    /// Goes on with one of an earlier start: each dialog that has not run out is refreshed at once, if it is still
    /// wanted. `None`: there is none. Dialogs that cannot be gone on with are told as ended.
    pub(super) fn restore(
        terms: &mut Terms,
        agent: &mut UserAgent,
        now: Now,
        saved: Vec<Saved>,
    ) -> Option<Subscription> {
        let mut found: Option<Subscription> = None;
        for saved in saved {
            let names = (saved.call_id.parse::<CallId>().ok(), saved.local_tag.parse::<Tag>().ok());
            // A wall clock that was set back since makes nothing live for longer than it was granted.
            let granted_ms = u64::from(terms.expires_max_s()) * 1_000;
            let left_ms = Wall(saved.expires_ms).since(now.wall).min(granted_ms);
            let (Some(call_id), Some(tag), 1..) = (names.0, names.1, left_ms) else {
                agent.tell(terms.key, End::EXPIRED.event(saved.dialog, None, false));
                agent.tell(terms.key, Event::Save { dialog: saved.dialog, saved: None });
                continue;
            };
            terms.eventlist |= saved.eventlist;
            let subscription = found.get_or_insert_with(|| Subscription {
                call_id,
                tag,
                cseq: saved.cseq,
                uri: terms.wanted.uri.clone(),
                flight: None,
                forks_until: Mono(0),
                dialogs: Vec::new(),
                ended: Vec::new(),
                is_leaving: false,
            });
            subscription.dialogs.reserve_exact(1);
            subscription.dialogs.push(Established {
                number: saved.dialog,
                expires: now.mono.plus_ms(left_ms),
                refresh: Mono::NEVER,
                gap: None,
                flight: None,
                dialog: Dialog {
                    call_id,
                    local_tag: tag,
                    remote_tag: saved.remote_tag,
                    cseq: saved.cseq.saturating_add(CSEQ_MARGIN),
                    remote_cseq: saved.remote_cseq,
                    route: saved.route.into(),
                    target: saved.target,
                },
            });
        }
        if let Some(subscription) = &mut found {
            agent.adopt(terms.key, subscription.call_id);
            let is_wanted = terms.until > now.wall;
            for at in (0..subscription.dialogs.len()).filter(|_| is_wanted) {
                subscription.subscribe(terms, agent, now, Place::Dialog(at), Flight::default());
                // A second restart must not fall back on the numbers of this one.
                subscription.save(terms, agent, now, at);
            }
        }
        found
    }

    /// Sends a SUBSCRIBE; `flight` holds what was tried before.
    pub(super) fn subscribe(
        &mut self,
        terms: &Terms,
        agent: &mut UserAgent,
        now: Now,
        place: Place,
        flight: Flight,
    ) {
        let mut request = self.request(terms, agent, now, place);
        for (name, value) in &flight.credentials {
            request.fields.push(name, value.clone());
        }
        self.send(terms, agent, now, place, flight, request);
    }

    /// The next SUBSCRIBE in its place.
    pub(super) fn request(&mut self, terms: &Terms, agent: &UserAgent, now: Now, place: Place) -> Message {
        let (local, remote) = (&agent.settings.from, &terms.wanted.uri);
        let mut request = match place {
            Place::Dialog(at) => self.dialogs[at].dialog.request("SUBSCRIBE", local, remote),
            Place::Initial => {
                self.cseq = self.cseq.saturating_add(1);
                let mut request = Message::request("SUBSCRIBE", &self.uri);
                request.fields.push("From", format!("<{local}>;tag={}", self.tag));
                request.fields.push("To", format!("<{remote}>"));
                request.fields.push("Call-ID", self.call_id.to_string());
                request.fields.push("CSeq", format!("{} SUBSCRIBE", self.cseq));
                request
            }
        };
        let expires_s = if self.is_leaving { 0 } else { terms.expires_s(now) };
        terms.complete(agent, &mut request, expires_s);
        request
    }

    /// Sends a request that [`Subscription::request`] has made.
    pub(super) fn send(
        &mut self,
        terms: &Terms,
        agent: &mut UserAgent,
        now: Now,
        place: Place,
        flight: Flight,
        request: Message,
    ) {
        let expires_s = request.fields.get("Expires").and_then(|s| s.parse().ok()).unwrap_or_default();
        let route = match place {
            Place::Dialog(at) => self.dialogs[at].dialog.first_hop(),
            Place::Initial => None,
        };
        let request = agent.send(now.mono, terms.key, request, route);
        let flight = Flight {
            request,
            expires_s,
            tries: flight.tries,
            redirections: flight.redirections,
            elsewhere: flight.elsewhere,
            credentials: flight.credentials,
            ..Flight::default()
        };
        *self.flight_mut(place) = Some(Box::new(flight));
    }

    pub(super) fn flight_mut(&mut self, place: Place) -> &mut Option<Box<Flight>> {
        match place {
            Place::Initial => &mut self.flight,
            Place::Dialog(at) => &mut self.dialogs[at].flight,
        }
    }

    /// Where a request was sent, if its outcome still matters.
    pub(super) fn place_of(&self, request: u64) -> Option<Place> {
        let is =
            |flight: &Option<Box<Flight>>| flight.as_ref().is_some_and(|flight| flight.request == request);
        if is(&self.flight) {
            return Some(Place::Initial);
        }
        self.dialogs.iter().position(|dialog| is(&dialog.flight)).map(Place::Dialog)
    }

    /// A request is on its way: Timer N begins.
    pub(super) fn sent(&mut self, now: Mono, request: u64) {
        let Some(place) = self.place_of(request) else { return };
        let until = now.plus_ms(TIMER_N_MS);
        if place == Place::Initial && self.dialogs.is_empty() {
            self.forks_until = until;
        }
        if let Some(flight) = self.flight_mut(place) {
            flight.timer_n = Some(until);
        }
    }

    /// Refreshes a dialog, unless it lives as long as it is wanted; or ends it, if that was refused before.
    fn refresh(&mut self, terms: &Terms, agent: &mut UserAgent, now: Now, at: usize) {
        let dialog = &mut self.dialogs[at];
        let lives_ms = dialog.expires.since(now.mono).saturating_add(ROUNDING_MS);
        if self.is_leaving || terms.until.since(now.wall) > lives_ms {
            self.subscribe(terms, agent, now, Place::Dialog(at), Flight::default());
        } else {
            dialog.refresh = Mono::NEVER;
        }
    }

    /// Asks for the whole state of a dialog again, or notes that it has to be done.
    pub(super) fn fill_gap(&mut self, terms: &Terms, agent: &mut UserAgent, now: Now, number: u32) {
        let Some(at) = self.dialogs.iter().position(|dialog| dialog.number == number) else { return };
        let dialog = &mut self.dialogs[at];
        if dialog.flight.is_some() || self.is_leaving {
            return;
        }
        match dialog.gap.map(|gap| gap.plus_ms(GAP_MS)).filter(|may| *may > now.mono) {
            Some(may) => dialog.refresh = dialog.refresh.min(may),
            None => {
                dialog.gap = Some(now.mono);
                self.subscribe(terms, agent, now, Place::Dialog(at), Flight::default());
            }
        }
    }

    /// It is wanted for another time: dialogs that were not to be refreshed any more may have to be.
    pub(super) fn extend(&mut self, now: Mono) {
        for dialog in self.dialogs.iter_mut().filter(|dialog| dialog.refresh == Mono::NEVER) {
            dialog.refresh = now;
        }
    }

    /// Gives it up: `Expires: 0` in each dialog (section 4.1.2.3). A SUBSCRIBE that has not made one yet is waited for,
    /// if it is on its way.
    pub(super) fn leave(&mut self, terms: &Terms, agent: &mut UserAgent, now: Now) {
        self.is_leaving = true;
        let is_awaited =
            self.dialogs.is_empty() && self.flight.as_ref().is_some_and(|flight| flight.timer_n.is_some());
        if !is_awaited && let Some(flight) = self.flight.take() {
            agent.endpoint.abandon(flight.request);
        }
        for at in 0..self.dialogs.len() {
            if let Some(flight) = self.dialogs[at].flight.take() {
                agent.endpoint.abandon(flight.request);
            }
            self.subscribe(terms, agent, now, Place::Dialog(at), Flight::default());
        }
    }

    /// Nobody waits any longer: dialogs whose end nobody has told are told as run out. What is still to be sent for them
    /// goes out all the same.
    pub(super) fn drop_all(&mut self, terms: &Terms, agent: &mut UserAgent) {
        for dialog in self.dialogs.drain(..) {
            agent.tell(terms.key, End::EXPIRED.event(dialog.number, None, true));
            agent.tell(terms.key, Event::Save { dialog: dialog.number, saved: None });
        }
    }

    /// Whether its first request is not on its way yet.
    pub(super) fn is_queued(&self) -> bool {
        self.dialogs.is_empty() && self.flight.as_ref().is_some_and(|flight| flight.timer_n.is_none())
    }

    /// Whether nothing is left to be waited for.
    pub(super) fn is_gone(&self) -> bool {
        self.dialogs.is_empty() && self.flight.is_none()
    }

    /// When it has something to do.
    pub(super) fn due(&self) -> Mono {
        let own = self.flight.as_ref().and_then(|flight| flight.timer_n).unwrap_or(Mono::NEVER);
        self.dialogs.iter().map(Established::due).fold(own, Mono::min)
    }

    /// Does what is due. `Some`: that was its end.
    pub(super) fn handle_timeout(
        &mut self,
        terms: &mut Terms,
        agent: &mut UserAgent,
        now: Now,
    ) -> Option<End> {
        if self.flight.as_ref().is_some_and(|flight| flight.timer_n.is_some_and(|at| at <= now.mono)) {
            return self.fail(terms, agent, End::UNANSWERED, None);
        }
        while let Some(at) = self.dialogs.iter().position(|dialog| dialog.due() <= now.mono) {
            let dialog = &mut self.dialogs[at];
            let end = if let Some(flight) = dialog.flight.take() {
                agent.endpoint.abandon(flight.request);
                // The peer has it, and says nothing: what it has is not left behind.
                if flight.is_answered && !self.is_leaving {
                    self.is_leaving = true;
                    let request = self.request(terms, agent, now, Place::Dialog(at));
                    self.is_leaving = false;
                    let route = self.dialogs[at].dialog.first_hop();
                    agent.send(now.mono, terms.key, request, route);
                }
                self.end(terms, agent, at, End::EXPIRED, None)
            } else if dialog.expires <= now.mono {
                self.end(terms, agent, at, End::EXPIRED, None)
            } else {
                self.refresh(terms, agent, now, at);
                None
            };
            if end.is_some() {
                return end;
            }
        }
        None
    }

    /// It has ended without a dialog.
    pub(super) fn fail(
        &mut self,
        terms: &Terms,
        agent: &mut UserAgent,
        end: End,
        content: Option<Content>,
    ) -> Option<End> {
        if let Some(flight) = self.flight.take() {
            agent.endpoint.abandon(flight.request);
        }
        if self.is_leaving {
            return None;
        }
        agent.tell(terms.key, end.event(0, content, end.next == Next::Never));
        Some(end)
    }

    /// The dialog at this place has ended. `Some`: so has the subscription.
    pub(super) fn end(
        &mut self,
        terms: &Terms,
        agent: &mut UserAgent,
        at: usize,
        end: End,
        content: Option<Content>,
    ) -> Option<End> {
        let Established { number, dialog, flight, .. } = self.dialogs.remove(at);
        let initial = self.flight.take_if(|_| self.dialogs.is_empty());
        for flight in flight.into_iter().chain(initial) {
            agent.endpoint.abandon(flight.request);
        }
        self.ended.push(dialog.remote_tag);
        // Another dialog lives on: a new subscription would have both again.
        let is_whole = self.dialogs.is_empty() && !self.is_leaving;
        let for_good = !is_whole || end.next == Next::Never;
        agent.tell(terms.key, end.event(number, content, for_good));
        agent.tell(terms.key, Event::Save { dialog: number, saved: None });
        is_whole.then_some(end)
    }

    /// Tells what a restart needs of a dialog.
    pub(super) fn save(&self, terms: &Terms, agent: &mut UserAgent, now: Now, at: usize) {
        let saved = self.dialogs[at].saved(terms, now);
        agent.tell(terms.key, Event::Save { dialog: saved.dialog, saved: Some(saved) });
    }

    /// The dialog that a NOTIFY makes.
    pub(super) fn make(&self, agent: &mut UserAgent, request: &Message) -> Established {
        let number = loop {
            let number = agent.rng.next_u64() as u32;
            if number != 0 && self.dialogs.iter().all(|dialog| dialog.number != number) {
                break number;
            }
        };
        let dialog = Dialog::of_request(request, self.call_id, self.tag, self.cseq, &self.uri);
        Established { number, dialog, expires: Mono::NEVER, refresh: Mono::NEVER, gap: None, flight: None }
    }
}

impl Established {
    /// What a restart needs of it.
    pub(super) fn saved(&self, terms: &Terms, now: Now) -> Saved {
        let Established { number, dialog, expires, .. } = self;
        Saved {
            dialog: *number,
            call_id: dialog.call_id.to_string().into(),
            local_tag: dialog.local_tag.to_string().into(),
            remote_tag: dialog.remote_tag.clone(),
            cseq: dialog.cseq,
            remote_cseq: dialog.remote_cseq,
            route: dialog.route.to_vec(),
            target: dialog.target.clone(),
            expires_ms: now.wall.0.saturating_add(expires.since(now.mono)),
            eventlist: terms.eventlist,
        }
    }

    fn due(&self) -> Mono {
        match &self.flight {
            Some(flight) => flight.timer_n.unwrap_or(Mono::NEVER),
            None => self.expires.min(self.refresh),
        }
    }

    /// It runs out after so many seconds, and is refreshed before; `is_new`: because of a SUBSCRIBE of ours. Says whether
    /// that is another moment than before.
    pub(super) fn expires_in(&mut self, now: Mono, expires_s: u32, is_new: bool, rng: &mut Rng) -> bool {
        let expires_s = expires_s.max(EXPIRES_MIN_S);
        let expires = now.plus_ms(u64::from(expires_s) * 1_000);
        let before = std::mem::replace(&mut self.expires, expires);
        let is_other = expires.since(before).max(before.since(expires)) > ROUNDING_MS;
        // What NOTIFYs say again and again must not put the refresh off.
        if is_new || is_other {
            let refresh = now.plus_ms(refresh_ms(expires_s, rng));
            self.refresh = if is_new || expires > before { refresh } else { self.refresh.min(refresh) };
        } else {
            self.expires = before;
        }
        is_other
    }
}

/// When a subscription of so many seconds is refreshed: at half of them, or 60 s before its end if that is later; and
/// earlier by up to a tenth of that, at most five minutes, so that those that began together come apart.
fn refresh_ms(expires_s: u32, rng: &mut Rng) -> u64 {
    let ms = u64::from(expires_s) * 1_000;
    let rule = (ms / 2).max(ms.saturating_sub(60_000)).max(1_000);
    rule - rng.below((rule / 10).min(300_000) + 1)
}

/// A URI as it can stand in a request line; as it came, if it is none.
pub(super) fn resource(uri: Arc<str>) -> Arc<str> {
    request_uri(&uri).filter(|usable| **usable != *uri).map_or(uri, Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_active_subscription_is_small() {
        use super::super::usage::Usage;
        let bytes = size_of::<Usage>() + size_of::<Subscription>() + size_of::<Established>();
        assert!(bytes <= 400, "{bytes} bytes beside the text of URIs and tags");
    }

    #[test]
    fn s57_refreshes_are_spread_earlier_and_never_later_than_the_rule() {
        let mut rng = Rng::new(1);
        for (expires_s, rule_ms, spread_ms) in [
            (3_600, 3_540_000, 300_000),
            (600, 540_000, 54_000),
            (120, 60_000, 6_000),
            (60, 30_000, 3_000),
            (5, 2_500, 250),
            (2, 1_000, 100),
        ] {
            let times: Vec<u64> = (0..1_000).map(|_| refresh_ms(expires_s, &mut rng)).collect();
            let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
            assert!(rule_ms - spread_ms <= *first && *last <= rule_ms, "{expires_s}: {first} to {last}");
            assert!(last - first > spread_ms * 9 / 10, "{expires_s}: {first} to {last}");
        }
    }
}

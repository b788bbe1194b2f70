//! What all subscriptions share: the endpoint, credentials, randomness, the table of Call-IDs, and what is to be told.

use std::collections::{BTreeMap, HashMap, VecDeque};

use foldhash::quality::FixedState;

use super::said::Event;
use crate::ground::hosts::Hosts;
use crate::ground::limits::Limits;
use crate::ground::rng::Rng;
use crate::ground::time::Mono;
use crate::wire::sip::dialog::CallId;
use crate::wire::sip::digest::{Authority, Credential};
use crate::wire::sip::endpoint::Endpoint;
use crate::wire::sip::message::Message;
use crate::wire::sip::uri::Uri;

/// A map whose order nobody may see.
pub(super) type Map<K, V> = HashMap<K, V, FixedState>;

/// 64·T1 (RFC 3261 section 17.1.1.1): Timer N, and how long an ended subscription is remembered.
pub(super) const TIMER_N_MS: u64 = 32_000;

/// Who subscribes, and within which bounds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our URI in `From`. Its user part stands in `Contact` too.
    pub from: Box<str>,
    /// What challenges are answered with.
    pub credentials: Vec<Credential>,
    /// Where subscriptions may go; none is anywhere.
    pub targets: Vec<Hosts>,
    /// Bounds: the rows `sip_…`.
    pub limits: Limits,
}

/// The user agent.
#[derive(Debug)]
pub(super) struct UserAgent {
    pub(super) endpoint: Endpoint,
    pub(super) authority: Authority,
    pub(super) rng: Rng,
    pub(super) events: VecDeque<(u32, Event)>,
    pub(super) settings: Settings,
    user: Box<str>,
    requests: u32,
    /// Whose Call-ID it is; `None`: a subscription that has ended.
    calls: Map<CallId, Option<u32>>,
    /// Clients, and how many of their first requests wait for their turn; those with none are not there.
    queued: BTreeMap<u32, u64>,
    /// Ended ones, and until when they are remembered.
    ended: VecDeque<(Mono, CallId)>,
}

/// The usage that a request was made for.
pub(super) fn usage_of_request(request: u64) -> u32 {
    (request >> 32) as u32
}

impl UserAgent {
    pub(super) fn new(endpoint: Endpoint, settings: Settings, seed: u64) -> UserAgent {
        let user = settings.from.parse::<Uri>().ok().and_then(|uri| uri.user).unwrap_or_default();
        let mut rng = Rng::new(seed);
        UserAgent {
            endpoint,
            authority: Authority::new(settings.credentials.clone()),
            events: VecDeque::new(),
            user,
            requests: 0,
            calls: Map::with_hasher(FixedState::with_seed(rng.next_u64())),
            queued: BTreeMap::new(),
            ended: VecDeque::new(),
            settings,
            rng,
        }
    }

    /// Hands a request of a usage to the endpoint, and says what its outcome will be told with. `route` is the first hop
    /// of its dialog.
    pub(super) fn send(&mut self, now: Mono, usage: u32, request: Message, route: Option<&str>) -> u64 {
        self.requests = self.requests.wrapping_add(1);
        let key = u64::from(usage) << 32 | u64::from(self.requests);
        self.endpoint.request(now, key, request, route);
        key
    }

    /// Whether a client may let one more first request wait.
    pub(super) fn has_room_for(&self, client: u32) -> bool {
        self.queued.get(&client).is_none_or(|count| *count < self.settings.limits.sip_requests_per_client)
    }

    /// The first request of a usage has begun to wait, or waits no longer.
    pub(super) fn count_queued(&mut self, before: Option<u32>, after: Option<u32>) {
        if before == after {
            return;
        }
        if let Some(client) = after {
            *self.queued.entry(client).or_default() += 1;
        }
        if let Some(client) = before
            && let Some(count) = self.queued.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                self.queued.remove(&client);
            }
        }
    }

    /// Our address, as it stands in `Contact`.
    pub(super) fn contact(&self, secure: bool) -> Box<str> {
        self.endpoint.contact(&self.user, secure)
    }

    /// Whether a subscription may go to a URI. Where its dialogs go then is its notifier's affair.
    pub(super) fn may_ask(&self, uri: &str) -> bool {
        let targets = &self.settings.targets;
        targets.is_empty() || uri.parse::<Uri>().is_ok_and(|uri| uri.is_within(targets))
    }

    pub(super) fn tell(&mut self, usage: u32, event: Event) {
        self.events.push_back((usage, event));
    }

    /// The usage whose subscription has this Call-ID.
    pub(super) fn usage_of(&self, call_id: &str) -> Option<u32> {
        *self.calls.get(&call_id.parse().ok()?)?
    }

    /// A Call-ID for a new subscription of a usage (RFC 6665 section 4.1.2.2 wants another one each time).
    pub(super) fn call(&mut self, usage: u32) -> CallId {
        let call_id = CallId::new(&mut self.rng);
        self.adopt(usage, call_id);
        call_id
    }

    /// A Call-ID of an earlier start.
    pub(super) fn adopt(&mut self, usage: u32, call_id: CallId) {
        self.calls.insert(call_id, Some(usage));
    }

    /// Remembers for a while that the subscription with this Call-ID has ended.
    pub(super) fn bury(&mut self, now: Mono, call_id: CallId) {
        self.calls.insert(call_id, None);
        self.ended.push_back((now.plus_ms(TIMER_N_MS), call_id));
    }

    /// Forgets subscriptions that ended long ago.
    pub(super) fn forget(&mut self, now: Mono) {
        while let Some((_, call_id)) = self.ended.pop_front_if(|(until, _)| *until <= now) {
            self.calls.remove(&call_id);
        }
    }

    /// When there is something to forget.
    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.ended.front().map(|(until, _)| *until)
    }

    /// Whether no Call-ID is remembered.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.queued.is_empty() && self.ended.is_empty() && self.events.is_empty()
    }
}

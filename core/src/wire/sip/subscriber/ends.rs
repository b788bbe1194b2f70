//! Why a subscription ends, and what follows: one table for `terminated` of a NOTIFY, for answers to an initial SUBSCRIBE
//! and for answers to a refresh.
//!
//! What is absent here: time. A row says how long to wait, not until when.

use std::fmt;

use super::said::{Content, Event};

/// The reason that an ended subscription shows (RFC 6665 section 4.1.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The notifier gave the subscription up, and another may be made at once.
    Deactivated,
    /// The same, but later.
    Probation,
    /// Not allowed, or not possible.
    Rejected,
    /// It ran out, or nobody answered.
    Timeout,
    /// The notifier could not find out in time whether it is allowed.
    Giveup,
    /// There is no such resource.
    Noresource,
    /// The state will never change.
    Invariant,
}

impl Reason {
    /// The word of RFC 6665.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Reason::Deactivated => "deactivated",
            Reason::Probation => "probation",
            Reason::Rejected => "rejected",
            Reason::Timeout => "timeout",
            Reason::Giveup => "giveup",
            Reason::Noresource => "noresource",
            Reason::Invariant => "invariant",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What follows an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// A new subscription; the guard against loops may still put it off.
    AtOnce,
    /// A new subscription after so many seconds.
    After(u32),
    /// A new subscription after a delay that grows with each failure.
    Backoff,
    /// Nothing, until somebody asks for it.
    Never,
}

/// A row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct End {
    pub(super) reason: Reason,
    /// The SIP status that ended it.
    pub(super) status: Option<u16>,
    pub(super) next: Next,
}

/// The wait where a notifier names none.
const WAIT_S: u32 = 60;

/// The longest wait that a notifier is granted; a new subscription comes after it all the same.
const WAIT_MAX_S: u32 = 86_400;

impl End {
    /// Nobody answered, or no NOTIFY came before Timer N.
    pub(super) const UNANSWERED: End = End { reason: Reason::Timeout, status: None, next: Next::Backoff };

    /// A subscription that was alive has run out, or its peer is silent.
    pub(super) const EXPIRED: End = End { reason: Reason::Timeout, status: None, next: Next::AtOnce };

    /// It is not asked for at all, as if its peer had forbidden it.
    pub(super) const FORBIDDEN: End = End { reason: Reason::Rejected, status: Some(403), next: Next::Never };

    /// As it is told.
    pub(super) fn event(self, dialog: u32, content: Option<Content>, for_good: bool) -> Event {
        Event::Ended { dialog, reason: self.reason, status: self.status, content, for_good }
    }

    /// A NOTIFY said `terminated` (RFC 6665 section 4.1.3).
    pub(super) fn of_notify(reason: Option<&str>, retry_after_s: Option<u32>) -> End {
        let later = Next::After(retry_after_s.unwrap_or(WAIT_S).min(WAIT_MAX_S));
        let (reason, next) = match reason.map(str::to_ascii_lowercase).as_deref() {
            Some("deactivated") => (Reason::Deactivated, Next::AtOnce),
            Some("probation") => (Reason::Probation, later),
            Some("rejected") => (Reason::Rejected, Next::Never),
            Some("timeout") => (Reason::Timeout, Next::AtOnce),
            Some("noresource") => (Reason::Noresource, Next::Never),
            Some("invariant") => (Reason::Invariant, Next::Never),
            _ => (Reason::Giveup, later),
        };
        End { reason, status: None, next }
    }

    /// An initial SUBSCRIBE was refused for good, after credentials, redirections and other bounds were tried.
    pub(super) fn of_initial(status: u16, retry_after_s: Option<u32>) -> End {
        let (reason, next) = match status {
            404 | 410 | 485 | 604 => (Reason::Noresource, Next::Never),
            401 | 403 | 405 | 406 | 407 | 415 | 416 | 420 | 489 | 501 | 603 => {
                (Reason::Rejected, Next::Never)
            }
            408 => (Reason::Timeout, Next::Backoff),
            _ => (Reason::Giveup, Next::Backoff),
        };
        let next = match retry_after_s {
            Some(s) if next == Next::Backoff => Next::After(s.min(WAIT_MAX_S)),
            _ => next,
        };
        End { reason, status: Some(status), next }
    }

    /// A refresh was refused. `None`: the subscription lives until its old expiry (RFC 6665 section 4.1.2.2).
    pub(super) fn of_refresh(status: u16, retry_after_s: Option<u32>) -> Option<End> {
        match status {
            481 => Some(End { reason: Reason::Deactivated, status: Some(481), next: Next::AtOnce }),
            404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604 => {
                Some(End::of_initial(status, retry_after_s))
            }
            _ => None,
        }
    }
}

/// The wait after the `failures`th failure in a row: 30 s, doubled each time, at most 600 s.
pub(super) fn backoff_s(failures: u8) -> u32 {
    (30 << failures.saturating_sub(1).min(5)).min(600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s19_each_reason_of_terminated_has_its_rule() {
        use Reason::{Deactivated, Giveup, Invariant, Noresource, Probation, Rejected, Timeout};
        for (reason, retry_after, shown, next) in [
            (Some("deactivated"), None, Deactivated, Next::AtOnce),
            (Some("deactivated"), Some(9), Deactivated, Next::AtOnce),
            (Some("Probation"), None, Probation, Next::After(60)),
            (Some("probation"), Some(7), Probation, Next::After(7)),
            (Some("probation"), Some(u32::MAX), Probation, Next::After(WAIT_MAX_S)),
            (Some("rejected"), Some(7), Rejected, Next::Never),
            (Some("timeout"), None, Timeout, Next::AtOnce),
            (Some("giveup"), None, Giveup, Next::After(60)),
            (Some("giveup"), Some(7), Giveup, Next::After(7)),
            (Some("noresource"), None, Noresource, Next::Never),
            (Some("invariant"), None, Invariant, Next::Never),
            (Some("moon"), Some(7), Giveup, Next::After(7)),
            (None, None, Giveup, Next::After(60)),
        ] {
            let end = End { reason: shown, status: None, next };
            assert_eq!(End::of_notify(reason, retry_after), end, "{reason:?} {retry_after:?}");
        }
    }

    #[test]
    fn s20_each_status_of_an_initial_request_has_its_rule() {
        use Reason::{Giveup, Noresource, Rejected, Timeout};
        for (statuses, reason, next) in [
            (&[404, 410, 604, 485][..], Noresource, Next::Never),
            (&[401, 407, 403, 405, 406, 415, 416, 420, 489, 501, 603], Rejected, Next::Never),
            (&[408], Timeout, Next::Backoff),
            (&[400, 480, 486, 500, 503, 504, 599, 600], Giveup, Next::Backoff),
        ] {
            for status in statuses {
                let end = End { reason, status: Some(*status), next };
                assert_eq!(End::of_initial(*status, None), end, "{status}");
                let next = if next == Next::Backoff { Next::After(5) } else { next };
                assert_eq!(End::of_initial(*status, Some(5)), End { next, ..end }, "{status}");
            }
        }
    }

    #[test]
    fn s14_a_refused_refresh_ends_a_subscription_for_few_reasons() {
        for status in 300..=699 {
            let ends = matches!(status, 404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604);
            assert_eq!(End::of_refresh(status, None).is_some(), ends, "{status}");
        }
        let at_once = End { reason: Reason::Deactivated, status: Some(481), next: Next::AtOnce };
        assert_eq!(End::of_refresh(481, Some(60)), Some(at_once));
    }

    #[test]
    fn the_backoff_doubles_up_to_ten_minutes() {
        let waits: Vec<u32> = (1..=7).map(backoff_s).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 600, 600]);
        assert_eq!(backoff_s(u8::MAX), 600);
    }
}

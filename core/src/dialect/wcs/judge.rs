//! What a backend's answer decides, as functions of the answer alone: no session, no connection and no queue is known
//! here.

use super::config::{self, Policies};
use super::hook::Fields;
use super::table::{Kind, ON_DATA, STREAM_KEEP_ALIVE, own_event};
use crate::dialect::native::read::facts;
use crate::event::Fact;
use crate::ground::config::{HookPolicy, OnError, RestPolicy};
use crate::ground::limits::Limits;
use crate::hub::call::{Answer, CallFault};

/// Why a hook counts as failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The backend answered with another status than 200.
    Status(u16),
    /// No answer in time; the time in milliseconds.
    Timeout(u64),
    /// No connection, or it broke off.
    Connection,
    /// What came is no HTTP, or content that is needed cannot be used.
    BadResponse,
    /// Too many hooks wait; this one was not called.
    Waiting,
    /// The application is no longer in the config.
    Removed,
}

impl Failure {
    /// The failure that a call without an answer is; `timeout_ms` is what the whole call had.
    #[must_use]
    pub fn of(fault: &CallFault, timeout_ms: u64) -> Failure {
        match fault {
            CallFault::Timeout => Failure::Timeout(timeout_ms),
            CallFault::Cut | CallFault::BadAnswer(_) => Failure::BadResponse,
            CallFault::Resolve(_)
            | CallFault::Connect(_)
            | CallFault::ConnectTimeout
            | CallFault::Tls(_)
            | CallFault::Closed { .. }
            | CallFault::Blocked { .. }
            | CallFault::Proxy(_)
            | CallFault::NoRoom => Failure::Connection,
        }
    }

    /// What clients are told; the backend's URL and content are not in it.
    #[must_use]
    pub fn info(&self, hook: &str) -> String {
        let why = match self {
            Failure::Status(status) => format!("HTTP {status}"),
            Failure::Timeout(ms) if ms.is_multiple_of(1_000) => format!("timeout after {} s", ms / 1_000),
            Failure::Timeout(ms) => format!("timeout after {ms} ms"),
            Failure::Connection => "connection failed".to_owned(),
            Failure::BadResponse => "bad response".to_owned(),
            Failure::Waiting => "too many hooks wait".to_owned(),
            Failure::Removed => "application removed".to_owned(),
        };
        format!("REST hook {hook} failed: {why}")
    }
}

/// Whether a call that failed so is made again at once: errors while sending alone. `retry_sent`: also when the whole
/// request had been written.
#[must_use]
pub fn is_sent_again(fault: &CallFault, retry_sent: bool) -> bool {
    match fault {
        CallFault::Connect(_) | CallFault::ConnectTimeout => true,
        CallFault::Closed { sent, .. } => retry_sent || !sent,
        CallFault::Resolve(_)
        | CallFault::Tls(_)
        | CallFault::Timeout
        | CallFault::Cut
        | CallFault::BadAnswer(_)
        | CallFault::Blocked { .. }
        | CallFault::Proxy(_)
        | CallFault::NoRoom => false,
    }
}

/// A hook that was called.
#[derive(Clone, Copy, Debug)]
pub struct Called<'a> {
    /// Its name.
    pub hook: &'a str,
    /// Its type.
    pub kind: Kind,
}

/// What follows from a hook.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// It goes on.
    Proceed {
        /// The fields that count from here on: ours, and what OVERWRITE replaced.
        fields: Fields,
        /// connect: the session's policies, if the answer brought any.
        policies: Option<Policies>,
        /// It goes on although the hook failed: logged and counted, no more.
        failure: Option<Failure>,
    },
    /// connect: `fail` to the client, then the end of its connection.
    Decline(Failure),
    /// Types 2 and 4: the operation stops. The client is told in this event, with these fields; without an event (an
    /// incoming one, for example) the client gets `fail`, and an incoming one's sender an error.
    Stop(Failure, Option<(&'static str, Fields)>),
    /// Type 3: it goes on, and the client gets the error event.
    Tell(Failure),
    /// StreamKeepAliveEvent: the stream is ended.
    Terminate(Failure),
}

impl Outcome {
    /// Why the hook counts as failed, if so.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Outcome::Proceed { failure, .. } => failure.as_ref(),
            Outcome::Decline(failure)
            | Outcome::Stop(failure, _)
            | Outcome::Tell(failure)
            | Outcome::Terminate(failure) => Some(failure),
        }
    }
}

/// Judges an answer, or its absence. `policy` is the hook's entry in the session's policies; `ours` are the fields that
/// the client or the event brought, and `warnings` gets sentences for the log.
#[must_use]
pub fn judge(
    called: Called<'_>,
    policy: &HookPolicy,
    ours: &Fields,
    answer: Result<&Answer, &Failure>,
    limits: &Limits,
    warnings: &mut Vec<String>,
) -> Outcome {
    let read = match answer {
        Ok(answer) if answer.status == 200 => content(called, answer, policy, limits, warnings),
        Ok(answer) => Err(Failure::Status(answer.status)),
        Err(failure) => Err(failure.clone()),
    };
    match read {
        Ok(returned) => succeed(called, policy, ours, &returned, limits, warnings),
        Err(failure) => fail(called, policy, ours, failure),
    }
}

/// The members of a 200 answer's content; none where they are not looked at.
fn content(
    called: Called<'_>,
    answer: &Answer,
    policy: &HookPolicy,
    limits: &Limits,
    warnings: &mut Vec<String>,
) -> Result<Fields, Failure> {
    let hook = called.hook;
    let read = match std::str::from_utf8(&answer.content) {
        _ if answer.cut => Err("longer than wcs_answer_bytes".to_owned()),
        Ok(text) if text.trim_ascii().is_empty() => Ok(Fields::new()),
        Ok(text) => facts(text, limits),
        Err(_) => Err("not UTF-8".to_owned()),
    };
    let is_json = |media: &str| {
        media.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
    };
    match read {
        Ok(fields) => {
            if let Some(media) = answer.content_type.as_deref().filter(|media| !is_json(media)) {
                warnings.push(format!(
                    "the answer to {hook} has the content type `{media}`, not application/json"
                ));
            }
            Ok(fields)
        }
        Err(why) => {
            warnings.push(format!("the answer to {hook} is no JSON object: {why}"));
            let needed = match called.kind {
                Kind::Connect => true,
                Kind::Direct | Kind::Incoming => policy.policy == RestPolicy::Overwrite,
                Kind::Event => false,
            };
            if needed { Err(Failure::BadResponse) } else { Ok(Fields::new()) }
        }
    }
}

fn succeed(
    called: Called<'_>,
    policy: &HookPolicy,
    ours: &Fields,
    returned: &Fields,
    limits: &Limits,
    warnings: &mut Vec<String>,
) -> Outcome {
    let mut policies = None;
    if called.kind == Kind::Connect
        && let Some((_, value)) = returned.iter().find(|(name, _)| &**name == "restClientConfig")
    {
        match config::policies(value, limits, warnings) {
            Some(read) => policies = Some(read),
            None => return Outcome::Decline(Failure::BadResponse),
        }
    }
    // The entry for connect in an answer applies to that same answer.
    let policy = policies.as_ref().and_then(|policies| policies.get(called.hook)).unwrap_or(policy);
    let mut fields = ours.clone();
    if policy.policy == RestPolicy::Overwrite && called.kind != Kind::Event {
        overwrite(&mut fields, returned, &policy.overwrite);
    }
    Outcome::Proceed { fields, policies, failure: None }
}

fn overwrite(fields: &mut Fields, returned: &Fields, names: &[String]) {
    for (name, value) in returned.iter().filter(|(name, _)| names.iter().any(|wanted| **wanted == **name)) {
        match fields.iter_mut().find(|(ours, _)| ours == name) {
            Some((_, ours)) => *ours = value.clone(),
            None => fields.push((name.clone(), value.clone())),
        }
    }
}

fn fail(called: Called<'_>, policy: &HookPolicy, ours: &Fields, failure: Failure) -> Outcome {
    let proceed = |failure| Outcome::Proceed { fields: ours.clone(), policies: None, failure: Some(failure) };
    match (called.kind, policy.on_error) {
        (Kind::Connect, OnError::Log | OnError::Fail) => Outcome::Decline(failure),
        (Kind::Direct | Kind::Incoming | Kind::Event, OnError::Log) => proceed(failure),
        (Kind::Event, OnError::Fail) if called.hook == STREAM_KEEP_ALIVE => Outcome::Terminate(failure),
        (Kind::Event, OnError::Fail) => Outcome::Tell(failure),
        (Kind::Direct | Kind::Incoming, OnError::Fail) => {
            let told = failed(called.hook, ours, &failure.info(called.hook));
            Outcome::Stop(failure, told)
        }
    }
}

/// What routes an event to what it is about, in the client.
const ROUTING: [&str; 5] = ["mediaSessionId", "callId", "operationId", "id", "name"];

fn status_fields(ours: &[(Box<str>, Fact)], status: &str, info: Option<&str>) -> Fields {
    let routes = ours.iter().filter(|(name, _)| ROUTING.contains(&&**name));
    let mut fields: Fields = routes.cloned().collect();
    fields.push(("status".into(), Fact::Text(status.into())));
    if let Some(info) = info {
        fields.push(("info".into(), Fact::Text(info.into())));
    }
    fields
}

/// The event that tells a client that an operation failed, if it has one of its own.
#[must_use]
pub fn failed(hook: &str, ours: &[(Box<str>, Fact)], info: &str) -> Option<(&'static str, Fields)> {
    own_event(hook).map(|event| (event, status_fields(ours, "FAILED", Some(info))))
}

/// The event that tells a client of success, where the hook's operation has one: `sendData` alone is complete without
/// anybody else.
#[must_use]
pub fn accepted(hook: &str, ours: &Fields) -> Option<(&'static str, Fields)> {
    (hook == ON_DATA).then(|| ("DataStatusEvent", status_fields(ours, "ACCEPTED", None)))
}

/// What a client may see of an event's fields: `clientExclude`, and `sipPassword` never.
#[must_use]
pub fn for_client(fields: &Fields, policy: &HookPolicy) -> Fields {
    let seen =
        |name: &str| name != "sipPassword" && !policy.client_exclude.iter().any(|excluded| excluded == name);
    fields.iter().filter(|(name, _)| seen(name)).cloned().collect()
}

#[cfg(test)]
mod tests;

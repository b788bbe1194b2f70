//! The receiver of a subscription's callbacks: its notify URL. Letters come to it by name alone, each a document as it
//! stood when the state changed, and leave one at a time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::change::Change;
use super::state::{Form, How, Subscription};
use super::{NAME, json, render};
use crate::dialect::destination::request::content;
use crate::dialect::destination::{USER_AGENT, again};
use crate::event::vocabulary::Vocabulary;
use crate::event::{Data, Event, Fact};
use crate::ground::config::Config;
use crate::ground::id::Seq;
use crate::ground::time::Wall;
use crate::hub::Hub;
use crate::hub::call::{Answer, Target, Tls};
use crate::log::record::{Actor, Body};
use crate::outbox::change::{self as outbox, By, When};
use crate::outbox::receiver::{Judgement, Letter, Policy, Receiver, Wrong};
use crate::wire::http::url::Url;

/// The type of the event that is a letter. It goes nowhere but to its callback.
const CALLBACK: &str = "sip.callback";

/// A document on its way, with what its head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// `Content-Type`.
    pub content_type: String,
    /// Further header fields.
    pub fields: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// What the log says of such a destination.
#[derive(Debug, Serialize, Deserialize)]
struct Spec {
    url: Box<str>,
    /// The subscription's own URL.
    location: Box<str>,
}

/// A notify URL.
#[derive(Debug)]
pub struct Callback {
    url: Url,
    target: Arc<Target>,
    /// The head as far as it is always the same.
    head: Box<str>,
    policy: Policy,
}

/// The name of a subscription's destination.
#[must_use]
pub fn name_of(id: Uuid) -> Box<str> {
    format!("{NAME}/{id}").into_boxed_str()
}

/// The subscription of a destination.
#[must_use]
pub fn subscription_of(name: &str) -> Option<Uuid> {
    name.strip_prefix(NAME)?.strip_prefix('/')?.parse().ok()
}

/// The change that tells the outbox where a subscription's callbacks go.
#[must_use]
pub fn put(id: Uuid, url: &str, location: &str) -> Body {
    let spec = Spec { url: url.into(), location: location.into() };
    let spec = serde_json::to_string(&spec).expect("plain data without maps is always JSON").into_boxed_str();
    let (name, kind) = (name_of(id), NAME.into());
    let put = outbox::Change::Put { name, kind, spec, by: By::Api, when: When::Always };
    Body::Change(outbox::PART, put.encode())
}

/// The change that takes the destination away; what still waits there is dead.
#[must_use]
pub fn removed(id: Uuid) -> Body {
    let removed = outbox::Change::Removed { name: name_of(id), by: By::Api };
    Body::Change(outbox::PART, removed.encode())
}

/// The letter that tells a subscription's callback how it stands; `None`: nobody is to be told. `at`: when it came to be so.
/// A letter of the same version and time is the same delivery.
#[must_use]
pub fn letter(of: &Subscription, at: Wall, now: Wall, config: &Config) -> Option<Body> {
    if !of.is_called() {
        return None;
    }
    let (id, version) = (of.id, of.version);
    let document = match of.form {
        Form::Xml => render::document(of, config),
        Form::Json => json::document(of),
    };
    let text = |text: String| Fact::Text(text.into());
    let mut facts = vec![("content_type".into(), text(document.content_type))];
    facts.extend(document.fields.into_iter().map(|(name, value)| (Box::from(name), text(value))));
    facts.push(match String::from_utf8(document.body) {
        Ok(body) => (CONTENT.into(), text(body)),
        Err(e) => (CONTENT_BASE64.into(), text(data_encoding::BASE64.encode(e.as_bytes()))),
    });
    let event = Event {
        id: format!("{id}.{version}").into(),
        id_given: false,
        source: config.native.source.as_str().into(),
        event_type: CALLBACK.into(),
        subject: Some(format!("subscription/{id}").into()),
        time: at.to_rfc3339().into(),
        wall: at,
        content_type: None,
        schema: None,
        extensions: Vec::new(),
        data: Data::Facts(facts),
    };
    let letter = outbox::Carried::new(name_of(id), NAME, Seq(version), now, Arc::new(event));
    Some(Body::Change(outbox::PART, letter.encode()))
}

/// A callback has answered 410: its subscription ends.
pub fn disabled(hub: &mut Hub, destination: &str) {
    if let Some(id) = subscription_of(destination) {
        let change = Change::Ended { id, how: How::Gone };
        hub.append(Actor::Server(NAME), None, true, true, Body::Change(NAME, change.encode()));
    }
}

const CONTENT: &str = "content";
const CONTENT_BASE64: &str = "content_base64";

impl Callback {
    /// The callback that a specification names.
    ///
    /// # Errors
    /// Its URL is none.
    pub fn read(spec: &str, policy: Policy, config: &Config) -> Result<Callback, Wrong> {
        let wrong = |key: &str, detail: String| Wrong { key: key.to_owned(), detail };
        let Spec { url, location } = serde_json::from_str(spec).map_err(|e| wrong("", e.to_string()))?;
        let url = Url::parse(&url).map_err(|fault| wrong("url", fault.to_string()))?;
        let tls = url.https.then(Tls::default).map(Arc::new);
        let target = Target { host: url.host.clone(), port: url.port, tls, trusted: false };
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\nContent-Location: {location}\r\n",
            url.target, url.authority
        );
        let pending_max = Some(config.limits.sep_callbacks);
        let policy = Policy { concurrency: 1, pending_max, ..policy };
        Ok(Callback { url, target: Arc::new(target), head: head.into(), policy })
    }
}

impl Receiver for Callback {
    fn listens(&self) -> bool {
        false
    }

    fn wants(&self, _event: &Event, _vocabulary: &Vocabulary) -> bool {
        false
    }

    /// One after the other, the next only when the one before has arrived or is dead.
    fn order(&self, _event: &Event) -> Option<Box<str>> {
        Some(NAME.into())
    }

    fn request(&self, letters: &[Letter<'_>], _wall: Wall, _vocabulary: &Vocabulary) -> Vec<u8> {
        let Some(letter) = letters.first() else { return Vec::new() };
        let mut out = self.head.as_bytes().to_vec();
        let mut field = |name: &str, value: &str| {
            for part in [name, ": ", value, "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        };
        field("Offhook-Delivery-Id", &letter.id.to_string());
        let mut body = Vec::new();
        for (name, fact) in letter.event.facts() {
            let value = fact.as_text().unwrap_or_default();
            match &**name {
                "content_type" => field("Content-Type", value),
                CONTENT => body = value.as_bytes().to_vec(),
                CONTENT_BASE64 => {
                    body = data_encoding::BASE64.decode(value.as_bytes()).unwrap_or_default();
                }
                name => field(name, value),
            }
        }
        content(&mut out, |out| out.extend_from_slice(&body));
        out
    }

    fn summary(&self, _letter: Letter<'_>, _vocabulary: &Vocabulary) -> String {
        format!("POST {}", self.url)
    }

    fn judge(&self, answer: &Answer) -> Judgement {
        match answer.status {
            200..=299 => Judgement::Done,
            410 => Judgement::Disable { reason: "the answer was 410: the client wants no more".to_owned() },
            _ => again(answer),
        }
    }

    fn target(&self) -> &Arc<Target> {
        &self.target
    }

    fn policy(&self) -> &Policy {
        &self.policy
    }
}

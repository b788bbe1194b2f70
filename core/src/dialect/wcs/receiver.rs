//! The backend of an application as a receiver of the outbox: for hooks that failed and are to be tried again
//! (`redeliver`), and for dead letters that an operator sends again. No event comes here by itself.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::hook::{Backend, body, fields};
use super::queue::lane;
use crate::event::Event;
use crate::event::vocabulary::{Tongue, Vocabulary};
use crate::ground::config::{Config, WcsApp};
use crate::ground::limits::Limits;
use crate::ground::time::Wall;
use crate::hub::call::{Answer, Target};
use crate::outbox::receiver::{Judgement, Letter, Policy, Receiver, Wrong};

/// A backend that gets hooks late.
#[derive(Debug)]
pub struct Late {
    app: WcsApp,
    backend: Backend,
    node_id: String,
    policy: Policy,
}

/// What the log says of such a destination; all else is the application's.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Spec {
    pub(super) app: Box<str>,
    pub(super) node_id: Box<str>,
}

impl Late {
    /// The backend that a specification names; `policy`: what `[outbox]` says.
    ///
    /// # Errors
    /// The application is gone, or its URL is none.
    pub fn read(spec: &str, policy: Policy, config: &Config) -> Result<Late, Wrong> {
        let wrong = |key: &str, detail: String| Wrong { key: key.to_owned(), detail };
        let spec: Spec = serde_json::from_str(spec).map_err(|e| wrong("", e.to_string()))?;
        let app = config.wcs.app(&spec.app);
        let app = app.ok_or_else(|| wrong("app", format!("there is no [wcs.apps.{}]", spec.app)))?;
        Late::new(app, &spec.node_id, policy, &config.limits).map_err(|e| wrong("url", e))
    }

    /// The backend of an application.
    ///
    /// # Errors
    /// What is wrong with its URL.
    pub fn new(app: &WcsApp, node_id: &str, policy: Policy, limits: &Limits) -> Result<Late, String> {
        let policy = Policy {
            give_up_after_ms: app.redeliver_ms,
            concurrency: u32::try_from(limits.wcs_calls_per_app).unwrap_or(u32::MAX),
            connect_ms: limits.wcs_connect_ms,
            total_ms: app.timeout_ms,
            ..policy
        };
        Ok(Late { backend: Backend::new(app)?, app: app.clone(), node_id: node_id.to_owned(), policy })
    }

    fn hook<'v>(&self, event: &Event, vocabulary: &'v Vocabulary) -> &'v str {
        vocabulary.word(&event.event_type, Tongue::Wcs).unwrap_or_default()
    }
}

impl Receiver for Late {
    fn listens(&self) -> bool {
        false
    }

    fn wants(&self, _event: &Event, _vocabulary: &Vocabulary) -> bool {
        false
    }

    fn order(&self, event: &Event) -> Option<Box<str>> {
        Some(lane(event).into_boxed_str())
    }

    fn request(&self, letters: &[Letter<'_>], _wall: Wall, vocabulary: &Vocabulary) -> Vec<u8> {
        let Some(letter) = letters.first() else { return Vec::new() };
        let hook = self.hook(letter.event, vocabulary);
        let exclude = self.app.policies.get(hook).map_or(&[][..], |policy| &policy.rest_exclude);
        let session_id = letter.event.extension("sessionid").unwrap_or_default();
        let body = body(&self.node_id, &self.app.key, session_id, &fields(letter.event), exclude);
        self.backend.request(hook, &body)
    }

    fn summary(&self, letter: Letter<'_>, vocabulary: &Vocabulary) -> String {
        format!("POST {}", self.backend.address(self.hook(letter.event, vocabulary)))
    }

    fn judge(&self, answer: &Answer) -> Judgement {
        match answer.status {
            200 => Judgement::Done,
            status => Judgement::Retry { reason: format!("HTTP {status}"), after_ms: answer.retry_after_ms },
        }
    }

    fn target(&self) -> &Arc<Target> {
        self.backend.target()
    }

    fn policy(&self) -> &Policy {
        &self.policy
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::dialect::wcs::tests::{VENDOR_BODY, vendor_event};
    use crate::ground::id::Seq;

    #[test]
    fn w42_a_dead_hook_is_sent_again_as_it_was() {
        let app = WcsApp {
            url: "http://192.168.1.101/rest/my_api".to_owned(),
            redeliver_ms: 86_400_000,
            ..WcsApp::default()
        };
        let node = "Hw47CFMBEchVOpBMDr29IxjudnJ1sjOY@192.168.1.101";
        let said = Policy { cap_ms: 20_000, ..Policy::default() };
        let late = Late::new(&app, node, said, &Limits::default()).unwrap();
        let event = vendor_event();
        let vocabulary = Vocabulary::new(&[]);
        let letter = Letter { id: Uuid::nil(), seq: Seq(1), event: &event, attempts: 0 };
        let request = late.request(&[letter], Wall(0), &vocabulary);
        let request = String::from_utf8(request).unwrap();
        assert!(request.starts_with("POST /rest/my_api/StreamStatusEvent HTTP/1.1\r\n"), "{request}");
        assert!(request.ends_with(VENDOR_BODY));
        let address = "POST http://192.168.1.101/rest/my_api/StreamStatusEvent";
        assert_eq!(late.summary(letter, &vocabulary), address);
        assert!(!late.wants(&event, &vocabulary) && late.policy().give_up_after_ms == 86_400_000);
        assert_eq!(late.policy().cap_ms, 20_000, "as `[outbox] retry` says");
        assert!(late.order(&event).unwrap().starts_with("session/"));
        let answer =
            |status| Answer { status, retry_after_ms: None, content_type: None, content: vec![], cut: false };
        assert_eq!(late.judge(&answer(200)), Judgement::Done);
        assert!(matches!(late.judge(&answer(204)), Judgement::Retry { .. }));
    }
}

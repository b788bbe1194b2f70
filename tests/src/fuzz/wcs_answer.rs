//! What a WCS backend answers: statuses, content, and the `restClientConfig` in it.

use offhook_core::dialect::native::read::facts;
use offhook_core::dialect::wcs::hook::{Fields, body};
use offhook_core::dialect::wcs::judge::{Called, Outcome, for_client, judge};
use offhook_core::dialect::wcs::table::Kind;
use offhook_core::event::Fact;
use offhook_core::ground::config::{HookPolicy, OnError, RestPolicy};
use offhook_core::ground::limits::Limits;
use offhook_core::hub::call::Answer;

const KINDS: [(&str, Kind); 4] = [
    ("connect", Kind::Connect),
    ("publishStream", Kind::Direct),
    ("StreamStatusEvent", Kind::Event),
    ("OnCallEvent", Kind::Incoming),
];

/// Judges `data` as the content of an answer, after two bytes that choose the status and the policy.
pub fn run(data: &[u8]) {
    let [status, choice, content @ ..] = data else { return };
    let status = if status % 4 == 0 { 200 + u16::from(*status) } else { 200 };
    let policy = HookPolicy {
        on_error: if choice & 1 == 0 { OnError::Log } else { OnError::Fail },
        policy: if choice & 2 == 0 { RestPolicy::Notify } else { RestPolicy::Overwrite },
        overwrite: vec!["sipLogin".to_owned(), "nodeId".to_owned(), "sipPassword".to_owned()],
        ..HookPolicy::default()
    };
    let text = |value: &str| Fact::Text(value.into());
    let ours: Fields = vec![("sipLogin".into(), text("ours")), ("status".into(), text("PENDING"))];
    let cut = choice & 4 != 0;
    let answer = Answer { status, retry_after_ms: None, content_type: None, content: content.to_vec(), cut };
    for (hook, kind) in KINDS {
        let called = Called { hook, kind };
        let judged = |warnings: &mut Vec<String>| {
            judge(called, &policy, &ours, Ok(&answer), &Limits::default(), warnings)
        };
        let outcome = judged(&mut Vec::new());
        assert_eq!(outcome, judged(&mut Vec::new()), "the same answer means the same");
        check(kind, status, &ours, &outcome);
    }
}

fn check(kind: Kind, status: u16, ours: &Fields, outcome: &Outcome) {
    match outcome {
        Outcome::Proceed { fields, policies, failure } => {
            assert!(failure.is_some() || status == 200, "200 alone is success");
            assert!(policies.is_none() || kind == Kind::Connect, "only connect brings policies");
            let kept = ours.iter().zip(fields).all(|((name, _), (now, _))| name == now);
            assert!(kept && fields.len() >= ours.len(), "fields are replaced or added, never lost");
            assert!(kind != Kind::Event || fields == ours, "an event has gone to the client already");
            let body = body("node", "app", "session", fields, &[]);
            let limits = Limits { event_names: u64::MAX, ..Limits::default() };
            let text = std::str::from_utf8(&body).expect("JSON is UTF-8");
            let read = facts(text, &limits).expect("a body is one JSON object without a name twice");
            let first = br#"{"nodeId":"node","appKey":"app","sessionId":"session","#;
            assert!(body.starts_with(first) && read.len() >= 3, "ours come first and stay ours");
            let seen = for_client(fields, &HookPolicy::default());
            assert!(seen.iter().all(|(name, _)| &**name != "sipPassword"), "a SIP password stays here");
        }
        Outcome::Decline(_) => assert_eq!(kind, Kind::Connect),
        Outcome::Stop(failure, _) => {
            assert!(matches!(kind, Kind::Direct | Kind::Incoming), "{failure:?}");
        }
        Outcome::Tell(_) => assert_eq!((kind, status == 200), (Kind::Event, false)),
        Outcome::Terminate(failure) => panic!("no stream keepalive was called: {failure:?}"),
    }
}

//! A peer that says whatever comes into its head: nobody is asked in a loop, and nothing is left after the end.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// What the peer does next.
#[derive(Clone, Debug)]
enum Whim {
    Answer(u16, Vec<(&'static str, &'static str)>),
    Notify {
        cseq: u32,
        state: &'static str,
        fields: Vec<(&'static str, &'static str)>,
    },
    Wait(u64),
    /// Not the peer's: somebody wants the whole state, or another end, or another try.
    Refresh,
    Extend(u64),
    Retry,
}

const STATES: &[&str] = &[
    "active",
    "active;expires=0",
    "active;expires=1",
    "active;expires=4294967295",
    "pending;expires=99999999999999",
    "terminated",
    "terminated;reason=deactivated",
    "terminated;reason=timeout;retry-after=0",
    "terminated;reason=probation;retry-after=0",
    "terminated;reason=giveup;retry-after=4294967295",
    "terminated;reason=rejected",
    "moon;expires=5",
    ";",
];

const STATUSES: &[u16] =
    &[200, 202, 299, 300, 302, 400, 401, 404, 407, 408, 421, 423, 480, 481, 489, 500, 503, 600, 699];

const FIELDS: &[(&str, &str)] = &[
    ("Expires", "0"),
    ("Expires", "4294967296"),
    ("Min-Expires", "0"),
    ("Min-Expires", "4294967295"),
    ("Retry-After", "0"),
    ("Retry-After", "4294967295"),
    ("Contact", "<sip:192.0.2.9>"),
    ("Contact", "<sip:a@192.0.2.9?x=y>, <sip:b@192.0.2.9>"),
    ("Contact", "*"),
    ("Contact", ""),
    ("Record-Route", "<sip:192.0.2.9>, <sip:192.0.2.9;lr>"),
    ("Record-Route", "nonsense"),
    ("Require", "eventlist"),
    ("WWW-Authenticate", "Digest realm=\"a\", nonce=\"1\", qop=\"auth\""),
    ("WWW-Authenticate", "Digest realm=\"a\", nonce=\"2\", stale=true"),
    ("Proxy-Authenticate", "Digest realm=\"b\", nonce=\"3\""),
    ("From", "<sip:alice@192.0.2.9>;tag=p2"),
    ("From", "<sip:alice@192.0.2.9>"),
    ("Event", "dialog;id=1"),
    ("Event", "reg"),
];

fn whim() -> impl Strategy<Value = Whim> {
    let fields = || prop::collection::vec(select(FIELDS), 0..4);
    prop_oneof![
        4 => (select(STATUSES), fields()).prop_map(|(status, fields)| Whim::Answer(status, fields)),
        4 => (0_u32..20, select(STATES), fields())
            .prop_map(|(cseq, state, fields)| Whim::Notify { cseq, state, fields }),
        3 => (0_u64..200_000).prop_map(Whim::Wait),
        1 => Just(Whim::Refresh),
        1 => (0_u64..10_000).prop_map(Whim::Extend),
        1 => Just(Whim::Retry),
    ]
}

proptest! {
    #[test]
    fn whatever_a_peer_says(seed: u64, whims in prop::collection::vec(whim(), 1..60)) {
        let mut stage = Stage::with(seed, 0);
        stage.subscribe(wanted());
        let mut latest = stage.request();
        for whim in whims {
            let (sent, before) = (stage.seen.len(), stage.now.mono);
            match whim {
                Whim::Answer(status, fields) => stage.answer(&latest, status, &fields),
                Whim::Notify { cseq, state, fields } => {
                    let message = stage.notify_message(&latest, cseq, state, &fields, "<a/>");
                    stage.receive(&message);
                    prop_assert!(stage.responses.len() <= 1);
                    stage.responses.clear();
                }
                Whim::Wait(ms) => stage.pass(ms),
                Whim::Refresh => {
                    if let Some(number) = stage.numbers.last().copied() {
                        stage.subscriber.refresh(stage.now, KEY, number);
                    }
                }
                Whim::Extend(s) => {
                    let until = stage.in_s(s);
                    stage.subscriber.extend(stage.now, KEY, until);
                }
                Whim::Retry => stage.subscriber.retry(stage.now, KEY),
            }
            stage.collect();
            stage.events();
            // Each whim has one SUBSCRIBE for an answer, each dialog that grants nothing one in a second.
            let seconds = stage.now.mono.since(before) / 900;
            let most = 2 + 9 * seconds as usize;
            prop_assert!(stage.seen.len() - sent <= most, "{} in {seconds}", stage.seen.len() - sent);
            if let Some(request) = stage.requests.drain(..).next_back() {
                latest = request;
            }
        }
        stage.subscriber.unsubscribe(stage.now, KEY);
        stage.pass(32_000);
        let said = stage.events();
        prop_assert_eq!(said.last().map(String::as_str), Some("over"));
        prop_assert!(stage.saved.is_empty());
        stage.assert_empty();
    }
}

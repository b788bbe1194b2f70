//! A network that loses, doubles and reorders: every request has exactly one outcome, every NOTIFY is asked at most once,
//! and nothing is left behind.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Endpoint, Held, Link, Settings, World, notify, settings};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn s21_each_notify_is_asked_once_and_each_request_has_one_outcome(
        seed in any::<u64>(),
        loss_percent in 0_u64..60,
        doubled_percent in 0_u64..60,
        // Copies of a request that stay on the way for longer than Timer J allows for are requests of their own.
        delay_max_ms in 0_u64..450,
        answers_within_ms in prop_oneof![Just(Some(0)), Just(Some(3_000)), Just(None)],
        per_s in prop_oneof![Just(0_u32), Just(5), Just(50)],
        long in any::<bool>(),
        requests in 1_u64..40,
    ) {
        let link = Link { loss_percent, doubled_percent, delay_max_ms };
        let mut world = World::new(seed, link, [0, 1].map(settings));
        let paced = Settings { requests_per_second: per_s, ..settings(0) };
        world.ends[0].endpoint = Endpoint::new(paced, seed);
        world.ends[1].answers_within_ms = answers_within_ms;
        world.ends[1].refuses = long && seed % 2 == 0;
        for key in 0..requests {
            let mut request = notify(1, key);
            if long && key % 2 == 0 {
                request.body = vec![b'x'; 2_000];
            }
            world.request(0, key, request);
            world.run_for(seed % 100);
        }
        world.run_out();

        let asked = world.asked(1);
        let once: BTreeSet<&str> = asked.iter().copied().collect();
        prop_assert_eq!(asked.len(), once.len(), "each is asked once");
        let mut answered = 0;
        for key in 0..requests {
            let outcome = world.outcome(0, key);
            prop_assert!(["200", "TimerF"].contains(&&*outcome), "{}", outcome);
            answered += u64::from(outcome == "200");
            let was_asked = once.contains(&*key.to_string());
            prop_assert!(was_asked || outcome != "200", "nothing else answers {}", key);
        }
        if loss_percent == 0 && answers_within_ms.is_some() {
            prop_assert_eq!(answered, requests);
            prop_assert_eq!(world.ends[0].endpoint.counted().stray_responses, 0);
        }
        if answers_within_ms.is_none() {
            prop_assert_eq!(answered, 0);
        }
        for end in &world.ends {
            prop_assert_eq!(end.endpoint.held(), Held::default());
        }
    }
}

//! The simulator itself: seeds pass, a seed gives the same trace each time, and deliberate bugs are caught.

use offhook_tests::simulator::sabotage::Sabotage;
use offhook_tests::simulator::swarm::{Clients, Swarm};
use offhook_tests::simulator::{Outcome, run_changed};

/// Seeds that a bug may take until it is caught.
const SEEDS_MAX: u64 = 60;

/// The faults of a seed end soon: a debug build is slow.
fn run(seed: u64, bug: Option<Sabotage>, keeps_lines: bool) -> Outcome {
    run_changed(seed, |swarm| swarm.faults_ms = swarm.faults_ms.min(8_000), bug, keeps_lines)
}

#[test]
fn seeds_pass_and_repeat() {
    for seed in 0..6 {
        let Outcome { hash, failure, .. } = run(seed, None, false);
        assert_eq!(failure, None, "seed {seed}");
        assert_eq!(run(seed, None, true).hash, hash, "seed {seed}: the same seed, another trace");
    }
}

/// Whether one of the seeds notices this bug.
fn is_caught(bug: Sabotage) -> bool {
    (0..SEEDS_MAX).any(|seed| run(seed, Some(bug), false).failure.is_some())
}

/// Whether it is noticed where these clients live alone, and the server is killed often.
fn is_caught_among(clients: Clients, bug: Sabotage) -> bool {
    let change = |swarm: &mut Swarm| {
        (swarm.clients, swarm.faults_ms, swarm.faults.kill_ms) = (clients, 20_000, Some(4_000));
    };
    (0..SEEDS_MAX).any(|seed| run_changed(seed, change, Some(bug), false).failure.is_some())
}

const READERS: Clients = Clients { publishers: 1, readers: 2, webhooks: 1, ..NOBODY };
const SUBSCRIBERS: Clients = Clients { publishers: 1, subscribers: 2, ..NOBODY };
const NOBODY: Clients = Clients {
    publishers: 0,
    readers: 0,
    xms: 0,
    isymphony: 0,
    webhooks: 0,
    wcs: 0,
    isr: 0,
    subscribers: 0,
    strangers: 0,
};

#[test]
fn an_acknowledgement_before_the_sync_is_caught() {
    assert!(is_caught(Sabotage::AcknowledgeBeforeTheSync));
}

#[test]
fn a_record_that_a_shard_never_gets_is_caught() {
    assert!(is_caught(Sabotage::LoseARecordOfAnotherShard));
}

#[test]
fn a_flush_that_is_forgotten_is_caught() {
    assert!(is_caught(Sabotage::ForgetAFlush));
}

#[test]
fn deadlines_that_pass_unnoticed_are_caught() {
    assert!(is_caught(Sabotage::SleepThroughDeadlines));
}

#[test]
fn a_record_that_a_start_passes_over_is_caught() {
    assert!(is_caught_among(READERS, Sabotage::ForgetALastRecord));
}

#[test]
fn a_sync_that_does_nothing_is_caught() {
    assert!(is_caught(Sabotage::SkipASync));
}

#[test]
fn bytes_that_come_twice_are_caught() {
    assert!(is_caught(Sabotage::RepeatARead));
}

#[test]
fn an_epoch_that_may_begin_twice_is_caught() {
    assert!(is_caught_among(READERS, Sabotage::ServeBeforeTheEpoch));
}

#[test]
fn damage_that_goes_unnoticed_is_caught() {
    assert!(is_caught_among(READERS, Sabotage::OverlookDamage));
}

#[test]
fn a_dialog_that_is_never_ended_is_caught() {
    assert!(is_caught_among(SUBSCRIBERS, Sabotage::KeepDialogs));
}

#[test]
fn a_notify_that_is_never_answered_is_caught() {
    assert!(is_caught_among(SUBSCRIBERS, Sabotage::LeaveNotifiesUnanswered));
}

#[test]
fn a_byte_that_is_harmed_under_its_seal_is_caught() {
    assert!(is_caught(Sabotage::HarmASealedByte));
}

/// An event that nobody took counts as delivered, and a session begins that its backend has refused.
#[test]
fn a_refusal_that_arrives_as_a_consent_is_caught() {
    assert!(is_caught(Sabotage::TurnARefusal));
}

/// What a client had is held for good.
#[test]
fn a_client_that_goes_unnoticed_is_caught() {
    assert!(is_caught(Sabotage::LoseAnEnd));
}

/// Keys are new on each run: with a sealed byte in it a trace is another one each time, and without it the same.
#[test]
fn the_trace_is_the_same_because_no_sealed_byte_is_in_it() {
    let sealed = |swarm: &mut Swarm| (swarm.sealed_percent, swarm.faults_ms) = (100, 2_000);
    let hash = |seed, sabotage| run_changed(seed, sealed, sabotage, false).hash;
    for seed in [0, 2] {
        assert_eq!(hash(seed, None), hash(seed, None), "seed {seed}");
        let noted = Some(Sabotage::NoteSealedBytes);
        assert_ne!(hash(seed, noted), hash(seed, noted), "seed {seed}");
    }
}

//! Whole servers with their disks, networks and clients: the simulator, for a short time. Eight bytes are the seed; what
//! follows switches faults and clients off and sets what is quick to set, so that a fuzzer finds its way from one world to
//! a neighbouring one.

use crate::simulator::swarm::Swarm;
use crate::simulator::{Outcome, run_changed};

/// How long faults go on at most.
const FAULTS_MS_MAX: u64 = 8_000;

/// Plays the world that `data` chooses.
///
/// # Panics
/// If one of its invariants is broken.
pub fn run(data: &[u8]) {
    let (seed, switches) = data.split_at(data.len().min(8));
    let mut bytes = [0; 8];
    bytes[..seed.len()].copy_from_slice(seed);
    let seed = u64::from_le_bytes(bytes);
    let Outcome { failure, .. } = run_changed(seed, |swarm| switch(swarm, switches), None, false);
    if let Some((what, _)) = failure {
        panic!("seed {seed}, switches {switches:02x?}: {what}");
    }
}

/// A bit that is set switches something off; beyond the last byte nothing is switched.
fn switch(swarm: &mut Swarm, switches: &[u8]) {
    swarm.faults_ms = swarm.faults_ms.min(FAULTS_MS_MAX);
    let is_off = |at: usize| switches.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1);
    let Swarm { faults, clients, weather, sealed_percent, disk_ms, shard_ms, shards, .. } = swarm;
    let means = [
        &mut faults.kill_ms,
        &mut faults.power_ms,
        &mut faults.cut_ms,
        &mut faults.stall_ms,
        &mut faults.pause_ms,
        &mut faults.wall_ms,
        &mut faults.full_ms,
        &mut faults.sync_ms,
        &mut faults.stop_ms,
    ];
    let mut at = 0..;
    let mut off = || at.next().is_some_and(is_off);
    for mean in means {
        // The world is short: what comes, comes soon.
        *mean = mean.filter(|_| !off()).map(|mean| mean / 4);
    }
    let numbers = [
        &mut faults.flip_percent,
        &mut faults.datagram_percent,
        &mut faults.dial_percent,
        &mut clients.readers,
        &mut clients.xms,
        &mut clients.isymphony,
        &mut clients.webhooks,
        &mut clients.isr,
        &mut clients.wcs,
        &mut clients.subscribers,
        &mut clients.strangers,
        &mut weather.delay_ms,
        sealed_percent,
        disk_ms,
        shard_ms,
    ];
    for number in numbers {
        if off() {
            *number = 0;
        }
    }
    if off() {
        *shards = 1;
    }
}

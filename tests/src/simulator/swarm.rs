//! What a seed is about: which clients there are, which faults come and how often, and how small the bounds are. Each
//! seed turns features on and off for itself (swarm testing: a fault that is always there hides those that need it to
//! be absent).

use offhook_core::Config;
use offhook_core::ground::config::{Listener, Only, Retry, SipCredential, SipListener, SipTransport, User};
use offhook_core::ground::rng::Rng;

use crate::memory::checks;

/// How a link of the network is.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// The longest time that bytes take.
    pub delay_ms: u64,
    /// Bytes that are on their way at most, which is what the kernels of both sides hold.
    pub window: usize,
    /// Reads and deliveries are cut into pieces.
    pub splits: bool,
}

/// How often faults come: the mean time between two of a kind; `None`: never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The process is killed.
    pub kill_ms: Option<u64>,
    /// The power goes.
    pub power_ms: Option<u64>,
    /// A connection is reset.
    pub cut_ms: Option<u64>,
    /// A connection carries nothing for a while.
    pub stall_ms: Option<u64>,
    /// A shard does not get the processor for a while.
    pub pause_ms: Option<u64>,
    /// The wall clock jumps.
    pub wall_ms: Option<u64>,
    /// The disk is full for a while.
    pub full_ms: Option<u64>,
    /// A sync or a write fails.
    pub sync_ms: Option<u64>,
    /// The server is stopped as one does it with SIGTERM.
    pub stop_ms: Option<u64>,
    /// A bit of the log flips while the server is down; per start, in hundredths.
    pub flip_percent: u64,
    /// Of a hundred datagrams: how many are lost, come twice, or come late.
    pub datagram_percent: u64,
    /// Of a hundred connections or names that the server tries: how many fail.
    pub dial_percent: u64,
}

/// One seed's choice.
#[derive(Clone, Debug)]
pub struct Swarm {
    /// Engines.
    pub shards: u16,
    /// How long faults go on.
    pub faults_ms: u64,
    /// The network.
    pub weather: Weather,
    /// Of a hundred connections of clients: how many are sealed.
    pub sealed_percent: u64,
    /// The longest time of one operation of the disk.
    pub disk_ms: u64,
    /// The longest time until a shard that has something to do does it.
    pub shard_ms: u64,
    /// What goes wrong.
    pub faults: Faults,
    /// Clients of each kind.
    pub clients: Clients,
    /// What the server is told.
    pub config: Config,
}

/// How many clients there are of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clients {
    /// Publishers.
    pub publishers: u64,
    /// Readers of Server-Sent Events.
    pub readers: u64,
    /// Clients of XMS.
    pub xms: u64,
    /// Websockets of iSymphony.
    pub isymphony: u64,
    /// Webhooks and their receivers.
    pub webhooks: u64,
    /// Sessions of WCS.
    pub wcs: u64,
    /// Receivers of ISR.
    pub isr: u64,
    /// Subscribers to SIP events.
    pub subscribers: u64,
    /// Strangers who send what no client sends.
    pub strangers: u64,
}

impl Swarm {
    /// What this seed chooses.
    #[must_use]
    pub fn draw(rng: &mut Rng) -> Swarm {
        let mut one_in = |n: u64| rng.below(n) == 0;
        // Half of all seeds have half of all features.
        let calm = one_in(6);
        let mut fault = |mean_ms: u64| (!calm && one_in(2)).then_some(mean_ms);
        let mut faults = Faults {
            kill_ms: fault(20_000),
            power_ms: fault(25_000),
            cut_ms: fault(1_500),
            stall_ms: fault(3_000),
            pause_ms: fault(4_000),
            wall_ms: fault(9_000),
            full_ms: fault(20_000),
            sync_ms: fault(40_000),
            stop_ms: fault(45_000),
            ..Faults::default()
        };
        if !calm {
            faults.flip_percent = [0, 0, 30][rng.below(3) as usize];
            faults.datagram_percent = [0, 5, 30][rng.below(3) as usize];
            faults.dial_percent = [0, 5, 40][rng.below(3) as usize];
        }
        let mut some = |most: u64| rng.below(most + 1);
        let clients = Clients {
            publishers: 1 + some(3),
            readers: some(3),
            xms: some(2),
            isymphony: some(2),
            webhooks: some(2),
            wcs: some(2),
            isr: some(2),
            subscribers: some(2),
            strangers: some(1),
        };
        let swarm = Swarm {
            shards: 1 + rng.below(3) as u16,
            faults_ms: 20_000 + rng.below(60_000),
            weather: Weather {
                delay_ms: [0, 1, 20, 400][rng.below(4) as usize],
                window: [2_000, 20_000, 300_000][rng.below(3) as usize],
                splits: rng.below(2) == 0,
            },
            sealed_percent: [0, 30, 100][rng.below(3) as usize],
            disk_ms: [0, 2, 30, 700][rng.below(4) as usize],
            shard_ms: [0, 1, 15][rng.below(3) as usize],
            faults,
            clients,
            config: config(rng),
        };
        // One record in a second is less than what the server says of itself.
        let disk_max_ms = if swarm.config.limits.log_group_bytes == 1 { 30 } else { u64::MAX };
        Swarm { disk_ms: swarm.disk_ms.min(disk_max_ms), ..swarm }
    }
}

/// A configuration with bounds so small that they matter within a minute.
fn config(rng: &mut Rng) -> Config {
    let mut config = Config { listeners: vec![Listener::default()], ..Config::default() };
    let mut pick = |values: &[u64]| values[rng.below(values.len() as u64) as usize];
    config.limits.retained_events = pick(&[4, 60, 100_000]);
    config.limits.log_segment_bytes = pick(&[16_384, 65_536, 1 << 20]);
    config.limits.log_group_bytes = pick(&[1, 4_096, 1 << 20]);
    config.limits.log_read_bytes = pick(&[1, 4_096, 1 << 20]);
    config.limits.log_readers = pick(&[1, 32]);
    config.log.retain_bytes = pick(&[1 << 16, 1 << 18, 1 << 30]);
    config.log.retain_ms = pick(&[20_000, 86_400_000]);
    config.xms.replay_events = pick(&[5, 1_000]);
    config.limits.isymphony_backlog_events = pick(&[5, 1_000]);
    config.limits.dedup_events = pick(&[20_000, 200_000]);
    config.outbox.retry = Retry {
        first_ms: pick(&[10, 1_000]),
        cap_ms: pick(&[1_000, 20_000]),
        give_up_after_ms: pick(&[5_000, 72 * 3_600_000]),
        ..Retry::default()
    };
    config.outbox.pending_bytes = pick(&[1 << 20, 1 << 30]);
    config.outbox.allow_private = vec!["192.0.2.0/24".parse().expect("a network")];
    let password_hash = checks::hash("example-password");
    let user = User { name: "manager".to_owned(), password_hash, only: Only::default() };
    config.isymphony.users = [user].into();
    let address = "192.0.2.1:5060".parse().expect("an address");
    config.sip.listen.push(SipListener { transport: SipTransport::Udp, address, tls: None });
    config.sip.requests_per_second = pick(&[2, 50]) as u32;
    config.sip.credentials = vec![SipCredential {
        realm: "*".into(),
        hosts: Vec::new(),
        user: "gateway".into(),
        password: "example-password".into(),
    }];
    config.sep.served = true;
    config.sep.domain = "example.test".to_owned();
    config
}

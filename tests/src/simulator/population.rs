//! Who is in a world.

use offhook_core::ground::config::{Brought, HookPolicy, OnError, Tls, WcsApp};

use super::books::{RECORDINGS, RECORDINGS_FROM, STREAMS_FROM};
use super::clients::backend;
use super::clients::document::Face;
use super::clients::isymphony::Isymphony;
use super::clients::notifier::Notifier;
use super::clients::publisher::Publisher;
use super::clients::reader::Reader;
use super::clients::receiver::{Filed, Receiver};
use super::clients::served::Site;
use super::clients::stranger::Stranger;
use super::clients::subscriber::Subscriber;
use super::clients::wcs::Wcs;
use super::clients::xms::Xms;
use super::world::World;

/// The types that a client wants.
const TYPES: [&[&str]; 4] =
    [&[], &["call.ringing"], &["call.answered", "call.hangup"], &["call.ringing", "call.hangup"]];

/// The packages that a subscriber asks for.
const PACKAGES: [&str; 3] = ["message-summary", "presence", "dialog"];

impl World {
    /// Everybody whom the swarm names.
    pub(super) fn populate(&mut self) {
        let clients = self.swarm.clients;
        for number in 1..=clients.publishers {
            let think_ms = self.pick(&[5, 100, 2_000]);
            let text_bytes = self.pick(&[0, 100, 3_000]);
            self.add(Publisher::new(number, think_ms, text_bytes));
        }
        for _ in 0..clients.readers {
            let types = self.types();
            self.add(Reader::new(types));
        }
        for _ in 0..clients.xms {
            let types = self.types();
            self.add(Xms::new(types));
        }
        for _ in 0..clients.isymphony {
            let types = self.types();
            self.add(Isymphony::new(types));
        }
        let is_patient = self.swarm.config.outbox.retry.give_up_after_ms > 3_600_000;
        for number in 0..clients.webhooks {
            let batch = self.pick(&[1, 1, 20]);
            let site = self.site_of(10 + number as u8);
            self.add(Receiver::webhook(site, batch, is_patient));
        }
        if clients.isr > 0 {
            self.add(Publisher::new(RECORDINGS_FROM, 2_000, 0));
        }
        for number in 0..clients.isr {
            let site = self.site_of(20 + number as u8);
            let in_file = self.rng.below(2) == 0;
            let (receiver, filed) = Receiver::isr(site, in_file, is_patient);
            if let Some(Filed { name, spec }) = filed {
                self.books.filed(&name, &format!("\"{name}\""), &RECORDINGS);
                self.swarm.config.destinations.push(Brought { kind: "isr", name, spec });
            }
            self.add(receiver);
        }
        if clients.wcs > 0 {
            self.add_wcs(clients.wcs);
        }
        if clients.subscribers > 0 {
            let granted_s = self.pick(&[20, 90, 600]) as u32;
            let fails_percent = self.pick(&[0, 10, 40]);
            self.add(Notifier::new(granted_s, fails_percent));
        }
        for number in 0..clients.subscribers {
            let face = if self.pick(&[0, 1]) == 0 { Face::Xml } else { Face::Json };
            let event = PACKAGES[self.rng.below(PACKAGES.len() as u64) as usize];
            let lasts_s = self.pick(&[30, 300, 3_600]);
            let site = self.plain_site_of(40 + number as u8);
            self.add(Subscriber::new(site, face, event, lasts_s, is_patient));
        }
        for _ in 0..clients.strangers {
            self.add(Stranger::default());
        }
    }

    /// Pages with sessions, their backend, and who publishes their events.
    fn add_wcs(&mut self, pages: u64) {
        let site = self.site_of(30);
        let on_error = |fails: bool| if fails { OnError::Fail } else { OnError::Log };
        let (events_fail, data_may_fail) = (self.rng.below(2) == 0, self.rng.below(2) == 0);
        let policies = [("StreamStatusEvent", events_fail), ("OnDataEvent", data_may_fail)];
        let policy = |fails| HookPolicy { on_error: on_error(fails), ..HookPolicy::default() };
        let redelivers = self.rng.below(2) == 0;
        let timeout_ms = self.pick(&[5_000, 15_000]);
        self.swarm.config.wcs.apps.push(WcsApp {
            url: site.url(backend::PATH),
            hooks: backend::HOOKS.map(str::to_owned).into(),
            timeout_ms,
            redeliver_ms: if redelivers { 72 * 3_600_000 } else { 0 },
            tls: Tls { ca: site.sealed.as_ref().map(|(ca, _)| ca.as_str().into()), ..Tls::default() },
            policies: policies.map(|(hook, fails)| (hook.to_owned(), policy(fails))).into(),
            ..WcsApp::default()
        });
        self.swarm.config.wcs.keepalive_count = self.pick(&[2, 10]);
        backend::announce(&mut self.books);
        self.add(Receiver::backend(site, redelivers));
        for number in 1..=pages {
            self.add(Wcs::new(number, data_may_fail, redelivers));
        }
        self.add(Publisher::new(STREAMS_FROM, 1_000, 100));
    }

    /// A server of others: how it is reached, and how often it fails.
    fn site_of(&mut self, number: u8) -> Site {
        let host = Site::host(number);
        let is_sealed = self.rng.below(100) < self.swarm.sealed_percent;
        let sealed = is_sealed.then(|| self.site.receiver(&host));
        Site { sealed, ..self.plain_site_of(number) }
    }

    /// One that speaks no TLS.
    fn plain_site_of(&mut self, number: u8) -> Site {
        Site { number, host: Site::host(number), sealed: None, fails_percent: self.pick(&[0, 10, 60]) }
    }

    fn pick(&mut self, of: &[u64]) -> u64 {
        of[self.rng.below(of.len() as u64) as usize]
    }

    fn types(&mut self) -> Vec<&'static str> {
        TYPES[self.rng.below(TYPES.len() as u64) as usize].to_vec()
    }
}

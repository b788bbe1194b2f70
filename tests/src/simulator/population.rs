//! Who is in a world.

use super::clients::document::Face;
use super::clients::isymphony::Isymphony;
use super::clients::notifier::Notifier;
use super::clients::publisher::Publisher;
use super::clients::reader::Reader;
use super::clients::stranger::Stranger;
use super::clients::subscriber::Subscriber;
use super::clients::webhook::Webhook;
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
            let fails_percent = self.pick(&[0, 10, 60]);
            let batch = self.pick(&[1, 1, 20]);
            self.add(Webhook::new(10 + number as u8, fails_percent, batch, is_patient));
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
            let fails_percent = self.pick(&[0, 10, 60]);
            self.add(Subscriber::new(30 + number as u8, face, event, lasts_s, fails_percent, is_patient));
        }
        for _ in 0..clients.strangers {
            self.add(Stranger::default());
        }
    }

    fn pick(&mut self, of: &[u64]) -> u64 {
        of[self.rng.below(of.len() as u64) as usize]
    }

    fn types(&mut self) -> Vec<&'static str> {
        TYPES[self.rng.below(TYPES.len() as u64) as usize].to_vec()
    }
}

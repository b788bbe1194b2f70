//! Eventhandlers, made and deleted under load: a `201` is there after every restart, a `204` is not.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Mutex;

use offhook_core::ground::rng::Rng;

use super::stage::Stage;
use super::wire::Wire;
use crate::conformance::peer::{get, value_after};
use crate::conformance::xms::{COLLECTION, delete, post};

/// Eventhandlers that one start sees made.
const PER_START: u32 = 12;

#[derive(Debug, Default)]
pub(super) struct Handlers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Acknowledged, and nobody asked for their end.
    made: BTreeSet<String>,
    /// Their end was acknowledged.
    deleted: BTreeSet<String>,
}

impl Handlers {
    /// At each server: looks whether all is as it was acknowledged, then makes and deletes some.
    pub(super) fn run(&self, stage: &Stage, mut rng: Rng) {
        let mut place = stage.address();
        while let Some(address) = place {
            // The end of a connection is a kill's doing.
            let _: Option<()> = self.visit(stage, address, &mut rng);
            place = stage.another_address(address);
        }
    }

    /// All is there that was acknowledged.
    pub(super) fn check(&self, address: SocketAddr) {
        self.look(&mut Wire::connect(address).expect("the server is there")).expect("the server answers");
    }

    pub(super) fn summary(&self) -> String {
        let known = self.0.lock().expect("no holder panics");
        format!(
            "{} eventhandlers made, {} deleted",
            known.made.len() + known.deleted.len(),
            known.deleted.len()
        )
    }

    fn visit(&self, stage: &Stage, address: SocketAddr, rng: &mut Rng) -> Option<()> {
        let mut wire = Wire::connect(address)?;
        self.look(&mut wire)?;
        for _ in 0..PER_START {
            wire.send(post("<eventsubscribe type=\"end_play\"/>"))?;
            let (status, content) = wire.reply()?;
            if status == 503 {
                stage.refused(address)?;
                continue;
            }
            assert_eq!(status, 201, "{content}");
            let id = value_after(&content, "identifier=\"").to_owned();
            self.0.lock().expect("no holder panics").made.insert(id.clone());
            if rng.below(2) == 0 {
                self.delete(stage, address, &mut wire, &id)?;
            }
        }
        Some(())
    }

    fn delete(&self, stage: &Stage, address: SocketAddr, wire: &mut Wire, id: &str) -> Option<()> {
        // From the request on it may be gone.
        self.0.lock().expect("no holder panics").made.remove(id);
        wire.send(delete(id))?;
        let (status, content) = wire.reply()?;
        if status == 503 {
            return stage.refused(address);
        }
        assert_eq!(status, 204, "{content}");
        self.0.lock().expect("no holder panics").deleted.insert(id.to_owned());
        Some(())
    }

    fn look(&self, wire: &mut Wire) -> Option<()> {
        wire.send(get(COLLECTION))?;
        let (status, content) = wire.reply()?;
        assert_eq!(status, 200, "{content}");
        let there: BTreeSet<&str> =
            content.split("identifier=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let known = self.0.lock().expect("no holder panics");
        let lost: Vec<&String> = known.made.iter().filter(|id| !there.contains(id.as_str())).collect();
        assert!(lost.is_empty(), "eventhandlers that were acknowledged are gone: {lost:?}");
        let back: Vec<&String> = known.deleted.iter().filter(|id| there.contains(id.as_str())).collect();
        assert!(back.is_empty(), "eventhandlers whose end was acknowledged are back: {back:?}");
        Some(())
    }
}

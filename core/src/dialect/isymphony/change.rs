//! What the log says of iSymphony.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A change, as a record holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// `coreServerId` was drawn.
    CoreServer {
        /// What it is from here on.
        id: Uuid,
    },
}

impl Change {
    /// The change as a record holds it.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        serde_json::to_vec(self).expect("plain data with text for keys is always JSON").into_boxed_slice()
    }
}

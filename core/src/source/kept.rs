//! What the log says of sources: what is open there, so that a start knows what may have ended meanwhile.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Something is open, or no more.
#[derive(Debug, Serialize, Deserialize)]
pub struct Change {
    /// The source's name.
    pub source: Box<str>,
    /// The thing's name, once in its source.
    pub key: Box<str>,
    /// What the source wants to know of it; `None`: it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Box<RawValue>>,
}

impl Change {
    /// The change as a record holds it.
    #[must_use]
    pub fn encode(&self) -> Box<[u8]> {
        serde_json::to_vec(self).expect("plain data without maps is always JSON").into_boxed_slice()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// A later version wrote it.
    pub fn decode(bytes: &[u8]) -> Result<Change, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_read_again() {
        for (kept, text) in [
            (Some(r#"{"id":"1.0"}"#), r#"{"source":"pbx","key":"call/1.0","kept":{"id":"1.0"}}"#),
            (None, r#"{"source":"pbx","key":"call/1.0"}"#),
        ] {
            let kept = kept.map(|kept| RawValue::from_string(kept.to_owned()).unwrap());
            let change = Change { source: "pbx".into(), key: "call/1.0".into(), kept };
            assert_eq!(&*change.encode(), text.as_bytes());
            assert_eq!(&*Change::decode(text.as_bytes()).unwrap().encode(), text.as_bytes());
        }
        assert!(Change::decode(b"{}").is_err());
    }
}

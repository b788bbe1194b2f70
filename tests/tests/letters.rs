//! A delivery that waits takes next to nothing beside its event.
//!
//! This is a test binary of its own because it counts with a global allocator, and no other test may allocate meanwhile.

use std::sync::Arc;

use offhook_core::dialect::{receiver, settled};
use offhook_core::event::{Data, Event};
use offhook_core::ground::config::Place;
use offhook_core::hub::Hub;
use offhook_core::outbox::change::{By, Change, When};
use offhook_core::outbox::{Meaning, Outbox};
use offhook_core::{Config, Seq, Wall};

/// Bytes that `letters` letters of distinct subjects take beside their events, each.
fn bytes_of_a_letter(letters: u64) -> f64 {
    let mut hub = Hub::new(Config::default(), Place::default(), 1);
    let mut outbox = Outbox::new(2, Meaning { settled, receiver }, 1);
    let spec = r#"{"url": "http://127.0.0.1:1/", "concurrency": 1}"#;
    let (by, when) = (By::File, When::Always);
    let put = Change::Put { name: "crm".into(), kind: "webhook".into(), spec: spec.into(), by, when };
    outbox.apply(&mut hub, Wall(0), put);
    let events: Vec<Arc<Event>> = (0..letters)
        .map(|number| {
            let text = number.to_string().into_boxed_str();
            Arc::new(Event {
                id_given: false,
                id: text.clone(),
                source: "test".into(),
                event_type: "call.dtmf".into(),
                subject: Some(format!("call/{number}").into()),
                time: text,
                wall: Wall(0),
                content_type: None,
                schema: None,
                extensions: Vec::new(),
                data: Data::None,
            })
        })
        .collect();
    let counted = allocation_counter::measure(|| {
        for (event, seq) in events.iter().zip(1..) {
            hub.applied = Seq(seq);
            outbox.publish(&mut hub, Seq(seq), Wall(0), event);
        }
    });
    assert_eq!(outbox.destinations()["crm"].pending() as u64, letters);
    counted.bytes_current as f64 / letters as f64
}

/// At most 100 bytes for each delivery that waits, beside its event; also where tables have just grown.
#[test]
fn a_letter_that_waits_takes_less_than_a_hundred_bytes() {
    for letters in [100_000, 115_000, 200_000, 230_000] {
        let bytes = bytes_of_a_letter(letters);
        assert!(bytes < 100.0, "{letters} letters take {bytes:.1} bytes each");
    }
}

//! The XML of XMS requests: what it asks for, and the documents that answer it.

use offhook_core::Config;
use offhook_core::dialect::xms::read::{Edit, Subscription, apply, edits};
use offhook_core::dialect::xms::render::{HandlerView, handler, handler_state, handlers};
use offhook_core::wire::xml::{Bounds, Token, read};

/// Reads `data` as the body of a POST; whatever is accepted is answered, and every answer parses.
pub fn run(data: &[u8]) {
    let config = Config::default();
    let edits = edits(data, &config);
    if let Ok(text) = std::str::from_utf8(data)
        && !matches!(data, [0xEF, 0xBB, 0xBF, ..])
    {
        same_in_utf16(text, &edits, &config);
        if edits.is_ok() {
            is_well_formed(text);
        }
    }
    let Ok(edits) = edits else { return };
    assert!(!edits.is_empty());
    let added = edits.iter().filter(|edit| matches!(edit, Edit::Add(_))).count();
    let subscriptions = apply(Vec::new(), &edits);
    assert!(subscriptions.len() <= added);
    for subscription in &subscriptions {
        assert!((1..=256).contains(&subscription.resource_id.chars().count()), "{subscription:?}");
        assert!(!subscription.event_type.is_empty() && !subscription.resource_type.is_empty());
    }
    let view = HandlerView {
        id: "598ade4c-5dd5-4c4b-9a48-9e05a69da65a",
        appid: "app",
        prefix: "/default",
        subscriptions: &subscriptions,
    };
    for (document, repeats) in [(handler(view), 1), (handler_state(view), 1), (handlers(&[view, view]), 2)] {
        assert!(document.is_ascii());
        let expected: Vec<&Subscription> = (0..repeats).flat_map(|_| &subscriptions).collect();
        let found = subscriptions_of(&document);
        let found: Vec<&Subscription> = found.iter().collect();
        assert_eq!(found, expected);
    }
}

/// The byte order mark decides the encoding, and nothing else changes with it.
fn same_in_utf16(text: &str, expected: &Result<Vec<Edit>, String>, config: &Config) {
    for big in [true, false] {
        let unit = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
        let document: Vec<u8> = std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(unit).collect();
        assert_eq!(&edits(&document, config), expected);
    }
}

/// A second reader of XML agrees that the document is well-formed. It knows namespaces, which are no part of XMS, so
/// colons become another letter first.
fn is_well_formed(text: &str) {
    let text = text.replace(':', "\u{2d0}");
    if let Err(error) = roxmltree::Document::parse(&text) {
        panic!("accepted, but not well-formed: {error}: {text}");
    }
}

fn subscriptions_of(document: &[u8]) -> Vec<Subscription> {
    let text = std::str::from_utf8(document).expect("ASCII was asserted");
    is_well_formed(text);
    let tokens = read(text, Bounds { depth: 4, attributes: 3 }).expect("an answer is well-formed");
    let mut subscriptions = Vec::new();
    for token in tokens {
        let Token::Start { name, attributes, .. } = token else { continue };
        if name != "eventsubscribe" {
            continue;
        }
        let value = |name: &str| {
            let found = attributes.iter().find(|(n, _)| n == name);
            found.expect("all three attributes are written").1.as_str().into()
        };
        subscriptions.push(Subscription {
            event_type: value("type"),
            resource_type: value("resource_type"),
            resource_id: value("resource_id"),
        });
    }
    subscriptions
}

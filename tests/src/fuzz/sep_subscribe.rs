//! What a client of SEP asks for, as XML and as JSON: what is taken keeps the rules, and can be shown and kept.

use offhook_core::Config;
use offhook_core::dialect::sep::change::Change;
use offhook_core::dialect::sep::read::{Asked, Refusal};
use offhook_core::dialect::sep::state::Subscription;
use offhook_core::dialect::sep::{json, read, receiver, render};
use offhook_core::ground::id::Seq;
use offhook_core::ground::time::Wall;
use offhook_core::wire::multipart::parts;
use offhook_core::wire::sip::uri::Uri;
use offhook_core::wire::xml::Bounds;
use offhook_core::wire::xml::tree::tree;

const NOW: Wall = Wall(1_767_225_600_000);

/// Reads `data` as both.
pub fn run(data: &[u8]) {
    let config = Config::default();
    judge(read::xml(data, &config.limits), &config);
    judge(json::read(data, NOW), &config);
}

fn judge(asked: Result<Asked, Refusal>, config: &Config) {
    let id = receiver::subscription_of("sep/182ebe38-3854-4873-a8ab-2cb0eff38b4c").expect("an id");
    let made = match asked.and_then(|asked| asked.made(id, NOW, config)) {
        Ok(made) => made,
        Err(refusal) => {
            assert!(matches!(refusal.status, 400 | 403 | 422) && !refusal.text.is_empty(), "{refusal:?}");
            return;
        }
    };
    assert!(made.expires > NOW && made.expires.since(NOW) <= config.limits.sep_expires_ms);
    assert!(!made.entries.is_empty() && made.entries.len() as u64 <= config.limits.sep_entries);
    assert!(made.entries.iter().all(|entry| entry.uri.parse::<Uri>().is_ok()));
    assert!(!made.accept.is_empty() && made.accept.len() as u64 <= config.limits.sep_accepts);
    let change = Change::Created(Box::new(made.clone()));
    assert_eq!(Change::decode(&change.encode()).expect("the log reads it again"), change);

    let subscription = Subscription::new(made, Seq(1));
    let bounds = Bounds { depth: 8, attributes: 8 };
    let document = tree(&render::inline(&subscription, config), bounds).expect("a document");
    let list = document.elements().next().expect("the list comes first");
    assert_eq!(list.elements().count(), subscription.resources.len());
    let uris = list.elements().map(|resource| resource.attribute("uri").expect("its URI"));
    assert!(uris.eq(subscription.resources.iter().map(|resource| &*resource.uri)));
    let multipart = render::multipart(&subscription, config);
    assert_eq!(parts(&multipart.content_type, &multipart.body).expect("parts").len(), 1);
}

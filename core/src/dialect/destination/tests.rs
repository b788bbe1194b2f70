use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::masked;
use crate::dialect::{isr, receiver, settled, webhook};
use crate::ground::config::Config;

/// A webhook with `more` keys.
fn wrong(name: &str, more: Value) -> (String, String) {
    let mut spec = json!({ "url": "https://example.com/hooks" });
    if let (Value::Object(spec), Value::Object(more)) = (&mut spec, more.clone()) {
        spec.extend(more);
    }
    let wrong =
        receiver("webhook", name, &spec.to_string(), &Config::default(), true).expect_err(&more.to_string());
    (wrong.key, wrong.detail)
}

#[test]
fn keys_of_every_destination() {
    let pem = "-----BEGIN CERTIFICATE-----\n";
    for (more, key, part) in [
        (json!({ "name": "other" }), "name", "\"crm\""),
        (json!({ "url": "ftp://h" }), "url", "http://"),
        (json!({ "url": 5 }), "url", "found 5"),
        (json!({ "username": "a:b" }), "username", "without `:`"),
        (json!({ "password": "p" }), "username", "missing"),
        (json!({ "username": "u", "bearer": "t" }), "bearer", "one of the two"),
        (json!({ "bearer": "a b" }), "bearer", "visible"),
        (json!({ "bearer": "" }), "bearer", "not empty"),
        (json!({ "username": "u", "password": "a\nb" }), "password", "control"),
        (json!({ "headers": { "X Y": "1" } }), "headers.X Y", "name"),
        (json!({ "headers": { "Host": "h" } }), "headers.Host", "itself"),
        (json!({ "headers": { "Transfer-Encoding": "chunked" } }), "headers.Transfer-Encoding", "itself"),
        (json!({ "headers": { "ce-id": "1" } }), "headers.ce-id", "itself"),
        (json!({ "headers": { "X-A": "1\r\nX-B: 2" } }), "headers.X-A", "visible"),
        (json!({ "headers": { "X-A": 1 } }), "headers.X-A", "visible"),
        (json!({ "headers": { "X-A": "1", "x-a": "2" } }), "headers.x-a", "twice"),
        (
            json!({ "bearer": "t", "headers": { "authorization": "x" } }),
            "headers.Authorization",
            "one of them",
        ),
        (json!({ "retry": { "frist": "1s" } }), "retry.frist", "first, factor"),
        (json!({ "retry": { "first": "1h", "cap": "1s" } }), "retry.cap", "not below"),
        (json!({ "retry": { "factor": 0.5 } }), "retry.factor", "from 1 to 100"),
        (json!({ "retry": { "jitter": 2 } }), "retry.jitter", "from 0 to 1"),
        (json!({ "retry": "1s" }), "retry", "a table"),
        (json!({ "concurrency": 0 }), "concurrency", "from 1 to 10000"),
        (json!({ "max_age": 30 }), "max_age", "such as \"30s\""),
        (json!({ "timeout": "2h" }), "timeout", "from 1ms to 1h"),
        (json!({ "tls": { "min_version": "1.1" } }), "tls.min_version", "\"1.3\""),
        (json!({ "tls": { "only_ca": true } }), "tls.only_ca", "no `ca`"),
        (json!({ "tls": { "pin_sha256": "abcd" } }), "tls.pin_sha256", "64 hexadecimal"),
        (
            json!({ "tls": { "client_cert": format!("{pem}CERTIFICATE-----") } }),
            "tls.client_cert",
            "go together",
        ),
        (json!({ "tls": { "ca": "ca.pem" } }), "tls.ca", "not certificates in PEM"),
        (json!({ "tls": { "client_key": pem } }), "tls.client_key", "not a private key"),
        (json!({ "tls": { "insecure": true, "pin_sha256": "00".repeat(32) } }), "tls.insecure", "verify"),
        (json!({ "url": "http://h/", "tls": {} }), "tls", "http://"),
    ] {
        let (at, detail) = wrong("crm", more.clone());
        assert_eq!(at, key, "{more}: {detail}");
        assert!(detail.contains(part), "{more}: {detail}");
    }
    for name in ["", "a/b", "a b", "ä", &"x".repeat(65)] {
        assert_eq!(wrong(name, json!({})).0, "name");
    }
}

/// R30
#[test]
fn r30_secrets_are_neither_quoted_nor_shown() {
    for more in [
        json!({ "bearer": ["hush"] }),
        json!({ "username": "u", "password": { "a": "hush" } }),
        json!({ "headers": "hush" }),
        json!({ "headers": { "X": ["hush"] } }),
        json!({ "secret": "hush" }),
        json!({ "secret": ["whsec_hush", 5] }),
        json!({ "tls": { "client_key": "hush" } }),
        json!({ "tls": { "client_key": 1, "ca": "hush" } }),
    ] {
        let (key, detail) = wrong("crm", more.clone());
        assert!(!detail.contains("hush"), "{key}: {detail}");
    }
    let spec = json!({
        "url": "https://h/", "secret": ["hush", "hush"], "password": "hush", "headers": { "X": "hush" },
        "tls": { "client_key": "hush", "ca": "public" },
    });
    let shown = masked(&spec.to_string());
    assert!(!shown.contains("hush") && shown.contains("public") && shown.contains("https://h/"), "{shown}");
}

/// Values of all kinds, many of them sound somewhere.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        "(https?://)?[a-z0-9.:%/?\\[\\]@-]{0,12}".prop_map(Value::from),
        "[0-9]{1,20}(ms|s|m|h|d)".prop_map(Value::from),
        "[a-z=&%A-Z0-9]{0,16}".prop_map(Value::from),
        "%(UCID|ANI|RESULT|DURATION|XYZ)%".prop_map(Value::from),
        prop::sample::select(vec![
            "GET",
            "POST",
            "form",
            "both",
            "face",
            "binary",
            "whsec_",
            "1.3",
            "SEGMENT_ENDED_EVENT"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z_.]{1,10}|first|cap|ca|SEGMENT_ENDED_EVENT", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever an API brings, it is refused with a key that it has or lacks, or settled for good.
    #[test]
    fn specifications_are_refused_or_settled(
        kind in prop::sample::select(vec!["isr", "webhook"]),
        keys in prop::collection::vec((any::<prop::sample::Index>(), value()), 0..4),
    ) {
        let known = if kind == "isr" { isr::read::keys() } else { webhook::read::keys() };
        let mut spec = Map::new();
        spec.insert("url".to_owned(), json!("https://h/"));
        if kind == "isr" {
            spec.insert("events".to_owned(), json!("SEGMENT_ENDED_EVENT"));
            spec.insert("global".to_owned(), json!(true));
        }
        for (index, value) in keys {
            spec.insert((*index.get(&known)).to_owned(), value);
        }
        let spec = Value::Object(spec).to_string();
        let config = Config::default();
        match settled(kind, "name", &spec, &config) {
            Ok(once) => {
                prop_assert!(receiver(kind, "name", &once, &config, false).is_ok());
                prop_assert_eq!(settled(kind, "name", &once, &config), Ok(once));
            }
            Err(wrong) => {
                let top = wrong.key.split('.').next().unwrap_or_default();
                prop_assert!(top.is_empty() || known.contains(&top), "{}", wrong.key);
                prop_assert!(receiver(kind, "name", &spec, &config, false).is_err());
            }
        }
    }
}

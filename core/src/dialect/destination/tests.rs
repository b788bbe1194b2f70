use serde_json::{Value, json};

use super::masked;
use crate::dialect::receiver;
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

//! `[[listener]]`: what comes of it, and problems in their exact words.

use super::parse;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config_file/testdata/t.toml");
const TLS: &str = "a table such as { cert = \"server.pem\", key = \"server.key\" }";
const CERT: &str = "a file with a certificate in PEM, and those above it behind it";
const KEY: &str = "a file with a private key in PEM";

/// A listener with a further line, which is the third.
fn listener(line: &str) -> String {
    format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{line}")
}

#[test]
fn every_key_arrives() {
    let text = listener(
        r#"
        tls = { cert = "server.pem", key = "server.key", certificates = [{ cert = "other.pem", key = "other.key" }], client_ca = "ca.pem", client_auth = "optional", min_version = "1.3" }
        allow = ["192.0.2.0/24"]
        proxies = ["10.0.0.0/8", "::1"]
        proxy_protocol = true
        "#,
    );
    let read = parse(FILE, &text).unwrap();
    let [(_, listener)] = &read.listeners[..] else { panic!("one listener") };
    let tls = listener.tls.as_ref().unwrap();
    assert!(tls.only_tls13 && tls.config.alpn_protocols == [b"http/1.1"]);
    assert!(tls.config.ticketer.enabled());
    assert!(listener.proxy_protocol && listener.proxies.len() == 2);
    assert_eq!(listener.allow.as_deref().map(<[_]>::len), Some(1));
    let plain = parse(FILE, "[[listener]]\naddress = \"127.0.0.1:0\"").unwrap();
    let [(_, listener)] = &plain.listeners[..] else { panic!("one listener") };
    assert!(
        listener.allow.is_none()
            && listener.tls.is_none()
            && listener.proxies.is_empty()
            && !listener.proxy_protocol
    );
}

#[test]
fn what_is_wrong_is_named() {
    let good = r#"cert = "server.pem", key = "server.key""#;
    for (line, problem) in [
        ("tls = true".to_owned(), format!("tls: found true, allowed: {TLS}")),
        ("tls = {}".to_owned(), format!("tls: cert is missing; allowed: {TLS}")),
        (r#"tls = { cert = "server.pem" }"#.to_owned(), format!("tls: key is missing; allowed: {TLS}")),
        (
            r#"tls = { cert = "password.txt", key = "server.key" }"#.to_owned(),
            format!("tls.cert: `cert` holds no certificate in PEM; allowed: {CERT}"),
        ),
        (
            r#"tls = { cert = "server.pem", key = "other.key" }"#.to_owned(),
            format!("tls.key: `key` is not the key of the first certificate of `cert`; allowed: {KEY}"),
        ),
        (
            format!("tls = {{ {good}, min_version = \"1.1\" }}"),
            "tls.min_version: found \"1.1\", allowed: \"1.2\" or \"1.3\"".to_owned(),
        ),
        (
            format!("tls = {{ {good}, client_ca = \"ca.pem\", client_auth = \"no\" }}"),
            "tls.client_auth: found \"no\", allowed: \"required\" or \"optional\"".to_owned(),
        ),
        (
            format!("tls = {{ {good}, client_auth = \"required\" }}"),
            "tls.client_auth: there is no client_ca that could have signed a client's certificate; allowed: together \
             with it"
                .to_owned(),
        ),
        (
            format!("tls = {{ {good}, client_ca = \"server.key\" }}"),
            "tls.client_ca: `client_ca` holds no certificate in PEM; allowed: a file with certificates in PEM"
                .to_owned(),
        ),
        (
            format!("tls = {{ {good}, certificates = [{{ cert = \"other.pem\" }}] }}"),
            format!("tls.certificates: key is missing; allowed: {TLS}"),
        ),
        (
            format!("tls = {{ {good}, ciphers = \"all\" }}"),
            "tls.ciphers: unknown key, allowed: cert, key, certificates, client_ca, client_auth, min_version"
                .to_owned(),
        ),
        (
            "proxies = [\"x\"]".to_owned(),
            "proxies: `x` is no address or network; allowed: addresses and networks, such as [\"127.0.0.0/8\", \
             \"::1/128\"]"
                .to_owned(),
        ),
        (
            "proxy_protocol = true".to_owned(),
            "proxy_protocol: there are no proxies that could speak it; allowed: together with proxies, such as \
             proxies = [\"10.0.0.0/8\"]"
                .to_owned(),
        ),
    ] {
        let problems = parse(FILE, &listener(&line)).map(|_| ()).unwrap_err();
        assert_eq!(problems, format!("{FILE}:3: [[listener]] {problem}"), "{line}");
    }
    let problems =
        parse(FILE, &listener(r#"tls = { cert = "missing.pem", key = "server.key" }"#)).map(|_| ());
    assert!(problems.unwrap_err().contains("[[listener]] tls.cert: "));
}

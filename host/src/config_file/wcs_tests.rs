//! `[wcs]`: what comes of it, and problems in their exact words.

use offhook_core::ground::config::{ErrorEvent, Keepalive, OnError, RestPolicy};

use super::parse;

#[track_caller]
fn refused(text: &str, problems: &str) {
    assert_eq!(parse("t.toml", text).map(|_| ()), Err(problems.to_owned()), "{text}");
}

/// An application with further lines; they begin at line 3.
fn app(lines: &str) -> String {
    format!("[wcs.apps.a]\nurl = \"https://h/x\"\n{lines}")
}

#[test]
fn every_key_arrives() {
    let folder = std::env::temp_dir().join(format!("offhook-wcs-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("secret"), "k ey\r\n").unwrap();
    std::fs::write(folder.join("ca.pem"), "PEM").unwrap();
    let text = r#"
        [wcs]
        node_id = "n@h"
        disable = true
        retry_sent = false
        error_event = "fail"
        extra_hooks = { MyEvent = 3 }
        paths = ["/ws"]
        push_users = [{ name = "backend", password_hash = "$argon2id$v=19$m=19456,t=2,p=1$b2ZmaG9vay1leGFtcGxl$HbQdVZcRnbYqKm4Yb7dSxYlKo2Wn0sV2dJm3h2gB1Wc" }]
        keepalive = "INTERNAL"
        keepalive_interval = "20s"
        keepalive_count = 3
        [wcs.apps.defaultApp]
        url = "http://127.0.0.1:8081/apps/EchoApp"
        methods = ["connect", "sendDTMF", "MyEvent", "connect"]
        timeout = "0s"
        redeliver = "24h"
        rest_username = "user"
        rest_password = "pass"
        stream_keepalive = true
        allowed_origins = ["https://page.example.com"]
        [wcs.apps.defaultApp.rest_client_config.StreamStatusEvent]
        restExclude = "sdp, name"
        clientExclude = ["a", "b"]
        restOnError = "fail"
        restPolicy = "DISABLED"
        restOverwrite = ""
        [wcs.apps."b c"]
        url = "https://h"
        methods = ["all"]
        hash_secret_file = "secret"
        tls = { ca = "ca.pem", only_ca = true, min_version = "1.3", pin_sha256 = "AA:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }
    "#;
    let file = folder.join("offhook.toml").display().to_string();
    let wcs = parse(&file, text).unwrap_or_else(|problems| panic!("{problems}")).config.wcs;
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!((wcs.node_id.as_deref(), wcs.disable, wcs.retry_sent), (Some("n@h"), true, false));
    assert_eq!((wcs.error_event, wcs.apps.len()), (ErrorEvent::Fail, 2));
    assert_eq!((wcs.keepalive, wcs.keepalive_interval_ms), (Keepalive::Internal, 20_000));
    assert_eq!((wcs.keepalive_count, &*wcs.paths), (3, &["/ws".to_owned()][..]));
    assert_eq!((wcs.push_users.len(), &*wcs.push_users[0].name), (1, "backend"));
    let app = &wcs.apps[0];
    assert!(app.admits("https://page.example.com") && !app.admits("https://other.example.com"));
    assert_eq!((&*app.key, &*app.url), ("defaultApp", "http://127.0.0.1:8081/apps/EchoApp"));
    assert_eq!(app.hooks, ["connect", "sendDtmf", "MyEvent"]);
    assert_eq!((app.timeout_ms, app.redeliver_ms, app.stream_keepalive), (0, 86_400_000, true));
    assert_eq!(app.basic, Some(("user".to_owned(), "pass".to_owned())));
    let policy = &app.policies["StreamStatusEvent"];
    assert_eq!((policy.rest_exclude.len(), policy.client_exclude.len(), policy.overwrite.len()), (2, 2, 0));
    assert_eq!((policy.on_error, policy.policy), (OnError::Fail, RestPolicy::Disable));
    let other = &wcs.apps[1];
    assert_eq!((other.hooks.len(), other.timeout_ms), (44, 15_000));
    assert_eq!(other.hash_secret.as_deref(), Some("k ey"));
    assert_eq!(other.tls.ca.as_deref(), Some("PEM"));
    assert!(other.tls.only_ca && other.tls.only_tls13 && other.tls.pin_sha256 == Some([0xaa; 32]));
    assert!(!format!("{wcs:?}").contains("pass") && !format!("{wcs:?}").contains("k ey"));
}

#[test]
fn w4_an_application_without_methods_has_no_hooks() {
    let read = parse("t.toml", &app("")).unwrap();
    assert!(read.config.wcs.apps[0].hooks.is_empty());
}

#[test]
fn w30_hash_and_basic_together_fail_at_load() {
    refused(
        &app("rest_username = \"u\"\nrest_password = \"p\"\nhash_secret = \"k\""),
        "t.toml:5: [wcs.apps.a]: a signature and HTTP authentication both need the one Authorization field, allowed: \
         one of the two",
    );
}

#[test]
fn two_applications_with_one_appkey_are_named() {
    refused(
        "[wcs.apps.a]\nurl = \"http://h\"\n[wcs.apps.a]\nurl = \"http://h\"",
        "t.toml:3: not valid TOML: duplicate key: `a`",
    );
}

#[test]
fn problems_name_the_application_and_what_is_allowed() {
    const URL: &str = "allowed: a URL such as \"http://127.0.0.1:8081/apps/EchoApp\"";
    for (text, problem) in [
        ("[wcs.apps.a]\nmethods = []".to_owned(), format!("t.toml:1: [wcs.apps.a]: url is missing; {URL}")),
        (
            "[wcs.apps.a]\nurl = \"http:///x\"".to_owned(),
            format!("t.toml:2: [wcs.apps.a] url: at character 8: the host is missing; {URL}"),
        ),
        (
            "[wcs.apps.a]\nurl = \"http://h/?x=\"".to_owned(),
            format!("t.toml:2: [wcs.apps.a] url: a query has no place before the name of a hook; {URL}"),
        ),
        (
            app("methods = [\"StreamStatusEvnt\"]"),
            "t.toml:3: [wcs.apps.a] methods: \"StreamStatusEvnt\" is no hook of WCS and not in [wcs] extra_hooks, did \
             you mean \"StreamStatusEvent\"?; allowed: a list of hooks, such as [\"connect\", \"StreamStatusEvent\"], \
             or [\"all\"]"
                .to_owned(),
        ),
        (
            app("timeout = 15"),
            "t.toml:3: [wcs.apps.a] timeout: found 15, allowed: a duration from 0s to 1d, such as \"15s\"".to_owned(),
        ),
        (
            app("rest_username = \"u\""),
            "t.toml:3: [wcs.apps.a] rest_username: rest_password is missing; allowed: both, or none".to_owned(),
        ),
        (
            app("rest_username = \"u\"\nrest_password = 12345"),
            "t.toml:4: [wcs.apps.a] rest_password: this is a secret and not shown, allowed: 1 to 1024 characters \
             without control characters"
                .to_owned(),
        ),
        (
            app("hash_secret_file = \"/no/such/file\""),
            "t.toml:3: [wcs.apps.a] hash_secret_file: cannot read \"/no/such/file\": No such file or directory (os \
             error 2); allowed: a file that holds the secret"
                .to_owned(),
        ),
        (
            app("rest_client_config.StreamStatusEvent.restOnError = \"STOP\""),
            "t.toml:3: [wcs.apps.a] rest_client_config.StreamStatusEvent.restOnError: found \"STOP\", allowed: \"LOG\" \
             or \"FAIL\""
                .to_owned(),
        ),
        (
            app("rest_client_config.StreamStatusEvent.restOnErr = \"LOG\""),
            "t.toml:3: [wcs.apps.a] rest_client_config.StreamStatusEvent.restOnErr: unknown key, did you mean \
             \"restOnError\"?"
                .to_owned(),
        ),
        (app("tls = { only_ca = true }"), "t.toml:3: [wcs.apps.a] tls: only_ca needs a ca".to_owned()),
        (
            "[wcs.apps.a]\nurl = \"http://h\"\ntls = {}".to_owned(),
            "t.toml:3: [wcs.apps.a] tls: the url is http://, allowed: tls beside an https:// url".to_owned(),
        ),
        (
            "[wcs]\nextra_hooks = { connect = 1 }".to_owned(),
            "t.toml:2: [wcs] extra_hooks.connect: the vendor has a hook of this name, allowed: another name".to_owned(),
        ),
        (
            "[wcs]\nextra_hooks = { Mine = 5 }".to_owned(),
            "t.toml:2: [wcs] extra_hooks.Mine: found 5, allowed: a whole number from 1 to 4".to_owned(),
        ),
        (
            "[wcs]\nerror_event = \"none\"".to_owned(),
            "t.toml:2: [wcs] error_event: found \"none\", allowed: \"both\", \"fail\" or \"ErrorEvent\"".to_owned(),
        ),
        (
            "[wcs]\npaths = [\"ws\"]".to_owned(),
            "t.toml:2: [wcs] paths: found \"ws\", allowed: paths such as \"/ws\", without a query and not of another \
             dialect"
                .to_owned(),
        ),
        (
            "[wcs]\npush_users = [\"backend\"]".to_owned(),
            "t.toml:2: [wcs] push_users: found \"backend\", allowed: a list of users such as [{ name = \"ann\", \
             password_hash = \"$argon2id$...\" }]"
                .to_owned(),
        ),
        (
            "[wcs]\nkeepalive = \"LOW\"".to_owned(),
            "t.toml:2: [wcs] keepalive: found \"LOW\", allowed: \"HIGH_LEVEL\", \"INTERNAL\" or \"NONE\"".to_owned(),
        ),
        (
            "[wcs]\nkeepalive_count = 0".to_owned(),
            "t.toml:2: [wcs] keepalive_count: found 0, allowed: a whole number from 1 to 1000".to_owned(),
        ),
    ] {
        refused(&text, &problem);
    }
}

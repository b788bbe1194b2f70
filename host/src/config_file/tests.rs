//! Tables of files and what comes of them: a configuration, or the problems in their exact words.

use offhook_core::ground::limits::Limits;

use super::reader::Keys;
use super::{
    ConfigFile, KEYS, access, destinations, isymphony, listeners, outbox, parse, peer_tls, sections, sep,
    sip, source, wcs, xms,
};

const EXAMPLE: &str = include_str!("../../../offhook.example.toml");

/// Beside it lie the files that the example names.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config_file/testdata/t.toml");

#[track_caller]
fn accepted(text: &str) -> ConfigFile {
    parse(FILE, text).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

#[track_caller]
fn refused(text: &str, problems: &str) {
    assert_eq!(parse("t.toml", text).map(|_| ()), Err(problems.to_owned()), "{text}");
}

#[test]
fn an_empty_file_is_the_default() {
    let read = accepted("");
    assert!(read.data.is_none() && read.listeners.is_empty());
    assert_eq!(read.config.limits, Limits::default());
    assert_eq!(read.config.xms.apps.len(), 1);
    assert_eq!(read.config.xms.apps[0].name, "app");
}

#[test]
fn every_section_arrives() {
    let read = accepted(
        r#"
        data = "none"
        [[listener]]
        address = "127.0.0.1:8080"
        [[listener]]
        address = "[::1]:81"
        dialects = ["xms"]
        [log]
        retain = { age = "1h", bytes = "2GiB" }
        [native]
        allowed_origins = ["https://crm.example.com", "http://localhost:3000"]
        source = "pbx-1"
        [xms]
        prefix = "/xms/default"
        public_url = "https://events.example.com:444"
        keepalive = "30s"
        replay.events = 50
        replay.age = "2m"
        idle = "0s"
        extra_types = ["parked"]
        [metrics]
        allow = ["10.0.0.0/8"]
        [limits]
        connections = 500
        head_ms = "3s"
        idle_ms = 4_000
        head_bytes = "32KiB"
        xms_body_bytes = 1000
        [[vocabulary]]
        type = "call.parked"
        xms = "parked"
        isymphony = "callParked"
        "#,
    );
    assert_eq!(read.data.as_deref(), Some("none"));
    let addresses: Vec<_> = read.listeners.iter().map(|(address, _)| address.to_string()).collect();
    assert_eq!(addresses, ["127.0.0.1:8080", "[::1]:81"]);
    assert_eq!(read.listeners[0].1.dialects, None);
    assert_eq!(read.listeners[1].1.dialects.as_deref(), Some(&["xms".to_owned()][..]));
    let config = read.config;
    assert_eq!((config.log.retain_ms, config.log.retain_bytes), (3_600_000, 2 << 30));
    assert_eq!(
        (config.limits.connections, config.limits.head_ms, config.limits.idle_ms),
        (500, 3_000, 4_000)
    );
    assert_eq!((config.limits.head_bytes, config.limits.xms_body_bytes), (32_768, 1_000));
    assert_eq!(config.native.allowed_origins, ["https://crm.example.com", "http://localhost:3000"]);
    assert_eq!(config.native.source, "pbx-1");
    assert_eq!((config.xms.prefix.as_str(), config.xms.keepalive_ms), ("/xms/default", 30_000));
    assert_eq!(config.xms.public_url.as_deref(), Some("https://events.example.com:444"));
    assert_eq!((config.xms.replay_events, config.xms.replay_ms, config.xms.idle_ms), (50, 120_000, 0));
    assert_eq!(config.metrics_allow.len(), 1);
    assert_eq!(config.vocabulary[0].event_type, "call.parked");
    assert_eq!(config.vocabulary[0].xms.as_deref(), Some("parked"));
    assert_eq!(config.vocabulary[0].wcs, None);
}

#[test]
fn applications_come_from_the_list_and_from_tables() {
    let read = accepted(
        r#"
        [xms]
        apps = ["b", "a"]
        allow = ["127.0.0.0/8"]
        [xms.app.z]
        [xms.app.a]
        allow = ["10.0.0.0/8", "::1"]
        deliver_types = ["keepalive", "hangup"]
        one_write_per_event = true
        "#,
    );
    let apps = &read.config.xms.apps;
    let names: Vec<_> = apps.iter().map(|app| app.name.as_str()).collect();
    assert_eq!(names, ["b", "a", "z"]);
    assert_eq!(apps[0].allow.as_ref().unwrap().len(), 1);
    assert_eq!(apps[1].allow.as_ref().unwrap().len(), 2);
    assert_eq!(apps[1].deliver_types.as_ref().unwrap(), &["keepalive", "hangup"]);
    assert!(apps[1].one_write_per_event && !apps[2].one_write_per_event);
    assert_eq!(accepted("[xms]\napps = []").config.xms.apps[0].name, "app");
    assert_eq!(accepted("[xms]\nallow = [\"::1\"]").config.xms.apps[0].allow.as_ref().unwrap().len(), 1);
}

#[test]
fn wrong_values_are_named_with_line_key_and_what_is_allowed() {
    for (text, problem) in [
        (
            "[xms]\n\nkeepalive = \"10m30\"",
            "t.toml:3: [xms] keepalive: found \"10m30\", allowed: a duration from 1s to 600s, such as \"10s\"",
        ),
        (
            "[xms]\nkeepalive = 10",
            "t.toml:2: [xms] keepalive: found 10, allowed: a duration from 1s to 600s, such as \"10s\"",
        ),
        (
            "[xms]\nkeepalive = \"0s\"",
            "t.toml:2: [xms] keepalive: found \"0s\", allowed: a duration from 1s to 600s, such as \"10s\"",
        ),
        (
            "[xms]\nreplay = 5",
            "t.toml:2: [xms] replay: found 5, allowed: a table such as { events = 1000, age = \"5m\" }",
        ),
        (
            "[xms]\nreplay = { events = 0 }",
            "t.toml:2: [xms] replay.events: found 0, allowed: a whole number from 1 to 10000000",
        ),
        ("xms = 5", "t.toml:1: xms: found 5, allowed: a table under [xms]"),
        ("[data]", "t.toml:1: [data]: found [data], allowed: a folder, or \"none\" to keep nothing"),
        (
            "[xms]\nallow = [\n  \"::1\",\n  \"10.0.0.0/33\",\n]",
            "t.toml:4: [xms] allow: `10.0.0.0/33`: the prefix length is a number from 0 to 32; allowed: addresses and \
             networks, such as [\"127.0.0.0/8\", \"::1/128\"]",
        ),
        (
            "[metrics]\nallow = \"::1\"",
            "t.toml:2: [metrics] allow: found \"::1\", allowed: addresses and networks, such as [\"127.0.0.0/8\", \
             \"::1/128\"]",
        ),
        (
            "[xms.app.\"a b\"]\none_write_per_event = 1",
            "t.toml:2: [xms.app.a b] one_write_per_event: found 1, allowed: true or false",
        ),
        (
            "[xms]\napps = [\"a\", \"a\"]",
            "t.toml:2: [xms] apps: found \"a\" twice; allowed: a list of application names, each once, 1 to 256 bytes \
             without control characters",
        ),
        (
            "[xms.app.a]\ndeliver_types = [\"hangup\", \"hang_up\"]",
            "t.toml:2: [xms.app.a] deliver_types: \"hang_up\" is no event word of XMS and not in extra_types, did you \
             mean \"hangup\"?; allowed: event words of XMS, such as [\"incoming\", \"hangup\"]",
        ),
        (
            "[xms]\npublic_url = \"https://example.com/x\"",
            "t.toml:2: [xms] public_url: found \"https://example.com/x\", allowed: http:// or https:// with a host and, \
             if need be, a port, such as \"https://events.example.com\"",
        ),
        (
            "[[listener]]\naddress = \"localhost:80\"",
            "t.toml:2: [[listener]] address: found \"localhost:80\", allowed: an IP address and a port, such as \
             \"127.0.0.1:8080\" or \"[::]:8080\"",
        ),
        (
            "[[listener]]\naddress = \"[::1]:80\"\n[[listener]]\naddress = \"[::1]:80\"",
            "t.toml:4: [[listener]] address: found \"[::1]:80\" twice, allowed: each address once",
        ),
        (
            "\n[[listener]]\ndialects = [\"xms\"]",
            "t.toml:2: [[listener]]: address is missing; allowed: an IP address and a port, such as \"127.0.0.1:8080\" \
             or \"[::]:8080\"",
        ),
        (
            "[[listener]]\naddress = \"[::1]:80\"\ndialects = [\"xmss\"]",
            "t.toml:3: [[listener]] dialects: found \"xmss\", allowed: a list of at least one of xms, native, isymphony, wcs, sep",
        ),
        (
            "[[listener]]\naddress = \"[::1]:80\"\ndialects = []",
            "t.toml:3: [[listener]] dialects: found [], allowed: a list of at least one of xms, native, isymphony, wcs, sep",
        ),
        (
            "[listener]\naddress = \"[::1]:80\"",
            "t.toml:1: [[listener]]: found [listener], allowed: tables under [[listener]]",
        ),
        (
            "[native]\nallowed_origins = [\"https://Example.com/\"]",
            "t.toml:2: [native] allowed_origins: found \"https://Example.com/\", allowed: origins as browsers send them, \
             in lower case and without a path, such as [\"https://crm.example.com\"]",
        ),
        (
            "[limits]\nhead_bytes = \"64kb\"",
            "t.toml:2: [limits] head_bytes: found \"64kb\", allowed: a size from 1KiB to 1GiB, such as \"16KiB\", or a \
             whole number of bytes",
        ),
        (
            "[limits]\nhead_ms = \"64\"",
            "t.toml:2: [limits] head_ms: found \"64\", allowed: a duration from 1ms to 30d, such as \"10s\", or a whole \
             number of milliseconds",
        ),
        (
            "[limits]\nxms_event_bytes = 65536",
            "t.toml:2: [limits] xms_event_bytes: found 65536, allowed: a size from 1KiB to 65535, such as \"65535\", or \
             a whole number of bytes",
        ),
        (
            "[limits]\nturn_reads = -1",
            "t.toml:2: [limits] turn_reads: found -1, allowed: a whole number from 1 to 1099511627776",
        ),
        (
            "[[vocabulary]]\nxms = \"hangup\"",
            "t.toml:1: [[vocabulary]]: type is missing; allowed: an event type, such as \"call.parked\": 1 to 256 \
             visible ASCII characters",
        ),
        (
            "[[vocabulary]]\ntype = \"a\"\n[[vocabulary]]\ntype = \"a\"",
            "t.toml:4: [[vocabulary]] type: found \"a\" twice, allowed: one row a type",
        ),
        (
            "[[vocabulary]]\ntype = \"a\"\nxms = \"parked\"",
            "t.toml:3: [[vocabulary]] xms: \"parked\" is no event word of XMS and not in extra_types; allowed: a word of \
             XMS, or of [xms] extra_types",
        ),
    ] {
        refused(text, problem);
    }
}

#[test]
fn paths_that_are_ours_or_no_paths_are_refused() {
    for prefix in ["", "/", "default", "/default/", "/v1", "/v1/x", "/metrics", "/a//b", "/a?b", "/ä"] {
        let problem = parse("t.toml", &format!("[xms]\nprefix = \"{prefix}\"")).unwrap_err();
        assert!(
            problem.starts_with(&format!("t.toml:2: [xms] prefix: found \"{prefix}\", allowed: ")),
            "{problem}"
        );
    }
    assert_eq!(accepted("[xms]\nprefix = \"/v1x\"").config.xms.prefix, "/v1x");
}

#[test]
fn sep_is_served_where_sip_is_spoken() {
    let sep = accepted("").config.sep;
    assert!(!sep.served && sep.users.is_empty() && sep.allow.is_none());
    for (text, domain) in [
        ("[sip]\nlisten = [\"udp:127.0.0.1:5060\"]", "127.0.0.1"),
        ("[sip]\nlisten = [\"udp:[::1]:5060\"]", "[::1]"),
        ("[sip]\nlisten = [\"udp:0.0.0.0:5060\"]\nhost = \"sip.example.com\"", "sip.example.com"),
        ("[sip]\nlisten = [\"udp:127.0.0.1:5060\"]\n[sep]\ndomain = \"example.com\"", "example.com"),
    ] {
        let sep = accepted(text).config.sep;
        assert!(sep.served && sep.domain == domain, "{text}: {sep:?}");
    }
    let sep = accepted("[sep]\nallow = [\"10.0.0.0/8\"]\npublic_url = \"https://a.example\"").config.sep;
    assert_eq!(sep.public_url.as_deref(), Some("https://a.example"));
    assert!(!sep.served && sep.allow.is_some_and(|allow| allow.len() == 1));
    for (text, problem) in [
        ("[sep]\ndomain = \"a b\"", "t.toml:2: [sep] domain: found \"a b\", allowed: a host name"),
        ("[sep]\ndomain = \"a:80\"", "t.toml:2: [sep] domain: found \"a:80\", allowed: a host name"),
        ("[sep]\npublic_url = \"a\"", "t.toml:2: [sep] public_url: found \"a\", allowed: http://"),
    ] {
        let found = parse("t.toml", text).expect_err(text);
        assert!(found.starts_with(problem), "{found}");
    }
}

#[test]
fn unknown_keys_and_keys_to_come() {
    for (text, problem) in [
        ("[xms]\nkeepaliv = 1", "t.toml:2: [xms] keepaliv: unknown key, did you mean \"keepalive\"?"),
        ("[xmss]\nkeepalive = 1", "t.toml:1: [xmss]: unknown key, did you mean \"xms\"?"),
        ("[[listner]]\naddress = 1", "t.toml:1: [[listner]]: unknown key, did you mean \"listener\"?"),
        ("[metrics]\ncolour = 1", "t.toml:2: [metrics] colour: unknown key, allowed: allow"),
        ("[xms.app.a]\nallows = []", "t.toml:2: [xms.app.a] allows: unknown key, did you mean \"allow\"?"),
        (
            "[limits]\nconnection = 1",
            "t.toml:2: [limits] connection: unknown key, did you mean \"connections\"?",
        ),
        ("[sep]\nuser = []", "t.toml:2: [sep] user: unknown key, did you mean \"users\"?"),
        (
            "[[listener]]\naddress = \"[::1]:0\"\ndialects = [\"xms\", \"isr\"]",
            "t.toml:3: [[listener]] dialects: \"isr\" is not in this version yet; allowed: a list of at least one of \
             xms, native, isymphony, wcs, sep",
        ),
    ] {
        refused(text, problem);
    }
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    refused(
        "[xms]\nkeepaliv = 1\nidle = 5\n[metrics]\nallow = [\"x\"]",
        "t.toml:2: [xms] keepaliv: unknown key, did you mean \"keepalive\"?\n\
         t.toml:3: [xms] idle: found 5, allowed: a duration from 0s to 3650d, such as \"24h\"\n\
         t.toml:5: [metrics] allow: `x` is no address or network; allowed: addresses and networks, such as \
         [\"127.0.0.0/8\", \"::1/128\"]",
    );
}

#[test]
fn text_that_is_no_toml_is_named_with_its_line() {
    for (text, start) in [
        ("[xms]\nkeepalive = ", "t.toml:2: not valid TOML: "),
        ("[xms]\nidle = \"1s\"\nidle = \"2s\"", "t.toml:3: not valid TOML: duplicate key"),
        ("[xms]\n[native]\n[xms]", "t.toml:3: not valid TOML: duplicate key"),
        ("[[vocabulary]]\n[vocabulary]", "t.toml:2: not valid TOML: "),
    ] {
        let problem = parse("t.toml", text).unwrap_err();
        assert!(problem.starts_with(start) && !problem.contains('\n'), "{problem}");
    }
}

/// The example with every setting uncommented: a setting is a line whose `#` is followed by no blank.
fn whole_example() -> String {
    let uncomment =
        |line: &'static str| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line);
    EXAMPLE.lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_is_accepted_with_and_without_its_comments() {
    let plain = accepted(EXAMPLE);
    assert!(plain.listeners.is_empty() && plain.config.limits == Limits::default());
    let whole = accepted(&whole_example());
    assert_eq!(whole.config.limits, Limits::default(), "the example shows other limits than the defaults");
    assert_eq!((whole.listeners.len(), whole.config.vocabulary.len()), (2, 1));
    let names: Vec<_> = whole.config.destinations.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["observer", "face", "crm"]);
    let names: Vec<_> = whole.config.xms.apps.iter().map(|app| app.name.as_str()).collect();
    assert_eq!(names, ["app", "legacy"]);
}

#[test]
fn the_example_is_complete() {
    let whole = whole_example();
    let sections: [Keys<'_>; 29] = [
        KEYS,
        listeners::LISTENER_KEYS,
        listeners::TLS_KEYS,
        listeners::CERTIFICATE_KEYS,
        access::AUTH_KEYS,
        access::TOKEN_KEYS,
        access::USER_KEYS,
        access::AUDIT_KEYS,
        sections::LOG_KEYS,
        sections::RETAIN_KEYS,
        sections::NATIVE_KEYS,
        sections::METRICS_KEYS,
        sections::VOCABULARY_KEYS,
        xms::KEYS,
        xms::APP_KEYS,
        isymphony::KEYS,
        destinations::ISR_KEYS,
        wcs::KEYS,
        wcs::APP_KEYS,
        peer_tls::KEYS,
        wcs::POLICY_KEYS,
        sip::KEYS,
        sip::CREDENTIAL_KEYS,
        sep::KEYS,
        source::KEYS,
        source::SCOPE_KEYS,
        outbox::KEYS,
        outbox::RETRY_KEYS,
        outbox::DEAD_KEYS,
    ];
    for key in destinations::webhook_keys().iter().chain(&destinations::isr_keys()) {
        // What the config makes of them, for whoever reads a specification back.
        if key != "added_parameters" && key != "event_types" {
            assert!(whole.contains(&format!("{key} =")), "{key} is not in offhook.example.toml");
        }
    }
    let keys = sections.iter().flat_map(|keys| keys.known).copied();
    for key in
        keys.chain(xms::REPLAY_KEYS.known.iter().copied()).chain(Limits::ROWS.iter().map(|row| row.name))
    {
        assert!(whole.contains(key), "{key} is not in offhook.example.toml");
    }
}

#[test]
fn the_outbox_is_read() {
    let read = accepted(
        r#"
        [outbox]
        retry = { first = "2s", factor = 1.5, cap = "10m", jitter = 0, give_up_after = "1h" }
        pending_bytes = "64MiB"
        dead_letters = { age = "7d", count = 10 }
        allow_private = ["10.1.0.0/16", "fd00::/8"]
        egress_proxy = "http://user:p@ss@proxy:3128/"
        "#,
    );
    let outbox = read.config.outbox;
    let retry = outbox.retry;
    assert_eq!((retry.first_ms, retry.cap_ms, retry.give_up_after_ms), (2_000, 600_000, 3_600_000));
    assert_eq!((retry.factor, retry.jitter), (1.5, 0.0));
    assert_eq!((outbox.pending_bytes, outbox.allow_private.len()), (64 << 20, 2));
    assert_eq!((outbox.dead_letters.age_ms, outbox.dead_letters.count), (7 * 86_400_000, 10));
    let proxy = "user:p@ss@proxy:3128".parse().unwrap();
    assert_eq!(outbox.egress_proxy, Some(proxy));
    assert_eq!(accepted("[outbox]").config.outbox, <_>::default());
}

#[test]
fn what_is_wrong_with_the_outbox_is_named_and_no_password_is_shown() {
    let proxy = "t.toml:2: [outbox] egress_proxy: not understood; allowed: http:// with a host and a port, and \
                 user:password@ before them if need be, such as \"http://proxy.example.com:3128\"";
    for (text, problem) in [
        ("[outbox]\negress_proxy = \"https://u:secret@h:1\"", proxy),
        ("[outbox]\negress_proxy = \"http://u:secret@h\"", proxy),
        (
            "[outbox]\nretry = { factor = 0.5 }",
            "t.toml:2: [outbox] retry.factor: found 0.5, allowed: a number from 1 to 100",
        ),
        (
            "[outbox]\nretry = { first = 5 }",
            "t.toml:2: [outbox] retry.first: found 5, allowed: a duration from 1ms to 1d, such as \"1s\"",
        ),
        (
            "[outbox]\ndead_letters = { counts = 5 }",
            "t.toml:2: [outbox] dead_letters.counts: unknown key, did you mean \"count\"?",
        ),
        (
            "[outbox]\npending_bytes = \"1KiB\"",
            "t.toml:2: [outbox] pending_bytes: found \"1KiB\", allowed: a size from 1MiB to 1TiB, such as \"1GiB\", or \
             a whole number of bytes",
        ),
    ] {
        refused(text, problem);
    }
}

//! What stands in the file, what goes to the core, and the problems in their exact words.

use offhook_core::dialect::receiver;
use serde_json::{Value, json};

use crate::config_file::{ConfigFile, parse};

/// Certificates and secrets lie beside this file.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config_file/testdata/t.toml");

#[track_caller]
fn accepted(text: &str) -> ConfigFile {
    parse(FILE, text).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

#[track_caller]
fn refused(text: &str, problem: &str) {
    assert_eq!(parse("t.toml", text).map(|_| ()), Err(problem.to_owned()), "{text}");
}

fn specs(read: &ConfigFile) -> Vec<Value> {
    let all = read.config.destinations.iter();
    all.map(|brought| serde_json::from_str(&brought.spec).unwrap()).collect()
}

#[test]
fn webhooks_arrive_as_their_specification() {
    let read = accepted(
        r#"
        [[webhook]]
        name = "crm"
        url = "https://example.com/hooks"
        types = ["call.*", "recording.ended"]
        secret_file = "crm.secret"
        concurrency = 0x10
        only = { "data.queue" = "sales" }
        retry = { first = "2s", factor = 1.5, jitter = 0 }
        tls = { ca = "ca.pem", only_ca = true, client_cert = "client.pem", client_key = "client.key" }
        headers.X-Tenant = "acme"
        [[webhook]]
        name = "log"
        url = "http://127.0.0.1:9/"
        username = "u"
        password_file = "password.txt"
        "#,
    );
    let text = |file: &str| std::fs::read_to_string(std::path::Path::new(FILE).with_file_name(file)).unwrap();
    let tls = json!({ "ca": text("ca.pem"), "only_ca": true, "client_cert": text("client.pem"),
        "client_key": text("client.key") });
    let secrets: Vec<String> = text("crm.secret").lines().map(str::to_owned).collect();
    assert_eq!(
        specs(&read),
        [
            json!({
                "url": "https://example.com/hooks", "types": ["call.*", "recording.ended"], "secret": secrets,
                "concurrency": 16, "only": { "data.queue": "sales" },
                "retry": { "first": "2s", "factor": 1.5, "jitter": 0 }, "tls": tls,
                "headers": { "X-Tenant": "acme" },
            }),
            json!({ "url": "http://127.0.0.1:9/", "username": "u", "password": "hush hush" }),
        ]
    );
    let names: Vec<_> = read.config.destinations.iter().map(|one| (one.kind, one.name.as_str())).collect();
    assert_eq!(names, [("webhook", "crm"), ("webhook", "log")]);
    assert!(!format!("{:?}", read.config).contains("hush"));
    for brought in &read.config.destinations {
        receiver(brought.kind, &brought.name, &brought.spec, &read.config, true).unwrap();
    }
}

#[test]
fn secrets_come_from_the_environment() {
    // Whatever the variable holds, it is no secret of a webhook, and is not quoted.
    let text = "[[webhook]]\nname = \"a\"\nurl = \"http://h/\"\nsecret_env = \"CARGO_MANIFEST_DIR\"";
    refused(
        text,
        "t.toml:4: [[webhook]] secret_env: allowed: \"whsec_\" and 24 to 64 bytes in base64, or a list of the new and \
         the old one while it is replaced",
    );
    let text =
        "[[webhook]]\nname = \"a\"\nurl = \"http://h/\"\nusername = \"u\"\npassword_env = \"CARGO_PKG_NAME\"";
    assert_eq!(specs(&accepted(text))[0]["password"], "offhook-host");
}

/// R37
#[test]
fn r37_isr_destinations_arrive_with_parameters_and_presets() {
    let read = accepted(
        r#"
        [isr.parameters]
        RSSIP = "rss_ip"
        [isr.preset.observer]
        parameters = "ip=%RSSIP%"
        method = "PUT"
        [[isr.destination]]
        name = "observer"
        preset = "observer"
        events = ["SEGMENT_ENDED_EVENT"]
        realm = "r"
        url = "http://h/"
        [[isr.destination]]
        name = "face"
        preset = "face"
        url = "https://1.2.3.4:8443/Face/eventNotify"
        account = "acme"
        "#,
    );
    let specs = specs(&read);
    assert_eq!(
        specs[0],
        json!({
            "events": ["SEGMENT_ENDED_EVENT"], "realm": "r", "url": "http://h/", "parameters": "ip=%RSSIP%",
            "method": "PUT", "added_parameters": { "RSSIP": "rss_ip" },
            "event_types": { "segment.ended": "SEGMENT_ENDED_EVENT" },
        })
    );
    assert_eq!((&specs[1]["max_age"], &specs[1]["bare"]), (&json!("30s"), &json!(":@")));
    assert_eq!(read.config.isr.parameters["RSSIP"], "rss_ip");
}

/// R10, R11, R12: at load, with file, line and key.
#[test]
fn r10_r11_r12_problems_have_line_and_key() {
    let isr = "[[isr.destination]]\nname = \"f\"\nglobal = true\nurl = \"http://h/\"\nevents = [\"SEGMENT_ENDED_EVENT\"]\n";
    let hook = "[[webhook]]\nname = \"crm\"\nurl = \"https://h/\"\n";
    let check = |start: &str, more: &str, problem: &str| {
        let problems = parse("t.toml", &format!("{start}{more}")).map(|_| ()).expect_err(more);
        assert!(problems.starts_with(problem) && !problems.contains('\n'), "{problems}\nwanted: {problem}");
    };
    for (more, problem) in [
        (
            "parameters = \"u=%UCIDS%\"",
            "t.toml:6: [[isr.destination]] parameters: at character 3: %UCIDS% is unknown, allowed for \
             SEGMENT_ENDED_EVENT: EVENTTYPE, EVENTID, ",
        ),
        (
            "parameters = \"u=%SENSITIVE%\"",
            "t.toml:6: [[isr.destination]] parameters: at character 3: SEGMENT_ENDED_EVENT has no %SENSITIVE%, allowed",
        ),
        ("parameters = \"100%\"", "t.toml:6: [[isr.destination]] parameters: at character 4: a `%` begins"),
        (
            "parameters.SEGMENT_ENDED_EVENT = \"a b\"",
            "t.toml:6: [[isr.destination]] parameters.SEGMENT_ENDED_EVENT: at character 2: ",
        ),
        ("account = \"a\"", "t.toml:3: [[isr.destination]] global: a second scope, allowed: exactly one"),
        ("param = \"\"", "t.toml:6: [[isr.destination]] param: unknown key, allowed: name, url"),
        (
            "parameter = \"\"",
            "t.toml:6: [[isr.destination]] parameter: unknown key, did you mean \"parameters\"?",
        ),
        ("max_age = 30", "t.toml:6: [[isr.destination]] max_age: found 30, allowed: a duration from 1s"),
    ] {
        check(isr, more, problem);
    }
    for (more, problem) in [
        (
            "retry = { first = \"1s\",\n factor = 0 }",
            "t.toml:5: [[webhook]] retry.factor: found 0, allowed: a number",
        ),
        (
            "retry = { frist = \"1s\" }",
            "t.toml:4: [[webhook]] retry.frist: unknown key, allowed: first, factor",
        ),
        (
            "tls = { ca = \"no/such.pem\" }",
            "t.toml:4: [[webhook]] tls.ca: cannot read no/such.pem: No such file",
        ),
        ("secret_file = \"no/such\"", "t.toml:4: [[webhook]] secret_file: cannot read no/such: No such file"),
        ("secret = \"hush\"", "t.toml:4: [[webhook]] secret: allowed: \"whsec_\" and"),
        (
            "secret_env = \"OFFHOOK_NO_SUCH\"",
            "t.toml:4: [[webhook]] secret_env: the environment variable OFFHOOK_NO_SUCH",
        ),
        (
            "bearer = \"a\"\nbearer_env = \"PATH\"",
            "t.toml:5: [[webhook]] bearer_env: `bearer` is given twice",
        ),
        ("headers.\"X.Y\" = \"a\\nb\"", "t.toml:4: [[webhook]] headers.X.Y: allowed: visible ASCII"),
        ("only.\"data.x\" = 1.5", "t.toml:4: [[webhook]] only.data.x: found 1.5, allowed: a value"),
        ("types = [1979-05-27]", "t.toml:4: [[webhook]] types: found 1979-05-27, allowed: a text"),
        ("event = []", "t.toml:4: [[webhook]] event: unknown key, allowed: name"),
        (
            "[[webhook]]\nname = \"crm\"\nurl = \"http://h\"",
            "t.toml:5: [[webhook]] name: found \"crm\" twice, allowed: each name once",
        ),
    ] {
        check(hook, more, problem);
    }
    for (text, problem) in [
        (
            "[[webhook]]\nurl = \"http://h\"",
            "t.toml:1: [[webhook]]: name is missing; allowed: 1 to 64 letters",
        ),
        ("[[webhook]]\nname = \"a/b\"", "t.toml:2: [[webhook]] name: found \"a/b\", allowed: 1 to 64"),
        ("[[webhook]]\nname = \"a\"", "t.toml:1: [[webhook]] url: missing, allowed: http://"),
        (
            "[webhook]\nname = \"a\"",
            "t.toml:1: [[webhook]]: found [webhook], allowed: tables under [[webhook]]",
        ),
        (
            "[[webhook]]\nname = \"a\"\nurl = \"http:///x\"",
            "t.toml:3: [[webhook]] url: at character 8: the host is missing",
        ),
        (
            "[[isr.destination]]\nname = \"a\"\nurl = \"http://h\"\nglobal = true\nevents = [\"RECORDING_STARTED\"]",
            "t.toml:5: [[isr.destination]] events: \"RECORDING_STARTED\" is no event type of ISR, allowed: ",
        ),
        (
            "[[isr.destination]]\nname = \"a\"\nurl = \"http://h\"\nevents = [\"RECORDING_STARTED_EVENT\"]",
            "t.toml:1: [[isr.destination]]: the scope is missing, allowed: exactly one of route",
        ),
        (
            "[isr.parameters]\nab = \"x\"",
            "t.toml:2: [isr.parameters] ab: a parameter's name is three or more",
        ),
        ("[isr.parameters]\nUCID = \"x\"", "t.toml:2: [isr.parameters] UCID: %UCID% is there already"),
        ("[isr.preset.x]\ncolour = 1", "t.toml:2: [isr.preset.x] colour: unknown key, allowed: "),
        ("[isr]\npresets = 1", "t.toml:2: [isr] presets: unknown key, did you mean \"preset\"?"),
    ] {
        check("", text, problem);
    }
}

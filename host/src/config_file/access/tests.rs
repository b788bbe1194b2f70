//! Users and tokens as they stand in the file, and the problems in their exact words: no secret is in them.

use std::path::Path;

use offhook_core::ground::config::Rights;

use crate::config_file::{ConfigFile, parse};
use crate::password::is_right;

/// The file of a password lies beside this file.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config_file/testdata/t.toml");

/// Of "password", by the reference implementation.
const HASH: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

/// Of "test".
const SHA256: &str = "9F86D081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

#[track_caller]
fn accepted(text: &str) -> ConfigFile {
    parse(FILE, text).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

#[track_caller]
fn refused(text: &str, problem: &str) {
    assert_eq!(parse(FILE, text).map(|_| ()), Err(format!("{FILE}{problem}")), "{text}");
}

#[test]
fn users_tokens_and_the_audit_log_arrive() {
    let read = accepted(&format!(
        r#"
        [auth]
        tokens = [
            {{ name = "pbx", sha256 = "{SHA256}", may = ["publish", "read"], only = {{ username = "mike", appid = "a" }} }},
            {{ name = "op", sha256 = "{}", may = ["admin"] }},
        ]
        [audit]
        file = "audit.jsonl"
        [xms.app.legacy]
        users = [
            {{ name = "ann", password_hash = "{HASH}", only = {{ username = "ann" }} }},
            {{ name = "bob", password_file = "password.txt" }},
        ]
        "#,
        SHA256.replace('9', "0"),
    ));
    let [pbx, op] = &read.config.auth.tokens[..] else { panic!("two tokens") };
    assert_eq!((pbx.name.as_str(), pbx.sha256[..2].to_vec()), ("pbx", vec![0x9f, 0x86]));
    assert_eq!(pbx.may, Rights { publish: true, read: true, ..Rights::default() });
    assert_eq!(
        pbx.only.0.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>(),
        ["appid=a", "username=mike"]
    );
    assert!(op.may == Rights { admin: true, ..Rights::default() } && op.only.is_everything());
    assert_eq!(read.audit.as_deref(), Some(Path::new(FILE).with_file_name("audit.jsonl").as_path()));
    let [ann, bob] = &read.config.xms.app("legacy").unwrap().users[..] else { panic!("two users") };
    assert_eq!((ann.name.as_str(), ann.password_hash.as_str(), ann.only.0.len()), ("ann", HASH, 1));
    assert!(bob.password_hash.starts_with("$argon2id$") && is_right(&bob.password_hash, b"hush hush"));
    let shown = format!("{:?}", read.config);
    assert!(!shown.contains("argon2id") && !shown.contains("159, 134"), "no hash is shown: {shown}");
}

#[test]
fn nobody_is_let_in_unless_the_file_says_so() {
    let read = accepted("");
    assert!(
        read.config.auth.tokens.is_empty() && read.config.xms.apps.iter().all(|app| app.users.is_empty())
    );
    assert!(!read.config.native.query_token && read.audit.is_none());
}

#[test]
fn problems_of_users_are_named_and_no_secret_is_shown() {
    let hash = "a hash as `passwd` prints it: $argon2id$... with at most 1 GiB and 100 rounds";
    let name = "a name of 1 to 64 bytes, each once, without colons and control characters";
    let only = "canonical field names with the value that each must have, such as { username = \"mike\" }";
    for (user, problem) in [
        ("{ name = \"ann\" }".to_owned(), format!(": password_hash is missing; allowed: {hash}")),
        (format!("{{ password_hash = \"{HASH}\" }}"), format!(": name is missing; allowed: {name}")),
        (
            "{ name = \"ann\", password_hash = \"sesame\" }".to_owned(),
            format!(".password_hash: this is a secret and not shown, allowed: {hash}"),
        ),
        (
            format!("{{ name = \"ann\", password_hash = \"{HASH}\", password_file = \"x\" }}"),
            ".password_file: password_hash is set too, allowed: one of the two".to_owned(),
        ),
        (
            "{ name = \"ann\", password_file = \"none\" }".to_owned(),
            ".password_file: cannot read \"none\": No such file or directory (os error 2); allowed: a file that holds \
             the secret"
                .to_owned(),
        ),
        (
            format!("{{ name = \"a:b\", password_hash = \"{HASH}\" }}"),
            format!(".name: found \"a:b\", allowed: {name}"),
        ),
        (
            format!("{{ name = \"ann\", password_hash = \"{HASH}\", only = {{ Username = \"x\" }} }}"),
            format!(".only.Username: found \"x\", allowed: {only}"),
        ),
        (
            format!("{{ name = \"ann\", password = \"sesame\", password_hash = \"{HASH}\" }}"),
            ".password: unknown key, allowed: name, password_hash, password_file, only".to_owned(),
        ),
    ] {
        refused(&format!("[xms.app.a]\nusers = [{user}]"), &format!(":2: [xms.app.a] users{problem}"));
    }
    let twice = format!("{{ name = \"ann\", password_hash = \"{HASH}\" }}");
    let text = format!("[xms.app.a]\nusers = [\n{twice},\n{twice},\n]");
    refused(&text, &format!(":4: [xms.app.a] users.name: found \"ann\", allowed: {name}"));
}

#[test]
fn problems_of_tokens_are_named_and_no_secret_is_shown() {
    for (token, problem) in [
        (
            "{ name = \"pbx\", sha256 = \"the token itself\", may = [\"read\"] }".to_owned(),
            ".sha256: this is a secret and not shown, allowed: the SHA-256 of the token, 64 hexadecimal digits",
        ),
        (
            format!("{{ name = \"pbx\", sha256 = \"{SHA256}\" }}"),
            ": may is missing; allowed: one or more of \"publish\", \"read\", \"subscribe\", \"admin\"",
        ),
        (
            format!("{{ name = \"pbx\", sha256 = \"{SHA256}\", may = [\"write\"] }}"),
            ".may: found \"write\", allowed: one or more of \"publish\", \"read\", \"subscribe\", \"admin\"",
        ),
        (
            format!(
                "{{ name = \"pbx\", sha256 = \"{SHA256}\", may = [\"admin\"], only = {{ username = \"a\" }} }}"
            ),
            ".may: an admin sees all there is, allowed: \"admin\" and \"subscribe\" for tokens without `only`",
        ),
        (
            format!(
                "{{ name = \"crm\", sha256 = \"{SHA256}\", may = [\"read\", \"subscribe\"], only = {{ username = \"a\" }} }}"
            ),
            ".may: a SIP subscription sees all there is, allowed: \"admin\" and \"subscribe\" for tokens without `only`",
        ),
    ] {
        refused(&format!("[auth]\ntokens = [{token}]"), &format!(":2: [auth] tokens{problem}"));
    }
    let tokens =
        ["a", "b"].map(|name| format!("{{ name = \"{name}\", sha256 = \"{SHA256}\", may = [\"read\"] }}"));
    let text = format!("[auth]\ntokens = [\n{},\n]", tokens.join(",\n"));
    refused(&text, ":4: [auth] tokens.sha256: another token has the same, allowed: one name for each token");
    refused(
        "[audit]\nfile = \"\"",
        ":2: [audit] file: found \"\", allowed: a file to append to, such as \"audit.jsonl\"",
    );
}

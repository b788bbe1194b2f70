//! Who may come in: passwords that are really hashed and checked, tokens, the audit file, and listeners that would let in
//! whoever comes.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;

use super::QUIET;
use super::peer::{Peer, get, request};
use super::server::Subject;
use super::xms::{COLLECTION, dtmf};

/// `ann:sesame`, `ann:poppy` and `ann:wrong` as credentials (RFC 7617).
const SESAME: &str = "Authorization: Basic YW5uOnNlc2FtZQ==\r\n";
const POPPY: &str = "Authorization: Basic YW5uOnBvcHB5\r\n";
const WRONG: &str = "Authorization: Basic YW5uOndyb25n\r\n";

/// Of the token `test`.
const SHA256: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// What the command makes of a line of standard input.
fn passwd(subject: &Subject, line: &str) -> Output {
    let mut command = Command::new(subject.program());
    command.arg("passwd").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary is there");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(line.as_bytes()).expect("the command reads");
    drop(stdin);
    child.wait_with_output().expect("the process can be waited for")
}

/// `passwd` prints one line, the hash, and says why it prints none.
pub fn passwd_makes_hashes(subject: &Subject) {
    for line in ["sesame\n", "sesame", "sesame\r\n"] {
        let made = passwd(subject, line);
        let text = String::from_utf8(made.stdout).expect("text");
        assert!(made.status.success() && made.stderr.is_empty(), "{}", made.status);
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && text.lines().count() == 1, "{text}");
    }
    let refused = passwd(subject, "\n");
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(1), 0));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("the password is empty"));
}

fn statuses(peer: &mut Peer, credentials: &[&str]) -> Vec<u16> {
    credentials
        .iter()
        .map(|fields| peer.ask(request(&format!("GET {COLLECTION}"), fields, "")).status())
        .collect()
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).expect("the audit file is there");
    text.lines().map(str::to_owned).collect()
}

/// Users and tokens come in and others do not; a reload changes who, and opens the audit file anew.
pub fn users_and_tokens(subject: &Subject) {
    let hash = String::from_utf8(passwd(subject, "sesame\n").stdout).expect("text");
    let hash = hash.trim_end();
    for shards in [1, 2] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("password"), "poppy\n").expect("the folder can be written");
        let config = |ann: &str| {
            let audit = file("audit.jsonl");
            format!(
                "{QUIET}[auth]\ntokens = [{{ name = \"pbx\", sha256 = \"{SHA256}\", may = [\"publish\"] }}]\n\
                 [audit]\nfile = \"{}\"\n[xms.app.app]\nusers = [{{ name = \"ann\", {ann} }}]\n",
                audit.display()
            )
        };
        let mut server = subject.shards(shards, &config(&format!("password_hash = \"{hash}\"")));
        for _ in 0..4 {
            let peer = &mut Peer::connect(server.address);
            assert_eq!(statuses(peer, &["", WRONG, SESAME, SESAME, POPPY]), [401, 401, 200, 200, 401]);
        }
        let peer = &mut Peer::connect(server.address);
        for (fields, status) in [("", 401), ("Authorization: Bearer test\r\n", 202)] {
            let fields = format!("Content-Type: application/json\r\n{fields}");
            assert_eq!(peer.ask(request("POST /v1/events", &fields, dtmf("1", 1))).status(), status);
        }
        let forbidden = request("GET /v1/webhooks", "Authorization: Bearer test\r\n", "");
        assert_eq!(peer.ask(forbidden).status(), 403);
        let audited = lines(&file("audit.jsonl"));
        let of = |part: &str| audited.iter().filter(|line| line.contains(part)).count();
        assert_eq!(
            (audited.len(), of("wrong password for"), of("\"who\":\"pbx\"")),
            (14, 8, 1),
            "{audited:?}"
        );

        std::fs::rename(file("audit.jsonl"), file("audit.1")).expect("the file is there");
        let other = format!("password_file = \"{}\"", file("password").display());
        server.rewrite_config(&config(&other).replace("[limits]", "[limits]\nfailed_logins_per_address = 0"));
        server.signal(Signal::HUP);
        server.wait_for("config reloaded");
        assert_eq!(statuses(&mut Peer::connect(server.address), &[SESAME, POPPY]), [401, 200]);
        assert_eq!((lines(&file("audit.1")).len(), lines(&file("audit.jsonl")).len()), (14, 1));
        server.rewrite_config(&config("password_file = \"none\""));
        server.signal(Signal::HUP);
        server.wait_for("the config was not reloaded");
        assert_eq!(statuses(&mut Peer::connect(server.address), &[POPPY]), [200]);
    }
}

/// Ten failures of an address bar it, whatever it sends then; addresses of other dialects are not touched.
pub fn guesses_are_counted(subject: &Subject) {
    let hash = String::from_utf8(passwd(subject, "sesame\n").stdout).expect("text");
    let hash = hash.trim_end();
    let config =
        format!("{QUIET}[xms.app.app]\nusers = [{{ name = \"ann\", password_hash = \"{hash}\" }}]\n");
    let mut server = subject.server(&config);
    let peer = &mut Peer::connect(server.address);
    assert_eq!(statuses(peer, &[WRONG; 10]), [401; 10]);
    let reply = peer.ask(request(&format!("GET {COLLECTION}"), SESAME, ""));
    assert_eq!(reply.status(), 429);
    let seconds: u64 = reply.field("Retry-After").and_then(|text| text.parse().ok()).expect("a number");
    assert!((1..=60).contains(&seconds));
    let line = server.wait_for("too many wrong credentials came from there");
    assert!(line.contains("[limits] failed_logins_per_address"), "{line}");
    assert_eq!(peer.ask(get("/healthz")).status(), 200);
}

/// Nothing is bound: exit code 2, and the lines that the config file lacks.
pub fn exposed_listeners(subject: &Subject) {
    let mut server = subject.spawn(Some("[xms.app.legacy]\n"), &["--listen", "0.0.0.0:0", "--data", "none"]);
    let (code, log) = server.wait_exit();
    assert_eq!(code, Some(2), "{log}");
    assert!(log.contains("\n    [xms.app.legacy]\n    users = [") && !log.contains("listening"), "{log}");
}

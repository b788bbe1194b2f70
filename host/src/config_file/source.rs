//! `[[source]]`: the PBXs whose events are brought in.

use std::net::Ipv6Addr;

use offhook_core::dialect::destination::is_name;
use offhook_core::ground::config::{ATTRIBUTES, ScopeRule, Source};
use offhook_core::ground::network::is_loopback;
use toml::de::DeTable;

use super::reader::{Item, Keys, Reader};
use super::sections::tables;
use super::{access, peer_tls};
use crate::tls;

pub(super) const KEYS: Keys<'_> = Keys {
    known: &[
        "name",
        "type",
        "address",
        "user",
        "password",
        "password_file",
        "login",
        "events",
        "ping",
        "tls",
        "scope",
    ],
    later: &[],
};
pub(super) const SCOPE_KEYS: Keys<'_> = Keys {
    known: &["context", "trunk", "variable", "appid", "account", "route", "realm", "appkey"],
    later: &[],
};

const NAME: &str = "1 to 64 letters, digits, `-`, `_` and `.`, once in the file";
const TYPE: &str = "\"asterisk\"";
const ADDRESS: &str =
    "a host and a port, such as \"127.0.0.1:5038\", \"pbx.example.com:5038\" or \"[::1]:5038\"";
const USER: &str = "a user of the PBX's manager.conf, 1 to 256 characters";
const PASSWORD: &str = "the user's secret, 1 to 1024 characters";
const LOGIN: &str = "\"md5\", which does not send the password, or \"plain\"";
const PLAIN: &str = "\"plain\" would show the password to others, allowed: \"md5\", a tls that is not insecure, or an address of \
                     this machine";
const EVENTS: &str = "classes of events, such as [\"system\", \"call\", \"agent\", \"dtmf\", \"dialplan\"]";
const SCOPE: &str = "rules such as [{ context = \"from-trunk\", appid = \"app\", account = \"acme\" }]";
const VARIABLE: &str = "a channel variable and its value, such as \"TENANT=acme\"";
const VALUE: &str = "1 to 256 characters";
const PING: std::ops::RangeInclusive<u64> = 1_000..=600_000;

/// All of them.
pub(super) fn sources<'t>(reader: &mut Reader<'t>, item: &Item<'t>, sources_max: u64) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for (header, table) in tables(reader, item, "[[source]]") {
        if sources.len() as u64 == sources_max {
            reader.problem(&header, &format!("too many sources, allowed: at most {sources_max}"));
            break;
        }
        if let Some(source) = source(reader, &header, table, &sources) {
            sources.push(source);
        }
    }
    sources
}

fn source<'t>(
    reader: &mut Reader<'t>,
    header: &Item<'t>,
    table: &'t DeTable<'t>,
    before: &[Source],
) -> Option<Source> {
    let items = reader.entries("[[source]]", table, KEYS);
    let find = |key: &str| items.iter().find(|item| item.key == key);
    let mut needed = |key: &str, allowed: &str| {
        let item = find(key);
        if item.is_none() {
            reader.problem(header, &format!("{key} is missing; allowed: {allowed}"));
        }
        item
    };
    let (name, kind) = (needed("name", NAME), needed("type", TYPE));
    let (address, user) = (needed("address", ADDRESS), needed("user", USER));
    let is_new = |name: &str| is_name(name) && before.iter().all(|other| *other.name != *name);
    let name = name.and_then(|item| reader.word(item, NAME, |name| is_new(name).then(|| name.into())));
    let kind = kind.and_then(|item| reader.word(item, TYPE, |kind| (kind == "asterisk").then_some(())));
    let address = address.and_then(|item| reader.word(item, ADDRESS, host_and_port));
    let user = user.and_then(|item| reader.word(item, USER, word));
    let password = password(reader, header, &items);
    let mut source = Source::default();
    if let Some(item) = find("tls") {
        let before = reader.problems();
        let tls = peer_tls::read(reader, "[[source]] tls", item);
        if reader.problems() == before
            && let Err(text) = tls.check(&tls::base())
        {
            reader.problem(item, &text);
        }
        // A password that nobody else reads need not be kept back.
        source.md5 = tls.insecure;
        source.tls = Some(tls);
    }
    if let Some(item) = find("login") {
        let md5 = |login: &str| match login {
            "md5" => Some(true),
            "plain" => Some(false),
            _ => None,
        };
        source.md5 = reader.word(item, LOGIN, md5).unwrap_or(source.md5);
        let is_verified = source.tls.as_ref().is_some_and(|tls| !tls.insecure);
        if !source.md5
            && !is_verified
            && let Some((host, _)) = &address
            && !is_here(host)
        {
            reader.problem(item, PLAIN);
        }
    }
    source.events = find("events").and_then(|item| events(reader, item));
    if let Some(ms) = find("ping").and_then(|item| reader.duration(item, PING, false, "15s")) {
        source.ping_ms = ms;
    }
    source.scope = find("scope").map(|item| scope(reader, item)).unwrap_or_default();
    kind?;
    let (host, port) = address?;
    Some(Source { name: name?, host, port, user: user?, password: password?, ..source })
}

fn password<'t>(reader: &mut Reader<'t>, header: &Item<'t>, items: &[Item<'t>]) -> Option<Box<str>> {
    let find = |key: &str| items.iter().find(|item| item.key == key);
    match (find("password"), find("password_file")) {
        (Some(_), Some(item)) => {
            reader.problem(item, "password is set too, allowed: one of the two");
            None
        }
        (Some(item), None) => reader.secret(item, PASSWORD).map(String::into_boxed_str),
        (None, Some(item)) => reader.secret_of_file(item, PASSWORD).map(String::into_boxed_str),
        (None, None) => {
            reader.problem(header, "password_file is missing; allowed: a file that holds the password");
            None
        }
    }
}

/// The list as a login takes it.
fn events<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Option<Box<str>> {
    let is_class = |class: &str| !class.is_empty() && class.bytes().all(|byte| byte.is_ascii_lowercase());
    let classes = reader.list_of(item, EVENTS, |class| match is_class(class) {
        true => Ok(class.to_owned()),
        false => Err(String::new()),
    })?;
    if classes.is_empty() {
        reader.wrong(item, EVENTS);
    }
    Some(classes.join(",").into())
}

fn scope<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Vec<ScopeRule> {
    let mut rules = Vec::new();
    for (header, table) in access::tables(reader, item, SCOPE) {
        let mut rule = ScopeRule::default();
        for item in reader.entries(&format!("{}.", header.name), table, SCOPE_KEYS) {
            match item.key {
                "context" => rule.context = reader.word(&item, VALUE, word),
                "trunk" => rule.trunk = reader.word(&item, VALUE, word),
                "variable" => rule.variable = reader.word(&item, VARIABLE, variable),
                key => {
                    let attribute = ATTRIBUTES.iter().find(|attribute| **attribute == key);
                    let value = reader.word(&item, VALUE, word);
                    rule.attributes.extend(attribute.copied().zip(value));
                }
            }
        }
        if !ATTRIBUTES.iter().any(|attribute| table.contains_key(*attribute)) {
            let text = format!("this rule gives nothing; allowed: one of {} at least", ATTRIBUTES.join(", "));
            reader.problem(&header, &text);
        }
        rule.attributes.sort_unstable();
        rules.push(rule);
    }
    rules
}

fn host_and_port(text: &str) -> Option<(Box<str>, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return Some((address.parse::<Ipv6Addr>().ok()?.to_string().into(), port));
    }
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    (host.len() <= 255 && host.trim_end_matches('.').split('.').all(is_label)).then(|| (host.into(), port))
}

/// Whether what is sent there stays on this machine.
fn is_here(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
}

fn variable(text: &str) -> Option<(Box<str>, Box<str>)> {
    let (name, value) = text.split_once('=')?;
    Some((word(name)?, word(value)?))
}

fn word(text: &str) -> Option<Box<str>> {
    ((1..=256).contains(&text.len()) && !text.chars().any(char::is_control)).then(|| text.into())
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config_file/testdata/t.toml");
    const PBX: &str =
        "name = \"pbx\"\ntype = \"asterisk\"\naddress = \"127.0.0.1:5038\"\nuser = \"offhook\"\n";

    fn read(lines: &str) -> Result<Vec<Source>, String> {
        parse(FILE, &format!("[[source]]\n{lines}")).map(|read| read.config.sources)
    }

    #[test]
    fn every_key_arrives() {
        let sources = read(
            r#"
            name = "pbx"
            type = "asterisk"
            address = "pbx.example.com:5039"
            user = "offhook"
            password_file = "password.txt"
            login = "md5"
            events = ["call", "system"]
            ping = "30s"
            tls = { ca = "ca.pem", only_ca = true }
            scope = [
                { context = "from-trunk", appid = "app", account = "acme" },
                { trunk = "provider", variable = "TENANT=a=b", route = "r", realm = "m", appkey = "k" },
            ]
            [[source]]
            name = "other"
            type = "asterisk"
            address = "[::1]:5038"
            user = "offhook"
            password = "open sesame"
            "#,
        )
        .unwrap();
        let [pbx, other] = &sources[..] else { panic!("two sources") };
        assert_eq!(
            (&*pbx.name, &*pbx.host, pbx.port, &*pbx.user),
            ("pbx", "pbx.example.com", 5039, "offhook")
        );
        assert_eq!((pbx.md5, pbx.events.as_deref(), pbx.ping_ms), (true, Some("call,system"), 30_000));
        assert!(pbx.tls.as_ref().is_some_and(|tls| tls.only_ca));
        let [first, second] = &pbx.scope[..] else { panic!("two rules") };
        assert_eq!(first.attributes, [("account", "acme".into()), ("appid", "app".into())]);
        assert_eq!((first.context.as_deref(), first.trunk.as_deref()), (Some("from-trunk"), None));
        assert_eq!(second.variable, Some(("TENANT".into(), "a=b".into())));
        assert_eq!((&*other.host, other.port, other.md5), ("::1", 5038, true));
        assert_eq!((&*other.password, other.events.as_deref(), other.ping_ms), ("open sesame", None, 15_000));
        assert!(!format!("{sources:?}").contains("sesame"));
        let plain = format!("{PBX}password = \"x\"\ntls = {{}}");
        assert!(!read(&plain).unwrap()[0].md5, "over TLS the password itself is sent");
    }

    #[test]
    fn a_password_is_sent_to_nobody_unknown() {
        for (host, lines, md5) in [
            ("pbx", "", Some(true)),
            ("pbx", "tls = {}", Some(false)),
            ("pbx", "tls = {}\nlogin = \"md5\"", Some(true)),
            ("pbx", "tls = { insecure = true }", Some(true)),
            ("pbx", "tls = { insecure = true }\nlogin = \"plain\"", None),
            ("pbx", "login = \"plain\"", None),
            ("192.0.2.1", "login = \"plain\"", None),
            ("[2001:db8::1]", "login = \"plain\"", None),
            ("127.0.0.2", "login = \"plain\"", Some(false)),
            ("[::1]", "login = \"plain\"", Some(false)),
            ("localhost", "login = \"plain\"", Some(false)),
        ] {
            let file = format!("{}password = \"x\"\n{lines}", PBX.replace("127.0.0.1", host));
            match (read(&file), md5) {
                (Ok(sources), Some(md5)) => assert_eq!(sources[0].md5, md5, "{host} {lines}"),
                (Err(error), None) => {
                    assert!(error.ends_with(&format!("[[source]] login: {PLAIN}")), "{error}")
                }
                (read, _) => panic!("{host} {lines}: {read:?}"),
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (lines, problem) in [
            ("", "[[source]]: password_file is missing; allowed: a file that holds the password".to_owned()),
            ("password = \"\"", format!("[[source]] password: this is a secret and not shown, allowed: {PASSWORD}")),
            ("password = \"x\"\nlogin = \"digest\"", format!("[[source]] login: found \"digest\", allowed: {LOGIN}")),
            ("password = \"x\"\nevents = []", format!("[[source]] events: found [], allowed: {EVENTS}")),
            ("password = \"x\"\nevents = [\"a,b\"]", format!("[[source]] events: found \"a,b\", allowed: {EVENTS}")),
            (
                "password = \"x\"\nping = \"0s\"",
                "[[source]] ping: found \"0s\", allowed: a duration from 1s to 600s, such as \"15s\"".to_owned(),
            ),
            ("password = \"x\"\ntls = { ca = \"password.txt\" }", "[[source]] tls: `ca` holds no certificate in PEM".to_owned()),
            (
                "password = \"x\"\nscope = [{ context = \"a\" }]",
                "[[source]] scope: this rule gives nothing; allowed: one of appid, account, route, realm, appkey at least"
                    .to_owned(),
            ),
            (
                "password = \"x\"\nscope = [{ variable = \"a\", appid = \"b\" }]",
                format!("[[source]] scope.variable: found \"a\", allowed: {VARIABLE}"),
            ),
            (
                "password = \"x\"\nscope = [{ contxt = \"a\", appid = \"b\" }]",
                "[[source]] scope.contxt: unknown key, did you mean \"context\"?".to_owned(),
            ),
            ("pasword = \"x\"\npassword = \"x\"", "[[source]] pasword: unknown key, did you mean \"password\"?".to_owned()),
        ] {
            let error = read(&format!("{PBX}{lines}")).map(|_| ()).unwrap_err();
            assert!(error.starts_with(FILE) && error.ends_with(&problem), "{error}\n{problem}");
        }
        for (line, problem) in [
            ("name = \"a b\"", format!("[[source]] name: found \"a b\", allowed: {NAME}")),
            ("type = \"freeswitch\"", format!("[[source]] type: found \"freeswitch\", allowed: {TYPE}")),
            (
                "address = \"127.0.0.1\"",
                format!("[[source]] address: found \"127.0.0.1\", allowed: {ADDRESS}"),
            ),
            ("address = \"::1:5038\"", format!("[[source]] address: found \"::1:5038\", allowed: {ADDRESS}")),
            ("address = \"a:0\"", format!("[[source]] address: found \"a:0\", allowed: {ADDRESS}")),
            ("user = \"\"", format!("[[source]] user: found \"\", allowed: {USER}")),
        ] {
            let key = line.split_once(' ').unwrap().0;
            let lines = PBX.lines().map(|other| if other.starts_with(key) { line } else { other });
            let lines: Vec<&str> = lines.chain(["password = \"x\""]).collect();
            let error = read(&lines.join("\n")).map(|_| ()).unwrap_err();
            assert!(error.ends_with(&problem), "{error}\n{problem}");
        }
        let twice = format!("{PBX}password = \"x\"\n[[source]]\n{PBX}password = \"x\"");
        assert!(
            read(&twice)
                .unwrap_err()
                .ends_with(&format!(":8: [[source]] name: found \"pbx\", allowed: {NAME}"))
        );
        let missing = read("").unwrap_err();
        assert_eq!(missing.lines().count(), 5, "{missing}");
        let many: Vec<String> = (0..3)
            .map(|n| format!("[[source]]\n{}password = \"x\"\n", PBX.replace("pbx", &n.to_string())))
            .collect();
        let many = format!("[limits]\nsources = 2\n{}", many.concat());
        let error = parse(FILE, &many).map(|_| ()).unwrap_err();
        assert!(error.ends_with("too many sources, allowed: at most 2"), "{error}");
    }
}

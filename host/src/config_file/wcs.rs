//! `[wcs]` and `[wcs.apps.NAME]`.

use std::collections::BTreeMap;

use offhook_core::dialect::wcs::config::{list, on_error, rest_policy};
use offhook_core::dialect::wcs::hook::application_url;
use offhook_core::dialect::wcs::table;
use offhook_core::ground::config::{ErrorEvent, HookPolicy, Keepalive, Wcs, WcsApp};
use toml::de::DeTable;

use super::reader::{Item, Keys, Reader, nearest};
use super::{access, peer_tls, sections};

pub(super) const KEYS: Keys<'_> = Keys {
    known: &[
        "node_id",
        "disable",
        "retry_sent",
        "error_event",
        "extra_hooks",
        "paths",
        "push_users",
        "keepalive",
        "keepalive_interval",
        "keepalive_count",
        "apps",
    ],
    later: &[],
};
pub(super) const APP_KEYS: Keys<'_> = Keys {
    known: &[
        "url",
        "methods",
        "timeout",
        "redeliver",
        "rest_username",
        "rest_password",
        "rest_password_file",
        "hash_secret",
        "hash_secret_file",
        "stream_keepalive",
        "allowed_origins",
        "rest_client_config",
        "tls",
    ],
    later: &[],
};
/// The vendor's names (restClientConfig).
pub(super) const POLICY_KEYS: Keys<'_> = Keys {
    known: &["restExclude", "clientExclude", "restOnError", "restPolicy", "restOverwrite"],
    later: &[],
};

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const YEAR: u64 = 365 * 24 * HOUR;

const APP: &str = "a table [wcs.apps.NAME]";
const APP_NAME: &str = "an appKey of 1 to 256 bytes without control characters";
const HOOK_NAME: &str = "a name of 1 to 64 letters, digits and _";
const PATH: &str = "paths such as \"/ws\", without a query and not of another dialect";
const METHODS: &str = "a list of hooks, such as [\"connect\", \"StreamStatusEvent\"], or [\"all\"]";
const NODE: &str = "1 to 256 characters without control characters, such as \"node-1@192.0.2.1\"";
const PERSON: &str = "1 to 256 characters without control characters and without a colon";
const SECRET: &str = "1 to 1024 characters without control characters";
const POLICIES: &str = "tables by hook, such as { StreamStatusEvent = { restOnError = \"FAIL\" } }";

/// Reads the table.
pub(super) fn read<'t>(reader: &mut Reader<'t>, table: &'t DeTable<'t>) -> Wcs {
    let mut wcs = Wcs::default();
    let items = reader.entries("[wcs]", table, KEYS);
    let item = |key: &str| items.iter().find(|item| item.key == key);
    wcs.node_id = item("node_id").and_then(|item| plain(reader, item, 256, "", NODE));
    wcs.disable = item("disable").and_then(|item| reader.boolean(item)).unwrap_or(false);
    wcs.retry_sent = item("retry_sent").and_then(|item| reader.boolean(item)).unwrap_or(true);
    if let Some(which) = item("error_event").and_then(|item| error_event(reader, item)) {
        wcs.error_event = which;
    }
    if let Some(item) = item("extra_hooks") {
        wcs.extra_hooks = extra_hooks(reader, item);
    }
    if let Some(item) = item("paths") {
        wcs.paths = reader.list_of(item, PATH, path).unwrap_or_default();
    }
    if let Some(item) = item("push_users") {
        wcs.push_users = access::users(reader, item).into();
    }
    keepalive(reader, &items, &mut wcs);
    let apps = item("apps").and_then(|item| reader.table(item, APP));
    for item in apps.map(|table| reader.named_entries("[wcs.apps.", table)).unwrap_or_default() {
        let section = format!("[wcs.apps.{}]", item.key);
        let item = item.called(&section);
        if item.key.is_empty() || item.key.len() > 256 || item.key.chars().any(char::is_control) {
            reader.wrong(&item, APP_NAME);
            continue;
        }
        let Some(settings) = reader.table(&item, APP) else { continue };
        let app = app(reader, &item, &section, settings, &wcs.extra_hooks);
        wcs.apps.push(app);
    }
    wcs
}

/// A path that a websocket may have.
fn path(text: &str) -> Result<String, String> {
    let taken = ["/v1/", "/rest-api/", "/communication_manager/"].iter().any(|other| text.starts_with(other));
    let sound = text.starts_with('/')
        && text.len() <= 256
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"?#".contains(&b));
    if sound && !taken { Ok(text.to_owned()) } else { Err(String::new()) }
}

fn keepalive<'t>(reader: &mut Reader<'t>, items: &[Item<'t>], wcs: &mut Wcs) {
    let item = |key: &str| items.iter().find(|item| item.key == key);
    let algorithm = |text: &str| match text {
        "HIGH_LEVEL" => Some(Keepalive::HighLevel),
        "INTERNAL" => Some(Keepalive::Internal),
        "NONE" => Some(Keepalive::None),
        _ => None,
    };
    let allowed = "\"HIGH_LEVEL\", \"INTERNAL\" or \"NONE\"";
    if let Some(found) = item("keepalive").and_then(|item| reader.word(item, allowed, algorithm)) {
        wcs.keepalive = found;
    }
    let interval = item("keepalive_interval");
    if let Some(ms) = interval.and_then(|item| reader.duration(item, SECOND..=HOUR, false, "5s")) {
        wcs.keepalive_interval_ms = ms;
    }
    if let Some(count) = item("keepalive_count").and_then(|item| reader.integer(item, 1..=1_000)) {
        wcs.keepalive_count = count;
    }
}

/// Text without control characters and without any of `not`.
fn plain<'t>(
    reader: &mut Reader<'t>,
    item: &Item<'t>,
    max: usize,
    not: &str,
    allowed: &str,
) -> Option<String> {
    let text = reader.text(item, allowed)?;
    let sound = (1..=max).contains(&text.len()) && !text.chars().any(|c| c.is_control() || not.contains(c));
    if !sound {
        reader.wrong(item, allowed);
    }
    sound.then(|| text.to_owned())
}

fn error_event<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Option<ErrorEvent> {
    let allowed = "\"both\", \"fail\" or \"ErrorEvent\"";
    match reader.text(item, allowed)? {
        "both" => Some(ErrorEvent::Both),
        "fail" => Some(ErrorEvent::Fail),
        "ErrorEvent" => Some(ErrorEvent::ErrorEvent),
        _ => {
            reader.wrong(item, allowed);
            None
        }
    }
}

fn extra_hooks<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> BTreeMap<String, u8> {
    let mut hooks = BTreeMap::new();
    let allowed = "hooks with their type, such as { CallParkedEvent = 3 }";
    let Some(table) = reader.table(item, allowed) else { return hooks };
    for item in reader.named_entries("[wcs] extra_hooks.", table) {
        let is_word = |name: &str| {
            (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if !is_word(item.key) {
            reader.problem(&item, &format!("this cannot be a hook's name, allowed: {HOOK_NAME}"));
        } else if table::names().any(|name| name == item.key) {
            reader.problem(&item, "the vendor has a hook of this name, allowed: another name");
        } else if let Some(kind) = reader.integer(&item, 1..=4) {
            hooks.insert(item.key.to_owned(), u8::try_from(kind).unwrap_or(3));
        }
    }
    hooks
}

fn app<'t>(
    reader: &mut Reader<'t>,
    header: &Item<'t>,
    section: &str,
    table: &'t DeTable<'t>,
    extra: &BTreeMap<String, u8>,
) -> WcsApp {
    let mut app = WcsApp { key: header.key.to_owned(), ..WcsApp::default() };
    let items = reader.entries(section, table, APP_KEYS);
    let item = |key: &str| items.iter().find(|item| item.key == key);
    url(reader, header, item("url"), &mut app);
    if let Some(item) = item("methods") {
        app.hooks = methods(reader, item, extra);
    }
    if let Some(ms) = item("timeout").and_then(|i| reader.duration(i, 0..=24 * HOUR, false, "15s")) {
        app.timeout_ms = ms;
    }
    if let Some(ms) = item("redeliver").and_then(|i| reader.duration(i, 0..=YEAR, false, "24h")) {
        app.redeliver_ms = ms;
    }
    app.stream_keepalive = item("stream_keepalive").and_then(|i| reader.boolean(i)).unwrap_or(false);
    app.allowed_origins =
        item("allowed_origins").map(|item| sections::origins(reader, item)).unwrap_or_default();
    credentials(reader, header, &items, &mut app);
    if let Some(item) = item("rest_client_config") {
        app.policies = policies(reader, section, item, extra);
    }
    if let Some(item) = item("tls") {
        app.tls = peer_tls::read(reader, &format!("{section} tls"), item);
        if app.url.starts_with("http://") {
            reader.problem(item, "the url is http://, allowed: tls beside an https:// url");
        }
    }
    app
}

fn url<'t>(reader: &mut Reader<'t>, header: &Item<'t>, item: Option<&Item<'t>>, app: &mut WcsApp) {
    let allowed = "a URL such as \"http://127.0.0.1:8081/apps/EchoApp\"";
    let Some(item) = item else {
        return reader.problem(header, &format!("url is missing; allowed: {allowed}"));
    };
    let Some(text) = reader.text(item, allowed) else { return };
    match application_url(text) {
        Ok(_) => text.clone_into(&mut app.url),
        Err(wrong) => reader.problem(item, &format!("{wrong}; allowed: {allowed}")),
    }
}

/// A hook's name in its wire form, or the sentence that says that there is none.
fn hook(name: &str, extra: &BTreeMap<String, u8>) -> Result<String, String> {
    let wire = table::wire_name(name);
    if table::kind(wire, extra).is_some() {
        return Ok(wire.to_owned());
    }
    let mut names: Vec<&str> = extra.keys().map(String::as_str).collect();
    table::names().for_each(|name| names.push(name));
    let near = nearest(name, &names).map(|near| format!(", did you mean \"{near}\"?")).unwrap_or_default();
    Err(format!("\"{name}\" is no hook of WCS and not in [wcs] extra_hooks{near}"))
}

fn methods<'t>(reader: &mut Reader<'t>, item: &Item<'t>, extra: &BTreeMap<String, u8>) -> Vec<String> {
    let names = reader.list_of(item, METHODS, |name| match name {
        "all" => Ok(table::names().map(str::to_owned).collect()),
        _ => hook(name, extra).map(|name| vec![name]),
    });
    let mut hooks: Vec<String> = Vec::new();
    for name in names.into_iter().flatten().flatten() {
        if !hooks.contains(&name) {
            hooks.push(name);
        }
    }
    hooks
}

/// Basic or a signature: there is one Authorization field.
fn credentials<'t>(reader: &mut Reader<'t>, header: &Item<'t>, items: &[Item<'t>], app: &mut WcsApp) {
    let item = |key: &str| items.iter().find(|item| item.key == key);
    let mut secret = |key: &str, file: &str| match (item(key), item(file)) {
        (Some(_), Some(item)) => {
            reader.problem(item, &format!("{key} is set too, allowed: one of the two"));
            None
        }
        (Some(item), None) => reader.secret(item, SECRET),
        (None, Some(item)) => reader.secret_of_file(item, SECRET),
        (None, None) => None,
    };
    let password = secret("rest_password", "rest_password_file");
    app.hash_secret = secret("hash_secret", "hash_secret_file");
    let given = |keys: [&str; 2]| keys.iter().find_map(|key| item(key));
    let (user, word) = (item("rest_username"), given(["rest_password", "rest_password_file"]));
    match (user, word) {
        (Some(user), None) => reader.problem(user, "rest_password is missing; allowed: both, or none"),
        (None, Some(word)) => reader.problem(word, "rest_username is missing; allowed: both, or none"),
        (Some(_), Some(_)) | (None, None) => {}
    }
    let user = user.and_then(|item| plain(reader, item, 256, ":", PERSON));
    app.basic = user.zip(password);
    if let (Some(_), Some(hash)) = (word, given(["hash_secret", "hash_secret_file"])) {
        let text = "a signature and HTTP authentication both need the one Authorization field, allowed: one of the two";
        reader.problem(&hash.clone().called(&header.name), text);
    }
}

fn policies<'t>(
    reader: &mut Reader<'t>,
    section: &str,
    item: &Item<'t>,
    extra: &BTreeMap<String, u8>,
) -> BTreeMap<String, HookPolicy> {
    let mut policies = BTreeMap::new();
    let Some(table) = reader.table(item, POLICIES) else { return policies };
    for item in reader.named_entries(&format!("{section} rest_client_config."), table) {
        match hook(item.key, extra) {
            Err(text) => reader.problem(&item, &format!("{text}; allowed: a hook's name")),
            Ok(name) => {
                let Some(entry) = reader.table(&item, POLICIES) else { continue };
                let policy = policy(reader, &format!("{}.", item.name), entry);
                policies.insert(name, policy);
            }
        }
    }
    policies
}

fn policy<'t>(reader: &mut Reader<'t>, section: &str, table: &'t DeTable<'t>) -> HookPolicy {
    let mut policy = HookPolicy::default();
    for item in reader.entries(section, table, POLICY_KEYS) {
        match item.key {
            "restExclude" => policy.rest_exclude = fields(reader, &item),
            "clientExclude" => policy.client_exclude = fields(reader, &item),
            "restOverwrite" => policy.overwrite = fields(reader, &item),
            "restOnError" => {
                let value = reader.word(&item, "\"LOG\" or \"FAIL\"", on_error);
                policy.on_error = value.unwrap_or_default();
            }
            _ => {
                let value = reader.word(&item, "\"NOTIFY\", \"OVERWRITE\" or \"DISABLE\"", rest_policy);
                policy.policy = value.unwrap_or_default();
            }
        }
    }
    policy
}

/// Names of fields: text with commas, or a list.
fn fields<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Vec<String> {
    let allowed = "names of fields, such as \"sdp,name\" or [\"sdp\", \"name\"]";
    if item.is_text() {
        return reader.text(item, allowed).map(list).unwrap_or_default();
    }
    let names = reader.list_of(item, allowed, |name| Ok(list(name))).unwrap_or_default();
    names.into_iter().flatten().collect()
}

//! Listeners that other machines reach. One that serves a dialect which lets in whoever comes is refused, with the lines
//! that the config file lacks, unless `--insecure` is given. Dialects that are closed without credentials are no reason.

use std::net::SocketAddr;

use offhook_core::Config;
use offhook_core::ground::config::{Listener, RestPolicy, WcsApp};
use offhook_core::ground::network::is_loopback;

/// Judges the listeners at these addresses; the error is for people, in several lines. With `insecure` it is a warning.
pub(crate) fn judge(addresses: &[SocketAddr], config: &Config, insecure: bool) -> Result<(), String> {
    let mut problems = Vec::new();
    for (address, listener) in addresses.iter().zip(&config.listeners) {
        let open = open(listener, config);
        if is_loopback(address.ip()) || open.is_empty() {
            continue;
        }
        let problem = Problem { address: *address, open };
        if insecure {
            tracing::warn!("--insecure: {}", problem.sentence());
        } else {
            problems.push(problem.with_advice());
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

/// What a listener serves to whoever comes; it is nothing if it has a list of addresses, or all its clients show
/// certificates.
fn open(listener: &Listener, config: &Config) -> Vec<Open> {
    if listener.allow.is_some() || listener.tls.as_ref().is_some_and(|tls| tls.certified_clients) {
        return Vec::new();
    }
    let all = [("xms", xms(config)), ("wcs", wcs(config))];
    all.into_iter().filter(|(dialect, _)| listener.serves(dialect)).flat_map(|(_, open)| open).collect()
}

/// What lets in whoever comes: a section of the config file, and the lines either of which would close it.
struct Open {
    section: String,
    lines: &'static [&'static str],
}

fn xms(config: &Config) -> Vec<Open> {
    let open = config.xms.apps.iter().filter(|app| app.users.is_empty() && app.allow.is_none());
    let lines = &["users = [{ name = \"...\", password_hash = \"...\" }]", "allow = [\"192.0.2.0/24\"]"];
    open.map(|app| Open { section: format!("[xms.app.{}]", app.name), lines }).collect()
}

/// A backend that is asked at each connection is as good as credentials.
fn wcs(config: &Config) -> Vec<Open> {
    let asks = |app: &WcsApp| {
        let policy = app.policies.get("connect").map(|policy| policy.policy).unwrap_or_default();
        let listed = app.hooks.iter().any(|hook| hook == "connect");
        listed && policy != RestPolicy::Disable && !config.wcs.disable
    };
    let open = config.wcs.apps.iter().filter(|app| !asks(app));
    let lines = &["methods = [\"connect\"]"];
    open.map(|app| Open { section: format!("[wcs.apps.{}]", app.key), lines }).collect()
}

/// A listener that other machines reach, and what lets them in there.
struct Problem {
    address: SocketAddr,
    open: Vec<Open>,
}

impl Problem {
    fn sentence(&self) -> String {
        let sections: Vec<&str> = self.open.iter().map(|open| open.section.as_str()).collect();
        let (address, sections) = (self.address, sections.join(", "));
        format!("the listener {address} is reached from other machines, and {sections} lets in whoever comes")
    }

    fn with_advice(&self) -> String {
        let mut text = self.sentence() + "; add";
        for Open { section, lines } in &self.open {
            text += &format!("\n    {section}\n    {}", lines.join("\n  or\n    "));
        }
        text + "\nor listen on 127.0.0.1, or take the dialect out of the listener's `dialects`, or start with --insecure"
    }
}

#[cfg(test)]
mod tests {
    use offhook_core::ground::config::{HookPolicy, User, XmsApp};

    use super::*;

    fn judged(address: &str, dialects: Option<&[&str]>, apps: Vec<XmsApp>) -> Result<(), String> {
        judged_with(address, dialects, apps, false)
    }

    fn judged_with(
        address: &str,
        dialects: Option<&[&str]>,
        apps: Vec<XmsApp>,
        insecure: bool,
    ) -> Result<(), String> {
        let dialects = dialects.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let mut config =
            Config { listeners: vec![Listener { dialects, ..Listener::default() }], ..Config::default() };
        config.xms.apps = apps;
        judge(&[address.parse().unwrap()], &config, insecure)
    }

    fn app() -> XmsApp {
        XmsApp { name: "app".to_owned(), ..XmsApp::default() }
    }

    #[test]
    fn a_listener_for_others_asks_who_they_are() {
        let user =
            User { name: "ann".to_owned(), password_hash: "$argon2id$".to_owned(), only: <_>::default() };
        let with_users = XmsApp { users: [user].into(), ..app() };
        let with_addresses = XmsApp { allow: Some(Vec::new()), ..app() };
        for (address, dialects, apps, sound) in [
            ("127.0.0.1:80", None, vec![app()], true),
            ("[::1]:80", None, vec![app()], true),
            ("0.0.0.0:80", None, vec![app()], false),
            ("[::]:80", None, vec![app()], false),
            ("192.0.2.1:80", Some(&["xms"][..]), vec![app()], false),
            ("192.0.2.1:80", Some(&["native"]), vec![app()], true),
            ("192.0.2.1:80", None, vec![with_users.clone(), with_addresses], true),
            ("192.0.2.1:80", None, vec![with_users, app()], false),
        ] {
            assert_eq!(judged(address, dialects, apps).is_ok(), sound, "{address} {dialects:?}");
        }
    }

    #[test]
    fn certificates_of_clients_are_credentials() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config_file/testdata/t.toml");
        let tls = "cert = \"server.pem\", key = \"server.key\", client_ca = \"ca.pem\"";
        for (client_auth, sound) in [("required", true), ("optional", false)] {
            let text = format!(
                "[[listener]]\naddress = \"192.0.2.1:80\"\ntls = {{ {tls}, client_auth = \"{client_auth}\" }}"
            );
            let read = crate::config_file::parse(file, &text).unwrap();
            let (addresses, listeners) = read.listeners.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
            let config = Config { listeners, ..read.config };
            assert_eq!(judge(&addresses, &config, false).is_ok(), sound, "{client_auth}");
        }
    }

    #[test]
    fn addresses_of_the_listener_are_a_door() {
        let listener = Listener { allow: Some(Vec::new()), ..Listener::default() };
        let mut config = Config { listeners: vec![listener], ..Config::default() };
        config.xms.apps = vec![app()];
        assert_eq!(judge(&["0.0.0.0:80".parse().unwrap()], &config, false), Ok(()));
    }

    #[test]
    fn the_lines_to_add_are_named() {
        let problem = judged("0.0.0.0:80", None, vec![app()]).unwrap_err();
        assert_eq!(
            problem,
            "the listener 0.0.0.0:80 is reached from other machines, and [xms.app.app] lets in whoever comes; add\n    \
             [xms.app.app]\n    users = [{ name = \"...\", password_hash = \"...\" }]\n  or\n    \
             allow = [\"192.0.2.0/24\"]\nor listen on 127.0.0.1, or take the dialect out of the listener's `dialects`, \
             or start with --insecure"
        );
    }

    #[test]
    fn whoever_wants_it_so_gets_a_warning() {
        assert_eq!(judged_with("0.0.0.0:80", None, vec![app()], true), Ok(()));
    }

    #[test]
    fn a_backend_that_is_asked_counts() {
        for (hooks, sound) in [(&["connect"][..], true), (&["StreamStatusEvent"], false), (&[], false)] {
            let hooks = hooks.iter().map(|hook| (*hook).to_owned()).collect();
            let mut config = Config::default();
            config.wcs.apps = vec![WcsApp { hooks, ..WcsApp::default() }];
            assert_eq!(wcs(&config).is_empty(), sound);
            config.wcs.disable = true;
            assert!(!wcs(&config).is_empty(), "nobody is asked");
            config.wcs.disable = false;
            let policy = HookPolicy { policy: RestPolicy::Disable, ..HookPolicy::default() };
            config.wcs.apps[0].policies.insert("connect".to_owned(), policy);
            assert!(!wcs(&config).is_empty(), "nobody is asked");
        }
    }
}

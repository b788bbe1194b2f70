//! Lines to paste for whoever starts the server with `--demo`. The events themselves are played by the engine of
//! shard 0.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use offhook_core::Config;

/// The lines, with the real addresses of the listeners.
pub(crate) fn lines(config: &Config, addresses: &[SocketAddr]) -> Vec<String> {
    let serving = |dialect: &str| {
        let at = config.listeners.iter().position(|listener| listener.serves(dialect))?;
        let scheme = if config.listeners[at].tls.is_some() { "https" } else { "http" };
        addresses.get(at).map(|address| format!("{scheme}://{}", reachable(*address)))
    };
    let mut lines = Vec::new();
    if let Some(url) = serving("native") {
        lines.push("# Watch the demo's events (Server-Sent Events):".to_owned());
        lines.push(format!("curl -N {url}/v1/events"));
        lines.push("# Publish one of your own:".to_owned());
        lines.push(format!(
            "curl -H 'Content-Type: application/json' -d '{}' {url}/v1/events",
            r#"{"type":"call.ringing","subject":"call/42","data":{"caller_number":"100"}}"#
        ));
    }
    if let (Some(url), Some(app)) = (serving("xms"), config.xms.apps.first()) {
        let (prefix, appid) = (&config.xms.prefix, query_value(&app.name));
        lines.push("# Create an XMS eventhandler, then open its stream:".to_owned());
        lines.push(format!(
            "HREF=$(curl -s -d '{}' '{url}{prefix}/eventhandlers?appid={appid}' | {})",
            "<web_service version=\"1.0\"><eventhandler><eventsubscribe/></eventhandler></web_service>",
            r#"sed -n 's/.*href="\([^"]*\)".*/\1/p'"#
        ));
        lines.push(format!("curl -N \"{url}$HREF?appid={appid}\""));
    }
    lines
}

/// An address that a client on this machine can use.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    SocketAddr::new(ip, address.port())
}

/// Percent-encoded as RFC 3986 section 2.1 has it, which also keeps it one word for a shell.
fn query_value(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use offhook_core::ground::config::Listener;

    use super::*;

    #[test]
    fn the_lines_name_a_listener_that_serves_the_dialect() {
        let listeners = vec![
            Listener { dialects: Some(vec!["xms".to_owned()]), ..Listener::default() },
            Listener::default(),
        ];
        let mut config = Config { listeners, ..Config::default() };
        config.xms.apps[0].name = "my app".to_owned();
        let addresses = ["0.0.0.0:81".parse().unwrap(), "[::]:8080".parse().unwrap()];
        let lines = lines(&config, &addresses).join("\n");
        for part in [
            "curl -N http://[::1]:8080/v1/events",
            "'http://127.0.0.1:81/default/eventhandlers?appid=my%20app'",
            "curl -N \"http://127.0.0.1:81$HREF?appid=my%20app\"",
        ] {
            assert!(lines.contains(part), "{part} is not in\n{lines}");
        }
    }
}

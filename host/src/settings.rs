//! Command line, environment and config file, joined into what the server runs with. No socket is opened here.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use offhook_core::Config;
use offhook_core::ground::config::Listener;

use crate::cli::Cli;
use crate::config_file::{self, ConfigFile};

const DEFAULT_DATA: &str = "./offhook-data";
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// What the server runs with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// For the engines; `addresses` runs beside its list of listeners, where those of `[sip]` stand behind all others.
    pub(crate) config: Config,
    /// The audit log; `None` is the server's own log.
    pub(crate) audit: Option<PathBuf>,
    /// Where the listeners listen; those of `[sip]` have theirs in the configuration.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The data folder; `None` is `--data none`.
    pub(crate) data: Option<String>,
}

impl Settings {
    /// Reads the config file, if there is one, and puts the command line over it. The error is for people, a line for
    /// each problem.
    pub(crate) fn read(cli: &Cli) -> Result<Settings, String> {
        let file = match &cli.config {
            None => ConfigFile::default(),
            Some(path) => {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("cannot read the config file {name}: {error}"))?;
                config_file::parse(&name, &text)?
            }
        };
        Settings::join(cli, file)
    }

    pub(crate) fn join(cli: &Cli, file: ConfigFile) -> Result<Settings, String> {
        let listeners = if !cli.listen.is_empty() {
            all_dialects(&cli.listen)?
        } else if !file.listeners.is_empty() {
            file.listeners
        } else {
            all_dialects(&[DEFAULT_LISTEN])?
        };
        let of_demo = cli.demo.then(|| "none".to_owned());
        let data = cli.data.clone().or(of_demo).or(file.data).unwrap_or_else(|| DEFAULT_DATA.to_owned());
        let (addresses, mut listeners): (Vec<SocketAddr>, Vec<Listener>) = listeners.into_iter().unzip();
        listeners.extend(file.config.sip.listeners());
        let mut config = Config { listeners, demo: cli.demo, ..file.config };
        if let Some(address) = addresses.first().filter(|address| !address.ip().is_unspecified()) {
            config.wcs.node_address = address.ip().to_string();
        }
        let audit = file.audit;
        Ok(Settings { config, audit, addresses, data: (data != "none").then_some(data) })
    }

    /// The line about what is kept.
    pub(crate) fn about_data(&self) -> String {
        match &self.data {
            None => "nothing is kept: events are held in memory and gone after a stop".to_owned(),
            Some(folder) => format!("records are kept in {folder}"),
        }
    }
}

fn all_dialects(addresses: &[SocketAddr]) -> Result<Vec<(SocketAddr, Listener)>, String> {
    for (at, address) in addresses.iter().enumerate() {
        if address.port() != 0 && addresses[..at].contains(address) {
            return Err(format!("--listen {address}: given twice, allowed: each address once"));
        }
    }
    Ok(addresses.iter().map(|address| (*address, Listener::default())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(arguments: &[&str], file: &str) -> Result<Settings, String> {
        let arguments = ["offhook-test"].iter().chain(arguments).map(Into::into);
        Settings::join(
            &Cli::read("offhook-test", arguments).unwrap(),
            config_file::parse("t.toml", file).unwrap(),
        )
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let file = "data = \"folder\"\n[[listener]]\naddress = \"127.0.0.1:81\"\ndialects = [\"xms\"]";
        for (arguments, file, addresses, data) in [
            (&[][..], "", &["127.0.0.1:8080"][..], Some("./offhook-data")),
            (&[], file, &["127.0.0.1:81"], Some("folder")),
            (&["--listen", "[::1]:5"], file, &["[::1]:5"], Some("folder")),
            (
                &["--listen", "0.0.0.0:0", "--listen", "0.0.0.0:0"],
                file,
                &["0.0.0.0:0", "0.0.0.0:0"],
                Some("folder"),
            ),
            (&["--data", "none"], file, &["127.0.0.1:81"], None),
            (&["--demo"], file, &["127.0.0.1:81"], None),
            (&["--demo", "--data", "other"], file, &["127.0.0.1:81"], Some("other")),
        ] {
            let settings = join(arguments, file).unwrap();
            let listening: Vec<String> = settings.addresses.iter().map(ToString::to_string).collect();
            assert_eq!(
                (listening.as_slice(), settings.data.as_deref()),
                (&*owned(addresses), data),
                "{arguments:?}"
            );
            assert_eq!(settings.config.listeners.len(), addresses.len());
            assert!(settings.about_data().contains(data.unwrap_or("nothing is kept")));
            assert_eq!(settings.config.demo, arguments.contains(&"--demo"));
        }
    }

    fn owned(addresses: &[&str]) -> Vec<String> {
        addresses.iter().map(|address| (*address).to_owned()).collect()
    }

    #[test]
    fn an_address_given_twice_is_an_error() {
        let error = join(&["--listen", "127.0.0.1:5,127.0.0.1:5"], "").unwrap_err();
        assert_eq!(error, "--listen 127.0.0.1:5: given twice, allowed: each address once");
    }

    #[test]
    fn a_missing_file_is_named() {
        let arguments = ["t", "--config", "/no/such/file.toml"].iter().map(Into::into);
        let error = Settings::read(&Cli::read("t", arguments).unwrap()).unwrap_err();
        assert!(error.starts_with("cannot read the config file /no/such/file.toml: No such file"), "{error}");
    }
}

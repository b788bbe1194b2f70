//! The command line and its environment variables. Nothing is read or opened here; [`crate::settings`] joins this
//! with the config file.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

/// One event server for telephony and real-time communication
///
/// Events go in once; every client gets them in the dialect that it already speaks.
#[derive(Clone, Debug, Parser)]
#[command(version, after_help = AFTER_HELP, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Address and port to listen on; repeatable [default: 127.0.0.1:8080]
    ///
    /// All dialects share a listener; port 0 takes a free port.
    /// Goes before the [[listener]] tables of the config file.
    #[arg(long, value_name = "ADDR", env = "OFFHOOK_LISTEN", hide_env_values = true, verbatim_doc_comment)]
    #[arg(value_delimiter = ',', value_parser = parse_address)]
    pub(crate) listen: Vec<SocketAddr>,

    /// Config file (TOML); the command line and the environment go before it
    #[arg(long, value_name = "FILE", env = "OFFHOOK_CONFIG", hide_env_values = true, global = true)]
    pub(crate) config: Option<PathBuf>,

    /// Data folder, or "none" to keep nothing [default: ./offhook-data]
    ///
    /// The log is there: what was acknowledged survives a restart.
    /// One server at a time may have it.
    #[arg(long, value_name = "DIR|none", env = "OFFHOOK_DATA", hide_env_values = true, verbatim_doc_comment)]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) data: Option<String>,

    /// Engines, each on a thread of its own (1 to 64)
    #[arg(long, value_name = "N", env = "OFFHOOK_SHARDS", hide_env_values = true, default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) shards: u16,

    /// Play a small office's events, and print lines to paste that show them
    ///
    /// Keeps nothing unless --data is given.
    #[arg(long, env = "OFFHOOK_DEMO", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) demo: bool,

    /// Form of the server's own log on stderr
    #[arg(long, value_name = "FORMAT", env = "OFFHOOK_LOG_FORMAT", hide_env_values = true)]
    #[arg(value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,

    /// Least level of the lines in the log
    #[arg(long, value_name = "LEVEL", env = "OFFHOOK_LOG_LEVEL", hide_env_values = true)]
    #[arg(value_enum, default_value_t = LogLevel::Info)]
    pub(crate) log_level: LogLevel,

    /// Listen to other machines though not everything there asks who they are
    ///
    /// Without it such a listener is refused, with the lines that the config file lacks.
    #[arg(long, env = "OFFHOOK_INSECURE", hide_env_values = true, value_parser = BoolishValueParser::new())]
    pub(crate) insecure: bool,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// What is done instead of serving.
#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
pub(crate) enum Command {
    /// Connect with a [[source]] of the config file, and print what it may see and how its events are mapped
    ///
    /// Nothing is published. It ends at SIGINT or SIGTERM. Exit codes: 0 when it ends, 1 when there is no
    /// connection or it ends by itself, 2 for a name that is not in the file.
    #[command(verbatim_doc_comment)]
    CheckSource {
        /// The name of the [[source]]
        name: String,

        /// End after so many seconds
        #[arg(long, value_name = "SECONDS")]
        seconds: Option<u64>,
    },

    /// Read a password and print its hash, for password_hash in the config file
    Passwd,
}

const AFTER_HELP: &str = "\
SIGTERM or SIGINT: drain and exit 0; a second one exits at once. SIGHUP: read the config file again.
Exit codes: 0 after a drain, 1 when the server cannot run, 2 for a wrong command line or config file.

To see events at once:  --demo";

/// `--log-format`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// One line of text each
    Text,
    /// One JSON object a line
    Json,
}

/// `--log-level`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Cli {
    /// Reads arguments (the first is the program) and environment. `--help` and `--version` come back as errors whose
    /// exit code is 0.
    pub(crate) fn read(
        name: &'static str,
        arguments: impl Iterator<Item = std::ffi::OsString>,
    ) -> Result<Cli, clap::Error> {
        let mut command = Cli::command().name(name).bin_name(name);
        let matches = command.try_get_matches_from_mut(arguments)?;
        Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "needed: an IP address and a port, such as 127.0.0.1:8080 or [::]:8080".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Cli, clap::Error> {
        let arguments = ["offhook-test"].iter().chain(arguments).map(Into::into);
        Cli::read("offhook-test", arguments)
    }

    #[test]
    fn defaults() {
        let cli = read(&[]).unwrap();
        assert!(cli.listen.is_empty() && cli.config.is_none() && cli.data.is_none() && !cli.demo);
        assert_eq!((cli.shards, cli.log_format, cli.log_level), (1, LogFormat::Text, LogLevel::Info));
    }

    #[test]
    fn flags() {
        let cli =
            read(&["--listen", "127.0.0.1:0", "--listen=[::1]:81", "--demo", "--data", "none", "--shards=2"]);
        let cli = cli.unwrap();
        assert_eq!(cli.listen, ["127.0.0.1:0".parse().unwrap(), "[::1]:81".parse().unwrap()]);
        assert!(cli.demo && cli.data.as_deref() == Some("none") && cli.shards == 2);
    }

    #[test]
    fn wrong_values_are_named_with_what_is_allowed() {
        for (arguments, part) in [
            (&["--listen", "localhost"][..], "such as 127.0.0.1:8080"),
            (&["--shards", "65"], "1..=64"),
            (&["--shards", "0"], "1..=64"),
            (&["--log-format", "xml"], "text, json"),
            (&["--data", ""], "--data"),
            (&["--lisen", "127.0.0.1:1"], "--listen"),
        ] {
            let error = read(arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
            assert!(error.to_string().contains(part), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn version_and_help_name_the_binary_and_every_variable() {
        let version = read(&["--version"]).unwrap_err();
        assert_eq!(version.exit_code(), 0);
        assert_eq!(version.to_string(), format!("offhook-test {}\n", env!("CARGO_PKG_VERSION")));
        let help = read(&["--help"]).unwrap_err().to_string();
        for flag in Cli::command().get_arguments().filter(|a| a.get_long().is_some()) {
            let variable = format!("OFFHOOK_{}", flag.get_id().as_str().to_uppercase());
            assert!(help.contains(&variable), "{variable} is not in\n{help}");
        }
    }
}

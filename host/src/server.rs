//! From the settings to running shards, and to the exit code. What a shard does with its sockets is the runtime's.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use offhook_core::ground::config::Place;
use offhook_core::ground::limits::Limits;
use offhook_core::{Completion, Config, Engine, Epoch, ListenerId, ShardId};

use crate::cli::{Cli, Command, LogFormat};
use crate::clock::Clock;
use crate::kept;
use crate::listen::{self, Acceptor};
use crate::log::folder::Folder;
use crate::open_files::Share;
use crate::port::Port;
use crate::process::Process;
use crate::reload::Reloader;
use crate::settings::Settings;
use crate::shard::{Shard, seed};
use crate::{Runtime, check_source, demo, exposure, logging, open_files, passwd, signals, sip, tls};

/// Why the server does not run, or no longer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line, or a question that it asked (`--help`).
    CommandLine(clap::Error),
    /// The config file; a line for each problem.
    Config(String),
    /// The world: a taken port, a failed thread.
    World(String),
}

impl Failure {
    /// Says it on stderr (help and version: stdout), and gives the exit code.
    pub(crate) fn report(&self, name: &str) -> ExitCode {
        // Whoever does not read what we print does not keep us from exiting.
        match self {
            Failure::CommandLine(error) => {
                drop(error.print());
                ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
            }
            Failure::Config(problems) => {
                drop(writeln!(io::stderr(), "{problems}"));
                ExitCode::from(2)
            }
            Failure::World(text) => {
                drop(writeln!(io::stderr(), "{name}: {text}"));
                ExitCode::from(1)
            }
        }
    }
}

/// The whole life of the server; `Ok` is a clean drain.
pub(crate) fn run(
    name: &'static str,
    runtime: Runtime,
    arguments: impl Iterator<Item = OsString>,
) -> Result<(), Failure> {
    let cli = Cli::read(name, arguments).map_err(Failure::CommandLine)?;
    if let Some(Command::Passwd) = cli.command {
        return passwd::run().map_err(Failure::World);
    }
    let mut settings = Settings::read(&cli).map_err(Failure::Config)?;
    if let Some(Command::CheckSource { name, seconds }) = &cli.command {
        return check_source::run(&settings.config, name, *seconds);
    }
    logging::start(cli.log_format, cli.log_level);
    exposure::judge(&settings.addresses, &settings.config, cli.insecure).map_err(Failure::Config)?;
    for line in sip::exposed(&settings.config) {
        tracing::warn!("{line}");
    }
    let share = raise_open_files(&settings, cli.shards);
    fit_connections(&mut settings.config.limits, share);
    settings.config.tls = Some(tls::base());
    say_what_is_kept(&settings);
    let folder = settings.data.as_deref().map(Folder::open).transpose().map_err(Failure::World)?;

    let mut config = settings.config.clone();
    let listeners = bind_all(&settings).map_err(Failure::World)?;
    let sip = sip::bind(&mut config).map_err(Failure::World)?;
    let runtime_name = name.strip_prefix("offhook-").unwrap_or(name);
    let process = Arc::new(Process::new(usize::from(cli.shards), runtime_name));
    process.audit.open(settings.audit.as_ref()).map_err(Failure::World)?;
    process.checker.set_threads_max(settings.config.limits.checks_running);
    let keeps_log = settings.data.is_some();
    let mut shards = make_shards(&config, keeps_log, &listeners, sip, &process, cli.shards)
        .map_err(|error| Failure::World(format!("cannot start: {error}")))?;
    let log =
        folder.map(|folder| kept::start(&folder, &config, &mut shards, &process).map(|log| (folder, log)));
    let log = log.transpose().map_err(Failure::World)?;
    process.tell_all(|| Completion::Recovered);
    for shard in &mut shards {
        shard.port.begin(shard.clock.now(), &mut shard.engine);
    }
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>();
    let addresses =
        addresses.map_err(|error| Failure::World(format!("cannot read a listener's address: {error}")))?;
    // From here on the shards' own copies hold the listening sockets, so that they close when the shards drop them.
    drop(listeners);

    let log_format = cli.log_format;
    let mut reloader = Reloader { cli, running: settings, share, process: Arc::clone(&process) };
    signals::start(Arc::clone(&process), move || reloader.reload())
        .map_err(|error| Failure::World(format!("cannot take signals: {error}")))?;
    for (address, listener) in addresses.iter().zip(&config.listeners) {
        let scheme = if listener.tls.is_some() { "https" } else { "http" };
        tracing::info!(target: logging::READY, "listening on {scheme}://{address}");
    }
    for socket in &config.sip.listen {
        tracing::info!(target: logging::READY, "listening on {socket}");
    }
    if config.demo {
        print_demo(&demo::lines(&config, &addresses), log_format);
    }
    let ended = run_shards(shards, runtime, &process).map_err(Failure::World);
    if let Some((folder, log)) = log {
        log.stop();
        // Only here may the next process have it.
        drop(folder);
    }
    ended
}

/// Raises the limit of open files; gives what each shard can have under it.
fn raise_open_files(settings: &Settings, shards: u16) -> Option<Share> {
    let files = open_files::raise_limit().unwrap_or_else(|error| {
        tracing::warn!("cannot raise the limit of open files: {error}");
        open_files::limit()
    })?;
    let (listeners, sip) = (settings.addresses.len() as u64, settings.config.sip.listen.len() as u64);
    let limits = &settings.config.limits;
    let flows = if sip > 0 { limits.sip_flows } else { 0 };
    // A reload may bring more of them.
    let sources = limits.sources.min(files / 8).max(settings.config.sources.len() as u64);
    let files = files.saturating_sub(2 * sip).saturating_sub(sources);
    Some(open_files::share(files, listeners, u64::from(shards), limits.refusal_places, [limits.calls, flows]))
}

/// Lowers `connections` and `calls` to what fits, with a warning.
pub(crate) fn fit_connections(limits: &mut Limits, share: Option<Share>) {
    let Some(share) = share else { return };
    limits.calls = limits.calls.min(share.calls);
    limits.sip_flows = limits.sip_flows.min(share.flows);
    let most = share.connections;
    if most < limits.connections {
        tracing::warn!(
            "connections per shard are lowered from {} to {most}, which is what the limit of open files allows \
             (raise it: ulimit -Hn, or LimitNOFILE= of systemd)",
            limits.connections
        );
        limits.connections = most;
    }
}

fn say_what_is_kept(settings: &Settings) {
    tracing::info!("{}", settings.about_data());
}

fn bind_all(settings: &Settings) -> Result<Vec<TcpListener>, String> {
    let send_buffer_bytes = settings.config.limits.send_buffer_bytes;
    let bind = |address: &SocketAddr| {
        listen::bind(*address, send_buffer_bytes).map_err(|error| listen::cannot_listen(*address, &error))
    };
    settings.addresses.iter().map(bind).collect()
}

/// Listeners of HTTP are shared; SIP's sockets are shard 0's.
fn make_shards(
    config: &Config,
    keeps_log: bool,
    listeners: &[TcpListener],
    sip: sip::Sockets,
    process: &Arc<Process>,
    shards: u16,
) -> io::Result<Vec<Shard>> {
    let clock = Clock::start();
    // The moment tells the starts apart; where records are kept, their log has the last word.
    let epoch = Epoch(clock.now().wall.0);
    let sip::Sockets { mut udp, listeners: of_sip } = sip;
    let make = |shard: u16| {
        let of_sip = if shard == 0 { &of_sip[..] } else { &[] };
        let listeners = listeners.iter().chain(of_sip);
        let acceptors = listeners.zip(0..).map(|(listener, id)| Acceptor::new(ListenerId(id), listener));
        let place = Place { shard: ShardId(shard), shards, epoch, keeps_log };
        Ok(Shard {
            engine: Engine::new(config.clone(), place, seed()?),
            clock,
            acceptors: acceptors.collect::<io::Result<_>>()?,
            udp: std::mem::take(&mut udp),
            port: Port::new(usize::from(shard), Arc::clone(process)),
            limits: config.limits.clone(),
        })
    };
    (0..shards).map(make).collect()
}

/// Runs shard 0 on this thread and each other on its own. When one fails, the others drain.
fn run_shards(shards: Vec<Shard>, runtime: Runtime, process: &Arc<Process>) -> Result<(), String> {
    let mut shards = shards.into_iter().enumerate();
    let first = shards.next();
    let mut threads: Vec<(usize, JoinHandle<Result<(), String>>)> = Vec::new();
    let mut outcome = Ok(());
    for (number, shard) in shards {
        let process = Arc::clone(process);
        let thread = thread::Builder::new().name(format!("shard-{number}"));
        match thread.spawn(move || run_shard(number, shard, runtime, &process)) {
            Ok(thread) => threads.push((number, thread)),
            Err(error) => outcome = Err(format!("cannot start the thread of shard {number}: {error}")),
        }
    }
    if outcome.is_err() {
        process.stop();
    }
    if let Some((number, shard)) = first {
        outcome = outcome.and(run_shard(number, shard, runtime, process));
    }
    for (number, thread) in threads {
        let ended = thread.join().unwrap_or_else(|_| Err(format!("shard {number} panicked")));
        outcome = outcome.and(ended);
    }
    outcome
}

fn run_shard(number: usize, shard: Shard, runtime: Runtime, process: &Process) -> Result<(), String> {
    let ended = runtime(shard).map_err(|error| format!("shard {number} failed: {error}"));
    if ended.is_err() {
        process.stop();
    }
    ended
}

/// Plain lines, ready to paste; in a log of JSON they are lines of the log.
fn print_demo(lines: &[String], format: LogFormat) {
    for line in lines {
        match format {
            LogFormat::Text => drop(writeln!(io::stderr(), "{line}")),
            LogFormat::Json => tracing::info!("{line}"),
        }
    }
}

//! The servers as child processes: started on their core, asked for their memory and CPU time, and
//! ended when dropped.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::Result;
use crate::machine::Cores;

/// A server that does not listen by then is given up.
const START_MAX: Duration = Duration::from_secs(20);

/// Lines of a server's log that an error quotes.
const LAST_WORDS: usize = 20;

/// What can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// The floor, one write per delivery.
    Floor,
    /// The floor, all that is pending in one write.
    Ceiling,
    /// `offhook-mio`.
    Mio,
    /// `offhook-smol`.
    Smol,
    /// nginx with nchan, beside which TLS is measured.
    Nginx,
}

impl Server {
    /// Its short name in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Ceiling => "ceiling",
            Self::Mio => "mio",
            Self::Smol => "smol",
            Self::Nginx => "nginx",
        }
    }

    /// Its package and binary, if it is one of ours.
    pub(crate) fn package(self) -> Option<&'static str> {
        match self {
            Self::Floor | Self::Ceiling | Self::Nginx => None,
            Self::Mio => Some("offhook-mio"),
            Self::Smol => Some("offhook-smol"),
        }
    }

    /// What starts it. The program is looked for beside this one; floors take no setup.
    fn command(self, setup: &Setup) -> Result<Command> {
        let this = std::env::current_exe()?;
        if self == Self::Nginx {
            let mut command = on_the_servers_core(Path::new("nginx"))?;
            command.arg("-c").args(&setup.config);
            return Ok(command);
        }
        let Some(binary) = self.package() else {
            let mut command = on_the_servers_core(&this)?;
            command.args(["floor", "--coalesce", if self == Self::Ceiling { "0" } else { "1" }]);
            return Ok(command);
        };
        let mut command = on_the_servers_core(&this.with_file_name(binary))?;
        if setup.address.is_none() {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.arg("--data");
        command.arg(setup.data.as_deref().unwrap_or(Path::new("none")));
        if let Some(config) = &setup.config {
            command.arg("--config").arg(config);
        }
        Ok(command)
    }
}

/// What a server is started with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    /// The folder of its log; `None` keeps records in memory.
    pub(crate) data: Option<PathBuf>,
    /// Its config file.
    pub(crate) config: Option<PathBuf>,
    /// Where it listens without TLS, if the config file says that.
    pub(crate) address: Option<SocketAddr>,
}

/// A command that becomes `program` on the server's core, to be ended together with this process.
fn on_the_servers_core(program: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("pinned").arg(Cores::of_this_machine().server.to_string()).arg(program);
    for name in std::env::vars_os().map(|(name, _)| name).filter(is_a_setting) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    Ok(command)
}

/// What this program says on stdout when it is run with these arguments on the server's core.
pub(crate) fn output(arguments: &[OsString]) -> Result<String> {
    let mut command = on_the_servers_core(&std::env::current_exe()?)?;
    let output = command.args(arguments).stdout(Stdio::piped()).output()?;
    if !output.status.success() {
        let (status, said) = (output.status, String::from_utf8_lossy(&output.stderr));
        return Err(format!("bench {arguments:?} ended with {status}: {said}").into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    /// Starts a server on its core and waits until it listens.
    pub(crate) fn start(server: Server, setup: &Setup) -> Result<Self> {
        let (mut process, address) = Self::spawn(server.command(setup)?)?;
        process.address = match setup.address {
            Some(address) => process.wait_until_it_takes(address, server)?,
            None => process.wait_for(&address, server)?,
        };
        Ok(process)
    }

    /// Starts this program with these arguments on the server's core, as a client that listens nowhere.
    pub(crate) fn start_client(arguments: &[OsString]) -> Result<Self> {
        let mut command = on_the_servers_core(&std::env::current_exe()?)?;
        command.args(arguments);
        Ok(Self::spawn(command)?.0)
    }

    /// The child, and where its address will be told.
    fn spawn(mut command: Command) -> Result<(Self, Receiver<SocketAddr>)> {
        let mut child = command.spawn()?;
        let stderr = child.stderr.take();
        // From here on the guard ends the child, whatever goes wrong.
        let (unknown, log) = (SocketAddr::from(([0; 4], 0)), Arc::default());
        let process = Self { child, address: unknown, log };
        let (found, address) = mpsc::channel();
        if let Some(stderr) = stderr {
            let log = Arc::clone(&process.log);
            std::thread::spawn(move || follow(stderr, &log, &found));
        }
        Ok((process, address))
    }

    fn wait_for(&mut self, address: &Receiver<SocketAddr>, server: Server) -> Result<SocketAddr> {
        address
            .recv_timeout(START_MAX)
            .map_err(|_| self.explain(format!("{} did not say where it listens", server.name()).into()))
    }

    /// Waits until somebody listens at an address that was known before.
    fn wait_until_it_takes(&mut self, address: SocketAddr, server: Server) -> Result<SocketAddr> {
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begin.elapsed() > START_MAX || self.child.try_wait()?.is_some() {
                return Err(self.explain(format!("{} does not listen at {address}", server.name()).into()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(address)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Adds to an error what the server itself has to say.
    pub(crate) fn explain(&mut self, error: crate::Error) -> crate::Error {
        let state = match self.child.try_wait() {
            Ok(Some(status)) => format!("the server ended with {status}"),
            Ok(None) => "the server is still running".to_owned(),
            Err(error) => format!("the server's state is unknown: {error}"),
        };
        let log = match self.log.lock() {
            Ok(log) => log.iter().fold(String::new(), |text, line| text + "\n    | " + line),
            Err(_) => String::new(),
        };
        format!("{error}; {state}{log}").into()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Settings of the user's own servers must not change what is measured.
fn is_a_setting(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("OFFHOOK_") || name == "RUST_LOG"
}

/// Reads a server's log to its end, so that it never blocks on a full pipe.
fn follow(stderr: ChildStderr, log: &Mutex<VecDeque<String>>, found: &Sender<SocketAddr>) {
    for line in BufReader::new(stderr).lines().map_while(std::io::Result::ok) {
        if let Some(address) = listening_address(&line) {
            let _ = found.send(address);
        }
        let Ok(mut log) = log.lock() else { return };
        if log.len() == LAST_WORDS {
            log.pop_front();
        }
        log.push_back(line);
    }
}

/// The address in a line that says `listening on http://ADDRESS`, whatever surrounds it.
fn listening_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on http://")?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Bytes of private memory that a process has touched: `RssAnon`, which leaves out the pages of the
/// program file and the kernel's socket buffers. Waits, within bounds, until it no longer changes.
pub(crate) fn settled_memory(pid: u32) -> Result<u64> {
    let begin = Instant::now();
    let (mut bytes, mut unchanged) = (anonymous_memory(pid)?, 0);
    while unchanged < 5 && begin.elapsed() < Duration::from_secs(15) {
        std::thread::sleep(Duration::from_millis(200));
        let current = anonymous_memory(pid)?;
        unchanged = if current == bytes { unchanged + 1 } else { 0 };
        bytes = current;
    }
    Ok(bytes)
}

fn anonymous_memory(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    rss_anon(&status).ok_or_else(|| format!("/proc/{pid}/status has no RssAnon").into())
}

fn rss_anon(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    Some(value.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// What the scheduler did with a process, over all of its threads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scheduled {
    /// Nanoseconds on a core.
    pub(crate) ran_ns: u64,
    /// Nanoseconds ready to run, while something else had the core.
    pub(crate) waited_ns: u64,
}

impl Scheduled {
    /// So far: the first two fields of `schedstat` (see sched-stats in the kernel's documentation).
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let mut total = Self::default();
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end between being listed and being asked; what it ran is forgotten then.
            let Some(schedstat) = unless_gone(fs::read_to_string(thread?.path().join("schedstat")))? else {
                continue;
            };
            let mut fields = schedstat.split_whitespace().map_while(|field| field.parse::<u64>().ok());
            let (ran_ns, waited_ns) = fields.next().zip(fields.next()).ok_or("schedstat has no figures")?;
            total.ran_ns += ran_ns;
            total.waited_ns += waited_ns;
        }
        Ok(total)
    }
}

/// `None` of a thread that has ended (proc(5): no entry, or no such process once it is open).
fn unless_gone(text: std::io::Result<String>) -> Result<Option<String>> {
    match text {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_whatever_surrounds_it() {
        let address = Some(SocketAddr::from(([127, 0, 0, 1], 8080)));
        assert_eq!(listening_address("listening on http://127.0.0.1:8080"), address);
        assert_eq!(listening_address("12:00 INFO host: listening on http://127.0.0.1:8080/ x=1"), address);
        assert_eq!(listening_address("\u{1b}[2mlistening on http://127.0.0.1:8080\u{1b}[0m"), address);
        assert_eq!(listening_address("listening on https://127.0.0.1:8443"), None);
        assert_eq!(listening_address("draining"), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(rss_anon("VmRSS:\t  2048 kB\nRssAnon:\t     100 kB\n"), Some(102_400));
        assert_eq!(rss_anon("Name:\tx\n"), None);
    }

    #[test]
    fn threads_may_end_while_they_are_asked() {
        let error = |number| Err(std::io::Error::from_raw_os_error(number));
        assert_eq!(unless_gone(error(Errno::NOENT.raw_os_error())).expect("gone"), None);
        assert_eq!(unless_gone(error(Errno::SRCH.raw_os_error())).expect("gone"), None);
        assert!(unless_gone(error(Errno::ACCESS.raw_os_error())).is_err());
    }

    #[test]
    fn cpu_time_grows() {
        let before = Scheduled::of(std::process::id()).expect("our own").ran_ns;
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(30) {}
        assert!(Scheduled::of(std::process::id()).expect("our own").ran_ns > before);
    }
}

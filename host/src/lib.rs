//! What the server binaries of offhook share: command line, config file, listening sockets, the log's order between
//! shards, metrics, the server's own log lines, and signals.
//!
//! What is absent here: a loop. A [`Runtime`] gets a [`shard::Shard`] on a thread of its own and moves bytes between
//! sockets and its engine; whatever concerns no socket goes through the shard's [`port::Port`]. Protocols are in
//! `offhook-core` alone, and so is what the log's files look like; this crate writes them.
//!
//! ```text
//!   cli + config_file ─► settings ─► server ─► listen, open_files, shard 0 … n ─► Runtime
//!                           ▲                                      ▲   port ◄──► mailbox
//!   signals ─► reload ──────┘                                      └── process: sequencer, report
//!                                                                     log: folder, thread, reader; resolve
//! ```

mod audit;
mod check_source;
mod checker;
mod cli;
mod clock;
pub mod config_file;
mod demo;
mod exposure;
mod kept;
mod listen;
mod log;
mod logging;
mod mailbox;
mod metrics;
mod open_files;
mod passwd;
mod password;
mod port;
mod process;
mod reload;
mod report;
mod resolve;
mod sequencer;
mod server;
mod settings;
mod shard;
mod signals;
mod sip;
#[cfg(test)]
mod tests;
mod tls;
mod udp;

use std::process::ExitCode;

pub use crate::clock::Clock;
pub use crate::listen::{ACCEPT_PAUSE, Acceptor};
pub use crate::port::{GATHERING_FLUSHES, Port};
pub use crate::shard::Shard;
pub use crate::udp::Udp;

/// Moves the bytes of one shard. It returns when the engine is drained after a stop; an error ends the server.
pub type Runtime = fn(Shard) -> std::io::Result<()>;

/// The whole server: reads command line, environment and config file, binds the listeners, starts log and signals,
/// runs `runtime` once for each shard, says `listening on http://ADDR` on stderr for each listener when ready, waits
/// for all shards, and gives the exit code. `name` is the binary's.
pub fn main(name: &'static str, runtime: Runtime) -> ExitCode {
    match server::run(name, runtime, std::env::args_os()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(name),
    }
}

//! `offhook-mio`: the offhook server on a hand-rolled epoll loop.
//!
//! What is absent here: protocol, configuration, the log. The core (`offhook-core`) is the machine, the host
//! (`offhook-host`) reads the command line and starts one shard per thread; this crate only moves bytes. Each shard
//! runs [`event_loop::run`] over a `mio::Poll` of its own; the shards share nothing but the listening sockets and
//! what their ports carry.

mod event_loop;
mod sockets;

use std::process::ExitCode;

fn main() -> ExitCode {
    offhook_host::main("offhook-mio", event_loop::run)
}

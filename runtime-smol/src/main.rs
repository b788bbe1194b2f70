//! `offhook-smol`: the offhook server on smol.
//!
//! What is absent here: protocol, configuration, the log. The core (`offhook-core`) is the machine, the host
//! (`offhook-host`) reads the command line and starts one shard per thread; this crate only moves bytes. Each shard
//! runs [`event_loop::run`]: one `LocalExecutor`, one small task per connection, one adapter that they all feed.
//! Tasks of all shards share one reactor, since smol has one per process.

mod adapter;
mod event_loop;
mod sockets;

use std::process::ExitCode;

fn main() -> ExitCode {
    offhook_host::main("offhook-smol", event_loop::run)
}

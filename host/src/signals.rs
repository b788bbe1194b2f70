//! Signals, on a thread of their own: SIGTERM and SIGINT drain, a second one ends at once, SIGHUP reads the config
//! file again. No engine is touched here; the shards hear of it through their mailboxes.

use std::io;
use std::sync::Arc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::process::Process;

/// The exit code of a stop that did not wait for the drain: 128 and SIGINT's number, as shells have it.
pub(crate) const IMPATIENT: i32 = 130;

/// Takes the signals over from the default, which would end the process.
pub(crate) fn start(process: Arc<Process>, mut reload: impl FnMut() + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || {
        for signal in signals.forever() {
            if signal == SIGHUP {
                reload();
            } else if process.stop() {
                tracing::info!("stopping: streams end, replies are written, then the server exits");
            } else {
                tracing::warn!("asked to stop a second time: exiting at once");
                std::process::exit(IMPATIENT);
            }
        }
    })?;
    Ok(())
}

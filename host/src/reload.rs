//! SIGHUP: the config file is read again. A file with a problem changes nothing. Listeners get their new
//! certificates and proxies; their addresses and dialects stay as they are until a restart.

use std::sync::Arc;

use crate::cli::Cli;
use crate::open_files::Share;
use crate::process::Process;
use crate::server::fit_connections;
use crate::settings::Settings;

/// What a reload needs to know of the running server.
#[derive(Debug)]
pub(crate) struct Reloader {
    pub(crate) cli: Cli,
    /// As it was at the start.
    pub(crate) running: Settings,
    /// What the open files allow each shard.
    pub(crate) share: Option<Share>,
    pub(crate) process: Arc<Process>,
}

impl Reloader {
    /// Reads the file and tells every shard.
    pub(crate) fn reload(&self) {
        if self.cli.config.is_none() {
            tracing::info!("asked to reload, but there is no config file: started without --config");
            return;
        }
        match Settings::read(&self.cli) {
            Err(problems) => {
                for problem in problems.lines() {
                    tracing::error!("{problem}");
                }
                tracing::warn!("the config was not reloaded; the server goes on with the one it has");
            }
            Ok(settings) => {
                self.apply(settings);
                tracing::info!("config reloaded");
            }
        }
    }

    fn apply(&self, mut settings: Settings) {
        let kept = |settings: &Settings| -> Vec<_> {
            let listeners = settings.config.listeners.iter();
            listeners.map(|listener| (listener.dialects.clone(), listener.tls.is_some())).collect()
        };
        if settings.addresses != self.running.addresses || kept(&settings) != kept(&self.running) {
            tracing::warn!("the listeners have changed in the config file: that takes a restart");
            // Those of the engines stay as they are.
            settings.config.listeners.clear();
        }
        if settings.config.log != self.running.config.log {
            tracing::warn!("[log] has changed in the config file: that takes a restart");
        }
        if settings.data != self.running.data {
            tracing::warn!("`data` has changed in the config file: that takes a restart");
        }
        settings.config.tls.clone_from(&self.running.config.tls);
        fit_connections(&mut settings.config.limits, self.share);
        if let Err(problem) = self.process.audit.open(settings.audit.as_ref()) {
            tracing::error!("{problem}; it goes on where it is");
        }
        self.process.checker.set_threads_max(settings.config.limits.checks_running);
        self.process.reloaded(&settings.config);
    }
}

//! SIGHUP: the config file is read again. A file with a problem changes nothing. Listeners get their new
//! certificates and proxies; their addresses and dialects stay as they are until a restart.

use std::sync::Arc;

use offhook_core::ground::config::Listener;

use crate::cli::Cli;
use crate::exposure;
use crate::open_files::Share;
use crate::process::Process;
use crate::server::fit_connections;
use crate::settings::Settings;

/// What a reload needs to know of the running server.
#[derive(Debug)]
pub(crate) struct Reloader {
    pub(crate) cli: Cli,
    /// As it was at the start, with the listeners' newest certificates and rules.
    pub(crate) running: Settings,
    /// What the open files allow each shard.
    pub(crate) share: Option<Share>,
    pub(crate) process: Arc<Process>,
}

impl Reloader {
    /// Reads the file and tells every shard.
    pub(crate) fn reload(&mut self) {
        if self.cli.config.is_none() {
            tracing::info!("asked to reload, but there is no config file: started without --config");
            return;
        }
        match Settings::read(&self.cli).and_then(|settings| self.judged(settings)) {
            Err(problems) => {
                for problem in problems.lines() {
                    tracing::error!("{problem}");
                }
                tracing::warn!("the config was not reloaded; the server goes on with the one it has");
            }
            Ok(settings) => {
                self.running.config.listeners.clone_from(&settings.config.listeners);
                self.apply(settings);
                tracing::info!("config reloaded");
            }
        }
    }

    /// The new settings, if the listeners that there are may serve by them.
    fn judged(&self, mut settings: Settings) -> Result<Settings, String> {
        let running = &self.running;
        // Those of HTTP stand before those of SIP.
        let (http, sip) = settings.config.listeners.split_at(settings.addresses.len());
        let (http_before, sip_before) = running.config.listeners.split_at(running.addresses.len());
        let kinds = |listeners: &[Listener]| -> Vec<_> {
            listeners.iter().map(|listener| (listener.dialects.clone(), listener.tls.is_some())).collect()
        };
        let http_stay = settings.addresses == running.addresses && kinds(http) == kinds(http_before);
        if !http_stay {
            tracing::warn!("the listeners have changed in the config file: that takes a restart");
        }
        let sockets = |settings: &Settings| -> Vec<_> {
            settings.config.sip.listen.iter().map(|socket| (socket.transport, socket.address)).collect()
        };
        let sip_stay = sockets(&settings) == sockets(running);
        if !sip_stay || !settings.config.sip.speaks_as(&running.config.sip) {
            tracing::warn!("[sip] has changed in the config file: that takes a restart");
        }
        // Those that are open may have newer certificates than at the start.
        let http = if http_stay { http } else { http_before };
        let sip = if sip_stay { sip } else { sip_before };
        settings.config.listeners = [http, sip].concat();
        if settings.config.log != self.running.config.log {
            tracing::warn!("[log] has changed in the config file: that takes a restart");
        }
        if settings.data != self.running.data {
            tracing::warn!("`data` has changed in the config file: that takes a restart");
        }
        settings.config.tls.clone_from(&self.running.config.tls);
        exposure::judge(&self.running.addresses, &settings.config, self.cli.insecure)?;
        Ok(settings)
    }

    fn apply(&self, mut settings: Settings) {
        fit_connections(&mut settings.config.limits, self.share);
        if let Err(problem) = self.process.audit.open(settings.audit.as_ref()) {
            tracing::error!("{problem}; it goes on where it is");
        }
        self.process.checker.set_threads_max(settings.config.limits.checks_running);
        self.process.reloaded(&settings.config);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that listens to other machines, and reads this file when it is asked to reload.
    struct Running(Reloader, std::path::PathBuf);

    impl Running {
        fn new(name: &str, file: &str) -> Running {
            let path =
                std::env::temp_dir().join(format!("offhook-reload-{}-{name}.toml", std::process::id()));
            std::fs::write(&path, file).unwrap();
            let arguments = ["t".into(), "--config".into(), path.clone().into_os_string()];
            let cli = Cli::read("t", arguments.into_iter()).unwrap();
            let running = "[[listener]]\naddress = \"192.0.2.1:80\"";
            let running =
                Settings::join(&cli, crate::config_file::parse("t.toml", running).unwrap()).unwrap();
            let process = Arc::new(Process::new(1, "test"));
            Running(Reloader { cli, running, share: None, process }, path)
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.1);
        }
    }

    /// Reads `file` into such a server.
    fn reload(name: &str, file: &str) -> Result<Settings, String> {
        let Running(reloader, _) = &Running::new(name, file);
        Settings::read(&reloader.cli).and_then(|settings| reloader.judged(settings))
    }

    /// Rules of listeners change while they are open; a later file is judged by the newest.
    #[test]
    fn what_a_listener_took_over_counts() {
        let listed = "[[listener]]\naddress = \"192.0.2.1:80\"\nallow = [\"192.0.2.0/24\"]";
        let mut running = Running::new("newest", listed);
        running.0.reload();
        assert!(running.0.running.config.listeners[0].allow.is_some());
        // Its addresses say another one, so the listeners stay, with their list.
        std::fs::write(&running.1, "[[listener]]\naddress = \"192.0.2.1:81\"").unwrap();
        let settings = Settings::read(&running.0.cli).unwrap();
        assert!(running.0.judged(settings).is_ok());
    }

    /// Sockets of SIP and listeners of HTTP are kept or changed apart from each other.
    #[test]
    fn sip_sockets_stay_as_they_are() {
        let local = "[[listener]]\naddress = \"192.0.2.1:80\"\nallow = [\"192.0.2.0/24\"]\n";
        let sip = "[sip]\nlisten = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"]\nproxy = \"sip:192.0.2.9\"";
        let settings = reload("sip", &format!("{local}{sip}")).unwrap();
        assert_eq!(settings.config.listeners.len(), 1, "the server was started without");
        assert!(settings.config.listeners[0].allow.is_some());
        assert_eq!(settings.config.sip.proxy.as_deref(), Some("sip:192.0.2.9"));
        let mut running = Running::new("sip-before", local);
        running.0.running = Settings::read(&running.0.cli).unwrap();
        running.0.running.config.sip = settings.config.sip.clone();
        running.0.running.config.listeners.extend(settings.config.sip.listeners());
        let kept = running.0.judged(Settings::read(&running.0.cli).unwrap()).unwrap();
        assert_eq!(kept.config.listeners.len(), 2, "its socket has gone from the file alone");
    }

    /// Listeners stay as they are, so the new rules are judged by those.
    #[test]
    fn a_file_that_would_open_a_listener_changes_nothing() {
        let local = "[[listener]]\naddress = \"127.0.0.1:80\"\n";
        let problem = reload("open", local).unwrap_err();
        assert!(problem.starts_with("the listener 192.0.2.1:80 is reached from other machines"), "{problem}");
        let settings = reload("closed", &format!("{local}[xms]\nallow = [\"192.0.2.0/24\"]")).unwrap();
        assert!(settings.config.xms.apps[0].allow.is_some());
    }
}

//! `check-source NAME`: connects with a source as the server would, says what it finds there, and how its next events are
//! mapped, a line each. Nothing is published. No protocol is here: the core's own machine speaks.

mod line;
mod report;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use offhook_core::ground::config::Source;
use offhook_core::source::asterisk::session::Fault;
use offhook_core::source::asterisk::{Asterisk, Said};
use offhook_core::{Config, Mono};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::clock::Clock;
use crate::server::Failure;
use crate::signals::IMPATIENT;
use line::Line;
use report::Report;

/// How long a look at signals and deadlines may wait for input.
const GLANCE: Duration = Duration::from_millis(100);

/// The whole command. It ends at a signal, or after so many seconds.
pub(crate) fn run(config: &Config, name: &str, seconds: Option<u64>) -> Result<(), Failure> {
    let Some(source) = config.sources.iter().find(|source| *source.name == *name) else {
        return Err(Failure::Config(no_such(config, name)));
    };
    let signals = Signals::take().map_err(|error| Failure::World(format!("cannot take signals: {error}")))?;
    let mut report = Report::new(source, io::stdout());
    report.dials();
    let done = check(config, source, seconds, &signals, &mut report);
    report.ends();
    done.map_err(|fault| {
        Failure::World(format!("source {name}, {}: {fault} [{}]", source.address(), fault.word()))
    })
}

/// What signals have said.
#[derive(Default)]
struct Signals {
    stopped: Arc<AtomicBool>,
    /// The next one ends the process at once: it is the second, or nothing is there yet that could end well.
    impatient: Arc<AtomicBool>,
}

impl Signals {
    fn take() -> io::Result<Signals> {
        let signals = Signals::default();
        signals.impatient.store(true, Ordering::Relaxed);
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal must not see what it says itself.
            flag::register_conditional_shutdown(signal, IMPATIENT, Arc::clone(&signals.impatient))?;
            flag::register(signal, Arc::clone(&signals.impatient))?;
            flag::register(signal, Arc::clone(&signals.stopped))?;
        }
        Ok(signals)
    }
}

fn no_such(config: &Config, name: &str) -> String {
    let names: Vec<&str> = config.sources.iter().map(|source| &*source.name).collect();
    match names[..] {
        [] => format!(
            "there is no [[source]] named \"{name}\": the config has none (--config FILE names the file)"
        ),
        _ => format!("there is no [[source]] named \"{name}\", but: {}", names.join(", ")),
    }
}

fn check(
    config: &Config,
    source: &Source,
    seconds: Option<u64>,
    signals: &Signals,
    report: &mut Report<impl io::Write>,
) -> Result<(), Fault> {
    let clock = Clock::start();
    let until = seconds.map_or(Mono::NEVER, |seconds| Mono(seconds.saturating_mul(1_000)));
    let dial_ms = config.limits.source_dial_ms.min(until.0).max(1);
    let mut line = Line::dial(source, clock, Duration::from_millis(dial_ms))?;
    signals.impatient.store(false, Ordering::Relaxed);
    let mut asterisk =
        Asterisk::new(source, &config.limits, format!("offhook-check-{}-", std::process::id()));
    asterisk.explain();
    asterisk.connected(clock.now());
    let mut input = Vec::new();
    let is_stopped = || signals.stopped.load(Ordering::Relaxed);
    while !is_stopped() && clock.now().mono < until {
        let is_open = line.read(GLANCE, &mut input)?;
        let heard = asterisk.receive(clock.now(), &input);
        let heard = heard.and_then(|()| asterisk.handle_timeout(clock.now(), false));
        input.clear();
        while let Some(said) = asterisk.poll_said() {
            if let Said::Up { version } = &said {
                report.connected(version);
                report.rights(asterisk.allowed());
            }
            report.said(said);
        }
        if let Err(fault) = heard {
            if let Fault::MissingRights(_) = fault {
                report.rights(asterisk.allowed());
            }
            return Err(fault);
        }
        line.write(&asterisk.take_output())?;
        if !is_open {
            return Err(asterisk.ended());
        }
    }
    if !asterisk.is_up() && !is_stopped() {
        let is_greeted = asterisk.ended() != Fault::NoBanner;
        return Err(if is_greeted { Fault::NoAnswer } else { Fault::NoBanner });
    }
    asterisk.log_off();
    // It may be gone already.
    let _ = line.write(&asterisk.take_output());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn no_connection_in_time_is_a_fault() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let source = Source { host: "127.0.0.1".into(), port, ..Source::default() };
        let mut report = Report::new(&source, Vec::new());
        let done = check(&Config::default(), &source, Some(0), &Signals::default(), &mut report);
        assert_eq!(done, Err(Fault::NoBanner));
    }

    #[test]
    fn a_source_that_is_not_there_is_named_with_those_that_are() {
        let named = |name: &str| Source { name: name.into(), ..Source::default() };
        let config = Config { sources: vec![named("a"), named("b")], ..Config::default() };
        let said = |config: &Config| match run(config, "c", Some(0)) {
            Err(Failure::Config(text)) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(said(&config), "there is no [[source]] named \"c\", but: a, b");
        assert!(said(&Config::default()).contains("the config has none (--config FILE"));
    }
}

//! Runs seeds of the simulator, on all cores, and reports what happened.
//!
//! ```text
//! cargo run --release -p offhook-tests --bin simulate -- --seeds 1000 --from 0 --minutes 5
//! ```
//!
//! A failing seed prints what went wrong, the end of its trace, and the command that runs it alone. With `--seeds 1` the
//! hash of the trace stands on standard output, sixteen lower-case hex digits. A run that ends early says how to go on.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use offhook_tests::simulator::{self, Counts, Outcome};

/// Runs the simulator.
#[derive(Parser, Debug)]
struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first one.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// No seed is begun after this time.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Threads; all cores, if nothing is said.
    #[arg(long)]
    jobs: Option<usize>,
    /// Prints the end of the trace of the last seed, whatever came of it.
    #[arg(long)]
    trace: bool,
    /// Goes on after a failure.
    #[arg(long)]
    keep_going: bool,
}

#[derive(Debug, Default)]
struct Report {
    done: u64,
    counts: Counts,
    failed: Vec<u64>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    // Each failure is reported once, with its seed.
    std::panic::set_hook(Box::new(|_| {}));
    if options.seeds == 1 {
        return alone(&options);
    }
    let (next, end) = (AtomicU64::new(options.from), options.from + options.seeds);
    let begin = Instant::now();
    let until = begin + Duration::from_secs(60 * options.minutes);
    let report = Mutex::new(Report::default());
    let jobs =
        options.jobs.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while Instant::now() < until {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = simulator::run(seed, None, false);
                    let mut report = report.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    report.done += 1;
                    report.counts.add(&outcome.counts);
                    if let Some((what, _)) = &outcome.failure {
                        eprintln!("seed {seed}: {what}\n    {}", command(seed));
                        report.failed.push(seed);
                        if !options.keep_going {
                            next.store(end, Ordering::Relaxed);
                        }
                    }
                }
            });
        }
    });
    let report = report.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    println!(
        "{} seeds from {} on, in {:.1} s, {} failed",
        report.done,
        options.from,
        begin.elapsed().as_secs_f64(),
        report.failed.len()
    );
    println!("{}", report.counts);
    if report.failed.is_empty() && report.done < options.seeds {
        let from = options.from + report.done;
        println!("the time is over; go on with --from {from} --seeds {}", end - from);
    }
    if report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn command(seed: u64) -> String {
    format!("cargo run --release -p offhook-tests --bin simulate -- --seeds 1 --from {seed}")
}

/// One seed, with its trace.
fn alone(options: &Options) -> ExitCode {
    let Outcome { hash, counts, failure } = simulator::run(options.from, None, true);
    println!("{hash:016x}");
    eprintln!("{counts}");
    let Some((what, lines)) = failure else { return ExitCode::SUCCESS };
    eprintln!("{lines}\nseed {}: {what}\n    {}", options.from, command(options.from));
    ExitCode::FAILURE
}

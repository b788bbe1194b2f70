//! Runs seeds of the simulator, on all cores, and reports what happened.
//!
//! ```text
//! cargo run --release -p offhook-tests --bin simulate -- --seeds 1000 --from 0 --minutes 5
//! ```
//!
//! A failing seed prints what went wrong and the command that runs it alone, which prints the end of its trace as well. With
//! `--seeds 1` the hash of the trace stands on standard output, sixteen lower-case hex digits. A run that ends early says
//! how to go on; a release build ends at the first failure.

use std::cell::Cell;
use std::fmt;
use std::panic::PanicHookInfo;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use offhook_tests::simulator::trace::Trace;
use offhook_tests::simulator::{self, Counts};

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
}

#[derive(Debug, Default)]
struct Report {
    done: u64,
    counts: Counts,
    failed: Vec<u64>,
}

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
static REPORT: LazyLock<Mutex<Report>> = LazyLock::new(Mutex::default);

thread_local! {
    /// The seed that this thread runs.
    static SEED: Cell<u64> = const { Cell::new(0) };
}

fn main() -> ExitCode {
    LazyLock::force(&BEGIN);
    let options = Options::parse();
    // In a release build a panic is the end of the process: all is said before.
    let alone = options.seeds == 1;
    std::panic::set_hook(Box::new(move |panic| {
        failed(panic, alone);
        if cfg!(panic = "abort") {
            std::process::exit(1);
        }
    }));
    if alone {
        SEED.set(options.from);
        let outcome = simulator::run(options.from, None, true);
        println!("{:016x}", outcome.hash);
        eprintln!("{}", outcome.counts);
        return if outcome.failure.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let (next, end) = (AtomicU64::new(options.from), options.from + options.seeds);
    let until = *BEGIN + Duration::from_secs(60 * options.minutes);
    let cores = || std::thread::available_parallelism().map_or(1, Into::into);
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.unwrap_or_else(cores) {
            scope.spawn(|| {
                while Instant::now() < until {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    SEED.set(seed);
                    let outcome = simulator::run(seed, None, false);
                    let mut report = report();
                    report.done += u64::from(outcome.failure.is_none());
                    report.counts.add(&outcome.counts);
                }
            });
        }
    });
    let report = report();
    println!("{report}");
    if !report.failed.is_empty() {
        return ExitCode::FAILURE;
    }
    if report.done < options.seeds {
        // Each thread has done what it began, in this order.
        let from = options.from + report.done;
        println!("the time is over; go on with --from {from} --seeds {}", end - from);
    }
    ExitCode::SUCCESS
}

fn report() -> MutexGuard<'static, Report> {
    REPORT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A seed has failed.
fn failed(panic: &PanicHookInfo<'_>, alone: bool) {
    let seed = SEED.get();
    let what = panic.payload_as_str().unwrap_or_default();
    if let Some(trace) = Trace::current().filter(|_| alone) {
        eprintln!("{trace}");
        if cfg!(panic = "abort") {
            println!("{:016x}", trace.hash());
        }
    }
    eprintln!("seed {seed}: {what}");
    eprintln!("    cargo run --release -p offhook-tests --bin simulate -- --seeds 1 --from {seed}");
    let mut report = report();
    report.failed.push(seed);
    if cfg!(panic = "abort") && !alone {
        println!("{report}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = BEGIN.elapsed().as_secs_f64();
        writeln!(f, "{} seeds passed in {seconds:.1} s, {} failed", self.done, self.failed.len())?;
        write!(f, "{}", self.counts)
    }
}

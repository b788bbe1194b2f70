//! The crash lab: plays the scenarios of [`offhook_tests::crash`] against server binaries, and prints what came of it.
//!
//! ```text
//! cargo run -p offhook-tests --bin crash-lab -- target/release/offhook-mio target/release/offhook-smol
//! cargo run -p offhook-tests --bin crash-lab -- --rounds 2 --only torn-tail target/debug/offhook-mio
//! cargo run -p offhook-tests --bin crash-lab -- --write README.md target/release/offhook-{mio,smol}
//! ```
//!
//! It is built without `--release`: there a panic unwinds, so that a failed scenario ends its server and others follow.
//! The lab itself is part of no figure.

mod table;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use clap::Parser;
use offhook_tests::crash::{Scenario, Subject, play};
use offhook_tests::readme;

use table::{Came, Row};

/// Kills servers under load in every way, and looks whether what they acknowledged is there.
#[derive(Debug, Parser)]
#[command(name = "crash-lab")]
struct Options {
    /// Rounds of each scenario
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Play this scenario alone; may be repeated
    #[arg(long, value_name = "SCENARIO", value_parser = names())]
    only: Vec<String>,
    /// Play all but this scenario; may be repeated
    #[arg(long, value_name = "SCENARIO", value_parser = names())]
    without: Vec<String>,
    /// What is published, and when the fault comes; by default another one at each run
    #[arg(long)]
    seed: Option<u64>,
    /// Put the table between the markers `<!-- crash-lab:begin -->` and `<!-- crash-lab:end -->` of this file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// The servers
    #[arg(required = true, value_name = "BINARY")]
    binaries: Vec<String>,
}

fn names() -> clap::builder::PossibleValuesParser {
    Scenario::ALL.iter().map(|scenario| scenario.name).collect::<Vec<_>>().into()
}

impl Options {
    fn wants(&self, scenario: &Scenario) -> bool {
        let named = |list: &[String]| list.iter().any(|name| name == scenario.name);
        (self.only.is_empty() || named(&self.only)) && !named(&self.without)
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // Threads that outlive a failed scenario may still have it.
    let options: &'static Options = Box::leak(Box::new(Options::parse()));
    let seed = options.seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}");
    let mut rows = Vec::new();
    for scenario in Scenario::ALL.iter().filter(|scenario| options.wants(scenario)) {
        for binary in &options.binaries {
            let row =
                Row { scenario, server: server(binary), came: run(scenario, binary, options.rounds, seed) };
            println!("{row}");
            rows.push(row);
        }
    }
    let table = table::table(&rows);
    println!("\n{table}");
    if let Some(file) = &options.write {
        readme::write(file, "crash-lab", &table)?;
    }
    let is_sound = rows.iter().all(Row::is_sound);
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(scenario: &'static Scenario, binary: &'static str, rounds: u64, seed: u64) -> Came {
    if let Some(obstacle) = scenario.obstacle() {
        return Came::LeftOut(obstacle);
    }
    let (begun, subject) = (Instant::now(), Subject::new(binary));
    println!("\n{} with {}", scenario.name, binary);
    let outcome = thread::spawn(move || play(subject, scenario, rounds, seed)).join();
    println!("took {:?}", begun.elapsed());
    outcome.map_or(Came::Failed, Came::Through)
}

/// A server's name in the table.
fn server(binary: &str) -> &str {
    let name = binary.rsplit('/').next().unwrap_or(binary);
    name.strip_prefix("offhook-").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Options::command().debug_assert();
        assert_eq!(server("target/release/offhook-mio"), "mio");
    }
}

//! The table.

use std::fmt;
use std::time::Duration;

use offhook_tests::crash::{Outcome, Scenario};
use offhook_tests::readme;

/// One scenario with one server.
#[derive(Debug)]
pub(crate) struct Row {
    /// The scenario.
    pub(crate) scenario: &'static Scenario,
    /// The server's name.
    pub(crate) server: &'static str,
    /// What came of it.
    pub(crate) came: Came,
}

/// What came of a scenario.
#[derive(Debug)]
pub(crate) enum Came {
    /// It was played to the end.
    Through(Outcome),
    /// Something was not as promised; stderr says what.
    Failed,
    /// It cannot be played on this machine.
    LeftOut(&'static str),
}

impl Row {
    /// Nothing was lost, or nothing was played.
    pub(crate) fn is_sound(&self) -> bool {
        match &self.came {
            Came::Through(outcome) => outcome.lost == 0,
            Came::Failed => false,
            Came::LeftOut(_) => true,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {} | {} | ", self.scenario.name, self.server)?;
        let Outcome { rounds, acknowledged, lost, repeated, recoveries } = match &self.came {
            Came::Through(outcome) => outcome,
            Came::Failed => return f.write_str("failed | - | - | - | - | - |"),
            Came::LeftOut(why) => return write!(f, "left out: {why} | - | - | - | - | - |"),
        };
        let mut times = recoveries.clone();
        times.sort_unstable();
        let median = times.get(times.len() / 2);
        write!(f, "{rounds} | {acknowledged} | {lost} | {repeated} | ")?;
        write!(f, "{} | {} |", shown(median), shown(times.last()))
    }
}

fn shown(time: Option<&Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{} ms", time.as_millis()))
}

/// The whole report in Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut table = format!("Played on {}.\n\n", readme::machine());
    table +=
        "| scenario | server | rounds | acknowledged | lost | repeated hooks | recovery: median | max |\n";
    table += "|---|---|---|---|---|---|---|---|\n";
    for row in rows {
        table += &format!("{row}\n");
    }
    table += "\n| scenario | under load, in each round |\n|---|---|\n";
    let mut told: Vec<_> = rows.iter().map(|row| (row.scenario.name, row.scenario.what)).collect();
    told.dedup();
    for (name, what) in told {
        table += &format!("| {name} | {what} |\n");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(came: Came) -> Row {
        Row { scenario: &Scenario::ALL[0], server: "mio", came }
    }

    fn outcome(lost: usize) -> Came {
        let recoveries = [30, 10, 20].map(Duration::from_millis).to_vec();
        Came::Through(Outcome { rounds: 3, acknowledged: 900, lost, repeated: 2, recoveries })
    }

    #[test]
    fn a_row_tells_what_was_promised_and_what_came() {
        let check = |came, expected: &str, is_sound| {
            let row = row(came);
            assert_eq!(row.to_string(), format!("| kill | mio | {expected} |"));
            assert_eq!(row.is_sound(), is_sound);
        };
        check(outcome(0), "3 | 900 | 0 | 2 | 20 ms | 30 ms", true);
        check(outcome(1), "3 | 900 | 1 | 2 | 20 ms | 30 ms", false);
        check(Came::Failed, "failed | - | - | - | - | -", false);
        check(Came::LeftOut("no strace"), "left out: no strace | - | - | - | - | -", true);
    }

    #[test]
    fn each_scenario_is_explained_once() {
        let table = table(&[row(outcome(0)), row(Came::Failed)]);
        assert_eq!(table.matches(Scenario::ALL[0].what).count(), 1, "{table}");
    }
}

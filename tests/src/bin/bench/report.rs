//! The table, and its place in a file.

use std::fmt;
use std::time::Duration;

use offhook_tests::readme;

use crate::machine::Busy;
use crate::process::Server;
use crate::stats::{mean, median};

/// What one pair gave.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// The ratio, or the bytes.
    pub(crate) value: f64,
    /// How busy the cores were in the server's own run.
    pub(crate) busy: Option<Busy>,
    /// The load was the slower side, so the value could be higher.
    pub(crate) lower_bound: bool,
    /// Other programs kept floor, server or load waiting.
    pub(crate) disturbed: bool,
    /// The figures behind the value, for the progress line.
    pub(crate) note: String,
}

impl Sample {
    /// A value that does not depend on who has the cores.
    pub(crate) fn plain(value: f64, note: String) -> Self {
        Self { value, busy: None, lower_bound: false, disturbed: false, note }
    }
}

/// What a value is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    /// A multiple of the floor, or of few filters.
    Ratio,
    /// Bytes.
    Bytes,
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Ratio => format!("{value:.2}"),
            Self::Bytes => format!("{value:.0} B"),
        }
    }
}

/// What is wanted of a median.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted {
    /// More is better.
    AtLeast(f64),
    /// Less is better.
    AtMost(f64),
    /// Nothing: the figure is only told.
    Stated,
}

impl Wanted {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
            Self::Stated => true,
        }
    }

    fn show(self, unit: Unit) -> String {
        match self {
            Self::AtLeast(bound) => format!("at least {}", unit.show(bound)),
            Self::AtMost(bound) => format!("at most {}", unit.show(bound)),
            Self::Stated => "-".to_owned(),
        }
    }
}

/// One scenario with one server.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The scenario's name.
    pub(crate) scenario: &'static str,
    /// The server.
    pub(crate) server: Server,
    /// What the values are.
    pub(crate) unit: Unit,
    /// What is wanted, if anything.
    pub(crate) wanted: Option<Wanted>,
    /// One for each pair.
    pub(crate) samples: Vec<Sample>,
    /// Why there is no figure.
    pub(crate) failure: Option<String>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {} | {} | ", self.scenario, self.server.name())?;
        let values: Vec<f64> = self.samples.iter().map(|sample| sample.value).collect();
        let median = median(&values).filter(|_| self.failure.is_none());
        let wanted = self.wanted.map_or_else(|| "-".to_owned(), |wanted| wanted.show(self.unit));
        let Some(median) = median else {
            return write!(f, "failed | - | - | {wanted} | no | - |");
        };

        let shown = self.unit.show(median);
        let smallest = self.unit.show(values.iter().copied().fold(f64::INFINITY, f64::min));
        let largest = self.unit.show(values.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        let bound = if self.is_lower_bound() { " or more" } else { "" };
        let met = match self.wanted {
            None | Some(Wanted::Stated) => "-",
            Some(wanted) if wanted.is_met_by(median) => "yes",
            Some(_) => "no",
        };
        write!(f, "{shown}{bound} | {smallest} | {largest} | {wanted} | {met} | {} |", self.show_busy())
    }
}

impl Row {
    /// The load held back most of the runs.
    fn is_lower_bound(&self) -> bool {
        self.samples.iter().filter(|sample| sample.lower_bound).count() * 2 > self.samples.len()
    }

    fn show_busy(&self) -> String {
        let busy: Vec<Busy> = self.samples.iter().filter_map(|sample| sample.busy).collect();
        if busy.is_empty() {
            return "-".to_owned();
        }
        let server = mean(busy.iter().map(|busy| busy.server));
        let load = mean(busy.iter().map(|busy| busy.load));
        Busy { server, load }.to_string()
    }
}

/// The whole report in Markdown.
pub(crate) fn table(rows: &[Row], pairs: u32, span: Duration) -> String {
    let mut table = format!(
        "Measured on {}: {pairs} {} a scenario, {} s a run, one core for the server and one for the load.\n\n",
        readme::machine(),
        if pairs == 1 { "pair" } else { "pairs" },
        span.as_secs(),
    );
    table += "| scenario | server | median | min | max | wanted | met | cores busy: server, load |\n";
    table += "|---|---|---|---|---|---|---|---|\n";
    for row in rows {
        table += &format!("{row}\n");
    }
    if rows.iter().any(Row::is_lower_bound) {
        table += "\n*or more*: the load was busier than the server, so the figure is a lower bound.\n";
    }
    for row in rows {
        let (scenario, server) = (row.scenario, row.server.name());
        let disturbed = row.samples.iter().filter(|sample| sample.disturbed).count();
        if let Some(failure) = &row.failure {
            let reason = failure.lines().next().unwrap_or_default();
            table += &format!("\n{scenario} with {server} failed: {reason}.\n");
        } else if disturbed > 0 {
            let of = row.samples.len();
            table +=
                &format!("\n{scenario} with {server}: other programs disturbed {disturbed} of {of} pairs.\n");
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f64], lower_bound: bool) -> Row {
        let busy = Some(Busy { server: 0.991, load: 0.5 });
        let sample = |value| Sample { value, busy, lower_bound, disturbed: false, note: String::new() };
        Row {
            scenario: "xms-w1",
            server: Server::Mio,
            unit: Unit::Ratio,
            wanted: Some(Wanted::AtLeast(0.9)),
            samples: values.iter().copied().map(sample).collect(),
            failure: None,
        }
    }

    #[test]
    fn a_row_shows_the_median_and_its_spread() {
        let expected = "| xms-w1 | mio | 0.93 | 0.91 | 0.99 | at least 0.90 | yes | 99 %, 50 % |";
        assert_eq!(row(&[0.91, 0.99, 0.93], false).to_string(), expected);
        let expected = "| xms-w1 | mio | 0.80 or more | 0.80 | 0.80 | at least 0.90 | no | 99 %, 50 % |";
        assert_eq!(row(&[0.8], true).to_string(), expected);
    }

    #[test]
    fn what_is_only_stated_meets_no_bound() {
        let row = Row { wanted: Some(Wanted::Stated), ..row(&[0.93], false) };
        assert_eq!(row.to_string(), "| xms-w1 | mio | 0.93 | 0.93 | 0.93 | - | - | 99 %, 50 % |");
    }

    #[test]
    fn a_failure_never_shows_a_figure() {
        let mut row = row(&[0.95, 0.95], false);
        row.failure = Some("3 deliveries never came; the server is still running\n    its log".to_owned());
        assert_eq!(row.to_string(), "| xms-w1 | mio | failed | - | - | at least 0.90 | no | - |");
        let table = table(&[row], 5, Duration::from_secs(5));
        assert!(
            table.contains("xms-w1 with mio failed: 3 deliveries never came; the server is still running.\n")
        );
        assert!(!table.contains("0.95") && !table.contains("its log"));
    }
}

//! A measured table's place in a file, and the machine that it was measured on.

use std::fs;
use std::io;
use std::path::Path;

/// One line about the machine.
#[must_use]
pub fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores ({model}), Linux {}", kernel.trim())
}

/// Puts `table` between the markers `<!-- NAME:begin -->` and `<!-- NAME:end -->` of `file`.
///
/// # Errors
/// If the file cannot be read or written, or has no such markers.
pub fn write(file: &Path, name: &str, table: &str) -> io::Result<()> {
    let text = fs::read_to_string(file)?;
    let replaced = between_markers(&text, name, table).ok_or_else(|| {
        let begin = marker(name, "begin");
        io::Error::other(format!("{} has no {begin} before a {}", file.display(), marker(name, "end")))
    })?;
    fs::write(file, replaced)
}

fn marker(name: &str, which: &str) -> String {
    format!("<!-- {name}:{which} -->")
}

fn between_markers(text: &str, name: &str, table: &str) -> Option<String> {
    let (begin, end) = (marker(name, "begin"), marker(name, "end"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{}\n{end}{after}", table.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_replaces_what_is_between_the_markers() {
        let text = "# Title\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nrest\n";
        let expected = text.replace("old", "new");
        assert_eq!(between_markers(text, "bench", "new\n").as_ref(), Some(&expected));
        assert_eq!(between_markers(&expected, "bench", "new\n"), Some(expected.clone()));
        assert_eq!(between_markers(&expected, "crash-lab", "new\n"), None);
    }
}

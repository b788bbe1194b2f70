//! A config file: any text gives a configuration, or problems that each name a line.

use offhook_host::config_file::{ConfigFile, parse};

/// In a folder that is not there, so that no file beside it is read.
const FILE: &str = "/nowhere/to/be/found/offhook.toml";

/// Reads `data`, again, and once more behind a comment.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // What a file names by an absolute path is read, and a device's content may have no end.
    if text.contains("dev") || text.contains("proc") || text.contains('\\') {
        return;
    }
    let read = parse(FILE, text);
    assert_eq!(shown(&read), shown(&parse(FILE, text)), "a file is always read alike");
    match &read {
        Ok(_) => {
            assert!(parse(FILE, &format!("{text}\nno-such-key = 1")).is_err(), "an unknown key is a problem")
        }
        Err(problems) => {
            let lines: Vec<(usize, &str)> = problems.lines().map(problem).collect();
            let most = 1 + text.matches('\n').count();
            assert!(
                !lines.is_empty() && lines.iter().all(|(line, _)| (1..=most).contains(line)),
                "{problems}"
            );
            assert!(lines.is_sorted_by_key(|(line, _)| line), "{problems}");
        }
    }
    // A byte order mark is one at the beginning alone.
    if !text.starts_with('\u{feff}') {
        a_comment_moves_lines_alone(text, &read);
    }
}

/// The line of a problem, and its words.
fn problem(line: &str) -> (usize, &str) {
    let place = line.strip_prefix(FILE).and_then(|rest| rest.strip_prefix(':'));
    let (number, words) =
        place.and_then(|rest| rest.split_once(": ")).expect("a problem names file and line");
    assert!(!words.trim().is_empty(), "{line}");
    (number.parse().expect("a line's number"), words)
}

/// Behind a comment of one line the same is read, and each problem stands a line further down.
fn a_comment_moves_lines_alone(text: &str, read: &Result<ConfigFile, String>) {
    let moved = parse(FILE, &format!("# é\n{text}"));
    match (read, &moved) {
        (Err(problems), Err(again)) => {
            let down = problems.lines().map(problem).map(|(line, words)| (line + 1, words));
            assert!(again.lines().map(problem).eq(down), "{problems}\n{again}");
        }
        _ => assert_eq!(shown(&moved), shown(read)),
    }
}

/// Secrets are not shown, but whether they are there.
fn shown(read: &Result<ConfigFile, String>) -> String {
    format!("{read:?}")
}

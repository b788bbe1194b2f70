//! `passwd`: reads a password and prints its hash, for `password_hash` in the config file. On a terminal it asks twice and
//! shows nothing; else it takes a line of standard input.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::password;

/// The whole command; the error is a sentence.
pub(crate) fn run() -> Result<(), String> {
    let stdin = io::stdin();
    let read = if stdin.is_terminal() { ask() } else { line().map(Ok) };
    let password = read.map_err(|error| format!("cannot read a password: {error}"))??;
    let hash = hash(&password)?;
    writeln!(io::stdout(), "{hash}").map_err(|error| format!("cannot print the hash: {error}"))
}

fn hash(password: &str) -> Result<String, String> {
    if password.is_empty() {
        return Err("the password is empty; nobody is let in with an empty one".to_owned());
    }
    if password.chars().any(char::is_control) {
        return Err("the password holds a control character, which no client can send".to_owned());
    }
    password::hash(password).map_err(|error| format!("cannot make a hash: {error}"))
}

/// Asks twice.
fn ask() -> io::Result<Result<String, String>> {
    let _silence = Silence::new()?;
    let once = |prompt: &str| {
        write!(io::stderr(), "{prompt}: ")?;
        let line = line();
        writeln!(io::stderr())?;
        line
    };
    let (first, second) = (once("Password")?, once("The same again")?);
    Ok(if first == second { Ok(first) } else { Err("the two differ; nothing was made".to_owned()) })
}

fn line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let text = line.strip_suffix('\n').unwrap_or(&line);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// A terminal that shows nothing of what is typed, until this goes.
struct Silence {
    before: rustix::termios::Termios,
}

impl Silence {
    fn new() -> io::Result<Silence> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        // Without signals Ctrl-C is a character like others, which is refused; it would leave the terminal without echo.
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Silence { before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_no_password_is_refused() {
        for (password, part) in [("", "is empty"), ("a\tb", "control character")] {
            assert!(hash(password).is_err_and(|text| text.contains(part)), "{password:?}");
        }
        assert!(password::is_right(&hash("p\u{e4}ss").unwrap(), "p\u{e4}ss".as_bytes()));
    }
}

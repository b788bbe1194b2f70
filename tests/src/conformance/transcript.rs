//! What went over the wire, as text that both binaries must produce alike. The committed transcripts under
//! `tests/transcripts/` are read by eye against the vendor's bytes; `OFFHOOK_BLESS=1 cargo test` writes them anew.
//!
//! The form: `# ` says what is tried, `> ` what the client sends, `< ` what the server sends, `+ ` a chunk of a stream
//! and `| ` its further lines, `= ` what is said of the connection. CR and LF are shown as `\r` and `\n`, a backslash
//! as two. What changes from run to run is replaced: `{date}`, `{id 1}`, `{time}` and what a script names.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::peer::{Head, Peer, Reply};

const BLESS: &str = "OFFHOOK_BLESS";

/// The conversation of one script.
#[derive(Debug)]
pub(super) struct Transcript {
    name: &'static str,
    lines: Vec<(&'static str, String)>,
    /// Data that is known beforehand: its ids and times stay.
    given: String,
    /// Texts and what stands for them.
    names: Vec<(String, String)>,
}

impl Transcript {
    pub(super) fn new(name: &'static str) -> Transcript {
        Transcript { name, lines: Vec::new(), given: String::new(), names: Vec::new() }
    }

    /// Says what comes now.
    pub(super) fn title(&mut self, text: &str) {
        self.lines.push(("# ", text.to_owned()));
    }

    /// Says something of the connection.
    pub(super) fn remark(&mut self, text: &str) {
        self.lines.push(("= ", text.to_owned()));
    }

    /// Ids and times in `text` are no chance: they stay in the transcript.
    pub(super) fn given(&mut self, text: &str) {
        self.given.push_str(text);
    }

    /// Writes `{name}` for `text`.
    pub(super) fn name(&mut self, text: impl Into<String>, name: &str) {
        self.names.push((text.into(), format!("{{{name}}}")));
    }

    pub(super) fn sent(&mut self, bytes: &[u8]) {
        self.push("> ", "> ", bytes);
    }

    pub(super) fn received(&mut self, bytes: &[u8]) {
        self.push("< ", "< ", bytes);
    }

    pub(super) fn chunk(&mut self, bytes: &[u8]) {
        self.push("+ ", "| ", bytes);
    }

    pub(super) fn reply(&mut self, reply: &Reply) {
        self.received(reply.head.raw.as_bytes());
        self.received(&reply.raw_body);
    }

    /// Sends a request, reads its reply, and writes down both.
    pub(super) fn ask(&mut self, peer: &mut Peer, request: impl AsRef<[u8]>) -> Reply {
        self.sent(request.as_ref());
        let reply = peer.ask(request);
        self.reply(&reply);
        reply
    }

    /// Sends a request and reads the head of an endless reply.
    pub(super) fn open(&mut self, peer: &mut Peer, request: impl AsRef<[u8]>) -> Head {
        self.sent(request.as_ref());
        peer.send(request);
        let head = peer.head();
        self.received(head.raw.as_bytes());
        head
    }

    /// Reads so many chunks.
    pub(super) fn chunks(&mut self, peer: &mut Peer, count: usize) {
        for _ in 0..count {
            let chunk = peer.chunk();
            self.chunk(&chunk);
        }
    }

    /// Reads chunks up to the last, and the end of the connection.
    pub(super) fn chunks_to_end(&mut self, peer: &mut Peer) {
        loop {
            let chunk = peer.chunk();
            self.chunk(&chunk);
            if chunk == super::peer::LAST_CHUNK {
                return self.ended(peer);
            }
        }
    }

    /// The server closes the connection.
    pub(super) fn ended(&mut self, peer: &mut Peer) {
        peer.expect_end();
        self.remark("the server closed the connection");
    }

    fn push(&mut self, first: &'static str, further: &'static str, bytes: &[u8]) {
        let text = shown(bytes);
        for (at, line) in text.lines().enumerate() {
            self.lines.push((if at == 0 { first } else { further }, line.to_owned()));
        }
    }

    /// Compares with the committed transcript.
    pub(super) fn check(&self) {
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/transcripts"));
        let path = path.join(format!("{}.txt", self.name));
        let text = self.text();
        if is_blessing() {
            return std::fs::write(&path, text).expect("the transcripts can be written");
        }
        let committed = std::fs::read_to_string(&path)
            .unwrap_or_else(|e| panic!("{}: {e}; {BLESS}=1 writes it", path.display()));
        if let Some(difference) = difference(&committed, &text) {
            panic!("{} differs ({BLESS}=1 rewrites it):\n{difference}", path.display());
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (mark, line) in &self.lines {
            if *mark == "# " && !text.is_empty() {
                text.push('\n');
            }
            let _ = writeln!(text, "{}", format!("{mark}{line}").trim_end());
        }
        for (from, to) in &self.names {
            text = text.replace(from, to);
        }
        self.without_chance(&text)
    }

    /// Replaces dates, minted ids and minted times.
    fn without_chance(&self, text: &str) -> String {
        let mut ids: Vec<&str> = Vec::new();
        let mut out = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let mut rest = line;
            if let Some(date) = line.strip_prefix("< Date: ") {
                assert!(is_http_date(date.trim_end().trim_end_matches("\\r\\n")), "{line:?} is no date");
                out.push_str("< Date: {date}\\r\\n\n");
                continue;
            }
            while let Some(at) = rest.char_indices().map(|(at, _)| at).find(|at| is_chance(&rest[*at..])) {
                let length = if is_uuid(&rest[at..]) { UUID.len() } else { TIME.len() };
                let (found, placeholder) = (&rest[at..at + length], &mut String::new());
                if self.given.contains(found) {
                    placeholder.push_str(found);
                } else if length == TIME.len() {
                    placeholder.push_str("{time}");
                } else {
                    let number = ids.iter().position(|id| *id == found).unwrap_or_else(|| {
                        ids.push(found);
                        ids.len() - 1
                    });
                    let _ = write!(placeholder, "{{id {}}}", number + 1);
                }
                out.push_str(&rest[..at]);
                out.push_str(placeholder);
                rest = &rest[at + length..];
            }
            out.push_str(rest);
        }
        out
    }
}

const UUID: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
const TIME: &str = "0000-00-00T00:00:00.000Z";
const DATE: &str = "Aaa, 00 Aaa 0000 00:00:00 GMT";

fn is_chance(text: &str) -> bool {
    is_uuid(text) || has_form(text, TIME)
}

/// A UUID in lower case stands at the start of `text`.
pub(super) fn is_uuid(text: &str) -> bool {
    has_form(text, UUID)
}

fn is_http_date(text: &str) -> bool {
    text.len() == DATE.len() && has_form(text, DATE)
}

/// `x` is a hex digit in lower case, `0` a digit, `A` and `a` letters, all else itself.
fn has_form(text: &str, form: &str) -> bool {
    text.len() >= form.len()
        && text.bytes().zip(form.bytes()).all(|(byte, form)| match form {
            b'x' => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
            b'0' => byte.is_ascii_digit(),
            b'A' => byte.is_ascii_uppercase(),
            b'a' => byte.is_ascii_lowercase(),
            _ => byte == form,
        })
}

/// Bytes as text: one line for each that ends with LF.
fn shown(bytes: &[u8]) -> String {
    let mut out = String::new();
    for piece in bytes.utf8_chunks() {
        for c in piece.valid().chars() {
            match c {
                '\r' => out.push_str("\\r"),
                '\n' => out.push_str("\\n\n"),
                '\\' => out.push_str("\\\\"),
                c if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
                c => out.push(c),
            }
        }
        piece.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out
}

/// The first line that differs, with those around it.
fn difference(committed: &str, text: &str) -> Option<String> {
    if committed == text {
        return None;
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (committed.lines().collect(), text.lines().collect());
    let at = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let title = new[..at.min(new.len())].iter().rev().find(|line| line.starts_with("# "));
    let show = |lines: &[&str]| {
        lines.iter().skip(at.saturating_sub(3)).take(9).fold(String::new(), |s, l| s + l + "\n")
    };
    Some(format!(
        "line {}, {}\n--- committed\n{}--- this run\n{}",
        at + 1,
        title.unwrap_or(&""),
        show(&old),
        show(&new)
    ))
}

/// Whether transcripts are written anew and not compared.
pub(super) fn is_blessing() -> bool {
    std::env::var_os(BLESS).is_some_and(|value| value == "1")
}

/// The names of the committed transcripts.
pub(super) fn committed() -> BTreeSet<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/transcripts");
    let files = std::fs::read_dir(folder).expect("the transcripts are there");
    files
        .filter_map(|file| Some(file.ok()?.file_name().to_string_lossy().strip_suffix(".txt")?.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_is_replaced_and_nothing_else() {
        let mut t = Transcript::new("none");
        t.given("c2dcaa4f-2b31-425c-b491-f2537d4c8738");
        t.name("127.0.0.1:40123", "address");
        t.title("a title");
        t.sent(b"GET /598ade4c-5dd5-4c4b-9a48-9e05a69da65a\r\n");
        t.received(b"Date: Tue, 03 Nov 2015 14:37:11 GMT\r\nat 127.0.0.1:40123\\\xff\r\n\r\n");
        t.chunk(b"5\r\n00000000-0000-0000-0000-000000000000 598ade4c-5dd5-4c4b-9a48-9e05a69da65a");
        t.chunk("c2dcaa4f-2b31-425c-b491-f2537d4c8738 2026-01-01T00:00:00.000Z ü".as_bytes());
        assert_eq!(
            t.text(),
            "# a title\n> GET /{id 1}\\r\\n\n< Date: {date}\\r\\n\n< at {address}\\\\\\xff\\r\\n\n< \\r\\n\n\
             + 5\\r\\n\n| {id 2} {id 1}\n+ c2dcaa4f-2b31-425c-b491-f2537d4c8738 {time} ü\n"
        );
    }

    #[test]
    fn the_first_difference_is_shown_with_its_title() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        let found = difference("# t\na\nb\nc\n", "# t\na\nb\nd\n").unwrap();
        assert!(found.starts_with("line 4, # t\n") && found.contains("c\n--- this run\n"), "{found}");
    }
}

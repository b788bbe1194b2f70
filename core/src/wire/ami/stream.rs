//! A connection's bytes as messages: a banner line, then blocks of lines, each ended by a blank line. Lines end with CRLF
//! or a bare LF. A message that lies whole in one piece is lent without being copied; one of an event that nobody wants is
//! passed over without being read.
//!
//! What is absent here: time, and what is written.

use memchr::{memchr, memchr_iter};

use super::message::{END_COMMAND, Message, field};

/// How a banner begins; the version of the protocol follows.
const BANNER: &[u8] = b"Asterisk Call Manager/";

/// The longest line that is looked at for a banner.
const BANNER_BYTES: usize = 128;

/// What came off the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed<'a> {
    /// The first line: the version of the protocol.
    Banner(&'a [u8]),
    /// A whole message.
    Message(Message<'a>),
    /// Something that is no message for us; what follows the next blank line is read again.
    Skipped(Skip),
    /// The first line is no banner, so whoever speaks is not Asterisk. Nothing comes after it.
    Stranger(&'a [u8]),
    /// Nothing until more input comes.
    More,
}

/// Why something was passed over up to the next blank line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// A message of more bytes than are taken.
    TooLong,
    /// It begins neither as an event nor as an answer.
    Garbage,
}

/// The decoder of one connection.
#[derive(Debug)]
pub struct Stream {
    bytes_max: usize,
    phase: Phase,
    /// The beginning of a message, or of the banner, whose end has not come.
    held: Vec<u8>,
    /// What is held was lent by the last call, and is done with.
    is_lent: bool,
    unwanted: u64,
}

#[derive(Debug)]
enum Phase {
    Banner,
    /// Before a message, or in its first line.
    First,
    /// In a message that is taken; `follows` is one that a line of its own ends.
    Taking {
        follows: bool,
        blank: Blank,
    },
    /// In something that is passed over.
    Skipping(Blank),
    Ended,
}

/// What a first line says.
enum Kind {
    Message { follows: bool },
    Unwanted,
    Garbage,
}

/// What was found: bytes that lie whole in the input, or (`None`) in what is held.
enum Found<'a> {
    Line(Option<&'a [u8]>),
    Message(Option<&'a [u8]>),
    Skipped(Skip),
    More,
}

impl Stream {
    /// A connection on which nothing has come yet, with messages of at most so many bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Stream {
        Stream { bytes_max, phase: Phase::Banner, held: Vec::new(), is_lent: false, unwanted: 0 }
    }

    /// Takes the next item off the front of `input`. [`Framed::More`] has taken all of it. Events whose names are not
    /// wanted are passed over.
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8], wants: impl Fn(&[u8]) -> bool) -> Framed<'a> {
        if std::mem::take(&mut self.is_lent) {
            self.held.clear();
        }
        let found = self.find(input, wants);
        self.is_lent = matches!(found, Found::Line(None) | Found::Message(None));
        match found {
            Found::Message(piece) => Framed::Message(Message::of(without_end(piece.unwrap_or(&self.held)))),
            Found::Skipped(skip) => Framed::Skipped(skip),
            Found::More => Framed::More,
            Found::Line(piece) => {
                let line = piece.unwrap_or(&self.held);
                let (line, is_whole) = (without_end(line), line.ends_with(b"\n"));
                match line.strip_prefix(BANNER) {
                    Some(version) if is_whole => Framed::Banner(version),
                    _ => {
                        self.phase = Phase::Ended;
                        *input = &[];
                        Framed::Stranger(line)
                    }
                }
            }
        }
    }

    /// Events that were passed over because nobody wants them.
    #[must_use]
    pub const fn unwanted(&self) -> u64 {
        self.unwanted
    }

    /// Bytes that are held of a message that is not whole.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        if self.is_lent { 0 } else { self.held.len() }
    }

    fn find<'a>(&mut self, input: &mut &'a [u8], wants: impl Fn(&[u8]) -> bool) -> Found<'a> {
        loop {
            match &mut self.phase {
                Phase::Banner => {
                    let room = BANNER_BYTES - self.held.len();
                    let end = memchr(b'\n', input).map_or(input.len(), |end| end + 1);
                    if end > room || input[..end].ends_with(b"\n") {
                        self.phase = Phase::First;
                        return Found::Line(self.whole(input, end.min(room)));
                    }
                    return self.hold(input);
                }
                Phase::First => {
                    if self.held.is_empty() {
                        let blank = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                        *input = &input[blank..];
                    }
                    let line = memchr(b'\n', input);
                    let len = self.held.len() + line.map_or(input.len(), |end| end + 1);
                    let kind = match line {
                        _ if len > self.bytes_max => None,
                        None => return self.hold(input),
                        Some(end) if self.held.is_empty() => Some(kind(&input[..end], &wants)),
                        Some(end) => {
                            self.held.extend_from_slice(&input[..end]);
                            let kind = kind(&self.held, &wants);
                            self.held.truncate(len - end - 1);
                            Some(kind)
                        }
                    };
                    // The first line stays in the input, so that what is in one piece remains so.
                    let blank = Blank::InText;
                    match kind {
                        Some(Kind::Message { follows }) => self.phase = Phase::Taking { follows, blank },
                        Some(Kind::Unwanted) => {
                            self.unwanted += 1;
                            self.skip(blank);
                        }
                        Some(Kind::Garbage) => return self.skipped(Skip::Garbage, blank),
                        None => return self.skipped(Skip::TooLong, blank),
                    }
                }
                Phase::Taking { follows, blank } => {
                    let (before, follows) = (self.held.len(), *follows);
                    let mut at = 0;
                    loop {
                        let found = blank.find(&input[at..]);
                        at = found.map_or(input.len(), |len| at + len);
                        if before + at > self.bytes_max {
                            let blank = *blank;
                            *input = &input[at..];
                            self.skip(blank);
                            if found.is_some() {
                                self.phase = Phase::First;
                            }
                            return Found::Skipped(Skip::TooLong);
                        }
                        if found.is_none() {
                            return self.hold(input);
                        }
                        if !follows || ends_command(&self.held, &input[..at]) {
                            self.phase = Phase::First;
                            return Found::Message(self.whole(input, at));
                        }
                    }
                }
                Phase::Skipping(blank) => match blank.find(input) {
                    Some(len) => {
                        *input = &input[len..];
                        self.phase = Phase::First;
                    }
                    None => {
                        *input = &[];
                        return Found::More;
                    }
                },
                Phase::Ended => {
                    *input = &[];
                    return Found::More;
                }
            }
        }
    }

    /// Takes `len` bytes, which end what is held. If nothing is held they are lent, else they are added to it.
    fn whole<'a>(&mut self, input: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
        let (piece, rest) = input.split_at(len);
        *input = rest;
        if self.held.is_empty() {
            return Some(piece);
        }
        self.held.extend_from_slice(piece);
        None
    }

    fn hold<'a>(&mut self, input: &mut &[u8]) -> Found<'a> {
        self.held.extend_from_slice(input);
        *input = &[];
        Found::More
    }

    fn skip(&mut self, blank: Blank) {
        self.held.clear();
        self.phase = Phase::Skipping(blank);
    }

    fn skipped<'a>(&mut self, why: Skip, blank: Blank) -> Found<'a> {
        self.skip(blank);
        Found::Skipped(why)
    }
}

/// Looks for a blank line, over any number of pieces. The state is what the line holds so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Blank {
    #[default]
    Empty,
    Return,
    InText,
}

impl Blank {
    /// How many bytes there are up to the end of the blank line.
    fn find(&mut self, input: &[u8]) -> Option<usize> {
        let mut start = 0;
        for end in memchr_iter(b'\n', input) {
            let line = std::mem::take(self).then(&input[start..end]);
            if line != Blank::InText {
                return Some(end + 1);
            }
            start = end + 1;
        }
        *self = self.then(&input[start..]);
        None
    }

    /// The line with these bytes more.
    const fn then(self, more: &[u8]) -> Blank {
        match (self, more) {
            (line, []) => line,
            (Blank::Empty, b"\r") => Blank::Return,
            _ => Blank::InText,
        }
    }
}

fn kind(line: &[u8], wants: impl Fn(&[u8]) -> bool) -> Kind {
    match field(without_end(line)) {
        Some((key, name)) if key.eq_ignore_ascii_case(b"Event") => {
            if wants(name) {
                Kind::Message { follows: false }
            } else {
                Kind::Unwanted
            }
        }
        Some((key, said)) if key.eq_ignore_ascii_case(b"Response") => {
            Kind::Message { follows: said.eq_ignore_ascii_case(b"Follows") }
        }
        _ => Kind::Garbage,
    }
}

/// Whether the lines of these two pieces end with that which ends a command's output.
fn ends_command(held: &[u8], piece: &[u8]) -> bool {
    // The last bytes of both together.
    let bytes = END_COMMAND.len() + 8;
    let piece = &piece[piece.len().saturating_sub(bytes)..];
    let held = &held[(held.len() + piece.len()).saturating_sub(bytes).min(held.len())..];
    let joined = [held, piece].concat();
    let lines = without_end(&joined);
    lines.strip_suffix(END_COMMAND).is_some_and(|before| before.ends_with(b"\n"))
}

/// Lines without the ends of the last ones.
fn without_end(lines: &[u8]) -> &[u8] {
    let end = lines.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1);
    &lines[..end]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BYTES_MAX: usize = 100;
    const HELLO: &str = "Asterisk Call Manager/5.0.4\r\n";

    fn wants(event: &[u8]) -> bool {
        event != b"VarSet"
    }

    /// What comes of these pieces, a line each, and how many events nobody wanted.
    fn read(pieces: &[&[u8]]) -> (Vec<String>, u64) {
        let mut stream = Stream::new(BYTES_MAX);
        let mut come = Vec::new();
        for mut input in pieces.iter().copied() {
            loop {
                let text = |bytes| String::from_utf8_lossy(bytes).replace('\r', "").replace('\n', "|");
                come.push(match stream.next(&mut input, wants) {
                    Framed::More => break,
                    Framed::Banner(version) => format!("banner {}", text(version)),
                    Framed::Stranger(line) => format!("stranger {}", text(line)),
                    Framed::Skipped(skip) => format!("{skip:?}"),
                    Framed::Message(message) => text(message.block()),
                });
            }
            assert!(input.is_empty());
            assert!(stream.held_bytes() <= BYTES_MAX.max(BANNER_BYTES));
        }
        (come, stream.unwanted())
    }

    fn check(input: &str, expected: &[&str], unwanted: u64) {
        let input = [HELLO, input].concat();
        let (come, passed) = read(&[input.as_bytes()]);
        assert_eq!(come[0], "banner 5.0.4");
        assert_eq!(
            (&come[1..], passed),
            (&expected.iter().map(|come| come.to_string()).collect::<Vec<_>>()[..], unwanted)
        );
    }

    #[test]
    fn messages_end_with_a_blank_line() {
        check(
            "Event: A\r\nb: c\r\n\r\nResponse: Success\r\n\r\n",
            &["Event: A|b: c", "Response: Success"],
            0,
        );
        check(
            "Event: A\nb: c\n\nEvent: B\r\n\nEvent: C\n\r\n",
            &["Event: A|b: c", "Event: B", "Event: C"],
            0,
        );
        check("\r\n\r\n\nEvent: A\r\n\r\n\r\n", &["Event: A"], 0);
        check("Event: A\r\nb: \r\n", &[], 0);
    }

    #[test]
    fn unwanted_events_are_passed_over() {
        let long = "x".repeat(200);
        check("Event: VarSet\r\nb: c\r\n\r\nEvent: A\r\n\r\nevent: VarSet\n\n", &["Event: A"], 2);
        check(&format!("Event: VarSet\r\nb: {long}\r\n\r\nEvent: A\r\n\r\n"), &["Event: A"], 1);
        check("Response: VarSet\r\n\r\n", &["Response: VarSet"], 0);
    }

    #[test]
    fn a_long_message_is_passed_over() {
        let long = "x".repeat(200);
        check(&format!("Event: A\r\nb: {long}\r\n\r\nEvent: B\r\n\r\n"), &["TooLong", "Event: B"], 0);
        check(&format!("Event: A\r\nb: {long}"), &["TooLong"], 0);
        check(&format!("Event: {long}\r\n\r\nEvent: B\r\n\r\n"), &["TooLong", "Event: B"], 0);
        // 100 bytes with the blank line are taken, one more is not.
        let exact = "y".repeat(BYTES_MAX - 10 - 3 - 4);
        check(&format!("Event: A\r\nb: {exact}\r\n\r\n"), &[&format!("Event: A|b: {exact}")], 0);
        check(&format!("Event: A\r\nb: {exact}y\r\n\r\n"), &["TooLong"], 0);
    }

    #[test]
    fn garbage_ends_at_the_next_blank_line() {
        check("what\r\nEvent: A\r\n\r\nEvent: B\r\n\r\n", &["Garbage", "Event: B"], 0);
        check("Privilege: x\r\n\r\n\0\u{1}\n\nEvent: B\r\n\r\n", &["Garbage", "Garbage", "Event: B"], 0);
    }

    #[test]
    fn a_commands_output_has_its_own_end() {
        let output = "Response: Follows\r\nActionID: 1\r\na\n\nb\n--END COMMAND--\r\n\r\n";
        let expected = "Response: Follows|ActionID: 1|a||b|--END COMMAND--";
        check(&format!("{output}Event: A\r\n\r\n"), &[expected, "Event: A"], 0);
        let output = "Response: Follows\r\nx--END COMMAND--\r\n\r\n--END COMMAND--\r\n\r\n";
        check(output, &["Response: Follows|x--END COMMAND--||--END COMMAND--"], 0);
        let long = format!("Response: Follows\n{}\n\n--END COMMAND--\n\nEvent: A\n\n", "x\n".repeat(60));
        check(&long, &["TooLong", "Garbage", "Event: A"], 0);
    }

    /// Many blank lines behind what merely begins as its end does, in another piece.
    #[test]
    fn a_commands_output_goes_on_after_what_is_not_its_end() {
        let begins = format!("{HELLO}Response: Follows\r\n--END COMMAND--");
        let goes_on = format!("x\r\na{}", "\n".repeat(40));
        assert_eq!(read(&[begins.as_bytes(), goes_on.as_bytes()]).0, ["banner 5.0.4"]);
    }

    #[test]
    fn who_does_not_greet_is_a_stranger() {
        let check = |input: &str, expected: &str| {
            assert_eq!(read(&[input.as_bytes()]).0, [expected], "{input}");
        };
        check("HTTP/1.1 400 Bad Request\r\n\r\nEvent: A\r\n\r\n", "stranger HTTP/1.1 400 Bad Request");
        check("\r\n", "stranger ");
        check(&"x".repeat(300), &format!("stranger {}", "x".repeat(128)));
        check(
            &format!("{}{}\r\n", BANNER.escape_ascii(), "1".repeat(107)),
            &format!("stranger {}{}", BANNER.escape_ascii(), "1".repeat(106)),
        );
        check("Asterisk Call Manager/1.1\n", "banner 1.1");
        assert_eq!(read(&[b"Asterisk Call Manager/1"]).0, [""; 0]);
    }

    #[test]
    fn what_lies_whole_in_a_piece_is_not_copied() {
        let mut stream = Stream::new(BYTES_MAX);
        let input = [HELLO, "Event: A\r\n\r\nEvent: B\r\n"].concat();
        let mut rest = input.as_bytes();
        assert_eq!(stream.next(&mut rest, wants), Framed::Banner(b"5.0.4"));
        let Framed::Message(message) = stream.next(&mut rest, wants) else { panic!("a message") };
        assert!(input.as_bytes().as_ptr_range().contains(&message.block().as_ptr()));
        assert_eq!(stream.next(&mut rest, wants), Framed::More);
        assert_eq!(stream.held_bytes(), 10);
        assert!(matches!(stream.next(&mut &b"\r\n"[..], wants), Framed::Message(_)));
        assert_eq!(stream.held_bytes(), 0);
    }

    proptest! {
        /// The splitting property: any split gives the same.
        #[test]
        fn splitting(
            hello in prop_oneof![9 => Just(HELLO.to_owned()), 1 => Just("SSH-2.0\r\n".to_owned())],
            input in proptest::collection::vec(prop_oneof![
                4 => Just("Event: A\r\nb: c\r\n\r\n"),
                2 => Just("Event: A\nb: c\n\n"),
                2 => Just("Event: VarSet\r\nb: c\r\n\r\n"),
                1 => Just("Response: Follows\r\na\r\n\r\nb\n--END COMMAND--\r\n\r\n"),
                1 => Just("Response: Follows\n"),
                1 => Just("Response: Success\r\n"),
                1 => Just("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
                1 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("garbage\r\n"),
                1 => Just("--END COMMAND--"), 1 => Just("Event: ")], 0..20),
            cuts in proptest::collection::vec(0usize..900, 0..8),
        ) {
            let input = (hello + &input.concat()).into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
            cuts.extend([0, input.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &input[cut[0]..cut[1]]).collect();
            prop_assert_eq!(read(&pieces), read(&[&input]));
            prop_assert_eq!(read(&input.chunks(1).collect::<Vec<_>>()), read(&[&input]));
        }
    }
}

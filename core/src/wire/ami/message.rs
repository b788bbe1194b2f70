//! One message: its lines, borrowed from what was received. What is absent here: where a message ends.

use std::borrow::Cow;

use memchr::memchr;

/// The line that ends the output of a command in versions before 14.
pub(super) const END_COMMAND: &[u8] = b"--END COMMAND--";

/// Keys that stand before the output in `Response: Follows`.
const BEFORE_OUTPUT: [&str; 4] = ["Response", "Privilege", "ActionID", "Message"];

/// One message of the manager protocol: lines up to a blank line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    block: &'a [u8],
}

impl<'a> Message<'a> {
    /// The message of a block of lines, without the blank line behind it.
    #[must_use]
    pub const fn of(block: &'a [u8]) -> Message<'a> {
        Message { block }
    }

    /// The lines as they came.
    #[must_use]
    pub const fn block(&self) -> &'a [u8] {
        self.block
    }

    /// Keys and values in their order; one space before a value is none of it. A line without a key is passed over.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        Lines { rest: self.block }.filter_map(field)
    }

    /// The first value of that key, whose case does not matter.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a [u8]> {
        self.all(key).next()
    }

    /// Every value of that key.
    pub fn all<'k>(&self, key: &'k str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'k> {
        let key = key.as_bytes();
        // A key holds no colon, so the first one is looked for where it would be.
        Lines { rest: self.block }.filter_map(move |line| {
            let (name, value) = line.split_at_checked(key.len())?;
            let value = value.strip_prefix(b":").filter(|_| name.eq_ignore_ascii_case(key))?;
            Some(value.strip_prefix(b" ").unwrap_or(value))
        })
    }

    /// The first value of that key as text; what is no UTF-8 in it is replaced.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        self.get(key).map(String::from_utf8_lossy)
    }

    /// The name of the event, if this is one: an event says so in its first line.
    #[must_use]
    pub fn event(&self) -> Option<&'a [u8]> {
        self.first("Event")
    }

    /// What an action was answered with, if this is an answer: it says so in its first line.
    #[must_use]
    pub fn response(&self) -> Option<&'a [u8]> {
        self.first("Response")
    }

    /// What a command printed: each `Output`, or, in versions before 14, the lines behind the head.
    pub fn output(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let follows = self.response().is_some_and(|said| said.eq_ignore_ascii_case(b"Follows"));
        let mut is_head = true;
        Lines { rest: self.block }.filter_map(move |line| match field(line) {
            Some((key, value)) if !follows => key.eq_ignore_ascii_case(b"Output").then_some(value),
            _ if !follows || line == END_COMMAND => None,
            field => {
                is_head &= field.is_some_and(|(key, _)| {
                    BEFORE_OUTPUT.iter().any(|before| key.eq_ignore_ascii_case(before.as_bytes()))
                });
                (!is_head).then_some(line)
            }
        })
    }

    fn first(&self, key: &str) -> Option<&'a [u8]> {
        let (name, value) = Lines { rest: self.block }.next().and_then(field)?;
        name.eq_ignore_ascii_case(key.as_bytes()).then_some(value)
    }
}

/// A line's key and value.
pub(super) fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', line).filter(|at| *at > 0)?;
    let value = &line[colon + 1..];
    Some((&line[..colon], value.strip_prefix(b" ").unwrap_or(value)))
}

/// Lines without their ends.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = match memchr(b'\n', self.rest) {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_keys_and_values() {
        let check = |block: &[u8], expected: &[(&str, &str)]| {
            let expected: Vec<_> = expected.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect();
            assert_eq!(Message::of(block).fields().collect::<Vec<_>>(), expected);
        };
        check(b"", &[]);
        check(b"Event: Hangup\r\nCause: 16", &[("Event", "Hangup"), ("Cause", "16")]);
        check(b"Event: Hangup\nCause: 16\n", &[("Event", "Hangup"), ("Cause", "16")]);
        check(b"a:b\r\nc:  d \r\ne:\r\nf: g: h", &[("a", "b"), ("c", " d "), ("e", ""), ("f", "g: h")]);
        check(b"no key\r\n: none either\r\n\r\na: b\r", &[("a", "b")]);
        check(b"Variable: x=1\r\nVariable: y=2", &[("Variable", "x=1"), ("Variable", "y=2")]);
    }

    #[test]
    fn values_are_found_by_key() {
        let message =
            Message::of(b"Event: Newchannel\r\nVariable: x=1\r\nCallerIDName: J\xf6rg\r\nVariable: y=2");
        assert_eq!(message.get("variable"), Some(&b"x=1"[..]));
        assert_eq!(message.all("Variable").collect::<Vec<_>>(), [b"x=1", b"y=2"]);
        assert_eq!(message.text("CallerIDName").as_deref(), Some("J\u{fffd}rg"));
        assert_eq!(message.get("Channel"), None);
        assert_eq!((message.event(), message.response()), (Some(&b"Newchannel"[..]), None));
    }

    #[test]
    fn the_first_line_says_what_it_is() {
        let originated = Message::of(b"Event: OriginateResponse\r\nResponse: Success");
        assert_eq!((originated.event().is_some(), originated.response()), (true, None));
        let answer = Message::of(b"Response: Success\r\nEvent: no");
        assert_eq!((answer.event(), answer.response()), (None, Some(&b"Success"[..])));
    }

    #[test]
    fn a_command_prints() {
        let check = |block: &[u8], expected: &[&[u8]]| {
            assert_eq!(Message::of(block).output().collect::<Vec<_>>(), expected);
        };
        let message =
            b"Response: Success\r\nMessage: Command output follows\r\nOutput: a\r\nOutput: \r\nOutput: b: c";
        check(message, &[b"a", b"", b"b: c"]);
        let message = b"Response: Follows\r\nPrivilege: Command\r\nActionID: 7\r\na\r\n\r\nActionID: b\n--END COMMAND--";
        check(message, &[b"a", b"", b"ActionID: b"]);
        check(b"Response: Error\r\nMessage: No such command", &[]);
    }
}

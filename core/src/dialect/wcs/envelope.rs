//! What stands in a websocket's text frames: `{"message":NAME,"data":[…]}` both ways. Binary frames mean nothing. In what
//! the server sends `data` is always an array: the Web SDK reads its first item before it looks at the name.

use serde_json::value::RawValue;

use super::hook::Fields;
use crate::dialect::native::{read::facts, render};
use crate::event::Fact;
use crate::ground::limits::Limits;
use crate::wire::ws::frame;

/// The keepalive of the algorithm HIGH_LEVEL, as a whole frame.
pub const PING: &[u8] = b"\x81\x20{\"message\":\"ping\",\"data\":[null]}";

/// The answer to a client's `ping`, as a whole frame.
pub const PONG: &[u8] = b"\x81\x20{\"message\":\"pong\",\"data\":[null]}";

/// A message of a client: its name, and the members of the first object in its `data`; none if there is no object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The name.
    pub name: Box<str>,
    /// The members, in their order.
    pub fields: Fields,
}

/// Reads a message.
///
/// # Errors
/// What is wrong with it, as a sentence for `info`.
pub fn read(text: &str, limits: &Limits) -> Result<Said, String> {
    let members = facts(text, limits).map_err(|why| format!("a message is a JSON object: {why}"))?;
    let member = |name: &str| members.iter().find(|(n, _)| &**n == name).map(|(_, fact)| fact);
    let Some(Fact::Text(name)) = member("message") else {
        return Err("a message needs its name, a string, in `message`".to_owned());
    };
    let fields = match member("data") {
        None => Fields::new(),
        Some(Fact::Nested(json)) if json.starts_with('[') => first(json, limits)?,
        Some(_) => return Err(format!("{name}: `data` is an array")),
    };
    Ok(Said { name: name.clone(), fields })
}

fn first(array: &str, limits: &Limits) -> Result<Fields, String> {
    let items: Vec<&RawValue> = serde_json::from_str(array).map_err(|why| why.to_string())?;
    match items.first().map(|item| item.get()) {
        Some(item) if item.starts_with('{') => facts(item, limits).map_err(|why| format!("data[0]: {why}")),
        Some(_) | None => Ok(Fields::new()),
    }
}

/// A message with one object in its `data`, as a whole frame.
#[must_use]
pub fn message(name: &str, fields: &Fields) -> Vec<u8> {
    of_data(name, |out| render::object(fields, out))
}

/// `setRemoteSDP`, the one message whose `data` holds values by their places.
#[must_use]
pub fn message_of_values(name: &str, values: &[&Fact]) -> Vec<u8> {
    of_data(name, |out| {
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            render::fact(value, out);
        }
    })
}

fn of_data(name: &str, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut framed = Vec::with_capacity(256);
    frame::text(&mut framed, |out| {
        out.extend_from_slice(br#"{"message":"#);
        render::string(name, out);
        out.extend_from_slice(br#","data":["#);
        write(out);
        out.extend_from_slice(b"]}");
    });
    framed
}

/// `fail` with the info alone: with more the Web SDK would tear a stream down.
#[must_use]
pub fn fail(info: &str) -> Vec<u8> {
    message("fail", &vec![("info".into(), Fact::Text(info.into()))])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(frame: &[u8]) -> &str {
        assert_eq!((frame[0], usize::from(frame[1])), (0x81, frame.len() - 2), "one short text frame");
        std::str::from_utf8(&frame[2..]).unwrap()
    }

    #[test]
    fn w35_messages_are_read_and_what_is_wrong_is_named() {
        let limits = Limits::default();
        for (message, name, fields) in [
            (r#"{"message":"ping","data":[null]}"#, "ping", 0),
            (r#"{"message":"ping"}"#, "ping", 0),
            (r#" { "data" : [ { "a" : 1, "b" : [2] }, 3 ], "message" : "x" } "#, "x", 2),
            (r#"{"message":"pong","data":[],"more":{}}"#, "pong", 0),
            (r#"{"message":"x","data":["text"]}"#, "x", 0),
        ] {
            let said = read(message, &limits).unwrap();
            assert_eq!((&*said.name, said.fields.len()), (name, fields), "{message}");
        }
        for (message, why) in [
            ("", "a message is a JSON object"),
            ("hello", "a message is a JSON object"),
            ("[1]", "a message is a JSON object"),
            (r#"{"message":"x","message":"y"}"#, "`message` stands twice"),
            ("{}", "a message needs its name"),
            (r#"{"message":7,"data":[]}"#, "a message needs its name"),
            (r#"{"message":"x","data":{}}"#, "x: `data` is an array"),
            (r#"{"message":"x","data":null}"#, "x: `data` is an array"),
            (r#"{"message":"x","data":[{"a":1,"a":2}]}"#, "data[0]: `a` stands twice"),
        ] {
            let wrong = read(message, &limits).unwrap_err();
            assert!(wrong.contains(why), "{message}: {wrong}");
        }
    }

    #[test]
    fn w33_data_is_an_array_in_every_message() {
        assert_eq!(text(PING), r#"{"message":"ping","data":[null]}"#);
        assert_eq!(text(PONG), r#"{"message":"pong","data":[null]}"#);
        assert_eq!(text(&fail("a \"b\"")), r#"{"message":"fail","data":[{"info":"a \"b\""}]}"#);
        assert_eq!(text(&message("x", &Fields::new())), r#"{"message":"x","data":[{}]}"#);
        let (id, sdp) = (Fact::Text("m".into()), Fact::Text("v=0".into()));
        let values = message_of_values("setRemoteSDP", &[&id, &sdp]);
        assert_eq!(text(&values), r#"{"message":"setRemoteSDP","data":["m","v=0"]}"#);
    }
}

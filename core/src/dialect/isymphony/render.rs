//! iSymphony's messages as compact JSON, keys in alphabetical order.

use std::io::Write as _;

use crate::dialect::native::render::{fact, string};
use crate::event::Fact;
use crate::event::projection::Isymphony;
use crate::ground::time::Wall;

/// Appends an event.
pub fn event(event: &Isymphony<'_>, out: &mut Vec<u8>) {
    for (at, (name, value)) in event.properties().enumerate() {
        out.push(if at == 0 { b'{' } else { b',' });
        string(name, out);
        out.push(b':');
        fact(value, out);
    }
    out.push(b'}');
}

/// Appends the answer to filters that hold from here on.
pub fn success(correlation: &Fact, wall: Wall, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"correlationId":"#);
    fact(correlation, out);
    let _ = write!(out, r#","time":{},"type":"success"}}"#, wall.0);
}

/// Appends the answer to a message that changes nothing.
pub fn error(correlation: &Fact, text: &str, wall: Wall, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"correlationId":"#);
    fact(correlation, out);
    out.extend_from_slice(br#","error":"#);
    string(text, out);
    let _ = write!(out, r#","time":{},"type":"error"}}"#, wall.0);
}

/// Appends how many events a slow reader has missed.
pub fn dropped(core_server_id: &str, count: u64, wall: Wall, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"coreServerId":"#);
    string(core_server_id, out);
    let _ = write!(out, r#","count":{count},"time":{},"type":"eventsDropped"}}"#, wall.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::vocabulary::Vocabulary;
    use crate::event::{Data, Event};

    fn text(render: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        render(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn i8_i9_kinds_stay_and_keys_are_in_order() {
        let data = r#"{"username":"mike","user_id":null,"port":57042,"duration":1.0,"user_created":true,"ip":"a\"b","user_login_id":"0c51236d"}"#;
        let facts = crate::dialect::native::read::facts(data, &Default::default()).unwrap();
        let login = Event {
            id: "1".into(),
            id_given: false,
            source: "s".into(),
            event_type: "user.login".into(),
            subject: None,
            time: "".into(),
            wall: Wall(1_436_889_915_953),
            content_type: None,
            schema: None,
            extensions: Vec::new(),
            data: Data::Facts(facts),
        };
        let vocabulary = Vocabulary::new(&[]);
        let login = Isymphony::new(&login, &vocabulary, "e5c01703").unwrap();
        let expected = r#"{"coreServerId":"e5c01703","duration":1.0,"ip":"a\"b","port":57042,"time":1436889915953,"type":"userLogin","userCreated":true,"userId":null,"userLoginId":"0c51236d","username":"mike"}"#;
        assert_eq!(text(|out| event(&login, out)), expected);
    }

    #[test]
    fn i18_i20_replies_are_byte_for_byte_the_vendors() {
        let wall = Wall(1_436_889_163_971);
        for (correlation, expected) in [
            (Fact::Null, r#"{"correlationId":null,"time":1436889163971,"type":"success"}"#),
            (
                Fact::Text("123456".into()),
                r#"{"correlationId":"123456","time":1436889163971,"type":"success"}"#,
            ),
            (Fact::Number("1e3".into()), r#"{"correlationId":1e3,"time":1436889163971,"type":"success"}"#),
        ] {
            assert_eq!(text(|out| success(&correlation, wall, out)), expected);
        }
        let expected = r#"{"correlationId":null,"error":"a \"b\"","time":1436889163971,"type":"error"}"#;
        assert_eq!(text(|out| error(&Fact::Null, "a \"b\"", wall, out)), expected);
        let expected = r#"{"coreServerId":"c","count":17,"time":1436889163971,"type":"eventsDropped"}"#;
        assert_eq!(text(|out| dropped("c", 17, wall, out)), expected);
    }
}

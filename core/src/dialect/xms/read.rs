//! XMS requests: the `eventhandler` document of POST and PUT.

use serde::{Deserialize, Serialize};

use super::is_word;
use crate::ground::config::Config;
use crate::wire::xml::{Bounds, Token, read, text};

/// One `eventsubscribe`, with its defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// An event type, `keepalive` or `any`.
    pub event_type: Box<str>,
    /// `call`, `conference`, `mrcp` or `any`.
    pub resource_type: Box<str>,
    /// A resource's id, or `any`.
    pub resource_id: Box<str>,
}

impl Default for Subscription {
    fn default() -> Subscription {
        Subscription { event_type: "any".into(), resource_type: "any".into(), resource_id: "any".into() }
    }
}

/// What one `eventsubscribe` does to the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edit {
    /// Appends it, unless it is there.
    Add(Subscription),
    /// Takes the equal one out, if it is there.
    Remove(Subscription),
}

/// Longest `resource_id`, in characters.
const RESOURCE_ID_MAX: usize = 256;

/// Reads the document: all its edits, in order.
///
/// # Errors
/// A sentence that says what is wrong, and where.
pub fn edits(content: &[u8], config: &Config) -> Result<Vec<Edit>, String> {
    let limits = &config.limits;
    let bounds = Bounds { depth: limits.xms_depth as usize, attributes: limits.xms_attributes as usize };
    let text = text(content).map_err(|e| e.to_string())?;
    let tokens = read(&text, bounds).map_err(|e| e.to_string())?;
    let mut edits = Vec::new();
    let mut path: Vec<&str> = Vec::new();
    let mut handlers = 0;
    for token in &tokens {
        let Token::Start { name, attributes, at } = token else {
            path.pop();
            continue;
        };
        match (path.as_slice(), name.as_str()) {
            ([], "web_service") | (["web_service"], _) => handlers += usize::from(name == "eventhandler"),
            ([], other) => return Err(format!("the root element is <{other}>, and <web_service> is wanted")),
            (["web_service", "eventhandler"], "eventsubscribe") => {
                edits.push(edit(attributes, config).map_err(|e| format!("at byte {at}: {e}"))?);
            }
            _ => {}
        }
        path.push(name);
    }
    if handlers != 1 {
        return Err("one <eventhandler> is wanted in <web_service>".to_owned());
    }
    if edits.is_empty() {
        return Err("at least one <eventsubscribe> is wanted in <eventhandler>".to_owned());
    }
    Ok(edits)
}

fn edit(attributes: &[(String, String)], config: &Config) -> Result<Edit, String> {
    let mut subscription = Subscription::default();
    let mut add = true;
    for (name, value) in attributes {
        match name.as_str() {
            "type" if value == "any" || is_word(config, value) => {
                subscription.event_type = value.as_str().into()
            }
            "type" => return Err(format!("type=\"{value}\" is no event type")),
            "resource_type" if matches!(value.as_str(), "any" | "call" | "conference" | "mrcp") => {
                subscription.resource_type = value.as_str().into();
            }
            "resource_type" => {
                return Err(format!("resource_type=\"{value}\" is none of any, call, conference, mrcp"));
            }
            "resource_id" if (1..=RESOURCE_ID_MAX).contains(&value.chars().count()) => {
                subscription.resource_id = value.as_str().into();
            }
            "resource_id" => return Err(format!("resource_id has 1 to {RESOURCE_ID_MAX} characters")),
            "action" if value == "add" => add = true,
            "action" if value == "remove" => add = false,
            "action" => return Err(format!("action=\"{value}\" is neither add nor remove")),
            _ => {}
        }
    }
    Ok(if add { Edit::Add(subscription) } else { Edit::Remove(subscription) })
}

/// The list after the edits.
#[must_use]
pub fn apply(mut subscriptions: Vec<Subscription>, edits: &[Edit]) -> Vec<Subscription> {
    for edit in edits {
        match edit {
            Edit::Add(s) if !subscriptions.contains(s) => subscriptions.push(s.clone()),
            Edit::Add(_) => {}
            Edit::Remove(s) => subscriptions.retain(|other| other != s),
        }
    }
    subscriptions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: Result<&[(&str, &str, &str, &str)], &str>) {
        let got = edits(body.as_bytes(), &Config::default());
        match (got, expected) {
            (Ok(edits), Ok(expected)) => {
                let edits: Vec<_> = edits
                    .iter()
                    .map(|edit| {
                        let (action, s) = match edit {
                            Edit::Add(s) => ("add", s),
                            Edit::Remove(s) => ("remove", s),
                        };
                        (action, &*s.event_type, &*s.resource_type, &*s.resource_id)
                    })
                    .collect();
                assert_eq!(edits, expected, "{body}");
            }
            (Err(reason), Err(part)) => assert!(reason.contains(part), "{body}: {reason}"),
            (got, expected) => panic!("{body}: {got:?}, expected {expected:?}"),
        }
    }

    fn within(subscriptions: &str) -> String {
        format!("<web_service version=\"1.0\"><eventhandler>{subscriptions}</eventhandler></web_service>")
    }

    #[test]
    fn documents() {
        // X1: the defaults.
        check(&within("<eventsubscribe />"), Ok(&[("add", "any", "any", "any")]));
        check(
            &within(
                "<eventsubscribe action=\"add\" type=\"end_play\"/>\
                 <eventsubscribe type=\"keepalive\" resource_type=\"mrcp\" resource_id=\"a&amp;b\" action='remove'/>",
            ),
            Ok(&[("add", "end_play", "any", "any"), ("remove", "keepalive", "mrcp", "a&b")]),
        );
        // X5, X6: namespaces, unknown attributes and unknown elements are ignored.
        check(
            &within("<eventsubscribe xmlns:xsi='x' extra='1'><webhooks a='b'/></eventsubscribe><webhooks/>"),
            Ok(&[("add", "any", "any", "any")]),
        );
        check("<web_service><eventhandler/></web_service>", Err("at least one"));
        check("<web_service/>", Err("one <eventhandler>"));
        check("<other/>", Err("root element is <other>"));
        check(
            "<web_service><eventhandler><x><eventsubscribe/></x></eventhandler></web_service>",
            Err("at least one"),
        );
        check(&within("<eventsubscribe type='nope'/>"), Err("type=\"nope\""));
        check(&within("<eventsubscribe resource_type='nope'/>"), Err("resource_type=\"nope\""));
        check(&within("<eventsubscribe resource_id=''/>"), Err("resource_id"));
        check(&within(&format!("<eventsubscribe resource_id='{}'/>", "ü".repeat(257))), Err("resource_id"));
        check(&within("<eventsubscribe action='change'/>"), Err("action=\"change\""));
        check("<!DOCTYPE x><web_service/>", Err("document type"));
        check("", Err("no root"));
        check(&"<a>".repeat(40), Err("too deeply"));
    }

    #[test]
    fn x9_x10_edits_are_applied_in_order() {
        let any = Subscription::default();
        let end_play = Subscription { event_type: "end_play".into(), ..any.clone() };
        let add = |s: &Subscription| Edit::Add(s.clone());
        let remove = |s: &Subscription| Edit::Remove(s.clone());
        assert_eq!(apply(vec![any.clone()], &[add(&end_play), add(&any)]), [any.clone(), end_play.clone()]);
        assert_eq!(
            apply(vec![any.clone(), end_play.clone()], &[remove(&any)]),
            std::slice::from_ref(&end_play)
        );
        assert_eq!(apply(vec![any.clone()], &[remove(&end_play)]), std::slice::from_ref(&any));
        assert_eq!(apply(vec![], &[add(&any), remove(&any)]), []);
    }
}

//! `restClientConfig`: what a backend says of a session's hooks in its answer to `connect`. The config file sets the same
//! per application ([`crate::ground::config::WcsApp::policies`]). Nothing here is an error but a config that is no object:
//! what is not understood acts as the default, with a warning.

use std::collections::BTreeMap;

use super::table::wire_name;
use crate::dialect::native::read::facts;
use crate::event::Fact;
use crate::ground::config::{HookPolicy, OnError, RestPolicy};
use crate::ground::limits::Limits;

/// The policies of a session's hooks; a hook that is not listed has the defaults.
pub type Policies = BTreeMap<String, HookPolicy>;

/// Reads the value of `restClientConfig`; `None` if it is no object.
#[must_use]
pub fn policies(value: &Fact, limits: &Limits, warnings: &mut Vec<String>) -> Option<Policies> {
    let mut policies = Policies::new();
    for (hook, entry) in object(value, limits)? {
        match object(&entry, limits) {
            Some(entry) => {
                let policy = policy(&hook, &entry, warnings);
                policies.insert(wire_name(&hook).to_owned(), policy);
            }
            None => warnings.push(format!("restClientConfig.{hook} is no object; the defaults hold")),
        }
    }
    Some(policies)
}

fn object(value: &Fact, limits: &Limits) -> Option<Vec<(Box<str>, Fact)>> {
    match value {
        Fact::Nested(json) if json.starts_with('{') => facts(json, limits).ok(),
        Fact::Nested(_) | Fact::Null | Fact::Bool(_) | Fact::Number(_) | Fact::Text(_) => None,
    }
}

fn policy(hook: &str, entry: &[(Box<str>, Fact)], warnings: &mut Vec<String>) -> HookPolicy {
    let mut policy = HookPolicy::default();
    for (key, value) in entry {
        let understood = match &**key {
            "restExclude" => names(value).map(|names| policy.rest_exclude = names),
            "clientExclude" => names(value).map(|names| policy.client_exclude = names),
            "restOverwrite" => names(value).map(|names| policy.overwrite = names),
            "restOnError" => value.as_text().and_then(on_error).map(|on_error| policy.on_error = on_error),
            "restPolicy" => value.as_text().and_then(rest_policy).map(|rest| policy.policy = rest),
            _ => Some(()),
        };
        if understood.is_none() {
            warnings.push(format!("restClientConfig.{hook}.{key} is not understood; the default holds"));
        }
    }
    policy
}

/// `restOnError`, in any case of letters; `None` for another word. Empty text is the default.
#[must_use]
pub fn on_error(text: &str) -> Option<OnError> {
    match text.trim().to_ascii_uppercase().as_str() {
        "LOG" | "" => Some(OnError::Log),
        "FAIL" => Some(OnError::Fail),
        _ => None,
    }
}

/// `restPolicy`, in any case of letters; `None` for another word. Empty text is the default.
#[must_use]
pub fn rest_policy(text: &str) -> Option<RestPolicy> {
    match text.trim().to_ascii_uppercase().as_str() {
        "NOTIFY" | "" => Some(RestPolicy::Notify),
        "OVERWRITE" => Some(RestPolicy::Overwrite),
        "DISABLE" | "DISABLED" => Some(RestPolicy::Disable),
        _ => None,
    }
}

/// Names between commas, with the blanks around them cut.
#[must_use]
pub fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// A list as a string or as an array of strings.
fn names(value: &Fact) -> Option<Vec<String>> {
    match value {
        Fact::Null => Some(Vec::new()),
        Fact::Text(text) => Some(list(text)),
        Fact::Nested(json) => {
            let names: Vec<String> = serde_json::from_str(json).ok()?;
            Some(names.iter().flat_map(|name| list(name)).collect())
        }
        Fact::Bool(_) | Fact::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> (Option<Policies>, Vec<String>) {
        let mut warnings = Vec::new();
        let read = policies(&Fact::Nested(json.into()), &Limits::default(), &mut warnings);
        (read, warnings)
    }

    #[test]
    fn w41_lists_are_strings_or_arrays_with_blanks() {
        let (read, warnings) = read(
            r#"{"StreamStatusEvent":{"restExclude":" sdp , ,name ","clientExclude":["a"," b "],"restOnError":"fail",
            "restPolicy":"Overwrite","restOverwrite":"x"},"sendDTMF":{"restPolicy":"disabled"},"call":{}}"#,
        );
        let read = read.unwrap();
        assert_eq!(
            read["StreamStatusEvent"],
            HookPolicy {
                rest_exclude: vec!["sdp".to_owned(), "name".to_owned()],
                client_exclude: vec!["a".to_owned(), "b".to_owned()],
                on_error: OnError::Fail,
                policy: RestPolicy::Overwrite,
                overwrite: vec!["x".to_owned()],
            }
        );
        assert_eq!(read["sendDtmf"].policy, RestPolicy::Disable);
        assert_eq!((&read["call"], warnings.len()), (&HookPolicy::default(), 0));
    }

    #[test]
    fn w41_unknown_values_act_as_the_default() {
        let (read, warnings) = read(
            r#"{"a":{"restOnError":"MAYBE","restPolicy":7,"restExclude":{"x":1},"later":true},"b":"text"}"#,
        );
        assert_eq!(read.unwrap(), Policies::from([("a".to_owned(), HookPolicy::default())]));
        assert_eq!(warnings.len(), 4, "{warnings:?}");
    }

    #[test]
    fn a_config_that_is_no_object_is_refused() {
        for json in ["[]", "{\"a\":{},\"a\":{}}"] {
            assert_eq!(read(json).0, None, "{json}");
        }
        for value in [Fact::Text("{}".into()), Fact::Null, Fact::Bool(true)] {
            assert_eq!(policies(&value, &Limits::default(), &mut Vec::new()), None);
        }
    }
}

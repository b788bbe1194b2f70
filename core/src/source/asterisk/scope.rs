//! Scope: which application, account, route, realm an event belongs to, by rules on where it happened at the PBX.

use crate::ground::config::ScopeRule;

/// Rules in their order; the first that matches gives the scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Vec<ScopeRule>);

/// Where something happened, as far as rules ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// The dialplan context.
    pub context: Option<&'a str>,
    /// The device, `PJSIP/provider`.
    pub device: Option<&'a str>,
    /// Variables of the channel, as far as they are told.
    pub variables: &'a [(Box<str>, Box<str>)],
}

/// Whether all conditions that the rule names hold; one without any always matches.
fn matches(rule: &ScopeRule, place: &Place<'_>) -> bool {
    let context = rule.context.as_deref().is_none_or(|context| place.context == Some(context));
    let trunk = rule.trunk.as_deref().is_none_or(|trunk| {
        let endpoint = |device: &str| device.split_once('/').is_some_and(|(_, endpoint)| endpoint == trunk);
        place.device.is_some_and(|device| device == trunk || endpoint(device))
    });
    let variable = rule.variable.as_ref().is_none_or(|pair| place.variables.contains(pair));
    context && trunk && variable
}

impl Rules {
    /// The rules of the config, sorted by attribute.
    #[must_use]
    pub fn new(rules: &[ScopeRule]) -> Rules {
        let mut rules = rules.to_vec();
        rules.iter_mut().for_each(|rule| rule.attributes.sort());
        Rules(rules)
    }

    /// The first rule that matches, by its place among them.
    #[must_use]
    pub fn first(&self, place: &Place<'_>) -> Option<usize> {
        self.0.iter().position(|rule| matches(rule, place))
    }

    /// What that rule gives, sorted by name.
    #[must_use]
    pub fn attributes(&self, rule: Option<usize>) -> Vec<(&'static str, Box<str>)> {
        rule.and_then(|at| self.0.get(at)).map(|rule| rule.attributes.clone()).unwrap_or_default()
    }

    /// Whether some rule asks for a variable.
    #[must_use]
    pub fn ask(&self) -> bool {
        self.0.iter().any(|rule| rule.variable.is_some())
    }

    /// Whether some rule asks for that variable.
    #[must_use]
    pub fn ask_for(&self, variable: &str) -> bool {
        self.0.iter().any(|rule| rule.variable.as_ref().is_some_and(|(name, _)| **name == *variable))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_match_gives_the_scope() {
        let rule = |context: &str, trunk: &str, attributes: &[(&'static str, &str)]| ScopeRule {
            context: (!context.is_empty()).then(|| context.into()),
            trunk: (!trunk.is_empty()).then(|| trunk.into()),
            variable: None,
            attributes: attributes.iter().map(|(name, value)| (*name, (*value).into())).collect(),
        };
        let rules = Rules::new(&[
            rule("from-trunk", "provider", &[("account", "both")]),
            rule("from-trunk", "", &[("appid", "app"), ("account", "acme")]),
            rule("", "PJSIP/other", &[("realm", "r")]),
            ScopeRule {
                variable: Some(("TENANT".into(), "7".into())),
                ..rule("", "", &[("route", "seven")])
            },
        ]);
        let tenant = [(Box::from("TENANT"), Box::from("7"))];
        for (context, device, variables, expected) in [
            (Some("from-trunk"), Some("PJSIP/provider"), &[][..], &[("account", "both")][..]),
            (Some("from-trunk"), None, &[], &[("account", "acme"), ("appid", "app")]),
            (Some("office"), Some("PJSIP/other"), &[], &[("realm", "r")]),
            (Some("office"), Some("SIP/other"), &[], &[]),
            (None, None, &tenant, &[("route", "seven")]),
            (None, Some("provider"), &[], &[]),
        ] {
            let found = rules.attributes(rules.first(&Place { context, device, variables }));
            let found: Vec<_> = found.iter().map(|(name, value)| (*name, &**value)).collect();
            assert_eq!(found, expected, "{context:?} {device:?}");
        }
        assert!(rules.ask_for("TENANT") && !rules.ask_for("X"));
    }

    #[test]
    fn a_rule_without_conditions_matches() {
        let rules =
            Rules::new(&[ScopeRule { attributes: vec![("appid", "all".into())], ..ScopeRule::default() }]);
        assert_eq!(rules.attributes(rules.first(&Place::default())), [("appid", "all".into())]);
        assert_eq!(rules.attributes(None), []);
    }
}

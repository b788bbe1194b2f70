//! `[[source]]`: where events come from, as the config says it.

use std::fmt;

use super::Tls;

/// One `[[source]]` of type `asterisk`: a PBX, by its manager interface.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name, once in the file: the `source` of its events.
    pub name: Box<str>,
    /// The host of `address`: a name, or an address without brackets.
    pub host: Box<str>,
    /// The port of `address`.
    pub port: u16,
    /// The manager user.
    pub user: Box<str>,
    /// Its password.
    pub password: Box<str>,
    /// The password is not sent, but answers a challenge.
    pub md5: bool,
    /// The classes of events that are asked for; `None`: those that mean something here.
    pub events: Option<Box<str>>,
    /// The silence after which a sign of life is asked for.
    pub ping_ms: u64,
    /// How its certificate is verified; `None` is plain TCP.
    pub tls: Option<Tls>,
    /// Which events get which scope attributes; the first that matches counts.
    pub scope: Vec<ScopeRule>,
}

/// One rule of `scope`: what a call must have, all of it, and the attributes that its events get then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeRule {
    /// The context of the dialplan.
    pub context: Option<Box<str>>,
    /// The peer of its channel: `trunk` of `PJSIP/trunk-00000001`.
    pub trunk: Option<Box<str>>,
    /// A channel variable, and its value.
    pub variable: Option<(Box<str>, Box<str>)>,
    /// `appid`, `account`, `route`, `realm`, `appkey`, and what each is.
    pub attributes: Vec<(&'static str, Box<str>)>,
}

/// The attributes that a rule may give.
pub const ATTRIBUTES: [&str; 5] = ["appid", "account", "route", "realm", "appkey"];

impl Source {
    /// Where it is, as people write it: an IPv6 address in brackets.
    #[must_use]
    pub fn address(&self) -> String {
        let Source { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl Default for Source {
    fn default() -> Source {
        Source {
            name: "".into(),
            host: "".into(),
            port: 5_038,
            user: "".into(),
            password: "".into(),
            md5: true,
            events: None,
            ping_ms: 15_000,
            tls: None,
            scope: Vec::new(),
        }
    }
}

/// Passwords stay out of logs.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

//! What a client wants: the `<subscribe>` document of POST and PUT, and the rules that hold in JSON as well.

use std::net::IpAddr;

use uuid::Uuid;

use super::NAMESPACE;
use super::change::{Made, Put};
use super::package::{Package, event_name};
use super::state::{Entry, Form, Subscription};
use crate::ground::address::blocked;
use crate::ground::config::Config;
use crate::ground::hosts::Hosts;
use crate::ground::limits::Limits;
use crate::ground::time::Wall;
use crate::wire::http::url::Url;
use crate::wire::sip::is_token;
use crate::wire::sip::uri::Uri;
use crate::wire::xml::Bounds;
use crate::wire::xml::tree::{Element, tree};

/// RFC 4826 section 3.
const RESOURCE_LISTS: &str = "urn:ietf:params:xml:ns:resource-lists";

/// Types that ask for the multipart form of callbacks, and are not asked for by SIP.
const MULTIPART: [&str; 2] = ["multipart/related", "application/rlmi+xml"];

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status; 403: the notify URL names an address that may not be reached.
    pub status: u16,
    /// What is wrong, and where.
    pub text: String,
}

/// What a request asks for; what it does not say is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// The event package.
    pub event: Option<Box<str>>,
    /// The list, flattened.
    pub entries: Option<Vec<Entry>>,
    /// The notify URL.
    pub notify: Option<Box<str>>,
    /// The end.
    pub expires: Option<Wall>,
    /// Body types.
    pub accept: Option<Vec<Box<str>>>,
    /// The form that it is asked in, and that documents have.
    pub form: Form,
}

/// What the parts of a request are called, for whoever wrote them wrong.
struct Names {
    event: &'static str,
    notify: &'static str,
    accept: &'static str,
    entries: &'static str,
}

impl Names {
    fn of(form: Form) -> Names {
        match form {
            Form::Xml => {
                Names { event: "event", notify: "notify", accept: "<accept>", entries: "resource-lists" }
            }
            Form::Json => Names { event: "package", notify: "callback", accept: "accept", entries: "uris" },
        }
    }
}

/// The name of an entry by its place.
fn entry_name(form: Form, at: usize) -> String {
    match form {
        Form::Xml => format!("entry {}", at + 1),
        Form::Json => format!("uris[{at}]"),
    }
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub fn new(status: u16, text: impl Into<String>) -> Refusal {
        Refusal { status, text: text.into() }
    }
}

/// Reads a `<subscribe>` document. The order of its elements is free, and what is not known is passed over.
///
/// # Errors
/// What is wrong, and where.
pub fn xml(content: &[u8], limits: &Limits) -> Result<Asked, Refusal> {
    let bounds = Bounds { depth: limits.sep_depth as usize, attributes: limits.sep_attributes as usize };
    let root = tree(content, bounds).map_err(|e| Refusal::new(400, e.to_string()))?;
    if !root.is(NAMESPACE, "subscribe") {
        let text = format!(
            "the root element is <{}> of the namespace \"{}\", and <subscribe> of \"{NAMESPACE}\" is wanted",
            root.name, root.namespace
        );
        return Err(Refusal::new(400, text));
    }
    let mut asked = Asked {
        event: root.attribute("event").filter(|event| !event.is_empty()).map(Into::into),
        ..Asked::default()
    };
    for element in root.elements() {
        if element.is(RESOURCE_LISTS, "resource-lists") {
            let entries = asked.entries.get_or_insert_default();
            element.elements().try_for_each(|list| listed(list, entries))?;
        } else if &*element.namespace == NAMESPACE {
            take(element, &mut asked)?;
        }
    }
    Ok(asked)
}

fn take(element: &Element, asked: &mut Asked) -> Result<(), Refusal> {
    let at = |e: Refusal| Refusal::new(e.status, format!("at byte {}: {}", element.at, e.text));
    match &*element.name {
        "notify" => {
            let url = element.attribute("url");
            let url = url.ok_or_else(|| at(Refusal::new(422, "<notify> has no url")))?;
            asked.notify = Some(url.into());
        }
        "expires" => asked.expires = Some(time(&element.text()).map_err(at)?),
        "accept" => asked.accept.get_or_insert_default().push(element.text().into()),
        _ => {}
    }
    Ok(())
}

/// The entries of a list and of those in it (RFC 4826 section 3.1). References to what stands elsewhere are refused.
fn listed(element: &Element, entries: &mut Vec<Entry>) -> Result<(), Refusal> {
    if &*element.namespace != RESOURCE_LISTS {
        return Ok(());
    }
    let wrong = |text: &str| Refusal::new(422, format!("at byte {}: {text}", element.at));
    match &*element.name {
        "list" => element.elements().try_for_each(|inner| listed(inner, entries)),
        "entry" => {
            let uri = element.attribute("uri").ok_or_else(|| wrong("<entry> has no uri"))?;
            let name = element.find(RESOURCE_LISTS, "display-name").map(|name| name.text().into());
            entries.push(Entry { uri: uri.into(), name });
            Ok(())
        }
        "entry-ref" | "external" => {
            Err(wrong(&format!("<{}> is not taken: what it refers to is not looked up", element.name)))
        }
        _ => Ok(()),
    }
}

/// Reads `expires`.
///
/// # Errors
/// It is no time.
pub fn time(text: &str) -> Result<Wall, Refusal> {
    Wall::from_rfc3339(text).ok_or_else(|| {
        let text = format!("expires: \"{text}\" is no RFC 3339 date-time with its offset");
        Refusal::new(400, text)
    })
}

impl Asked {
    /// A new subscription. Whose it is, and where, is for the caller to say.
    ///
    /// # Errors
    /// What is wrong with what is asked, or missing.
    pub fn made(self, id: Uuid, now: Wall, config: &Config) -> Result<Made, Refusal> {
        let (form, names) = (self.form, Names::of(self.form));
        let missing = || Refusal::new(400, format!("{}: the event package is missing", names.event));
        let event = self.event.ok_or_else(missing)?;
        let event = package(&event, &names)?;
        let (accept, multipart) = accepted(event, self.accept, &names, &config.limits)?;
        let default_ms = u64::from(Package::of(event).default_expires_s()) * 1_000;
        let expires = self.expires.unwrap_or(Wall(now.0 + default_ms));
        let notify = self.notify.map(|url| reachable(url, &names, config)).transpose()?;
        Ok(Made {
            id,
            owner: None,
            base: "".into(),
            event: event.into(),
            accept,
            multipart,
            form,
            notify,
            expires: granted(expires, now, &config.limits)?,
            entries: entries(self.entries.unwrap_or_default(), form, &config.limits)?,
            room: config.limits.sep_subscriptions,
            entries_room: Some(config.limits.sep_entries_in_all),
        })
    }

    /// Refuses entries whose hosts are none of those that may be asked; without any, all may.
    ///
    /// # Errors
    /// The first such entry.
    pub fn within(self, targets: &[Hosts]) -> Result<Asked, Refusal> {
        let is_outside = |entry: &Entry| entry.uri.parse::<Uri>().is_ok_and(|uri| !uri.is_within(targets));
        let outside = self.entries.iter().flatten().enumerate().find(|(_, entry)| is_outside(entry));
        match outside.filter(|_| !targets.is_empty()) {
            None => Ok(self),
            Some((at, Entry { uri, .. })) => {
                let text = format!("entry {}: [sip] targets does not list the host of \"{uri}\"", at + 1);
                Err(Refusal::new(422, text))
            }
        }
    }

    /// What replaces what a subscription has.
    ///
    /// # Errors
    /// What is wrong with what is asked.
    pub fn put(self, known: &Subscription, now: Wall, config: &Config) -> Result<Put, Refusal> {
        let (form, names) = (self.form, Names::of(self.form));
        if let Some(event) = self.event.as_deref().filter(|event| event_name(event) != &*known.event) {
            let text = format!(
                "{}: the subscription is of \"{}\", and \"{event}\" is asked for",
                names.event, known.event
            );
            return Err(Refusal::new(409, text));
        }
        let accept = self.accept.map(|accept| accepted(&known.event, Some(accept), &names, &config.limits));
        let entries = self.entries.map(|listed| entries(listed, form, &config.limits));
        Ok(Put {
            expires: self.expires.map(|expires| granted(expires, now, &config.limits)).transpose()?,
            notify: self.notify.map(|url| reachable(url, &names, config)).transpose()?,
            accept: accept.transpose()?,
            entries: entries.transpose()?,
        })
    }
}

/// The name of an event package, as SIP knows it: a token, without an `id` (RFC 6665 section 8.4).
fn package<'e>(event: &'e str, names: &Names) -> Result<&'e str, Refusal> {
    if is_token(event) {
        return Ok(event_name(event));
    }
    let text = format!("{}: \"{event}\" is no event package; parameters are not taken", names.event);
    Err(Refusal::new(422, text))
}

/// The body types to ask for, and whether callbacks have the multipart form.
fn accepted(
    event: &str,
    asked: Option<Vec<Box<str>>>,
    names: &Names,
    limits: &Limits,
) -> Result<(Vec<Box<str>>, bool), Refusal> {
    let mut types = asked.unwrap_or_default();
    if types.len() as u64 > limits.sep_accepts {
        return Err(Refusal::new(422, format!("accept: there are at most {} types", limits.sep_accepts)));
    }
    for media in &mut types {
        let part = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~#$&^".contains(&b))
        };
        if !media.split_once('/').is_some_and(|(kind, sub)| part(kind) && part(sub)) {
            return Err(Refusal::new(422, format!("accept: \"{media}\" is no media type")));
        }
        *media = media.to_ascii_lowercase().into();
    }
    let asked = types.len();
    types.retain(|media| !MULTIPART.contains(&&**media));
    let multipart = types.len() < asked;
    if types.is_empty() {
        let own = Package::of(event).accept().ok_or_else(|| {
            let text = format!(
                "{}: the package \"{event}\" is not known, and no {} says what its bodies are",
                names.event, names.accept
            );
            Refusal::new(422, text)
        })?;
        types.push(own.into());
    }
    let mut seen: Vec<Box<str>> = Vec::with_capacity(types.len());
    for media in types {
        if !seen.contains(&media) {
            seen.push(media);
        }
    }
    Ok((seen, multipart))
}

/// The end that is granted for the one that is asked.
fn granted(expires: Wall, now: Wall, limits: &Limits) -> Result<Wall, Refusal> {
    if expires <= now {
        return Err(Refusal::new(400, format!("expires: {expires} is past")));
    }
    Ok(expires.min(Wall(now.0.saturating_add(limits.sep_expires_ms))))
}

/// The list: SIP URIs, each once (RFC 3261 section 19.1.4).
fn entries(listed: Vec<Entry>, form: Form, limits: &Limits) -> Result<Vec<Entry>, Refusal> {
    let names = Names::of(form);
    let too_many = || {
        let text = format!("{}: a list has at most {} entries", names.entries, limits.sep_entries);
        Refusal::new(422, text)
    };
    let mut uris: Vec<Uri> = Vec::with_capacity(listed.len());
    let mut entries = Vec::with_capacity(listed.len());
    if listed.len() as u64 > limits.sep_entries.saturating_mul(2) {
        return Err(too_many());
    }
    for (at, entry) in listed.into_iter().enumerate() {
        let wrong =
            |text: String| Refusal::new(422, format!("{}: \"{}\" {text}", entry_name(form, at), entry.uri));
        if entry.uri.len() as u64 > limits.sep_uri_bytes {
            let text =
                format!("{}: its URI is longer than {} bytes", entry_name(form, at), limits.sep_uri_bytes);
            return Err(Refusal::new(422, text));
        }
        let uri: Uri = entry.uri.parse().map_err(|why| wrong(format!("is no SIP URI: {why}")))?;
        if uri.headers.is_some() {
            // RFC 3261 section 19.1.1.
            return Err(wrong("has headers behind its `?`, which no request may be sent to".to_owned()));
        }
        if uris.iter().any(|known| known.is_same(&uri)) {
            continue;
        }
        if uris.len() as u64 == limits.sep_entries {
            return Err(too_many());
        }
        uris.push(uri);
        entries.push(entry);
    }
    if entries.is_empty() {
        let text = format!("{}: there is no entry: the list needs one at least", names.entries);
        return Err(Refusal::new(400, text));
    }
    Ok(entries)
}

/// A notify URL that may be called, as far as its text tells: names are looked up when it is called.
fn reachable(url: Box<str>, names: &Names, config: &Config) -> Result<Box<str>, Refusal> {
    let name = names.notify;
    let parsed =
        Url::parse(&url).map_err(|fault| Refusal::new(422, format!("{name}: \"{url}\": {fault}")))?;
    if let Ok(address) = parsed.host.parse::<IpAddr>()
        && let Some(range) = blocked(address, &config.outbox.allow_private)
    {
        let text = format!(
            "{name}: {address} is a {range} address; [outbox] allow_private = [\"{address}\"] in the config opens it"
        );
        return Err(Refusal::new(403, text));
    }
    Ok(url)
}

#[cfg(test)]
mod tests;

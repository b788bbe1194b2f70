//! Subscriptions in JSON, as `/v1/subscriptions` takes and shows them.

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::read::{Asked, Refusal};
use super::receiver::Document;
use super::state::{Entry, Form, Instance, InstanceState, Subscription};
use crate::ground::time::Wall;

/// The media type.
pub const JSON: &str = "application/json";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    package: Option<Box<str>>,
    uris: Option<Vec<Uri>>,
    callback: Option<Box<str>>,
    expires: Option<Expires>,
    accept: Option<Vec<Box<str>>>,
}

/// A URI, perhaps with what people call it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a URI, or {\"uri\":…,\"name\":…}")]
enum Uri {
    Bare(Box<str>),
    Named { uri: Box<str>, name: Box<str> },
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`expires` is an RFC 3339 date-time, or a number of seconds from now on")]
enum Expires {
    At(Box<str>),
    Seconds(u64),
}

/// Reads what a client wants.
///
/// # Errors
/// What is wrong, and where.
pub fn read(content: &[u8], now: Wall) -> Result<Asked, Refusal> {
    if content.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::new(
            400,
            "a JSON object is wanted, such as {\"package\":\"reg\",\"uris\":[\"sip:bill@example.com\"]}",
        ));
    }
    let wish: Wish = serde_json::from_slice(content).map_err(|e| Refusal::new(400, e.to_string()))?;
    let expires = match wish.expires {
        None => None,
        Some(Expires::At(text)) => Some(super::read::time(&text)?),
        Some(Expires::Seconds(seconds)) => Some(Wall(now.0.saturating_add(seconds.saturating_mul(1_000)))),
    };
    let entry = |uri| match uri {
        Uri::Bare(uri) => Entry { uri, name: None },
        Uri::Named { uri, name } => Entry { uri, name: Some(name) },
    };
    let entries = wish.uris.map(|uris| uris.into_iter().map(entry).collect());
    let Wish { package: event, callback: notify, accept, .. } = wish;
    Ok(Asked { event, entries, notify, expires, accept, form: Form::Json })
}

#[derive(Serialize)]
struct View<'a> {
    id: Uuid,
    package: &'a str,
    expires: String,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback: Option<&'a str>,
    accept: &'a [Box<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
    resources: Vec<ResourceView<'a>>,
}

#[derive(Serialize)]
struct ResourceView<'a> {
    uri: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    /// It came in the list of this URI.
    #[serde(skip_serializing_if = "Option::is_none")]
    list: Option<&'a str>,
    instances: Vec<InstanceView<'a>>,
}

#[derive(Serialize)]
struct InstanceView<'a> {
    id: &'a str,
    state: InstanceState,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

fn instance(instance: &Instance) -> InstanceView<'_> {
    let body = instance.body.as_ref();
    let text = body.and_then(|body| std::str::from_utf8(&body.bytes).ok());
    InstanceView {
        id: &instance.id,
        state: instance.state,
        reason: instance.reason.as_deref(),
        status: instance.status,
        content_type: body.map(|body| &*body.content_type),
        body: text,
        body_base64: body.filter(|_| text.is_none()).map(|body| BASE64.encode(&body.bytes)),
    }
}

fn view(subscription: &Subscription) -> View<'_> {
    let resources = subscription.resources.iter().map(|resource| ResourceView {
        uri: &resource.uri,
        name: resource.name.as_deref(),
        list: resource.of.as_deref(),
        instances: resource.instances.iter().map(instance).collect(),
    });
    View {
        id: subscription.id,
        package: &subscription.event,
        expires: subscription.expires.to_rfc3339(),
        version: subscription.version,
        callback: subscription.notify.as_deref(),
        accept: &subscription.accept,
        ended: subscription.ended.map(|ended| ended.how.to_string()),
        resources: resources.collect(),
    }
}

/// A subscription with the merged state of each URI.
#[must_use]
pub fn subscription(subscription: &Subscription) -> Vec<u8> {
    serde_json::to_vec(&view(subscription)).unwrap_or_default()
}

/// The same as a callback carries it.
#[must_use]
pub fn document(of: &Subscription) -> Document {
    Document { content_type: JSON.to_owned(), fields: Vec::new(), body: subscription(of) }
}

/// A page of subscriptions, without their states.
#[must_use]
pub fn list(page: &[&Subscription], next: Option<String>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Row<'a> {
        id: Uuid,
        package: &'a str,
        expires: String,
        version: u64,
        uris: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        callback: Option<&'a str>,
    }
    #[derive(Serialize)]
    struct Page<'a> {
        subscriptions: Vec<Row<'a>>,
        next: Option<String>,
    }
    let subscriptions = page.iter().map(|s| Row {
        id: s.id,
        package: &s.event,
        expires: s.expires.to_rfc3339(),
        version: s.version,
        uris: s.count(),
        callback: s.notify.as_deref(),
    });
    let page = Page { subscriptions: subscriptions.collect(), next };
    serde_json::to_vec(&page).unwrap_or_default()
}

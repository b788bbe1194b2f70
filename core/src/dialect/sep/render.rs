//! Documents: `<subscription>` with the states inline, the multipart form, the list of subscriptions, errors.

use std::borrow::Cow;
use std::io::Write as _;

use super::receiver::Document;
use super::state::{Form, Instance, InstanceState, Resource, Subscription};
use super::{NAMESPACE, routes};
use crate::ground::config::Config;
use crate::ground::time::Wall;
use crate::wire::http::reply::Reply;
use crate::wire::multipart::{self, Part};
use crate::wire::xml::tree::{write_attribute, write_text};

/// The media type of documents.
pub const XML: &str = "application/xml;charset=UTF-8";

/// That of the list in the multipart form.
const RLMI_TYPE: &str = "application/rlmi+xml;charset=\"UTF-8\"";

/// RFC 4662 section 5.1.
const RLMI: &str = "urn:ietf:params:xml:ns:rlmi";

const DECLARATION: &[u8] = b"<?xml version=\"1.0\"?>\n";

/// The end of a subscription as the vendor's page writes times: whole seconds, UTC.
fn end(expires: Wall) -> String {
    let text = expires.to_rfc3339();
    format!("{}+00:00", text.split('.').next().unwrap_or_default())
}

/// An element's start up to its attributes; the caller closes it.
fn start(name: &str, attributes: &[(&str, &str)], out: &mut Vec<u8>) {
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    for (name, value) in attributes {
        write_attribute(name, value, out);
    }
}

/// A subscription with its states in it.
#[must_use]
pub fn inline(subscription: &Subscription, config: &Config) -> Vec<u8> {
    let mut out = DECLARATION.to_vec();
    start("subscription", &[("xmlns", NAMESPACE), ("event", &subscription.event)], &mut out);
    if let Some(ended) = subscription.ended {
        write_attribute("ended", &ended.how.to_string(), &mut out);
    }
    out.push(b'>');
    list(subscription, config, &mut out, &mut |instance, out| match &instance.body {
        None => out.extend_from_slice(b"/>"),
        Some(body) => {
            out.push(b'>');
            body.write(NAMESPACE, out);
            out.extend_from_slice(b"</instance>");
        }
    });
    if let Some(url) = &subscription.notify {
        start("notify", &[("url", url)], &mut out);
        out.extend_from_slice(b"/>");
    }
    let _ = writeln!(out, "<expires>{}</expires></subscription>", end(subscription.expires));
    out
}

/// The RLMI list (RFC 4662 section 5): `close` writes the end of an instance, from behind its attributes on.
fn list(
    subscription: &Subscription,
    config: &Config,
    out: &mut Vec<u8>,
    close: &mut dyn FnMut(&Instance, &mut Vec<u8>),
) {
    let uri = format!("sip:{}@{}", subscription.id, config.sep.domain);
    let version = subscription.version.to_string();
    // Each document stands alone: its state is full, in callbacks too.
    let attributes = [("xmlns", RLMI), ("uri", &uri), ("version", &version), ("fullState", "true")];
    start("list", &attributes, out);
    out.push(b'>');
    for Resource { uri, name, instances, .. } in &subscription.resources {
        start("resource", &[("uri", uri)], out);
        if name.is_none() && instances.is_empty() {
            out.extend_from_slice(b"/>");
            continue;
        }
        out.push(b'>');
        if let Some(name) = name {
            out.extend_from_slice(b"<name>");
            write_text(name, out);
            out.extend_from_slice(b"</name>");
        }
        for instance in instances {
            let state = instance.state.to_string();
            start("instance", &[("id", &instance.id), ("state", &state)], out);
            if let Some(reason) = &instance.reason {
                write_attribute("reason", reason, out);
            }
            if let Some(status) = instance.status {
                write_attribute("xmlns:sep", NAMESPACE, out);
                write_attribute("sep:status", &status.to_string(), out);
            }
            close(instance, out);
        }
        out.extend_from_slice(b"</resource>");
    }
    out.extend_from_slice(b"</list>");
}

/// The multipart form (RFC 4662 section 5.4): the list first, then the bodies as they were received.
#[must_use]
pub fn multipart(subscription: &Subscription, config: &Config) -> Document {
    let Subscription { id, version, .. } = subscription;
    let domain = &config.sep.domain;
    let root_id = format!("{version}.{id}@{domain}");
    // Instances of a list on the far side have names of that side's choice, which say nothing here.
    let cid = |n: usize| format!("{n}.{version}.{id}@{domain}");
    // An active instance is left out as long as nothing came of it.
    let shown = |instance: &Instance| instance.state == InstanceState::Terminated || instance.body.is_some();
    let mut listed = subscription.clone();
    listed.resources.iter_mut().for_each(|resource| resource.instances.retain(shown));
    let carried: Vec<&Instance> = listed
        .resources
        .iter()
        .flat_map(|resource| &resource.instances)
        .filter(|instance| instance.state != InstanceState::Terminated)
        .collect();
    let mut root = DECLARATION.to_vec();
    let mut n = 0;
    list(&listed, config, &mut root, &mut |instance, out| {
        if instance.state != InstanceState::Terminated {
            n += 1;
            write_attribute("cid", &cid(n), out);
        }
        out.extend_from_slice(b"/>");
    });
    let bodies = carried.iter().zip(1..).filter_map(|(instance, n)| Some((cid(n), instance.body.as_ref()?)));
    let bodies: Vec<_> = bodies.collect();
    let mut parts = vec![Part {
        content_type: Cow::Borrowed(RLMI_TYPE),
        content_id: Some(Cow::Borrowed(&root_id)),
        body: &root,
    }];
    parts.extend(bodies.iter().map(|(cid, body)| Part {
        content_type: Cow::Borrowed(&body.content_type),
        content_id: Some(Cow::Borrowed(cid)),
        body: &body.bytes,
    }));
    let boundary = boundary(subscription, &parts);
    let mut body = Vec::new();
    multipart::write(&boundary, parts, &mut body);
    let content_type = format!(
        "multipart/related;type=\"application/rlmi+xml\";start=\"<{root_id}>\";boundary=\"{boundary}\""
    );
    let fields = vec![
        ("Offhook-Event", subscription.event.to_string()),
        ("Offhook-Expires", end(subscription.expires)),
    ];
    Document { content_type, fields, body }
}

/// A boundary that stands in no part (RFC 2046 section 5.1.1).
fn boundary(subscription: &Subscription, parts: &[Part<'_>]) -> String {
    let stands = |boundary: &String| {
        let line = format!("--{boundary}");
        parts.iter().any(|part| memchr::memmem::find(part.body, line.as_bytes()).is_some())
    };
    let other = |n: u32| format!("offhook-{}-{n}", subscription.id.simple());
    // A body has room for some of them, and each costs a search: whoever fills one with all of these spoils his own.
    (0..100).map(other).find(|boundary| !stands(boundary)).unwrap_or_else(|| other(100))
}

/// What a callback carries.
#[must_use]
pub fn document(subscription: &Subscription, config: &Config) -> Document {
    if subscription.multipart {
        return multipart(subscription, config);
    }
    Document { content_type: XML.to_owned(), fields: Vec::new(), body: inline(subscription, config) }
}

/// The answer to who asks for the multipart form.
#[must_use]
pub fn multipart_reply(subscription: &Subscription, config: &Config) -> Reply {
    let Document { content_type, fields, body } = multipart(subscription, config);
    let location = routes::location(&subscription.base, Form::Xml, subscription.id);
    let reply = Reply { status: 200, body, ..Reply::default() };
    let mut reply = reply.with("Content-Type", content_type).with("Content-Location", location);
    reply.fields.extend(fields);
    reply
}

/// All subscriptions of one owner.
#[must_use]
pub fn subscriptions<'s>(all: impl Iterator<Item = &'s Subscription>) -> Vec<u8> {
    let mut out = DECLARATION.to_vec();
    start("subscriptions", &[("xmlns", NAMESPACE)], &mut out);
    out.push(b'>');
    for subscription in all {
        let href = routes::location(&subscription.base, Form::Xml, subscription.id);
        start("subscription", &[("href", &href), ("event", &subscription.event)], &mut out);
        out.extend_from_slice(b"/>");
    }
    out.extend_from_slice(b"</subscriptions>\n");
    out
}

/// The error document.
#[must_use]
pub fn error(status: u16, text: &str) -> Reply {
    let mut out = Vec::new();
    start("error", &[("xmlns", NAMESPACE), ("code", &status.to_string())], &mut out);
    out.push(b'>');
    write_text(text, &mut out);
    out.extend_from_slice(b"</error>\n");
    Reply::new(status, "application/xml", out)
}

#[cfg(test)]
mod tests;

//! A NOTIFY of a resource-list server (RFC 4662 section 5): the lists in it, each resource with the bodies that its
//! instances name.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::super::package::{Body, XML};
use super::super::state::InstanceState;
use crate::ground::limits::SIP_DOCUMENT_BYTES;
use crate::wire::multipart::{self, Part};
use crate::wire::xml::tree::{Element, tree};

const NAMESPACE: &str = "urn:ietf:params:xml:ns:rlmi";

/// Lists in lists in lists. Beyond, the NOTIFY is unreadable.
const DEPTH_MAX: usize = 4;

/// Bytes of all bodies that instances name, one that is named twice counted twice: work stays within the order of what was
/// sent. Beyond, a body counts as missing.
const NAMED_BYTES: usize = 8 * SIP_DOCUMENT_BYTES;

/// Instances of one resource: as many as a SUBSCRIBE has forks there, and some. Beyond, the NOTIFY is unreadable.
const INSTANCES_MAX: usize = 64;

/// A list as one document tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct List {
    /// The URI that the list around it knows it by; empty: it is the one that was subscribed to.
    pub name: Box<str>,
    /// The name of the list around it.
    pub of: Box<str>,
    /// Counts the documents of this list.
    pub version: u64,
    /// All of its resources are told.
    pub full: bool,
    /// Its resources; those that are lists have no instances here.
    pub resources: Vec<Told>,
}

/// What a document tells of a resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// Its URI.
    pub uri: Box<str>,
    /// What people call it, in several languages perhaps.
    pub names: Vec<Box<str>>,
    /// It is a list, and that list is in the NOTIFY as well.
    pub is_list: bool,
    /// Its instances.
    pub instances: Vec<ToldInstance>,
}

/// What a document tells of an instance.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToldInstance {
    /// Its name within the resource.
    pub id: Box<str>,
    /// Whether it is alive.
    pub state: InstanceState,
    /// Why it is terminated, in a word of RFC 6665.
    pub reason: Option<Box<str>>,
    /// `None`: the document names no body. An error: it names one that is not there.
    pub body: Result<Option<Body>, &'static str>,
}

/// Reads a NOTIFY: first the list that was subscribed to, then those that stand in it.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn read(content_type: &str, bytes: &[u8]) -> Result<Vec<List>, &'static str> {
    let (mut lists, mut room) = (Vec::new(), NAMED_BYTES);
    read_into(content_type, bytes, ("", ""), 1, &mut room, &mut lists)?;
    Ok(lists)
}

fn is(content_type: &str, media_type: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
}

fn read_into(
    content_type: &str,
    bytes: &[u8],
    (name, of): (&str, &str),
    depth: usize,
    room: &mut usize,
    lists: &mut Vec<List>,
) -> Result<(), &'static str> {
    if depth > DEPTH_MAX {
        return Err("lists are nested too deeply");
    }
    let parts = if is(content_type, "application/rlmi+xml") {
        vec![Part { content_type: Cow::Borrowed(content_type), content_id: None, body: bytes }]
    } else {
        multipart::parts(content_type, bytes)?
    };
    let (root, parts) = parts.split_first().ok_or("there is no part")?;
    if !is(&root.content_type, "application/rlmi+xml") {
        return Err("the root part is no list");
    }
    let root = tree(root.body, XML).map_err(|_| "the list is not well-formed")?;
    if !root.is(NAMESPACE, "list") {
        return Err("the root part is no list");
    }
    let mut list = List {
        name: name.into(),
        of: of.into(),
        version: root
            .attribute("version")
            .and_then(|v| v.trim().parse().ok())
            .ok_or("the list has no version")?,
        full: match root.attribute("fullState").map(str::trim) {
            Some("true" | "1") => true,
            Some("false" | "0") => false,
            _ => return Err("the list does not say whether it is full"),
        },
        resources: Vec::new(),
    };
    let mut nested = Vec::new();
    let mut bodies: BTreeMap<&str, &Part<'_>> = BTreeMap::new();
    for part in parts {
        if let Some(id) = &part.content_id {
            bodies.entry(id).or_insert(part);
        }
    }
    for resource in root.all(NAMESPACE, "resource") {
        let uri = resource.attribute("uri").ok_or("a resource has no uri")?.trim();
        let mut told = Told {
            uri: uri.into(),
            names: resource.all(NAMESPACE, "name").map(|name| name.text().into()).collect(),
            is_list: false,
            instances: Vec::new(),
        };
        for instance in resource.all(NAMESPACE, "instance") {
            let (part, instance) = read_instance(instance, &bodies, room)?;
            match part.filter(|part| is(&part.content_type, "multipart/related")) {
                Some(part) => {
                    told.is_list = true;
                    nested.push((uri, part));
                }
                None if told.instances.len() == INSTANCES_MAX => {
                    return Err("a resource has too many instances");
                }
                None => told.instances.push(instance),
            }
        }
        list.resources.push(told);
    }
    lists.push(list);
    for (uri, part) in nested {
        read_into(&part.content_type, part.body, (uri, name), depth + 1, room, lists)?;
    }
    Ok(())
}

/// An instance, and the part that it names.
fn read_instance<'p>(
    instance: &Element,
    bodies: &BTreeMap<&str, &'p Part<'p>>,
    room: &mut usize,
) -> Result<(Option<&'p Part<'p>>, ToldInstance), &'static str> {
    let state = match instance.attribute("state").map(str::trim) {
        Some("active") => InstanceState::Active,
        Some("pending") => InstanceState::Pending,
        Some("terminated") => InstanceState::Terminated,
        _ => return Err("an instance has no state"),
    };
    // Kamailio writes the content-id without its angle brackets, others with them, or as a cid: URI.
    let cid = instance.attribute("cid").map(str::trim).map(|cid| {
        let cid = cid.strip_prefix("cid:").unwrap_or(cid);
        cid.strip_prefix('<').and_then(|cid| cid.strip_suffix('>')).unwrap_or(cid)
    });
    let mut in_room = |part: &&Part<'_>| {
        let left = room.checked_sub(part.body.len());
        *room = left.unwrap_or(*room);
        left.is_some()
    };
    let part = cid.map(|cid| bodies.get(cid).copied().filter(&mut in_room));
    let body = match part {
        None => Ok(None),
        Some(None) => Err("an instance names a body that is not there"),
        Some(Some(part)) => {
            Ok(Some(Body { content_type: (*part.content_type).into(), bytes: part.body.into() }))
        }
    };
    let told = ToldInstance {
        id: instance.attribute("id").ok_or("an instance has no id")?.into(),
        state,
        reason: (state == InstanceState::Terminated).then(|| reason(instance.attribute("reason")).into()),
        body,
    };
    Ok((part.flatten(), told))
}

/// RFC 6665 section 4.1.3; what it does not know means `giveup`, which is to try again later.
fn reason(word: Option<&str>) -> &str {
    match word.map(str::trim) {
        Some(
            word @ ("deactivated" | "probation" | "rejected" | "timeout" | "giveup" | "noresource"
            | "invariant"),
        ) => word,
        _ => "giveup",
    }
}

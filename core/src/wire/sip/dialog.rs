//! Dialogs (RFC 3261 section 12) of the side that a request of the peer tells of them: the NOTIFY of a subscription
//! makes one (RFC 6665 section 4.4.1).
//!
//! What is absent here: transactions, what is subscribed in a dialog, and dialogs that a response makes.

use std::cmp::{Ordering, Reverse};
use std::fmt;
use std::str::FromStr;

use super::message::Message;
use super::uri::{NameAddr, Uri};
use crate::ground::rng::Rng;

/// A Call-ID of ours: 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CallId(u128);

/// A tag of ours: 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag(u64);

/// Text that is no name of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Foreign;

/// What both sides know of each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dialog {
    /// Its Call-ID.
    pub call_id: CallId,
    /// Our tag.
    pub local_tag: Tag,
    /// The peer's tag.
    pub remote_tag: Box<str>,
    /// The number of our last request.
    pub cseq: u32,
    /// The number of the peer's last request that was in order.
    pub remote_cseq: u32,
    /// The route set, first hop first: each as it stood in `Record-Route`.
    pub route: Box<[Box<str>]>,
    /// The remote target.
    pub target: Box<str>,
}

/// Where a request of the peer stands among those before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// After all of them.
    Newer,
    /// It has the number of the last one.
    Same,
    /// It was overtaken (section 12.2.2).
    Older,
}

impl CallId {
    /// One that nobody has had.
    pub fn new(rng: &mut Rng) -> CallId {
        CallId(u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()))
    }
}

impl Tag {
    /// One that nobody has had.
    pub fn new(rng: &mut Rng) -> Tag {
        Tag(rng.next_u64())
    }

    /// Whether this is the tag of a message.
    #[must_use]
    pub fn is(self, tag: Option<&str>) -> bool {
        tag.is_some_and(|tag| tag.parse() == Ok(self))
    }
}

/// The number that is written with so many hexadecimal digits in lower case.
fn number(text: &str, digits: usize) -> Option<u128> {
    let is_ours = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if is_ours { u128::from_str_radix(text, 16).ok() } else { None }
}

impl FromStr for CallId {
    type Err = Foreign;

    fn from_str(text: &str) -> Result<CallId, Foreign> {
        number(text, 32).map(CallId).ok_or(Foreign)
    }
}

impl FromStr for Tag {
    type Err = Foreign;

    fn from_str(text: &str) -> Result<Tag, Foreign> {
        number(text, 16).and_then(|number| u64::try_from(number).ok()).map(Tag).ok_or(Foreign)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Dialog {
    /// The dialog that a request of the peer makes (section 12.1.1). `cseq` is the number of our last request outside of
    /// it. A peer whose `Contact` cannot be used is asked at `target`.
    #[must_use]
    pub fn of_request(request: &Message, call_id: CallId, local_tag: Tag, cseq: u32, target: &str) -> Dialog {
        Dialog {
            call_id,
            local_tag,
            remote_tag: request.from_tag().unwrap_or_default().into(),
            cseq,
            remote_cseq: request.cseq().map_or(0, |(number, _)| number),
            route: request.fields.values("Record-Route").map(Into::into).collect(),
            target: contact(request).unwrap_or_else(|| target.into()),
        }
    }

    /// The next request in the dialog, with its route and the fields that name the dialog (section 12.2.1.1). `local`
    /// and `remote` are the URIs of both sides. It goes to the [`Dialog::first_hop`], whatever its URI says.
    pub fn request(&mut self, method: &str, local: &str, remote: &str) -> Message {
        self.cseq = self.cseq.saturating_add(1);
        let strict = self.route.first().and_then(|first| strict_router(first));
        let mut request = Message::request(method, strict.as_deref().unwrap_or(&self.target));
        for route in self.route.iter().skip(usize::from(strict.is_some())) {
            request.fields.push("Route", &**route);
        }
        if strict.is_some() {
            request.fields.push("Route", format!("<{}>", self.target));
        }
        request.fields.push("From", format!("<{local}>;tag={}", self.local_tag));
        request.fields.push("To", format!("<{remote}>;tag={}", self.remote_tag));
        request.fields.push("Call-ID", self.call_id.to_string());
        request.fields.push("CSeq", format!("{} {method}", self.cseq));
        request
    }

    /// Where requests in the dialog go first, if its route set says so: strict or loose, the first router is the one that
    /// gets them (sections 12.2.1.1 and 16.12.1.2).
    #[must_use]
    pub fn first_hop(&self) -> Option<&str> {
        self.route.first().map(|first| &**first)
    }

    /// Takes note of the number of a request of the peer.
    pub fn receive(&mut self, cseq: u32) -> Order {
        match cseq.cmp(&self.remote_cseq) {
            Ordering::Less => Order::Older,
            Ordering::Equal => Order::Same,
            Ordering::Greater => {
                self.remote_cseq = cseq;
                Order::Newer
            }
        }
    }

    /// Takes the `Contact` of a target refresh (sections 12.2.1.2 and 12.2.2); says whether it is another one.
    pub fn retarget(&mut self, message: &Message) -> bool {
        let Some(target) = contact(message).filter(|target| *target != self.target) else { return false };
        self.target = target;
        true
    }
}

/// The URI of `Contact`, as it can stand in a request line.
pub(super) fn contact(message: &Message) -> Option<Box<str>> {
    message.contact().and_then(|contact| request_uri(&contact.uri))
}

/// The URIs of all `Contact`s as they can stand in request lines, the one that is preferred most first, each once (section
/// 20.10). One without `q` is as good as any.
pub(super) fn contacts(message: &Message) -> Vec<Box<str>> {
    let contacts = message.fields.values("Contact").filter_map(|value| value.parse::<NameAddr>().ok());
    let ranked = contacts.filter_map(|contact| Some((thousandths(&contact), request_uri(&contact.uri)?)));
    let mut ranked: Vec<(u16, Box<str>)> = ranked.collect();
    ranked.sort_by_key(|(q, _)| Reverse(*q));
    let mut uris: Vec<Box<str>> = Vec::new();
    for (_, uri) in ranked {
        if !uris.contains(&uri) {
            uris.push(uri);
        }
    }
    uris
}

/// `q` of a contact: from 0 to 1, with three digits at most.
fn thousandths(contact: &NameAddr) -> u16 {
    let q = contact.param("q").and_then(|q| q.parse::<f32>().ok());
    q.filter(|q| (0.0..=1.0).contains(q)).map_or(1_000, |q| (q * 1_000.0) as u16)
}

/// A `sip:` or `sips:` URI as it can stand in a request line: without header fields (section 19.1.1, table 1).
pub(super) fn request_uri(text: &str) -> Option<Box<str>> {
    let mut uri: Uri = text.parse().ok()?;
    if uri.headers.take().is_none() {
        return Some(text.into());
    }
    Some(uri.to_string().into())
}

/// The URI of a strict router: one without `lr`, which wants to stand in the request line itself.
fn strict_router(route: &str) -> Option<Box<str>> {
    let uri = route.parse::<NameAddr>().ok()?.uri;
    let is_loose = uri.parse::<Uri>().ok()?.param("lr").is_some();
    if is_loose { None } else { request_uri(&uri) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notify(fields: &[(&str, &str)]) -> Message {
        let mut request = Message::request("NOTIFY", "sip:us@192.0.2.1");
        request.fields.push("From", "<sip:alice@example.test>;tag=p1");
        request.fields.push("CSeq", "7 NOTIFY");
        for (name, value) in fields {
            request.fields.push(name, *value);
        }
        request
    }

    fn dialog(fields: &[(&str, &str)]) -> Dialog {
        Dialog::of_request(&notify(fields), CallId(1), Tag(2), 1, "sip:alice@example.test")
    }

    #[test]
    fn s11_route_set_and_target_come_from_the_notify() {
        let loose = "<sip:p1.example.test;lr>, <sip:p2.example.test;lr;x=1>";
        let p1 = "<sip:p1.example.test;lr>";
        for (fields, uri, routes) in [
            (&[("Contact", "<sip:192.0.2.9:5070>")][..], "sip:192.0.2.9:5070", &[][..]),
            (&[("Contact", "\"A, b\" <sip:a@h;transport=tcp?Subject=x>;q=1")], "sip:a@h;transport=tcp", &[]),
            (&[], "sip:alice@example.test", &[]),
            (&[("Contact", "<tel:+1555>")], "sip:alice@example.test", &[]),
            (
                &[("Contact", "<sip:a@h>"), ("Record-Route", loose)],
                "sip:a@h",
                &[p1, "<sip:p2.example.test;lr;x=1>"],
            ),
            (
                &[("Contact", "<sip:a@h>"), ("Record-Route", p1), ("Record-Route", "<sip:old>")],
                "sip:a@h",
                &[p1, "<sip:old>"],
            ),
            (
                &[("Contact", "<sip:a@h>"), ("Record-Route", "<sip:old>"), ("Record-Route", p1)],
                "sip:old",
                &[p1, "<sip:a@h>"],
            ),
        ] {
            let request = dialog(fields).request("SUBSCRIBE", "sip:us@x", "sip:alice@example.test");
            assert_eq!(request.uri(), Some(uri), "{fields:?}");
            let found: Vec<&str> = request.fields.lines("Route").collect();
            assert_eq!(found, routes, "{fields:?}");
        }
    }

    #[test]
    fn s13_a_request_names_the_dialog_and_counts_on() {
        let mut dialog = dialog(&[]);
        let request = dialog.request("SUBSCRIBE", "sip:us@x", "sip:alice@example.test");
        assert_eq!(request.fields.get("From"), Some("<sip:us@x>;tag=0000000000000002"));
        assert_eq!(request.fields.get("To"), Some("<sip:alice@example.test>;tag=p1"));
        assert_eq!(request.fields.get("Call-ID"), Some("00000000000000000000000000000001"));
        assert_eq!(request.fields.get("CSeq"), Some("2 SUBSCRIBE"));
        let request = dialog.request("SUBSCRIBE", "sip:us@x", "sip:alice@example.test");
        assert_eq!(request.cseq(), Some((3, "SUBSCRIBE")));
    }

    #[test]
    fn s22_requests_of_the_peer_are_in_order_or_not() {
        let mut dialog = dialog(&[]);
        for (cseq, order) in [(7, Order::Same), (6, Order::Older), (9, Order::Newer), (8, Order::Older)] {
            assert_eq!(dialog.receive(cseq), order, "{cseq}");
        }
    }

    #[test]
    fn a_target_is_refreshed_by_a_contact_that_can_be_used() {
        let mut dialog = dialog(&[("Contact", "<sip:a@h>")]);
        for (contact, is_new, target) in
            [("<sip:a@h>", false, "sip:a@h"), ("<tel:1>", false, "sip:a@h"), ("<sip:b@h>", true, "sip:b@h")]
        {
            assert_eq!(dialog.retarget(&notify(&[("Contact", contact)])), is_new, "{contact}");
            assert_eq!(&*dialog.target, target, "{contact}");
        }
        assert!(!dialog.retarget(&notify(&[])));
    }

    #[test]
    fn contacts_come_in_the_order_of_their_preference() {
        let many = "<sip:c@h>;q=0.5, <sip:a@h>;q=1.0, <sip:d@h>;q=0, <sip:b@h>;q=0.75, <sip:c@h>;q=0.1";
        for (fields, expected) in [
            (&[][..], &[][..]),
            (&[("Contact", "*")], &[]),
            (&[("Contact", "<tel:1>, <sip:a@h?X=y>")], &["sip:a@h"]),
            (&[("Contact", "<sip:a@h>"), ("Contact", "sip:b@h")], &["sip:a@h", "sip:b@h"]),
            (&[("Contact", "<sip:a@h>;q=0.9"), ("Contact", "<sip:b@h>")], &["sip:b@h", "sip:a@h"]),
            (&[("Contact", "<sip:a@h>;q=x, <sip:b@h>;q=2")], &["sip:a@h", "sip:b@h"]),
            (&[("Contact", many)], &["sip:a@h", "sip:b@h", "sip:c@h", "sip:d@h"]),
        ] {
            let found = contacts(&notify(fields));
            assert_eq!(found.iter().map(|uri| &**uri).collect::<Vec<_>>(), expected, "{fields:?}");
        }
    }

    #[test]
    fn names_of_ours_are_recognised() {
        assert_eq!("0000000000000000000000000000002a".parse(), Ok(CallId(42)));
        assert!(Tag(42).is(Some("000000000000002a")));
        for text in ["", "2a", "000000000000002A", "+00000000000002a", "000000000000002a0"] {
            assert_eq!(text.parse::<Tag>(), Err(Foreign), "{text}");
            assert_eq!(text.parse::<CallId>(), Err(Foreign), "{text}");
        }
    }
}

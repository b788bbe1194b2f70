//! A notifier as a pure machine: it grants every subscription, tells the state of the resource at once, and again when it
//! changes (RFC 6665 section 4.2). One address, datagrams, no retransmissions: whoever drives it loses nothing.

use std::collections::BTreeMap;

use offhook_core::wire::sip::message::Message;

/// The notifier.
#[derive(Debug)]
pub struct Notifier {
    /// Where it is, as it stands in its `Contact`.
    pub address: String,
    /// Its resources are lists of others (RFC 4662).
    pub serves_lists: bool,
    /// What it grants at most, in seconds.
    pub granted_s: u32,
    /// SUBSCRIBEs that it got.
    pub asked: u64,
    /// NOTIFYs that were answered with another status than 200.
    pub refused: u64,
    /// NOTIFYs that were answered 200.
    pub taken: u64,
    /// What the last SUBSCRIBE accepts.
    pub last_accept: String,
    states: BTreeMap<String, State>,
    dialogs: BTreeMap<String, Dialog>,
    refused_uris: BTreeMap<String, u16>,
    tag: u64,
}

/// What a resource is like.
#[derive(Clone, Debug)]
struct State {
    content_type: String,
    body: Vec<u8>,
}

/// One dialog.
#[derive(Debug)]
struct Dialog {
    uri: String,
    event: String,
    /// Our side, as it stands in `From` of a NOTIFY.
    local: String,
    /// The subscriber.
    remote: String,
    target: String,
    cseq: u32,
    /// What was granted, until it is told.
    granted_s: u32,
}

impl Notifier {
    /// A notifier that is found at `address`.
    #[must_use]
    pub fn new(address: &str) -> Notifier {
        Notifier {
            address: address.to_owned(),
            serves_lists: false,
            granted_s: 3_600,
            asked: 0,
            refused: 0,
            taken: 0,
            last_accept: String::new(),
            states: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            refused_uris: BTreeMap::new(),
            tag: 0,
        }
    }

    /// How many dialogs it knows.
    #[must_use]
    pub fn dialogs(&self) -> usize {
        self.dialogs.len()
    }

    /// How many of them are of a resource.
    #[must_use]
    pub fn dialogs_of(&self, uri: &str) -> usize {
        self.dialogs.values().filter(|dialog| dialog.uri == uri).count()
    }

    /// The Call-IDs of its dialogs.
    pub fn call_ids(&self) -> impl Iterator<Item = &str> {
        self.dialogs.keys().map(String::as_str)
    }

    /// Subscriptions to this resource are refused from here on.
    pub fn refuse(&mut self, uri: &str, status: u16) {
        self.refused_uris.insert(uri.to_owned(), status);
    }

    /// The resource is like that from here on, for those who subscribe; NOTIFYs for those who have.
    pub fn change(&mut self, uri: &str, content_type: &str, body: &[u8]) -> Vec<Vec<u8>> {
        let state = State { content_type: content_type.to_owned(), body: body.to_vec() };
        self.states.insert(uri.to_owned(), state);
        let of: Vec<String> =
            self.dialogs.iter().filter(|(_, dialog)| dialog.uri == uri).map(|(id, _)| id.clone()).collect();
        of.iter().filter_map(|id| self.notify(id, None)).collect()
    }

    /// Ends the dialogs of a resource with this `Subscription-State`.
    pub fn end(&mut self, uri: &str, state: &str) -> Vec<Vec<u8>> {
        let of: Vec<String> =
            self.dialogs.iter().filter(|(_, dialog)| dialog.uri == uri).map(|(id, _)| id.clone()).collect();
        let last: Vec<_> = of.iter().filter_map(|id| self.notify(id, Some(state))).collect();
        of.iter().for_each(|id| drop(self.dialogs.remove(id)));
        last
    }

    /// Ends one dialog with this `Subscription-State`.
    pub fn end_one(&mut self, call_id: &str, state: &str) -> Option<Vec<u8>> {
        let last = self.notify(call_id, Some(state));
        self.forget(call_id);
        last
    }

    /// Forgets a dialog: its subscriber does not know it, or does not answer (RFC 6665 section 4.2.2).
    pub fn forget(&mut self, call_id: &str) {
        self.dialogs.remove(call_id);
    }

    /// Forgets all dialogs, as one does that was started anew.
    pub fn restart(&mut self) {
        self.dialogs.clear();
    }

    /// Whether a request stands outside of dialogs, or in one that it has.
    #[must_use]
    pub fn may_take(&self, request: &Message) -> bool {
        let of = self.dialogs.get(request.call_id());
        request.to_tag().is_none() || of.is_some_and(|dialog| dialog.is_of(request))
    }

    /// What it says to a datagram, in order.
    ///
    /// # Panics
    /// If the datagram is no SIP: nothing else is sent here.
    pub fn receive(&mut self, datagram: &[u8]) -> Vec<Vec<u8>> {
        let message = Message::from_datagram(datagram).expect("SIP is sent here");
        if let Some(status) = message.status() {
            if status == 200 {
                self.taken += 1;
            } else {
                self.refused += 1;
            }
            return Vec::new();
        }
        assert_eq!(message.method(), Some("SUBSCRIBE"), "a subscriber sends nothing else");
        self.asked += 1;
        self.last_accept = message.fields.get("Accept").unwrap_or_default().to_owned();
        self.subscribed(&message)
    }

    fn subscribed(&mut self, request: &Message) -> Vec<Vec<u8>> {
        let field = |name: &str| request.fields.get(name).unwrap_or_default().to_owned();
        let expires_s: u32 = field("Expires").parse().unwrap_or(3_600);
        let granted_s = expires_s.min(self.granted_s);
        let id = request.call_id().to_owned();
        let is_new = request.to_tag().is_none();
        if let Some(status) = self.refused_uris.get(request.uri().unwrap_or_default()) {
            return vec![write(&Message::response(request, *status, "Refused"))];
        }
        if is_new {
            self.tag += 1;
            let dialog = Dialog {
                uri: request.uri().unwrap_or_default().to_owned(),
                event: field("Event"),
                local: format!("{};tag=n{}", field("To"), self.tag),
                remote: field("From"),
                target: String::new(),
                cseq: 1,
                granted_s,
            };
            self.dialogs.insert(id.clone(), dialog);
        }
        let known = self.dialogs.get_mut(&id).filter(|dialog| dialog.is_of(request));
        let Some(dialog) = known else {
            return vec![write(&Message::response(request, 481, "Subscription Does Not Exist"))];
        };
        dialog.target = request.contact().map(|contact| contact.uri.to_string()).unwrap_or_default();
        dialog.granted_s = granted_s;
        let mut response = Message::response(request, 200, "OK");
        response.fields.set("To", dialog.local.as_str());
        response.fields.push("Expires", granted_s.to_string());
        response.fields.push("Contact", format!("<sip:{}>", self.address));
        let ends = (granted_s == 0).then_some("terminated;reason=timeout");
        let mut said = vec![write(&response)];
        said.extend(self.notify(&id, ends));
        if ends.is_some() {
            self.dialogs.remove(&id);
        }
        said
    }

    /// A NOTIFY of the resource's state; `ended` is the `Subscription-State` of the last one.
    fn notify(&mut self, id: &str, ended: Option<&str>) -> Option<Vec<u8>> {
        let dialog = self.dialogs.get_mut(id)?;
        dialog.cseq += 1;
        let mut notify = Message::request("NOTIFY", &dialog.target);
        let fields = &mut notify.fields;
        let branch = format!("z9hG4bK{}.{}", &dialog.local[dialog.local.len() - 4..], dialog.cseq);
        fields.push("Via", format!("SIP/2.0/UDP {};branch={branch}.{id}", self.address));
        fields.push("Max-Forwards", "70");
        fields.push("From", dialog.local.as_str());
        fields.push("To", dialog.remote.as_str());
        fields.push("Call-ID", id);
        fields.push("CSeq", format!("{} NOTIFY", dialog.cseq));
        fields.push("Contact", format!("<sip:{}>", self.address));
        fields.push("Event", dialog.event.as_str());
        if self.serves_lists {
            fields.push("Require", "eventlist");
        }
        // It has no clock: what is left is told only when it is all that was granted.
        let active = match std::mem::take(&mut dialog.granted_s) {
            0 => "active".to_owned(),
            granted_s => format!("active;expires={granted_s}"),
        };
        fields.push("Subscription-State", ended.map_or(active, str::to_owned));
        if let Some(State { content_type, body }) = self.states.get(&dialog.uri).filter(|_| ended.is_none()) {
            fields.push("Content-Type", content_type.as_str());
            notify.body.clone_from(body);
        }
        Some(write(&notify))
    }
}

impl Dialog {
    /// Whether a request with its Call-ID is not one of a dialog before, which had another tag.
    fn is_of(&self, request: &Message) -> bool {
        request.to_tag().is_none_or(|tag| self.local.ends_with(&format!(";tag={tag}")))
    }
}

fn write(message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    message.write(&mut out);
    out
}

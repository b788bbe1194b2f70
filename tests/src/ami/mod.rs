//! An Asterisk as far as its manager port goes: it greets, lets users log in, answers questions from what it contains, and
//! tells of what happens. Text in, text out; tests decide how it arrives.
//!
//! What is absent here: sockets, time, calls that do something by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use offhook_core::wire::ami::{Message, action};

/// The manager user.
pub const USER: &str = "offhook";

/// Its password.
pub const PASSWORD: &str = "test";

/// The challenge that is given to whoever asks.
const CHALLENGE: &str = "840415273";

/// Questions, and the last events of their answers.
const LISTS: [(&str, &str); 12] = [
    ("CoreShowChannels", "CoreShowChannelsComplete"),
    ("BridgeList", "BridgeListComplete"),
    ("PJSIPShowContacts", "ContactListComplete"),
    ("PJSIPShowRegistrationInboundContactStatuses", "ContactStatusDetailComplete"),
    ("DeviceStateList", "DeviceStateListComplete"),
    ("ExtensionStateList", "ExtensionStateListComplete"),
    ("PresenceStateList", "PresenceStateListComplete"),
    ("QueueStatus", "QueueStatusComplete"),
    ("Agents", "AgentsComplete"),
    ("ConfbridgeListRooms", "ConfbridgeListRoomsComplete"),
    ("VoicemailUsersList", "VoicemailUserEntryComplete"),
    ("MWIGet", "MWIGetComplete"),
];

/// The PBX.
#[derive(Debug)]
pub struct Pbx {
    /// Its version.
    pub version: &'static str,
    /// The version of its protocol.
    pub protocol: &'static str,
    /// It says that it is started up when somebody logs in.
    pub is_booted: bool,
    /// Nobody is let in.
    pub refuses: bool,
    /// Actions that the user may not use, and that are not there.
    pub denied: BTreeSet<&'static str>,
    /// Actions that are never answered.
    pub silent: BTreeSet<&'static str>,
    /// Answers wait here, instead of leaving.
    pub held: Option<Vec<String>>,
    /// Channels, by their id.
    pub channels: BTreeMap<String, String>,
    /// The actions that came, without pings.
    pub asked: Vec<String>,
    /// What came of an action that is not whole.
    pub input: String,
}

impl Default for Pbx {
    fn default() -> Pbx {
        Pbx {
            version: "22.10.0",
            protocol: "11.0.0",
            is_booted: true,
            refuses: false,
            denied: BTreeSet::new(),
            silent: BTreeSet::new(),
            held: None,
            channels: BTreeMap::new(),
            asked: Vec::new(),
            input: String::new(),
        }
    }
}

impl Pbx {
    /// What it says to whoever connects.
    #[must_use]
    pub fn greeting(&mut self) -> String {
        self.input.clear();
        format!("Asterisk Call Manager/{}\r\n", self.protocol)
    }

    /// Somebody's channel begins to ring in; what it tells of that.
    pub fn begin(&mut self, id: &str) -> String {
        let channel = channel(id);
        self.channels.insert(id.to_owned(), channel.clone());
        format!("Event: Newchannel\r\nPrivilege: call,all\r\n{channel}\r\n")
    }

    /// A channel is hung up; what it tells of that.
    pub fn end(&mut self, id: &str) -> String {
        let channel = self.channels.remove(id).unwrap_or_else(|| channel(id));
        format!(
            "Event: Hangup\r\nPrivilege: call,all\r\n{channel}Cause: 16\r\nCause-txt: Normal Clearing\r\n\r\n"
        )
    }

    /// Takes what was sent to it; what it answers.
    ///
    /// # Panics
    /// If it is no action.
    pub fn hear(&mut self, bytes: &[u8]) -> String {
        self.input += std::str::from_utf8(bytes).expect("actions are text");
        let mut out = String::new();
        while let Some((block, rest)) = self.input.split_once("\r\n\r\n") {
            let (block, rest) = (block.to_owned(), rest.to_owned());
            self.input = rest;
            let answer = self.answer(Message::of(block.as_bytes()));
            match &mut self.held {
                Some(held) if !answer.is_empty() => held.push(answer),
                _ => out += &answer,
            }
        }
        out
    }

    fn answer(&mut self, action: Message<'_>) -> String {
        let text = |key: &str| action.text(key).map(|text| text.into_owned()).unwrap_or_default();
        let (name, id) = (text("Action"), text("ActionID"));
        let say = |said: &str, rest: &str| format!("Response: {said}\r\nActionID: {id}\r\n{rest}\r\n");
        if name != "Ping" {
            self.asked.push(name.clone());
        }
        if self.silent.contains(&*name) {
            return String::new();
        }
        if self.denied.contains(&*name) {
            return say("Error", "Message: Permission denied\r\n");
        }
        match &*name {
            "Challenge" => say("Success", &format!("Challenge: {CHALLENGE}\r\n")),
            "Login" => {
                let proof = match &*text("AuthType") {
                    "MD5" => text("Key") == action::md5_key(CHALLENGE.as_bytes(), PASSWORD),
                    _ => text("Secret") == PASSWORD,
                };
                if self.refuses || !proof || text("Username") != USER {
                    return say("Error", "Message: Authentication failed\r\n");
                }
                let booted = "Event: FullyBooted\r\nPrivilege: system,all\r\nStatus: Fully Booted\r\n\r\n";
                let booted = if self.is_booted { booted } else { "" };
                say("Success", "Message: Authentication accepted\r\n") + booted
            }
            "CoreSettings" => {
                let versions =
                    format!("AMIversion: {}\r\nAsteriskVersion: {}\r\n", self.protocol, self.version);
                say("Success", &versions)
            }
            "ListCommands" => {
                let mut list = String::new();
                for (name, _) in LISTS.iter().filter(|(name, _)| !self.denied.contains(name)) {
                    let _ = write!(list, "{name}: What it does.  (Priv: system,reporting,all)\r\n");
                }
                say("Success", &list)
            }
            "Ping" => say("Success", "Ping: Pong\r\nTimestamp: 1446561431.000000\r\n"),
            "Logoff" => say("Goodbye", "Message: Thanks for all the fish.\r\n"),
            name => match LISTS.iter().find(|(known, _)| *known == name) {
                None => say("Error", "Message: Invalid/unknown command\r\n"),
                Some((_, end)) => say("Success", "EventList: start\r\n") + &self.list(name, &id, end),
            },
        }
    }

    /// The events of a list.
    fn list(&self, name: &str, id: &str, end: &str) -> String {
        let mut out = String::new();
        if name == "CoreShowChannels" {
            for channel in self.channels.values() {
                let _ = write!(
                    out,
                    "Event: CoreShowChannel\r\nActionID: {id}\r\n{channel}Duration: 00:00:07\r\n\r\n"
                );
            }
        }
        out + &format!("Event: {end}\r\nActionID: {id}\r\nEventList: Complete\r\nListItems: 0\r\n\r\n")
    }
}

/// What it says of a channel that rings in.
fn channel(id: &str) -> String {
    format!(
        "Channel: PJSIP/100-{id}\r\nChannelState: 4\r\nChannelStateDesc: Ring\r\nCallerIDNum: 100\r\n\
         CallerIDName: Alice\r\nConnectedLineNum: <unknown>\r\nConnectedLineName: <unknown>\r\nLanguage: en\r\n\
         AccountCode: \r\nContext: demo\r\nExten: 101\r\nPriority: 1\r\nUniqueid: {id}\r\nLinkedid: {id}\r\n"
    )
}

//! Agents: members of queues, logged in as long as they are members, and those of the agent pool.

use serde::{Deserialize, Serialize};

use super::queues;
use super::read::{device_state, endpoint, number, said, yes};
use super::resync::Aspect;
use super::{Facts, Mirror, Open, Say, key, within};
use crate::source::asterisk::scope::Place;
use crate::wire::ami::Message;

/// An agent who is logged in: to a queue, or by himself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Agent {
    /// The queue that he is a member of; none for one of the agent pool.
    pub(super) queue: Option<Box<str>>,
    /// The device that a queue calls, or the agent's id in the pool.
    pub(super) interface: Box<str>,
    pub(super) name: Option<Box<str>>,
    /// The device whose state counts.
    pub(super) device: Option<Box<str>>,
    pub(super) state: Option<Box<str>>,
    pub(super) paused: bool,
    /// Why he pauses.
    pub(super) why: Option<Box<str>>,
}

impl Agent {
    /// The member of a queue that an event or an entry of a list shows.
    pub(super) fn member(message: &Message<'_>) -> Option<Agent> {
        let interface = said(message, "Interface").or_else(|| said(message, "Location"))?;
        Some(Agent {
            queue: Some(said(message, "Queue")?),
            name: said(message, "MemberName").or_else(|| said(message, "Name")),
            device: said(message, "StateInterface"),
            state: device_state(message, "Status").map(Into::into),
            paused: yes(message, "Paused"),
            why: said(message, "PausedReason"),
            interface,
        })
    }

    /// An agent of the pool.
    pub(super) fn of_pool(message: &Message<'_>) -> Option<Agent> {
        Some(Agent {
            queue: None,
            interface: said(message, "Agent")?,
            name: said(message, "Name"),
            device: said(message, "Channel").map(|channel| super::read::device(&channel).into()),
            state: None,
            paused: false,
            why: None,
        })
    }

    pub(super) fn id(&self) -> Box<str> {
        within(self.queue.as_deref().unwrap_or_default(), &self.interface)
    }
}

impl Mirror {
    pub(super) fn member_added(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let Some(agent) = Agent::member(message) else { return };
        self.touch(Aspect::Agent, &agent.id());
        self.begin_agent(agent, say);
    }

    pub(super) fn member_removed(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let Some(agent) = Agent::member(message) else { return };
        self.touch(Aspect::Agent, &agent.id());
        self.end_agent(&agent.id(), Facts::default(), say);
    }

    /// The event says all of a member. One that nobody has told of yet may be known by it while a resync runs, as by the
    /// answer that is older.
    pub(super) fn member_changed(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let Some(agent) = Agent::member(message) else { return };
        if self.resync.is_some() || self.agents.has(&agent.id()) {
            self.touch(Aspect::Agent, &agent.id());
            self.begin_agent(agent, say);
        }
    }

    pub(super) fn agent_logged_in(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let Some(agent) = Agent::of_pool(message) else { return };
        self.touch(Aspect::Agent, &agent.id());
        self.begin_agent(agent, say);
    }

    pub(super) fn agent_logged_off(&mut self, message: &Message<'_>, say: &mut Say<'_>) {
        let Some(agent) = Agent::of_pool(message) else { return };
        self.touch(Aspect::Agent, &agent.id());
        let facts = Facts::default().number("duration", number(message, "Logintime"));
        self.end_agent(&agent.id(), facts, say);
    }

    /// An agent is logged in; one who is already only changes.
    pub(super) fn begin_agent(&mut self, agent: Agent, say: &mut Say<'_>) {
        let id = agent.id();
        if self.agents.has(&id) {
            return self.change_agent(agent, say);
        }
        self.tell_agent("agent.login", &agent, Facts::default(), Open::Opens(key("agent", &id)), say);
        if agent.paused {
            self.tell_agent("agent.paused", &agent, why(&agent), Open::No, say);
        }
        self.agents.put(&id, agent);
    }

    /// Tells what differs from what was told.
    fn change_agent(&mut self, agent: Agent, say: &mut Say<'_>) {
        let id = agent.id();
        let Some(before) = self.agents.get(&id).cloned() else { return };
        if agent.paused != before.paused {
            let event_type = if agent.paused { "agent.paused" } else { "agent.resumed" };
            self.tell_agent(event_type, &agent, why(&agent), Open::Opens(key("agent", &id)), say);
        }
        if agent.state.is_some() && agent.state != before.state {
            self.tell_agent("agent.status", &agent, Facts::default(), Open::No, say);
        }
        self.agents.put(&id, agent);
    }

    pub(super) fn end_agent(&mut self, id: &str, more: Facts, say: &mut Say<'_>) {
        if let Some(agent) = self.agents.take(id) {
            self.tell_agent("agent.logout", &agent, more, Open::Closes(key("agent", id)), say);
        }
    }

    fn tell_agent(&self, event_type: &'static str, who: &Agent, more: Facts, open: Open, say: &mut Say<'_>) {
        let device = who.device.as_deref().unwrap_or(&who.interface);
        let facts = agent(&who.interface, who.name.as_deref())
            .and(who.queue.as_deref().map(queues::of).unwrap_or_default())
            .and(self.phone(device))
            .text("state", who.state.as_deref())
            .and(more);
        let scope = self.scope_of(&Place { device: Some(device), ..Place::default() });
        say.tell(event_type, format!("agent/{}", who.interface), facts, scope, open);
    }

    /// The extension of a device, and its endpoint; `Custom:lamp` has none.
    pub(super) fn phone(&self, device: &str) -> Facts {
        let extension = self.extension_of(device);
        let username = extension.and(device.contains('/').then(|| endpoint(device)));
        Facts::default().text("extension", extension).text("username", username)
    }
}

/// Who an agent is; one without a name is called as his id.
pub(super) fn agent(interface: &str, name: Option<&str>) -> Facts {
    Facts::default().text("agent_id", interface).text("agent", name.unwrap_or(interface))
}

fn why(agent: &Agent) -> Facts {
    Facts::default().text("reason", agent.why.as_deref())
}

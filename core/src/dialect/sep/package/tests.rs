//! Documents as they came from real peers, and the RFCs' own, one after the other.

mod bodies;
mod model;
mod tables;

use super::{Body, Ended, Item, Package, Taken, take};
use crate::event::Fact;
use crate::ground::time::Mono;

/// An instance and what it shows.
struct Instance {
    package: Package,
    held: Option<Body>,
    ended: Ended,
    now: Mono,
}

impl Instance {
    fn of(package: Package) -> Instance {
        Instance { package, held: None, ended: Ended::default(), now: Mono(0) }
    }

    fn take_as(&mut self, content_type: &str, bytes: &[u8], first: bool) -> Taken {
        let incoming = Body { content_type: content_type.into(), bytes: bytes.into() };
        let taken = take(self.package, self.held.as_ref(), incoming, first, self.now, &mut self.ended);
        if let Some(body) = &taken.body {
            assert!(taken.is_new_report || self.held.as_ref() != Some(body), "no change");
            self.held = Some(body.clone());
        }
        taken
    }

    /// A body of the package's own type: what came of it, in one line.
    fn take(&mut self, document: &str) -> String {
        let content_type = self.package.accept().unwrap();
        told(&self.take_as(content_type, document.as_bytes(), false))
    }

    /// The same, answering a SUBSCRIBE of ours.
    fn take_first(&mut self, document: &str) -> String {
        let content_type = self.package.accept().unwrap();
        told(&self.take_as(content_type, document.as_bytes(), true))
    }

    fn shown(&self) -> &str {
        std::str::from_utf8(&self.held.as_ref().unwrap().bytes).unwrap()
    }
}

/// `changed|same`, what else is asked for, and the facts.
fn told(taken: &Taken) -> String {
    let mut told = if taken.body.is_some() { "changed" } else { "same" }.to_owned();
    let notes =
        [(taken.refresh, " refresh"), (taken.unreadable, " unreadable"), (taken.is_new_report, " report")];
    notes.iter().filter(|(is, _)| *is).for_each(|(_, note)| told.push_str(note));
    taken.items.iter().for_each(|item| told.push_str(&format!("\n{}", shown(item))));
    told
}

fn shown(item: &Item) -> String {
    let facts = item.facts.iter().map(|(name, fact)| {
        let value = match fact {
            Fact::Text(text) => format!("{text:?}"),
            Fact::Number(number) => number.to_string(),
            Fact::Bool(is) => is.to_string(),
            Fact::Null | Fact::Nested(_) => panic!("{item:?}"),
        };
        format!("{name}={value}")
    });
    let facts: Vec<String> = facts.collect();
    format!("{} {} {}", item.event_type, item.subject.as_deref().unwrap_or("-"), facts.join(" "))
}

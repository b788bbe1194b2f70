//! The backend of an application of WCS: it gets the hooks, refuses some, and lets some hang. The events of a session come
//! one after the other, and each comes, or is a dead letter.

use serde_json::Value;

use super::super::books::{Books, Key, STREAM};
use super::super::client::Io;
use super::destination::{Destination, Making};
use super::receiver::{Receiver, Takes};
use super::served::{Fate, Request, Site};

/// The path of the application.
pub const PATH: &str = "/apps";

/// The hooks that it lists.
pub const HOOKS: [&str; 5] =
    ["connect", "ConnectionStatusEvent", "StreamStatusEvent", "publishStream", "OnDataEvent"];

/// The application, as the outbox knows it.
const NAME: &str = "wcs.defaultApp";

/// The beginning of the record that says that there is the application.
const MARK: &str = "{\"App\":{\"key\":\"defaultApp\"";

/// It takes hooks.
#[derive(Debug)]
pub struct Hooks {
    /// What fails is tried again for longer than the world lasts.
    redelivers: bool,
}

impl Receiver<Hooks> {
    /// The backend of this application, whose failed hooks are sent again.
    #[must_use]
    pub fn backend(site: Site, redelivers: bool) -> Receiver<Hooks> {
        Receiver::new(Hooks { redelivers }, site, Destination::new(NAME.to_owned(), Making::File, &[STREAM]))
    }
}

/// What the books must know beforehand.
pub fn announce(books: &mut Books) {
    books.filed(NAME, MARK, &[STREAM]);
}

impl Takes for Hooks {
    fn name(&self) -> &'static str {
        "a backend of WCS"
    }

    fn take(&mut self, io: &mut Io<'_>, of: &str, request: &Request, life: Option<u64>, fate: Fate) {
        let hook = request.target.strip_prefix(PATH).and_then(|rest| rest.strip_prefix('/'));
        let hook = hook.unwrap_or_else(|| panic!("a hook of the application: {}", request.target));
        let body: Value = serde_json::from_str(&request.body).expect("a hook is JSON");
        let about = about(hook, &body);
        match hook {
            // The end of an operation, as the server itself publishes it.
            "StreamStatusEvent" if body["key"].is_null() => assert_eq!(body["status"], "FAILED", "{body}"),
            "StreamStatusEvent" => {
                let key = Key::of(about).expect("an event of somebody");
                // What is sent again comes behind what was called meanwhile.
                io.books.called(of, &[key], life.filter(|_| !self.redelivers));
                if fate.takes() {
                    io.books.arrived(of, key, false);
                }
            }
            "ConnectionStatusEvent" if body["status"] == "DISCONNECTED" && fate.takes() => {
                io.books.hooks.ended(about);
            }
            "ConnectionStatusEvent" => {}
            _ => life.into_iter().for_each(|life| io.books.hooks.asked(life, hook, about)),
        }
        match fate {
            Fate::Refuse(status) => io.books.hooks.says(hook, about, status),
            Fate::Take | Fate::TakeLate => io.books.hooks.says(hook, about, 200),
            Fate::Die => {}
        }
    }

    fn judge(&self, books: &Books) {
        assert!(!self.redelivers || !books.has_dead(NAME), "what is sent again for ever is dead");
    }
}

/// What a hook is about: a session, an event, an operation.
fn about<'b>(hook: &str, body: &'b Value) -> &'b str {
    let name = match hook {
        "connect" | "ConnectionStatusEvent" => "token",
        "StreamStatusEvent" if !body["key"].is_null() => "key",
        "StreamStatusEvent" | "publishStream" => "mediaSessionId",
        "OnDataEvent" => "operationId",
        other => panic!("{other} is not listed"),
    };
    body[name].as_str().unwrap_or_else(|| panic!("{hook} says what it is about: {body}"))
}

//! Basic authentication (RFC 7617): a user's name and password with every request.

use data_encoding::BASE64;

use super::{Asker, Entry, Who, barred, challenge, credentials, quoted};
use crate::dialect::problem::problem;
use crate::ground::config::{Rights, User};
use crate::hub::Hub;
use crate::hub::access::checks::{Checked, Claim};
use crate::wire::http::head::Head;

/// What a password is held against when there is no user at all: as dear as those that `passwd` makes.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$b2ZmaG9va29mZmhvb2s$bm9ib2R5bm9ib2R5bm9ib2R5bm9ib2R5bm9ib2R5bm8";

/// The users of one door.
#[derive(Clone, Copy, Debug)]
pub struct Users<'u> {
    /// Who may come in.
    pub users: &'u [User],
    /// The section of the config file that lists them, such as `xms.app.legacy`.
    pub section: &'u str,
    /// The key there.
    pub key: &'u str,
    /// What the client is told that its credentials are for.
    pub realm: &'u str,
}

impl<'u> Users<'u> {
    /// Those of a section's key `users`, whose realm is called like the section.
    #[must_use]
    pub fn of(section: &'u str, users: &'u [User]) -> Users<'u> {
        Users { users, section, key: "users", realm: section }
    }
}

/// The challenge of a realm. RFC 7617 section 2.1: names and passwords are UTF-8.
#[must_use]
pub fn basic_challenge(realm: &str) -> String {
    format!("Basic realm={}, charset=\"UTF-8\"", quoted(realm))
}

/// Asks for one of `users`.
pub fn basic(hub: &mut Hub, asker: Asker, head: &Head<'_>, users: Users<'_>) -> Entry {
    let Users { users, section, key, realm } = users;
    if let Some(refused) = barred(hub, asker) {
        return refused;
    }
    let again = || challenge(401, basic_challenge(realm));
    let Some(offered) = credentials(head, "basic") else {
        hub.give_reason(None, format!("it named no user of [{section}]"));
        return again();
    };
    let decoded = BASE64.decode(offered.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((name, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) else {
        hub.wrong_credential(None, format!("what it sent for [{section}] is no name and password"));
        return again();
    };
    let user = users.iter().find(|user| user.name == name);
    // A name that nobody has costs the same check, so that time does not tell which names there are.
    let hash = user.or(users.first()).map_or(NOBODY, |user| &user.password_hash);
    let claim = Claim { user: name, known: user.is_some(), hash, password: password.as_bytes() };
    match (hub.check(asker.conn, claim), user) {
        (Checked::Right, Some(user)) => {
            let who = Who { name: name.into(), rights: Rights::default(), only: user.only.clone() };
            Entry::Admitted(hub.admit(asker.conn, who))
        }
        (Checked::Waits, _) => Entry::Waits,
        (Checked::Full, _) => {
            hub.give_reason(Some(name), "too many passwords are being checked ([limits] checks_waiting)");
            Entry::Refused(problem(503, super::sentence(503)).with("Retry-After", "1"))
        }
        (Checked::Wrong | Checked::Right, None) => {
            let line = format!("{key} = [{{ name = \"{name}\", password_hash = \"...\" }}]");
            hub.wrong_credential(
                Some(name),
                format!("there is no user \"{name}\"; [{section}] {line} admits it"),
            );
            again()
        }
        (Checked::Wrong, Some(_)) => {
            let text = format!(
                "wrong password for \"{name}\"; the password_hash of another one (passwd makes it) in [{section}] {key} admits it"
            );
            hub.wrong_credential(Some(name), text);
            again()
        }
    }
}

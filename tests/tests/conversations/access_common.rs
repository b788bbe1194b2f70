//! Users, tokens and what they send, for all conversations about who may come in.

use offhook_core::Config;
use offhook_core::ground::config::{Only, Rights, Token, User, XmsApp};
use offhook_tests::memory::checks::hash;
use offhook_tests::memory::read::Reply;
use offhook_tests::memory::write::request;
use offhook_tests::memory::{Peer, World};
use sha2::{Digest as _, Sha256};

use crate::common::COLLECTION;

/// Basic credentials as a header field (RFC 7617).
pub(crate) fn basic(name: &str, password: &str) -> String {
    let text = data_encoding::BASE64.encode(format!("{name}:{password}").as_bytes());
    format!("Authorization: Basic {text}\r\n")
}

pub(crate) fn user(name: &str, password: &str, only: &[(&str, &str)]) -> User {
    User { name: name.to_owned(), password_hash: hash(password), only: scope(only) }
}

pub(crate) fn scope(only: &[(&str, &str)]) -> Only {
    Only(only.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

/// The application `app` with these users.
pub(crate) fn with_users(users: &[User]) -> Config {
    let mut config = Config::default();
    config.xms.apps = vec![XmsApp { name: "app".to_owned(), users: users.into(), ..XmsApp::default() }];
    config
}

/// A list of eventhandlers, asked for with these header fields.
pub(crate) fn list(fields: &str) -> Vec<u8> {
    request("GET", COLLECTION, fields, "")
}

/// Asks, lets all checks be done, and takes the reply.
#[track_caller]
pub(crate) fn ask(world: &mut World, peer: Peer, request: impl AsRef<[u8]>) -> Reply {
    world.send(peer, request);
    world.finish_checks();
    world.next_reply(peer).expect("a whole reply")
}

/// A token with these rights, such as `publish read`.
pub(crate) fn token(name: &str, text: &str, may: &str, only: &[(&str, &str)]) -> Token {
    let has = |right: &str| may.split(' ').any(|word| word == right);
    let may = Rights {
        publish: has("publish"),
        read: has("read"),
        admin: has("admin"),
        subscribe: has("subscribe"),
    };
    Token { name: name.to_owned(), sha256: Sha256::digest(text).into(), may, only: scope(only) }
}

/// A configuration with these tokens.
pub(crate) fn with_tokens(tokens: Vec<Token>) -> Config {
    let mut config = Config::default();
    config.auth.tokens = tokens;
    config
}

/// A token as a header field (RFC 6750 section 2.1).
pub(crate) fn bearer(text: &str) -> String {
    format!("Authorization: Bearer {text}\r\n")
}

/// Takes the lines of the log about those who were refused.
pub(crate) fn refusals(world: &mut World) -> Vec<String> {
    let notes = world.take_notes().into_iter().map(|note| note.text);
    notes.filter(|text| text.contains(" was refused: ")).collect()
}

//! Who may come in: `[auth]`, `[audit]`, and the lists of users that dialects have.

use std::collections::BTreeMap;
use std::path::PathBuf;

use data_encoding::HEXLOWER_PERMISSIVE;
use offhook_core::ground::config::{Auth, Only, Rights, Token, User};
use toml::de::DeTable;

use super::reader::{Item, Keys, Reader};
use crate::password;

pub(super) const AUTH_KEYS: Keys<'_> = Keys { known: &["tokens"], later: &[] };
pub(super) const TOKEN_KEYS: Keys<'_> = Keys { known: &["name", "sha256", "may", "only"], later: &[] };
pub(super) const USER_KEYS: Keys<'_> =
    Keys { known: &["name", "password_hash", "password_file", "only"], later: &[] };
pub(super) const AUDIT_KEYS: Keys<'_> = Keys { known: &["file"], later: &[] };

const NAME_BYTES_MAX: usize = 64;
const NAME: &str = "a name of 1 to 64 bytes, each once, without colons and control characters";
const USERS: &str = "a list of users such as [{ name = \"ann\", password_hash = \"$argon2id$...\" }]";
const TOKENS: &str = "a list of tokens such as [{ name = \"pbx\", sha256 = \"...\", may = [\"publish\"] }]";
const SHA256: &str = "the SHA-256 of the token, 64 hexadecimal digits";
const MAY: &str = "one or more of \"publish\", \"read\", \"subscribe\", \"admin\"";
const ONLY: &str =
    "canonical field names with the value that each must have, such as { username = \"mike\" }";

/// `[auth]`.
pub(super) fn auth<'t>(reader: &mut Reader<'t>, table: &'t DeTable<'t>) -> Auth {
    let mut auth = Auth::default();
    for item in reader.entries("[auth]", table, AUTH_KEYS) {
        for (header, table) in tables(reader, &item, TOKENS) {
            let token = token(reader, &header, table, &auth.tokens);
            auth.tokens.extend(token);
        }
    }
    auth
}

/// `[audit]`: the file, relative to the config file's folder.
pub(super) fn audit<'t>(reader: &mut Reader<'t>, table: &'t DeTable<'t>) -> Option<PathBuf> {
    let mut file = None;
    for item in reader.entries("[audit]", table, AUDIT_KEYS) {
        let allowed = "a file to append to, such as \"audit.jsonl\"";
        match reader.text(&item, allowed) {
            Some("") => reader.wrong(&item, allowed),
            Some(name) => file = Some(reader.folder().join(name)),
            None => {}
        }
    }
    file
}

/// A dialect's list of users.
pub(super) fn users<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Vec<User> {
    let mut users: Vec<User> = Vec::new();
    for (header, table) in tables(reader, item, USERS) {
        let user = user(reader, &header, table, &users);
        users.extend(user);
    }
    users
}

/// The tables of a list in one line, each with its place.
pub(super) fn tables<'t>(
    reader: &mut Reader<'t>,
    item: &Item<'t>,
    allowed: &str,
) -> Vec<(Item<'t>, &'t DeTable<'t>)> {
    let elements = reader.list(item, allowed).unwrap_or_default();
    let table = |element: Item<'t>| reader.table(&element, allowed).map(|table| (element, table));
    elements.into_iter().filter_map(table).collect()
}

fn token<'t>(
    reader: &mut Reader<'t>,
    header: &Item<'t>,
    table: &'t DeTable<'t>,
    before: &[Token],
) -> Option<Token> {
    let items = reader.entries(&format!("{}.", header.name), table, TOKEN_KEYS);
    let item = |key: &str| items.iter().find(|item| item.key == key);
    let name = name(reader, header, item("name"), before.iter().map(|token| token.name.as_str()));
    let sha256 = match item("sha256") {
        Some(item) => sha256(reader, item),
        None => missing(reader, header, "sha256", SHA256),
    };
    if let Some((item, _)) = item("sha256").zip(before.iter().find(|token| Some(token.sha256) == sha256)) {
        reader.problem(item, "another token has the same, allowed: one name for each token");
    }
    let may = match item("may") {
        Some(item) => rights(reader, item),
        None => missing(reader, header, "may", MAY),
    };
    let only = item("only").map(|item| only(reader, item)).unwrap_or_default();
    if let Some(item) = item("may").filter(|_| !only.is_everything())
        && may.is_some_and(|may| may.admin || may.subscribe)
    {
        let right = if may.is_some_and(|may| may.admin) { "an admin" } else { "a SIP subscription" };
        let allowed = "allowed: \"admin\" and \"subscribe\" for tokens without `only`";
        reader.problem(item, &format!("{right} sees all there is, {allowed}"));
    }
    Some(Token { name: name?, sha256: sha256?, may: may?, only })
}

fn user<'t>(
    reader: &mut Reader<'t>,
    header: &Item<'t>,
    table: &'t DeTable<'t>,
    before: &[User],
) -> Option<User> {
    let items = reader.entries(&format!("{}.", header.name), table, USER_KEYS);
    let item = |key: &str| items.iter().find(|item| item.key == key);
    let name = name(reader, header, item("name"), before.iter().map(|user| user.name.as_str()));
    let password_hash = match (item("password_hash"), item("password_file")) {
        (Some(_), Some(item)) => {
            reader.problem(item, "password_hash is set too, allowed: one of the two");
            None
        }
        (Some(item), None) => hash(reader, item),
        (None, Some(item)) => hash_of_file(reader, item),
        (None, None) => missing(reader, header, "password_hash", password::ALLOWED),
    };
    let only = item("only").map(|item| only(reader, item)).unwrap_or_default();
    Some(User { name: name?, password_hash: password_hash?, only })
}

fn missing<'t, T>(reader: &mut Reader<'t>, header: &Item<'t>, key: &str, allowed: &str) -> Option<T> {
    reader.problem(header, &format!("{key} is missing; allowed: {allowed}"));
    None
}

fn name<'t, 'b>(
    reader: &mut Reader<'t>,
    header: &Item<'t>,
    item: Option<&Item<'t>>,
    mut before: impl Iterator<Item = &'b str>,
) -> Option<String> {
    let Some(item) = item else { return missing(reader, header, "name", NAME) };
    let name = reader.text(item, NAME)?;
    let sound = (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.chars().any(|c| c.is_control() || c == ':')
        && !before.any(|other| other == name);
    if !sound {
        reader.wrong(item, NAME);
    }
    sound.then(|| name.to_owned())
}

/// A hash is no secret of the worst kind, but nobody needs to see it.
fn hash<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Option<String> {
    let hash = item.text().filter(|text| password::is_hash(text));
    if hash.is_none() {
        reader.problem(item, &format!("this is a secret and not shown, allowed: {}", password::ALLOWED));
    }
    hash.map(str::to_owned)
}

fn hash_of_file<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Option<String> {
    let allowed = "a password of 1 to 1024 bytes without control characters";
    let password = reader.secret_of_file(item, allowed)?;
    match password::hash(&password) {
        Ok(hash) => Some(hash),
        Err(error) => {
            reader.problem(item, &format!("the password cannot be hashed: {error}"));
            None
        }
    }
}

fn sha256<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Option<[u8; 32]> {
    let digits = item.text().unwrap_or_default().as_bytes();
    let digest = HEXLOWER_PERMISSIVE.decode(digits).ok().and_then(|bytes| bytes.try_into().ok());
    if digest.is_none() {
        // Somebody may have put the token itself there.
        reader.problem(item, &format!("this is a secret and not shown, allowed: {SHA256}"));
    }
    digest
}

fn rights<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Option<Rights> {
    if reader.list(item, MAY)?.is_empty() {
        reader.wrong(item, MAY);
        return None;
    }
    let mut rights = Rights::default();
    reader.list_of(item, MAY, |right| {
        match right {
            "publish" => rights.publish = true,
            "read" => rights.read = true,
            "admin" => rights.admin = true,
            "subscribe" => rights.subscribe = true,
            _ => return Err(String::new()),
        }
        Ok(())
    })?;
    Some(rights)
}

/// `only` of a user or a token.
fn only<'t>(reader: &mut Reader<'t>, item: &Item<'t>) -> Only {
    let mut only = BTreeMap::new();
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let Some(table) = reader.table(item, ONLY) else { return Only(only) };
    for item in reader.named_entries(&format!("{}.", item.name), table) {
        match reader.text(&item, ONLY) {
            Some(value) if is_name(item.key) && !value.is_empty() => {
                only.insert(item.key.to_owned(), value.to_owned());
            }
            Some(_) => reader.wrong(&item, ONLY),
            None => {}
        }
    }
    Only(only)
}

#[cfg(test)]
mod tests;

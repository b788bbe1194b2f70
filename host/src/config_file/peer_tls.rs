//! The `tls` tables of those whom we connect to: certificates and keys are read here from their files. Whether they can be
//! used is said by the TLS layer.

use data_encoding::HEXLOWER_PERMISSIVE;
use offhook_core::ground::config::Tls;

use super::reader::{Item, Keys, Reader};

pub(super) const KEYS: Keys<'_> = Keys {
    known: &["ca", "only_ca", "pin_sha256", "client_cert", "client_key", "min_version", "insecure"],
    later: &[],
};

/// The table of `item`; `name` is what its keys are called by in problems.
pub(super) fn read<'t>(reader: &mut Reader<'t>, name: &str, item: &Item<'t>) -> Tls {
    let mut tls = Tls::default();
    let Some(table) = reader.table(item, "a table such as { ca = \"ca.pem\" }") else { return tls };
    let items = reader.entries(&format!("{name}."), table, KEYS);
    for item in &items {
        match item.key {
            "ca" => tls.ca = pem(reader, item, "a file of certificates (PEM)"),
            "client_cert" => tls.client_cert = pem(reader, item, "a file with a certificate (PEM)"),
            "client_key" => tls.client_key = pem(reader, item, "a file with a private key (PEM)"),
            "only_ca" => tls.only_ca = reader.boolean(item).unwrap_or(false),
            "insecure" => tls.insecure = reader.boolean(item).unwrap_or(false),
            "min_version" => {
                let versions = |text: &str| match text {
                    "1.2" => Some(false),
                    "1.3" => Some(true),
                    _ => None,
                };
                tls.only_tls13 = reader.word(item, "\"1.2\" or \"1.3\"", versions).unwrap_or(false);
            }
            _ => tls.pin_sha256 = reader.word(item, "64 hexadecimal digits, with or without colons", pin),
        }
    }
    let has = |key: &str| items.iter().any(|item| item.key == key);
    if tls.only_ca && !has("ca") {
        reader.problem(item, "only_ca needs a ca");
    }
    if has("client_cert") != has("client_key") {
        reader.problem(item, "client_cert and client_key go together");
    }
    tls
}

fn pem<'t>(reader: &mut Reader<'t>, item: &Item<'t>, allowed: &str) -> Option<Box<str>> {
    reader.file(item, allowed).map(String::into_boxed_str)
}

fn pin(text: &str) -> Option<[u8; 32]> {
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok()?.try_into().ok()
}

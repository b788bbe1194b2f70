//! The `tls` table of a destination. Certificates and keys stand in it as PEM text; whether they can be used is said by
//! the TLS layer.

use data_encoding::HEXLOWER_PERMISSIVE;

use super::table::{Table, wrong};
use crate::hub::call::Tls;
use crate::outbox::receiver::Wrong;

const KEYS: &[&str] =
    &["ca", "only_ca", "pin_sha256", "client_cert", "client_key", "min_version", "insecure"];
const TABLE: &str = "a table such as { ca = \"ca.pem\" }";
const PIN: &str = "the SHA-256 of a certificate, 64 hexadecimal digits, with or without colons";

/// `None` for `http`.
pub(super) fn read(table: &Table<'_>, https: bool) -> Result<Option<Tls>, Wrong> {
    let given = table.table("tls", TABLE)?;
    let Some(given) = given else { return Ok(https.then(Tls::default)) };
    if !https {
        return Err(wrong("tls", "the URL is http://, and has no use for it"));
    }
    given.know(KEYS)?;
    let tls = Tls {
        ca: pem(&given, "ca", "CERTIFICATE-----", "certificates")?,
        only_ca: given.boolean("only_ca")?.unwrap_or_default(),
        pin_sha256: pin(&given)?,
        client_cert: pem(&given, "client_cert", "CERTIFICATE-----", "certificates")?,
        client_key: pem(&given, "client_key", "PRIVATE KEY-----", "a private key")?,
        only_tls13: match given.text("min_version", "\"1.2\" or \"1.3\"")? {
            None | Some("1.2") => false,
            Some("1.3") => true,
            Some(_) => return Err(given.refuse("min_version", "\"1.2\" or \"1.3\"")),
        },
        insecure: given.boolean("insecure")?.unwrap_or_default(),
    };
    let contradiction = if tls.only_ca && tls.ca.is_none() {
        Some(("tls.only_ca", "there is no `ca` that could be the only one"))
    } else if tls.client_cert.is_some() != tls.client_key.is_some() {
        Some(("tls.client_cert", "client_cert and client_key go together, and one of them is missing"))
    } else if tls.insecure && (tls.ca.is_some() || tls.pin_sha256.is_some()) {
        Some(("tls.insecure", "nothing would be verified, and there is a `ca` or a pin to verify with"))
    } else {
        None
    };
    match contradiction {
        Some((key, detail)) => Err(wrong(key, detail)),
        None => Ok(Some(tls)),
    }
}

fn pem(table: &Table<'_>, key: &str, label: &str, what: &str) -> Result<Option<Box<str>>, Wrong> {
    let Some(text) = table.secret(key, &format!("{what} in PEM"))? else { return Ok(None) };
    if text.contains("-----BEGIN ") && text.contains(label) {
        return Ok(Some(text.into()));
    }
    Err(wrong(&table.path(key), &format!("this is not {what} in PEM")))
}

fn pin(table: &Table<'_>) -> Result<Option<[u8; 32]>, Wrong> {
    let Some(text) = table.text("pin_sha256", PIN)? else { return Ok(None) };
    let digits: String = text.chars().filter(|c| *c != ':').collect();
    let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok();
    match bytes.and_then(|bytes| bytes.try_into().ok()) {
        Some(pin) => Ok(Some(pin)),
        None => Err(table.refuse("pin_sha256", PIN)),
    }
}

//! Bodies of the fuzz targets: plain functions over bytes that panic when a promise is broken. No fuzzer is known here;
//! the targets in `fuzz/` call these, and `cargo test` replays the committed corpora through them, so that they always
//! compile and old findings stay found.
//!
//! Each body asserts more than "no panic": that the place where input is split changes nothing, that what is accepted
//! can be written and read again, and that everything which leaves is well-formed.

pub mod ami_source;
pub mod ami_stream;
pub mod config_file;
pub mod http_answer;
pub mod http_body;
pub mod http_connection;
pub mod http_head;
pub mod isymphony_filters;
pub mod log_recovery;
mod memory;
pub mod multipart;
pub mod proxy;
pub mod publish_body;
pub mod query;
mod replies;
pub mod sep_subscribe;
pub mod sip_connection;
pub mod sip_endpoint;
pub mod sip_message;
pub mod sip_packages;
pub mod sip_stream;
mod split;
pub mod tls_layer;
pub mod url_template;
pub mod wcs_answer;
pub mod world;
pub mod ws_connection;
pub mod ws_handshake;
pub mod ws_session;
pub mod xms_xml;

/// A name and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All targets: the name of the corpus and of the program in `fuzz/`, and the body.
pub const TARGETS: &[Target] = &[
    ("ami_source", ami_source::run),
    ("ami_stream", ami_stream::run),
    ("config_file", config_file::run),
    ("http_answer", http_answer::run),
    ("http_body", http_body::run),
    ("http_connection", http_connection::run),
    ("http_head", http_head::run),
    ("isymphony_filters", isymphony_filters::run),
    ("log_recovery", log_recovery::run),
    ("multipart", multipart::run),
    ("proxy", proxy::run),
    ("publish_body", publish_body::run),
    ("query", query::run),
    ("sep_subscribe", sep_subscribe::run),
    ("sip_connection", sip_connection::run),
    ("sip_endpoint", sip_endpoint::run),
    ("sip_message", sip_message::run),
    ("sip_packages", sip_packages::run),
    ("sip_stream", sip_stream::run),
    ("tls_layer", tls_layer::run),
    ("url_template", url_template::run),
    ("wcs_answer", wcs_answer::run),
    ("world", world::run),
    ("ws_connection", ws_connection::run),
    ("ws_handshake", ws_handshake::run),
    ("ws_session", ws_session::run),
    ("xms_xml", xms_xml::run),
];

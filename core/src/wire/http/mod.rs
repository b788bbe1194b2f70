//! HTTP/1.1 (RFC 9110, RFC 9112). The server's side: [`head`] reads a request's head and judges its framing,
//! [`body`] takes the body off the wire, [`server`] is the connection, [`reply`] writes answers,
//! [`forwarded`] is what proxies add to requests. The client's side: [`client`] takes answers, [`url`] reads what requests are sent to.

pub mod body;
pub mod client;
pub mod forwarded;
pub mod head;
pub mod query;
pub mod reply;
pub mod server;
pub mod url;

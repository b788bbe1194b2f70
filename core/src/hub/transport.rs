//! What lies between a socket and the machine behind it, where anything does: a proxy, which says for whom it speaks, and
//! TLS. A connection without either has none of this.

use std::net::IpAddr;

use crate::ground::config::Listener;
use crate::ground::network::is_in;
use crate::wire::tls::layer::Layer;

/// What lies in between.
#[derive(Debug, Default)]
pub struct Transport {
    /// The PROXY header so far; none once it is there, or if none is to come.
    pub announcing: Option<Vec<u8>>,
    /// The proxy at the other end, whose requests say whom they are for.
    pub proxy: Option<IpAddr>,
    /// TLS.
    pub tls: Option<Box<Layer>>,
    /// The sending direction has been ended.
    pub finished: bool,
}

impl Transport {
    /// Of a connection that a listener has accepted.
    ///
    /// # Errors
    /// The cryptography failed.
    pub fn accepted(listener: &Listener, peer: IpAddr) -> Result<Option<Box<Transport>>, String> {
        let by_proxy = is_in(peer, &listener.proxies);
        if listener.tls.is_none() && !by_proxy {
            return Ok(None);
        }
        let tls = listener.tls.as_ref().map(Layer::server).transpose()?.map(Box::new);
        Ok(Some(Box::new(Transport {
            announcing: (by_proxy && listener.proxy_protocol).then(Vec::new),
            proxy: (by_proxy && !listener.proxy_protocol).then_some(peer),
            tls,
            finished: false,
        })))
    }
}

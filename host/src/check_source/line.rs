//! A blocking connection to a PBX, with TLS if its config wants it.

use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use offhook_core::Now;
use offhook_core::ground::config::{Source, WallClock};
use offhook_core::source::asterisk::session::Fault;
use offhook_core::wire::tls::layer::Layer;

use super::report::address;
use crate::clock::Clock;
use crate::tls;

/// The connection.
pub(super) struct Line {
    stream: TcpStream,
    tls: Option<Layer>,
}

impl Line {
    /// Connects to the first address that answers, and agrees on TLS.
    pub(super) fn dial(source: &Source, clock: Clock, patience: Duration) -> Result<Line, Fault> {
        let host = &source.host;
        let addresses = (&**host, source.port)
            .to_socket_addrs()
            .map_err(|error| Fault::Unreachable(format!("`{host}`: {error}").into()))?;
        let mut failed = format!("`{host}` has no address");
        let mut stream = None;
        for address in addresses {
            match TcpStream::connect_timeout(&address, patience) {
                Ok(connected) => {
                    stream = Some(connected);
                    break;
                }
                Err(error) => failed = format!("no connection with {address}: {error}"),
            }
        }
        let stream = stream.ok_or_else(|| Fault::Unreachable(failed.into()))?;
        let mut line = Line { stream, tls: None };
        if let Some(wanted) = &source.tls {
            let wall = WallClock::default();
            wall.set(clock.now().wall);
            let layer = wanted
                .compile(&tls::base(), &wall)
                .and_then(|compiled| Layer::client(&compiled.without_alpn(), host))
                .map_err(|why| Fault::Tls(why.into()))?;
            line.tls = Some(layer);
            line.shake_hands(source, clock, patience)?;
        }
        Ok(line)
    }

    fn shake_hands(&mut self, source: &Source, clock: Clock, patience: Duration) -> Result<(), Fault> {
        let begun: Now = clock.now();
        while self.tls.as_ref().is_some_and(Layer::is_handshaking) {
            self.write(&[])?;
            if !self.read(Duration::from_millis(100), &mut Vec::new())? {
                let text =
                    format!("{} has closed the connection instead of agreeing on TLS", address(source));
                return Err(Fault::Tls(text.into()));
            }
            if clock.now().mono.since(begun.mono) > patience.as_millis() as u64 {
                return Err(Fault::Tls("the handshake took too long".into()));
            }
        }
        self.write(&[])
    }

    /// Adds what comes within that time to `input`; false if nothing will any more.
    pub(super) fn read(&mut self, patience: Duration, input: &mut Vec<u8>) -> Result<bool, Fault> {
        let mut buffer = [0; 65_536];
        let read = self.stream.set_read_timeout(Some(patience)).and_then(|()| self.stream.read(&mut buffer));
        let bytes = match read {
            Ok(0) => return Ok(false),
            Ok(n) => &buffer[..n],
            Err(error) if is_later(&error) => return Ok(true),
            Err(_) => return Ok(false),
        };
        match &mut self.tls {
            None => input.extend_from_slice(bytes),
            Some(layer) => {
                let opened = layer.receive(bytes, input);
                let is_open = !layer.is_ended();
                // An alert tells the peer, if something is wrong.
                let told = self.write(&[]);
                opened.map_err(|why| Fault::Tls(why.into()))?;
                return told.map(|()| is_open);
            }
        }
        Ok(true)
    }

    /// Sends all of it.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        let Some(layer) = &mut self.tls else {
            return self.stream.write_all(bytes).map_err(|_| Fault::Closed);
        };
        while !bytes.is_empty() || layer.wants_write() {
            let lent = [IoSlice::new(bytes)];
            let taken = layer.seal(if bytes.is_empty() { &[] } else { &lent });
            bytes = &bytes[taken..];
            let sealed = layer.outbound().len();
            self.stream.write_all(layer.outbound()).map_err(|_| Fault::Closed)?;
            layer.advance(sealed);
            if taken == 0 && sealed == 0 {
                // Nothing goes before the handshake is over.
                break;
            }
        }
        Ok(())
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

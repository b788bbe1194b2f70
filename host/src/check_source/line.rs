//! A blocking connection to a PBX, with TLS if its config wants it.

use std::io::{self, ErrorKind, IoSlice, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use offhook_core::Now;
use offhook_core::ground::config::{Source, WallClock};
use offhook_core::source::asterisk::session::Fault;
use offhook_core::wire::tls::layer::Layer;

use crate::clock::Clock;
use crate::tls;

/// The connection.
pub(super) struct Line {
    stream: TcpStream,
    tls: Option<Layer>,
    /// What came with the end of the handshake.
    early: Vec<u8>,
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
        // A peer that takes nothing is not waited for without end.
        stream
            .set_write_timeout(Some(patience))
            .map_err(|error| Fault::Unreachable(error.to_string().into()))?;
        let mut line = Line { stream, tls: None, early: Vec::new() };
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
        let mut early = Vec::new();
        while self.tls.as_ref().is_some_and(Layer::is_handshaking) {
            self.write(&[])?;
            if !self.read(Duration::from_millis(100), &mut early)? {
                let text =
                    format!("{} has closed the connection instead of agreeing on TLS", source.address());
                return Err(Fault::Tls(text.into()));
            }
            if clock.now().mono.since(begun.mono) > patience.as_millis() as u64 {
                return Err(Fault::Tls("the handshake took too long".into()));
            }
        }
        self.early = early;
        self.write(&[])
    }

    /// Adds what comes within that time to `input`; false if nothing will any more.
    pub(super) fn read(&mut self, patience: Duration, input: &mut Vec<u8>) -> Result<bool, Fault> {
        if !self.early.is_empty() {
            input.append(&mut self.early);
            return Ok(true);
        }
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
            return self.stream.write_all(bytes).map_err(|error| unsent(&error));
        };
        while !bytes.is_empty() || layer.wants_write() {
            let lent = [IoSlice::new(bytes)];
            let taken = layer.seal(if bytes.is_empty() { &[] } else { &lent });
            bytes = &bytes[taken..];
            let sealed = layer.outbound().len();
            self.stream.write_all(layer.outbound()).map_err(|error| unsent(&error))?;
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

fn unsent(error: &io::Error) -> Fault {
    if is_later(error) { Fault::Silent } else { Fault::Closed }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use offhook_core::ground::config::Tls;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use rustls::version::TLS12;
    use rustls::{ServerConfig, ServerConnection};

    use super::*;

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config_file/testdata");
    const BANNER: &[u8] = b"Asterisk Call Manager/9.0.0\r\n";

    /// In TLS 1.2 the last word of a handshake is the server's, and its banner may come in the same breath.
    #[test]
    fn a_banner_that_comes_with_the_handshake_is_kept() {
        let certs = CertificateDer::pem_file_iter(format!("{FOLDER}/server.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(format!("{FOLDER}/server.key")).unwrap();
        let config = ServerConfig::builder_with_provider(tls::provider()).with_protocol_versions(&[&TLS12]);
        let config = config.unwrap().with_no_client_auth();
        let config = config.with_single_cert(certs.map(Result::unwrap).collect(), key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut conn = ServerConnection::new(Arc::new(config)).unwrap();
            // It goes when the handshake is over.
            conn.writer().write_all(BANNER).unwrap();
            conn.complete_io(&mut stream).unwrap();
            stream
        });
        let tls = Some(Tls { insecure: true, ..Tls::default() });
        let source = Source { host: "127.0.0.1".into(), port, tls, ..Source::default() };
        let patience = Duration::from_secs(10);
        let mut line = Line::dial(&source, Clock::start(), patience).unwrap();
        let stream = server.join().unwrap();
        let mut input = Vec::new();
        while input.len() < BANNER.len() {
            let before = input.len();
            assert_eq!(line.read(patience, &mut input), Ok(true));
            assert!(input.len() > before, "nothing came");
        }
        assert_eq!(input, BANNER);
        drop(stream);
    }
}

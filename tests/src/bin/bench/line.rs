//! A subscriber's connection: a socket, or TLS on one.

use std::io::{Read, Result, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// The connection.
#[derive(Debug)]
pub(crate) enum Line {
    /// Bytes as they are.
    Plain(TcpStream),
    /// Sealed ones. The handshake is made by the first write.
    Sealed(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Line {
    /// Puts TLS on a socket, if there is a config for it.
    pub(crate) fn new(socket: TcpStream, tls: Option<&Arc<ClientConfig>>) -> crate::Result<Self> {
        let Some(config) = tls else { return Ok(Self::Plain(socket)) };
        let name = ServerName::try_from("localhost")?;
        let conn = ClientConnection::new(Arc::clone(config), name)?;
        Ok(Self::Sealed(Box::new(StreamOwned::new(conn, socket))))
    }

    /// The socket.
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Sealed(stream) => &stream.sock,
        }
    }

    /// Whether a read that fills less than its buffer has emptied the socket: a record is read by itself.
    pub(crate) fn empties_by_short_reads(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Sealed(stream) => stream.read(buffer),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Sealed(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Sealed(stream) => stream.flush(),
        }
    }
}

//! Listening sockets: bound once, before any shard runs, and shared by all shards. No byte of a peer passes here.
//!
//! `SO_REUSEADDR` lets a restart bind at once; `SO_REUSEPORT` is not set, so a taken port fails. What accepted
//! sockets should have (no delay, a bounded send buffer) is set on the listening socket: Linux hands it down.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use offhook_core::ListenerId;
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel completes before we accept them; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;

/// Failed or refused connections that one call of [`Acceptor::accept`] works off before it leaves the rest for the
/// next.
const FAILURES_PER_CALL: usize = 1_024;

/// A listener that cannot accept tries again after this time: no event says that descriptors or memory came free.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// From one warning about missing descriptors to the next.
const WARNING_EVERY: Duration = Duration::from_secs(1);

/// Binds and listens, non-blocking.
pub(crate) fn bind(address: SocketAddr, send_buffer_bytes: u64) -> io::Result<TcpListener> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(usize::try_from(send_buffer_bytes).unwrap_or(usize::MAX))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The sentence for a listener's address that cannot be had.
pub(crate) fn cannot_listen(address: SocketAddr, error: &io::Error) -> String {
    cannot_have(&address.to_string(), error, "--listen, or address in [[listener]]")
}

/// The sentence for a place that cannot be had; `key` is where another one can be named.
pub(crate) fn cannot_have(place: &str, error: &io::Error, key: &str) -> String {
    let kind = error.kind();
    let advice = if kind == io::ErrorKind::AddrInUse {
        "another process listens there; stop it, or choose another address"
    } else if kind == io::ErrorKind::PermissionDenied {
        "ports below 1024 need the capability CAP_NET_BIND_SERVICE"
    } else if kind == io::ErrorKind::AddrNotAvailable {
        "this machine has no such address"
    } else {
        "choose another address"
    };
    let error = error.to_string();
    let error = error.split(" (os error").next().unwrap_or_default();
    format!("cannot listen on {place}: {error}; {advice} ({key})")
}

/// One shard's hand on a listening socket.
#[derive(Debug)]
pub struct Acceptor {
    /// The listener's place in the configuration.
    pub id: ListenerId,
    listener: TcpListener,
    /// Given up for a moment when descriptors run out, so that a waiting peer is refused and not left hanging.
    spare: Option<OwnedFd>,
    warned: Option<Instant>,
}

impl Acceptor {
    /// A copy of the listening socket, with a spare descriptor of its own.
    pub(crate) fn new(id: ListenerId, listener: &TcpListener) -> io::Result<Acceptor> {
        Ok(Acceptor { id, listener: listener.try_clone()?, spare: Some(spare()?), warned: None })
    }

    /// One waiting connection: non-blocking, close-on-exec, without delay, with a bounded send buffer. `None` when
    /// there is none.
    ///
    /// When descriptors run out, the spare one is given up for a moment, the connection is accepted and closed, and a
    /// warning is logged, at most once a second.
    ///
    /// # Errors
    /// Descriptors or memory are short, or the listening socket itself has failed, and the log says so. Call again after
    /// [`ACCEPT_PAUSE`]. The faults of a single connection are passed over.
    pub fn accept(&mut self) -> io::Result<Option<(TcpStream, SocketAddr)>> {
        for _ in 0..FAILURES_PER_CALL {
            match acceptfrom_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok((socket, peer)) => match peer.and_then(|peer| SocketAddr::try_from(peer).ok()) {
                    Some(peer) => return Ok(Some((TcpStream::from(socket), peer))),
                    // A peer that is gone already may have no address.
                    None => drop(socket),
                },
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::MFILE | Errno::NFILE) => {
                    self.warn(
                        "no file descriptor is left: connections are refused; raise the limit (ulimit -n)",
                    );
                    if !self.refuse_one() {
                        return Err(Errno::MFILE.into());
                    }
                }
                Err(error) if is_of_one_connection(error) => {}
                Err(error) => {
                    self.warn(&format!("cannot accept connections: {}", io::Error::from(error)));
                    return Err(error.into());
                }
            }
        }
        Ok(None)
    }

    /// Accepts with the spare descriptor and closes at once. `false` if not even that was possible.
    fn refuse_one(&mut self) -> bool {
        self.spare = None;
        // Another thread may have been quicker, with the connection or with the descriptor.
        let refused = match acceptfrom_with(&self.listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(_) | Err(Errno::AGAIN) => true,
            Err(_) => false,
        };
        self.spare = spare().ok();
        refused
    }

    fn warn(&mut self, text: &str) {
        if self.warned.is_none_or(|at| at.elapsed() >= WARNING_EVERY) {
            self.warned = Some(Instant::now());
            tracing::warn!("{text}");
        }
    }
}

impl AsFd for Acceptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl AsRawFd for Acceptor {
    fn as_raw_fd(&self) -> RawFd {
        self.listener.as_raw_fd()
    }
}

fn spare() -> io::Result<OwnedFd> {
    File::open("/dev/null").map(OwnedFd::from)
}

/// What accept(2) says of a connection that failed while it waited; the next one may be sound.
fn is_of_one_connection(error: Errno) -> bool {
    [
        Errno::INTR,
        Errno::CONNABORTED,
        Errno::PROTO,
        Errno::NOPROTOOPT,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NONET,
        Errno::OPNOTSUPP,
        Errno::PERM,
    ]
    .contains(&error)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::process::Command;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    use socket2::SockRef;

    use super::*;

    fn local() -> (TcpListener, SocketAddr, Acceptor) {
        let listener = bind("127.0.0.1:0".parse().unwrap(), 65_536).unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = Acceptor::new(ListenerId(3), &listener).unwrap();
        (listener, address, acceptor)
    }

    /// A connect returns when the connection is in the backlog, so no wait is needed.
    #[test]
    fn accepted_sockets_inherit_what_the_listener_has() {
        let (listener, address, mut acceptor) = local();
        assert!(acceptor.accept().unwrap().is_none());
        let client = TcpStream::connect(address).unwrap();
        let (socket, peer) = acceptor.accept().unwrap().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        let (accepted, listening) = (SockRef::from(&socket), SockRef::from(&listener));
        assert!(accepted.tcp_nodelay().unwrap());
        assert_eq!(accepted.send_buffer_size().unwrap(), listening.send_buffer_size().unwrap());
        // Linux counts its own bookkeeping in, and says twice what was asked for.
        assert_eq!(accepted.send_buffer_size().unwrap(), 131_072);
        assert_eq!((&socket).read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(rustix::io::fcntl_getfd(&socket).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        assert!(acceptor.accept().unwrap().is_none());
    }

    #[test]
    fn a_taken_port_fails_with_a_sentence() {
        let (_listener, address, _) = local();
        let sentence = cannot_listen(address, &bind(address, 65_536).unwrap_err());
        let start = format!("cannot listen on {address}: Address already in use; ");
        assert!(sentence.starts_with(&start), "{sentence}");
    }

    /// Runs in a process of its own, because the limit of open files counts for all tests of one process.
    #[test]
    fn without_descriptors_a_peer_is_refused_and_others_follow() {
        const CHILD: &str = "OFFHOOK_TEST_DESCRIPTORS";
        if std::env::var_os(CHILD).is_none() {
            let name = "listen::tests::without_descriptors_a_peer_is_refused_and_others_follow";
            let mut child = Command::new(std::env::current_exe().unwrap());
            let status = child.args(["--exact", name, "--test-threads=1"]).env(CHILD, "1").status();
            return assert!(status.unwrap().success());
        }
        let (_listener, address, mut acceptor) = local();
        let mut refused = TcpStream::connect(address).unwrap();
        let waiting = TcpStream::connect(address).unwrap();
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).unwrap();
        let mut hoard: Vec<OwnedFd> = std::iter::from_fn(|| spare().ok()).collect();
        assert!(hoard.len() < 64);
        // One descriptor comes free after the first peer was refused: both were waiting, so one of two calls sees it.
        assert!(acceptor.accept().unwrap().is_none());
        assert_eq!(refused.read(&mut [0]).unwrap(), 0);
        assert_eq!((&waiting).read(&mut [0]).unwrap(), 0);
        assert!(acceptor.spare.is_some() && acceptor.warned.is_some());
        hoard.truncate(hoard.len() - 2);
        let client = TcpStream::connect(address).unwrap();
        let (_socket, peer) = acceptor.accept().unwrap().unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
    }
}

//! The sockets of `[sip]`: bound on ports that the system chose, read by one shard, refused when they are taken.

use std::net::{SocketAddr, UdpSocket};

use super::QUIET;
use super::peer::Peer;
use super::server::{Server, Subject};
use super::xms::metric;

const LISTEN: &str = "[sip]\nlisten = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"]\n";

/// More than one turn of the loop reads.
const DATAGRAMS: u64 = 270;

/// Where the next SIP socket listens, as the log says.
fn listening(server: &mut Server, transport: &str) -> SocketAddr {
    let line = server.wait_for("listening on sip:");
    let uri = line.split("sip:").nth(1).unwrap_or_default();
    let address = uri.strip_suffix(&format!(";transport={transport}"));
    address.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {transport} address in {line:?}"))
}

/// A datagram reaches the server, however many shards it has; what cannot be read is not answered.
pub fn sip_datagrams(subject: &Subject) {
    for shards in [1, 2] {
        let mut server = subject.shards(shards, &format!("{QUIET}{LISTEN}"));
        let (udp, tcp) = (listening(&mut server, "udp"), listening(&mut server, "tcp"));
        assert!(udp.port() != 0 && tcp.port() != 0);
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        // Loopback loses none that fit the buffer.
        for number in 0..DATAGRAMS {
            socket.send_to(format!("garbage {number}\r\n\r\n").as_bytes(), udp).expect("loopback takes it");
        }
        let peer = &mut Peer::connect(server.address);
        let mut received = std::iter::repeat_with(|| metric(peer, "offhook_datagrams_received_total"));
        assert_eq!(received.find(|seen| *seen >= DATAGRAMS), Some(DATAGRAMS), "{shards} shards");
        assert_eq!(metric(peer, "offhook_datagrams_sent_total"), 0, "{shards} shards");
    }
}

/// A socket that somebody has: exit code 1, and a sentence that names it.
pub fn sip_taken_ports(subject: &Subject) {
    let mut server = subject.server(&format!("{QUIET}{LISTEN}"));
    for transport in ["udp", "tcp"] {
        let address = listening(&mut server, transport);
        let config = format!("{QUIET}[sip]\nlisten = [\"{transport}:{address}\"]\n");
        let arguments = ["--listen", "127.0.0.1:0", "--data", "none"];
        let (code, log) = subject.spawn(Some(&config), &arguments).wait_exit();
        let sentence = format!("cannot listen on {transport}:{address}: Address already in use; ");
        assert!(code == Some(1) && log.contains(&sentence), "{code:?} {log}");
    }
}

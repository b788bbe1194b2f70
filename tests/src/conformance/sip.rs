//! SIP over real sockets: bound on ports that the system chose, read by one shard, refused when they are taken; what is
//! answered to strangers; and one subscription from the request over HTTP to its end, over each transport.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::QUIET;
use super::peer::{Peer, get, request};
use super::server::{PATIENCE, Server, Subject};
use super::xms::metric;

const LISTEN: &str = "[sip]\nlisten = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"]\n";

/// More than one turn of the loop reads.
const DATAGRAMS: u64 = 270;

/// Where the next SIP socket listens, as the log says.
fn listening(server: &mut Server, transport: &str) -> SocketAddr {
    let line = server.wait_for("listening on sip");
    let uri = line.split("listening on ").nth(1).unwrap_or_default();
    let address = match transport {
        "tls" => uri.strip_prefix("sips:"),
        _ => uri.strip_prefix("sip:").and_then(|uri| uri.strip_suffix(&format!(";transport={transport}"))),
    };
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

/// What is at the other end of SIP.
enum Link {
    Udp(UdpSocket, SocketAddr),
    Stream(Box<dyn ReadWrite>),
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Link::Udp(..)) { "UDP" } else { "a stream" })
    }
}

impl Link {
    fn send(&mut self, message: &str) {
        match self {
            Link::Udp(socket, to) => {
                socket.send_to(message.as_bytes(), *to).expect("loopback takes it");
            }
            Link::Stream(stream) => {
                stream.write_all(message.as_bytes()).and_then(|()| stream.flush()).expect("the server reads");
            }
        }
    }

    /// The next message, and nothing behind it: neither we nor the server send one before the last is answered.
    fn message(&mut self) -> String {
        let mut bytes = vec![0; 65_535];
        let mut len = 0;
        loop {
            match self {
                Link::Udp(socket, peer) => {
                    (len, *peer) = socket.recv_from(&mut bytes).expect("a datagram in time")
                }
                Link::Stream(stream) => match stream.read(&mut bytes[len..]) {
                    Ok(0) => {
                        panic!("the server closed the connection: {}", String::from_utf8_lossy(&bytes[..len]))
                    }
                    Ok(n) => len += n,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => panic!("no message in time: {error}"),
                },
            }
            let text = String::from_utf8(bytes[..len].to_vec()).expect("what we are sent is text");
            if text.ends_with("\r\n\r\n") && text.contains("Content-Length: 0\r\n") {
                return text;
            }
        }
    }

    /// The next message that `is` what is waited for. On a busy machine copies of requests come late.
    fn find(&mut self, is: impl Fn(&str) -> bool) -> String {
        std::iter::repeat_with(|| self.message()).find(|message| is(message)).expect("messages have no end")
    }

    /// Sends a request; its answer.
    fn ask(&mut self, message: &str) -> String {
        self.send(message);
        self.find(|message| message.starts_with("SIP/2.0 "))
    }
}

/// A certificate for this machine, in files of `folder`, and both sides of TLS with it.
fn tls(folder: &Path) -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let signed = rcgen::generate_simple_self_signed(names).expect("a certificate");
    std::fs::write(folder.join("cert.pem"), signed.cert.pem()).expect("a file");
    std::fs::write(folder.join("key.pem"), signed.signing_key.serialize_pem()).expect("a file");
    let cert: CertificateDer<'static> = signed.cert.der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).expect("a key");
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .expect("a certificate and its key");
    (Arc::new(client), Arc::new(server))
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).expect("the socket is sound");
    stream.set_nodelay(true).expect("the socket is sound");
    stream
}

fn patient_udp() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(PATIENCE)).expect("the socket is sound");
    socket
}

fn listen_with_tls(folder: &Path) -> String {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let (cert, key) = (cert.display(), key.display());
    format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\", \"tls:127.0.0.1:0\"]\n\
         tls = {{ cert = \"{cert}\", key = \"{key}\" }}\npeer_tls = {{ ca = \"{cert}\", only_ca = true }}\n"
    )
}

/// A request of somebody whom the server has asked for nothing.
fn stranger(method: &str, transport: &str, to: SocketAddr, number: u32) -> String {
    format!(
        "{method} sip:offhook@{to} SIP/2.0\r\n\
         Via: SIP/2.0/{transport} 127.0.0.1:9;branch=z9hG4bK{number};rport\r\n\
         f: <sip:stranger@example.com>;tag=1\r\nTo: <sip:offhook@{to}>;tag=2\r\ni: {transport}{number}@example.com\r\n\
         CSeq: {number} {method}\r\nEvent: reg\r\nSubscription-State: active\r\nMax-Forwards: 70\r\nl: 0\r\n\r\n"
    )
}

/// Over each transport: OPTIONS 200, other methods 405, a NOTIFY for nothing 481; keepalives and ACK are passed over.
pub fn s51_sip_strangers(subject: &Subject) {
    let folder = tempfile::tempdir().expect("a folder");
    let (client, _) = tls(folder.path());
    let mut server = subject.server(&format!("{QUIET}{}", listen_with_tls(folder.path())));
    for transport in ["udp", "tcp", "tls"] {
        let address = listening(&mut server, transport);
        let stream = || patient(TcpStream::connect(address).expect("the server listens"));
        let mut link = match transport {
            "udp" => Link::Udp(patient_udp(), address),
            "tcp" => Link::Stream(Box::new(stream())),
            _ => {
                let name = "localhost".try_into().expect("a name");
                let conn = ClientConnection::new(Arc::clone(&client), name).expect("a connection");
                Link::Stream(Box::new(StreamOwned::new(conn, stream())))
            }
        };
        let upper = transport.to_uppercase();
        for (number, (method, status)) in
            (1..).zip([("OPTIONS", "200 OK"), ("INVITE", "405 "), ("MESSAGE", "405 "), ("NOTIFY", "481 ")])
        {
            link.send("\r\n\r\n");
            link.send(&stranger("ACK", &upper, address, number));
            let answer = link.ask(&stranger(method, &upper, address, number));
            assert!(answer.starts_with(&format!("SIP/2.0 {status}")), "{transport} {method}: {answer}");
            assert!(answer.contains(&format!("CSeq: {number} {method}\r\n")), "{transport}: {answer}");
            let allows = answer.contains("Allow: NOTIFY, OPTIONS\r\n");
            assert_eq!(allows, method != "NOTIFY", "{transport} {method}: {answer}");
        }
    }
}

/// A field of a message.
fn field<'m>(message: &'m str, name: &str) -> &'m str {
    let value = message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {name} in {message}"))
}

/// The 200 to a SUBSCRIBE.
fn granted(subscribe: &str) -> String {
    let [via, from, to, call_id, cseq, expires] =
        ["Via", "From", "To", "Call-ID", "CSeq", "Expires"].map(|name| field(subscribe, name));
    let tag = if to.contains(";tag=") { "" } else { ";tag=theirs" };
    format!(
        "SIP/2.0 200 OK\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to}{tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq}\r\n\
         Contact: <sip:pbx@127.0.0.1:9>\r\nExpires: {expires}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// A NOTIFY in the dialog of a SUBSCRIBE.
fn notify(subscribe: &str, transport: &str, cseq: u32, state: &str, body: &str) -> String {
    let [from, to, call_id, contact] =
        ["From", "To", "Call-ID", "Contact"].map(|name| field(subscribe, name));
    let uri = contact.trim_start_matches('<').trim_end_matches('>');
    let tag = if to.contains(";tag=") { "" } else { ";tag=theirs" };
    format!(
        "NOTIFY {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} 127.0.0.1:9;branch=z9hG4bKn{cseq};rport\r\n\
         From: {to}{tag}\r\nTo: {from}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} NOTIFY\r\nContact: <sip:pbx@127.0.0.1:9>\r\n\
         Event: message-summary\r\nSubscription-State: {state}\r\nContent-Type: application/simple-message-summary\r\n\
         Max-Forwards: 70\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Makes a subscription over HTTP; its path.
fn make(peer: &mut Peer) -> String {
    let wish = r#"{"package":"message-summary","uris":["sip:bill@example.com"],"expires":3600}"#;
    let made = peer.ask(request("POST /v1/subscriptions", "Content-Type: application/json\r\n", wish));
    assert_eq!(made.status(), 201, "{}", made.text());
    let location = made.field("Location").and_then(|url| url.split("/v1/").nth(1)).expect("a location");
    format!("/v1/{location}")
}

/// A subscription over HTTP becomes one over SIP, over UDP and over connections that the server makes, in the clear and
/// with TLS; its state is shown; and a stop without storage leaves none at the notifier.
pub fn s46_sip_subscriptions(subject: &Subject) {
    for (transport, shards) in [("udp", 1), ("tcp", 2), ("tls", 1)] {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, certified) = tls(folder.path());
        let socket = patient_udp();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let proxy = match transport {
            "udp" => format!("sip:{}", socket.local_addr().expect("an address")),
            "tcp" => format!("sip:{};transport=tcp", listener.local_addr().expect("an address")),
            _ => format!("sips:{}", listener.local_addr().expect("an address")),
        };
        let config = format!("{QUIET}{}proxy = \"{proxy}\"\n", listen_with_tls(folder.path()));
        let config = config.replace("shutdown_ms = \"1h\"", "shutdown_ms = \"30s\"");
        let mut server = subject.shards(shards, &config);
        let peer = &mut Peer::connect(server.address);
        let path = make(peer);
        let mut link = match transport {
            "udp" => Link::Udp(socket, server.address),
            "tcp" => Link::Stream(Box::new(patient(listener.accept().expect("the server connects").0))),
            _ => {
                let stream = patient(listener.accept().expect("the server connects").0);
                let conn = ServerConnection::new(certified).expect("a connection");
                Link::Stream(Box::new(StreamOwned::new(conn, stream)))
            }
        };
        let subscribe = link.message();
        assert!(subscribe.starts_with("SUBSCRIBE sip:bill@example.com SIP/2.0\r\n"), "{subscribe}");
        let upper = transport.to_uppercase();
        assert!(field(&subscribe, "Via").starts_with(&format!("SIP/2.0/{upper} 127.0.0.1:")), "{subscribe}");
        link.send(&granted(&subscribe));
        let body = "Messages-Waiting: yes\r\nVoice-Message: 2/8 (0/2)\r\n";
        let answer = link.ask(&notify(&subscribe, &upper, 1, "active;expires=3600", body));
        assert!(answer.starts_with("SIP/2.0 200 "), "{transport}: {answer}");
        // Its state is in the log when the NOTIFY has been answered, and any shard shows it.
        let shown = Peer::connect(server.address).ask(get(&path)).text();
        assert!(shown.contains("\"active\"") && shown.contains("Voice-Message: 2/8"), "{transport}: {shown}");
        server.signal(Signal::TERM);
        let last = link.find(|message| field(message, "Expires") == "0");
        assert!(last.starts_with("SUBSCRIBE "), "{transport}: {last}");
        link.send(&granted(&last));
        let answer = link.ask(&notify(&last, &upper, 2, "terminated;reason=timeout", ""));
        assert!(answer.starts_with("SIP/2.0 200 "), "{transport}: {answer}");
        // Nothing is left to be said, and a connection ends from both sides.
        drop(link);
        let (code, log) = server.wait_exit();
        assert_eq!(code, Some(0), "{transport}: {log}");
    }
}

/// A notifier that was asked over UDP sends its NOTIFY on a new TCP connection.
pub fn s43_sip_notify_over_tcp(subject: &Subject) {
    let socket = patient_udp();
    let proxy = socket.local_addr().expect("an address");
    let mut server = subject.server(&format!("{QUIET}{LISTEN}proxy = \"sip:{proxy}\"\n"));
    listening(&mut server, "udp");
    let tcp = listening(&mut server, "tcp");
    let path = make(&mut Peer::connect(server.address));
    let mut link = Link::Udp(socket, server.address);
    let subscribe = link.message();
    link.send(&granted(&subscribe));
    for (cseq, new) in [(1, 2), (2, 3)] {
        let mut stream =
            Link::Stream(Box::new(patient(TcpStream::connect(tcp).expect("the server listens"))));
        let body = format!("Messages-Waiting: yes\r\nVoice-Message: {new}/0\r\n");
        let answer = stream.ask(&notify(&subscribe, "TCP", cseq, "active;expires=3600", &body));
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        let shown = Peer::connect(server.address).ask(get(&path)).text();
        assert!(shown.contains(&format!("Voice-Message: {new}/0")), "{shown}");
    }
}

/// With storage a stop says nothing to notifiers, and neither does a kill: the next start shows the last state at once and
/// goes on in the dialog.
pub fn s46_sip_restarts(subject: &Subject) {
    for signal in [Signal::TERM, Signal::KILL] {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data").display().to_string();
        let socket = patient_udp();
        let proxy = socket.local_addr().expect("an address");
        let config = format!("{QUIET}{LISTEN}proxy = \"sip:{proxy}\"\n");
        let start = || subject.start(Some(&config), &["--listen", "127.0.0.1:0", "--data", &data]);
        let mut server = start();
        let path = make(&mut Peer::connect(server.address));
        let mut link = Link::Udp(socket, server.address);
        let first = link.message();
        link.send(&granted(&first));
        let body = "Messages-Waiting: yes\r\nVoice-Message: 2/8 (0/2)\r\n";
        let answer = link.ask(&notify(&first, "UDP", 1, "active;expires=3600", body));
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        // What the kill must not lose is durable when a later change is: it is behind it in the log.
        make(&mut Peer::connect(server.address));
        let is_of_first = |message: &str| field(message, "Call-ID") == field(&first, "Call-ID");
        let other = link.find(|message| !is_of_first(message));
        link.send(&granted(&other));
        server.signal(signal);
        server.wait_exit();
        let server = start();
        let shown = Peer::connect(server.address).ask(get(&path)).text();
        assert!(shown.contains("\"active\"") && shown.contains("Voice-Message: 2/8"), "{signal:?}: {shown}");
        let refresh = link.find(|message| is_of_first(message) && field(message, "To").contains(";tag="));
        assert!(refresh.starts_with("SUBSCRIBE sip:pbx@127.0.0.1:9 SIP/2.0\r\n"), "{signal:?}: {refresh}");
        assert_eq!(field(&refresh, "From"), field(&first, "From"));
        assert!(field(&refresh, "To").ends_with(";tag=theirs"), "{refresh}");
        assert_ne!(field(&refresh, "CSeq"), field(&first, "CSeq"));
        assert_ne!(field(&refresh, "Expires"), "0", "{refresh}");
    }
}

//! Streams behind TLS: our servers against nginx with nchan (Debian packages `nginx` and `libnginx-mod-nchan`), which
//! sends Server-Sent Events as well. Subscribers speak TLS 1.3, the publisher does not.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::Result;
use crate::dialect::Dialect;
use crate::fleet::Fleet;
use crate::folder::Folder;
use crate::load::{Load, Pace};
use crate::process::{Process, Server, Setup, settled_memory};
use crate::rate::Rate;

/// What nginx publishes about.
const SUBJECT: &str = "call/1";

/// Deliveries a second to `subscribers` streams behind TLS.
pub(crate) fn delivery(server: Server, subscribers: usize, pace: Pace, span: Duration) -> Result<Rate> {
    with(server, |process, sealed, tls| {
        let dialect = words(server);
        let fleet = dialect.open_sealed(sealed, subscribers, tls)?;
        let mut load = Load::start(process.address(), dialect, SUBJECT, fleet)?;
        Ok(load.run(pace, span, &[process.id()])?.rate)
    })
}

/// Bytes of private memory per idle stream behind TLS.
pub(crate) fn idle(server: Server, streams: usize) -> Result<f64> {
    with(server, |process, sealed, tls| {
        let open = |count| -> Result<Fleet> { words(server).open_sealed(sealed, count, tls) };
        // What the first of all costs is no cost of a stream.
        drop(open(1)?);
        let before = settled_memory(process.id())?;
        let mut fleet = open(streams)?;
        let after = settled_memory(process.id())?;
        fleet.drain()?;
        Ok((after as f64 - before as f64) / streams as f64)
    })
}

fn words(server: Server) -> Dialect {
    if server == Server::Nginx { Dialect::Nchan } else { Dialect::Sse }
}

/// Starts a server with a plain listener and one with TLS, whose address comes second.
fn with<T>(
    server: Server,
    measure: impl FnOnce(&Process, SocketAddr, &Arc<ClientConfig>) -> Result<T>,
) -> Result<T> {
    let folder = Folder::on_disk()?;
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let cert = folder.write("cert.pem", certified.cert.pem().as_bytes())?;
    let key = folder.write("key.pem", certified.signing_key.serialize_pem().as_bytes())?;
    let [plain, sealed] = free_addresses()?;
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let text = if server == Server::Nginx {
        nginx(plain, sealed, &cert, &key, &folder.file("nginx.pid").display().to_string())
    } else {
        offhook(plain, sealed, &cert, &key)
    };
    let config = Some(folder.write("server.conf", text.as_bytes())?);
    let mut process = Process::start(server, &Setup { config, address: Some(plain), ..Setup::default() })?;
    let tls = Arc::new(trusting(certified.cert.der())?);
    measure(&process, sealed, &tls).map_err(|error| process.explain(error))
}

/// Two addresses that were free a moment ago: nginx takes none from the system.
fn free_addresses() -> Result<[SocketAddr; 2]> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (first, second) = (listen()?, listen()?);
    Ok([first.local_addr()?, second.local_addr()?])
}

fn trusting(cert: &CertificateDer<'_>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone().into_owned())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let versions = builder.with_protocol_versions(&[&rustls::version::TLS13])?;
    let mut config = versions.with_root_certificates(roots).with_no_client_auth();
    // Every handshake is a whole one, and no tickets are kept.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

fn offhook(plain: SocketAddr, sealed: SocketAddr, cert: &str, key: &str) -> String {
    format!(
        "[[listener]]\naddress = \"{plain}\"\n\
         [[listener]]\naddress = \"{sealed}\"\ntls = {{ cert = \"{cert}\", key = \"{key}\" }}\n"
    )
}

/// One process without a master, as our servers are; a channel that holds more than is ever in flight.
fn nginx(plain: SocketAddr, sealed: SocketAddr, cert: &str, key: &str, pid: &str) -> String {
    format!(
        "load_module /usr/lib/nginx/modules/ngx_nchan_module.so;\n\
         daemon off;\nmaster_process off;\nworker_processes 1;\npid {pid};\nerror_log stderr error;\n\
         events {{ worker_connections 40000; }}\n\
         http {{\n\
         access_log off;\nkeepalive_requests 1000000000;\nkeepalive_timeout 1h;\ntcp_nodelay on;\n\
         nchan_message_buffer_length 1000;\nnchan_message_timeout 1m;\n\
         server {{ listen {plain}; location = /pub {{ nchan_publisher; nchan_channel_id bench; }} }}\n\
         server {{\n\
         listen {sealed} ssl backlog=4096;\nssl_certificate {cert};\nssl_certificate_key {key};\nssl_protocols TLSv1.3;\n\
         location = /sub {{\nnchan_subscriber eventsource;\nnchan_channel_id bench;\nnchan_subscriber_first_message newest;\n}}\n\
         }}\n\
         }}\n"
    )
}

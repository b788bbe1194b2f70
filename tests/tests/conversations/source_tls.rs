//! A PBX behind TLS: the certificate is verified, and each fault of TLS is a reason.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use offhook_core::Config;
use offhook_core::ground::config::{Source, Tls, TlsBase};
use offhook_tests::ami::Pbx;
use offhook_tests::memory::World;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use crate::certificates::{Authority, Signed, der};
use crate::source_common::{Office, source};

const ADDRESS: &str = "192.0.2.7:5038";

fn office(tls: Tls) -> Office {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let base = TlsBase { provider, roots: Arc::new(RootCertStore::empty()) };
    let pbx = Source { host: "pbx.example".into(), tls: Some(tls), md5: false, ..source() };
    let mut world = World::with(Config { sources: vec![pbx], tls: Some(base), ..Config::default() }, 1);
    world.set_name("pbx.example", &["192.0.2.7"]);
    world.serve(ADDRESS);
    let mut office = Office::over(world, Pbx::default());
    let (line, address) = office.world.take_dialed().expect("the PBX is dialed");
    assert_eq!(address, ADDRESS);
    office.line = Some(line);
    office
}

fn trusting(authority: &Authority) -> Tls {
    Tls { ca: Some(authority.pem.as_str().into()), only_ca: true, ..Tls::default() }
}

/// The PBX's side of TLS.
struct Sealed(ServerConnection);

impl Sealed {
    fn new(signed: &Signed) -> Sealed {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes()).expect("a key");
        let config =
            builder.expect("versions").with_no_client_auth().with_single_cert(vec![der(&signed.cert)], key);
        Sealed(ServerConnection::new(Arc::new(config.expect("a certificate"))).expect("a connection"))
    }

    /// The PBX says something, and answers until there is nothing more to say.
    fn say(&mut self, office: &mut Office, text: &str) {
        let line = office.line.expect("a connection");
        self.0.writer().write_all(text.as_bytes()).expect("memory");
        loop {
            let came = office.world.take(line);
            let mut from = &came[..];
            while !from.is_empty() && self.0.read_tls(&mut from).is_ok() {
                // What it dislikes it says by an alert.
                let Ok(state) = self.0.process_new_packets() else { break };
                let mut plain = vec![0; state.plaintext_bytes_to_read()];
                self.0.reader().read_exact(&mut plain).expect("memory");
                let answers = office.pbx.hear(&plain);
                self.0.writer().write_all(answers.as_bytes()).expect("memory");
            }
            let mut out = Vec::new();
            while self.0.wants_write() {
                self.0.write_tls(&mut out).expect("memory");
            }
            if came.is_empty() && out.is_empty() {
                return;
            }
            office.world.send(line, out);
        }
    }
}

#[test]
fn calls_are_told_through_tls() {
    let authority = Authority::new("ours");
    let mut office = office(trusting(&authority));
    let mut sealed = Sealed::new(&authority.sign("pbx.example", (2000, 2100)));
    let greeting = office.pbx.greeting();
    sealed.say(&mut office, &greeting);
    assert_eq!(office.pbx.asked[0], "Login", "nobody else reads the password");
    let told = office.pbx.begin("1.0") + &office.pbx.end("1.0");
    sealed.say(&mut office, &told);
    office.expect(&[
        "source.up source/pbx version=22.10.0",
        "call.incoming call/1.0",
        "call.hangup call/1.0",
    ]);
}

#[test]
fn each_fault_of_tls_is_a_reason() {
    let authority = Authority::new("ours");
    let check = |office: &mut Office, part: &str| {
        office.expect(&["source.down source/pbx reason=tls"]);
        let notes = office.notes();
        assert!(notes[0].contains(part), "{notes:?}");
    };
    // Another authority, another name.
    for (signed, part) in [
        (Authority::new("theirs").sign("pbx.example", (2000, 2100)), "UnknownIssuer"),
        (authority.sign("other.example", (2000, 2100)), "certificate not valid for name"),
        (authority.sign("pbx.example", (2000, 2010)), "xpired"),
    ] {
        let mut office = office(trusting(&authority));
        Sealed::new(&signed).say(&mut office, "");
        check(&mut office, part);
    }
    // No TLS at all.
    let mut plain = office(trusting(&authority));
    plain.world.send(plain.line.unwrap(), "Asterisk Call Manager/11.0.0\r\n");
    check(&mut plain, "the peer speaks no TLS: it began with");
    // It hangs up, or says nothing.
    let mut gone = office(trusting(&authority));
    gone.world.break_off(gone.line.unwrap());
    check(&mut gone, "it has closed the connection instead of agreeing on TLS");
    let mut mute = office(trusting(&authority));
    mute.world.pass(10_000);
    check(&mut mute, "the handshake took too long");
    // What cannot even be tried.
    let mut unready = World::with(
        Config { sources: vec![Source { tls: Some(Tls::default()), ..source() }], ..Config::default() },
        1,
    );
    unready.serve("127.0.0.1:5038");
    let mut unready = Office::over(unready, Pbx::default());
    check(&mut unready, "this server was started without cryptography");
}

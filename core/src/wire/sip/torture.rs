//! The torture messages of RFC 4475, each with its section and the verdict here, which is on their syntax alone: what a
//! user agent does of what it can read (416 for a scheme, 420 for an extension, 483) is not decided on this floor.
//! `mpart01` is abridged: its signature is cut. All others are as the RFC has them.

use super::Bounds;
use super::message::{Message, Unreadable};
use super::stream::{Framed, Framing};
use super::uri::{NameAddr, Uri};
use crate::wire::multipart;

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    /// Answered with this status, and why.
    Refused(u16, &'static str),
    /// Why.
    Dropped(&'static str),
}

use Verdict::{Dropped, Refused, Taken};

macro_rules! table {
    ($($section:literal $name:literal $verdict:expr;)*) => {
        const MESSAGES: &[(&str, &str, &[u8], Verdict)] =
            &[$(($section, $name, include_bytes!(concat!("torture/", $name, ".sip")), $verdict)),*];
    };
}

table! {
    "3.1.1.1" "wsinv" Taken;
    "3.1.1.2" "intmeth" Taken;
    "3.1.1.3" "esc01" Taken;
    "3.1.1.4" "escnull" Taken;
    "3.1.1.5" "esc02" Taken;
    "3.1.1.6" "lwsdisp" Taken;
    "3.1.1.7" "longreq" Taken;
    "3.1.1.8" "dblreq" Taken;
    "3.1.1.9" "semiuri" Taken;
    "3.1.1.10" "transports" Taken;
    "3.1.1.11" "mpart01" Taken;
    "3.1.1.12" "unreason" Taken;
    "3.1.1.13" "noreason" Taken;
    "3.1.2.1" "badinv01" Refused(400, "Via is malformed");
    "3.1.2.2" "clerr" Refused(400, "the body is shorter than Content-Length");
    "3.1.2.3" "ncl" Refused(400, "Content-Length is malformed");
    "3.1.2.4" "scalar02" Refused(400, "CSeq is malformed");
    "3.1.2.5" "scalarlg" Dropped("CSeq is malformed");
    "3.1.2.6" "quotbal" Refused(400, "To is malformed");
    "3.1.2.7" "ltgtruri" Refused(400, "the request URI is malformed");
    "3.1.2.8" "lwsruri" Refused(400, "the request URI is malformed");
    "3.1.2.9" "lwsstart" Refused(400, "the request URI is malformed");
    "3.1.2.10" "trws" Refused(400, "the request line does not end with the version");
    "3.1.2.11" "escruri" Refused(400, "the request URI has headers");
    "3.1.2.12" "baddate" Taken;
    "3.1.2.13" "regbadct" Refused(400, "Contact is malformed");
    "3.1.2.14" "badaspec" Refused(400, "To is malformed");
    "3.1.2.15" "baddn" Refused(400, "From is malformed");
    "3.1.2.16" "badvers" Refused(505, "SIP/2.0 is spoken here");
    "3.1.2.17" "mismatch01" Refused(400, "CSeq names another method");
    "3.1.2.18" "mismatch02" Refused(400, "CSeq names another method");
    "3.1.2.19" "bigcode" Dropped("the status is malformed");
    "3.2.1" "badbranch" Taken;
    "3.3.1" "insuf" Dropped("From is missing");
    "3.3.2" "unkscm" Taken;
    "3.3.3" "novelsc" Taken;
    "3.3.4" "unksm2" Taken;
    "3.3.5" "bext01" Taken;
    "3.3.6" "invut" Taken;
    "3.3.7" "regaut01" Taken;
    "3.3.8" "multi01" Refused(400, "there is more than one From");
    "3.3.9" "mcl01" Refused(400, "there is more than one Content-Length");
    "3.3.10" "bcast" Taken;
    "3.3.11" "zeromf" Taken;
    "3.3.12" "cparam01" Taken;
    "3.3.13" "cparam02" Taken;
    "3.3.14" "regescrt" Taken;
    "3.3.15" "sdp01" Taken;
    "3.4.1" "inv2543" Taken;
}

fn message(name: &str) -> Message {
    let (.., bytes, _) = MESSAGES.iter().find(|(_, n, ..)| *n == name).unwrap();
    Message::from_datagram(bytes).unwrap()
}

fn judge(bytes: &[u8]) -> Verdict {
    match Message::from_datagram(bytes) {
        Ok(_) => Taken,
        Err(Unreadable { reason, answer: None }) => Dropped(reason),
        Err(Unreadable { reason, answer: Some(answer) }) => Refused(answer.status().unwrap(), reason),
    }
}

#[test]
fn s44_torture() {
    for (section, name, bytes, verdict) in MESSAGES {
        assert_eq!(judge(bytes), *verdict, "{section} {name}");
    }
}

/// Cut anywhere, a message gets a verdict; on a connection it is the same message, or none.
#[test]
fn s44_torture_in_pieces() {
    for (_, name, bytes, _) in MESSAGES {
        for at in (0..bytes.len()).step_by(7) {
            judge(&bytes[..at]);
            judge(&[&bytes[..at], &bytes[at + 1..]].concat());
        }
        let mut framing = Framing::new(Bounds::default());
        let (first, second) = bytes.split_at(bytes.len() / 2);
        for mut piece in [first, second] {
            if let Framed::Message(framed) = framing.next(&mut piece) {
                assert_eq!(Ok(framed), Message::from_datagram(bytes), "{name}");
            }
        }
    }
}

/// What was taken says the same when it is written and read again.
#[test]
fn s44_torture_written_again() {
    for (section, name, bytes, _) in MESSAGES {
        let Ok(mut message) = Message::from_datagram(bytes) else { continue };
        let mut out = Vec::new();
        message.write(&mut out);
        let mut again = Message::from_datagram(&out).unwrap();
        message.fields.remove("Content-Length");
        again.fields.remove("Content-Length");
        assert_eq!(again, message, "{section} {name}");
    }
}

#[test]
fn s44_a_short_tortuous_invite() {
    let message = message("wsinv");
    let to: NameAddr = message.fields.get("To").unwrap().parse().unwrap();
    assert_eq!((&*to.uri, to.tag()), ("sip:vivekg@chair-dnrc.example.com", Some("1918181833n")));
    let from: NameAddr = message.fields.get("From").unwrap().parse().unwrap();
    assert_eq!((from.display.as_deref(), from.tag()), (Some(r#"J Rosenberg \""#), Some("98asjd8")));
    assert_eq!((message.cseq(), message.body.len()), (Some((9, "INVITE")), 150));
    let hops: Vec<_> = message.vias().map(|via| format!("{via}")).collect();
    assert_eq!(
        hops,
        [
            "SIP/2.0/UDP 192.0.2.2;branch=390skdjuw",
            "SIP/2.0/TCP spindle.example.com;branch=z9hG4bK9ikj8",
            "SIP/2.0/UDP 192.168.255.111;branch=z9hG4bK30239"
        ]
    );
    assert_eq!(message.fields.get("Subject"), Some(""));
    assert_eq!(message.fields.get("newfangledheader"), Some("newfangled value continued newfangled value"));
    let contact = message.contact().unwrap();
    assert_eq!(
        (contact.display.as_deref(), contact.param("q").as_deref()),
        (Some(r#"Quoted string """#), Some("0.33"))
    );
    assert_eq!(
        (contact.param("newparam").as_deref(), contact.param("secondparam").as_deref()),
        (Some("newvalue"), Some(""))
    );
}

#[test]
fn s44_valid_messages_say_what_they_say() {
    let intmeth = message("intmeth");
    assert_eq!(intmeth.method(), Some("!interesting-Method0123456789_*+`.%indeed'~"));
    assert_eq!(intmeth.to_tag(), None);
    assert_eq!(intmeth.from_tag(), Some("_token~1'+`*%!-."));
    assert_eq!(intmeth.call_id(), r#"intmeth.word%ZK-!.*_+'@word`~)(><:\/"][?}{"#);
    let to: NameAddr = intmeth.fields.get("To").unwrap().parse().unwrap();
    assert_eq!(to.display.as_deref(), Some("BEL:\x07 NUL:\0 DEL:\x7f"));
    let uri: Uri = intmeth.uri().unwrap().parse().unwrap();
    assert_eq!((&*uri.host, uri.params.len()), ("example.com", 0));

    // A % is an escape in a URI alone.
    let esc02 = message("esc02");
    assert_eq!(esc02.method(), Some("RE%47IST%45R"));
    assert_eq!(esc02.fields.values("Contact").count(), 2);
    assert_eq!(message("escnull").fields.values("Contact").count(), 2);

    let lwsdisp: NameAddr = message("lwsdisp").fields.get("From").unwrap().parse().unwrap();
    assert_eq!((lwsdisp.display.as_deref(), &*lwsdisp.uri), (Some("caller"), "sip:caller@example.com"));
    assert_eq!(message("longreq").vias().count(), 34);
    assert_eq!(message("dblreq").body, b"");
    let semiuri: Uri = message("semiuri").uri().unwrap().parse().unwrap();
    assert_eq!((semiuri.user.as_deref(), semiuri.params.len()), (Some("user;par=u%40example.net"), 0));
    let transports: Vec<_> = message("transports").vias().map(|via| via.transport).collect();
    assert_eq!(transports.iter().map(|t| &**t).collect::<Vec<_>>(), ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
    let parts = message("mpart01");
    let parts =
        multipart::parts(parts.fields.get("Content-Type").unwrap(), &parts.body).map(|parts| parts.len());
    assert_eq!(parts, Ok(2));
    let unreason = message("unreason");
    assert_eq!((unreason.status(), unreason.body.len()), (Some(200), 154));
    assert_eq!(message("noreason").status(), Some(100));
    assert_eq!(message("inv2543").body.len(), 105);
    assert_eq!(message("cparam01").contact().unwrap().param("unknownparam").as_deref(), Some(""));
    assert_eq!(message("cparam02").contact().unwrap().params, []);
}

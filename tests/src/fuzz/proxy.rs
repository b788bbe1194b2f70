//! What proxies say of those behind them: a PROXY header, against a second reading of its layout, or `Forwarded` and
//! its kin in a request's head.

use std::net::{IpAddr, Ipv6Addr};

use offhook_core::wire::Step;
use offhook_core::wire::http::forwarded::client;
use offhook_core::wire::http::head::{HeadEnd, parse};
use offhook_core::wire::proxy::header;

const BYTES_MAX: usize = 512;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Reads `data` as a head if it begins with a letter, else as a PROXY header.
pub fn run(data: &[u8]) {
    if data.first().is_some_and(u8::is_ascii_alphabetic) {
        fields(data);
    } else {
        binary(data);
    }
}

/// Every prefix wants more or ends as the whole does, and what is taken has the layout of the specification.
fn binary(data: &[u8]) {
    let whole = header(data, BYTES_MAX);
    for end in 0..data.len() {
        let part = header(&data[..end], BYTES_MAX);
        assert!(part == Step::More || part == whole, "{part:?} at {end}, and {whole:?}");
    }
    let Step::Item(peer, len) = whole else { return };
    let (head, body) = (&data[..16], &data[16..len]);
    assert!(len <= BYTES_MAX && head.starts_with(SIGNATURE));
    assert_eq!(body.len(), usize::from(head[14]) << 8 | usize::from(head[15]));
    match (head[12], head[13], peer) {
        (0x21, 0x11, Some(peer)) => {
            assert_eq!(
                (peer.ip(), &peer.port().to_be_bytes()[..]),
                (ip([&[0; 10], &[0xff; 2], &body[..4]]), &body[8..10])
            );
        }
        (0x21, 0x21, Some(peer)) => {
            assert_eq!(
                (peer.ip(), &peer.port().to_be_bytes()[..]),
                (ip([&body[..16], &[], &[]]), &body[32..34])
            );
        }
        (command, family, None) => assert!(command == 0x20 || !matches!(family, 0x11 | 0x21)),
        (command, family, Some(peer)) => panic!("{peer} of {command:x} {family:x}"),
    }
}

fn ip(pieces: [&[u8]; 3]) -> IpAddr {
    let bytes: [u8; 16] = pieces.concat().try_into().expect("16 bytes");
    Ipv6Addr::from(bytes).to_canonical()
}

/// Whoever is found is no proxy, unless all are; fields of other names change nothing.
fn fields(data: &[u8]) {
    let Step::Item((), len) = HeadEnd::default().find(data, 16_384) else { return };
    let Ok(head) = parse(&data[..len], 100) else { return };
    let is_proxy = |address: IpAddr| matches!(address, IpAddr::V4(v4) if v4.octets()[0] == 10);
    let found = client(&head, is_proxy);
    let everyone = client(&head, |_| false);
    if let (Ok(Some(found)), Ok(Some(last))) = (&found, &everyone) {
        assert!(is_proxy(*last) || found == last, "the last that is no proxy: {found}, {last}");
    }
    assert!(!matches!(&found, Ok(Some(address)) if *address != address.to_canonical()));
    let says =
        |name: &str| name.eq_ignore_ascii_case("forwarded") || name.eq_ignore_ascii_case("x-forwarded-for");
    let of_proxies = head.fields().iter().filter(|(name, _)| says(name));
    let mut text = "GET / HTTP/1.1\r\nHost: h\r\n".to_owned();
    of_proxies.for_each(|(name, value)| text.push_str(&format!("{}:{value}\r\n", name.to_ascii_uppercase())));
    if !head.fields().iter().any(|(name, _)| says(name)) {
        assert_eq!(found.as_ref().ok(), Some(&None));
    }
    text.push_str("\r\n");
    let again = parse(text.as_bytes(), 100).expect("an accepted field is accepted again");
    assert_eq!(client(&again, is_proxy).ok(), found.ok());
}

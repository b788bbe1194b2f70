//! The PROXY protocol, version 2 (HAProxy, proxy-protocol.txt section 2.2): a binary header before all else, by which a
//! proxy says whom it speaks for. What is absent here: version 1, checksums and other TLVs, which are passed over, and peers
//! without an address of the internet, which are refused: whom a proxy hides, nobody can judge.

use std::net::{IpAddr, SocketAddr};

use super::{Fault, Step};

/// How every header begins.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED_BYTES: usize = 16;

/// Reads the header at the start of `input`: address and port of the peer, or `None` if the proxy speaks for itself. A
/// header is at most `bytes_max` long.
#[must_use]
pub fn header(input: &[u8], bytes_max: usize) -> Step<Option<SocketAddr>> {
    let same = input.len().min(SIGNATURE.len());
    if input[..same] != SIGNATURE[..same] {
        return Step::Fault(Fault::bad("the connection does not begin with a PROXY header of version 2"));
    }
    // What is wrong is said as soon as it is there, so that it cannot matter how the bytes came.
    let (command, family) = (input.get(12), input.get(13));
    if command.is_some_and(|byte| !matches!(byte, 0x20 | 0x21)) {
        return Step::Fault(Fault::bad("the PROXY header has an unknown version or command"));
    }
    let Some(length) = input.get(14..FIXED_BYTES) else { return Step::More };
    let whole = FIXED_BYTES + usize::from(u16::from_be_bytes([length[0], length[1]]));
    let needed = match (command, family) {
        (Some(0x21), Some(0x11)) => 12,
        (Some(0x21), Some(0x21)) => 36,
        (Some(0x21), _) => {
            return Step::Fault(Fault::bad("the PROXY header does not say for which address it speaks"));
        }
        _ => 0,
    };
    if whole > bytes_max {
        return Step::Fault(Fault::bad("the PROXY header is longer than the server takes"));
    }
    if whole < FIXED_BYTES + needed {
        return Step::Fault(Fault::bad("the PROXY header is too short for its addresses"));
    }
    if input.len() < whole {
        return Step::More;
    }
    Step::Item(source(needed, &input[FIXED_BYTES..whole]), whole)
}

/// The source of two addresses and two ports, which have so many bytes.
fn source(len: usize, addresses: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = match len {
        12 => (IpAddr::from(*addresses.first_chunk::<4>()?), addresses.get(8..10)?),
        36 => (IpAddr::from(*addresses.first_chunk::<16>()?), addresses.get(32..34)?),
        _ => return None,
    };
    Some(SocketAddr::new(ip.to_canonical(), u16::from_be_bytes([port[0], port[1]])))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn made(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut out = SIGNATURE.to_vec();
        out.extend([command, family]);
        out.extend((rest.len() as u16).to_be_bytes());
        out.extend(rest);
        out
    }

    #[test]
    fn headers() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x9c, 0x40, 0x1f, 0x90];
        let v6: Vec<u8> = [Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7), Ipv6Addr::LOCALHOST]
            .iter()
            .flat_map(Ipv6Addr::octets)
            .chain([0x9c, 0x40, 0x1f, 0x90])
            .collect();
        let mapped: Vec<u8> = [Ipv4Addr::new(192, 0, 2, 8).to_ipv6_mapped(), Ipv6Addr::LOCALHOST]
            .iter()
            .flat_map(Ipv6Addr::octets)
            .chain([0; 4])
            .collect();
        let with_tlv = [&v4[..], &[0x04, 0, 2, 1, 2]].concat();
        for (bytes, expected) in [
            (made(0x21, 0x11, &v4), Ok(Some("192.0.2.7:40000"))),
            (made(0x21, 0x11, &with_tlv), Ok(Some("192.0.2.7:40000"))),
            (made(0x21, 0x21, &v6), Ok(Some("[2001:db8::7]:40000"))),
            (made(0x21, 0x21, &mapped), Ok(Some("192.0.2.8:0"))),
            // LOCAL: the addresses are to be ignored.
            (made(0x20, 0x00, &[]), Ok(None)),
            (made(0x20, 0x11, &v4), Ok(None)),
            // Unspecified, a datagram, a socket of Unix.
            (made(0x21, 0x00, &[]), Err("does not say")),
            (made(0x21, 0x12, &v4), Err("does not say")),
            (made(0x21, 0x31, &[0; 216]), Err("does not say")),
            (made(0x22, 0x11, &v4), Err("version or command")),
            (made(0x11, 0x11, &v4), Err("version or command")),
            (made(0x21, 0x11, &v4[..11]), Err("too short")),
            (made(0x21, 0x21, &v4), Err("too short")),
            (made(0x21, 0x11, &[0; 500]), Err("longer")),
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Err("does not begin")),
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(), Err("does not begin")),
        ] {
            match (header(&bytes, 512), expected) {
                (Step::Item(address, len), Ok(expected)) => {
                    assert_eq!(address, expected.map(|text| text.parse().unwrap()));
                    assert_eq!(len, bytes.len());
                }
                (Step::Fault(fault), Err(part)) => assert!(fault.reason.contains(part), "{fault:?}"),
                (other, expected) => panic!("{other:?}, expected {expected:?} of {bytes:?}"),
            }
        }
    }

    proptest! {
        /// Every prefix of a header wants more, or has the fault of the whole; what follows changes nothing.
        #[test]
        fn splits_do_not_matter(
            (command, family) in (prop::sample::select(&[0x20_u8, 0x21, 0x22]), any::<u8>()),
            rest in prop::collection::vec(any::<u8>(), 0..80),
            behind in prop::collection::vec(any::<u8>(), 0..40),
            broken in prop::option::of((0..16_usize, any::<u8>())),
        ) {
            let mut bytes = made(command, family, &rest);
            if let Some((at, byte)) = broken {
                bytes[at] = byte;
            }
            bytes.extend(behind);
            let whole = header(&bytes, 64);
            for end in 0..bytes.len() {
                let part = header(&bytes[..end], 64);
                prop_assert!(part == Step::More || part == whole, "{part:?} and {whole:?} at {end}");
                if let Step::Item(_, len) = part {
                    prop_assert!(len <= end);
                }
            }
        }
    }
}

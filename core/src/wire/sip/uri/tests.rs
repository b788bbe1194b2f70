use super::*;

fn uri(text: &str) -> Uri {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn uris() {
    // secure, user, host, port, number of parameters, headers
    let check = |text: &str, expected: (bool, Option<&str>, &str, Option<u16>, usize, Option<&str>)| {
        let uri = uri(text);
        let Uri { secure, user, host, port, params, headers } = &uri;
        assert_eq!(
            (*secure, user.as_deref(), &**host, *port, params.len(), headers.as_deref()),
            expected,
            "{text}"
        );
        let (scheme, rest) = text.split_once(':').unwrap();
        assert_eq!(uri.to_string(), format!("{}:{rest}", scheme.to_ascii_lowercase()));
    };
    check("sip:bill@example.com", (false, Some("bill"), "example.com", None, 0, None));
    check("SIPS:example.com:5071", (true, None, "example.com", Some(5071), 0, None));
    check("sip:a:secret@127.0.0.1;lr", (false, Some("a:secret"), "127.0.0.1", None, 1, None));
    check(
        "sip:+1;phone=x@[2001:db8::1]:5060",
        (false, Some("+1;phone=x"), "2001:db8::1", Some(5060), 0, None),
    );
    check("sip:a?b/c@d_e.", (false, Some("a?b/c"), "d_e.", None, 0, None));
    check(
        "sip:a@b;transport=tcp;x=%20y?Subject=z&To=",
        (false, Some("a"), "b", None, 2, Some("Subject=z&To=")),
    );
    check("sip:%61%00@b", (false, Some("%61%00"), "b", None, 0, None));
    assert_eq!(uri("sip:a;Transport=TCP;lr").param("transport"), Some("TCP"));
    assert_eq!(uri("sip:a;Transport=TCP;lr").param("LR"), Some(""));
    assert_eq!(uri("sip:a").param("lr"), None);
}

#[test]
fn what_is_no_uri() {
    let check = |text: &str, part: &str| match text.parse::<Uri>() {
        Ok(uri) => panic!("{text} was taken: {uri:?}"),
        Err(Malformed(reason)) => assert!(reason.contains(part), "{text}: {reason}"),
    };
    check("", "no scheme");
    check("bill", "no scheme");
    check("tel:+1", "neither sip nor sips");
    check("sip:", "host");
    check("sip:@b", "user");
    check("sip:a@", "host");
    check("sip:a@b@c", "user");
    check("sip:a%2@b", "user");
    check("sip:a%zz@b", "user");
    check("sip:a#b@c", "user");
    check("sip:a b@c", "white space");
    check("sip:\u{e9}@c", "must be escaped");
    check("sip:a@b c", "white space");
    check("sip:a@b :1", "white space");
    check("sip:a@b:", "host");
    check("sip:a@b:0", "host");
    check("sip:a@b:65536", "host");
    check("sip:a@b:+1", "host");
    check("sip:a@2001:db8::1", "host");
    check("sip:a@[2001:db8::1", "host");
    check("sip:a@[::g]", "host");
    check("sip:a@[::1]5060", "host");
    check("sip:a@b;", "parameter");
    check("sip:a@b;=c", "parameter");
    check("sip:a@b;c=", "parameter");
    check("sip:a@b;c=d=e", "parameter");
    check("sip:a@b?", "headers");
    check("sip:a@b?c", "headers");
}

/// RFC 3261 section 19.1.4: its own examples.
#[test]
fn sameness() {
    let check = |a: &str, b: &str, expected: bool| {
        assert_eq!(uri(a).is_same(&uri(b)), expected, "{a} {b}");
        assert_eq!(uri(b).is_same(&uri(a)), expected, "{b} {a}");
    };
    check("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true);
    check("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true);
    check("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on", true);
    check(
        "sip:biloxi.com;transport=tcp;method=REGISTER",
        "sip:biloxi.com;method=REGISTER;transport=tcp",
        true,
    );
    check(
        "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        true,
    );
    check("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false);
    check("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false);
    check("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false);
    check("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false);
    check("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false);
    check("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false);
    check("sip:carol@chicago.com;security=off", "sip:carol@chicago.com;security=on", false);
    check("sip:a@b", "sips:a@b", false);
    check("sip:a%3bb@c", "sip:a%3Bb@c", true);
    check("sip:a%3Bb@c", "sip:a;b@c", false);
    check("sip:[::1]", "sip:[0:0::1]", true);
}

#[test]
fn names_and_addresses() {
    let check = |text: &str, display: Option<&str>, uri: &str, tag: Option<&str>, again: &str| {
        let address: NameAddr = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((address.display.as_deref(), &*address.uri, address.tag()), (display, uri, tag), "{text}");
        assert_eq!(address.to_string(), again);
        assert_eq!(address.to_string().parse(), Ok(address));
    };
    check("<sip:a@b>;tag=1", None, "sip:a@b", Some("1"), "<sip:a@b>;tag=1");
    check("sip:a@b;tag=1", None, "sip:a@b", Some("1"), "<sip:a@b>;tag=1");
    check("<sip:a@b;x=1?c=d> ; TAG = 1", None, "sip:a@b;x=1?c=d", Some("1"), "<sip:a@b;x=1?c=d>;TAG=1");
    check("A B<tel:+1>", Some("A B"), "tel:+1", None, "\"A B\" <tel:+1>");
    check(
        r#""a \"b\\ <c>, d" <sip:e>"#,
        Some(r#"a "b\ <c>, d"#),
        "sip:e",
        None,
        r#""a \"b\\ <c>, d" <sip:e>"#,
    );
    check(
        "O'Brien (J\u{f6}rg) <sip:e>",
        Some("O'Brien (J\u{f6}rg)"),
        "sip:e",
        None,
        "\"O'Brien (J\u{f6}rg)\" <sip:e>",
    );
    check("\"\" <sip:e>", None, "sip:e", None, "<sip:e>");
    check("sip:e;x=\"<;>\"", None, "sip:e", None, "<sip:e>;x=\"<;>\"");
    let contact: NameAddr = "<sip:a>;+sip.instance=\"<urn:uuid:1>\";q=0.5;lr".parse().unwrap();
    assert_eq!(contact.param("+sip.instance").as_deref(), Some("<urn:uuid:1>"));
    assert_eq!((contact.param("Q").as_deref(), contact.param("lr").as_deref()), (Some("0.5"), Some("")));
}

#[test]
fn what_is_no_name_and_address() {
    let check = |text: &str, part: &str| match text.parse::<NameAddr>() {
        Ok(address) => panic!("{text} was taken: {address:?}"),
        Err(Malformed(reason)) => assert!(reason.contains(part), "{text}: {reason}"),
    };
    check("", "URI");
    check("*", "URI");
    check("a@b", "URI");
    check("<a@b>", "URI");
    check("<>", "URI");
    check("< sip:a>", "URI");
    check("<sip:a b>", "URI");
    check("<sip:a", "bracket");
    check("\"a <sip:b>", "quotes");
    check("\"a\" sip:b", "angle brackets");
    check("a, b <sip:c>", "name");
    check("sip:a?b=c", "question mark");
    check("sip:a,sip:b", "comma");
    check("<sip:a>x", "parameter");
    check("<sip:a>;", "parameter");
    check("<sip:a>;;x", "parameter");
    check("<sip:a>;x=", "parameter");
    check("<sip:a>;x=\"y", "parameter");
    check("<sip:a>;x=\"y\"z", "parameter");
    check("<sip:a>;x=y z", "parameter");
}

#[test]
fn hops() {
    let check =
        |text: &str, transport: &str, host: &str, port: Option<u16>, branch: Option<&str>, again: &str| {
            let via: Via = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (&*via.transport, &*via.host, via.port, via.branch()),
                (transport, host, port, branch),
                "{text}"
            );
            assert_eq!(via.to_string(), again);
        };
    let plain = "SIP/2.0/UDP 127.0.0.1:5181;rport;branch=z9hG4bK7d1f0c2a";
    check(plain, "UDP", "127.0.0.1", Some(5181), Some("z9hG4bK7d1f0c2a"), plain);
    check(
        "sip / 2.0\t/ TLS  [::1] : 5061 ; branch = 1",
        "TLS",
        "::1",
        Some(5061),
        Some("1"),
        "SIP/2.0/TLS [::1]:5061;branch=1",
    );
    check(
        "SIP/2.0/UDP a;received=2001:db8::9:255",
        "UDP",
        "a",
        None,
        None,
        "SIP/2.0/UDP a;received=2001:db8::9:255",
    );
    for bad in [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0 a",
        "HTTP/2.0/UDP a",
        "SIP/2.0/UDP a b",
        "SIP/2.0/UDP ;branch=1",
        "SIP/2.0/UDP a;;",
        "SIP/2.0/U P a",
    ] {
        assert!(bad.parse::<Via>().is_err(), "{bad}");
    }
}

#[test]
fn received_and_rport_are_set_in_their_place() {
    let mut via: Via = "SIP/2.0/UDP a;rport;branch=1".parse().unwrap();
    via.set("rport", "5070");
    via.set("received", "::1");
    assert_eq!(via.to_string(), "SIP/2.0/UDP a;rport=5070;branch=1;received=::1");
    assert_eq!(via.param("RPORT").as_deref(), Some("5070"));
}

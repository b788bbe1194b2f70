use super::super::carrier::Carrier;
use super::super::{XML, event_name};
use super::*;
use crate::wire::xml::tree::{Node, tree};

const SUMMARY: &str =
    "Messages-Waiting: yes\r\nMessage-Account: sip:alice@example.test\r\nVoice-Message: 2/8 (0/2)\r\n";

fn check(package: Package, document: &str, expected: &str) {
    let mut instance = Instance::of(package);
    assert_eq!(instance.take(document), expected, "{document}");
    assert_eq!(instance.shown(), document, "the body is kept as it came");
}

#[test]
fn message_summaries() {
    let check = |document: &str, expected: &str| check(Package::MessageSummary, document, expected);
    check(
        SUMMARY,
        "changed\nsip.message_summary account/sip:alice@example.test account=\"sip:alice@example.test\" waiting=true \
        new=2 old=8 urgent_new=0 urgent_old=2",
    );
    check("Messages-Waiting: no\r\n", "changed\nsip.message_summary - waiting=false");
    check(
        "messages-waiting:YES\nVoice-Message : 1 / 0\nFax-Message: 5/5\nX: y\n",
        "changed\nsip.message_summary - waiting=true new=1 old=0 urgent_new=0 urgent_old=0",
    );
    check(
        "Messages-Waiting: yes\r\nFax-Message: 1/2 (1/0)\r\nText-Message: 3/4\r\n\r\nSubject: hi\r\n",
        "changed\nsip.message_summary - waiting=true new=4 old=6 urgent_new=1 urgent_old=0",
    );
    for broken in [
        "Voice-Message: 2/8\r\n",
        "Messages-Waiting: perhaps\r\n",
        "Messages-Waiting: yes\r\nVoice-Message: many\r\n",
        "Messages-Waiting: yes\r\nVoice-Message: 1/2 (3/4\r\n",
        "Messages-Waiting: yes\r\nVoice-Message: -1/2\r\n",
    ] {
        check(broken, "changed unreadable");
    }
    let mut instance = Instance::of(Package::MessageSummary);
    instance.take(SUMMARY);
    assert_eq!(instance.take(SUMMARY), "same");
}

#[test]
fn presence() {
    let pidf = |inner: &str| {
        format!(
            "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
            xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" entity=\"pres:alice@x\">{inner}</presence>"
        )
    };
    let tuple = |basic: &str, note: &str| {
        format!(
            "<tuple id=\"t\"><status><basic>{basic}</basic></status><contact>sip:a@x</contact>{note}</tuple>"
        )
    };
    let facts =
        |rest: &str| format!("changed\nsip.presence entity/pres:alice@x entity=\"pres:alice@x\"{rest}");
    let unreadable = "<presence entity=\"pres:alice@x\"/>";
    check(Package::Presence, unreadable, "changed unreadable");
    let check = |inner: &str, rest: &str| check(Package::Presence, &pidf(inner), &facts(rest));
    check("", "");
    check(&tuple("closed", ""), " status=\"closed\"");
    check(
        &tuple(" open\n", "<note xml:lang=\"en\">At &lt;home&gt;</note>"),
        " status=\"open\" note=\"At <home>\"",
    );
    let closed = tuple("closed", "<note>away</note>");
    let open = tuple("open", "<note>here</note>");
    check(&(closed.clone() + &open), " status=\"open\" note=\"here\"");
    check(&(closed.clone() + "<note>own</note>"), " status=\"closed\" note=\"own\"");
    check(
        "<tuple id=\"t\"><status/></tuple><dm:person id=\"p\"><dm:note>busy</dm:note></dm:person>",
        " note=\"busy\"",
    );
    // Asterisk 16.28 has both.
    check(
        "<dm:person><status/></dm:person><note>Ready</note><tuple id=\"100\"><contact priority=\"1\">sip:100@x\
        </contact><status><basic>open</basic></status></tuple>",
        " status=\"open\" note=\"Ready\"",
    );
}

/// The example of RFC 6035 section 4.7.1, shortened.
#[test]
fn voice_quality() {
    let report = "VQSessionReport: CallTerm\r\nCallID: 6dg37f1890463\r\nLocalID: Alice <sip:alice@example.org>\r\n\
        RemoteID: Bill <sip:bill@example.net>\r\nOrigID: Alice <sip:alice@example.org>\r\n\
        LocalAddr: IP=10.10.1.100 PORT=5000 SSRC=2468abcd\r\n\
        LocalMetrics:\r\nTimestamps:START=2004-10-10T18:23:43Z STOP=2004-10-01T18:26:02Z\r\n\
        SessionDesc:PT=18 PD=G729 SR=8000 FD=20 FO=20 FPP=2 PPS=50\r\n\tFMTP=\"annexb=no\" PLC=3 SSUP=on\r\n\
        PacketLoss:NLR=5.0 JDR=02\r\nSignal: SL=-18 NL=?\r\nQualityEst:MOSLQ=4.2 QoEEstAlg=P.564\r\n\
        RemoteMetrics:\r\nPacketLoss:NLR=1e1 JDR=2.0\r\n\
        DialogID:1890463548@alice.example.org;to-tag=8472761;from-tag=9123dh311\r\n";
    let facts = "changed report\nsip.vq_rtcpxr call/6dg37f1890463 call_id=\"6dg37f1890463\" report=\"VQSessionReport\" \
        CallTerm=true LocalID=\"Alice <sip:alice@example.org>\" RemoteID=\"Bill <sip:bill@example.net>\" \
        OrigID=\"Alice <sip:alice@example.org>\" LocalAddr=\"IP=10.10.1.100 PORT=5000 SSRC=2468abcd\" \
        START=\"2004-10-10T18:23:43Z\" STOP=\"2004-10-01T18:26:02Z\" PT=18 PD=\"G729\" SR=8000 FD=20 FO=20 FPP=2 \
        PPS=50 FMTP=\"annexb=no\" PLC=3 SSUP=\"on\" NLR=5.0 JDR=\"02\" SL=-18 NL=\"?\" MOSLQ=4.2 QoEEstAlg=\"P.564\" \
        RemoteNLR=1e1 RemoteJDR=2.0 DialogID=\"1890463548@alice.example.org;to-tag=8472761;from-tag=9123dh311\"";
    let check = |document: &str, expected: &str| check(Package::VqRtcpxr, document, expected);
    check(report, facts);
    check(
        "VQAlertReport: Type=NLR Severity=Critical Dir=local\r\nCallID: 1\r\n",
        "changed report\nsip.vq_rtcpxr call/1 call_id=\"1\" report=\"VQAlertReport\" Type=\"NLR\" \
        Severity=\"Critical\" Dir=\"local\"",
    );
    check("VQIntervalReport:\r\n", "changed report\nsip.vq_rtcpxr - report=\"VQIntervalReport\"");
    check("VQReport:\r\nCallID: 1\r\n", "changed unreadable report");
    check("hello", "changed unreadable report");
    // Each report counts, whatever the one before said.
    let mut instance = Instance::of(Package::VqRtcpxr);
    instance.take(report);
    assert_eq!(instance.take(report), facts);
    let many: String = (0..500).map(|n| format!("P{n}=1 ")).collect();
    let many = format!("VQIntervalReport:\r\nLocalMetrics:\r\nDelay:{many}\r\n");
    let taken = instance.take_as("application/vq-rtcpxr", many.as_bytes(), false);
    assert_eq!(taken.items[0].facts.len(), 128);
}

fn carried<'a>(body: &'a Body) -> Carrier<'a> {
    let carrier = body.carrier();
    // What stands in a document is read from it again as it was.
    let mut document = b"<instance xmlns=\"urn:around\" xmlns:p=\"urn:p\">".to_vec();
    body.write("urn:sep", &mut document);
    document.extend_from_slice(b"</instance>");
    let root = tree(&document, XML).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&document)));
    let [Node::Element(inner)] = &root.children[..] else {
        assert!(matches!(carrier, Carrier::Element(_)), "{root:?}");
        return carrier;
    };
    let text = inner.children.first().map_or("", |node| match node {
        Node::Text(text) => text.as_str(),
        Node::Element(_) => "",
    });
    match &carrier {
        Carrier::Element(element) => {
            let alone = tree(element.as_bytes(), XML).unwrap();
            assert_eq!(*inner, alone);
            return carrier;
        }
        Carrier::Text(expected) => {
            assert_eq!((inner.attribute("encoding"), text), (Some("text"), &**expected))
        }
        Carrier::Base64(expected) => {
            assert_eq!((inner.attribute("encoding"), text), (Some("base64"), &**expected));
        }
    }
    assert!(inner.is("urn:sep", "body") && inner.attribute("type") == Some(&*body.content_type));
    carrier
}

fn check_carrier(content_type: &str, bytes: &[u8], expected: Carrier<'_>) {
    let body = Body { content_type: content_type.into(), bytes: bytes.into() };
    assert_eq!(carried(&body), expected, "{content_type} {}", String::from_utf8_lossy(bytes));
}

#[test]
fn s27_text_is_carried_as_text_and_bytes_as_base64() {
    let text = |content: &'static str| Carrier::Text(content.into());
    let kind = "application/simple-message-summary";
    check_carrier(kind, SUMMARY.as_bytes(), Carrier::Text(SUMMARY.replace("\r\n", "\n").into()));
    check_carrier(kind, b"a]]>b]]]>>]]", text("a]]>b]]]>>]]"));
    check_carrier(kind, b"]]>", text("]]>"));
    check_carrier(kind, b"a\rb\tc &amp; <d> \xc3\xa9", text("a\nb\tc &amp; <d> \u{e9}"));
    check_carrier(kind, b"", text(""));
    check_carrier("text/plain; x=\"<&>\"", b"a", text("a"));
    check_carrier(kind, b"a\0", Carrier::Base64("YQA=".into()));
    check_carrier(kind, b"\x1b", Carrier::Base64("Gw==".into()));
    check_carrier(kind, b"\xff\xfe", Carrier::Base64("//4=".into()));
    check_carrier(kind, "\u{ffff}".as_bytes(), Carrier::Base64("77+/".into()));
    let body = Body { content_type: kind.into(), bytes: b"1]]>2\r\n".as_slice().into() };
    let mut out = Vec::new();
    body.write("http://voip.co.uk/api/sep/2009-06", &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "<body xmlns=\"http://voip.co.uk/api/sep/2009-06\" type=\"application/simple-message-summary\" \
        encoding=\"text\"><![CDATA[1]]]]><![CDATA[>2\n]]></body>"
    );
}

#[test]
fn s28_xml_stands_as_an_element_and_broken_xml_is_carried_in_base64() {
    let element = |content: &'static str| Carrier::Element(content.into());
    let kind = "application/reginfo+xml; charset=UTF-8";
    let plain = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<a xmlns=\"u\">&#10;<b/></a>\r\n";
    check_carrier(kind, plain, element("<a xmlns=\"u\">&#10;<b/></a>"));
    check_carrier(kind, b"\xEF\xBB\xBF<a xmlns='u'/>", element("<a xmlns='u'/>"));
    check_carrier(
        kind,
        b"<!-- c --><p:a xmlns:p='v' xmlns=''/>",
        element("<!-- c --><p:a xmlns:p='v' xmlns=''/>"),
    );
    // Without a default namespace it must not fall into that of what is around it.
    check_carrier("text/xml", b"<?xml version='1.0'?> <a b='1'/>", element("<a xmlns=\"\" b='1'/>"));
    check_carrier(
        "APPLICATION/XML",
        b"<p:a\n xmlns:p='v'><b/></p:a>",
        element("<p:a xmlns=\"\"\n xmlns:p='v'><b/></p:a>"),
    );
    check_carrier(
        kind,
        b"<?xml-stylesheet x?><\xc3\xa9/>",
        element("<?xml-stylesheet x?><\u{e9} xmlns=\"\"/>"),
    );
    for broken in [
        &b"<a>"[..],
        b"<!DOCTYPE a><a/>",
        b"<a>\xff</a>",
        b"<p:a/>",
        b"<?xml version='1.0' encoding='ISO-8859-1'?><a/>",
        b"",
        b"text",
    ] {
        check_carrier(kind, broken, Carrier::Base64(data_encoding::BASE64.encode(broken)));
    }
    // Whatever its package, it is shown, counted, and no state is made of it.
    for package in [Package::Reg, Package::Dialog, Package::Presence] {
        let mut instance = Instance::of(package);
        let kind = package.accept().unwrap();
        for broken in [&b"<reginfo"[..], b"<!DOCTYPE a><a/>", b"\xff"] {
            assert_eq!(told(&instance.take_as(kind, broken, true)), "changed unreadable");
            assert_eq!(&*instance.held.as_ref().unwrap().bytes, broken);
            assert_eq!(told(&instance.take_as(kind, broken, false)), "same unreadable");
        }
        assert_eq!(instance.take("<a/>"), "changed unreadable", "another document");
    }
}

#[test]
fn s29_an_empty_body_leaves_the_state_as_it_is() {
    for (package, body) in [
        (Package::MessageSummary, SUMMARY),
        (Package::Reg, "<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"0\" state=\"full\"/>"),
        (Package::Presence, "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"pres:a@x\"/>"),
        (Package::VqRtcpxr, "VQIntervalReport:\r\n"),
    ] {
        let mut instance = Instance::of(package);
        assert_eq!((told(&instance.take_as("", b"", true)), &instance.held), ("same".to_owned(), &None));
        instance.take(body);
        let held = instance.held.clone();
        assert_eq!((told(&instance.take_as("", b"", true)), instance.held), ("same".to_owned(), held));
    }
}

#[test]
fn other_types_and_packages_are_carried() {
    let mut instance = Instance::of(Package::Reg);
    assert_eq!(told(&instance.take_as("text/plain", b"hello", true)), "changed");
    assert_eq!(told(&instance.take_as("text/plain", b"hello", false)), "same");
    assert_eq!(told(&instance.take_as("text/html", b"hello", false)), "changed");
    // A table begins anew after it.
    let table = "<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"3\" state=\"partial\"/>";
    assert_eq!(instance.take(table), "changed refresh");
    let mut instance = Instance::of(Package::Other);
    assert_eq!(told(&instance.take_as("application/conference-info+xml", b"<c/>", true)), "changed");
    // A body without a type has its package's.
    let mut instance = Instance::of(Package::MessageSummary);
    instance.take_as("", SUMMARY.as_bytes(), true);
    assert_eq!(&*instance.held.unwrap().content_type, "application/simple-message-summary");
}

#[test]
fn packages() {
    for (event, package, name, accept, expires_s, forks) in [
        ("reg", Package::Reg, "reg", Some("application/reginfo+xml"), 3761, false),
        ("dialog", Package::Dialog, "dialog", Some("application/dialog-info+xml"), 3600, true),
        (
            "message-summary",
            Package::MessageSummary,
            "message-summary",
            Some("application/simple-message-summary"),
            3600,
            true,
        ),
        ("presence", Package::Presence, "presence", Some("application/pidf+xml"), 3600, false),
        ("vq-rtcpxr", Package::VqRtcpxr, "vq-rtcpxr", Some("application/vq-rtcpxr"), 3600, false),
        ("rtcp-stats", Package::VqRtcpxr, "vq-rtcpxr", Some("application/vq-rtcpxr"), 3600, false),
        ("conference", Package::Other, "conference", None, 3600, false),
    ] {
        assert_eq!((Package::of(event), event_name(event)), (package, name));
        assert_eq!(
            (package.accept(), package.default_expires_s(), package.takes_forks()),
            (accept, expires_s, forks)
        );
    }
}

#[test]
fn bodies_come_back_from_the_log() {
    for bytes in [&b""[..], b"<a b=\"1\">\n</a>", b"\xff\0\"", "\u{1f600}".as_bytes()] {
        let body = Body { content_type: "x/y; z=\"1\"".into(), bytes: bytes.into() };
        let kept = serde_json::to_string(&body).unwrap();
        assert_eq!(serde_json::from_str::<Body>(&kept).unwrap(), body, "{kept}");
    }
}

/// Merging would look through a whole row again for each of its namesakes.
#[test]
fn rows_that_share_an_id_make_a_document_unreadable() {
    let twice = "<registration id='a' aor='sip:a@b' state='active'/>".repeat(2);
    let contacts = "<contact id='1' state='active' event='created'><uri>sip:a@c</uri></contact>".repeat(2);
    for rows in
        [twice, format!("<registration id='a' aor='sip:a@b' state='active'>{contacts}</registration>")]
    {
        let document = format!(
            "<reginfo xmlns='urn:ietf:params:xml:ns:reginfo' version='0' state='full'>{rows}</reginfo>"
        );
        check(Package::Reg, &document, "changed unreadable");
    }
}

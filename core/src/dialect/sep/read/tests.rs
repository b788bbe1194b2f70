use super::*;

const NOW: &str = "2026-01-01T00:00:00Z";

fn config() -> Config {
    let mut config = Config::default();
    config.limits.sep_entries = 3;
    config.limits.sep_accepts = 2;
    config.outbox.allow_private = vec!["10.1.0.0/16".parse().unwrap()];
    config
}

fn made(document: &str) -> Result<Made, Refusal> {
    let asked = xml(document.as_bytes(), &config().limits)?;
    asked.made(Uuid::nil(), Wall::from_rfc3339(NOW).unwrap(), &config())
}

/// A document with these attributes and children of its root.
fn subscribe(attributes: &str, children: &str) -> String {
    format!("<?xml version=\"1.0\"?>\n<subscribe xmlns=\"{NAMESPACE}\" {attributes}>{children}</subscribe>")
}

fn list(inner: &str) -> String {
    format!("<resource-lists xmlns=\"{RESOURCE_LISTS}\"><list>{inner}</list></resource-lists>")
}

const BILL: &str = "<entry uri=\"sip:bill@example.com\"/>";

#[track_caller]
fn check(document: &str, status: u16, words: &[&str]) {
    let refusal = made(document).expect_err(document);
    assert_eq!(refusal.status, status, "{document}: {}", refusal.text);
    for word in words {
        assert!(refusal.text.contains(word), "{document}: {word}: {}", refusal.text);
    }
}

#[test]
fn s1_the_page_s_example() {
    let document = "<?xml version=\"1.0\"?>

<subscribe xmlns=\"http://voip.co.uk/api/sep/2009-06\" event=\"reg\">

  <resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\">
     <list>
       <entry uri=\"sip:bill@example.com\" />
       <entry uri=\"sip:joe@example.org\" />
       <entry uri=\"sip:ted@example.net\" />
     </list>
   </resource-lists>

  <notify url=\"http://my.server.com/callback?xxx=yyy\"/>
  <expires>2026-01-01T18:00:00+00:00</expires>

  <accept>application/reginfo+xml</accept>

</subscribe>";
    let made = made(document).unwrap();
    let uris: Vec<&str> = made.entries.iter().map(|entry| &*entry.uri).collect();
    assert_eq!(uris, ["sip:bill@example.com", "sip:joe@example.org", "sip:ted@example.net"]);
    assert_eq!((&*made.event, made.multipart), ("reg", false));
    assert_eq!(made.notify.as_deref(), Some("http://my.server.com/callback?xxx=yyy"));
    assert_eq!(made.expires.to_rfc3339(), "2026-01-01T18:00:00.000Z");
    assert_eq!(made.accept, ["application/reginfo+xml".into()]);
}

#[test]
fn s6_lists_are_flattened_and_each_uri_taken_once() {
    let uris = |inner: &str| {
        let made = made(&subscribe("event='reg'", &list(inner)))?;
        Ok::<_, Refusal>(made.entries.into_iter().map(|e| (e.uri, e.name)).collect::<Vec<_>>())
    };
    let inner = "<entry uri='sip:a@b'><display-name>Al &amp; Bea</display-name></entry>
        <list name='x'><entry uri='sips:c@d:5061;transport=tcp'/><list><entry uri='sip:a@B'/></list></list>
        <entry uri='sip:%61@b'/><entry uri='sip:e@f'/>";
    let expected = [("sip:a@b", Some("Al & Bea")), ("sips:c@d:5061;transport=tcp", None), ("sip:e@f", None)];
    let expected = expected.map(|(uri, name)| (Box::from(uri), name.map(Box::from)));
    assert_eq!(uris(inner).unwrap(), expected);
    for (inner, words) in [
        ("<entry uri='sip:a@b'/><entry-ref ref='x'/>", "entry-ref"),
        ("<list><external anchor='x'/></list>", "external"),
        ("<entry uri='tel:+4930'/>", "tel:+4930"),
        ("<entry uri='http://a/'/>", "no SIP URI"),
        ("<entry uri='sip:a@b?Subject=c'/>", "has headers"),
        (&*format!("<entry uri='sip:{}@b'/>", "a".repeat(1_024)), "longer than 1024 bytes"),
        ("<entry uri='sip:'/>", "entry 1"),
        ("<entry/>", "no uri"),
        (
            "<entry uri='sip:1@b'/><entry uri='sip:2@b'/><entry uri='sip:3@b'/><entry uri='sip:4@b'/>",
            "at most 3",
        ),
    ] {
        check(&subscribe("event='reg'", &list(inner)), 422, &[words]);
    }
    for inner in ["", "<list/>", "<other><entry uri='sip:a@b'/></other>"] {
        check(&subscribe("event='reg'", &list(inner)), 400, &["no entry"]);
    }
    check(&subscribe("event='reg'", ""), 400, &["no entry"]);
}

#[test]
fn s7_s8_the_end() {
    let end = |event: &str, expires: &str| {
        let expires =
            if expires.is_empty() { String::new() } else { format!("<expires>{expires}</expires>") };
        let document = subscribe(&format!("event='{event}'"), &(list(BILL) + &expires));
        made(&document).map(|made| made.expires.to_rfc3339())
    };
    for (event, expires, expected) in [
        ("reg", "", "2026-01-01T01:02:41.000Z"),
        ("dialog", "", "2026-01-01T01:00:00.000Z"),
        ("reg", " 2026-01-01T02:00:00+02:00\n", ""),
        ("reg", "2026-01-01T02:00:01+02:00", "2026-01-01T00:00:01.000Z"),
        ("reg", "2026-01-01T02:00:00.5Z", "2026-01-01T02:00:00.500Z"),
        ("reg", "2026-01-08T00:00:00Z", "2026-01-08T00:00:00.000Z"),
        ("reg", "2036-01-01T00:00:00Z", "2026-01-08T00:00:00.000Z"),
        ("reg", "2026-01-01T00:00:00Z", ""),
        ("reg", "2009-06-01T18:00:00+00:00", ""),
        ("reg", "2026-01-02", ""),
        ("reg", "2026-01-02T00:00:00", ""),
        ("reg", "soon", ""),
    ] {
        match end(event, expires) {
            Ok(end) => assert_eq!(end, expected, "{expires}"),
            Err(refusal) => {
                assert_eq!((refusal.status, expected), (400, ""), "{expires}");
                assert!(refusal.text.contains("expires"), "{}", refusal.text);
            }
        }
    }
}

#[test]
fn packages_and_body_types() {
    for (event, accepts, expected) in [
        ("reg", "", Some(("reg", &["application/reginfo+xml"][..], false))),
        ("rtcp-stats", "", Some(("vq-rtcpxr", &["application/vq-rtcpxr"], false))),
        ("dialog", "multipart/related", Some(("dialog", &["application/dialog-info+xml"], true))),
        ("dialog", "application/rlmi+xml", Some(("dialog", &["application/dialog-info+xml"], true))),
        ("presence", "Text/Plain text/plain", Some(("presence", &["text/plain"], false))),
        ("x-own", "text/plain multipart/related", Some(("x-own", &["text/plain"], true))),
        ("x-own", "multipart/related", None),
        ("x-own", "", None),
        ("reg;id=7", "", None),
        ("", "", None),
        ("reg", "text", None),
        ("reg", "text/plain;q=1", None),
        ("reg", "a/b c/d e/f", None),
    ] {
        let accepts: String = accepts.split_whitespace().map(|a| format!("<accept>{a}</accept>")).collect();
        let got = made(&subscribe(&format!("event='{event}'"), &(accepts + &list(BILL))));
        match (got, expected) {
            (Ok(made), Some((name, types, multipart))) => {
                let got: Vec<&str> = made.accept.iter().map(|media| &**media).collect();
                assert_eq!((&*made.event, &got[..], made.multipart), (name, types, multipart));
            }
            (Err(refusal), None) => {
                let status = if event.is_empty() { 400 } else { 422 };
                assert_eq!(refusal.status, status, "{event}: {}", refusal.text);
            }
            (got, _) => panic!("{event}: {got:?}"),
        }
    }
}

#[test]
fn notify_urls() {
    let url = |url: &str| made(&subscribe("event='reg'", &(list(BILL) + &format!("<notify url='{url}'/>"))));
    for good in
        ["http://example.com/a?b=c", "https://example.com", "http://10.1.2.3/", "http://93.184.216.34:1/"]
    {
        assert_eq!(url(good).unwrap().notify.as_deref(), Some(good));
    }
    for (wrong, status, words) in [
        ("http://user@example.com/", 422, "credentials"),
        ("http://example.com/#x", 422, "fragment"),
        ("ftp://example.com/", 422, "http://"),
        ("", 422, "notify"),
        ("http://127.0.0.1/", 403, "loopback"),
        ("http://[::1]:8080/", 403, "allow_private"),
        ("http://10.2.0.1/", 403, "private"),
        ("http://169.254.169.254/latest", 403, "link-local"),
        ("http://[::ffff:192.168.0.1]/", 403, "private"),
    ] {
        let refusal = url(wrong).expect_err(wrong);
        assert!(refusal.status == status && refusal.text.contains(words), "{wrong}: {refusal:?}");
    }
    check(&subscribe("event='reg'", &(list(BILL) + "<notify/>")), 422, &["no url", "at byte"]);
}

#[test]
fn documents_that_say_something_else() {
    let whole = subscribe("event='reg'", &list(BILL));
    for (document, words) in [
        (String::new(), "no root"),
        ("<subscribe".to_owned(), "byte"),
        ("<subscribe event='reg'/>".to_owned(), "namespace \"\""),
        (whole.replace("2009-06", "2009-07"), "2009-07"),
        (whole.replace("subscribe", "subscription"), "<subscription>"),
        (whole.replace("?>\n", "?>\n<!DOCTYPE subscribe>"), "document type"),
        (whole.replace("</subscribe>", "<x:y/></subscribe>"), "x"),
        (whole.replace("bill", "&bill;"), "byte"),
        (subscribe("", &list(BILL)), "event"),
    ] {
        check(&document, 400, &[words]);
    }
    // The order is free, and what is not known is passed over, entries in it as well.
    let document = subscribe(
        "event='reg' xmlns:o='urn:other' o:event='dialog' colour='red'",
        &format!(
            "<o:notify url='x'/><later>2</later><accept>a/b</accept>{}<o:list><entry/></o:list>",
            list(BILL)
        ),
    );
    let made = made(&document).unwrap();
    assert_eq!((&*made.event, made.entries.len(), made.notify), ("reg", 1, None));
}

#[test]
fn s36_what_a_put_may_say() {
    let (now, config) = (Wall::from_rfc3339(NOW).unwrap(), config());
    let known = made(&subscribe("event='rtcp-stats'", &list(BILL))).unwrap();
    let known = Subscription::new(known, crate::ground::id::Seq(1));
    let put = |attributes: &str, children: &str| {
        let document = subscribe(attributes, children);
        xml(document.as_bytes(), &config.limits)?.put(&known, now, &config)
    };
    assert_eq!(put("", "").unwrap(), Put::default());
    let refreshed = put("event='vq-rtcpxr'", "<expires>2026-01-01T00:10:00Z</expires>").unwrap();
    assert_eq!(refreshed, Put { expires: Some(Wall(now.0 + 600_000)), ..Put::default() });
    assert_eq!(
        put("event='rtcp-stats'", "<accept>a/b</accept>").unwrap().accept,
        Some((vec!["a/b".into()], false))
    );
    for (attributes, children, status) in [
        ("event='reg'", "", 409),
        ("", "<expires>2009-06-01T18:00:00+00:00</expires>", 400),
        ("", "<notify url='http://127.0.0.1/'/>", 403),
        ("", "<notify url='x'/>", 422),
        ("", "<accept>x</accept>", 422),
        ("", &list(""), 400),
        ("", &list("<entry uri='x'/>"), 422),
    ] {
        assert_eq!(put(attributes, children).expect_err(children).status, status, "{attributes} {children}");
    }
}

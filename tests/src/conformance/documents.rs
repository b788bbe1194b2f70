//! XMS requests and their documents: every reply byte-exact in a transcript. Streams are in `streams`.

use super::QUIET;
use super::peer::{Peer, get, request};
use super::server::Subject;
use super::transcript::{Transcript, is_uuid};
use super::xms::{COLLECTION, create, delete, document, instance, post, put};

/// The id of the captured reply that ours are compared with.
const CAPTURED_ID: &str = "598ade4c-5dd5-4c4b-9a48-9e05a69da65a";

/// The body of a POST's reply as captured from a real server, 0x127 bytes.
const CAPTURED_POST: &str = "<web_service version=\"1.0\">\r\n\
    <eventhandler_response identifier=\"598ade4c-5dd5-4c4b-9a48-9e05a69da65a\" appid=\"app\" \
    href=\"/default/eventhandlers/598ade4c-5dd5-4c4b-9a48-9e05a69da65a\"\r\n>\r\n\
    <eventsubscribe type=\"any\" resource_id=\"any\" resource_type=\"any\"/>\r\n\
    </eventhandler_response>\r\n</web_service>\r\n";

/// X1, X2, X3, X9, X10, X11, X13, X15, X16: the life of an eventhandler, on one connection.
pub fn xms_documents(subject: &Subject) {
    let server = subject.server(QUIET);
    let peer = &mut Peer::connect(server.address);
    let mut t = Transcript::new("xms_documents");

    t.title("X15: an empty list");
    t.ask(peer, get(COLLECTION));
    t.title("X1, X2, X3: POST with <eventsubscribe /> alone");
    let created = t.ask(peer, post("<eventsubscribe />"));
    let text = created.text();
    let id = text.split('"').nth(3).unwrap().to_owned();
    assert!(is_uuid(&id) && id.len() == 36, "{id}");
    assert_eq!((CAPTURED_POST.len(), text.replace(&id, CAPTURED_ID).as_str()), (0x127, CAPTURED_POST));
    assert_eq!(
        created.field("Location"),
        Some(&*format!("http://localhost:8080/default/eventhandlers/{id}"))
    );

    t.title("X9: PUT appends and keeps what is there");
    let added = t.ask(peer, put(&id, "<eventsubscribe action=\"add\" type=\"end_play\"/>"));
    assert_eq!(added.raw_body.len(), 0x170);
    t.title("X9: a duplicate changes nothing");
    let again = t.ask(peer, put(&id, "<eventsubscribe type=\"end_play\" resource_id=\"any\"/>"));
    assert_eq!(again.text(), added.text());
    t.title("X10: remove takes out the one equal entry");
    t.ask(peer, put(&id, "<eventsubscribe action=\"remove\" type=\"end_play\"/>"));
    t.title("X10: remove of what is not there");
    t.ask(peer, put(&id, "<eventsubscribe action=\"remove\" type=\"end_play\" resource_type=\"call\"/>"));
    t.title("X11: one bad entry among good ones");
    t.ask(peer, put(&id, "<eventsubscribe type=\"hangup\"/><eventsubscribe type=\"nonsense\"/>"));
    t.title("X11: ... has changed nothing; X16: view=state");
    let state = t.ask(peer, get(&format!("{}&view=state", instance(&id))));
    assert_eq!(state.raw_body.len(), 0x125);
    t.title("X16: view=state for a client that takes anything, and for one that takes no XML");
    let view = format!("GET {}&view=state", instance(&id));
    t.ask(peer, request(&view, "Accept: text/html, application/*;q=0.5\r\n", ""));
    t.ask(peer, request(&view, "Accept: text/html\r\n", ""));
    t.title("another view is unknown");
    t.ask(peer, get(&format!("{}&view=full", instance(&id))));

    t.title("X15: the list, in the order of creation; a trailing slash is the same");
    let list = t.ask(peer, get(COLLECTION));
    assert_eq!(list.raw_body.len(), 0x19b);
    t.ask(peer, post("<eventsubscribe type=\"hangup\" resource_type=\"call\" resource_id=\"a&amp;b\"/>"));
    t.ask(peer, get("/default/eventhandlers/?appid=app"));
    t.title("a handler without subscriptions");
    t.ask(peer, post("<eventsubscribe action=\"remove\"/>"));
    t.title("ids are compared without regard to case");
    t.name(id.to_uppercase(), "ID 1");
    t.ask(peer, put(&id.to_uppercase(), "<eventsubscribe type=\"keepalive\" resource_type=\"mrcp\"/>"));

    t.title("X13: DELETE");
    let deleted = t.ask(peer, delete(&id));
    assert!(deleted.field("Content-Length").is_none() && deleted.field("Transfer-Encoding").is_none());
    t.title("X13: ... and again");
    t.ask(peer, delete(&id));
    t.title("a deleted handler has no stream and no state");
    t.ask(peer, get(&instance(&id)));
    t.ask(peer, get(&format!("{}&view=state", instance(&id))));
    t.check();
}

/// X4, X5, X6, X8, X36, X38: what clients send beside the plain document, and what is refused; the connection goes on.
pub fn xms_document_faults(subject: &Subject) {
    let server = subject.server(QUIET);
    let peer = &mut Peer::connect(server.address);
    let mut t = Transcript::new("xms_document_faults");
    let line = format!("POST {COLLECTION}");

    let full =
        document("<eventsubscribe action=\"add\" type=\"any\" resource_id=\"any\" resource_type=\"any\"/>");
    for content_type in ["text/xml;charset=UTF-8", "application/xml", "application/x-www-form-urlencoded"] {
        t.title(&format!("X4: {content_type}"));
        t.ask(peer, request(&line, &format!("Content-Type: {content_type}\r\n"), &full));
    }
    t.title("X5: declared UTF-16, sent as UTF-8, with namespaces; X6: an unknown child");
    t.ask(
        peer,
        request(
            &line,
            "Content-Type: text/xml\r\n",
            "<?xml version=\"1.0\" encoding=\"utf-16\"?>\r\n<web_service \
             xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\" \
             version=\"1.0\">\r\n  <eventhandler>\r\n    <webhooks url=\"http://192.0.2.1/\"/>\r\n    \
             <eventsubscribe type=\"hangup\" extra=\"1\"/>\r\n  </eventhandler>\r\n</web_service>",
        ),
    );
    t.title("X5: UTF-16 with a byte order mark, both ways round");
    for (mark, order) in [(0xFEFF_u16, u16::to_be_bytes as fn(u16) -> [u8; 2]), (0xFEFF, u16::to_le_bytes)] {
        let units =
            std::iter::once(mark).chain(document("<eventsubscribe/>").encode_utf16().collect::<Vec<_>>());
        let body: Vec<u8> = units.flat_map(order).collect();
        let reply = peer.ask(request(&line, "", body));
        t.reply(&reply);
    }
    t.title("X8: `;` between parameters, names and values percent-decoded");
    t.ask(peer, get("/default/eventhandlers?tag=x;app%69d=%61pp;appid=app"));

    for (title, body) in [
        ("X38: an empty body", String::new()),
        ("X38: XML that is not well-formed", "<web_service><eventhandler></web_service>".to_owned()),
        ("X38: a document type", format!("<!DOCTYPE x [<!ENTITY e \"v\">]>{full}")),
        ("nested too deeply", document(&"<a>".repeat(40))),
        ("a wrong root", "<web_services/>".to_owned()),
        ("no eventhandler", "<web_service version=\"1.0\"/>".to_owned()),
        ("no eventsubscribe", document("")),
        ("an unknown type", document("<eventsubscribe type=\"ring&lt;ing\"/>")),
        ("an unknown resource_type", document("<eventsubscribe resource_type=\"room\"/>")),
        ("an empty resource_id", document("<eventsubscribe resource_id=\"\"/>")),
        ("an unknown action", document("<eventsubscribe action=\"replace\"/>")),
        ("not UTF-8", document("<eventsubscribe resource_id=\"\u{fc}\"/>")),
    ] {
        t.title(title);
        let mut bytes = request(&line, "", &body);
        if title == "not UTF-8" {
            // The first byte of two is overwritten by one that starts nothing.
            let at = bytes.iter().position(|b| *b == 0xC3).unwrap();
            bytes[at] = 0xFF;
        }
        t.ask(peer, bytes);
    }
    t.title("X38: a body over 64 KiB (its 65,537 bytes are not shown)");
    let reply = peer.ask(request(&line, "", document(&" ".repeat(65_537 - document("").len()))));
    t.reply(&reply);
    t.title("X38: ... and a body of just 64 KiB");
    let mark = "<eventsubscribe/>";
    let body = document(&format!("{mark}{}", " ".repeat(65_536 - document(mark).len())));
    let reply = peer.ask(request(&line, "", body));
    t.reply(&reply);

    t.title("wrong methods, unknown addresses");
    t.ask(peer, request("PATCH /default/eventhandlers?appid=app", "", "x"));
    let id = create(peer, "<eventsubscribe/>");
    t.ask(peer, request(&format!("POST {}", instance(&id)), "", &full));
    t.ask(peer, get("/default/nothing?appid=app"));
    t.ask(peer, get("/default/eventhandlers/598ADE4C-5dd5-4c4b-9a48-9e05a69da65a?appid=app"));
    t.ask(peer, get("/default/eventhandlers/5?appid=app"));
    t.title("X36: what else clients ask for at their start");
    t.ask(peer, get("/default/calls?appid=app"));
    t.ask(peer, get("/default/conferences?appid=app"));
    t.ask(peer, request("POST /default/calls?appid=app", "", "<web_service/>"));
    t.ask(peer, request("POST /default/conferences?appid=app", "", "<web_service/>"));
    t.ask(peer, request("POST /default/mrcps?appid=app", "", "<web_service/>"));
    t.ask(peer, request("PUT /default/calls/7?appid=app", "", "<web_service/>"));
    t.ask(peer, request("DELETE /default/conferences/7?appid=app", "", ""));
    t.check();
}

/// X7, X15, X46: a client sees its own application alone, and from where it may.
pub fn xms_appids_and_addresses(subject: &Subject) {
    let config = "[xms]\napps = [\"app\", \"b c\"]\npublic_url = \"https://events.example.com:444\"\n\
                  [xms.app.closed]\nallow = [\"192.0.2.0/24\"]\n[xms.app.open]\nallow = [\"127.0.0.0/8\"]\n";
    let mut server = subject.server(config);
    let peer = &mut Peer::connect(server.address);
    let mut t = Transcript::new("xms_appids_and_addresses");
    t.title("Location is built from public_url");
    let created = t.ask(peer, post("<eventsubscribe/>"));
    let text = created.text();
    let id = text.split('"').nth(3).unwrap();
    t.title("X7: appid missing, empty, twice, unknown");
    t.ask(peer, get("/default/eventhandlers"));
    t.ask(peer, get("/default/eventhandlers?appid="));
    t.ask(peer, get("/default/eventhandlers?appid=app&appid=b%20c"));
    t.ask(peer, get("/default/eventhandlers?appid=nobody"));
    t.ask(peer, get("/default/eventhandlers?appid=%zz"));
    t.title("X7: another application's handler is as unknown as none; X15: the list is per appid");
    t.ask(peer, get("/default/eventhandlers?appid=b%20c"));
    for line in ["GET", "PUT", "DELETE"] {
        let target = format!("{line} /default/eventhandlers/{id}?appid=b%20c");
        let body = if line == "PUT" { document("<eventsubscribe/>") } else { String::new() };
        t.ask(peer, request(&target, "", body));
    }
    t.title("X46: an address outside the allow list, and one inside");
    t.ask(peer, get("/default/eventhandlers?appid=closed"));
    t.ask(peer, get("/default/eventhandlers?appid=open"));
    t.check();
    let line = server.wait_for("127.0.0.1 was refused");
    assert!(line.contains("[xms.app.closed] allow = [\"127.0.0.1\"] admits it"), "{line}");
}

/// An application that has all the handlers that it may have gets 503, until one is gone.
pub fn xms_full_applications(subject: &Subject) {
    let server = subject.server("[limits]\nxms_handlers_per_app = 2\n");
    let peer = &mut Peer::connect(server.address);
    let mut t = Transcript::new("xms_full_applications");
    let id = create(peer, "<eventsubscribe/>");
    create(peer, "<eventsubscribe/>");
    t.title("a third where two may be");
    t.ask(peer, post("<eventsubscribe/>"));
    assert_eq!(peer.ask(delete(&id)).status(), 204);
    t.title("after a DELETE there is room");
    t.ask(peer, post("<eventsubscribe/>"));
    t.check();
}

use super::*;

fn reginfo(version: u32, state: &str, rows: &str) -> String {
    let namespace = "urn:ietf:params:xml:ns:reginfo";
    format!("<reginfo xmlns=\"{namespace}\" version=\"{version}\" state=\"{state}\">{rows}</reginfo>")
}

fn registration(state: &str, contacts: &str) -> String {
    format!("<registration aor=\"sip:a@x\" id=\"r\" state=\"{state}\">{contacts}</registration>")
}

fn contact(id: &str, state: &str, event: &str) -> String {
    format!("<contact id=\"{id}\" state=\"{state}\" event=\"{event}\"><uri>sip:{id}@y</uri></contact>")
}

fn dialogs(version: u32, state: &str, rows: &[(&str, &str)]) -> String {
    let rows = rows.iter().map(|(id, state)| format!("<dialog id=\"{id}\"><state>{state}</state></dialog>"));
    let rows = rows.collect::<String>();
    let namespace = "urn:ietf:params:xml:ns:dialog-info";
    format!(
        "<dialog-info xmlns=\"{namespace}\" version=\"{version}\" state=\"{state}\" entity=\"sip:a@x\">{rows}</dialog-info>"
    )
}

/// The rows of what is shown: id and state.
fn rows(instance: &Instance) -> String {
    let document = instance.shown();
    assert!(document.contains(" state=\"full\""), "{document}");
    let row = |name: &str, at: usize| document[at..].starts_with(&format!("<{name} "));
    let starts = document.match_indices('<').map(|(at, _)| at);
    let starts = starts.filter(|at| row("contact", *at) || row("dialog", *at));
    let cut = |at: usize, from: &str, to: &str| {
        let rest = document[at..].split_once(from).unwrap().1;
        rest.split_once(to).unwrap().0.to_owned()
    };
    let state = |at: usize| {
        if row("contact", at) { cut(at, "state=\"", "\"") } else { cut(at, "<state>", "<") }
    };
    starts.map(|at| format!("{}:{} ", cut(at, "id=\"", "\""), state(at))).collect()
}

/// The notifier of RFC 3680 section 6: registered in full, then two partial documents.
#[test]
fn s24_reg_merges_partial_documents_and_shows_a_terminated_contact_once() {
    let mut reg = Instance::of(Package::Reg);
    let first = "<?xml version=\"1.0\"?>
        <reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"0\" state=\"full\">
          <registration aor=\"sip:joe@example.com\" id=\"a7\" state=\"init\" />
        </reginfo>";
    let joe = "sip.reg aor/sip:joe@example.com aor=\"sip:joe@example.com\"";
    assert_eq!(reg.take_first(first), format!("changed\n{joe} state=\"init\""));
    assert_eq!(
        reg.shown(),
        "<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"0\" state=\"full\">\
        <registration aor=\"sip:joe@example.com\" id=\"a7\" state=\"init\"/></reginfo>"
    );
    let registered = "<?xml version=\"1.0\"?>
        <reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"1\" state=\"partial\">
          <registration aor=\"sip:joe@example.com\" id=\"a7\" state=\"active\">
            <contact id=\"76\" state=\"active\" event=\"registered\" duration-registered=\"0\">
              <uri>sip:joe@pc34.example.com</uri>
            </contact>
          </registration>
        </reginfo>";
    let active = format!(
        "changed\n{joe} state=\"active\" contact_uri=\"sip:joe@pc34.example.com\" contact_state=\"active\" \
        event=\"registered\""
    );
    assert_eq!(reg.take(registered), active);
    let row = "<registration aor=\"sip:joe@example.com\" id=\"a7\" state=\"active\">\
        <contact id=\"76\" state=\"active\" event=\"registered\" duration-registered=\"0\">\
        <uri>sip:joe@pc34.example.com</uri></contact></registration>";
    assert_eq!(
        reg.shown(),
        format!(
            "<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"1\" state=\"full\">{row}</reginfo>"
        )
    );

    let mut reg = Instance::of(Package::Reg);
    let two = contact("1", "active", "registered") + &contact("2", "active", "registered");
    reg.take_first(&reginfo(4, "full", &registration("active", &two)));
    assert_eq!(rows(&reg), "1:active 2:active ");
    let ended = registration("active", &contact("1", "terminated", "expired"));
    let told = "changed\nsip.reg aor/sip:a@x aor=\"sip:a@x\" state=\"active\" contact_uri=\"sip:1@y\" \
        contact_state=\"terminated\" event=\"expired\"";
    assert_eq!(reg.take(&reginfo(5, "partial", &ended)), told);
    // The row is gone from its place, and the terminated one stands once.
    assert_eq!(rows(&reg), "1:terminated 2:active ");
    // Said again: nothing is new, and the version counts on.
    assert_eq!(reg.take(&reginfo(6, "partial", &ended)), "same");
    assert!(
        reg.take(&reginfo(7, "partial", &registration("active", &contact("3", "active", "created"))))
            .contains("sip:3@y")
    );
    assert_eq!(rows(&reg), "2:active 3:active ");
    let all = registration("terminated", &contact("2", "terminated", "unregistered"));
    assert_eq!(reg.take(&reginfo(8, "partial", &all)).matches("sip.reg").count(), 1);
    assert_eq!(rows(&reg), "2:terminated 3:active ");
    // The registration is gone with all that is in it, and may come again.
    reg.take(&reginfo(9, "partial", &registration("active", &contact("2", "active", "registered"))));
    assert_eq!(rows(&reg), "2:active ");
}

#[test]
fn s24_reg_versions() {
    let one = |state: &str| registration("active", &contact("1", state, "registered"));
    for (version, state, told) in [
        (3, "partial", "same refresh"),
        (4, "partial", "same"),
        (5, "partial", "changed"),
        (6, "partial", "changed refresh"),
        (3, "full", "same refresh"),
        (4, "full", "changed"),
        (9, "full", "changed"),
    ] {
        let mut reg = Instance::of(Package::Reg);
        reg.take_first(&reginfo(4, "full", &one("active")));
        let got = reg.take(&reginfo(version, state, &one("terminated")));
        assert_eq!(got.lines().next().unwrap(), told, "{version} {state}");
    }
    // What answers our own SUBSCRIBE is taken in full whatever its version, and does not lead to another one.
    for (version, state, told) in [(0, "full", "changed"), (6, "partial", "changed"), (4, "partial", "same")]
    {
        let mut reg = Instance::of(Package::Reg);
        reg.take_first(&reginfo(4, "full", &one("active")));
        let got = reg.take_first(&reginfo(version, state, &one("terminated")));
        assert_eq!(got.lines().next().unwrap(), told, "{version} {state}");
    }
    // Another dialog counts its versions from where it likes, and the first NOTIFY of Kamailio is empty.
    let mut reg = Instance::of(Package::Reg);
    reg.take_first(&reginfo(4, "full", &one("active")));
    reg.ended = Ended::default();
    assert!(reg.take(&reginfo(1, "full", &one("terminated"))).starts_with("changed\n"));
    assert_eq!(reg.take(&reginfo(0, "full", &one("active"))), "same refresh");
    // A part of a table that is not known is taken, and the rest asked for.
    let mut reg = Instance::of(Package::Reg);
    assert!(reg.take(&reginfo(7, "partial", &one("active"))).starts_with("changed refresh\n"));
    assert_eq!(rows(&reg), "1:active ");
}

/// Kamailio 5.6.3: always version 0 and full, and attributes of its own.
#[test]
fn s25_reg_takes_version_0_in_full_again_and_again() {
    let kamailio = |rest: &str| {
        format!(
            "<?xml version=\"1.0\"?>
<reginfo xmlns=\"urn:ietf:params:xml:ns:reginfo\" version=\"0\" state=\"full\">
  <registration aor=\"sip:alice@example.test\" id=\"0x7f7d3197ac00\" {rest}
  </registration>
</reginfo>"
        )
    };
    let created = kamailio(
        "state=\"active\">
    <contact id=\"0x7f7d3197ad18\" state=\"active\" event=\"created\" expires=\"60\" callid=\"c325ea91\" cseq=\"1\" received=\"\" path=\"\" user_agent=\"n/a\">
      <uri>sip:alice@127.0.0.1:5199</uri>
    </contact>",
    );
    let mut reg = Instance::of(Package::Reg);
    // The first NOTIFY is empty, and has no type.
    assert_eq!(told(&reg.take_as("", b"", true)), "same");
    let alice = "sip.reg aor/sip:alice@example.test aor=\"sip:alice@example.test\"";
    let contact = "contact_uri=\"sip:alice@127.0.0.1:5199\"";
    let facts = format!("{contact} contact_state=\"active\" event=\"created\" expires=60");
    assert_eq!(reg.take(&created), format!("changed\n{alice} state=\"active\" {facts}"));
    assert!(
        reg.shown().contains("callid=\"c325ea91\" cseq=\"1\" received=\"\" path=\"\" user_agent=\"n/a\"")
    );
    assert_eq!(reg.take(&created), "same");
    let refreshed = created.replace("created", "refreshed").replace("n/a", "Phone 1.2");
    let facts =
        format!("{contact} contact_state=\"active\" event=\"refreshed\" expires=60 user_agent=\"Phone 1.2\"");
    assert_eq!(reg.take(&refreshed), format!("changed\n{alice} state=\"active\" {facts}"));
    let gone = created.replace("\"active\"", "\"terminated\"").replace("created", "unregistered");
    let facts = format!("{contact} contact_state=\"terminated\" event=\"unregistered\" expires=60");
    assert_eq!(reg.take(&gone), format!("changed\n{alice} state=\"terminated\" {facts}"));
    assert_eq!(reg.take(&kamailio("state=\"init\">")), format!("changed\n{alice} state=\"init\""));
}

#[test]
fn s26_dialog_asks_again_after_a_gap_in_partial_documents() {
    let mut dialog = Instance::of(Package::Dialog);
    dialog.take_first(&dialogs(1, "full", &[("a", "early")]));
    assert!(dialog.take(&dialogs(2, "partial", &[("a", "confirmed")])).starts_with("changed\n"));
    assert!(dialog.take(&dialogs(4, "partial", &[("b", "early")])).starts_with("changed refresh\n"));
    assert_eq!(rows(&dialog), "a:confirmed b:early ");
    // In full documents versions may jump; what has gone without a word is told as an end.
    assert_eq!(
        dialog.take(&dialogs(9, "full", &[("b", "early")])),
        "changed\nsip.dialog entity/sip:a@x entity=\"sip:a@x\" dialog_id=\"a\" state=\"terminated\""
    );
    // A version that changed nothing counts nevertheless.
    assert_eq!(dialog.take(&dialogs(10, "full", &[("b", "early")])), "same");
    assert!(dialog.take(&dialogs(11, "partial", &[("b", "confirmed")])).starts_with("changed\n"));
    assert_eq!(dialog.take(&dialogs(8, "full", &[])), "same refresh");
}

#[test]
fn s55_a_late_state_in_part_revives_no_dialog_and_a_full_document_does_at_once() {
    let mut dialog = Instance::of(Package::Dialog);
    dialog.take_first(&dialogs(0, "full", &[("a", "confirmed"), ("b", "early")]));
    dialog.take(&dialogs(1, "partial", &[("a", "terminated")]));
    assert_eq!(rows(&dialog), "a:terminated b:early ");
    dialog.now = Mono(31_999);
    assert_eq!(dialog.take(&dialogs(2, "partial", &[("a", "early")])), "same");
    assert_eq!(rows(&dialog), "a:terminated b:early ");
    dialog.take(&dialogs(3, "partial", &[("a", "early"), ("b", "confirmed")]));
    assert_eq!(rows(&dialog), "b:confirmed ");
    let full = dialogs(4, "full", &[("a", "early"), ("b", "confirmed")]);
    assert_eq!(
        dialog.take(&full),
        "changed\nsip.dialog entity/sip:a@x entity=\"sip:a@x\" dialog_id=\"a\" state=\"early\""
    );
    assert!(dialog.take(&dialogs(5, "partial", &[("a", "confirmed")])).starts_with("changed\n"), "it lives");

    let mut dialog = Instance::of(Package::Dialog);
    dialog.take_first(&dialogs(0, "full", &[("a", "terminated")]));
    dialog.now = Mono(32_000);
    assert!(dialog.take(&dialogs(1, "partial", &[("a", "early")])).starts_with("changed\n"));
    assert!(dialog.ended.is_idle());
}

/// Asterisk 16.28: one constant id, full documents, `terminated` while idle, no remote party while it rings.
#[test]
fn s56_each_call_of_asterisks_constant_id_is_seen() {
    let asterisk = |version: u32, state: &str| {
        let direction = if state == "early" { " direction=\"recipient\"" } else { "" };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{version}\" state=\"full\" entity=\"sip:100@127.0.0.1\">
 <dialog id=\"100\"{direction}>
  <state>{state}</state>
 </dialog>
</dialog-info>\n"
        )
    };
    let mut dialog = Instance::of(Package::Dialog);
    for (version, state, changed) in [
        (0, "terminated", true),
        (1, "terminated", false),
        (2, "early", true),
        (3, "confirmed", true),
        (4, "terminated", true),
        (5, "early", true),
        (6, "terminated", true),
    ] {
        let direction = if state == "early" { " direction=\"recipient\"" } else { "" };
        let item = format!(
            "changed\nsip.dialog entity/sip:100@127.0.0.1 entity=\"sip:100@127.0.0.1\" dialog_id=\"100\" \
            state=\"{state}\"{direction}"
        );
        assert_eq!(dialog.take(&asterisk(version, state)), if changed { &item } else { "same" });
        assert_eq!(rows(&dialog), format!("100:{state} "));
    }
}

/// RFC 4235 section 6.2: what a later document leaves out stays, and its elements come in the schema's order.
#[test]
fn dialogs_keep_their_parties_to_the_end() {
    let mut dialog = Instance::of(Package::Dialog);
    let early = "<d:dialog-info xmlns:d=\"urn:ietf:params:xml:ns:dialog-info\" xmlns:x=\"urn:x\" version=\"0\"
        notify-state=\"full\" entity=\"sip:alice@example.com\">
      <d:dialog id=\"as7d900as8\" call-id=\"a84b4c76e66710\" local-tag=\"1928301774\" direction=\"initiator\">
        <d:local><d:target uri=\"sip:alice@pc33.example.com\"/></d:local>
        <d:remote><d:target uri=\"sip:bob@pc1\"/><d:identity display=\"B &lt;b\">sip:bob@example.com</d:identity></d:remote>
        <d:duration>3</d:duration>
        <d:state event=\"1xx-tag\" code=\"180\">early</d:state>
        <x:mine x:of=\"1\"> <x:kept/> </x:mine>
      </d:dialog>
    </d:dialog-info>";
    let facts = |state: &str| {
        format!(
            "changed\nsip.dialog entity/sip:alice@example.com entity=\"sip:alice@example.com\" dialog_id=\"as7d900as8\" \
            state=\"{state}\" direction=\"initiator\" local_uri=\"sip:alice@pc33.example.com\" \
            remote_uri=\"sip:bob@example.com\""
        )
    };
    assert_eq!(dialog.take(early), facts("early"));
    assert_eq!(
        dialog.take(&early.replace("d:", "e:").replace(":d=", ":e=")),
        "same",
        "a prefix means nothing"
    );
    let over = "<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"1\" state=\"partial\"
        entity=\"sip:alice@example.com\">
      <dialog id=\"as7d900as8\" remote-tag=\"7\"><state event=\"remote-bye\">terminated</state></dialog></dialog-info>";
    assert_eq!(dialog.take(over), facts("terminated"));
    assert_eq!(
        dialog.shown(),
        "<d:dialog-info xmlns:d=\"urn:ietf:params:xml:ns:dialog-info\" xmlns:x=\"urn:x\" version=\"1\" state=\"full\" \
        entity=\"sip:alice@example.com\"><d:dialog id=\"as7d900as8\" call-id=\"a84b4c76e66710\" \
        local-tag=\"1928301774\" direction=\"initiator\" remote-tag=\"7\">\
        <state xmlns=\"urn:ietf:params:xml:ns:dialog-info\" event=\"remote-bye\">terminated</state>\
        <d:local><d:target uri=\"sip:alice@pc33.example.com\"/></d:local>\
        <d:remote><d:identity display=\"B &lt;b\">sip:bob@example.com</d:identity><d:target uri=\"sip:bob@pc1\"/></d:remote>\
        <x:mine x:of=\"1\"><x:kept/></x:mine></d:dialog></d:dialog-info>"
    );
}

#[test]
fn a_table_that_grows_without_end_is_asked_for_anew() {
    let mut reg = Instance::of(Package::Reg);
    let page = |page: u32| {
        let contacts =
            (0..500).map(|n| contact(&format!("{page}-{n}"), "active", "created")).collect::<String>();
        reginfo(page, if page == 0 { "full" } else { "partial" }, &registration("active", &contacts))
    };
    let told: Vec<String> = (0..8).map(|n| reg.take(&page(n)).lines().next().unwrap().to_owned()).collect();
    assert_eq!(told.iter().filter(|told| *told == "changed").count(), 6, "{told:?}");
    assert_eq!(told[7], "same refresh");
    assert!(reg.held.unwrap().bytes.len() <= crate::ground::limits::SIP_DOCUMENT_BYTES);
}

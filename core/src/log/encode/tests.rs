//! Whatever is written comes back, and nothing that is cut or changed does harm.

use proptest::prelude::*;

use super::*;

fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        Just(Fact::Null),
        any::<bool>().prop_map(Fact::Bool),
        "-?[0-9]{1,20}".prop_map(|text| Fact::Number(text.into())),
        ".{0,30}".prop_map(|text| Fact::Text(text.into())),
        Just(Fact::Nested("[1,2]".into())),
    ]
}

fn facts() -> impl Strategy<Value = Vec<(Box<str>, Fact)>> {
    prop::collection::vec(("[a-z_]{1,12}".prop_map(String::into_boxed_str), fact()), 0..6)
}

prop_compose! {
    fn event()(
        texts in prop::array::uniform4(".{1,20}"),
        optional in prop::array::uniform3(prop::option::of(".{0,20}")),
        extensions in facts(),
        data in prop_oneof![
            Just(Data::None),
            facts().prop_map(Data::Facts),
            ".{0,40}".prop_map(|text| Data::Json(text.into())),
            "[A-Za-z0-9]{0,40}".prop_map(|text| Data::Base64(text.into())),
        ],
        wall: u64,
        id_given: bool,
    ) -> Event {
        let [id, source, event_type, time] = texts.map(String::into_boxed_str);
        let [subject, content_type, schema] = optional.map(|text| text.map(String::into_boxed_str));
        Event { id, id_given, source, event_type, subject, time, wall: Wall(wall), content_type, schema, extensions, data }
    }
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        event().prop_map(|event| Body::Event(event.into())),
        (0..PARTS.len(), any::<Vec<u8>>())
            .prop_map(|(part, change)| Body::Change(PARTS[part], change.into())),
        (any::<u64>(), 0..PARTS.len(), any::<Vec<u8>>()).prop_map(|(through, part, change)| Body::Carried {
            through: Seq(through),
            part: PARTS[part],
            change: change.into()
        }),
        (any::<u64>(), any::<u64>())
            .prop_map(|(epoch, ended)| Body::Epoch { epoch: Epoch(epoch), ended: Seq(ended) }),
    ]
}

fn actor() -> impl Strategy<Value = Actor> {
    prop_oneof![
        any::<std::net::IpAddr>().prop_map(Actor::Address),
        (any::<std::net::IpAddr>(), "[ -~]{1,64}").prop_map(|(peer, name)| Actor::Named(peer, name.into())),
        (0..SERVERS.len()).prop_map(|at| Actor::Server(SERVERS[at])),
    ]
}

prop_compose! {
    fn record()(body in body(), actor in actor(), wall: u64, trace in prop::option::of("[ -~]{0,60}")) -> Record {
        let trace = trace.map(Into::into);
        let header = Header { version: VERSION, wall: Wall(wall), actor, trace, kept: true };
        Record { header, origin: Origin::NOBODY, body }
    }
}

proptest! {
    #[test]
    fn a_record_comes_back(record in record()) {
        let mut bytes = Vec::new();
        encode(&record, &mut bytes);
        let read = decode(&bytes).unwrap().unwrap();
        prop_assert_eq!(format!("{read:?}"), format!("{record:?}"));
    }

    #[test]
    fn a_cut_record_is_broken(record in record(), cut in 0.0..1.0) {
        let mut bytes = Vec::new();
        encode(&record, &mut bytes);
        bytes.truncate((bytes.len() as f64 * cut) as usize);
        prop_assert_eq!(decode(&bytes).map(|_| ()), Err(Broken));
    }

    #[test]
    fn any_bytes_are_judged(bytes: Vec<u8>) {
        drop(decode(&bytes));
    }
}

fn change(part: &'static str) -> Vec<u8> {
    let header =
        Header { version: VERSION, wall: Wall(7), actor: Actor::Server("demo"), trace: None, kept: true };
    let mut bytes = Vec::new();
    encode(&Record { header, origin: Origin::NOBODY, body: Body::Change(part, [1, 2].into()) }, &mut bytes);
    bytes
}

#[test]
fn what_a_later_version_wrote_is_passed_over() {
    assert!(decode(&change("xms")).unwrap().is_some());
    let mut later = change("xms");
    *later.iter_mut().rfind(|byte| **byte == b's').unwrap() = b'z';
    assert!(decode(&later).unwrap().is_none(), "a part of a later version");
    let mut later = change("xms");
    later[0] = VERSION + 1;
    assert!(decode(&later).unwrap().is_none());
    let mut unknown = change("xms");
    unknown[1] = 200;
    assert!(decode(&unknown).unwrap().is_none());
}

/// A header whose length takes two bytes; what does not even fit into that is left out.
#[test]
fn long_names_and_traces_have_room() {
    for (length, kept, trace) in [
        // The length of the fields is the last that takes a byte, and the first that takes two.
        (52, true, Some(55)),
        (53, true, Some(55)),
        (176, true, Some(55)),
        (177, true, None),
        (234, true, None),
        (235, false, Some(55)),
        (300, false, Some(55)),
    ] {
        let name: Arc<str> = "n".repeat(length).into();
        let peer = IpAddr::from([192, 0, 2, 1]);
        let actor = Actor::Named(peer, Arc::clone(&name));
        let header =
            Header { version: VERSION, wall: Wall(7), actor, trace: Some("t".repeat(55).into()), kept: true };
        let body = Body::Change("xms", [1, 2].into());
        let mut bytes = Vec::new();
        encode(&Record { header, origin: Origin::NOBODY, body }, &mut bytes);
        let read = decode(&bytes).unwrap().unwrap();
        let expected = if kept { Actor::Named(peer, name) } else { Actor::Address(peer) };
        assert_eq!(
            (read.header.actor, read.header.trace.as_deref().map(str::len)),
            (expected, trace),
            "{length}"
        );
        assert!(matches!(read.body, Body::Change("xms", change) if *change == [1, 2]));
    }
}

#[test]
fn an_unknown_header_field_is_passed_over() {
    let mut bytes = change("xms");
    let field = [99, 3, 1, 2, 3];
    bytes[2] += field.len() as u8;
    bytes.splice(3..3, field);
    let record = decode(&bytes).unwrap().unwrap();
    assert_eq!((record.header.wall, record.header.actor), (Wall(7), Actor::Server("demo")));
}

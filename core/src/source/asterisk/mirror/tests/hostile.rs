//! What no PBX sends, and more of it than anybody holds.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Keys that events are read by.
const KEYS: &[&str] = &[
    "Uniqueid",
    "Linkedid",
    "Channel",
    "ChannelState",
    "CallerIDNum",
    "ConnectedLineNum",
    "Exten",
    "Context",
    "DestUniqueid",
    "DestLinkedid",
    "DestChannel",
    "TransfereeUniqueid",
    "TransfererUniqueid",
    "BridgeUniqueid",
    "BridgeType",
    "Conference",
    "Queue",
    "Interface",
    "Agent",
    "Status",
    "Paused",
    "Device",
    "State",
    "Hint",
    "AOR",
    "URI",
    "ContactStatus",
    "Mailbox",
    "Waiting",
    "Cause",
    "Direction",
    "Digit",
    "Timestamp",
    "LocalOneUniqueid",
    "LocalTwoUniqueid",
    "Variable",
    "Value",
    "Newname",
    "MixMonitorID",
    "ChanVariable",
];

const VALUES: &[&str] = &[
    "",
    "1",
    "1.1",
    "1.2",
    "1.3",
    "4",
    "5",
    "6",
    "both",
    "PJSIP/100-1",
    "Local/1@x-1;1",
    "Local/1@x-1;2",
    "basic",
    "base",
    "<unknown>",
    "Received",
    "Removed",
    "18446744073709551616",
    "99999999999999999999.9",
    ";",
    "/",
    "-",
    "+",
];

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => proptest::sample::select(VALUES).prop_map(|value| value.as_bytes().to_vec()),
        1 => vec(any::<u8>().prop_filter("a line", |b| *b != b'\n'), 0..6),
    ]
}

fn event() -> impl Strategy<Value = Vec<u8>> {
    let fields = vec((proptest::sample::select(KEYS), value()), 0..12);
    (proptest::sample::select(WANTED), fields).prop_map(|(name, fields)| {
        let mut block = format!("Event: {name}").into_bytes();
        for (key, value) in fields {
            block.extend(format!("\r\n{key}: ").bytes());
            block.extend(value);
        }
        block
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// No input is a fault of ours, and what is held stays within its bound.
    #[test]
    fn any_events(events in vec(event(), 0..60), resync_at in 0_usize..60, most in 1_usize..20) {
        let mut play = Play::new(&[]);
        play.mirror.most = most;
        for (at, event) in events.iter().enumerate() {
            if at == resync_at {
                play.mirror.begin_resync();
            }
            play.mirror.apply(&Message::of(event), play.now, &mut play.out);
            for question in play.mirror.questions() {
                play.mirror.answer(&question, &Message::of(event));
            }
            prop_assert!(play.mirror.channels.len() <= most && play.mirror.calls.len() <= most);
        }
        play.mirror.finish_resync(&[], play.now, &mut play.out);
        for told in &play.out {
            if let Open::Opens(key) = &told.open {
                let _ = play.mirror.keep(key);
            }
        }
        play.mirror.begin_resync();
        play.mirror.finish_resync(&[], play.now, &mut play.out);
        prop_assert!(play.mirror.channels.len() + play.mirror.recordings.len() + play.mirror.members.len() == 0);
        prop_assert!(play.mirror.calls.is_empty() && play.mirror.callers.len() + play.mirror.agents.len() == 0);
    }

    #[test]
    fn any_bytes_are_kept_out(bytes in vec(any::<u8>(), 0..200)) {
        let mut play = Play::new(&[]);
        play.mirror.restore(&bytes);
        play.mirror.apply(&Message::of(&bytes), play.now, &mut play.out);
        prop_assert!(play.out.is_empty() && play.mirror.is_empty());
    }
}

/// The oldest leave, and what was open of them ends.
#[test]
fn too_many_channels() {
    let mut play = Play::new(&[]);
    play.mirror.most = 2;
    for id in ["1.1", "1.2", "1.3"] {
        play.events(&format!(
            "Event: Newchannel\nChannel: PJSIP/1-1\nChannelState: 4\nUniqueid: {id}\nLinkedid: {id}"
        ));
    }
    let lines = [
        "call.incoming 1.1 ->-",
        "call.incoming 1.2 ->-",
        "call.incoming 1.3 ->-",
        "call.hangup 1.1 ->- reason=forgotten",
    ];
    assert_eq!(play.told(), lines);
    assert_eq!((play.mirror.channels.len(), play.mirror.forgotten()), (2, 1));
}

/// Devices, extensions, users and mailboxes are kinds of their own: each that has room is told once.
#[test]
fn each_kind_of_state_has_room() {
    let mut play = Play::new(&[]);
    play.mirror.most = 2;
    for _ in 0..2 {
        for n in 0..2 {
            play.events(&format!("Event: DeviceStateChange\nDevice: PJSIP/{n}\nState: INUSE"));
            play.events(&format!("Event: ExtensionStatus\nExten: {n}\nContext: office\nStatusText: Idle"));
            play.events(&format!("Event: MessageWaiting\nMailbox: {n}@default\nWaiting: 0\nNew: 0\nOld: 0"));
        }
    }
    assert_eq!((play.told().len(), play.mirror.forgotten()), (6, 0));
    play.events("Event: DeviceStateChange\nDevice: PJSIP/9\nState: INUSE");
    assert_eq!((play.mirror.forgotten(), play.mirror.len()), (1, 6));
}

/// Whoever comes and goes costs the same in a room of thousands: were each to look at all others, this would take minutes.
#[test]
fn a_room_of_thousands() {
    for kind in ["base", "basic"] {
        let mut play = Play::new(&[]);
        play.mirror.most = 5000;
        let of = |event: &str, n: u32| {
            format!("Event: {event}\nUniqueid: 1.{n}\nBridgeUniqueid: b\nBridgeType: {kind}")
        };
        for n in 0..4000 {
            play.events(&format!(
                "Event: Newchannel\nChannel: PJSIP/{n}-1\nChannelState: 4\nUniqueid: 1.{n}"
            ));
            play.events(&of("BridgeEnter", n));
        }
        for n in 2..4000 {
            play.events(&of("BridgeLeave", n));
        }
        let mut told = play.told();
        told.retain(|line| line.starts_with("call.link"));
        let expected: &[&str] = match kind {
            "basic" => &["call.link_start 1.0", "call.link_end 1.0", "call.link_start 1.0"],
            _ => &[],
        };
        assert_eq!(told, expected, "{kind}");
    }
}

#[test]
fn wanted_events_are_sorted() {
    assert!(WANTED.is_sorted());
    assert!(Mirror::wants(b"Hangup") && !Mirror::wants(b"RTCPSent") && !Mirror::wants(b""));
}

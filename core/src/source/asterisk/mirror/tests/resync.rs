//! Resync: what was missed is told, once.

use super::*;

/// The answers of one time, by both versions.
fn answers(name: &str) -> [(&'static str, &'static str); 2] {
    ANSWERS.map(|(version, text)| (version, section(text, name)))
}

/// Lines about calls; all of them are told by a resync.
fn of_calls(lines: Vec<String>) -> Vec<String> {
    let mut lines: Vec<String> =
        lines.iter().filter_map(|line| Some(line.strip_suffix(" reason=resync")?.to_owned())).collect();
    lines.retain(|line| ["call.", "conference.", "queue."].iter().any(|kind| line.starts_with(kind)));
    by_subject(lines)
}

#[test]
fn all_that_is_there_is_told() {
    for (version, answers) in answers("list_all") {
        let mut play = Play::new(&[]);
        let told = play.resync(answers);
        let hinted: Vec<&str> =
            told.iter().filter(|line| line.starts_with("extension.state")).map(String::as_str).collect();
        assert_eq!(
            hinted,
            [
                "extension.state extension/100@office extension=100 context=office state=InUse reason=resync",
                "extension.state extension/101@office extension=101 context=office state=Ringing reason=resync",
                "extension.state extension/102@office extension=102 context=office state=Idle reason=resync",
                "extension.state extension/103@office extension=103 context=office state=Idle reason=resync",
            ],
            "{version}"
        );
        for line in [
            "device.state device/PJSIP/101 device=PJSIP/101 state=RINGING extension=101 reason=resync",
            "agent.login agent/PJSIP/102 agent_id=PJSIP/102 agent=Carol queue=support extension=102 state=NOT_INUSE reason=resync",
            "sip.message_summary account/100@default account=100@default waiting=true new=1 old=0 reason=resync",
            "sip.message_summary account/101@default account=101@default waiting=false new=0 old=0 reason=resync",
            "sip.reg aor/102 aor=102 state=active contact_uri=sip:102@127.0.0.1:5158 contact_state=active event=registered expires=600 user_agent=desk/1.0 status=Reachable extension=102 reason=resync",
        ] {
            assert!(told.iter().any(|there| there == line), "{version}: {line}\n{told:#?}");
        }
        assert_eq!(told.iter().filter(|line| line.starts_with("sip.reg")).count(), 4);
        let calls = of_calls(told);
        let mut kinds: Vec<&str> =
            calls.iter().map(|line| line.rsplit_once(" 1.").map_or(&**line, |(kind, _)| kind)).collect();
        kinds.sort_unstable();
        assert_eq!(
            kinds,
            ["call.connected", "call.dial", "call.incoming", "call.incoming", "call.ringing"],
            "{version}"
        );
        // Once told, it is not told again.
        assert_eq!(play.resync(answers), Vec::<String>::new(), "{version}");
    }
}

#[test]
fn members_of_a_conference_are_found() {
    for (version, answers) in answers("list_conference") {
        let mut play = Play::new(&[]);
        let told = of_calls(play.resync(answers));
        let joined: Vec<&String> = told.iter().filter(|line| line.starts_with("conference.join")).collect();
        assert_eq!(joined.len(), 2, "{version}: {told:?}");
        let left = of_calls(play.resync(""));
        let kinds: Vec<&str> = left.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == "conference.leave").count(), 2, "{version}");
        assert_eq!(kinds.iter().filter(|kind| **kind == "call.hangup").count(), 2, "{version}");
        assert!(!kinds.contains(&"call.link_start"), "{version}");
    }
}

/// A call that a queue connected is two legs that are linked.
#[test]
fn links_are_found() {
    for (version, answers) in answers("list_queue") {
        let mut play = Play::new(&[]);
        let told = of_calls(play.resync(answers));
        let kinds: Vec<&str> = told.iter().filter_map(|line| line.split(' ').next()).collect();
        for (kind, times) in [
            ("call.incoming", 1),
            ("call.connected", 1),
            ("call.dial", 1),
            ("call.answered", 1),
            ("call.link_start", 1),
        ] {
            assert_eq!(kinds.iter().filter(|there| **there == kind).count(), times, "{version}: {told:?}");
        }
        assert_eq!(play.resync(answers), Vec::<String>::new(), "{version}");
    }
}

const CHANNELS: &str = "--- BridgeList\nResponse: Success\n\n--- CoreShowChannels\nResponse: Success\n\n";

fn channel(id: &str, state: &str, more: &str) -> String {
    format!(
        "Event: CoreShowChannel\nChannel: PJSIP/100-1\nChannelState: {state}\nCallerIDNum: 100\nExten: 101\n\
         Uniqueid: {id}\nLinkedid: {id}\nDuration: 00:01:05\n{more}\n\n"
    )
}

fn new_channel(id: &str) -> String {
    format!(
        "Event: Newchannel\nChannel: PJSIP/100-1\nChannelState: 4\nCallerIDNum: 100\nExten: 101\nUniqueid: {id}\nLinkedid: {id}"
    )
}

#[test]
fn missing_ends_and_starts_are_told() {
    let mut play = Play::new(&[]);
    play.events(&new_channel("1.1"));
    play.events(&new_channel("1.2"));
    play.told();
    play.mirror.lost();
    let told = play.resync(&format!("{CHANNELS}{}{}", channel("1.2", "6", ""), channel("1.3", "4", "")));
    assert_eq!(
        told,
        [
            "call.hangup 1.1 100>101 extension=100 reason=resync",
            "call.connected 1.2 100>101 extension=100 reason=resync",
            "call.incoming 1.3 100>101 extension=100 reason=resync",
        ]
    );
    // The end comes late: it was told already.
    play.events("Event: Hangup\nUniqueid: 1.1\nCause: 16");
    assert_eq!(play.told(), Vec::<String>::new());
    // How long it had been there is known.
    let ends = play.mirror.channels.get("1.3").map(|channel| channel.since);
    assert_eq!(ends, Some(Wall(play.now.wall.0 - 65_000)));
}

/// What an event tells while answers come is later than they are.
#[test]
fn events_win_over_older_answers() {
    let mut play = Play::new(&[]);
    play.events(&new_channel("1.1"));
    play.events("Event: ContactStatus\nURI: sip:a\nContactStatus: Reachable\nAOR: 100");
    play.events("Event: MessageWaiting\nMailbox: 100@default\nWaiting: 0\nNew: 0\nOld: 0");
    play.told();
    play.begin(&format!(
        "{CHANNELS}{}--- PJSIPShowContacts\nResponse: Success\n\nEvent: ContactList\nObjectName: 100;@1\nUri: sip:a\n\n\
         --- VoicemailUsersList\nEvent: VoicemailUserEntry\nVMContext: default\nVoiceMailbox: 100\nNewMessageCount: 0\nOldMessageCount: 0\n\n",
        channel("1.1", "4", "")
    ));
    play.events("Event: Hangup\nUniqueid: 1.1\nCause: 16");
    play.events(&new_channel("1.2"));
    play.events("Event: ContactStatus\nURI: sip:a\nContactStatus: Removed\nAOR: 100");
    play.events("Event: MessageWaiting\nMailbox: 100@default\nWaiting: 1\nNew: 1\nOld: 0");
    assert_eq!(play.told().len(), 4);
    assert_eq!(play.finish(&[]), Vec::<String>::new());
    assert!(play.mirror.channels.has("1.2") && !play.mirror.channels.has("1.1"));
}

/// Events of a channel whose start was missed count once an answer has made it known.
#[test]
fn events_of_a_missed_channel_are_not_lost() {
    let mut play = Play::new(&[]);
    play.begin(&format!("{CHANNELS}{}", channel("1.1", "4", "")));
    play.events("Event: Newstate\nUniqueid: 1.1\nChannelState: 6");
    play.events("Event: QueueCallerJoin\nUniqueid: 1.1\nQueue: support");
    assert_eq!(play.told(), Vec::<String>::new());
    assert_eq!(
        play.finish(&["QueueStatus"]),
        [
            "call.incoming 1.1 100>101 extension=100 reason=resync",
            "call.connected 1.1 100>101 extension=100",
            "queue.join queue/support 100>101 extension=100 queue=support",
        ]
    );
}

/// What changes of a member before he is known makes him known; the answer about him is older.
#[test]
fn a_member_changes_before_he_is_known() {
    for event in ["QueueMemberStatus", "QueueMemberPause"] {
        let mut play = Play::new(&[]);
        play.begin(
            "--- QueueStatus\nEvent: QueueMember\nQueue: q\nLocation: PJSIP/1\nName: Carol\nStatus: 1\nPaused: 0\n\n",
        );
        play.events(&format!(
            "Event: {event}\nQueue: q\nInterface: PJSIP/1\nMemberName: Carol\nStatus: 2\nPaused: 1"
        ));
        assert_eq!(
            play.told(),
            [
                "agent.login agent/PJSIP/1 agent_id=PJSIP/1 agent=Carol queue=q state=INUSE",
                "agent.paused agent/PJSIP/1 agent_id=PJSIP/1 agent=Carol queue=q state=INUSE",
            ]
        );
        assert_eq!(play.finish(&[]), Vec::<String>::new());
        play.events("Event: QueueMemberRemoved\nQueue: q\nInterface: PJSIP/1\nMemberName: Carol\nStatus: 2");
        assert_eq!(play.told().len(), 1);
    }
}

/// A channel that was renamed, or came to another call, is so for whoever missed it.
#[test]
fn a_known_channel_is_as_the_answer_says() {
    let answer = "--- CoreShowChannels\nEvent: CoreShowChannel\nChannel: PJSIP/200-9\nChannelState: 4\nUniqueid: 1.2\n\
                  Linkedid: 1.1\n\n";
    let of = |play: &Play| {
        let channel = play.mirror.channels.get("1.2").expect("is there");
        (channel.name.to_string(), channel.linked.to_string(), play.mirror.calls.len())
    };
    let mut play = Play::new(&[]);
    play.events(&new_channel("1.2"));
    play.resync(answer);
    assert_eq!(of(&play), ("PJSIP/200-9".into(), "1.1".into(), 1));
    play.resync(answer);
    // What an event told meanwhile is newer.
    play.begin(answer);
    play.events("Event: Rename\nUniqueid: 1.2\nNewname: PJSIP/300-1");
    play.events("Event: Newstate\nUniqueid: 1.2\nChannelState: 6\nLinkedid: 1.0");
    play.finish(&[]);
    assert_eq!(of(&play), ("PJSIP/300-1".into(), "1.0".into(), 1));
}

/// Hold says nothing of how far a leg has come.
#[test]
fn a_hold_hides_no_answer() {
    let mut play = Play::new(&[]);
    play.events(&new_channel("1.1"));
    play.told();
    play.begin(&format!("{CHANNELS}{}", channel("1.1", "6", "")));
    play.events("Event: Hold\nUniqueid: 1.1");
    assert_eq!(play.told(), ["call.status 1.1 100>101 extension=100 status=HOLD"]);
    assert_eq!(play.finish(&[]), ["call.connected 1.1 100>101 extension=100 reason=resync"]);
}

/// Whoever leaves a bridge that was missed is in none.
#[test]
fn a_missed_bridge_is_left() {
    let mut play = Play::new(&[]);
    for (id, bridge) in [("1.1", "b"), ("1.2", "b")] {
        play.events(&new_channel(id));
        play.events(&format!(
            "Event: BridgeEnter\nUniqueid: {id}\nBridgeUniqueid: {bridge}\nBridgeType: basic"
        ));
    }
    assert_eq!(play.told().len(), 3);
    let bridges = "--- BridgeList\nEvent: BridgeListItem\nBridgeUniqueid: b\nBridgeType: basic\n\n\
                   Event: BridgeListItem\nBridgeUniqueid: c\nBridgeType: basic\n\n--- CoreShowChannels\n";
    play.begin(&format!(
        "{bridges}{}{}",
        channel("1.1", "4", "BridgeId: c"),
        channel("1.2", "4", "BridgeId: b")
    ));
    play.events("Event: BridgeLeave\nUniqueid: 1.1\nBridgeUniqueid: c\nBridgeType: basic");
    play.finish(&[]);
    assert!(play.mirror.channels.get("1.1").is_some_and(|leg| leg.bridge.is_none() && leg.link.is_none()));
}

/// Of what is refused or not answered, nothing follows.
#[test]
fn the_unanswered_changes_nothing() {
    let mut play = Play::new(&[]);
    play.events(&new_channel("1.1"));
    play.events("Event: ContactStatus\nURI: sip:a\nContactStatus: Reachable\nAOR: 100");
    play.events("Event: QueueMemberAdded\nQueue: q\nInterface: PJSIP/1\nStatus: 1");
    play.told();
    play.begin("");
    assert_eq!(play.finish(&["CoreShowChannels", "PJSIPShowContacts", "QueueStatus"]), Vec::<String>::new());
    let gone = play.resync("");
    assert_eq!(gone.len(), 3, "{gone:?}");
}

/// From an answer that is longer than what is held nothing follows, and its action is named.
#[test]
fn answers_beyond_what_is_held() {
    let mut play = Play::new(&[]);
    play.events(&new_channel("1.1"));
    play.told();
    play.mirror.most = 2;
    let many: String = (2..9).map(|n| channel(&format!("1.{n}"), "4", "")).collect();
    play.begin(&format!("{CHANNELS}{many}"));
    let missed = play.mirror.finish_resync(&[], play.now, &mut play.out);
    assert_eq!(missed, Missed { answers: vec!["CoreShowChannels"], ..Missed::default() });
    assert_eq!(play.told(), Vec::<String>::new());
    let lists: [(&str, &str, &str, usize); 4] = [
        ("BridgeList", "BridgeListItem", "BridgeType: basic\nBridgeUniqueid", 0),
        ("PJSIPShowContacts", "ContactList", "Uri: sip:a\nObjectName", 0),
        ("QueueStatus", "QueueMember", "Queue: q\nLocation", 0),
        ("DeviceStateList", "DeviceStateChange", "State: INUSE\nDevice", 2),
    ];
    for (action, event, key, told) in lists {
        let mut play = Play::new(&[]);
        play.mirror.most = 2;
        let many: String = (1..9).map(|n| format!("Event: {event}\n{key}: PJSIP/{n}\n\n")).collect();
        play.begin(&format!("--- {action}\n{many}"));
        let missed = play.mirror.finish_resync(&[], play.now, &mut play.out);
        assert_eq!(missed, Missed { answers: vec![action], ..Missed::default() });
        assert_eq!(play.told().len(), told, "{action}");
    }
}

/// What finds no room to wait for an answer is counted.
#[test]
fn events_that_cannot_wait_are_missed() {
    let mut play = Play::new(&[]);
    play.mirror.aside_bytes = 200;
    play.begin(&format!("{CHANNELS}{}", channel("1.1", "4", "")));
    for _ in 0..5 {
        play.events("Event: DTMFEnd\nUniqueid: 1.1\nDirection: Received\nDigit: 1");
    }
    let missed = play.mirror.finish_resync(&[], play.now, &mut play.out);
    assert_eq!(missed, Missed { events: 3, ..Missed::default() });
    assert_eq!(play.told().len(), 3);
}

/// Where more happened than can be noted, no answer is known to be newer than what events told.
#[test]
fn nothing_follows_from_answers_to_a_flood() {
    let mut play = Play::new(&[]);
    play.events(&new_channel("1.1"));
    play.told();
    play.mirror.most = 2;
    play.begin(CHANNELS);
    for n in 0..100 {
        play.events(&format!("Event: DeviceStateChange\nDevice: PJSIP/{n}\nState: INUSE"));
    }
    assert_eq!(play.told().len(), 100);
    let missed = play.mirror.finish_resync(&[], play.now, &mut play.out);
    assert_eq!(missed, Missed { all: true, ..Missed::default() });
    assert_eq!(play.told(), Vec::<String>::new());
}

/// Whose phone a device is, the list of hints says: what it leaves out is gone.
#[test]
fn hints_are_learnt_anew() {
    let list = |hints: &[(&str, &str)]| {
        let hints = hints.iter().map(|(extension, hint)| {
            format!("Event: ExtensionStatus\nExten: {extension}\nContext: office\nHint: {hint}\n\n")
        });
        format!("--- ExtensionStateList\n{}", hints.collect::<String>())
    };
    let mut play = Play::new(&[]);
    play.resync(&list(&[("600", "PJSIP/100&PJSIP/101"), ("100", "PJSIP/100"), ("102", "PJSIP/102")]));
    let of = |play: &Play| {
        ["100", "101", "102"].map(|n| play.mirror.extension_of(&format!("PJSIP/{n}")).map(str::to_owned))
    };
    assert_eq!(of(&play), [Some("100".into()), Some("600".into()), Some("102".into())]);
    // One that an event told meanwhile stays.
    play.begin(&list(&[("103", "PJSIP/102")]));
    play.events("Event: ExtensionStatus\nExten: 101\nContext: office\nHint: PJSIP/101\nStatusText: Idle");
    play.finish(&[]);
    assert_eq!(of(&play), [None, Some("101".into()), Some("103".into())]);
    play.begin("");
    play.finish(&["ExtensionStateList"]);
    assert_eq!(of(&play)[2].as_deref(), Some("103"));
}

#[test]
fn what_is_refused() {
    let mut play = Play::new(&[]);
    let questions = play.mirror.questions();
    assert_eq!(questions.len(), QUESTIONS);
    play.mirror.begin_resync();
    for (text, answered) in [
        ("Response: Error\nMessage: Permission denied", false),
        ("Response: Error\nMessage: Invalid/unknown command: PJSIPShowContacts.", false),
        ("Response: Error\nMessage: No Contacts found", true),
        ("Response: Success\nMessage: There are no voicemail users currently defined.", true),
    ] {
        assert_eq!(play.mirror.answer(&questions[1], &Message::of(text.as_bytes())), answered, "{text}");
    }
    assert_eq!(play.mirror.questions(), []);
    // A cut connection ends the asking.
    play.mirror.lost();
    assert_eq!(play.mirror.questions().len(), QUESTIONS);
    assert_eq!(play.finish(&[]), Vec::<String>::new());
}

const QUESTIONS: usize = 8;

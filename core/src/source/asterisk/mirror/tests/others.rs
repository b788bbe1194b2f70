//! Conferences, queues, agents, recordings, and what has a state, as both versions play them.

use super::*;

#[test]
fn a_conference() {
    check(
        "conference",
        &[
            "call.incoming 1.1 100>200 extension=100",
            "call.connected 1.1 100>200 extension=100",
            "conference.join conference/sales 100>200 extension=100 conference_name=sales admin=false muted=false",
            "call.incoming 1.2 101>200 extension=101",
            "call.connected 1.2 101>200 extension=101",
            "conference.join conference/sales 101>200 extension=101 conference_name=sales admin=false muted=false",
            "conference.leave conference/sales 100>200 extension=100 conference_name=sales",
            "call.hangup 1.1 100>200 extension=100 cause=16 reason=Normal Clearing",
            "conference.leave conference/sales 101>200 extension=101 conference_name=sales",
            "call.hangup 1.2 101>200 extension=101 cause=16 reason=Normal Clearing",
        ],
    );
}

const LEG: &str = "Event: Newchannel\nChannel: PJSIP/100-1\nChannelState: 4\nCallerIDNum: 100\nExten: 200\n\
                   Uniqueid: 1.1\nLinkedid: 1.1";

/// Applies an event of that leg.
fn of_leg(play: &mut Play, event: &str) -> Vec<String> {
    play.events(&format!("Event: {event}\nUniqueid: 1.1"));
    play.told()
}

#[test]
fn a_conference_ends_for_all_that_are_in_it() {
    let mut play = Play::new(&[]);
    play.events(LEG);
    play.told();
    of_leg(&mut play, "ConfbridgeJoin\nConference: sales");
    let again = of_leg(&mut play, "ConfbridgeJoin\nConference: sales");
    assert_eq!(again, Vec::<String>::new());
    let talks = of_leg(&mut play, "ConfbridgeTalking\nConference: sales\nTalkingStatus: on");
    let talker = "conference.active_talker conference/sales 100>200 extension=100 conference_name=sales";
    assert_eq!(talks, [talker]);
    assert!(of_leg(&mut play, "ConfbridgeTalking\nConference: sales\nTalkingStatus: off").is_empty());
    let left = of_leg(&mut play, "ConfbridgeEnd\nConference: sales");
    assert_eq!(left, ["conference.leave conference/sales 100>200 extension=100 conference_name=sales"]);
    assert!(of_leg(&mut play, "ConfbridgeLeave\nConference: sales").is_empty());
}

#[test]
fn a_queue_finds_an_agent() {
    check(
        "queue_answered",
        &[
            "call.incoming 1.1 100>300 extension=100",
            "call.connected 1.1 100>300 extension=100",
            "queue.join queue/support 100>300 extension=100 queue=support position=1 count=1",
            "agent.called agent/PJSIP/102 queue=support agent_id=PJSIP/102 agent=Carol extension=102 agent_call_id=1.2",
            "call.dial 1.2 100>102 extension=102 state=begin",
            "call.ringing 1.2 100>102 extension=102",
            "call.answered 1.2 100>102 extension=102",
            "call.dial 1.2 100>102 extension=102 state=end status=ANSWER",
            "queue.leave queue/support 100>300 extension=100 queue=support position=1 count=0",
            "agent.connected agent/PJSIP/102 queue=support agent_id=PJSIP/102 agent=Carol extension=102 agent_call_id=1.2 ring_time_ms=0",
            "call.link_start 1.1 caller_number_1=100 caller_number_2=102",
            "call.link_end 1.1 caller_number_1=100 caller_number_2=102",
            "agent.completed agent/PJSIP/102 queue=support agent_id=PJSIP/102 agent=Carol extension=102 agent_call_id=1.2 reason=caller",
            "call.hangup 1.2 100>102 extension=102 cause=16 reason=Normal Clearing",
            "call.hangup 1.1 100>300 extension=100 cause=16 reason=Normal Clearing",
        ],
    );
}

/// What a queue has done comes at times behind the end of its caller's leg.
#[test]
fn an_agent_completes_late() {
    let mut play =
        Play::new(&[ScopeRule { attributes: vec![("appid", "app".into())], ..ScopeRule::default() }]);
    play.events(
        "Event: AgentComplete\nChannel: PJSIP/100-1\nChannelState: 6\nCallerIDNum: 100\nExten: 300\nUniqueid: 1.1\n\
         Linkedid: 1.1\nQueue: support\nInterface: PJSIP/102\nMemberName: Carol\nReason: caller",
    );
    let facts = &play.out[0].facts;
    let caller = facts.iter().find(|(name, _)| *name == "caller_number").and_then(|(_, fact)| fact.as_text());
    assert_eq!(caller, Some("100"));
    assert_eq!(
        play.told(),
        [
            "agent.completed agent/PJSIP/102 queue=support agent_id=PJSIP/102 agent=Carol reason=caller @appid=app"
        ]
    );
    // Asterisk leaves the caller out altogether if it is gone.
    play.events(
        "Event: AgentComplete\nQueue: support\nInterface: PJSIP/102\nMemberName: Carol\nReason: caller",
    );
    assert_eq!(
        play.told(),
        [
            "agent.completed agent/PJSIP/102 queue=support agent_id=PJSIP/102 agent=Carol reason=caller @appid=app"
        ]
    );
    assert!(play.mirror.is_empty());
}

/// Of a doing, the lines of queues and agents.
fn check_queue(doing: &str, expected: &[&str]) {
    for (version, capture) in CAPTURES {
        let mut play = Play::new(&[]);
        play.events(section(capture, doing));
        let mut lines = play.told();
        lines.retain(|line| line.starts_with("queue.") || line.starts_with("agent."));
        assert_eq!(lines, expected, "{doing}, {version}");
    }
}

#[test]
fn a_caller_gives_up() {
    check_queue(
        "queue_abandoned",
        &[
            "queue.join queue/support 100>300 extension=100 queue=support position=1 count=1",
            "agent.called agent/PJSIP/102 queue=support agent_id=PJSIP/102 agent=Carol extension=102 agent_call_id=1.2",
            "queue.abandon queue/support 100>300 extension=100 queue=support position=1",
            "queue.leave queue/support 100>300 extension=100 queue=support position=1 count=0",
        ],
    );
    check_queue(
        "queue_no_answer",
        &[
            "queue.join queue/support 100>300 extension=100 queue=support position=1 count=1",
            "agent.called agent/PJSIP/102 queue=support agent_id=PJSIP/102 agent=Carol extension=102 agent_call_id=1.2",
            "agent.no_answer agent/PJSIP/102 queue=support agent_id=PJSIP/102 agent=Carol extension=102 agent_call_id=1.2 ring_time_ms=5000",
            "queue.abandon queue/support 100>300 extension=100 queue=support position=1",
            "queue.leave queue/support 100>300 extension=100 queue=support position=1 count=0",
        ],
    );
}

/// Who is a member of a queue is logged in to it.
#[test]
fn members_come_and_go() {
    check(
        "queue_members",
        &[
            "agent.login agent/PJSIP/101 agent_id=PJSIP/101 agent=Bob queue=support state=NOT_INUSE",
            "agent.paused agent/PJSIP/101 agent_id=PJSIP/101 agent=Bob queue=support state=NOT_INUSE reason=lunch",
            "agent.resumed agent/PJSIP/101 agent_id=PJSIP/101 agent=Bob queue=support state=NOT_INUSE",
            "agent.logout agent/PJSIP/101 agent_id=PJSIP/101 agent=Bob queue=support state=NOT_INUSE",
        ],
    );
}

#[test]
fn a_members_state_is_told_once() {
    let mut play = Play::new(&[]);
    let member = |event: &str, status: &str| {
        format!(
            "Event: {event}\nQueue: q\nMemberName: Bob\nInterface: PJSIP/101\nStatus: {status}\nPaused: 0"
        )
    };
    for (event, status, expected) in [
        ("QueueMemberStatus", "1", &[][..]),
        (
            "QueueMemberAdded",
            "1",
            &["agent.login agent/PJSIP/101 agent_id=PJSIP/101 agent=Bob queue=q state=NOT_INUSE"],
        ),
        ("QueueMemberAdded", "1", &[]),
        (
            "QueueMemberStatus",
            "6",
            &["agent.status agent/PJSIP/101 agent_id=PJSIP/101 agent=Bob queue=q state=RINGING"],
        ),
        ("QueueMemberStatus", "6", &[]),
        ("QueueMemberStatus", "99", &[]),
        ("QueueMemberRemoved", "1", &["agent.logout agent/PJSIP/101 agent_id=PJSIP/101 agent=Bob queue=q"]),
        ("QueueMemberRemoved", "1", &[]),
    ] {
        play.events(&member(event, status));
        assert_eq!(play.told(), expected, "{event} {status}");
    }
}

#[test]
fn an_agent_of_the_pool() {
    check_queue(
        "agent",
        &[
            "agent.login agent/1001 agent_id=1001 agent=1001",
            "agent.logout agent/1001 agent_id=1001 agent=1001",
        ],
    );
}

/// Of a doing, the lines of recordings.
fn check_recording(doing: &str, expected: &[&str]) {
    for (version, capture) in CAPTURES {
        let mut play = Play::new(&[]);
        play.events(section(capture, doing));
        let lines: Vec<String> = play
            .told()
            .into_iter()
            .filter(|line| line.starts_with("recording.") || line.starts_with("call.hangup 1.1"))
            .collect();
        let lines: Vec<&str> = lines.iter().map(|line| line.split(" cause").next().unwrap_or(line)).collect();
        assert_eq!(lines, expected, "{doing}, {version}");
    }
}

/// One that nobody stops ends with its leg.
#[test]
fn recordings() {
    check_recording(
        "mixmonitor_dial",
        &[
            "recording.started recording/1.1 100>400 extension=100 recording_id=1.1 file_name=/rec/rec-1.1.wav",
            "recording.ended recording/1.1 100>400 extension=100 recording_id=1.1 file_name=/rec/rec-1.1.wav",
            "call.hangup 1.1 100>400 extension=100",
        ],
    );
    check_recording(
        "mixmonitor_stop",
        &[
            "recording.started recording/1.1 100>401 extension=100 recording_id=1.1 file_name=/rec/rec-1.1.wav",
            "recording.ended recording/1.1 100>401 extension=100 recording_id=1.1 file_name=/rec/rec-1.1.wav",
            "call.hangup 1.1 100>401 extension=100",
        ],
    );
    check_recording(
        "mixmonitor_action",
        &[
            "recording.started recording/1.1 100>101 extension=100 recording_id=1.1 file_name=/rec/manual.wav",
            "recording.paused recording/1.1 100>101 extension=100 recording_id=1.1 file_name=/rec/manual.wav",
            "recording.resumed recording/1.1 100>101 extension=100 recording_id=1.1 file_name=/rec/manual.wav",
            "recording.ended recording/1.1 100>101 extension=100 recording_id=1.1 file_name=/rec/manual.wav",
            "call.hangup 1.1 100>101 extension=100",
        ],
    );
}

/// A leg may have several; the one that is stopped is the one that is named, else the oldest.
#[test]
fn several_recordings_of_a_leg() {
    let mut play = Play::new(&[]);
    play.events(LEG);
    play.told();
    let ids = |lines: Vec<String>| -> Vec<String> {
        lines.iter().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
    };
    for (event, expected) in [
        ("MixMonitorStart\nMixMonitorID: a", "recording.started recording/1.1"),
        ("MixMonitorStart\nMixMonitorID: b", "recording.started recording/1.1-2"),
        ("MixMonitorStart\nMixMonitorID: c", "recording.started recording/1.1-3"),
        ("MixMonitorStop\nMixMonitorID: b", "recording.ended recording/1.1-2"),
        ("MixMonitorStop", "recording.ended recording/1.1"),
    ] {
        assert_eq!(ids(of_leg(&mut play, event)), [expected], "{event}");
    }
    let ended = ids(of_leg(&mut play, "Hangup"));
    assert_eq!(
        ended,
        ["recording.ended recording/1.1-3", "call.hangup call/1.1".replace("call/", "").as_str()]
    );
}

/// What notifications of ISR are made of.
#[test]
fn a_recording_has_the_names_of_isr() {
    let mut play = Play::new(&[]);
    play.events(LEG);
    play.events("Event: MixMonitorStart\nUniqueid: 1.1");
    let told = play.out.last().expect("a recording");
    let fact = |name: &str| told.facts.iter().find(|(n, _)| *n == name).and_then(|(_, fact)| fact.as_text());
    let found = ["recording_id", "start_time", "ucid", "ani", "dnis"].map(fact);
    assert_eq!(found, ["1.1", "2026-11-23T14:23:20.000Z", "1.1", "100", "200"].map(Some));
}

#[test]
fn devices_and_extensions() {
    let expected = [
        "extension.state extension/103@office extension=103 context=office state=Ringing",
        "extension.state extension/103@office extension=103 context=office state=InUse",
        "extension.state extension/103@office extension=103 context=office state=Hold",
        "extension.state extension/103@office extension=103 context=office state=Unavailable",
        "extension.state extension/103@office extension=103 context=office state=Idle",
        "device.state device/Custom:x device=Custom:x state=RINGING extension=103",
        "device.state device/Custom:x device=Custom:x state=INUSE extension=103",
        "device.state device/Custom:x device=Custom:x state=ONHOLD extension=103",
        "device.state device/Custom:x device=Custom:x state=UNAVAILABLE extension=103",
        "device.state device/Custom:x device=Custom:x state=NOT_INUSE extension=103",
    ];
    for (version, capture) in CAPTURES {
        let mut play = Play::new(&[]);
        play.events("Event: ExtensionStatus\nExten: 103\nContext: office\nHint: Custom:x");
        play.told();
        play.events(section(capture, "devices"));
        assert_eq!(by_subject(play.told()), by_subject(expected), "{version}");
    }
}

/// A hint says which extension a device is; a state is told when it differs.
#[test]
fn states_are_told_once() {
    let mut play = Play::new(&[]);
    let device = "Event: DeviceStateChange\nDevice: PJSIP/desk\nState: INUSE";
    let hint = "Event: ExtensionStatus\nExten: 100\nContext: office\nHint: PJSIP/desk&Custom:x,CustomPresence:x\nStatus: 1\nStatusText: InUse";
    for (event, expected) in [
        (device, &["device.state device/PJSIP/desk device=PJSIP/desk state=INUSE"][..]),
        (device, &[]),
        (hint, &["extension.state extension/100@office extension=100 context=office state=InUse"]),
        (hint, &[]),
        (device, &["device.state device/PJSIP/desk device=PJSIP/desk state=INUSE extension=100"]),
        ("Event: DeviceStateChange\nDevice: Local/1@x\nState: INUSE", &[]),
        ("Event: DeviceStateChange\nState: INUSE", &[]),
    ] {
        play.events(event);
        assert_eq!(play.told(), expected, "{event}");
    }
}

#[test]
fn presence() {
    check(
        "presence",
        &[
            "user.status user/103 extension=103 status_type=dnd note=busy",
            "user.status user/103 extension=103 status_type=available",
        ],
    );
}

#[test]
fn mailboxes() {
    check(
        "voicemail",
        &["sip.message_summary account/100@default account=100@default waiting=true new=1 old=0"],
    );
}

/// Of a doing, the lines of one address of record.
fn check_contacts(doing: &str, aor: &str, expected: &[&str]) {
    for (version, capture) in CAPTURES {
        let mut play = Play::new(&[]);
        // All that registered before is known.
        play.events(section(capture, "register"));
        if doing != "register" {
            play.told();
            play.events(section(capture, doing));
        }
        let subject = format!("sip.reg aor/{aor} ");
        let lines: Vec<String> =
            play.told().into_iter().filter_map(|line| Some(line.strip_prefix(&subject)?.into())).collect();
        let lines: Vec<&str> =
            lines.iter().map(|line: &String| line.split(" extension").next().unwrap_or(line)).collect();
        assert_eq!(lines, expected, "{doing}, {version}");
    }
}

#[test]
fn contacts() {
    check_contacts(
        "register",
        "102",
        &[
            "aor=102 state=active contact_uri=sip:102@127.0.0.1:5158 contact_state=active event=registered status=NonQualified",
            "aor=102 state=active contact_uri=sip:102@127.0.0.1:5158 contact_state=active status=Reachable",
        ],
    );
    check_contacts(
        "contacts_go",
        "101",
        &[
            "aor=101 state=terminated contact_uri=sip:101@127.0.0.1:5148 contact_state=terminated event=unregistered",
            "aor=101 state=active contact_uri=sip:101@127.0.0.1:5148 contact_state=active event=registered status=NonQualified",
        ],
    );
    check_contacts(
        "contacts_go",
        "102",
        &["aor=102 state=active contact_uri=sip:102@127.0.0.1:5158 contact_state=active status=Unreachable"],
    );
}

/// Only a later expiry makes a contact refreshed.
#[test]
fn a_contact_is_refreshed() {
    let mut play = Play::new(&[]);
    for (status, expires, event) in [
        ("Reachable", "1795443900", Some("registered")),
        ("Unreachable", "1795443900", None),
        ("Reachable", "1795444000", Some("refreshed")),
    ] {
        play.events(&format!(
            "Event: ContactStatus\nURI: sip:a\nContactStatus: {status}\nAOR: 100\nRegExpire: {expires}"
        ));
        let told = play.out.pop().expect("told");
        let said = told.facts.iter().find(|(name, _)| *name == "event").and_then(|(_, fact)| fact.as_text());
        assert_eq!(said, event, "{status}");
    }
}

/// An address of record is active as long as one of its contacts is.
#[test]
fn one_of_two_contacts_goes() {
    let mut play = Play::new(&[]);
    let contact = |uri: &str, status: &str| {
        format!("Event: ContactStatus\nURI: {uri}\nContactStatus: {status}\nAOR: 100\nEndpointName: 100")
    };
    for (uri, status, expected) in [
        ("sip:a", "Removed", None),
        (
            "sip:a",
            "Created",
            Some("state=active contact_uri=sip:a contact_state=active event=registered status=Created"),
        ),
        (
            "sip:b",
            "Reachable",
            Some("state=active contact_uri=sip:b contact_state=active event=registered status=Reachable"),
        ),
        ("sip:b", "Reachable", None),
        (
            "sip:a",
            "Removed",
            Some("state=active contact_uri=sip:a contact_state=terminated event=unregistered"),
        ),
        (
            "sip:b",
            "Removed",
            Some("state=terminated contact_uri=sip:b contact_state=terminated event=unregistered"),
        ),
    ] {
        play.events(&contact(uri, status));
        let expected: Vec<String> =
            expected.into_iter().map(|line| format!("sip.reg aor/100 aor=100 {line}")).collect();
        assert_eq!(play.told(), expected, "{uri} {status}");
    }
}

/// What belongs to no call matches by its device or its context, or a rule without conditions.
#[test]
fn scope_of_what_is_no_call() {
    let rule = |context: Option<&str>, trunk: Option<&str>, account: &str| ScopeRule {
        context: context.map(Into::into),
        trunk: trunk.map(Into::into),
        attributes: vec![("account", account.into())],
        ..ScopeRule::default()
    };
    let rules =
        [rule(None, Some("provider"), "p"), rule(Some("office"), None, "o"), rule(None, None, "rest")];
    for (event, account) in [
        ("Event: DeviceStateChange\nDevice: PJSIP/provider\nState: INUSE", "p"),
        ("Event: ContactStatus\nAOR: x\nEndpointName: provider\nURI: sip:a\nContactStatus: Reachable", "p"),
        ("Event: QueueMemberAdded\nQueue: q\nInterface: PJSIP/provider\nStatus: 1", "p"),
        ("Event: ExtensionStatus\nExten: 100\nContext: office\nStatus: 0\nStatusText: Idle", "o"),
        ("Event: PresenceStatus\nExten: 100\nContext: office\nStatus: dnd", "o"),
        ("Event: MessageWaiting\nMailbox: 100@default\nWaiting: 1", "rest"),
        ("Event: DeviceStateChange\nDevice: PJSIP/100\nState: INUSE", "rest"),
    ] {
        let mut play = Play::new(&rules);
        play.events(event);
        let told = play.told();
        assert!(told.len() == 1 && told[0].ends_with(&format!(" @account={account}")), "{told:?}");
    }
}

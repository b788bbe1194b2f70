//! Calls, as both versions play them.

use super::*;

/// Of some technologies a channel is made before it is known that its party calls.
#[test]
fn a_caller_is_known_late() {
    for (number, line) in
        [("100", "call.incoming 1.1 100>200 did=200"), ("", "call.incoming 1.1 ->200 did=200")]
    {
        let mut play = Play::new(&[]);
        let of = |event: &str, state: &str, exten: &str| {
            format!(
                "Event: {event}\nChannel: DAHDI/1-1\nChannelState: {state}\nCallerIDNum: {number}\nExten: {exten}\nUniqueid: 1.1"
            )
        };
        play.events(&of("Newchannel", "0", "s"));
        play.events(&of("Newstate", "4", "200"));
        assert_eq!(play.told(), [line]);
        play.events(&of("Newstate", "6", "200"));
        assert_eq!(play.told(), [line.replace("incoming", "connected")]);
        // A resync may be what tells it.
        let mut play = Play::new(&[]);
        play.events(&of("Newchannel", "0", "s"));
        let answer = of("CoreShowChannel", "4", "200");
        assert_eq!(
            play.resync(&format!("--- CoreShowChannels\n{answer}\n\n")),
            [format!("{line} reason=resync")]
        );
    }
}

#[test]
fn answered() {
    check(
        "answered",
        &[
            "call.incoming 1.1 100>101 extension=100",
            "call.dial 1.2 100>101 extension=101 state=begin",
            "call.ringing 1.2 100>101 extension=101",
            "call.answered 1.2 100>101 extension=101",
            "call.dial 1.2 100>101 extension=101 state=end status=ANSWER",
            "call.connected 1.1 100>101 extension=100",
            "call.link_start 1.1 caller_number_1=100 caller_number_2=101",
            "call.link_end 1.1 caller_number_1=100 caller_number_2=101",
            "call.hangup 1.2 100>101 extension=101 cause=16 reason=Normal Clearing",
            "call.hangup 1.1 100>101 extension=100 cause=16 reason=Normal Clearing",
        ],
    );
}

#[test]
fn busy() {
    check(
        "busy",
        &[
            "call.incoming 1.1 100>101 extension=100",
            "call.dial 1.2 100>101 extension=101 state=begin",
            "call.dial 1.2 100>101 extension=101 state=end status=BUSY",
            "call.hangup 1.2 100>101 extension=101 cause=17 reason=User busy",
            "call.hangup 1.1 100>101 extension=100 cause=17 reason=User busy",
        ],
    );
}

#[test]
fn declined() {
    check(
        "declined",
        &[
            "call.incoming 1.1 100>101 extension=100",
            "call.dial 1.2 100>101 extension=101 state=begin",
            "call.dial 1.2 100>101 extension=101 state=end status=NOANSWER",
            "call.hangup 1.2 100>101 extension=101 cause=21 reason=Call Rejected",
            "call.hangup 1.1 100>101 extension=100 cause=34 reason=Circuit/channel congestion",
        ],
    );
}

#[test]
fn cancelled() {
    check(
        "cancelled",
        &[
            "call.incoming 1.1 100>101 extension=100",
            "call.dial 1.2 100>101 extension=101 state=begin",
            "call.ringing 1.2 100>101 extension=101",
            "call.dial 1.2 100>101 extension=101 state=end status=CANCEL",
            "call.hangup 1.2 100>101 extension=101 cause=127 reason=Interworking, unspecified",
            "call.hangup 1.1 100>101 extension=100 cause=127 reason=Interworking, unspecified",
        ],
    );
}

#[test]
fn not_answered() {
    check(
        "no_answer",
        &[
            "call.incoming 1.1 100>109 extension=100",
            "call.dial 1.2 100>101 extension=101 state=begin",
            "call.ringing 1.2 100>101 extension=101",
            "call.dial 1.2 100>101 extension=101 state=end status=NOANSWER",
            "call.hangup 1.2 100>101 extension=101 cause=0 reason=Unknown",
            "call.hangup 1.1 100>109 extension=100 cause=0 reason=Unknown",
        ],
    );
}

/// The number that was called from outside is told of all legs.
#[test]
fn from_a_trunk() {
    check(
        "trunk_in",
        &[
            "call.incoming 1.1 trunk>5551000 did=5551000",
            "call.dial 1.2 trunk>101 did=5551000 extension=101 state=begin",
            "call.ringing 1.2 trunk>101 did=5551000 extension=101",
            "call.answered 1.2 trunk>101 did=5551000 extension=101",
            "call.dial 1.2 trunk>101 did=5551000 extension=101 state=end status=ANSWER",
            "call.connected 1.1 trunk>5551000 did=5551000",
            "call.link_start 1.1 caller_number_1=trunk caller_number_2=101",
            "call.link_end 1.1 caller_number_1=trunk caller_number_2=101",
            "call.hangup 1.2 trunk>101 did=5551000 extension=101 cause=16 reason=Normal Clearing",
            "call.hangup 1.1 trunk>5551000 did=5551000 cause=16 reason=Normal Clearing",
        ],
    );
}

/// The second phone's call is cancelled when the first answers.
#[test]
fn two_phones_ring() {
    check(
        "forked",
        &[
            "call.incoming 1.1 100>108 extension=100",
            "call.dial 1.2 100>101 extension=101 state=begin",
            "call.ringing 1.2 100>101 extension=101",
            "call.dial 1.3 100>102 extension=102 state=begin",
            "call.ringing 1.3 100>102 extension=102",
            "call.answered 1.2 100>101 extension=101",
            "call.dial 1.3 100>102 extension=102 state=end status=CANCEL",
            "call.hangup 1.3 100>102 extension=102 cause=26 reason=Answered elsewhere",
            "call.dial 1.2 100>101 extension=101 state=end status=ANSWER",
            "call.connected 1.1 100>108 extension=100",
            "call.link_start 1.1 caller_number_1=100 caller_number_2=101",
            "call.link_end 1.1 caller_number_1=100 caller_number_2=101",
            "call.hangup 1.2 100>101 extension=101 cause=16 reason=Normal Clearing",
            "call.hangup 1.1 100>108 extension=100 cause=16 reason=Normal Clearing",
        ],
    );
}

#[test]
fn held() {
    for (version, capture) in CAPTURES {
        let mut play = Play::new(&[]);
        play.events(section(capture, "held"));
        let statuses: Vec<String> =
            play.told().into_iter().filter(|line| line.starts_with("call.status")).collect();
        let expected = [
            "call.status 1.1 100>101 extension=100 status=HOLD",
            "call.status 1.1 100>101 extension=100 status=ESTABLISHED",
        ];
        assert_eq!(statuses, expected, "{version}");
    }
}

#[test]
fn digits() {
    check(
        "dtmf",
        &[
            "call.incoming 1.1 100>500 extension=100",
            "call.connected 1.1 100>500 extension=100",
            "call.dtmf 1.1 100>500 extension=100 digits=5 duration_ms=160",
            "call.dtmf 1.1 100>500 extension=100 digits=# duration_ms=160",
            "call.hangup 1.1 100>500 extension=100 cause=0 reason=Unknown",
        ],
    );
}

#[test]
fn transferred_blind() {
    check(
        "blind",
        &[
            "call.incoming 1.1 100>101 extension=100",
            "call.dial 1.2 100>101 extension=101 state=begin",
            "call.ringing 1.2 100>101 extension=101",
            "call.answered 1.2 100>101 extension=101",
            "call.dial 1.2 100>101 extension=101 state=end status=ANSWER",
            "call.connected 1.1 100>101 extension=100",
            "call.link_start 1.1 caller_number_1=100 caller_number_2=101",
            "call.link_end 1.1 caller_number_1=100 caller_number_2=101",
            "call.transfer 1.1 100>102 extension=100 transfer=blind status=Success transferer_call_id=1.2 transferer_number=101",
            "call.hangup 1.2 100>101 extension=101 cause=16 reason=Normal Clearing",
            "call.dial 1.3 100>102 extension=102 state=begin",
            "call.ringing 1.3 100>102 extension=102",
            "call.answered 1.3 100>102 extension=102",
            "call.dial 1.3 100>102 extension=102 state=end status=ANSWER",
            "call.link_start 1.1 caller_number_1=100 caller_number_2=102",
            "call.link_end 1.1 caller_number_1=100 caller_number_2=102",
            "call.hangup 1.3 100>102 extension=102 cause=16 reason=Normal Clearing",
            "call.hangup 1.1 100>101 extension=100 cause=16 reason=Normal Clearing",
        ],
    );
}

#[test]
fn transferred_attended() {
    check(
        "attended",
        &[
            "call.incoming 1.1 100>101 extension=100",
            "call.dial 1.2 100>101 extension=101 state=begin",
            "call.ringing 1.2 100>101 extension=101",
            "call.answered 1.2 100>101 extension=101",
            "call.dial 1.2 100>101 extension=101 state=end status=ANSWER",
            "call.connected 1.1 100>101 extension=100",
            "call.link_start 1.1 caller_number_1=100 caller_number_2=101",
            "call.incoming 1.3 101>102 extension=101",
            "call.dial 1.4 101>102 extension=102 state=begin",
            "call.ringing 1.4 101>102 extension=102",
            "call.answered 1.4 101>102 extension=102",
            "call.dial 1.4 101>102 extension=102 state=end status=ANSWER",
            "call.connected 1.3 101>102 extension=101",
            "call.link_start 1.3 caller_number_1=101 caller_number_2=102",
            "call.link_end 1.1 caller_number_1=100 caller_number_2=101",
            "call.link_end 1.3 caller_number_1=101 caller_number_2=102",
            "call.link_start 1.1 caller_number_1=100 caller_number_2=102",
            "call.transfer 1.1 100>102 extension=100 transfer=attended target_call_id=1.4 status=Success transferer_call_id=1.2 transferer_number=101",
            "call.hangup 1.2 100>101 extension=101 cause=16 reason=Normal Clearing",
            "call.hangup 1.3 101>102 extension=101 cause=16 reason=Normal Clearing",
            "call.link_end 1.1 caller_number_1=100 caller_number_2=102",
            "call.hangup 1.1 100>101 extension=100 cause=16 reason=Normal Clearing",
            "call.hangup 1.4 101>102 extension=102 cause=16 reason=Normal Clearing",
        ],
    );
}

/// Halves of Local channels are never told, whether they stay between the legs or get out of their way.
#[test]
fn local_channels_do_not_count() {
    for (doing, number) in [("local_optimized", "110"), ("local_kept", "111")] {
        let lines = [
            "call.incoming 1.1 100>N extension=100",
            "call.dial 1.4 100>101 extension=101 state=begin",
            "call.ringing 1.4 100>101 extension=101",
            "call.answered 1.4 100>101 extension=101",
            "call.dial 1.4 100>101 extension=101 state=end status=ANSWER",
            "call.connected 1.1 100>N extension=100",
            "call.link_start 1.1 caller_number_1=100 caller_number_2=101",
            "call.link_end 1.1 caller_number_1=100 caller_number_2=101",
            "call.hangup 1.4 100>101 extension=101 cause=16 reason=Normal Clearing",
            "call.hangup 1.1 100>N extension=100 cause=16 reason=Normal Clearing",
        ];
        let lines = lines.map(|line| line.replace(">N ", &format!(">{number} ")));
        check(doing, &lines.each_ref().map(String::as_str));
    }
}

#[test]
fn originated_through_a_local_channel() {
    check(
        "originate",
        &[
            "call.dial 1.3 777>101 extension=101 state=begin",
            "call.ringing 1.3 777>101 extension=101",
            "call.answered 1.3 777>101 extension=101",
            "call.dial 1.3 777>101 extension=101 state=end status=ANSWER",
            "call.hangup 1.3 777>101 extension=101 cause=16 reason=Normal Clearing",
        ],
    );
}

#[test]
fn originated() {
    check(
        "originate_phone",
        &[
            "call.dial 1.1 777>101 extension=101 state=begin",
            "call.ringing 1.1 777>101 extension=101",
            "call.answered 1.1 777>101 extension=101",
            "call.dial 1.1 777>101 extension=101 state=end status=ANSWER",
            "call.dial 1.2 777>102 extension=102 state=begin",
            "call.ringing 1.2 777>102 extension=102",
            "call.answered 1.2 777>102 extension=102",
            "call.dial 1.2 777>102 extension=102 state=end status=ANSWER",
            "call.link_start 1.1 caller_number_1=101 caller_number_2=102",
            "call.link_end 1.1 caller_number_1=101 caller_number_2=102",
            "call.hangup 1.1 777>101 extension=101 cause=16 reason=Normal Clearing",
            "call.hangup 1.2 777>102 extension=102 cause=16 reason=Normal Clearing",
        ],
    );
    check(
        "originate_fails",
        &[
            "call.dial 1.1 ->101 extension=101 state=begin",
            "call.dial 1.1 ->101 extension=101 state=end status=BUSY",
            "call.hangup 1.1 ->101 extension=101 cause=17 reason=User busy",
        ],
    );
}

/// Taken out of a call by an action, a leg goes on alone.
#[test]
fn redirected() {
    check(
        "redirected",
        &[
            "call.incoming 1.1 100>101 extension=100",
            "call.dial 1.2 100>101 extension=101 state=begin",
            "call.ringing 1.2 100>101 extension=101",
            "call.answered 1.2 100>101 extension=101",
            "call.dial 1.2 100>101 extension=101 state=end status=ANSWER",
            "call.connected 1.1 100>101 extension=100",
            "call.link_start 1.1 caller_number_1=100 caller_number_2=101",
            "call.link_end 1.1 caller_number_1=100 caller_number_2=101",
            "call.hangup 1.2 100>101 extension=101 cause=16 reason=Normal Clearing",
            "call.hangup 1.1 100>101 extension=100 cause=16 reason=Normal Clearing",
        ],
    );
}

/// A parking lot links nobody.
#[test]
fn parked() {
    check(
        "parked",
        &[
            "call.incoming 1.1 100>700 extension=100",
            "call.connected 1.1 100>700 extension=100",
            "call.hangup 1.1 100>700 extension=100 cause=16 reason=Normal Clearing",
        ],
    );
}

/// All that is said of a leg, of two that are linked, and when.
#[test]
fn all_facts() {
    let mut play = Play::new(&[]);
    let capture = section(CAPTURES[1].1, "trunk_in");
    for block in blocks(capture) {
        play.events(block);
        play.now.wall.0 += 700;
    }
    let facts = |event_type: &str| -> Vec<String> {
        let mut told = play.out.iter().filter(|told| told.event_type == event_type);
        let called = |told: &&Told| event_type == "call.link_start" || told.subject == "call/1.2";
        let told = told.find(called).expect(event_type);
        told.facts.iter().map(|(name, fact)| format!("{name}={}", fact.as_text().unwrap_or("null"))).collect()
    };
    let called = [
        "call_id=1.2",
        "linked_id=1.1",
        "direction=outbound",
        "caller_number=trunk",
        "caller_name=Mike",
        "called_number=101",
        "called_name=Bob",
        "did=5551000",
        "extension=101",
        "username=101",
        "channel=PJSIP/101-0d",
    ];
    assert_eq!(facts("call.ringing"), called);
    let hangup = facts("call.hangup");
    assert_eq!(hangup[..11], called);
    assert_eq!(hangup[11..13], ["cause=16", "reason=Normal Clearing"]);
    assert!(hangup[13].starts_with("duration=") && hangup[14].starts_with("talk_duration="), "{hangup:?}");
    let linked = [
        "linked_id=1.1",
        "call_id_1=1.1",
        "caller_number_1=trunk",
        "caller_name_1=Mike",
        "did_1=5551000",
        "channel_1=PJSIP/trunk-0c",
        "call_id_2=1.2",
        "caller_number_2=101",
        "caller_name_2=Bob",
        "did_2=5551000",
        "extension_2=101",
        "username_2=101",
        "channel_2=PJSIP/101-0d",
    ];
    assert_eq!(facts("call.link_start"), linked);
}

#[test]
fn durations_are_whole_seconds() {
    let mut play = Play::new(&[]);
    let at = |seconds: u64, event: &str| {
        format!("{event}\nTimestamp: {seconds}.250000\nUniqueid: 1.1\nLinkedid: 1.1")
    };
    play.events(&at(100, "Event: Newchannel\nChannel: PJSIP/100-1\nChannelState: 4"));
    play.events(&at(104, "Event: Newstate\nChannelState: 6"));
    play.events(&at(111, "Event: Hangup\nCause: 16"));
    let hangup = play.out.last().expect("a hangup");
    let number =
        |name: &str| hangup.facts.iter().find(|(n, _)| *n == name).and_then(|(_, fact)| fact.as_text());
    assert_eq!((number("duration"), number("talk_duration")), (Some("11"), Some("7")));
    assert_eq!(hangup.wall, Wall(111_250));
}

#[test]
fn progress_is_told_and_one_end() {
    let mut play = Play::new(&[]);
    play.events(
        "Event: Newchannel\nChannel: PJSIP/101-1\nChannelState: 0\nCallerIDNum: 101\nUniqueid: 1.1\nLinkedid: 1.1\n\n\
         Event: DialBegin\nDestUniqueid: 1.1\nDestLinkedid: 1.1\n\n\
         Event: DialState\nDestUniqueid: 1.1\nDialStatus: PROGRESS\n\n\
         Event: DialState\nDestUniqueid: 1.1\nDialStatus: RINGING\n\n\
         Event: DialEnd\nDestUniqueid: 1.1\nDialStatus: NOANSWER\n\n\
         Event: DialEnd\nDestUniqueid: 1.1\nDialStatus: CANCEL",
    );
    assert_eq!(
        play.told(),
        [
            "call.dial 1.1 ->101 extension=101 state=begin",
            "call.progress 1.1 ->101 extension=101",
            "call.dial 1.1 ->101 extension=101 state=end status=NOANSWER"
        ]
    );
}

/// A call's scope is that of the first rule that any of its legs matches, and narrows as variables are set.
#[test]
fn a_call_has_one_scope() {
    let rule = |context: Option<&str>, attribute, value: &str| ScopeRule {
        context: context.map(Into::into),
        attributes: vec![(attribute, value.into())],
        ..ScopeRule::default()
    };
    let tenant =
        ScopeRule { variable: Some(("DID".into(), "5551000".into())), ..rule(None, "account", "acme") };
    let rules = [tenant, rule(Some("from-trunk"), "appid", "outside"), rule(None, "appid", "inside")];
    let mut play = Play::new(&rules);
    let set = "\n\nEvent: VarSet\nUniqueid: 1.1\nVariable: __DID\nValue: 5551000";
    let capture = section(CAPTURES[0].1, "trunk_in");
    let (first, rest) = capture.split_once("\n\n").expect("two events");
    play.events(&format!("{first}{set}\n\n{rest}"));
    let told = play.told();
    assert!(told[0].starts_with("call.incoming") && told[0].ends_with(" @appid=outside"), "{told:?}");
    assert!(told[1..].iter().all(|line| line.ends_with(" @account=acme")), "{told:?}");
    play.events(section(CAPTURES[0].1, "answered"));
    assert!(play.told().iter().all(|line| line.ends_with(" @appid=inside")));
}

/// Asterisk may tell that a phone rings before it tells that it called it.
#[test]
fn a_leg_begins_with_its_dial() {
    let mut play = Play::new(&[]);
    play.events(
        "Event: Newchannel\nChannel: PJSIP/101-1\nChannelState: 0\nCallerIDNum: 101\nUniqueid: 1.1\nLinkedid: 1.1\n\n\
         Event: Newstate\nChannelState: 5\nCallerIDNum: 101\nConnectedLineNum: 100\nUniqueid: 1.1\nLinkedid: 1.1\n\n\
         Event: DialBegin\nDestUniqueid: 1.1\nDestLinkedid: 1.1\nDialString: 101\n\n\
         Event: DialEnd\nDestUniqueid: 1.1\nDialStatus: ANSWER",
    );
    let lines = [
        "call.dial 1.1 100>101 extension=101 state=begin",
        "call.ringing 1.1 100>101 extension=101",
        "call.dial 1.1 100>101 extension=101 state=end status=ANSWER",
    ];
    assert_eq!(play.told(), lines);
}

/// One that ends before anybody was told of it is not told.
#[test]
fn a_channel_that_came_to_nothing() {
    let mut play = Play::new(&[]);
    play.events(
        "Event: Newchannel\nChannel: PJSIP/101-1\nChannelState: 0\nCallerIDNum: 101\nUniqueid: 1.1\nLinkedid: 1.1\n\n\
         Event: Hangup\nUniqueid: 1.1\nCause: 20",
    );
    assert_eq!(play.told(), Vec::<String>::new());
    assert!(play.mirror.is_empty() && play.mirror.calls.is_empty());
}

#[test]
fn a_channel_gets_another_name() {
    let mut play = Play::new(&[]);
    play.events(
        "Event: Newchannel\nChannel: PJSIP/100-1\nChannelState: 4\nCallerIDNum: 100\nExten: 500\nUniqueid: 1.1\nLinkedid: 1.1\n\n\
         Event: Rename\nChannel: PJSIP/100-1\nNewname: PJSIP/desk-2\nUniqueid: 1.1\n\n\
         Event: Hangup\nUniqueid: 1.1\nCause: 16",
    );
    assert_eq!(play.told(), ["call.incoming 1.1 100>500 extension=100", "call.hangup 1.1 100>500 cause=16"]);
}

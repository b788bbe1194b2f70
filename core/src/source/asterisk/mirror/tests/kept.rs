//! A restart: what was open is taken back, and told no second time.

use super::*;

/// Each section of the captures up to each of its events: what was told to be open can be kept and restored, and a resync
/// with nothing there closes exactly that.
#[test]
fn what_is_open_survives_a_restart() {
    for (version, capture) in CAPTURES {
        for name in capture.split("=== ").skip(1).filter_map(|text| text.lines().next()) {
            let text = section(capture, name);
            for upto in 0..=blocks(text).count() {
                let mut play = Play::new(&[]);
                blocks(text).take(upto).for_each(|block| play.events(block));
                let mut books = Books::new();
                play.out.iter().for_each(|told| books.enter(told));
                let mut restarted = Play::new(&[]);
                for key in &books.open {
                    let kept = play.mirror.keep(&Key::parse(key)).unwrap_or_else(|| panic!("{name}: {key}"));
                    restarted.mirror.restore(&kept);
                    // What is kept twice is the same.
                    restarted.mirror.restore(&kept);
                }
                restarted.mirror.begin_resync();
                restarted.mirror.finish_resync(&[], restarted.now, &mut restarted.out);
                restarted.out.iter().for_each(|told| books.enter(told));
                assert!(books.open.is_empty(), "{version}, {name}, {upto}: {:?}", books.open);
                assert!(restarted.out.iter().all(|told| matches!(told.open, Open::Closes(_))));
            }
        }
    }
}

/// Hints are not known yet when a leg is taken back: whose phone it is was known before.
#[test]
fn an_extension_stays_one() {
    let mut play = Play::new(&[]);
    play.events("Event: ExtensionStatus\nExten: 100\nContext: office\nHint: PJSIP/alice\nStatusText: Idle");
    play.events("Event: Newchannel\nChannel: PJSIP/alice-1\nChannelState: 4\nExten: 200\nUniqueid: 1.1");
    let mut restarted = Play::new(&[]);
    restarted.mirror.restore(&play.mirror.keep(&Key::new("call", "1.1")).expect("open"));
    assert_eq!(restarted.resync(""), ["call.hangup 1.1 ->200 reason=resync"]);
}

#[test]
fn what_is_still_there_is_not_told_again() {
    for (version, answers) in ANSWERS.map(|(version, text)| (version, section(text, "list_queue"))) {
        let mut play = Play::new(&[]);
        play.begin(answers);
        play.mirror.finish_resync(&[], play.now, &mut play.out);
        let mut books = Books::new();
        play.out.iter().for_each(|told| books.enter(told));
        let mut restarted = Play::new(&[]);
        // The links come before their legs, or behind them.
        for key in books.open.iter().rev() {
            restarted.mirror.restore(&play.mirror.keep(&Key::parse(key)).expect("open"));
        }
        assert_eq!(restarted.resync(answers), Vec::<String>::new(), "{version}");
        assert_eq!(play.mirror.keep(&Key::new("call", "9.9")), None);
        assert_eq!(play.mirror.keep(&Key::new("no", "such")), None);
    }
}

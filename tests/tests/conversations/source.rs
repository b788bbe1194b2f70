//! A PBX as a source: what it tells is published, and its connection is lost, refused, slow, full of garbage, or flooded.

use offhook_core::ground::config::Source;
use offhook_core::{Completion, Config, Seq};
use offhook_tests::ami::Pbx;
use offhook_tests::memory::World;

use crate::source_common::{Office, PBX, config, source};

const UP: &str = "source.up source/pbx version=22.10.0";

#[test]
fn calls_are_told() {
    for md5 in [true, false] {
        let config = Config { sources: vec![Source { md5, ..source() }], ..Config::default() };
        let mut office = Office::with(config, Pbx::default());
        let login = if md5 { &["Challenge", "Login"][..] } else { &["Login"] };
        assert_eq!(office.pbx.asked[..login.len() + 2], [login, &["CoreSettings", "ListCommands"]].concat());
        office.begin("1.0");
        office.end("1.0");
        office.expect(&[UP, "call.incoming call/1.0", "call.hangup call/1.0"]);
        assert_eq!(office.notes(), ["source pbx: connected with Asterisk 22.10.0"]);
        let stats = office.world.stats();
        let pbx = &stats.sources["pbx"];
        assert_eq!((pbx.connected, pbx.resyncs, pbx.dropped, pbx.lost), (1, 1, 0, 0));
        assert_eq!((pbx.events["call.incoming"], pbx.events["call.hangup"]), (1, 1));
    }
}

/// What is there already when offhook comes, and what came while the question was under way.
#[test]
fn what_is_there_already_is_asked_for() {
    let mut pbx = Pbx::default();
    pbx.begin("1.0");
    pbx.begin("2.0");
    let mut office = Office::new(pbx);
    office.expect(&[UP, "call.incoming call/1.0 reason=resync", "call.incoming call/2.0 reason=resync"]);
    // Answers that are older than an event do not count.
    office.cut();
    office.events();
    office.pbx.held = Some(Vec::new());
    office.world.pass(2_000);
    let (line, _) = office.world.take_dialed().unwrap();
    office.line = Some(line);
    let greeting = office.pbx.greeting();
    office.say(&greeting);
    while let Some(answer) = office.pbx.held.as_mut().unwrap().pop() {
        if answer.contains("CoreShowChannelsComplete") {
            office.end("1.0");
            office.begin("3.0");
            office.expect(&[UP, "call.hangup call/1.0", "call.incoming call/3.0"]);
        }
        office.say(&answer);
    }
    office.expect(&[]);
}

#[test]
fn answers_come_in_any_order() {
    // Whatever is answered is answered in reverse.
    let mut office = Office::new(Pbx { held: Some(Vec::new()), ..Pbx::default() });
    office.pbx.begin("1.0");
    let mut rounds = 0;
    while let Some(mut held) = office.pbx.held.replace(Vec::new()).filter(|held| !held.is_empty()) {
        held.reverse();
        rounds += 1;
        held.iter().for_each(|answer| office.say(answer));
    }
    assert!(rounds >= 3, "a challenge, a login, what is asked then");
    office.expect(&[UP, "call.incoming call/1.0 reason=resync"]);
}

#[test]
fn a_cut_connection_is_made_again() {
    let mut office = Office::new(Pbx::default());
    office.begin("1.0");
    office.begin("2.0");
    office.events();
    office.cut();
    office.expect(&["source.down source/pbx reason=closed"]);
    // Meanwhile one call ends, and another begins.
    office.pbx.end("1.0");
    office.pbx.begin("3.0");
    office.world.pass(749);
    assert_eq!(office.world.take_dialed(), None, "not at once");
    office.redialed(502);
    office.expect(&[UP, "call.hangup call/1.0 reason=resync", "call.incoming call/3.0 reason=resync"]);
    office.end("2.0");
    office.expect(&["call.hangup call/2.0"]);
    let stats = office.world.stats();
    assert_eq!((stats.sources["pbx"].lost, stats.sources["pbx"].resyncs), (1, 2));
}

/// Tries become rarer, and one that holds for a while makes them frequent again.
#[test]
fn tries_become_rarer() {
    let mut office = Office::over(World::with(config(), 1), Pbx::default());
    let mut waits = Vec::new();
    for _ in 0..9 {
        office.world.jump(0);
        let before = office.world.now().mono;
        while office.world.take_dialed().is_none() {
            let due = office.world.next_deadline().unwrap();
            office.world.pass(due.since(office.world.now().mono).max(1));
        }
        waits.push(office.world.now().mono.since(before));
    }
    for (at, wait) in waits.iter().skip(1).enumerate() {
        let expected = (1_000 << at).min(60_000);
        assert!((expected * 3 / 4..=expected * 5 / 4 + 1).contains(wait), "{waits:?}");
    }
    office.expect(&["source.down source/pbx reason=unreachable"]);
    let notes = office.notes();
    assert_eq!(notes.len(), 9);
    let expected =
        "source pbx: 127.0.0.1:5038: no connection with 127.0.0.1:5038: connection refused; tried again in ";
    assert!(notes[0].starts_with(expected), "{}", notes[0]);
    // It is there, and lost after a minute.
    office.world.serve(PBX);
    office.redialed(75_000);
    office.pass(60_000);
    office.cut();
    office.redialed(1_250);
}

#[test]
fn a_name_is_looked_up() {
    let config =
        Config { sources: vec![Source { host: "pbx.example".into(), ..source() }], ..Config::default() };
    let mut world = World::with(config, 1);
    world.break_name("pbx.example", "no such name");
    let mut office = Office::over(world, Pbx::default());
    office.world.serve("192.0.2.7:5038");
    office.world.jump(0);
    office.expect(&["source.down source/pbx reason=unreachable"]);
    assert!(office.notes()[0].contains("`pbx.example`: no such name; tried again in "));
    // Of two addresses the first does not listen.
    office.world.set_name("pbx.example", &["192.0.2.6", "192.0.2.7"]);
    office.world.pass(2_000);
    assert_eq!(office.world.take_dialed().unwrap().1, "192.0.2.6:5038");
    let (line, address) = office.world.take_dialed().unwrap();
    assert_eq!(address, "192.0.2.7:5038");
    office.line = Some(line);
    let greeting = office.pbx.greeting();
    office.say(&greeting);
    office.expect(&[UP]);
}

/// Faults that a user has to mend: a word, a line that says what to do, and patience.
#[test]
fn what_is_wrong_is_said() {
    let check = |pbx: Pbx, greeting: Option<&str>, word: &str, line: &str| {
        let mut world = World::with(config(), 1);
        world.serve(PBX);
        let mut office = Office::over(world, pbx);
        office.line = Some(office.world.take_dialed().unwrap().0);
        let greeting = greeting.map_or_else(|| office.pbx.greeting(), str::to_owned);
        office.say(&greeting);
        office.pass(10_000);
        office.expect(&[&format!("source.down source/pbx reason={word}")]);
        let notes = office.notes();
        assert!(notes[0].contains(line), "{notes:?}");
        let peer = office.world.connect();
        let ready = office.world.ask(peer, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(ready.status, 200, "the server is as ready as before");
    };
    let refused = Pbx { refuses: true, ..Pbx::default() };
    check(
        refused,
        None,
        "login_refused",
        "the login was refused: Authentication failed (see user, secret and permit",
    );
    let old = Pbx { protocol: "2.10.6", ..Pbx::default() };
    check(
        old,
        None,
        "too_old",
        "it speaks version 2.10.6 of the protocol; Asterisk 16 and later are supported",
    );
    let unlisted = Pbx { denied: ["CoreShowChannels"].into(), ..Pbx::default() };
    check(
        unlisted,
        None,
        "missing_rights",
        "the user may not ask for CoreShowChannels: add \"reporting\" to write",
    );
    let http = Some("HTTP/1.1 400 Bad Request\r\n\r\n");
    check(
        Pbx::default(),
        http,
        "not_asterisk",
        "not the manager of an Asterisk: it begins with \"HTTP/1.1 400",
    );
    check(Pbx::default(), Some(""), "no_banner", "it says nothing, where the manager of an Asterisk greets");
    let mute = Pbx { silent: ["Challenge"].into(), ..Pbx::default() };
    check(mute, None, "no_answer", "it does not answer in time");
}

/// A refused login is not tried again soon: whoever counts failures would shut us out.
#[test]
fn a_refused_login_waits_long() {
    let mut office = Office::new(Pbx { refuses: true, ..Pbx::default() });
    office.world.pass(44_999);
    assert_eq!(office.world.take_dialed(), None);
    office.pbx.refuses = false;
    office.redialed(30_001);
    office.expect(&["source.down source/pbx reason=login_refused", UP]);
}

#[test]
fn a_pbx_that_is_silent_is_left() {
    let mut office = Office::new(Pbx::default());
    office.begin("1.0");
    office.pass(120_000);
    office.expect(&[UP, "call.incoming call/1.0"]);
    office.pbx.silent.insert("Ping");
    office.pass(44_000);
    office.expect(&[]);
    office.pass(2_000);
    office.expect(&["source.down source/pbx reason=silent"]);
}

#[test]
fn a_pbx_that_starts_up_is_waited_for() {
    let mut office = Office::new(Pbx { is_booted: false, ..Pbx::default() });
    office.pass(9_000);
    office.expect(&[]);
    office.say("Event: FullyBooted\r\nStatus: Fully Booted\r\n\r\n");
    office.expect(&[UP]);
    let mut office = Office::new(Pbx { is_booted: false, ..Pbx::default() });
    office.pass(10_000);
    office.expect(&[UP]);
    assert!(office.notes()[1].contains("its user lacks \"system\" in read"));
}

/// Messages that cannot be taken are a gap, and what they may have said is asked for; once in a while, if they do not stop.
#[test]
fn garbage_and_long_messages_are_gaps() {
    let mut office = Office::new(Pbx::default());
    office.begin("1.0");
    office.events();
    office.pbx.end("1.0");
    office.pass(10_000);
    office.say("#!@$\r\n\r\n");
    office.expect(&["source.gap source/pbx reason=garbage dropped=1", "call.hangup call/1.0 reason=resync"]);
    let long = format!("Event: Newchannel\r\nChannel: {}\r\n\r\n", "x".repeat(70_000));
    for _ in 0..5 {
        office.say("#!@$\r\n\r\n");
        office.say(&long);
    }
    office.expect(&[]);
    office.pass(10_000);
    office.expect(&[
        "source.gap source/pbx reason=garbage dropped=5",
        "source.gap source/pbx reason=too_long dropped=5",
    ]);
    office.begin("2.0");
    office.expect(&["call.incoming call/2.0"]);
    let stats = office.world.stats();
    assert_eq!((stats.sources["pbx"].dropped, stats.sources["pbx"].resyncs), (11, 3));
}

#[test]
fn what_is_not_answered_changes_nothing() {
    let mut office = Office::new(Pbx::default());
    office.begin("1.0");
    office.cut();
    office.pbx.silent.insert("CoreShowChannels");
    office.redialed(1_250);
    office.pass(31_000);
    office.expect(&[UP, "call.incoming call/1.0", "source.down source/pbx reason=closed", UP]);
    assert!(office.notes().iter().any(|note| note.contains("no answer to CoreShowChannels: not allowed")));
    office.end("1.0");
    office.expect(&["call.hangup call/1.0"]);
    // It is asked again until there is an answer.
    office.begin("2.0");
    office.pbx.end("2.0");
    office.pbx.silent.clear();
    office.pass(31_000);
    office.expect(&["call.incoming call/2.0", "call.hangup call/2.0 reason=resync"]);
}

/// While the log does not keep up nothing is read, and nothing is lost.
#[test]
fn a_flood_waits_with_the_pbx() {
    let mut config = config();
    config.limits.source_waiting_events = 100;
    let mut office = Office::keeping(config, Pbx::default());
    office.events();
    office.world.hold_durability();
    let flood: String = (0..2_000)
        .map(|n| {
            let (begin, end) = (office.pbx.begin(&n.to_string()), office.pbx.end(&n.to_string()));
            begin + &end
        })
        .collect();
    let line = office.line.unwrap();
    for piece in flood.as_bytes().chunks(10_000) {
        office.world.queue(line, piece);
    }
    office.world.jump(0);
    assert!(office.world.held_back(line) > flood.len() - 200_000, "the rest stays with the PBX");
    let told = office.events().len();
    assert!((100..1_000).contains(&told), "{told}");
    // Its silence is ours: nobody is cut for that.
    office.world.pass(300_000);
    assert!(!office.world.is_closed(line));
    office.world.release_durability();
    office.world.pass(1_000);
    assert_eq!((office.world.held_back(line), office.events().len() + told), (0, 4_000));
    office.talk();
    office.begin("last");
    office.expect(&["call.incoming call/last"]);
}

/// Reading goes on when half of what was too much is durable, and one deadline looks after that, however often it stopped.
#[test]
fn reading_goes_on_at_half() {
    let mut config = config();
    config.limits.source_waiting_events = 100;
    let mut office = Office::keeping(config, Pbx::default());
    let (mut n, line) = (0, office.line.unwrap());
    let mut stop = |office: &mut Office| {
        office.world.hold_durability();
        while office.world.held_back(line) == 0 {
            let flood: String = (0..100).map(|of| office.pbx.begin(&(n + of).to_string())).collect();
            n += 100;
            office.world.send(line, flood);
        }
    };
    for _ in 0..5 {
        stop(&mut office);
        office.world.pass(10);
        office.world.release_durability();
        assert_eq!(office.world.held_back(line), 0);
    }
    stop(&mut office);
    let (waiting, records) = (office.world.held_back(line), office.world.records());
    let until = office.world.now().mono.plus_ms(10_000);
    let mut looks = 0;
    while let Some(due) = office.world.next_deadline().filter(|due| *due <= until) {
        office.world.pass(due.since(office.world.now().mono));
        looks += 1;
    }
    assert!(looks <= 30, "{looks}");
    // Each beginning is two records.
    office.world.make_durable(Seq(records - 120));
    assert_eq!(office.world.held_back(line), waiting, "60 are on their way");
    office.world.make_durable(Seq(records - 80));
    assert_eq!(office.world.held_back(line), 0);
}

#[test]
fn an_ipv6_address_is_in_brackets() {
    let sources = vec![Source { host: "2001:db8::1".into(), ..source() }];
    let world = World::with(Config { sources, ..Config::default() }, 1);
    let mut office = Office::over(world, Pbx::default());
    office.world.jump(0);
    assert_eq!(office.events(), ["source.down source/pbx reason=unreachable"]);
    let notes = office.notes();
    let text = "source pbx: [2001:db8::1]:5038: no connection with [2001:db8::1]:5038: ";
    assert!(notes[0].starts_with(text), "{notes:?}");
}

/// A flood stops the source that it comes from, and no other.
#[test]
fn a_flood_stops_no_other_source() {
    let mut config = config();
    config.limits.source_waiting_events = 10;
    config.sources.push(Source { name: "other".into(), port: 5039, ..source() });
    let mut world = World::with(config, 1);
    world.serve(PBX);
    world.serve("127.0.0.1:5039");
    let mut office = Office::over(world, Pbx::default());
    office.dialed();
    let mut pbx = Pbx::default();
    let (other, address) = office.world.take_dialed().unwrap();
    assert_eq!(address, "127.0.0.1:5039");
    let mut said = pbx.greeting();
    while !said.is_empty() {
        office.world.send(other, said);
        said = pbx.hear(&office.world.take(other));
    }
    office.world.hold_durability();
    for n in 0..20 {
        office.begin(&n.to_string());
    }
    assert!(office.world.held_back(office.line.unwrap()) > 0);
    office.world.send(other, pbx.begin("1.0"));
    assert_eq!(office.world.held_back(other), 0);
    office.world.release_durability();
    assert_eq!(office.world.held_back(office.line.unwrap()), 0);
}

/// A PBX that does not wait for ever: what was not read is a gap. That it has closed the connection is only seen when the
/// connection is read again.
#[test]
fn a_pbx_that_gives_up_in_a_flood_leaves_a_gap() {
    let mut config = config();
    config.limits.source_waiting_events = 10;
    let mut office = Office::keeping(config, Pbx::default());
    office.events();
    office.world.hold_durability();
    let flood: String = (0..20).map(|n| office.pbx.begin(&n.to_string())).collect();
    office.say(&flood);
    assert_eq!(office.events().len(), 20);
    office.pbx.channels.clear();
    let line = office.line.take().unwrap();
    office.world.end(line);
    office.world.pass(100_000);
    assert!(!office.world.is_closed(line), "nobody has looked");
    office.world.release_durability();
    office.redialed(2_500);
    let events = office.events();
    let gap = "source.gap source/pbx reason=slow";
    assert_eq!(events[..3], ["source.down source/pbx reason=closed", UP, gap]);
    assert_eq!(events[3..].iter().filter(|event| event.ends_with("reason=resync")).count(), 20);
    // Long after that it was not read, an end is just an end.
    office.pass(20_000);
    office.cut();
    office.redialed(5_000);
    office.expect(&["source.down source/pbx reason=closed", UP]);
}

/// Too much on its way does not keep a PBX from logging in.
#[test]
fn a_login_does_not_wait_for_the_log() {
    let mut config = config();
    config.limits.source_waiting_events = 10;
    let mut office = Office::keeping(config, Pbx::default());
    office.world.hold_durability();
    let flood: String = (0..20).map(|n| office.pbx.begin(&n.to_string())).collect();
    office.say(&flood);
    office.cut();
    office.redialed(2_500);
    office.world.pass(100_000);
    office.world.release_durability();
    office.pass(2_000);
    let events = office.events();
    let gap = "source.gap source/pbx reason=slow";
    assert_eq!(events[events.len() - 3..], ["source.down source/pbx reason=closed", UP, gap]);
}

/// On several shards it is still one source.
#[test]
fn one_shard_has_the_sources() {
    let mut world = World::with(config(), 3);
    world.serve(PBX);
    let mut office = Office::over(world, Pbx::default());
    office.dialed();
    assert_eq!(office.world.take_dialed(), None);
    office.begin("1.0");
    office.expect(&[UP, "call.incoming call/1.0"]);
}

#[test]
fn a_stop_says_goodbye() {
    let mut office = Office::new(Pbx::default());
    office.world.tell(|| Completion::Stop);
    office.talk();
    assert_eq!(office.pbx.asked.last().map(String::as_str), Some("Logoff"));
    let line = office.line.unwrap();
    office.world.end(line);
    assert!(office.world.is_closed(line));
}

#[test]
fn rights_are_looked_at_before_it_is_up() {
    let denied = ["CoreSettings", "CoreShowChannels"].into();
    let mut office = Office::new(Pbx { is_booted: false, denied, ..Pbx::default() });
    office.pass(10_000);
    office.expect(&["source.down source/pbx reason=missing_rights"]);
}

//! What a session makes of what Asterisk says. Scripts: `>` is sent by us, `<` comes, `@` passes milliseconds, `=` is
//! what was heard.

use super::*;

fn settings(md5: bool) -> Settings {
    let settings = Settings {
        user: "offhook".into(),
        password: Password("test".into()),
        md5,
        events: "call,system".into(),
        ping_ms: 15_000,
        prefix: "oh-".into(),
        login_ms: 0,
        boot_ms: 0,
        answer_ms: 0,
        message_bytes: 0,
    };
    settings.within(&Limits { source_message_bytes: 300, ..Limits::default() })
}

fn show(heard: Heard<'_>) -> Option<String> {
    let line = |message: Message<'_>| text(message.block()).replace("\\r\\n", "|");
    Some(match heard {
        Heard::More | Heard::Nothing => return None,
        Heard::Open { booted } => format!("open {booted}"),
        Heard::Event(message) => format!("event {}", line(message)),
        Heard::Answer(id, message) => format!("answer {id} {}", line(message)),
        Heard::Skipped(skip) => format!("{skip:?}"),
        Heard::Over(fault) => format!("{}: {fault}", fault.word()),
    })
}

/// Plays a script; `|` ends a line, `||` a message.
fn play(md5: bool, script: &str) {
    let mut now = Mono(0);
    let mut session = Session::new(settings(md5), now);
    let (mut heard, mut sent) = (Vec::<String>::new(), String::new());
    for step in script.lines().map(str::trim).filter(|step| !step.is_empty()) {
        let (kind, rest) = step.split_at(1);
        let rest = rest.trim();
        let bytes = rest.replace('|', "\r\n");
        match kind {
            "<" => {
                session.alive(now);
                let mut input = bytes.as_bytes();
                while let heard_now = session.next(now, &mut input, |name| name != b"VarSet")
                    && heard_now != Heard::More
                {
                    heard.extend(show(heard_now));
                }
            }
            "@" => {
                let end = now.plus_ms(rest.parse().unwrap());
                while session.poll_timeout() <= end {
                    now = now.max(session.poll_timeout());
                    heard.extend(show(session.handle_timeout(now)));
                }
                now = end;
            }
            "?" => assert!(session.ask(rest, []).is_ok()),
            "=" => assert_eq!(heard.drain(..1).next().as_deref(), Some(rest), "{step}"),
            _ => {
                sent += &String::from_utf8(session.take_output()).unwrap();
                assert!(sent.starts_with(&bytes), "{step}: {sent}");
                sent.drain(..bytes.len());
            }
        }
        assert!(kind != "<" || heard.len() < 9);
    }
    sent += &String::from_utf8(session.take_output()).unwrap();
    assert_eq!((heard, sent.as_str()), (Vec::new(), ""), "{script}");
}

const PLAIN: &str = "
    < Asterisk Call Manager/5.0.4|
    > Action: Login|ActionID: oh-1|Username: offhook|Events: call,system|AuthType: plaintext|Secret: test||
    < Response: Success|ActionID: oh-1|Message: Authentication accepted||
";

#[test]
fn a_login_in_the_clear() {
    play(
        false,
        &format!(
            "{PLAIN} < Event: FullyBooted|Status: Fully Booted|| \n = open true \n < Event: A|| \n = event Event: A"
        ),
    );
}

#[test]
fn a_login_with_a_challenge() {
    play(
        true,
        "
        < Asterisk Call Manager/11.0.0|
        > Action: Challenge|ActionID: oh-1|AuthType: MD5||
        < Response: Success|ActionID: oh-1|Challenge: 840415273||
        > Action: Login|ActionID: oh-2|Username: offhook|Events: call,system|AuthType: MD5|Key: e7a056e1488882c6c509bbe71a049978||
        < Response: Success|ActionID: oh-2|Message: Authentication accepted||Event: FullyBooted||
        = open true
        ",
    );
}

#[test]
fn what_cannot_become_a_session() {
    let refused = "login_refused: the login was refused: Authentication failed (see user, secret and permit in its \
                   manager.conf)";
    play(false, &format!("{} < Event: FullyBooted|| \n = open true", PLAIN));
    play(
        false,
        &format!(
            "< Asterisk Call Manager/9.0.0|
            > Action: Login|ActionID: oh-1|Username: offhook|Events: call,system|AuthType: plaintext|Secret: test||
            < Response: Error|ActionID: oh-1|Message: Authentication failed||Event: A||
            = {refused}"
        ),
    );
    play(
        true,
        &format!(
            "< Asterisk Call Manager/9.0.0|
            > Action: Challenge|ActionID: oh-1|AuthType: MD5||
            < Response: Error|ActionID: oh-1|Message: Authentication failed||
            = {refused}"
        ),
    );
    for version in ["2.10.6", "1.1", "4.9", "x", ""] {
        play(
            false,
            &format!(
                "< Asterisk Call Manager/{version}|
                = too_old: it speaks version {version} of the protocol; Asterisk 16 and later are supported"
            ),
        );
    }
    play(
        false,
        "< HTTP/1.1 400 Bad Request|
         = not_asterisk: what answers there is not the manager of an Asterisk: it begins with \"HTTP/1.1 400 Bad Request\"",
    );
}

#[test]
fn whoever_does_not_answer_is_left() {
    let no_banner = "= no_banner: it says nothing, where the manager of an Asterisk greets";
    play(false, &format!("@ 9999 \n @ 1 \n {no_banner}"));
    play(
        false,
        "< Asterisk Call Manager/5.0.4|
         > Action: Login|ActionID: oh-1|Username: offhook|Events: call,system|AuthType: plaintext|Secret: test||
         @ 9999
         < Response: Success|ActionID: another||
         @ 1
         = no_answer: it does not answer in time",
    );
}

#[test]
fn a_pbx_that_starts_up_is_waited_for() {
    play(false, &format!("{PLAIN} @ 9999 \n < Event: A|| \n < Event: FullyBooted|| \n = open true"));
    play(false, &format!("{PLAIN} @ 9999 \n @ 1 \n = open false \n < Event: A|| \n = event Event: A"));
    // It may say so before it answers.
    play(
        false,
        "< Asterisk Call Manager/5.0.4|
         > Action: Login|ActionID: oh-1|Username: offhook|Events: call,system|AuthType: plaintext|Secret: test||
         < Event: FullyBooted||
         < Response: Success|ActionID: oh-1||
         = open true",
    );
}

#[test]
fn silence_is_broken_by_a_ping() {
    let open = format!("{PLAIN} < Event: FullyBooted|| \n = open true");
    play(
        false,
        &format!(
            "{open}
            @ 15000
            > Action: Ping|ActionID: oh-2||
            @ 29999
            < Response: Success|ActionID: oh-2|Ping: Pong||
            = answer 2 Response: Success|ActionID: oh-2|Ping: Pong
            @ 14999
            < Event: VarSet||
            @ 14999
            @ 1
            > Action: Ping|ActionID: oh-3||
            @ 30000
            = silent: it no longer answers a ping"
        ),
    );
}

#[test]
fn answers_come_in_any_order() {
    play(
        false,
        &format!(
            "{PLAIN}
            < Event: FullyBooted||
            = open true
            ? CoreShowChannels
            ? QueueStatus
            > Action: CoreShowChannels|ActionID: oh-2||Action: QueueStatus|ActionID: oh-3||
            < Response: Success|ActionID: oh-3||Response: Success|ActionID: oh-2||Event: B|ActionID: oh-9x||
            = answer 3 Response: Success|ActionID: oh-3
            = answer 2 Response: Success|ActionID: oh-2
            = event Event: B|ActionID: oh-9x
            < garbage|||Event: A|{}||
            = Garbage
            = TooLong",
            "x".repeat(300)
        ),
    );
}

#[test]
fn a_password_is_no_way_to_say_more() {
    let mut session = Session::new(
        Settings { password: Password("a\r\nAction: Originate".into()), ..settings(false) },
        Mono(0),
    );
    let mut input = &b"Asterisk Call Manager/5.0.4\r\n"[..];
    assert_eq!(session.next(Mono(0), &mut input, |_| true), Heard::Over(Fault::Unsayable("Secret".into())));
    assert!(session.take_output().is_empty());
    assert!(!format!("{:?}", settings(false)).contains("test"));
}

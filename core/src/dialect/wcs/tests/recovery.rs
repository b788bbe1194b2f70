//! What the log brings back: unfinished hooks are called anew, finished ones never again, whatever the config says by
//! then.

use super::*;

/// The same log under a config, as after a restart.
fn restarted(log: &[(Seq, Arc<Record>)], config: Config) -> Talk {
    let mut talk = Talk::unstarted(config, Place::default());
    talk.hub.recovering = true;
    for (seq, record) in log {
        let mut record = Record::clone(record);
        record.origin = Origin { shard: ShardId(u16::MAX), ..Origin::default() };
        talk.apply(*seq, &record);
    }
    assert!(talk.calls().is_empty(), "nobody acts while the log is read");
    talk.log = log.to_vec();
    talk.hub.recovering = false;
    talk.start();
    talk
}

fn streams() -> Config {
    config(vec![app(&["StreamStatusEvent"])])
}

#[test]
fn a_hook_without_an_outcome_is_called_anew_and_one_with_it_never_again() {
    let mut talk = Talk::with(streams());
    for name in ["done", "failed", "under way", "waiting"] {
        talk.stream("s", name);
    }
    let done = talk.call();
    talk.reply(&done, answer(200));
    let failed = talk.call();
    talk.reply(&failed, answer(500));
    assert_eq!(talk.call().body()["name"], "under way");

    let mut again = restarted(&talk.log, streams());
    for name in ["under way", "waiting"] {
        let asked = again.call();
        assert_eq!(asked.body()["name"], name);
        again.reply(&asked, answer(200));
    }
    let mut third = restarted(&again.log, streams());
    assert!(third.calls().is_empty());
}

/// Another config decides nothing about what stands in the log.
#[test]
fn a_replay_does_not_ask_the_config() {
    let mut talk = Talk::with(streams());
    talk.stream("s", "a");
    talk.publish(event("call.status", &[("appkey", "defaultApp"), ("sessionid", "s")], "{}"));
    let mut again = restarted(&talk.log, config(vec![app(&["CallStatusEvent"])]));
    assert_eq!(again.call().body()["name"], "a");
    let mut later = restarted(&again.log, config(vec![app(&["CallStatusEvent"])]));
    let asked = later.call();
    assert_eq!(asked.body()["name"], "a");
    later.reply(&asked, answer(200));
    assert!(later.calls().is_empty(), "the call event came before its hook was listed");
    later.publish(event(
        "call.status",
        &[("appkey", "defaultApp"), ("sessionid", "s")],
        r#"{"call_id":"c"}"#,
    ));
    assert_eq!(later.call().body()["callId"], "c");
}

#[test]
fn hooks_of_an_application_that_was_removed_are_dead() {
    let mut talk = Talk::with(streams());
    talk.stream("s", "a");
    talk.stream("s", "b");
    assert_eq!(talk.calls().len(), 1);
    let again = restarted(&talk.log, config(vec![]));
    let reasons: Vec<_> = again.ended().into_iter().filter_map(|ended| ended.dead).collect();
    assert_eq!(reasons.len(), 2);
    assert_eq!(&*reasons[0].reason, "REST hook StreamStatusEvent failed: application removed");
    assert!(again.wcs.queue.app("defaultApp").is_none());

    // The same by a reload, while a call is under way; what comes of it is no longer heard.
    talk.hub.config.wcs.apps.clear();
    talk.wcs.reloaded(&mut talk.hub);
    talk.turn();
    assert_eq!(talk.ended().len(), 2);
}

#[test]
fn a_node_id_is_drawn_once_and_kept() {
    let mut config = streams();
    config.wcs.node_id = None;
    config.wcs.node_address = "192.0.2.7".to_owned();
    let mut talk = Talk::with(config.clone());
    talk.stream("s", "a");
    let first = talk.call().body()["nodeId"].as_str().unwrap().to_owned();
    let (drawn, address) = first.split_once('@').unwrap();
    assert_eq!((drawn.len(), address), (32, "192.0.2.7"));
    let mut again = restarted(&talk.log, config);
    assert_eq!(again.call().body()["nodeId"], *first);
}

#[test]
fn what_is_live_is_said_again_so_that_old_segments_can_go() {
    let mut config = streams();
    config.wcs.node_id = None;
    let mut talk = Talk::with(config.clone());
    talk.publish(vendor_event());
    talk.stream("s", "done");
    let calls = talk.calls();
    talk.reply(&calls[1], answer(200));
    let through = talk.log.last().unwrap().0;
    talk.wcs.restate(&mut talk.hub, through);
    talk.turn();
    assert!(talk.calls().is_empty(), "what is said again is not called again");
    let kept: Vec<_> = talk.log.iter().filter(|(seq, _)| *seq > through).cloned().collect();
    assert_eq!(kept.len(), 3, "the node, the application, the hook");

    let mut again = restarted(&kept, config);
    let asked = again.call();
    assert_eq!(asked.text(), calls[0].text());
    again.reply(&asked, answer(200));
    assert!(again.calls().is_empty());
    // Nothing that was said later is said again.
    let records = again.log.len();
    again.wcs.restate(&mut again.hub, through);
    again.turn();
    assert_eq!(again.log.len(), records);
}

/// A hook that ends between being said again and that record's way through the log is not called once more.
#[test]
fn a_hook_that_ends_while_it_is_said_again_stays_ended() {
    let mut talk = Talk::with(streams());
    talk.stream("s", "a");
    let asked = talk.call();
    let through = talk.log.last().unwrap().0;
    talk.wcs.restate(&mut talk.hub, through);
    talk.reply(&asked, answer(200));
    assert!(talk.calls().is_empty());
    assert!(restarted(&talk.log, streams()).calls().is_empty());
}

#[test]
fn a_stop_begins_no_call() {
    let mut talk = Talk::with(streams());
    talk.stream("s", "a");
    let asked = talk.call();
    talk.stream("s", "b");
    talk.hub.stopping = true;
    talk.reply(&asked, answer(200));
    assert!(talk.calls().is_empty());
    assert_eq!(restarted(&talk.log, streams()).call().body()["name"], "b");
}

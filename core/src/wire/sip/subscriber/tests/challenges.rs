//! What a SUBSCRIBE is sent again with: credentials, a longer duration, another place, lists.

use super::*;

const MD5: (&str, &str) =
    ("WWW-Authenticate", "Digest realm=\"example.test\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"");
const SHA256: (&str, &str) =
    ("Proxy-Authenticate", "Digest realm=\"example.test\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"");

/// The same subscription, asked for once more.
fn assert_again(again: &Message, before: &Message) {
    assert_eq!(again.call_id(), before.call_id());
    assert_eq!(again.from_tag(), before.from_tag());
    assert_eq!(again.to_tag(), before.to_tag());
    assert_eq!(again.cseq().map(|(number, _)| number), before.cseq().map(|(number, _)| number + 1));
    assert_ne!(branch(again), branch(before));
}

#[test]
fn s16_challenges_are_answered_and_refused_credentials_are_not_sent_again() {
    for (status, challenge, answer, algorithm) in [
        (401, MD5, "Authorization", "algorithm=MD5"),
        (407, SHA256, "Proxy-Authorization", "algorithm=SHA-256"),
    ] {
        let mut stage = Stage::new();
        stage.subscribe(wanted());
        let request = stage.request();
        assert_eq!(field(&request, answer), "none");
        stage.answer(&request, status, &[challenge]);
        let again = stage.request();
        assert_again(&again, &request);
        for part in ["username=\"gateway\"", "nc=00000001", "uri=\"sip:alice@192.0.2.9\"", algorithm] {
            assert!(field(&again, answer).contains(part), "{part} in {}", field(&again, answer));
        }
        assert_eq!(stage.events(), [""; 0]);
        stage.answer(&again, status, &[challenge]);
        assert_eq!(stage.events(), [format!("ended #0 rejected {status} for good")]);
        stage.pass(10_000_000);
        assert!(stage.requests.is_empty());
    }
}

#[test]
fn s16_a_stale_nonce_is_replaced_once() {
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let mut request = stage.request();
    stage.answer(&request, 401, &[MD5]);
    request = stage.request();
    let stale = "Digest realm=\"example.test\", nonce=\"n2\", qop=\"auth\", stale=true";
    stage.answer(&request, 401, &[("WWW-Authenticate", stale)]);
    let again = stage.request();
    assert_again(&again, &request);
    assert!(field(&again, "Authorization").contains("nonce=\"n2\""));
    stage.answer(&again, 401, &[("WWW-Authenticate", &stale.replace("n2", "n3"))]);
    assert_eq!(stage.events(), ["ended #0 rejected 401 for good"]);
}

#[test]
fn s16_refreshes_and_the_last_request_are_challenged_too() {
    let (mut stage, _) = Stage::subscribed(3_600);
    let (_, refresh) = stage.until_request();
    stage.answer(&refresh, 401, &[MD5]);
    let again = stage.request();
    assert_again(&again, &refresh);
    stage.answer(&again, 200, &[]);
    assert_eq!(stage.notify(&again, 2, "active;expires=3600"), 200);
    assert_eq!(stage.events(), ["save #1", "notified #1 first"]);
    stage.subscriber.unsubscribe(stage.now, KEY);
    stage.collect();
    let last = stage.request();
    stage.answer(&last, 401, &[MD5]);
    let again = stage.request();
    assert_again(&again, &last);
    assert_eq!(field(&again, "Expires"), "0");
    stage.answer(&again, 200, &[]);
    assert_eq!(stage.notify(&again, 3, "terminated"), 200);
    assert_eq!(stage.events().last().map(String::as_str), Some("over"));
    stage.assert_empty();
}

#[test]
fn a_challenge_that_cannot_be_answered_leaves_a_living_subscription_alone() {
    let (mut stage, _) = Stage::subscribed(3_600);
    let (_, refresh) = stage.until_request();
    stage.answer(&refresh, 401, &[("WWW-Authenticate", "Basic realm=\"x\"")]);
    assert_eq!(stage.events(), [""; 0]);
    assert_eq!(stage.until_request().1.to_tag(), Some("p1"));
}

#[test]
fn s15_a_423_leads_to_a_request_with_its_min_expires() {
    let mut stage = Stage::new();
    stage.subscribe(Wanted { expires_s: 60, ..wanted() });
    let request = stage.request();
    stage.answer(&request, 423, &[("Min-Expires", "600")]);
    let again = stage.request();
    assert_again(&again, &request);
    assert_eq!(field(&again, "Expires"), "600");
    stage.answer(&again, 200, &[("Expires", "600")]);
    assert_eq!(stage.notify(&again, 1, "active;expires=600"), 200);
    let (ms, refresh) = stage.until_request();
    assert!((486_000..=540_000).contains(&ms), "{ms}");
    assert_eq!(field(&refresh, "Expires"), "600", "it is remembered");
    stage.answer(&refresh, 423, &[("Min-Expires", "900")]);
    assert_eq!(field(&stage.request(), "Expires"), "900");
    assert_eq!(stage.events(), ["save #1", "notified #1 first"]);
}

#[test]
fn a_423_again_and_again_comes_to_an_end() {
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let mut sent = 0;
    while let Some(request) = stage.requests.pop_front() {
        sent += 1;
        stage.answer(&request, 423, &[("Min-Expires", &(4_000 + sent).to_string())]);
    }
    assert_eq!(sent, 13);
    assert_eq!(stage.events(), ["ended #0 giveup 423"]);
}

#[test]
fn redirections_are_followed_five_times() {
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let mut before = stage.request();
    for hop in 1..=5 {
        let target = format!("sip:alice{hop}@192.0.2.9");
        stage.answer(&before, 302, &[("Contact", &format!("<{target}?Subject=x>"))]);
        let request = stage.request();
        assert_again(&request, &before);
        assert_eq!(request.uri(), Some(&*target));
        assert_eq!(field(&request, "To"), "<sip:alice@192.0.2.9>");
        before = request;
    }
    stage.answer(&before, 302, &[("Contact", "<sip:alice6@192.0.2.9>")]);
    assert_eq!(stage.events(), ["ended #0 giveup 302"]);
    let (_, request) = stage.until_request();
    assert_eq!(request.uri(), Some(URI), "the next attempt begins at the resource itself");
}

#[test]
fn each_place_that_a_redirection_names_is_tried_in_its_order() {
    let to = |n: u32| format!("sip:alice{n}@192.0.2.9");
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    let contacts = format!("<{}>;q=0.2, <{}>;q=0.7, <sip:a@203.0.113.9>", to(3), to(1));
    stage.answer(&request, 302, &[("Contact", &contacts)]);
    let first = stage.request();
    assert_eq!(first.uri(), Some(&*to(1)));
    // It is challenged, and then leads further.
    stage.answer(&first, 401, &[MD5]);
    let first = stage.request();
    assert_eq!(first.uri(), Some(&*to(1)));
    stage.answer(&first, 301, &[("Contact", &format!("<{}>", to(2)))]);
    let second = stage.request();
    assert_again(&second, &first);
    assert_eq!((second.uri(), field(&second, "Authorization")), (Some(&*to(2)), "none"));
    // Nobody answers there.
    stage.pass(31_999);
    assert_eq!((stage.events(), stage.requests.len()), (vec![], 0));
    stage.pass(1);
    let third = stage.request();
    assert_eq!(third.uri(), Some(&*to(3)));
    stage.answer(&third, 404, &[]);
    assert_eq!(stage.events(), ["ended #0 noresource 404 for good"]);

    // What is not wanted any more goes nowhere else.
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    stage.answer(&request, 302, &[("Contact", &contacts)]);
    let first = stage.request();
    stage.subscriber.unsubscribe(stage.now, KEY);
    stage.answer(&first, 500, &[]);
    assert_eq!((stage.events(), stage.requests.len()), (vec!["over".to_owned()], 0));
}

#[test]
fn a_redirection_leads_neither_past_the_targets_nor_a_password_past_its_hosts() {
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    stage.answer(&request, 302, &[("Contact", "<sip:alice@203.0.113.9>")]);
    assert_eq!((stage.events(), stage.requests.len()), (vec!["ended #0 giveup 302".to_owned()], 0));

    let (_, request) = stage.until_request();
    stage.answer(&request, 302, &[("Contact", "<sip:alice@198.51.100.9>")]);
    let again = stage.request();
    assert_eq!(again.uri(), Some("sip:alice@198.51.100.9"));
    stage.answer(&again, 401, &[MD5]);
    assert_eq!(
        (stage.events(), stage.requests.len()),
        (vec!["ended #0 rejected 401 for good".to_owned()], 0)
    );
}

#[test]
fn s41_a_421_leads_to_a_request_for_lists() {
    let mut stage = Stage::new();
    stage.subscribe(wanted());
    let request = stage.request();
    assert_eq!(field(&request, "Supported"), "none");
    stage.answer(&request, 421, &[("Require", "timer, EventList")]);
    let again = stage.request();
    assert_again(&again, &request);
    assert_eq!(field(&again, "Supported"), "eventlist");
    let accept = "application/dialog-info+xml, application/rlmi+xml, multipart/related";
    assert_eq!(field(&again, "Accept"), accept);
    stage.answer(&again, 200, &[("Expires", "60"), ("Require", "eventlist")]);
    let list = [("Require", "eventlist")];
    assert_eq!(stage.notify_with(&again, 1, "active;expires=60", &list, "<list/>"), 200);
    assert_eq!(stage.events(), ["save #1", "notified #1 first list <list/>"]);
    assert!(stage.saved[0].eventlist);
    let (_, refresh) = stage.until_request();
    assert_eq!(field(&refresh, "Supported"), "eventlist", "it is remembered");
    stage.answer(&refresh, 421, &[("Require", "eventlist")]);
    assert!(stage.requests.is_empty(), "a peer that asks for what it got gets nothing more");
}

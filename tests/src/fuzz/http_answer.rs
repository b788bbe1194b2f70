//! What a server of others may send: answers, and whatever else. The first byte of the input chooses the request.

use offhook_core::Wall;
use offhook_core::ground::limits::Limits;
use offhook_core::wire::http::client::{Ask, Client, Ended, Received, Response};

use super::split;

/// What came of an answer: the answer and the bytes that it took, or why it is none, or nothing so far.
type Verdict = Result<Option<(Response, usize)>, &'static str>;

/// Reads `data` as an answer, in pieces and at once.
pub fn run(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let ask = Ask {
        head_only: choice & 1 != 0,
        connect: choice & 2 != 0,
        content_max: if choice & 4 == 0 { 1 << 20 } else { u64::from(choice >> 3) },
    };
    for limits in [Limits::default(), small()] {
        let whole = take(ask, &limits, &[data]);
        for pieces in [split::pieces(data), split::bytes(data)] {
            assert_eq!(forget_reuse(take(ask, &limits, &pieces)), forget_reuse(whole.clone()));
        }
        if let Ok(Some((response, used))) = whole {
            judge(ask, &response, used, data);
        }
    }
}

fn small() -> Limits {
    Limits { head_bytes: 64, head_fields: 2, chunk_line_bytes: 16, ..Limits::default() }
}

fn take(ask: Ask, limits: &Limits, pieces: &[&[u8]]) -> Verdict {
    let mut client = Client::default();
    client.ask(ask);
    let mut before = 0;
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        match client.receive(Wall(0), piece, limits) {
            Received::More => before += piece.len(),
            Received::Whole(response, used) => {
                assert!(client.is_idle() && used <= piece.len());
                return Ok(Some((response, before + used)));
            }
            Received::Fault(reason) => {
                assert!(client.is_idle() && !reason.is_empty());
                return Err(reason);
            }
        }
    }
    assert_eq!(client.is_silent(), before == 0, "a byte of an answer is remembered");
    Ok(match client.receive_eof(true) {
        Ended::Whole(response) => Some((response, before)),
        Ended::Silent | Ended::Cut => None,
    })
}

/// Whether the connection may go on depends on what came after the answer, and so on the split.
fn forget_reuse(verdict: Verdict) -> Verdict {
    verdict.map(|found| found.map(|(response, used)| (Response { reusable: false, ..response }, used)))
}

fn judge(ask: Ask, response: &Response, used: usize, data: &[u8]) {
    assert!((200..600).contains(&response.status), "{response:?}");
    assert!(response.content.len() as u64 <= ask.content_max && response.content.len() <= used);
    assert!(!(response.reusable && (response.cut || used < data.len())), "{response:?}");
    let bare = ask.head_only || matches!(response.status, 204 | 304);
    assert!(response.content.is_empty() || !bare, "content where none can be");
    if let Some(content_type) = &response.content_type {
        assert!(!content_type.contains(['\r', '\n', '\0']));
    }
    // What was taken means the same when it is written in its plainest form.
    let tunnel = ask.connect && response.status < 300;
    if !(bare || tunnel || response.cut) {
        let mut plain = format!("HTTP/1.1 {} x\r\n", response.status);
        if let Some(content_type) = &response.content_type {
            plain.push_str(&format!("Content-Type: {content_type}\r\n"));
        }
        plain.push_str(&format!("Content-Length: {}\r\n\r\n", response.content.len()));
        let plain = [plain.as_bytes(), &response.content].concat();
        let again = Response { retry_after_ms: None, reusable: true, ..response.clone() };
        let limits = Limits { head_bytes: 1 << 20, ..Limits::default() };
        assert_eq!(take(ask, &limits, &[&plain]), Ok(Some((again, plain.len()))));
    }
}

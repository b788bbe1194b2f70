//! Server-Sent Events: a feed of what the query's filters let through, from now on or from where a reader left off.

use std::io::Write as _;

use super::history::Histories;
use super::render::string;
use crate::dialect::problem::problem;
use crate::dialect::{Asker, access};
use crate::event::arena::Position;
use crate::event::channel::FeedId;
use crate::event::filter::{Clause, Pattern, View};
use crate::event::output::{Lending, Tail};
use crate::ground::id::{ConnId, Epoch, Seq};
use crate::hub::conn::Stream;
use crate::hub::{Hub, StreamHead};
use crate::wire::http::body::chunk;
use crate::wire::http::head::Head;
use crate::wire::http::query::pairs;
use crate::wire::http::reply::Reply;

const CONTENT_TYPE: &str = "text/event-stream";

/// What a reader waits before it comes back.
const RETRY: &[u8] = b"retry: 2000\n\n";

/// What a subscription asks for.
struct Request {
    view: View,
    last_id: Option<String>,
}

/// Why a subscription is refused, if so.
pub(super) fn judge(hub: &Hub, asker: Asker, head: &Head<'_>) -> Option<Reply> {
    if !head.field("accept").is_none_or(admits_event_stream) {
        return Some(problem(406, "this address answers with text/event-stream"));
    }
    read(hub, asker, head).err()
}

fn admits_event_stream(accept: &str) -> bool {
    accept.split(',').any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let refused = parts.any(|p| matches!(p, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        !refused && ["*/*", "text/*", CONTENT_TYPE].iter().any(|m| media.eq_ignore_ascii_case(m))
    })
}

fn read(hub: &Hub, asker: Asker, head: &Head<'_>) -> Result<Request, Reply> {
    let pairs = pairs(head.query, &['&'])
        .map_err(|text| problem(400, &format!("`{text}` in the query is not percent-encoded UTF-8")))?;
    if pairs.len() as u64 > hub.config.limits.sse_filters {
        return Err(problem(400, &format!("at most {} filters", hub.config.limits.sse_filters)));
    }
    let mut clause = Clause::default();
    let mut last_id = head.field("last-event-id").map(str::to_owned);
    for (name, value) in pairs {
        match name.as_str() {
            "last_event_id" => last_id = last_id.or(Some(value)),
            access::QUERY if hub.config.native.query_token => {}
            "type" | "subject" | "source" | "appid" => clause.or(name, Pattern::with_wildcards(&value)),
            _ if name.strip_prefix("data.").is_some_and(|n| !n.is_empty()) => {
                clause.or(name, Pattern::with_wildcards(&value));
            }
            _ => {
                let detail = format!(
                    "`{name}` is no filter; there are type, subject, source, appid, data.NAME, and last_event_id"
                );
                return Err(problem(400, &detail));
            }
        }
    }
    let only = hub.who(asker.conn).map(|who| who.only.clone()).unwrap_or_default();
    let view = View::new(vec![clause]).within(&only);
    Ok(Request { view, last_id: last_id.filter(|id| !id.is_empty()) })
}

pub(super) fn open(histories: &mut Histories, hub: &mut Hub, channel: u8, asker: Asker, head: &Head<'_>) {
    let request = match read(hub, asker, head) {
        Ok(request) => request,
        Err(reply) => return hub.reply(asker.conn, asker.request, reply),
    };
    let mut fields = vec![("Cache-Control", "no-store".to_owned())];
    fields.extend(access::cors_fields(hub, head));
    if head.is_head() {
        let reply = Reply { content_type: Some(CONTENT_TYPE), endless: true, fields, ..Reply::empty(200) };
        return hub.reply(asker.conn, asker.request, reply);
    }
    let bare = !head.http11;
    let heartbeat_ms = hub.config.limits.sse_heartbeat_ms;
    let wall = hub.now.wall;
    hub.channels[usize::from(channel)].expire(wall);
    let resume = request.last_id.map(|id| resume(hub, channel, &id));
    let before = resume.as_ref().and_then(|resume| resume.before);
    let stream = Stream {
        dialect: channel,
        // Whoever reads the log first gets a key when it is known to be open.
        tag: 0,
        lending: Lending { bare, one_frame: false },
        keepalive_at: hub.now.mono.plus_ms(heartbeat_ms),
    };
    if !hub.open_stream(asker.conn, &StreamHead { content_type: CONTENT_TYPE, fields }, stream) {
        return;
    }
    if let Some(conn) = hub.conn(asker.conn) {
        let mut write = |bytes: &[u8]| {
            conn.output.write(|out| if bare { out.extend_from_slice(bytes) } else { chunk(bytes, out) });
        };
        write(RETRY);
        if let Some(Resume { gap: Some(gap), .. }) = &resume {
            write(gap);
        }
    }
    let home = &mut hub.channels[usize::from(channel)];
    let end = home.arena().end();
    let feed = home.keep(&request.view);
    match before {
        Some(next) => histories.begin(hub, channel, asker.conn, feed, next),
        None => join(hub, channel, asker.conn, feed, resume.map_or(end, |r| r.from)),
    }
    hub.arm(asker.conn);
}

/// Lets a stream follow its feed, after what is kept in memory from `from` on. The stream keeps the feed from here on.
pub(super) fn join(hub: &mut Hub, channel: u8, conn: ConnId, feed: FeedId, from: Position) {
    let end = hub.channels[usize::from(channel)].arena().end();
    let catch_up = (from < end).then(|| Box::new(from..end));
    hub.follow(conn, Tail { channel, feed, cursor: end, catch_up });
    hub.channels[usize::from(channel)].release(feed);
}

/// Where a reader goes on, and the event that tells it what it missed.
struct Resume {
    from: Position,
    /// The log has older ones that are wanted, from this number on.
    before: Option<Seq>,
    gap: Option<Vec<u8>>,
}

/// An id names an epoch and a number; events after it follow, as far as they are retained.
fn resume(hub: &Hub, channel: u8, id: &str) -> Resume {
    let arena = hub.channels[usize::from(channel)].arena();
    let name = |seq: Seq| format!("{}-{seq}", hub.epochs.of(seq));
    let end = |of| hub.epochs.end_of(of, hub.applied);
    match parse_id(id) {
        Some((of, seq)) if end(of).is_some_and(|end| seq <= end) => {
            let missing = seq < arena.gone();
            let before = (missing && hub.place.keeps_log).then(|| seq.next());
            let gap = (missing && before.is_none())
                .then(|| gap(&name(seq.next()), &name(arena.gone()), "no longer retained"));
            Resume { from: arena.position_of(seq.next()), before, gap }
        }
        Some((of, _)) if of != hub.place.epoch => {
            // Of a start that the log has forgotten, or beyond what it kept of one before a crash: whatever is retained
            // from there on is news to the reader.
            let known = end(of).unwrap_or_default().max(arena.gone());
            let gap = gap(id, &name(known), "the id is of another start of the server");
            Resume { from: arena.position_of(known.next()), before: None, gap: Some(gap) }
        }
        Some(_) | None => {
            let gap = gap(id, &name(hub.applied), "the id is none of this server's");
            Resume { from: arena.end(), before: None, gap: Some(gap) }
        }
    }
}

fn parse_id(id: &str) -> Option<(Epoch, Seq)> {
    let (epoch, seq) = id.split_once('-')?;
    let digits = |text: &str, radix: u32| !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    if !digits(epoch, 16) || !digits(seq, 10) {
        return None;
    }
    Some((Epoch(u64::from_str_radix(epoch, 16).ok()?), Seq(seq.parse().ok()?)))
}

pub(super) fn gap(from: &str, to: &str, reason: &str) -> Vec<u8> {
    let mut out = b"event: gap\ndata: {\"from\":".to_vec();
    string(from, &mut out);
    out.extend_from_slice(b",\"to\":");
    string(to, &mut out);
    out.extend_from_slice(b",\"reason\":");
    string(reason, &mut out);
    let _ = out.write_all(b"}\n\n");
    out
}

//! Every limit, with its default, its reason, and what happens beyond it. No queue, buffer or loop without a row here.

/// One row, as documentation and as the config file's `[limits]` table sees it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The key in `[limits]`.
    pub name: &'static str,
    /// The value when the config file says nothing.
    pub default: u64,
    /// Why there is a bound, and what happens beyond it.
    pub reason: &'static str,
}

macro_rules! limits {
    ($($name:ident = $default:expr, $reason:literal;)*) => {
        /// The limits in force. Units stand last in the names.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits { $(#[doc = $reason] pub $name: u64,)* }

        impl Limits {
            /// All rows, in order of their appearance in the documentation.
            pub const ROWS: &[Row] = &[$(Row { name: stringify!($name), default: $default, reason: $reason },)*];

            /// Sets a row by its name; `false` if there is none.
            pub fn set(&mut self, name: &str, value: u64) -> bool {
                match name { $(stringify!($name) => self.$name = value,)* _ => return false }
                true
            }
        }

        impl Default for Limits {
            fn default() -> Self { Limits { $($name: $default,)* } }
        }
    };
}

limits! {
    connections = 100_000, "Open connections per shard; lowered at start to what the open-file limit allows. Beyond: 503 with Retry-After.";
    refusal_places = 64, "Connections beyond `connections` that are kept to answer 503. Beyond: closed at once.";
    send_buffer_bytes = 262_144, "Kernel send buffer of each accepted socket: a stalled loopback reader otherwise swallows megabytes before it shows.";
    connections_per_address = 0, "Open connections of one address per shard; loopback is exempt, of IPv6 a /64 counts as one; 0 is none. Beyond: 503 with Retry-After, with TLS closed.";
    handshakes_per_second = 0, "Websocket and TLS handshakes of one address in a second, per shard; loopback is exempt; 0 is none. Beyond: 503 with Retry-After, with TLS closed.";
    addresses_counted = 65_536, "Addresses whose handshakes of this second are counted. Beyond: those of further ones are let in.";
    proxy_header_bytes = 4_096, "The PROXY header of a connection, its TLVs included. Beyond: closed.";
    tls_handshake_ms = 10_000, "From a connection's acceptance to the end of its TLS handshake. Beyond: closed.";
    tls_sessions = 4_096, "TLS sessions of a listener that are remembered for clients without tickets. Beyond: the oldest go, and such a client makes a whole handshake.";
    head_bytes = 16_384, "Request line and header fields (RFC 9110 section 5.4). Beyond: 431 and close.";
    head_fields = 100, "Header fields of a request. Beyond: 431 and close.";
    head_ms = 10_000, "From a request's first byte to the end of its head. Beyond: 408 and close.";
    idle_ms = 75_000, "A kept-alive connection without a request. Beyond: closed.";
    body_grace_ms = 10_000, "Time a request body has before its rate is judged.";
    body_bytes_per_s = 500, "Least average rate of a request body after the grace. Beyond: 408 and close.";
    body_discard_bytes = 1_048_576, "Body of a refused request that is read and thrown away so that the connection can go on. Beyond: closed after the answer.";
    chunk_line_bytes = 4_096, "A chunk's size line with its extensions, and all trailer fields together. Beyond: 400 and close.";
    read_buffer_bytes = 65_536, "Input kept per connection while it waits for its turn; beyond, the socket is not read.";
    pipelined_requests = 1_024, "Requests of one connection whose replies wait in order. Beyond: the socket is not read.";
    reply_bytes = 1_048_576, "Replies waiting for a slow reader of one connection. Beyond: the socket is not read.";
    write_stall_ms = 30_000, "A peer that takes no byte of a waiting reply. Beyond: closed.";
    linger_ms = 2_000, "After the last reply of a closing connection, the time its input is still swallowed so that no reset destroys the reply.";
    failed_logins_per_address = 10, "Wrong passwords and tokens of one address in a minute, per shard, also on loopback; of IPv6 64 bits are an address. 0 is no bound. Beyond: 429 with Retry-After for the rest of the minute.";
    failed_login_addresses = 10_000, "Addresses whose failures are counted. Beyond: the oldest is forgotten.";
    checks_running = 2, "Passwords that are checked at a time; with argon2id's usual settings each takes a core for some 20 ms and 19 MiB. Beyond: they wait.";
    checks_waiting = 256, "Different passwords that wait for their check, per shard. Beyond: 503 with Retry-After.";
    checks_remembered = 1_000, "Passwords that were right and are not checked again, per shard, as keyed digests; 0 remembers none. Beyond: the oldest is forgotten, and checked again.";
    ws_close_ms = 2_000, "After a websocket's Close frame, the time its peer has to answer, and to take what is queued (RFC 6455 section 7.1.1). Beyond: closed.";
    publish_bytes = 8_388_608, "Body of a publish request. Beyond: 413.";
    batch_events = 10_000, "Events of one publish request. Beyond: 413.";
    event_names = 256, "Members of an event's `data`, and its extension attributes. Beyond: 400.";
    dedup_events = 200_000, "Events with an `id` of their sender among which one that comes again is recognised; it is accepted again, with its first number, and published once. 0 recognises none. Beyond: the oldest are forgotten.";
    log_readers = 16, "Readers at a time that resume from before what is kept in memory, and read the log. Beyond: they wait.";
    log_read_bytes = 262_144, "What such a reader gets of the log before others have their turn.";
    retained_bytes = 134_217_728, "Events kept in memory for streams and resume, with their rendered form. Beyond: the oldest go; a reader that is further behind is cut and told of the gap.";
    retained_ms = 86_400_000, "Age of events kept in memory for resume. Beyond: the oldest go.";
    retained_events = 500_000, "Count of events kept in memory for resume. Beyond: the oldest go.";
    log_segment_bytes = 67_108_864, "One file of the log, written ahead with zeroes. Beyond: the next file.";
    log_group_bytes = 4_194_304, "What one write and one sync of the log carry. Beyond: the next write.";
    log_retry_ms = 1_000, "After the log found no space, the time until it tries again.";
    log_look_ms = 5_000, "From one look whether a file of the log is too old to the next.";
    stream_stall_ms = 60_000, "An SSE stream whose peer takes no byte while events wait. Beyond: cut; it can resume.";
    feed_runs = 65_536, "Separate runs that a filtered SSE feed keeps. Beyond: the oldest go; a reader that is further behind is cut and can resume.";
    sse_filters = 64, "Filter parameters of one SSE subscription. Beyond: 400.";
    sse_heartbeat_ms = 15_000, "Silence after which an SSE stream gets a comment, so that proxies keep it.";
    resume_step_events = 512, "Events that a resuming reader looks through before others have their turn.";
    xms_body_bytes = 65_536, "Body of an XMS request. Beyond: 413.";
    xms_depth = 32, "Nesting of elements in an XMS request. Beyond: 400.";
    xms_attributes = 64, "Attributes of one element in an XMS request. Beyond: 400.";
    xms_subscriptions = 1_000, "Subscriptions of one eventhandler. Beyond: 400.";
    xms_handlers_per_app = 100_000, "Eventhandlers of one application. Beyond: 503 with Retry-After.";
    xms_subscriptions_per_app = 200_000, "Subscriptions of all eventhandlers of one application: XMS lists them in one reply. Beyond: 503 with Retry-After.";
    xms_progress_ms = 1_000, "From one record of how far open XMS streams have come to the next: what a client may get twice after a crash.";
    xms_event_bytes = 65_535, "One XMS event: clients read at most four hex digits. Beyond: left out, counted, logged.";
    xms_arena_bytes = 67_108_864, "Rendered XMS events kept for streams and replay. Beyond: the oldest go, counted per eventhandler.";
    isymphony_connections = 20_000, "Websockets of iSymphony per shard. Beyond: 503 with Retry-After.";
    isymphony_connections_per_address = 0, "Of these, from one address; 0 = no bound, for many agents may sit behind one. Beyond: 503 with Retry-After.";
    isymphony_message_bytes = 65_536, "A message of an iSymphony client. Beyond: closed with 1009.";
    isymphony_messages = 100, "Messages of one iSymphony client within `isymphony_messages_ms`. Beyond: closed with 1008.";
    isymphony_messages_ms = 10_000, "The time over which they are counted.";
    isymphony_filters = 1_000, "Filters of one message. Beyond: an error, and the old ones stay.";
    isymphony_depth = 64, "Nesting of arrays and objects in a message. Beyond: an error.";
    isymphony_types = 1_000, "Event types that are remembered, so that a filter for one that never came is noted. Beyond: the new one counts as never seen.";
    isymphony_backlog_events = 1_000, "Events that wait for a slow iSymphony client. Beyond: the oldest are dropped, counted, and the client is told.";
    isymphony_backlog_bytes = 1_048_576, "Bytes of these events. Beyond: as above.";
    isymphony_stall_ms = 60_000, "An iSymphony client that takes no byte while events wait. Beyond: closed with 1013.";
    isymphony_arena_bytes = 67_108_864, "Rendered iSymphony events kept for slow clients. Beyond: the oldest go, and those who had not read them are told.";
    calls = 4_096, "Requests to servers of others under way at a time, per shard; each takes a connection. Beyond: they fail at once, and are tried again as if no connection had been made.";
    calls_idle = 1_024, "Connections to servers of others that wait for the next request, per shard. Beyond: closed after their answer.";
    calls_idle_per_target = 64, "Of these, to one server. Beyond: closed after their answer.";
    call_addresses = 8, "Addresses of one name that are tried in turn. Beyond: left out.";
    call_idle_ms = 30_000, "How long they wait. Beyond: closed.";
    call_targets = 1_024, "Servers whose TLS settings are held ready. Beyond: made anew when they are needed.";
    destination_bytes = 262_144, "A destination's specification, certificates included. Beyond: refused.";
    outbox_destinations = 1_000, "Destinations of the outbox: each event is held against all of them. Beyond: 503.";
    outbox_answer_bytes = 65_536, "A receiver's answer. Beyond: not read; its status counts.";
    outbox_breaker_ms = 30_000, "A destination that failed ten times in a row rests for this time, then one letter finds out.";
    outbox_no_room_ms = 1_000, "A destination that found no room for a connection waits for this time.";
    outbox_step_letters = 1_000, "Deliveries of one destination that are given up at a time for their age. Beyond: the next turn of the loop.";
    outbox_redrive_letters = 10_000, "Dead letters that one request redrives. Beyond: left, and the answer says so.";
    wcs_calls_per_app = 64, "Hook calls of one WCS application under way at a time. Beyond: they wait.";
    wcs_waiting_per_session = 1_000, "Hooks of one WCS session that wait behind the one under way. Beyond: the new one fails as if its backend had.";
    wcs_waiting_per_app = 100_000, "Hooks of one WCS application that wait. Beyond: the new one fails as if its backend had.";
    wcs_answer_bytes = 262_144, "Content of a backend's answer that is looked at. Beyond: an answer whose content is needed is a bad one.";
    wcs_message_bytes = 1_048_576, "A message of a WCS client, and the body of a push. Beyond: closed with 1009, and 413.";
    wcs_connection_bytes = 65_536, "A message of a WCS client whose session is not open: nobody has admitted it yet. Beyond: closed with 1009.";
    wcs_messages = 1_000, "Messages of one WCS client in `wcs_messages_ms`; 0 is without end. Beyond: closed with 1008.";
    wcs_messages_ms = 10_000, "The time in which messages of WCS clients are counted.";
    wcs_connection_ms = 10_000, "From the handshake of a WCS websocket to its message `connection`. Beyond: `fail`, and closed with 1008.";
    wcs_operation_bytes = 4_194_304, "Operations of one WCS session that wait for their hooks. Beyond: the new one fails as if its backend had.";
    wcs_unsent_messages = 1_000, "Messages that wait for a WCS client whose socket is full. Beyond: closed with 1013.";
    wcs_unsent_bytes = 1_048_576, "Bytes that wait for a WCS client whose socket is full. Beyond: closed with 1013.";
    wcs_connect_ms = 5_000, "Time that each attempt to connect to a WCS backend has. Beyond: the next attempt.";
    sip_head_bytes = 65_536, "Start line and header fields of a SIP message; the largest datagram must have room (RFC 3261 section 18.1.1). Beyond: 513, a connection is closed.";
    sip_fields = 256, "Header fields of a SIP message, each hop counted. Beyond: 513, a connection is closed.";
    sip_body_bytes = 1_048_576, "Body of a SIP message on a connection: states of a resource list may be large. Beyond: 513 and closed.";
    sip_list_resources = 1_000, "Resources that one entry's list brings, when the peer is a resource-list server. Beyond: left out, and counted.";
    sip_requests = 65_536, "SIP requests of ours that wait for their turn or their answer. Beyond: the new one fails as if its transport had.";
    sip_requests_per_client = 32_768, "Of these, those that begin subscriptions of one client. Beyond: the new one fails as if its transport had, and is tried again later.";
    sip_requests_remembered = 65_536, "SIP requests of peers whose copies are recognised, for 32 s each over UDP. Beyond: dropped, and the peer sends it again.";
    sip_strangers_per_address_per_s = 100, "Answers in a second to SIP requests of one address that belong to no subscription; of IPv6 64 bits are an address. Beyond: dropped.";
    sip_strangers_per_s = 1_000, "Such answers in a second to all addresses. Beyond: dropped.";
    sip_flows = 1_024, "SIP connections that we opened, and as many that peers opened. Beyond: requests fail as if their transport had; a peer's connection is closed.";
    sip_flows_per_address = 64, "Of these, connections that peers of one address opened; loopback is exempt, of IPv6 a /64 counts as one. Beyond: closed.";
    sip_message_ms = 32_000, "From the first byte of a message on a SIP connection to its last: then its sender has given it up (Timer F). Beyond: closed.";
    sip_flow_bytes = 1_048_576, "Bytes that wait for a SIP connection that is not open yet. Beyond: the request fails as if its transport had.";
    sip_flow_idle_ms = 120_000, "A SIP connection on which no message goes or comes, and no answer is awaited. Beyond: closed.";
    sip_dial_ms = 5_000, "Time that an attempt to open a SIP connection has, its TLS handshake included. Beyond: UDP if only the length asked for TCP, else the next address.";
    sip_forks = 8, "Dialogs that one SUBSCRIBE may make when it is forked. Beyond: a NOTIFY of a further one is answered 481.";
    sip_dialog_bytes = 4_096, "Route, contact and tag of a NOTIFY, as a dialog keeps them. Beyond: 513.";
    sip_names = 4_096, "Host names of SIP URIs that are being resolved or remembered. Beyond: the oldest that is resolved is forgotten, and a request fails if none is.";
    sip_name_ms = 60_000, "How long their addresses are remembered.";
    sip_lookups = 4_096, "Host names of SIP URIs that are being resolved, those that nobody waits for any more included; `calls` have as many places of their own. Beyond: a request has no address.";
    sip_resolve_ms = 10_000, "Time that resolving a name has. Beyond: it has no address.";
    sep_subscriptions = 20_000, "SIP subscriptions over HTTP, those that have not ended. Beyond: 503 with Retry-After.";
    sep_entries = 200, "Entries of one subscription's list. Beyond: 422.";
    sep_entries_in_all = 100_000, "Entries of all subscriptions that have not ended; each is a dialog at its notifier. Beyond: 503 with Retry-After.";
    sep_body_bytes = 262_144, "Body of a SEP request. Beyond: 413.";
    sep_depth = 32, "Nesting of elements in a SEP request. Beyond: 400.";
    sep_attributes = 64, "Attributes of one element in a SEP request. Beyond: 400.";
    sep_document_bytes = 4_194_304, "Bodies of all instances that one subscription shows. Beyond: those that come are left out of its documents, and the log says so.";
    sep_uri_bytes = 1_024, "The URI of an entry. Beyond: 422.";
    sep_items = 1_000, "Events (`sip.reg`, `sip.dialog`, …) that one NOTIFY makes; documents have all of it. Beyond: left out, and the log says so.";
    sep_accepts = 16, "Body types that one subscription accepts. Beyond: 422.";
    sep_expires_ms = 604_800_000, "How far ahead a subscription may end. Beyond: it ends then, and the answer says so.";
    sep_ended_ms = 3_600_000, "How long a subscription that ended is answered with 410, and its callback tried. Beyond: 404, and what still waits is dead.";
    sep_callbacks = 1_000, "Callbacks of one subscription that wait. Beyond: the oldest is a dead letter; each of the others is a full state.";
    sep_gather_ms = 50, "After a callback, the time in which changes of further resources are gathered, to share the next one. 0 gathers none.";
    sip_leave_ms = 5_000, "At a stop without a log, the time in which SIP subscriptions are ended at their notifiers. Beyond: they are left to run out.";
    sep_callback_pause_ms = 1_000, "While `[outbox] pending_bytes` is reached, the time after which a callback is offered again, with the latest state.";
    sources = 64, "`[[source]]` tables. Beyond: the config file is refused.";
    source_message_bytes = 65_536, "One message of a PBX. Beyond: passed over, told as `source.gap`, and the state is asked for again.";
    source_dial_ms = 10_000, "The time a connection to a PBX, with its TLS, may take. Beyond: tried again later.";
    source_login_ms = 10_000, "From the connection to the answer to the login. Beyond: closed, and tried again later.";
    source_boot_ms = 10_000, "From the login until the PBX says that it is started up. Beyond: it is taken to be, since users without the right `system` are not told.";
    source_answer_ms = 30_000, "Patience with a PBX's answer, and with one that does not even answer a ping. Beyond: that question counts as unanswered; without a ping's answer the connection is closed.";
    source_questions = 1_000, "Questions of one resync that wait for their answers, and those that follow from the answers. Beyond: unanswered.";
    source_resync_pause_ms = 10_000, "From one resync to the next, when a gap asks for another.";
    source_things = 65_536, "Things of each kind that are held of a PBX: channels, recordings, agents, devices and so on. Beyond: the oldest leave; what was open of them is told to end, with `reason = \"forgotten\"`.";
    source_waiting_events = 10_000, "Events of a PBX that are on their way into the log. Beyond: its connection is not read, so that it waits.";
    source_retry_ms = 1_000, "From a connection that was lost to the next try; each further one waits twice as long, a quarter more or less.";
    source_retry_cap_ms = 60_000, "The longest such wait, and that after a refused login.";
    source_stable_ms = 60_000, "How long a connection must have been open, so that the next one that is lost is tried again soon.";
    source_aside_bytes = 16_777_216, "Events of channels that are not known yet, while a PBX is asked what it contains. Beyond: left out, told as `source.gap`, and it is asked again.";
    source_resync_ms = 300_000, "All answers of one resync. Beyond: what is still asked counts as unanswered, and is asked again.";
    stream_drain_ms = 2_000, "After DELETE or at a stop, the time a stream has to take what is queued.";
    shutdown_ms = 5_000, "From the signal to stop until connections that are still open are closed.";
    notes_per_s = 100, "Lines a second that peers' doings may add to the server's own log. Beyond: left out, and their number told.";
    audits_per_s = 100, "Refusals a second that the audit log gets. Beyond: left out, and their number told.";
    note_chars = 1_000, "Characters of such a line. Beyond: left out.";
    sip_unsent_bytes = 1_048_576, "Bytes that wait for a SIP peer whose connection is full. Beyond: closed.";
    udp_receive_bytes = 4_194_304, "Kernel receive buffer of each UDP socket: answers to a burst of requests come as a burst. The kernel lowers it to net.core.rmem_max. Beyond: lost, and the sender repeats.";
    udp_send_bytes = 1_048_576, "Kernel send buffer of each UDP socket. Beyond: lost, counted, and repeated by its timer.";
    turn_datagrams = 256, "Datagrams that are read from one UDP socket in a turn of the loop, so that a flood does not hold up the rest.";
    turn_accepts = 64, "Connections that one listener accepts in a turn of the loop, so that a burst of them does not hold up those that are open.";
    turn_reads = 16, "Reads of one socket in a turn of the loop, so that one peer starves nobody.";
    turn_write_bytes = 1_048_576, "Bytes written to one socket in a turn of the loop.";
    read_bytes = 65_536, "What one read takes. One buffer serves all connections of a shard.";
}

/// Slices that one write carries. Fixed, because it is the length of an array: the rest waits for the next write.
pub const SLICES_MAX: usize = 16;

/// Nonces of SIP peers of which the uses are counted; beyond, the oldest is forgotten. Fixed, because a peer that offers
/// more at a time only gets its challenge answered once, not twice.
pub const SIP_NONCES: usize = 256;

/// Sent bytes that are kept before those that wait, until moving the latter to the front pays. Fixed, because only
/// speed depends on it.
pub const COMPACT_BYTES: u64 = 64 * 1024;

/// The document of one SIP resource that partial ones are merged into. Fixed, because what stands in the log must be
/// read again under every config. Beyond: the partial one is not taken, and the full state is asked for.
pub const SIP_DOCUMENT_BYTES: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_the_fields() {
        let mut limits = Limits::default();
        for row in Limits::ROWS {
            assert!(limits.set(row.name, row.default), "{}", row.name);
        }
        assert_eq!(limits, Limits::default());
        assert!(!limits.set("no_such_limit", 1));
        assert!(limits.set("connections", 7) && limits.connections == 7);
    }
}

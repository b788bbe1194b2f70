//! One suite for both server binaries: the same scripts drive each over loopback, and each must produce the same
//! transcript, byte for byte, as the one that is committed under `tests/transcripts/`.
//!
//! What is absent here: async, HTTP libraries, sleeping. Peers are blocking sockets (`peer`) that read by framing; a
//! script waits for bytes, for a line of the server's log or for the end of its process, and a timeout is a safety net
//! alone. Every script has servers of its own on ports that the system chose, so scripts run in parallel.
//!
//! ```text
//!   runtime-*/tests/conformance.rs ─► conformance! ─► a script ─► server (the binary), peer, transcript
//! ```
//!
//! `X1` … `X47` in names and comments are the lines of the XMS checklist.

mod access;
mod bad_input;
mod documents;
mod durable;
mod http;
mod operations;
pub(crate) mod peer;
mod process;
mod publishing;
mod readers;
mod recorded;
mod replay;
pub(crate) mod server;
mod shards;
mod sip;
mod slow_readers;
mod sources;
mod sse;
mod streams;
mod transcript;
pub(crate) mod xms;

pub use access::*;
pub use bad_input::*;
pub use documents::*;
pub use durable::*;
pub use http::*;
pub use operations::*;
pub use process::*;
pub use publishing::*;
pub use readers::*;
pub use recorded::*;
pub use replay::*;
pub use server::Subject;
pub use shards::*;
pub use sip::*;
pub use slow_readers::*;
pub use sources::*;
pub use sse::*;
pub use streams::*;

/// No keepalive and no heartbeat comes while a script runs, however slow the machine is; and nothing ends because the
/// server's patience ended.
const QUIET: &str = "[xms]\nkeepalive = \"600s\"\n\
     [limits]\nsse_heartbeat_ms = \"1h\"\nstream_drain_ms = \"1h\"\nshutdown_ms = \"1h\"\nlinger_ms = \"1h\"\n";

/// Makes one test of each script, against the binary at the given path.
#[macro_export]
macro_rules! conformance {
    ($binary:expr) => {
        $crate::conformance! { @tests $binary;
            // XMS
            xms_documents, xms_document_faults, xms_appids_and_addresses, xms_full_applications,
            xms_streams, xms_examples, xms_subscriptions, xms_left_out, xms_keepalives,
            xms_several_streams, xms_delete_ends_streams, xms_thousand_events,
            recorded_call_of_2015, recorded_call_of_2014, two_thousand_streams,
            clients_framings,
            replay_after_a_broken_connection, replay_bounds, replay_ages, idle_handlers_expire, counters_add_up,
            // Native
            publishing_forms, publishing_faults, sse_streams, sse_resume, sse_gaps, sse_heartbeats, sse_access,
            slow_xms_reader, slow_sse_reader, stalled_peers_cost_nothing,
            // Who may come in
            passwd_makes_hashes, users_and_tokens, guesses_are_counted, exposed_listeners,
            // HTTP
            http_faults, http_faults_in_a_body, http_garbage, http_limits, http_deadlines, http_full_server,
            http_byte_by_byte, http_pipelining, http_one_connection, http_1_0, http_expect_continue, http_head,
            // SIP
            sip_datagrams, sip_taken_ports, s51_sip_strangers, s46_sip_subscriptions,
            s43_sip_notify_over_tcp, s46_sip_restarts,
            // Sources
            sources_are_heard, sources_survive_a_kill, check_source,
            // The server
            operations, operations_counted,
            shards_read_their_writes, shards_share_streams,
            a_stop_ends_streams, a_stop_does_not_wait_for_stalled_readers, a_reload_keeps_streams,
            a_reload_with_a_fault_keeps_destinations, config_errors, command_line_errors, a_taken_port, demo,
            restart_after_kill,
            x41_restart_keeps_eventhandlers, kill_loses_nothing_acknowledged, a_data_folder_has_one_server,
            a_damaged_log_is_refused,
            every_transcript_has_a_script,
        }
    };
    (@tests $binary:expr; $($script:ident),* $(,)?) => {
        $(
            #[test]
            fn $script() {
                $crate::conformance::$script(&$crate::conformance::Subject::new($binary));
            }
        )*
    };
}

/// The transcripts that scripts compare with.
const TRANSCRIPTS: &[&str] = &[
    "xms_documents",
    "xms_document_faults",
    "xms_appids_and_addresses",
    "xms_full_applications",
    "xms_streams",
    "xms_examples",
    "xms_subscriptions",
    "xms_left_out",
    "xms_several_streams",
    "xms_delete_ends_streams",
    "recorded_call_of_2015",
    "recorded_call_of_2014",
    "replay_bounds",
    "publishing_forms",
    "publishing_faults",
    "sse_streams",
    "sse_resume",
    "sse_gaps",
    "sse_access",
    "http_faults",
    "http_faults_in_a_body",
    "http_limits",
    "http_deadlines",
    "http_full_server",
    "http_byte_by_byte",
    "http_pipelining",
    "http_one_connection",
    "http_1_0",
    "http_expect_continue",
    "http_head",
    "operations",
    "a_stop_ends_streams",
    "config_errors",
    "demo",
];

/// No transcript lies about whose script is gone, and none is missing.
pub fn every_transcript_has_a_script(_: &Subject) {
    let known = TRANSCRIPTS.iter().map(|name| (*name).to_owned()).collect();
    if !transcript::is_blessing() {
        assert_eq!(transcript::committed(), known);
    }
}

//! Conversations with the engine in memory and in virtual time: what a client sends, to the byte, and what it gets.
//! Tests of the XMS checklist carry its numbers in their names.

mod access;
mod access_attempts;
mod access_common;
mod access_records;
mod access_scopes;
mod access_tokens;
mod bad_input;
mod calls;
mod calls_addresses;
mod calls_alone;
mod calls_tls;
mod common;
mod deadlines;
mod http;
mod isymphony;
mod isymphony_filters;
mod isymphony_life;
mod native;
mod native_resume;
mod outbox;
mod repeats;
mod restart;
mod shards;
mod slow;
mod slow_frames;
mod wcs;
mod websocket;
mod xms_documents;
mod xms_errors;
mod xms_recorded;
mod xms_replay;
mod xms_restart;
mod xms_stream;

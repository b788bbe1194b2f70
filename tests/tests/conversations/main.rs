//! Conversations with the engine in memory and in virtual time: what a client sends, to the byte, and what it gets.
//! Tests of the XMS checklist carry its numbers in their names.

mod access;
mod bad_input;
mod calls;
mod calls_addresses;
mod calls_alone;
mod calls_tls;
mod certificates;
mod common;
mod deadlines;
mod http;
mod listener_tls;
mod native;
mod native_resume;
mod outbox;
mod proxies;
mod repeats;
mod restart;
mod shards;
mod slow;
mod slow_frames;
mod wcs;
mod xms_documents;
mod xms_errors;
mod xms_recorded;
mod xms_replay;
mod xms_restart;
mod xms_stream;

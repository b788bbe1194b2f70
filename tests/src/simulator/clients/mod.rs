//! Everybody who talks to the server, each as a small machine: what it does, and what it must have seen.

mod connection;
pub mod isymphony;
pub mod publisher;
pub mod reader;
pub mod stranger;
pub mod webhook;
pub mod xms;

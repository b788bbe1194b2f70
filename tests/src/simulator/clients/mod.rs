//! Everybody who talks to the server, each as a small machine: what it does, and what it must have seen.

mod connection;
pub mod document;
pub mod isymphony;
pub mod notifier;
pub mod publisher;
pub mod reader;
mod receiver;
pub mod stranger;
pub mod subscriber;
pub mod webhook;
pub mod xms;

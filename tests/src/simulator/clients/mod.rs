//! Everybody who talks to the server, each as a small machine: what it does, and what it must have seen.

pub mod backend;
mod connection;
mod destination;
pub mod document;
pub mod isymphony;
pub mod notifier;
pub mod publisher;
pub mod reader;
pub mod receiver;
pub mod served;
pub mod stranger;
pub mod subscriber;
pub mod wcs;
pub mod xms;

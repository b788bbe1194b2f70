//! The SIP Event Package API: what SIP event packages say, for clients that speak HTTP.

pub mod package;

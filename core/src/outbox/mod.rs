//! The outbox: events on their way to servers of others, until they have arrived or are visibly dead.

pub mod receiver;

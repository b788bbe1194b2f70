//! The log on disk: a folder of segments ([`folder`]), one thread that writes and syncs ([`thread`]), one that writes
//! segments ahead ([`disk`]), and one that reads records back ([`reader`]). What to write is the core's affair
//! ([`offhook_core::log::writer`]); no record is looked at here but the answers that let old segments go.

pub(crate) mod disk;
pub(crate) mod folder;
pub(crate) mod queue;
pub(crate) mod reader;
#[cfg(test)]
mod tests;
pub(crate) mod thread;

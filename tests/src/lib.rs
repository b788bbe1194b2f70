//! What the tests and measurements of offhook share.

pub mod bare;

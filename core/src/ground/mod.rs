//! The ground floor: what every other module stands on. It knows neither protocols nor events.

pub mod address;
pub mod config;
pub mod deadline;
pub mod digits;
pub mod hosts;
pub mod id;
pub mod limits;
pub mod network;
pub mod rng;
pub mod slots;
pub mod stats;
pub mod time;
pub mod units;

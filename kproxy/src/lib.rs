//! The kproxy agent.

pub mod devices;
pub mod plan;

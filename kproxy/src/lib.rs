//! The kproxy agent.

pub mod devices;
pub mod node;
pub mod paths;
pub mod plan;

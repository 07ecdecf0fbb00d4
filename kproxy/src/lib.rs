//! The kproxy agent.

pub mod dataplane;
pub mod plan;

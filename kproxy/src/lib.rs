//! The kproxy agent.

pub mod plan;

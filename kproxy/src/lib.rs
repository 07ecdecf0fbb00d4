//! The kproxy agent.

pub mod cli;
pub mod commands;
pub mod dataplane;
pub mod devices;
pub mod node;
pub mod paths;
pub mod plan;
pub mod sizes;

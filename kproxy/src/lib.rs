//! The kproxy agent.

pub mod causes;
pub mod cli;
pub mod commands;
pub mod compile;
pub mod config;
pub mod dataplane;
pub mod devices;
pub mod explain;
pub mod index;
pub mod memory;
pub mod model;
mod netlink;
pub mod node;
pub mod paths;
pub mod plan;
pub mod serve;
pub mod sizes;
pub mod sockets;
pub mod source;
mod watch;

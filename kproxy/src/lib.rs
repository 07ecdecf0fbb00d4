//! The kproxy agent.

pub mod compile;
pub mod index;
pub mod model;
pub mod plan;
pub mod source;

//! `/metrics`: kube-proxy's names where they mean the same, `kproxy_*` for the rest.
//!
//! * [`counted`]: what happens is counted where it happens
//! * [`pulled`]: what is there is read when somebody asks
//! * [`define`]: how metrics are made
//! * [`page`]: all of it together
//! * [`slis`]: the separate page about health checks
//! * [`server`]: the pages of the metrics server
//!
//! `docs/metrics.md` has every metric; a test compares.

mod counted;
mod define;
mod page;
mod ports;
mod pulled;
pub(super) mod server;
mod slis;

#[cfg(test)]
mod tests;

pub(super) use counted::Counted;
pub use counted::DeviceDoor;

//! What the benchmarks share.

mod cluster;
mod distribution;
mod place;

pub use cluster::Cluster;
pub use distribution::Distribution;
pub use place::Place;

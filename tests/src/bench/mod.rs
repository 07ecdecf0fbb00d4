//! What the benchmarks share.

mod distribution;
mod place;

pub use distribution::Distribution;
pub use place::Place;

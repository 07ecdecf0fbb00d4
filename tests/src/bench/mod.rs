//! What the benchmarks share.

pub mod bpf;
mod cluster;
mod distribution;
mod iperf;
mod place;

pub use cluster::Cluster;
pub use distribution::Distribution;
pub use iperf::Run as IperfRun;
pub use place::Place;

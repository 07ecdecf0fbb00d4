//! What tests, the demo and the benchmarks are built from.
//!
//! * [`acceptance`]: one table of cases for all runners
//! * [`apiserver`]: a Kubernetes API server with the kinds that kproxy follows
//! * [`cluster`]: nodes, pods and clients as network namespaces
//! * [`container`]: what a node starts for a daemon set
//! * [`demo`]: the story that `cargo xtask demo` tells
//! * [`echo`]: a server that says what it saw, and the client for it
//! * [`host`]: the datapath in memory, without privileges
//! * [`kubectl`]: the real one, and overlays of our manifests for it
//! * [`manifests`]: a folder of them for an agent without an API server
//! * [`offloads`]: what devices do instead of the kernel
//! * [`patience`]: bounds on slow machines
//! * [`stream`]: a long stream that comes back intact
//! * [`workload`]: Services and EndpointSlices as the controllers of a cluster write them

pub mod acceptance;
pub mod apiserver;
pub mod bench;
pub mod cluster;
pub mod container;
pub mod demo;
pub mod doors;
pub mod echo;
pub mod host;
pub mod kubectl;
pub mod manifests;
pub mod offloads;
pub mod patience;
pub mod stream;
pub mod workload;

//! One table of cases for every way to run the data plane.
//!
//! * [`rows`]: the table; [`row`] is the language it is written in
//! * [`world`], [`state`] and [`service`]: the cluster that rows play in, and its services as manifests
//! * [`uplink`]: how the node reaches what is elsewhere
//! * [`hashed`]: who serves which client outside where hashes decide
//! * [`answered`] and [`spread`]: what only many requests together show
//! * [`simulation`]: plays a row packet by packet, with pods that behave like hosts
//! * [`host`]: the datapath library in memory
//! * [`kernel`]: the loaded programs under `BPF_PROG_TEST_RUN`, compared with the library packet by packet
//! * [`netns`]: real sockets, real agents, network namespaces
//! * [`beside`]: many things at the same time
//!
//! A row runs wherever it [fits](row::Row::fits). To add a case, add a row.

pub mod answered;
pub mod beside;
pub mod hashed;
pub mod host;
pub mod kernel;
pub mod netns;
pub mod report;
pub mod row;
pub mod rows;
pub mod service;
pub mod simulation;
pub mod spread;
pub mod state;
pub mod uplink;
pub mod world;

pub use report::{run_all, run_apart, run_groups};
pub use row::{Row, Runner};

//! From what is wanted to what the kernel must be told.

pub mod wanted;

pub use wanted::{BackendSet, Endpoint, ServicePortName, WantedFrontend, WantedService};

//! The datapath on this machine without privileges: packets in memory, maps in memory, a scripted clock and chance.
//!
//! * [`kproxy::memory`]: packet, maps and sockets
//! * [`program`]: manifests to map contents, through the agent's own model, index, compile and plan
//! * [`frame`]: packets written and read by another library than the datapath's own code
//! * [`extensions`]: IPv6 extension headers for them
//! * `refusal`: ICMP errors that were read

pub mod extensions;
pub mod frame;
pub mod program;
mod refusal;
mod sctp;

pub use frame::{Frame, Seen};
pub use kproxy::memory::{Buffer, Checksum, MemorySocket, MemoryTables};
pub use program::Programmer;
pub use refusal::{Reason, Refusal};

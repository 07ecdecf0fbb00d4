//! The datapath on any machine: packets in memory, maps in memory, a scripted clock and chance.
//!
//! * `tables`: the maps, with failures on request
//! * `buffer`: a packet in a vector, with the ways a kernel may keep its checksum
//! * `routes`: where packets go
//! * `socket`: a socket at its hooks
//!
//! `kproxy explain` answers from here without a kernel, and tests run the library here.

mod buffer;
mod routes;
mod socket;
mod tables;

pub use buffer::{Buffer, Checksum};
pub use routes::{Route, Routes};
pub use socket::MemorySocket;
pub use tables::MemoryTables;

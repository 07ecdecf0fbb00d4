//! The datapath on this machine without privileges: packets in memory, maps in memory, a scripted clock and chance.
//!
//! * [`buffer`]: a packet in a vector, with the ways a kernel may keep its checksum
//! * [`tables`]: the maps, with failures on request
//! * [`socket`]: a socket at its hooks
//! * [`program`]: manifests to map contents, through the agent's own model, index, compile and plan
//! * [`frame`]: packets written and read by another library than the datapath's own code

pub mod buffer;
pub mod frame;
pub mod program;
pub mod socket;
pub mod tables;

pub use buffer::{Buffer, Checksum};
pub use frame::{Frame, Seen};
pub use program::Programmer;
pub use socket::MemorySocket;
pub use tables::MemoryTables;

//! The datapath: what happens to a packet or a socket that meets a service address.
//!
//! A plain library. The kernel binary in this package wraps it for TC and the cgroup hooks, tests run the same code
//! on any machine. It sees packets through [`Packet`] and maps through [`Tables`], and allocates nothing: what is too big for the
//! kernel's stack is in a [`Scratch`] that the caller owns.
//!
//! Requests go down this list, one module per step:
//!
//! * [`glance`]: who passes by, told by a few bytes
//! * [`wire`]: network headers, the only place that knows IPv4 from IPv6
//! * [`parse`]: transport headers, the tuple that flows are keyed by
//! * [`track`]: flows and their life cycle
//! * [`lookup`]: the frontend that stands for a destination, and what a destination without one is
//! * [`balance`]: a frontend's choice among its backends, with [`admission`] (source ranges) and [`affinity`]
//! * [`begin`]: a new flow, and [`ports`]: the source port it gets
//! * [`fragment`]: fragments, which share the fate of the first one
//! * [`translate`]: the rewrite and its checksums ([`checksum`], [`crc32c`])
//! * [`forward`], [`reply`]: what enters and what leaves, at pods' doors and at uplinks
//! * [`own`]: the node's own conversations from a port that it uses for a client
//! * [`icmp`]: errors of others about translated packets, and echo requests
//! * [`reject`]: ICMP errors of our own
//! * [`socket`]: the same decisions for a process's socket
//! * [`verdict`]: outcomes, and the one match from outcome to action

#![no_std]
#![forbid(unsafe_code)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "wire formats are cut from wider words on purpose, and `TryFrom` would add panics to the kernel side"
)]

pub mod admission;
pub mod affinity;
pub mod balance;
pub mod begin;
pub mod checksum;
pub mod crc32c;
pub mod forward;
pub mod fragment;
pub mod glance;
pub mod icmp;
pub mod lookup;
pub mod own;
pub mod packet;
pub mod parse;
pub mod ports;
pub mod reject;
pub mod reply;
pub mod scratch;
pub mod socket;
pub mod tables;
pub mod track;
pub mod translate;
pub mod verdict;
pub mod wire;

pub use packet::{NoWay, Packet, Way};
pub use scratch::{Scratch, Work};
pub use tables::{Age, Existing, InsertError, Tables};
pub use verdict::{Action, Refusal, Verdict};

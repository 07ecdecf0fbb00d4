//! Memory for one packet's decision.

use bytemuck::{Pod, Zeroable};
use kproxy_common::{Flow, FragmentKey, Nanoseconds, PortSearch, SnatKey};

use crate::balance::Chosen;
use crate::fragment::Requeues;
use crate::icmp::Message;
use crate::parse::Segment;
use crate::wire::Network;

/// What is too big for the kernel's stack, which has 512 bytes for a whole chain of calls. Programs begin with whatever
/// the last one has left in it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Scratch {
    /// What was read of the packet's network header ...
    pub network: Network,
    /// ... and of its transport header.
    pub segment: Segment,
    /// What was read of it if it is an ICMP message.
    pub message: Message,
    /// What is found out about it.
    pub work: Work,
    /// How often packets were put back: meant to outlive the packet.
    pub requeues: Requeues,
}

/// What is found out about a packet.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Work {
    /// Its flow.
    pub flow: Flow,
    /// The backend that was chosen for it.
    pub chosen: Chosen,
    /// Another flow that is looked at or written on the way.
    pub other: Flow,
    /// Where a source port is looked for ...
    pub space: SnatKey,
    /// ... and how far that has got.
    pub search: PortSearch,
    /// The datagram that it is a fragment of.
    pub datagram: FragmentKey,
    /// When it came.
    pub now: Nanoseconds,
}

impl Default for Work {
    fn default() -> Self {
        Self::zeroed()
    }
}

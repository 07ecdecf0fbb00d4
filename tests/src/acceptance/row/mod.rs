//! The language of rows: what happens, and what must come of it.
//!
//! * `ask`: requests with their answers; `packet`: single packets
//! * `fits`: which runner can play what

mod ask;
mod fits;
mod packet;

use std::net::SocketAddr;
use std::time::Duration;

use kproxy_common::Counter;

use super::state::State;
use super::world::{CLIENT, HOST, NATIVE, OUTSIDE};

pub use ask::{Ask, Expect, Source};
pub use packet::{Arrival, Dress, Kind, Packet, Side, Then};

/// A way to run the data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Runner {
    /// The library in memory.
    Host,
    /// The loaded programs under `BPF_PROG_TEST_RUN`: no sockets, no say over the clock.
    Kernel,
    /// Network namespaces: real sockets, no hand-made packets.
    Netns,
}

/// Which door a client meets first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// Its socket is translated.
    Socket,
    /// Its packets are.
    Packet,
    /// Its socket is, and it is a process of the node itself.
    Node,
    /// Its packets are, where they come in from outside.
    Uplink,
}

impl Via {
    /// The doors of pods.
    pub const ALL: [Self; 2] = [Self::Socket, Self::Packet];
    /// Where packets are translated.
    pub const PACKETS: [Self; 2] = [Self::Packet, Self::Uplink];
    /// Those of pods and of the node's own processes.
    pub const EVERY: [Self; 3] = [Self::Socket, Self::Packet, Self::Node];

    /// Who asks by this door.
    #[must_use]
    pub const fn client(self) -> &'static str {
        match self {
            Self::Socket => NATIVE,
            Self::Packet => CLIENT,
            Self::Node => HOST.name,
            Self::Uplink => OUTSIDE.name,
        }
    }
}

/// A case.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is about, unique in the table.
    pub name: String,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// The cluster is now like this.
    State(State),
    /// Somebody asks a service.
    Ask(Ask),
    /// One unconnected or several connected UDP sockets ask these destinations in turn; each answer must come from
    /// the one that was asked.
    Alternate {
        /// How to ask; its destination plays no role.
        ask: Ask,
        /// Whom.
        to: [SocketAddr; 2],
    },
    /// One client port is used for connection after connection, each ended like this; every pod must come up.
    Reuse {
        /// How to ask.
        ask: Ask,
        /// How a connection ends.
        end: End,
    },
    /// One packet of a conversation.
    Packet(Packet),
    /// A packet of [`CLIENT`], byte by byte.
    Raw(Vec<u8>, Then),
    /// A packet that comes in from outside, byte by byte.
    Arrival(Arrival),
    /// This, of which one packet is counted as that.
    Counted(Counter, Box<Step>),
    /// A packet at every hook, byte by byte: nobody may touch it.
    Bystander(Vec<u8>),
    /// Time passes.
    Wait(Duration),
    /// The LRU is short of room.
    Evict(Half),
    /// The next tries to write a flow map fail.
    RefuseInserts(u32),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both sides are done.
    Fin,
    /// The client resets.
    Reset,
}

/// Which entries of every flow vanish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Those for requests.
    Requests,
    /// Those for answers.
    Answers,
    /// Both.
    Both,
}

impl Row {
    /// A row without steps.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            steps: Vec::new(),
        }
    }

    /// The cluster is now like this.
    #[must_use]
    pub fn state(self, state: impl Into<State>) -> Self {
        self.step(Step::State(state.into()))
    }

    /// One more step.
    #[must_use]
    pub fn step(mut self, step: impl Into<Step>) -> Self {
        self.steps.push(step.into());
        self
    }
}

impl Step {
    /// One packet of it is counted as this.
    #[must_use]
    pub fn counted(self, counter: Counter) -> Self {
        Self::Counted(counter, self.into())
    }
}

impl From<Ask> for Step {
    fn from(ask: Ask) -> Self {
        Self::Ask(ask)
    }
}

impl From<Packet> for Step {
    fn from(packet: Packet) -> Self {
        Self::Packet(packet)
    }
}

impl From<Arrival> for Step {
    fn from(arrival: Arrival) -> Self {
        Self::Arrival(arrival)
    }
}

//! The language of rows: what happens, and what must come of it.

use std::net::SocketAddr;
use std::time::Duration;

use kproxy_common::Family;

use super::state::{PORT, Protocol, State, WEB};
use super::world::{self, CLIENT, HOST, NATIVE, OUTSIDE, Pod};
use crate::host::frame::Tcp;

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
    /// A packet at every hook, byte by byte: nobody may touch it.
    Bystander(Vec<u8>),
    /// Time passes.
    Wait(Duration),
    /// The LRU is short of room.
    Evict(Half),
    /// The next tries to write a flow map fail.
    RefuseInserts(u32),
}

/// A packet from outside, byte by byte.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Payload of each packet on the wire, if this one is many (GSO), and else 0.
    pub segment_size: u32,
    /// What must come of it.
    pub then: Then,
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

/// A request, or several.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Who asks.
    pub from: Pod,
    /// By which door.
    pub via: Via,
    /// Over which protocol.
    pub protocol: Protocol,
    /// UDP by `sendto` instead of `connect` and `send`.
    pub sendto: bool,
    /// Whom.
    pub to: SocketAddr,
    /// From which port; else a new one for each request.
    pub source_port: Option<u16>,
    /// How often.
    pub times: usize,
    /// Time that passes before each.
    pub pause: Duration,
    /// The connection or UDP socket of this name, opened when it is first spoken of and kept until the row ends.
    pub kept: Option<&'static str>,
    /// As whom these pods see the client; others see it as is usual at its door.
    pub seen_as: Vec<(&'static str, Source)>,
    /// What must come of each.
    pub expect: Expect,
}

/// As whom a backend sees its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// As itself.
    Kept,
    /// As [`HOST`].
    Node,
}

/// What must come of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Answered by one of these, and the service's address is the peer.
    By(Vec<&'static str>),
    /// The same, and chance treats them alike.
    Spread(Vec<&'static str>),
    /// Answered by the pod that answered on this socket before.
    Same,
    /// Answered by the pod that answered every request of this row with the same name, whichever that is.
    One(&'static str),
    /// Answered by one of these, and each of them comes up in one of the row's requests that expect this.
    Varied(Vec<&'static str>),
    /// ECONNREFUSED.
    Refused,
    /// The call fails as it does when a firewall drops: EPERM for a datagram, ETIMEDOUT for a connection.
    Denied,
    /// Nothing comes back.
    Silence,
    /// The request goes out as it was, and nobody is there.
    Untouched,
}

/// One packet of a conversation between a client and a service.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The client: [`CLIENT`], or somebody outside.
    pub client: Pod,
    /// The conversation: the client's port.
    pub port: u16,
    /// Whom the client speaks to.
    pub to: SocketAddr,
    /// Who sends it.
    pub side: Side,
    /// TCP, UDP or SCTP.
    pub kind: Kind,
    /// What is unusual about it.
    pub dress: Dress,
    /// What it carries.
    pub payload: Vec<u8>,
    /// Its time to live.
    pub hops: u8,
    /// What must come of it.
    pub then: Then,
}

/// Who sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// Who was reached by the client's last packet.
    Server,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A TCP segment.
    Tcp(Tcp),
    /// A UDP datagram.
    Udp,
    /// An SCTP packet, by the TCP segment whose meaning its chunk has.
    Sctp(Tcp),
}

/// What is unusual about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dress {
    /// Nothing.
    Plain,
    /// It has IPv4 options.
    Ipv4Options,
    /// It has TCP options.
    TcpOptions,
    /// It has no UDP checksum.
    NoChecksum,
}

/// What must come of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// It reaches one of these pods, from the client's port, and from its address unless the node stands in for it.
    Reaches(Vec<&'static str>),
    /// The same, but from another port.
    ReachesByAnotherPort(Vec<&'static str>),
    /// It reaches the pod that the conversation's last packet reached.
    ReachesSame,
    /// It reaches the client, from the service's address.
    IsAnswer,
    /// It goes on as it is.
    Untouched,
    /// Port unreachable comes back.
    Unreachable,
    /// The node says that it is too big for its way, where this fits.
    TooBig(u32),
    /// The node says that it has passed too many routers.
    Expired,
    /// It is gone.
    Dropped,
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

    /// Whether a runner can play it.
    #[must_use]
    pub fn fits(&self, runner: Runner) -> bool {
        self.steps.iter().all(|step| step.fits(runner))
    }
}

impl Step {
    fn fits(&self, runner: Runner) -> bool {
        match (self, runner) {
            (Self::Ask(ask) | Self::Alternate { ask, .. } | Self::Reuse { ask, .. }, Runner::Kernel) => {
                matches!(ask.via, Via::Packet | Via::Uplink) && ask.pause.is_zero()
            }
            // No kernel without the SCTP module has sockets for it, and whether one has it is not the table's business.
            (Self::Ask(ask) | Self::Alternate { ask, .. } | Self::Reuse { ask, .. }, Runner::Netns)
                if ask.protocol == Protocol::Sctp =>
            {
                false
            }
            // What varies shows only after many changes, for which agents take their time.
            (Self::Ask(ask), Runner::Netns) => {
                ask.pause.is_zero() && !matches!(ask.expect, Expect::Varied(_))
            }
            (Self::Wait(_) | Self::RefuseInserts(_), Runner::Kernel)
            | (
                Self::Packet(_)
                | Self::Raw(..)
                | Self::Arrival(_)
                | Self::Bystander(_)
                | Self::Wait(_)
                | Self::Evict(_)
                | Self::RefuseInserts(_)
                // The port stays in TIME_WAIT.
                | Self::Reuse { end: End::Fin, .. },
                Runner::Netns,
            ) => false,
            (_, Runner::Host)
            | (
                Self::State(_)
                | Self::Packet(_)
                | Self::Raw(..)
                | Self::Arrival(_)
                | Self::Bystander(_)
                | Self::Evict(_),
                Runner::Kernel,
            )
            | (
                Self::State(_)
                | Self::Alternate { .. }
                | Self::Reuse {
                    end: End::Reset, ..
                },
                Runner::Netns,
            ) => true,
        }
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

impl Ask {
    /// One request of the client for a door to [`web`](super::state::web).
    #[must_use]
    pub fn web(via: Via, protocol: Protocol, family: Family) -> Self {
        Self {
            from: Pod::named(via.client()),
            via,
            protocol,
            sendto: false,
            to: world::service(WEB, PORT, family),
            source_port: None,
            times: 1,
            pause: Duration::ZERO,
            kept: None,
            seen_as: Vec::new(),
            expect: Expect::Untouched,
        }
    }

    /// By another pod, or the node.
    #[must_use]
    pub fn from(mut self, name: &str) -> Self {
        self.from = Pod::named(name);
        self
    }

    /// To another address.
    #[must_use]
    pub fn to(mut self, to: SocketAddr) -> Self {
        self.to = to;
        self
    }

    /// To another port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.to.set_port(port);
        self
    }

    /// From this port, which should be none that a kernel chooses by itself (32768 to 60999).
    #[must_use]
    pub fn source_port(mut self, port: u16) -> Self {
        self.source_port = Some(port);
        self
    }

    /// By `sendto`.
    #[must_use]
    pub fn sendto(mut self) -> Self {
        self.sendto = true;
        self
    }

    /// So often.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// After so much time.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// On a connection that is kept.
    #[must_use]
    pub fn kept(mut self, name: &'static str) -> Self {
        self.kept = Some(name);
        self
    }

    /// Seen by these pods as this.
    #[must_use]
    pub fn seen_as(mut self, seen_as: Vec<(&'static str, Source)>) -> Self {
        self.seen_as = seen_as;
        self
    }

    /// Answered by one of these.
    #[must_use]
    pub fn by(self, pods: &[&'static str]) -> Self {
        self.expect(Expect::By(pods.to_vec()))
    }

    /// This must come of it.
    #[must_use]
    pub fn expect(mut self, expect: Expect) -> Self {
        self.expect = expect;
        self
    }
}

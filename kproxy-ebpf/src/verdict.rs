//! Outcomes, and the one match from outcome to action.

use kproxy_common::{Counter, Door};

use crate::packet::NoWay;
use crate::parse::NoTuple;
use crate::tables::Tables;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to do with any service.
    Bystander,
    /// To a service address, but not to a port of it.
    NoFrontend,
    /// To a service address, but without a tuple.
    NoTuple(NoTuple),
    /// The first packet of a flow, translated.
    New,
    /// A request of a known flow, translated.
    Established,
    /// An answer, translated back.
    Reply,
    /// Translated, and goes back out by the device it came from.
    Hairpin,
    /// As [`Verdict::New`], and goes out by the way that was found for it. The three are no variant with a passage, since
    /// kernel functions return one scalar.
    ForwardNew,
    /// The same for [`Verdict::Established`].
    ForwardEstablished,
    /// The same for [`Verdict::Reply`].
    ForwardReply,
    /// An ICMP error about a translated packet, translated.
    IcmpError,
    /// The same, and goes out by the way that was found for it.
    IcmpForward,
    /// The same, and goes back out by the device it came from.
    IcmpBack,
    /// An ICMP error to a service or the node about no packet that was translated here.
    IcmpUnknown,
    /// An echo request to a service, which became its answer.
    Echo,
    /// Longer than what fits on its way.
    TooBig,
    /// It has passed too many routers to go on.
    TimeExceeded,
    /// It would begin a flow, but no packet from outside can have its source address.
    DropMartian,
    /// No way to where it goes after the rewrite; for an ICMP error also one that is too narrow or too long.
    DropRoute,
    /// The machine forwards nothing that comes in by this device.
    DropForwarding,
    /// No backends.
    Reject,
    /// The ClusterIP of a service, but no port of it.
    RejectPort,
    /// The client is in none of the service's source ranges.
    DropSource,
    /// A ClusterIP that no service has.
    DropUnallocated,
    /// Backends exist, but policy forbids them here.
    DropPolicy,
    /// No free source port towards the backend.
    DropPorts,
    /// A flow could not be recorded.
    DropMap,
    /// The packet changed under the rewrite.
    DropRewrite,
    /// A later fragment that has come before its first one, and comes again.
    Requeue,
    /// A later fragment without a first one, that may be somebody else's.
    FragmentLost,
    /// A later fragment without a first one, or of one that was dropped.
    DropFragment,
    /// A first fragment of an SCTP packet whose ports would change.
    DropSctpFragment,
}

impl From<NoWay> for Verdict {
    #[inline(always)]
    fn from(reason: NoWay) -> Self {
        match reason {
            NoWay::Unreachable => Self::DropRoute,
            NoWay::NotForwarding => Self::DropForwarding,
            NoWay::TooBig => Self::TooBig,
            NoWay::NotFromHere => Self::Bystander,
        }
    }
}

/// What a packet's sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody listens.
    PortUnreachable,
    /// It does not fit.
    TooBig,
    /// Its time to live has ended.
    TimeExceeded,
}

/// What a hook does with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It goes on its way.
    Continue,
    /// It goes back out by the device it came from.
    TurnAround,
    /// It goes out by the way that was found for it.
    Forward,
    /// It becomes an error message and goes back.
    Refuse(Refusal),
    /// It comes in again, behind what waits already.
    Requeue,
    /// It ends here.
    Drop,
}

impl Verdict {
    /// What to do.
    #[must_use]
    #[inline(always)]
    pub const fn action(self) -> Action {
        match self {
            Self::Bystander
            | Self::NoFrontend
            | Self::NoTuple(NoTuple::OtherProtocol | NoTuple::Fragment | NoTuple::Truncated)
            | Self::New
            | Self::Established
            | Self::Reply
            | Self::IcmpError
            | Self::IcmpUnknown
            | Self::FragmentLost => Action::Continue,
            Self::Requeue => Action::Requeue,
            Self::Hairpin | Self::IcmpBack | Self::Echo => Action::TurnAround,
            Self::ForwardNew | Self::ForwardEstablished | Self::ForwardReply | Self::IcmpForward => {
                Action::Forward
            }
            Self::Reject | Self::RejectPort => Action::Refuse(Refusal::PortUnreachable),
            Self::TooBig => Action::Refuse(Refusal::TooBig),
            Self::TimeExceeded => Action::Refuse(Refusal::TimeExceeded),
            Self::DropSource
            | Self::DropMartian
            | Self::DropRoute
            | Self::DropForwarding
            | Self::DropUnallocated
            | Self::DropPolicy
            | Self::DropPorts
            | Self::DropMap
            | Self::DropRewrite
            | Self::DropFragment
            | Self::DropSctpFragment => Action::Drop,
        }
    }

    /// What to count; a bystander costs nothing.
    #[must_use]
    #[inline(always)]
    pub const fn counter(self) -> Option<Counter> {
        match self {
            Self::Bystander => None,
            Self::NoFrontend => Some(Counter::NoFrontend),
            Self::NoTuple(NoTuple::OtherProtocol) => Some(Counter::OtherProtocol),
            Self::NoTuple(NoTuple::Fragment) => Some(Counter::Fragment),
            Self::NoTuple(NoTuple::Truncated) => Some(Counter::Malformed),
            Self::New | Self::ForwardNew => Some(Counter::New),
            Self::Established | Self::ForwardEstablished => Some(Counter::Established),
            Self::Reply | Self::ForwardReply => Some(Counter::Reply),
            Self::IcmpError | Self::IcmpForward | Self::IcmpBack => Some(Counter::IcmpError),
            Self::IcmpUnknown => Some(Counter::IcmpUnknown),
            Self::Echo => Some(Counter::Echo),
            Self::TooBig => Some(Counter::TooBig),
            Self::TimeExceeded => Some(Counter::TimeExceeded),
            Self::DropMartian => Some(Counter::DroppedMartian),
            Self::DropRoute => Some(Counter::DroppedRoute),
            Self::DropForwarding => Some(Counter::DroppedForwarding),
            Self::Hairpin => Some(Counter::Hairpin),
            Self::Reject => Some(Counter::Rejected),
            Self::RejectPort => Some(Counter::RejectedPort),
            Self::DropSource => Some(Counter::DroppedSource),
            Self::DropUnallocated => Some(Counter::DroppedUnallocated),
            Self::DropPolicy => Some(Counter::DroppedPolicy),
            Self::DropPorts => Some(Counter::DroppedPorts),
            Self::DropMap => Some(Counter::DroppedMap),
            Self::DropRewrite => Some(Counter::DroppedRewrite),
            Self::Requeue => Some(Counter::FragmentRequeued),
            Self::FragmentLost => Some(Counter::FragmentLost),
            Self::DropFragment => Some(Counter::DroppedFragment),
            Self::DropSctpFragment => Some(Counter::DroppedSctpFragment),
        }
    }

    /// Counts the verdict and hands it on.
    #[must_use]
    #[inline(always)]
    pub fn counted<T: Tables>(self, tables: &T, door: Door) -> Self {
        if let Some(counter) = self.counter() {
            tables.count(door, counter);
        }
        self
    }
}

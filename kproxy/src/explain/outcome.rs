//! What a door has decided: read from what it counted, since every outcome has a counter.

use kproxy_common::{Address, Counter, Port, Protocol};

use super::answer::{SourceAddress, Verdict};
use super::replay::Event;
use crate::plan::Endpoint;

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The counter that tells it; none for a packet that is nobody's business.
    pub(super) counter: Option<Counter>,
    /// Where it goes.
    pub(super) chosen: Option<Endpoint>,
    /// Whom the backend sees.
    pub(super) source: SourceAddress,
}

impl Outcome {
    /// Nothing has been translated, for the reason that the events tell.
    pub(super) fn untranslated<'a>(counted: impl IntoIterator<Item = &'a Counter>) -> Self {
        Self {
            counter: deciding(counted),
            chosen: None,
            source: SourceAddress::Kept,
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        self.counter.and_then(verdict).unwrap_or(Verdict::Pass)
    }
}

/// The counters of a replay.
pub(super) fn counted(events: &[Event]) -> Vec<Counter> {
    let counter = |event: &Event| match event {
        Event::Counted(counter) => Some(*counter),
        Event::Address(..)
        | Event::Frontend(..)
        | Event::Flow(_)
        | Event::SocketFlow(_)
        | Event::SourceRange(..)
        | Event::Affinity(..)
        | Event::Slot(..)
        | Event::Backend(..) => None,
    };
    events.iter().filter_map(counter).collect()
}

/// The one that says what became of the packet.
pub(super) fn deciding<'a>(counted: impl IntoIterator<Item = &'a Counter>) -> Option<Counter> {
    counted
        .into_iter()
        .copied()
        .filter(|it| verdict(*it).is_some())
        .last()
}

/// What an outcome means for the packet. `None` if it is only a remark.
fn verdict(counter: Counter) -> Option<Verdict> {
    Some(match counter {
        Counter::New | Counter::Established | Counter::Reply | Counter::Hairpin | Counter::IcmpError => {
            Verdict::Forward
        }
        Counter::Rejected | Counter::RejectedPort | Counter::TooBig | Counter::TimeExceeded => {
            Verdict::Reject
        }
        Counter::DroppedSource
        | Counter::DroppedUnallocated
        | Counter::DroppedPolicy
        | Counter::DroppedMartian
        | Counter::DroppedRoute
        | Counter::DroppedForwarding
        | Counter::DroppedPorts
        | Counter::DroppedMap
        | Counter::DroppedRewrite
        | Counter::DroppedFragment
        | Counter::DroppedSctpFragment => Verdict::Drop,
        Counter::NoFrontend
        | Counter::LeftToPacket
        | Counter::Fragment
        | Counter::FragmentRequeued
        | Counter::FragmentLost
        | Counter::Malformed
        | Counter::OtherProtocol
        | Counter::IcmpUnknown
        | Counter::Echo => Verdict::Pass,
        Counter::Promoted
        | Counter::PortTranslated
        | Counter::Affinity
        | Counter::StaleBackend
        | Counter::MapRetry
        | Counter::Raced => return None,
    })
}

/// Why, in a sentence that begins with the outcome's name.
pub(super) fn reason(
    counter: Option<Counter>,
    (is_affinity, is_hashed): (bool, bool),
    (address, port, protocol): (Address, Port, Protocol),
) -> String {
    let to = Endpoint { address, port };
    let Some(counter) = counter else {
        return format!(
            "bystander: {to} {protocol} is no service's, and not in a range of ClusterIPs that kproxy knows"
        );
    };
    let sentence = match counter {
        Counter::New if is_affinity => {
            return "affinity: a new connection, and the service keeps this client with the backend it had before"
                .into();
        }
        Counter::New if is_hashed => {
            "a new connection, and the client's hash decides among the backends, the same at every node".into()
        }
        Counter::New => "a new connection, and chance decides among the backends".into(),
        Counter::Established => {
            "the connection is known already, and its packets go where the first one went".into()
        }
        Counter::Reply => "an answer of a backend, which gets the service's address back".into(),
        Counter::Hairpin => {
            "the client is its own backend, so the service's address stands in as its peer and the packet turns around"
                .into()
        }
        Counter::Rejected => "the service has no usable endpoints anywhere".into(),
        Counter::RejectedPort => {
            format!("{address} is the ClusterIP of a service, but {port}/{protocol} is none of its ports")
        }
        Counter::NoFrontend => {
            format!("{address} is an address of a service, but {port}/{protocol} is none of its ports, so it is left alone")
        }
        Counter::LeftToPacket => {
            "the pod's door decides, which sees the client's address and can stay silent".into()
        }
        Counter::DroppedSource => "the client is in none of the service's source ranges".into(),
        Counter::DroppedUnallocated => {
            format!("ClusterIPs are given out where {address} lies, but no service has it")
        }
        Counter::DroppedPolicy => {
            "traffic policy Local allows only endpoints of this node, and the usable ones are elsewhere".into()
        }
        Counter::DroppedMartian => {
            "no packet from outside can have this source address, so it begins nothing".into()
        }
        Counter::DroppedRoute => "the node has no route from here to the backend".into(),
        Counter::DroppedForwarding => {
            "the node does not forward what comes in by this device (net.ipv4.ip_forward, net.ipv6.conf.all.forwarding)"
                .into()
        }
        Counter::TooBig => "it does not fit on its way, which its sender is told".into(),
        Counter::TimeExceeded => "its time to live ends at this node, which its sender is told".into(),
        Counter::DroppedPorts => "no source port towards the backend is free".into(),
        Counter::DroppedMap => "the connection could not be recorded".into(),
        Counter::DroppedRewrite => "the packet changed under the rewrite".into(),
        Counter::OtherProtocol => {
            format!("{protocol} of the node's own processes has no door, since the socket door knows TCP and UDP")
        }
        Counter::Fragment => "a fragment, which is left alone as the first one was".into(),
        Counter::FragmentRequeued => "a fragment that waits for the first one, which has the ports".into(),
        Counter::FragmentLost => "a fragment whose first one did not come in time, so it is left alone".into(),
        Counter::DroppedFragment => "a fragment whose first one was dropped or did not come in time".into(),
        Counter::DroppedSctpFragment => {
            "the checksum of a fragmented SCTP packet can not be corrected for the ports that it would need".into()
        }
        Counter::Malformed => "its headers can not be read".into(),
        Counter::IcmpError => "an error about one of its packets, which goes back to the sender of that".into(),
        Counter::IcmpUnknown => "an error about a packet that was not translated here, which is left alone".into(),
        Counter::Echo => "an echo request, which is answered for the service".into(),
        Counter::Promoted => "the peer has answered for the first time".into(),
        Counter::PortTranslated => "its source port was taken".into(),
        Counter::Affinity => "the service keeps this client with the backend it had before".into(),
        Counter::StaleBackend => "the backend that it had is gone".into(),
        Counter::MapRetry => "a map had to be written twice".into(),
        Counter::Raced => "the service changed in this very moment".into(),
    };
    format!("{}: {sentence}", counter.name())
}

//! Every outcome at every door: the layout of `COUNTERS`.

macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of the map.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name in metrics and logs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

numbered! {
    /// Where a decision was made.
    Door {
        /// A process of this node, at `connect` or `sendmsg`.
        Socket = "socket",
        /// A packet from a pod.
        PodIngress = "pod_ingress",
        /// A packet to a pod.
        PodEgress = "pod_egress",
        /// A packet from outside.
        UplinkIngress = "uplink_ingress",
        /// A packet to the outside.
        UplinkEgress = "uplink_egress",
    }
}

numbered! {
    /// What was decided.
    Counter {
        /// A new flow was given a backend.
        New = "new",
        /// A request of a known flow was translated.
        Established = "established",
        /// An answer was translated back.
        Reply = "reply",
        /// A flow's peer answered for the first time and the flow moved from `FLOWS_NEW` to `FLOWS`.
        Promoted = "promoted",
        /// The client's source port was changed, since two service addresses share a backend.
        PortTranslated = "port_translated",
        /// The client is the chosen backend and was given the service's address as its peer.
        Hairpin = "hairpin",
        /// A client was given the backend that it had before (session affinity).
        Affinity = "affinity",
        /// A UDP flow left a backend that is gone.
        StaleBackend = "stale_backend",
        /// A service address, but no such port or protocol: left alone.
        NoFrontend = "no_frontend",
        /// Rejected with port unreachable, or ECONNREFUSED at the socket door: no backends.
        Rejected = "rejected",
        /// Rejected: the ClusterIP of a service, but no such port or protocol.
        RejectedPort = "rejected_port",
        /// Left to the pod's door, which knows the client's address where the socket does not have one yet, and can stay
        /// silent where a call can not.
        LeftToPacket = "left_to_packet",
        /// Dropped: the client is in none of the service's source ranges.
        DroppedSource = "dropped_source",
        /// Dropped: an address of a `ServiceCIDR` that is no service's.
        DroppedUnallocated = "dropped_unallocated",
        /// Dropped: endpoints exist, but policy allows none of them here.
        DroppedPolicy = "dropped_policy",
        /// Dropped: it would begin a flow, but its source address is one that no packet from outside can have.
        DroppedMartian = "dropped_martian",
        /// Dropped: no route to where it goes after the rewrite, or one that packets can not be redirected by;
        /// for an ICMP error also one that is too narrow or too long, since none is answered by another.
        DroppedRoute = "dropped_route",
        /// Dropped: this machine does not forward packets that come in by this device
        /// (`net.ipv4.ip_forward`, `net.ipv6.conf.all.forwarding`).
        DroppedForwarding = "dropped_forwarding",
        /// Answered: too big for its way, the sender was told the size that fits (RFC 1191, RFC 8201).
        TooBig = "too_big",
        /// Answered: its time to live ended here.
        TimeExceeded = "time_exceeded",
        /// An ICMP error about a translated packet was translated, with the packet that it quotes.
        IcmpError = "icmp_error",
        /// An ICMP error to a service or the node, about no packet that was translated here: left alone.
        IcmpUnknown = "icmp_unknown",
        /// An echo request to a service was answered for it.
        Echo = "echo",
        /// Dropped: no free source port towards the backend.
        DroppedPorts = "dropped_ports",
        /// Dropped: a flow could not be recorded, also at the second try.
        DroppedMap = "dropped_map",
        /// Dropped: the packet changed size or vanished under the rewrite.
        DroppedRewrite = "dropped_rewrite",
        /// A first try to write a map failed and the second was made.
        MapRetry = "map_retry",
        /// A frontend pointed at a record that had just been freed; it was read again.
        Raced = "raced",
        /// A later fragment to a service address whose first one was left alone: left alone as well.
        Fragment = "fragment",
        /// A later fragment came before its first one and was put back at the end of the queue.
        FragmentRequeued = "fragment_requeued",
        /// A later fragment whose first one did not come in time, and that may be somebody else's: left alone.
        FragmentLost = "fragment_lost",
        /// Dropped: a later fragment whose first one was dropped or did not come in time.
        DroppedFragment = "dropped_fragment",
        /// Dropped: a first fragment of an SCTP packet that would need other ports. Its checksum covers what is not there.
        DroppedSctpFragment = "dropped_sctp_fragment",
        /// A packet to a service address whose headers could not be read: left alone.
        Malformed = "malformed",
        /// A packet to a service address of a protocol without ports: left alone.
        OtherProtocol = "other_protocol",
    }
}

/// Entries of `COUNTERS`.
pub const COUNTERS: u32 = (Door::ALL.len() * Counter::ALL.len()) as u32;

/// The index of one outcome at one door in `COUNTERS`.
#[must_use]
#[inline(always)]
pub const fn index(door: Door, counter: Counter) -> u32 {
    door as u32 * Counter::ALL.len() as u32 + counter as u32
}

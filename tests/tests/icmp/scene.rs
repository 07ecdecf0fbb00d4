//! A client, a service with one backend, and the node between them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use kproxy::dataplane::Sizes;
use kproxy::plan::{
    Applied, BackendSet, Endpoint, Plan, ServicePortName, WantedFrontend, WantedNode, WantedService,
};
use kproxy_common::{Address, BackendFlags, Door, Family, FrontendFlags, FrontendKey, Port, Protocol};
use kproxy_ebpf::verdict::Action;
use kproxy_ebpf::{Scratch, Verdict, forward, reply};
use kproxy_tests::host::frame::{Frame, Tcp, Transport, renew_sctp_checksum};
use kproxy_tests::host::{Buffer, MemoryTables};
use proptest::prelude::*;

use crate::report::ETHERNET;

/// A way of packets through the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// From a pod.
    Pod,
    /// From a pod that is its own backend.
    Hairpin,
    /// From outside to a backend on this node.
    Here,
    /// From outside to a backend elsewhere.
    Elsewhere,
}

impl Walk {
    /// Where its requests are translated, and where its answers.
    pub(crate) const fn doors(self) -> [Door; 2] {
        match self {
            Self::Pod => [Door::PodIngress, Door::PodEgress],
            Self::Hairpin => [Door::PodIngress, Door::PodIngress],
            Self::Here => [Door::UplinkIngress, Door::UplinkEgress],
            Self::Elsewhere => [Door::UplinkIngress, Door::UplinkIngress],
        }
    }

    /// What is done with what is translated on it.
    pub(crate) const fn action(self) -> Action {
        match self {
            Self::Pod | Self::Here => Action::Continue,
            Self::Hairpin => Action::TurnAround,
            Self::Elsewhere => Action::Forward,
        }
    }
}

/// Who talks to whom, and how.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) walk: Walk,
    pub(crate) client: SocketAddr,
    pub(crate) service: SocketAddr,
    pub(crate) backend: SocketAddr,
    pub(crate) node: IpAddr,
    /// Somewhere between the node and whom a packet goes to.
    pub(crate) router: IpAddr,
    pub(crate) transport: Transport,
    pub(crate) payload: Vec<u8>,
}

/// The address with this number in a network.
pub(crate) fn address(v6: bool, network: u8, number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    if v6 {
        Ipv6Addr::new(0x2001, 0xdb8, network.into(), 0, 0, 0, 0, number).into()
    } else {
        Ipv4Addr::new(10, network, high, low).into()
    }
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![
        Just(Transport::Tcp(Tcp::Syn)),
        Just(Transport::Udp),
        Just(Transport::UdpWithoutChecksum),
        Just(Transport::Sctp(Tcp::Syn)),
    ]
}

prop_compose! {
    pub(crate) fn scene(walks: &'static [Walk])(
        walk in proptest::sample::select(walks),
        v6: bool,
        numbers in any::<[u16; 5]>(),
        ports in any::<[u16; 3]>(),
        transport in transport(),
        payload in proptest::collection::vec(any::<u8>(), 0..64),
    ) -> Scene {
        let [client, service, backend, node, router] = [1, 2, 3, 4, 5].map(|network: u8| {
            address(v6, network, numbers[usize::from(network) - 1])
        });
        let backend = if walk == Walk::Hairpin { client } else { backend };
        Scene {
            walk,
            client: (client, ports[0]).into(),
            service: (service, ports[1]).into(),
            backend: (backend, ports[2]).into(),
            node,
            router,
            // Only IPv4 knows datagrams without a checksum.
            transport: if v6 && transport == Transport::UdpWithoutChecksum { Transport::Udp } else { transport },
            payload,
        }
    }
}

impl Scene {
    pub(crate) fn is_v6(&self) -> bool {
        self.client.is_ipv6()
    }

    /// The node, which serves NodePorts under its address.
    pub(crate) fn here(&self) -> WantedNode {
        let family = if self.is_v6() { Family::V6 } else { Family::V4 };
        let node: Address = self.node.into();
        WantedNode {
            node_port_addresses: BTreeSet::from([node]),
            bound: BTreeSet::from([node]),
            primary: BTreeMap::from([(family, node)]),
            service_cidrs: BTreeSet::new(),
            pod_ranges: BTreeMap::new(),
            devices: BTreeMap::new(),
            vlans: BTreeMap::new(),
        }
    }

    /// What leads from empty maps to the node of this scene.
    pub(crate) fn plans(&self, applied: &mut Applied) -> [Plan; 2] {
        let family = if self.is_v6() { Family::V6 } else { Family::V4 };
        let here = applied.place(self.here());
        let endpoint = Endpoint {
            address: self.backend.ip().into(),
            port: Port::new(self.backend.port()),
        };
        let place = if self.walk == Walk::Here {
            BackendFlags::LOCAL
        } else {
            BackendFlags::empty()
        };
        let services = [Protocol::TCP, Protocol::UDP, Protocol::SCTP].map(|protocol| {
            let name = ServicePortName {
                namespace: "default".into(),
                name: "web".into(),
                port: "".into(),
                protocol,
                family,
            };
            let frontend = WantedFrontend {
                flags: FrontendFlags::CLUSTER_IP,
                affinity_seconds: 0,
                inside: BackendSet::Cluster,
                outside: BackendSet::Cluster,
                restricted: false,
            };
            let key = FrontendKey::new(self.service.ip().into(), Port::new(self.service.port()), protocol);
            let service = WantedService {
                frontends: BTreeMap::from([(key, frontend)]),
                endpoints: BTreeMap::from([(endpoint, place)]),
                cluster: vec![endpoint],
                local: Vec::new(),
                source_ranges: BTreeSet::new(),
                left_alone: None,
            };
            (name, service)
        });
        [here, applied.replace(BTreeMap::from(services))]
    }

    /// The maps of the node.
    pub(crate) fn tables(&self) -> MemoryTables {
        let mut tables = MemoryTables::default();
        for plan in self.plans(&mut Applied::new(Sizes::default().capacity())) {
            tables.apply(&plan);
        }
        tables
    }

    pub(crate) fn request(&self) -> Vec<u8> {
        let frame = Frame::new(self.client, self.service, self.transport).payload(&self.payload);
        frame.bytes().expect("one family")
    }
}

/// What a door does with a packet.
pub(crate) fn pass(tables: &MemoryTables, door: Door, bytes: Vec<u8>) -> (Verdict, Vec<u8>) {
    pass_packet(tables, door, Buffer::new(bytes))
}

/// What a door does with a packet.
pub(crate) fn pass_packet(tables: &MemoryTables, door: Door, mut packet: Buffer) -> (Verdict, Vec<u8>) {
    let mut scratch = Scratch::default();
    let verdict = match door {
        Door::PodIngress => forward::pod_ingress(&mut packet, tables, &mut scratch),
        Door::PodEgress => reply::pod_egress(&mut packet, tables, &mut scratch),
        Door::UplinkIngress => forward::uplink_ingress(&mut packet, tables, &mut scratch),
        Door::UplinkEgress => reply::uplink_egress(&mut packet, tables, &mut scratch),
        Door::Socket => unreachable!("packets do not meet the socket door"),
    };
    (verdict, packet.bytes)
}

/// One direction of a conversation: a packet as it came to the node, and as it went on.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
    /// Where errors about what went on come in.
    pub(crate) errors: Door,
}

/// The packet that answers another: addresses and ports swapped.
pub(crate) fn turned(mut bytes: Vec<u8>) -> Vec<u8> {
    let (addresses, length) = if bytes[ETHERNET] >> 4 == 4 {
        (12, 4)
    } else {
        (8, 16)
    };
    let start = ETHERNET + addresses;
    let ports = start + 2 * length;
    bytes[start..ports].rotate_left(length);
    bytes[ports..ports + 4].rotate_left(2);
    renew_sctp_checksum(&mut bytes);
    bytes
}

/// A request and its answer through doors that are given.
pub(crate) fn talk(scene: &Scene, mut pass: impl FnMut(Door, Vec<u8>) -> Vec<u8>) -> [Leg; 2] {
    let [asks, answers] = scene.walk.doors();
    let request = scene.request();
    let asked = pass(asks, request.clone());
    let answer = turned(asked.clone());
    let answered = pass(answers, answer.clone());
    [
        Leg {
            before: request,
            after: asked,
            errors: answers,
        },
        Leg {
            before: answer,
            after: answered,
            errors: asks,
        },
    ]
}

//! Properties of the datapath library, for packets that nobody thought of.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use kproxy::dataplane::Sizes;
use kproxy::plan::{Applied, BackendSet, Endpoint, ServicePortName, WantedFrontend, WantedService};
use kproxy_common::{Address, BackendFlags, Family, FrontendFlags, FrontendKey, Port, Protocol};
use kproxy_ebpf::verdict::Action;
use kproxy_ebpf::{Packet as _, Refusal, Scratch, forward, parse, reply, wire};
use kproxy_tests::acceptance::host::run;
use kproxy_tests::acceptance::simulation::{Fate, Hook};
use kproxy_tests::host::frame::{self, Frame, Seen, Tcp, Transport};
use kproxy_tests::host::{Buffer, MemoryTables};
use proptest::collection::vec;
use proptest::prelude::*;

const ETHERNET: usize = 14;

/// A client that asks a service with one pod.
#[derive(Clone, Debug)]
struct Talk {
    client: SocketAddr,
    service: SocketAddr,
    pod: SocketAddr,
    transport: Transport,
    payload: Vec<u8>,
    partial: bool,
}

fn address(v6: bool) -> BoxedStrategy<IpAddr> {
    if v6 {
        // An address whose upper half is zero could be taken for an IPv4-mapped one, which no packet carries.
        (1..u128::MAX)
            .prop_map(|bits| Ipv6Addr::from_bits(bits | 1 << 127).into())
            .boxed()
    } else {
        (1..u32::MAX)
            .prop_map(|bits| Ipv4Addr::from_bits(bits).into())
            .boxed()
    }
}

prop_compose! {
    fn socket(v6: bool)(ip in address(v6), port: u16) -> SocketAddr {
        (ip, port).into()
    }
}

fn transport() -> impl Strategy<Value = Transport> {
    prop_oneof![
        Just(Transport::Tcp(Tcp::Syn)),
        Just(Transport::Tcp(Tcp::Ack)),
        Just(Transport::Tcp(Tcp::Fin)),
        Just(Transport::Udp),
        Just(Transport::Sctp(Tcp::Syn)),
        Just(Transport::Sctp(Tcp::Ack)),
        Just(Transport::Sctp(Tcp::Fin)),
    ]
}

fn talk() -> impl Strategy<Value = Talk> {
    any::<bool>().prop_flat_map(|v6| {
        let sockets = (socket(v6), socket(v6), socket(v6));
        let rest = (transport(), vec(any::<u8>(), 0..64), any::<bool>(), 0..10);
        (sockets, rest).prop_map(
            |((client, service, mut pod), (transport, payload, partial, hairpin))| {
                if hairpin == 0 {
                    pod.set_ip(client.ip());
                }
                Talk {
                    client,
                    service,
                    pod,
                    transport,
                    payload,
                    partial,
                }
            },
        )
    })
}

/// Tables with one service, filled by a plan.
fn tables(service: SocketAddr, pod: SocketAddr) -> MemoryTables {
    let mut applied = Applied::new(Sizes::default().capacity());
    let endpoint = Endpoint {
        address: pod.ip().into(),
        port: Port::new(pod.port()),
    };
    let wanted = [Protocol::TCP, Protocol::UDP, Protocol::SCTP].map(|protocol| {
        let name = ServicePortName {
            namespace: "default".into(),
            name: "web".into(),
            port: "".into(),
            protocol,
            family: if service.is_ipv4() { Family::V4 } else { Family::V6 },
        };
        let frontend = WantedFrontend {
            flags: FrontendFlags::CLUSTER_IP,
            affinity_seconds: 0,
            inside: BackendSet::Cluster,
            outside: BackendSet::Cluster,
            restricted: false,
        };
        let key = FrontendKey::new(service.ip().into(), Port::new(service.port()), protocol);
        let service = WantedService {
            frontends: BTreeMap::from([(key, frontend)]),
            endpoints: BTreeMap::from([(endpoint, BackendFlags::empty())]),
            cluster: vec![endpoint],
            local: Vec::new(),
            source_ranges: std::collections::BTreeSet::new(),
            left_alone: None,
        };
        (name, service)
    });
    let mut tables = MemoryTables::default();
    tables.apply(&applied.replace(BTreeMap::from(wanted)));
    tables
}

impl Talk {
    fn is_hairpin(&self) -> bool {
        self.client.ip() == self.pod.ip()
    }

    fn request(&self) -> Buffer {
        let frame = Frame::new(self.client, self.service, self.transport).payload(&self.payload);
        if self.partial {
            Buffer::partial(frame.partial_bytes().expect("one family"))
        } else {
            Buffer::new(frame.bytes().expect("one family"))
        }
    }

    fn with_checksum(&self, bytes: Vec<u8>) -> Buffer {
        if self.partial {
            Buffer::partial(bytes)
        } else {
            Buffer::new(bytes)
        }
    }

    /// Source, destination and payload, with the checksums verified as the receiver would.
    fn read(&self, bytes: &[u8]) -> (SocketAddr, SocketAddr, Vec<u8>) {
        let mut bytes = bytes.to_vec();
        if self.partial {
            frame::finish_checksum(&mut bytes).expect("a segment");
        }
        match Seen::read(&bytes).expect("a packet with right checksums") {
            Seen::Segment {
                source,
                destination,
                payload,
                ..
            } => (source, destination, payload),
            Seen::Unreachable { .. } => unreachable!("a segment became a port unreachable"),
        }
    }
}

/// The packet that goes the other way: addresses and ports swapped, which no checksum notices but SCTP's.
fn turned(mut bytes: Vec<u8>) -> Vec<u8> {
    let (addresses, length) = if bytes[ETHERNET] >> 4 == 4 {
        (12, 4)
    } else {
        (8, 16)
    };
    let start = ETHERNET + addresses;
    let ports = start + 2 * length;
    bytes[start..ports].rotate_left(length);
    bytes[ports..ports + 4].rotate_left(2);
    frame::renew_sctp_checksum(&mut bytes);
    bytes
}

fn passed(fate: Fate) -> Option<Vec<u8>> {
    match fate {
        Fate::On(bytes) | Fate::Back(bytes) | Fate::Forwarded(bytes) => Some(bytes),
        Fate::Gone => None,
    }
}

proptest! {
    #[test]
    fn what_is_translated_there_is_translated_back(talk in talk()) {
        prop_assume!(talk.service.ip() != talk.client.ip() && talk.service.ip() != talk.pod.ip());
        prop_assume!(Address::from(talk.client.ip()).is_unicast());
        let tables = tables(talk.service, talk.pod);
        let request = talk.request();

        let sent = passed(run(&tables, Hook::Ingress, request.clone())).expect("a request is not dropped");

        let (source, destination, payload) = talk.read(&sent);
        prop_assert_eq!(destination, talk.pod);
        prop_assert_eq!(source.port(), talk.client.port());
        prop_assert_eq!(source.ip(), if talk.is_hairpin() { talk.service.ip() } else { talk.client.ip() });
        prop_assert_eq!(&payload, &talk.payload);

        // A hairpin's answer meets the door on its way in, every other one on its way out.
        let hook = if talk.is_hairpin() { Hook::Ingress } else { Hook::Egress };
        let mut answer = turned(sent);
        if talk.is_hairpin() {
            // It turned around, and comes from the pod again.
            answer[..12].rotate_left(6);
        }
        let answer = passed(run(&tables, hook, talk.with_checksum(answer))).expect("an answer is not dropped");

        let (source, destination, payload) = talk.read(&answer);
        prop_assert_eq!((source, destination), (talk.service, talk.client));
        prop_assert_eq!(&payload, &talk.payload);
        prop_assert_eq!(&turned(answer)[ETHERNET..], &request.bytes[ETHERNET..], "there and back is no change");
    }

    #[test]
    fn no_bytes_make_the_doors_panic_or_change_a_bystander(
        talk in talk(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        kept in any::<prop::sample::Index>(),
        noise in proptest::option::weighted(0.2, vec(any::<u8>(), 0..200)),
    ) {
        let tables = tables(talk.service, talk.pod);
        let mut bytes = noise.unwrap_or_else(|| talk.request().bytes);
        if !bytes.is_empty() {
            for (place, value) in changes {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            bytes.truncate(kept.index(bytes.len() * 2));
        }
        for hook in Hook::ALL {
            let mut packet = talk.with_checksum(bytes.clone());
            if hook == Hook::NodeEgress {
                packet = packet.of_node();
            }
            let verdict = match hook {
                Hook::Ingress => forward::pod_ingress(&mut packet, &tables, &mut Scratch::default()),
                Hook::Egress => reply::pod_egress(&mut packet, &tables, &mut Scratch::default()),
                Hook::UplinkIngress => forward::uplink_ingress(&mut packet, &tables, &mut Scratch::default()),
                Hook::UplinkEgress | Hook::NodeEgress => {
                    reply::uplink_egress(&mut packet, &tables, &mut Scratch::default())
                }
            };
            let translated = tables.counted(kproxy_common::Counter::New) > 0;
            if verdict.action() == Action::Continue && !translated {
                prop_assert_eq!(&packet.bytes, &bytes, "{:?} at {:?}", verdict, hook);
            }
            prop_assert_eq!(packet.bytes.len(), bytes.len());
        }
    }

    #[test]
    fn noise_is_rejected_without_a_panic(talk in talk(), bytes in vec(any::<u8>(), 0..200)) {
        let mut packet = talk.with_checksum(bytes);
        let _ = kproxy_ebpf::reject::refuse(&mut packet, &MemoryTables::default(), Refusal::PortUnreachable);
    }

    #[test]
    fn the_start_of_a_packet_reads_as_the_whole_or_not_at_all(talk in talk(), kept in any::<prop::sample::Index>()) {
        let whole = talk.request();
        let network = wire::parse(&whole).expect("a whole header");
        let segment = parse::segment(&whole, &network).expect("a whole header");
        let start = Buffer::new(whole.bytes[..kept.index(whole.bytes.len())].to_vec());
        if let Some(found) = wire::parse(&start) {
            prop_assert_eq!(found, network);
            if let Ok(found) = parse::segment(&start, &found) {
                prop_assert_eq!(found, segment);
            }
        }
        prop_assert_eq!(start.load::<u8>(start.bytes.len()), None, "nothing lies behind the end");
    }

    #[test]
    fn what_is_read_at_once_is_what_is_read_with_care(
        talk in talk(),
        changes in vec((0..60_usize, any::<u8>()), 0..4),
        kept in any::<prop::sample::Index>(),
    ) {
        let mut bytes = talk.request().bytes;
        for (place, value) in changes {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = value;
            }
        }
        bytes.truncate(kept.index(bytes.len() * 2));
        let packet = Buffer::new(bytes);
        if let Some(segment) = parse::plain(&packet) {
            let network = wire::parse(&packet).expect("a header");
            let careful = parse::segment(&packet, &network).expect("a segment");
            prop_assert_eq!(segment.tuple, careful.tuple);
            prop_assert_eq!(segment.flags, careful.flags);
            prop_assert_eq!((segment.family, segment.offset()), (careful.family, careful.offset()));
            prop_assert!(!careful.is_first_fragment() && !careful.is_later_fragment());
        }
    }

    #[test]
    fn most_packets_are_read_at_once(talk in talk()) {
        let is_plain = parse::plain(&talk.request()).is_some();
        prop_assert_eq!(is_plain, !matches!(talk.transport, Transport::Sctp(_)));
    }

    #[test]
    fn a_rejection_has_right_checksums_and_quotes_the_request(talk in talk()) {
        let request = talk.request();
        let mut packet = request.clone();
        let rejected = kproxy_ebpf::reject::refuse(&mut packet, &MemoryTables::default(), Refusal::PortUnreachable);
        // Nobody else is told anything.
        let is_told = Address::from(talk.client.ip()).is_unicast();
        prop_assert_eq!(rejected.is_some(), is_told);
        if !is_told {
            return Ok(());
        }
        match Seen::read(&packet.bytes).expect("a packet with right checksums") {
            Seen::Unreachable { source, destination, quote } => {
                prop_assert_eq!((source, destination), (talk.service.ip(), talk.client.ip()));
                prop_assert!(request.bytes[ETHERNET..].starts_with(&quote));
            }
            other @ Seen::Segment { .. } => prop_assert!(false, "{:?} instead of a rejection", other),
        }
    }
}

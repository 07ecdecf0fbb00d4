//! The library in memory (semantics 3.09).

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use kproxy::dataplane::Sizes;
use kproxy_common::{Counter, Door, Family};
use kproxy_ebpf::{Action, Scratch, Verdict, forward, reply};
use kproxy_tests::acceptance::state::{PORT, Service, State, WEB, web};
use kproxy_tests::acceptance::world::{CLIENT, FAMILIES, NODE, Pod, Vip, service};
use kproxy_tests::host::frame::{Frame, Tcp, Transport};
use kproxy_tests::host::{Buffer, MemoryTables, Programmer};

use super::datagram::{SIZE, cut, payload, read, udp};

const NODE_PORT: u16 = 30_080;
/// The longest that UDP over IPv4 carries.
const LONGEST: usize = 65_507;
/// Longer than a fragment waits.
const TOO_LONG: Duration = Duration::from_millis(3);

/// A node with its doors.
struct Machine {
    tables: MemoryTables,
    scratch: Scratch,
}

impl Machine {
    fn new(service: Service) -> Self {
        let mut tables = MemoryTables::new(1);
        let plan = Programmer::new(NODE, Sizes::default().capacity()).plan(&State::of([service]).manifests());
        tables.apply(&plan.unwrap());
        Self {
            tables,
            scratch: Scratch::default(),
        }
    }

    fn meet(&mut self, door: Door, bytes: &[u8]) -> (Verdict, Vec<u8>) {
        let mut packet = Buffer::new(bytes.to_vec());
        let (tables, scratch) = (&self.tables, &mut self.scratch);
        let verdict = match door {
            Door::PodIngress => forward::pod_ingress(&mut packet, tables, scratch),
            Door::PodEgress => reply::pod_egress(&mut packet, tables, scratch),
            Door::UplinkIngress => forward::uplink_ingress(&mut packet, tables, scratch),
            Door::UplinkEgress => reply::uplink_egress(&mut packet, tables, scratch),
            Door::Socket => unreachable!("a door for packets"),
        };
        (verdict, packet.bytes)
    }

    /// What goes on, when packets come in this order and those that are put back come last.
    fn pass(&mut self, door: Door, packets: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let mut queue = VecDeque::from(packets);
        let mut passed = Vec::new();
        while let Some(bytes) = queue.pop_front() {
            let (verdict, seen) = self.meet(door, &bytes);
            match verdict.action() {
                Action::Requeue => {
                    assert_eq!(seen, bytes, "what comes again is as it was");
                    queue.push_back(bytes);
                }
                Action::Continue | Action::Forward | Action::TurnAround => passed.push(seen),
                Action::Refuse(_) | Action::Drop => unreachable!("{verdict:?} at {door:?}"),
            }
        }
        passed
    }
}

fn of(name: &str, port: u16, family: Family) -> SocketAddr {
    (Pod::named(name).address(family), port).into()
}

fn outside(family: Family) -> SocketAddr {
    let address: IpAddr = match family {
        Family::V4 => [203, 0, 113, 9].into(),
        Family::V6 => [0x2001, 0xdb8, 0, 0, 0, 0, 0, 9].into(),
    };
    (address, 25_700).into()
}

/// How fragments come.
#[derive(Clone, Copy, Debug)]
enum Order {
    Sent,
    Reversed,
    Twice,
}

impl Order {
    const ALL: [Self; 3] = [Self::Sent, Self::Reversed, Self::Twice];

    fn of(self, mut fragments: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        match self {
            Self::Sent => {}
            Self::Reversed => fragments.reverse(),
            Self::Twice => fragments = fragments.into_iter().flat_map(|it| [it.clone(), it]).collect(),
        }
        fragments
    }
}

/// A datagram there and one back.
fn talk(pod: &'static str, client: SocketAddr, to: SocketAddr, there: Door, back: Door) {
    let service = web(&[pod]).node_port(NODE_PORT);
    let server = of(pod, 8080, kproxy_common::Address::from(to.ip()).family());
    for length in [1_473, 4_000, LONGEST] {
        for order in Order::ALL {
            let mut machine = Machine::new(service.clone());
            let sent = order.of(udp(client, to, length, 7));
            let (peer, local, data) = read(&machine.pass(there, sent));
            assert_eq!((local, data), (server, payload(length)), "{order:?}");
            let is_forwarded = there == Door::UplinkIngress && back == Door::UplinkIngress;
            assert_eq!(peer == client, !is_forwarded, "{order:?}");

            // What leaves is in order.
            let order = if back == Door::UplinkIngress {
                order
            } else {
                Order::Sent
            };
            let answer = order.of(udp(local, peer, length, 8));
            let (from, asker, data) = read(&machine.pass(back, answer));
            assert_eq!((from, asker, data), (to, client, payload(length)), "{order:?}");
            assert_eq!(machine.tables.counted(Counter::DroppedFragment), 0);
        }
    }
}

#[test]
fn a_pods_fragments_go_to_its_backend_and_come_back() {
    for family in FAMILIES {
        let (client, to) = (of(CLIENT, 25_600, family), service(WEB, PORT, family));
        for pod in ["web-1", "web-2"] {
            talk(pod, client, to, Door::PodIngress, Door::PodEgress);
        }
    }
}

#[test]
fn fragments_from_outside_go_to_a_backend_here_and_come_back() {
    for family in FAMILIES {
        let to = Vip::Node.port(NODE_PORT, family);
        talk(
            "web-1",
            outside(family),
            to,
            Door::UplinkIngress,
            Door::UplinkEgress,
        );
    }
}

#[test]
fn fragments_from_outside_go_to_a_backend_elsewhere_and_come_back() {
    for family in FAMILIES {
        let to = Vip::Node.port(NODE_PORT, family);
        talk(
            "web-2",
            outside(family),
            to,
            Door::UplinkIngress,
            Door::UplinkIngress,
        );
    }
}

#[test]
fn a_hairpins_fragments_turn_around() {
    for family in FAMILIES {
        let (client, to) = (of("web-1", 25_600, family), service(WEB, PORT, family));
        let mut machine = Machine::new(web(&["web-1"]));
        let sent = Order::Reversed.of(udp(client, to, 4_000, 7));
        let (peer, local, _) = read(&machine.pass(Door::PodIngress, sent));
        assert_eq!((peer.ip(), local), (to.ip(), of("web-1", 8080, family)));
        let (from, asker, _) = read(&machine.pass(Door::PodIngress, udp(local, peer, 4_000, 8)));
        assert_eq!((from, asker), (to, client));
    }
}

#[test]
fn a_fragment_without_a_first_one_waits_for_a_short_time() {
    for family in FAMILIES {
        for (to, last) in [
            (service(WEB, PORT, family), Verdict::DropFragment),
            (Vip::Node.port(NODE_PORT, family), Verdict::FragmentLost),
        ] {
            let mut machine = Machine::new(web(&["web-1"]).node_port(NODE_PORT));
            let later = udp(outside(family), to, 2_000, 7).remove(1);
            let door = Door::UplinkIngress;
            assert_eq!(machine.meet(door, &later), (Verdict::Requeue, later.clone()));
            assert_eq!(machine.meet(door, &later).0, Verdict::Requeue);
            machine.tables.wait(TOO_LONG);
            for _ in 0..3 {
                assert_eq!(
                    machine.meet(door, &later),
                    (last, later.clone()),
                    "it does not wait anew"
                );
            }
            assert_eq!(machine.tables.counted(Counter::FragmentRequeued), 2);
            // The next datagram with this identification has another first fragment.
            machine.tables.wait(Duration::from_secs(6));
            assert_eq!(machine.meet(door, &later).0, Verdict::Requeue);
        }
    }
}

#[test]
fn a_flood_of_orphans_is_put_back_so_often_and_no_more() {
    for family in FAMILIES {
        let to = service(WEB, PORT, family);
        let mut machine = Machine::new(web(&["web-1"]));
        for id in 0..10_000 {
            let later = udp(of(CLIENT, 25_600, family), to, 2_000, id).remove(1);
            let (verdict, _) = machine.meet(Door::PodIngress, &later);
            assert!(
                matches!(verdict, Verdict::Requeue | Verdict::DropFragment),
                "{verdict:?}"
            );
        }
        let requeued = machine.tables.counted(Counter::FragmentRequeued);
        let dropped = machine.tables.counted(Counter::DroppedFragment);
        assert_eq!((requeued, dropped), (2_048, 10_000 - 2_048));
        // Who comes in order does not wait, and is not disturbed.
        let sent = udp(of(CLIENT, 25_600, family), to, LONGEST, 10_001);
        read(&machine.pass(Door::PodIngress, sent));
        assert_eq!(machine.tables.flow_counts(), (0, 2), "no orphan begins a flow");
        machine.tables.wait(Duration::from_millis(20));
        let sent = Order::Reversed.of(udp(of(CLIENT, 25_600, family), to, LONGEST, 10_002));
        read(&machine.pass(Door::PodIngress, sent));
    }
}

#[test]
fn later_fragments_share_the_fate_of_the_first() {
    for family in FAMILIES {
        let client = of(CLIENT, 25_600, family);
        let vip = Vip::Number(13);
        let ranged = web(&["web-1"])
            .load_balancer(&[vip])
            .source_ranges(&["192.0.2.0/24", "2001:db8::/32"]);
        let cluster_ip = service(WEB, PORT, family);
        let other_port = vip.port(81, family);
        for (service, to, first, later) in [
            (web(&[]), cluster_ip, Verdict::Reject, Verdict::DropFragment),
            (
                ranged.clone(),
                vip.port(PORT, family),
                Verdict::DropSource,
                Verdict::DropFragment,
            ),
            (
                ranged,
                other_port,
                Verdict::NoFrontend,
                Verdict::NoTuple(kproxy_ebpf::parse::NoTuple::Fragment),
            ),
            (
                web(&["web-1"]),
                of(NODE, 53, family),
                Verdict::Bystander,
                Verdict::Bystander,
            ),
            (
                web(&["web-1"]),
                of("web-2", 53, family),
                Verdict::Bystander,
                Verdict::Bystander,
            ),
        ] {
            let mut machine = Machine::new(service);
            let sent = udp(client, to, 4_000, 7);
            assert_eq!(machine.meet(Door::PodIngress, &sent[0]).0, first, "{to}");
            for bytes in &sent[1..] {
                assert_eq!(
                    machine.meet(Door::PodIngress, bytes),
                    (later, bytes.clone()),
                    "{to}"
                );
            }
        }
    }
}

#[test]
fn another_first_fragment_reaches_nothing_that_is_forbidden() {
    for family in FAMILIES {
        let (client, vip) = (of(CLIENT, 25_600, family), Vip::Number(13));
        let service = web(&["web-1"])
            .load_balancer(&[vip])
            .source_ranges(&["192.0.2.0/24", "2001:db8::/32"]);
        let mut machine = Machine::new(service.port(81, 8081));
        let allowed = udp(client, vip.port(4_242, family), 4_000, 7);
        let forbidden = udp(client, vip.port(PORT, family), 4_000, 7);
        let door = Door::PodIngress;
        machine.meet(door, &allowed[0]);
        assert_eq!(machine.meet(door, &forbidden[0]).0, Verdict::DropSource);
        assert_eq!(machine.meet(door, &forbidden[1]).0, Verdict::DropFragment);
        machine.meet(door, &allowed[0]);
        let (verdict, bytes) = machine.meet(door, &forbidden[2]);
        assert_eq!(
            (verdict.action(), &bytes),
            (Action::Continue, &forbidden[2]),
            "left alone, as its first"
        );
        assert_eq!(machine.tables.flow_counts(), (0, 0));
    }
}

#[test]
fn another_first_fragment_leads_where_its_own_ports_do() {
    for family in FAMILIES {
        let mut machine = Machine::new(web(&["web-1"]).port(81, 8081));
        let to = service(WEB, PORT, family);
        let one = udp(of(CLIENT, 25_600, family), to, 4_000, 7);
        let other = udp(of(CLIENT, 25_601, family), (to.ip(), 81).into(), 4_000, 7);
        let door = Door::PodIngress;
        machine.pass(door, one.clone());
        let (_, local, _) = read(&machine.pass(door, other));
        assert_eq!(local.port(), 8081);
        let (_, local, _) = read(&machine.pass(door, one));
        assert_eq!(local.port(), 8080);
    }
}

#[test]
fn a_fragment_that_outlives_its_flow_is_dropped() {
    for family in FAMILIES {
        let mut machine = Machine::new(web(&["web-1"]));
        let sent = udp(of(CLIENT, 25_600, family), service(WEB, PORT, family), 4_000, 7);
        let first = machine.pass(Door::PodIngress, sent[..1].to_vec());
        machine.tables.evict(|_, _, _| true);
        assert_eq!(machine.meet(Door::PodIngress, &sent[1]).0, Verdict::DropFragment);
        assert_eq!(machine.tables.flow_counts(), (0, 0), "and begins none");
        // At the backend's door nothing is known of them.
        assert_eq!(machine.meet(Door::PodEgress, &first[0]).0, Verdict::Bystander);
    }
}

#[test]
fn sctp_in_fragments_keeps_its_ports_or_is_dropped() {
    for family in FAMILIES {
        let (client, to) = (of(CLIENT, 25_600, family), service(WEB, PORT, family));
        let frame = Frame::new(client, to, Transport::Sctp(Tcp::Syn)).payload(&payload(4_000));
        let sent = cut(&frame.bytes().unwrap(), SIZE, 7);
        let mut machine = Machine::new(web(&["web-1"]).sctp(PORT));
        let (_, local, _) = read(&machine.pass(Door::PodIngress, Order::Reversed.of(sent.clone())));
        assert_eq!(local, of("web-1", PORT, family));

        let mut machine = Machine::new(web(&["web-1"]).sctp(8080));
        assert_eq!(
            machine.meet(Door::PodIngress, &sent[0]),
            (Verdict::DropSctpFragment, sent[0].clone())
        );
        assert_eq!(machine.meet(Door::PodIngress, &sent[1]).0, Verdict::DropFragment);
    }
}

#[test]
fn tcp_in_fragments_is_translated() {
    for family in FAMILIES {
        let (client, to) = (of(CLIENT, 25_600, family), service(WEB, PORT, family));
        let frame = Frame::new(client, to, Transport::Tcp(Tcp::Syn)).payload(&payload(4_000));
        let mut machine = Machine::new(web(&["web-1"]));
        let sent = Order::Reversed.of(cut(&frame.bytes().unwrap(), SIZE, 7));
        let (peer, local, data) = read(&machine.pass(Door::PodIngress, sent));
        assert_eq!((peer, local), (client, of("web-1", 8080, family)));
        assert_eq!(data, payload(4_000));
    }
}

#[test]
fn an_atomic_fragment_is_a_whole_packet() {
    let (client, to) = (of(CLIENT, 25_600, Family::V6), service(WEB, PORT, Family::V6));
    for transport in [
        Transport::Udp,
        Transport::Tcp(Tcp::Syn),
        Transport::Sctp(Tcp::Syn),
    ] {
        let frame = Frame::new(client, to, transport).payload(b"atomic");
        let sent = cut(&frame.bytes().unwrap(), SIZE, 7);
        let mut machine = Machine::new(web(&["web-1"]).sctp(8080));
        let (_, local, data) = read(&machine.pass(Door::PodIngress, sent));
        assert_eq!(
            (local, data.as_slice()),
            (of("web-1", 8080, Family::V6), b"atomic".as_slice())
        );
        assert_eq!(machine.tables.counted(Counter::New), 1);
    }
}

//! The node's source ports towards one backend, until they are used up (semantics 5.11). In the library: no root needed.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use kproxy_common::{Counter, Family};
use kproxy_tests::acceptance::host::HostMachine;
use kproxy_tests::acceptance::simulation::{Fate, Hook, Machine as _};
use kproxy_tests::acceptance::state::{State, web};
use kproxy_tests::acceptance::world::{HOST, OUTSIDERS, Pod, Vip};
use kproxy_tests::host::frame::{Frame, Tcp, Transport};
use kproxy_tests::host::Seen;

const NODE_PORT: u16 = 30_190;
const BACKEND: &str = "web-2";
/// As many of the tries for one packet as it takes to come by every port: a client that repeats its SYN as often as this
/// has really found none.
const REPETITIONS: u32 = 4_096;

/// A client's port, and what it became.
struct Uplink {
    machine: HostMachine,
    family: Family,
}

impl Uplink {
    fn new(family: Family) -> Self {
        let mut machine = HostMachine::new(7);
        let state = State::from(web(&[BACKEND]).node_port(NODE_PORT));
        machine.program(&state.manifests()).unwrap();
        Self { machine, family }
    }

    /// Begins a connection; the port that the backend sees.
    fn connect(&mut self, client: Pod, port: u16) -> Option<u16> {
        let source: SocketAddr = (client.address(self.family), port).into();
        let to = Vip::Node.port(NODE_PORT, self.family);
        let bytes = Frame::new(source, to, Transport::Tcp(Tcp::Syn)).bytes().unwrap();
        match self.machine.run(Hook::UplinkIngress, bytes, 0).unwrap() {
            Fate::Forwarded(bytes) => {
                let Seen::Segment { source, destination, .. } = Seen::read(&bytes).unwrap() else {
                    panic!("no segment: {bytes:02x?}");
                };
                assert_eq!(source.ip(), HOST.address(self.family));
                assert_eq!(destination, (Pod::named(BACKEND).address(self.family), 8080).into());
                Some(source.port())
            }
            Fate::Gone => None,
            other @ (Fate::On(_) | Fate::Back(_)) => panic!("{other:02x?}"),
        }
    }

    /// The backend answers, to who must be this client.
    fn answer(&mut self, seen_port: u16, client: Pod, port: u16) {
        let backend: SocketAddr = (Pod::named(BACKEND).address(self.family), 8080).into();
        let node: SocketAddr = (HOST.address(self.family), seen_port).into();
        let bytes = Frame::new(backend, node, Transport::Tcp(Tcp::SynAck)).bytes().unwrap();
        let Fate::Forwarded(bytes) = self.machine.run(Hook::UplinkIngress, bytes, 0).unwrap() else {
            panic!("the answer to port {seen_port} is not forwarded");
        };
        let Seen::Segment { source, destination, .. } = Seen::read(&bytes).unwrap() else {
            panic!("no segment: {bytes:02x?}");
        };
        assert_eq!(source, Vip::Node.port(NODE_PORT, self.family));
        assert_eq!(destination, (client.address(self.family), port).into());
    }
}

#[test]
fn fifty_thousand_connections_of_one_client_to_one_backend_5_11() {
    let mut uplink = Uplink::new(Family::V4);
    let [client, _] = OUTSIDERS;
    let ports = 10_000..60_000_u16;

    let seen: BTreeSet<u16> = ports.clone().map(|port| uplink.connect(client, port).unwrap()).collect();

    assert_eq!(seen.len(), 50_000, "no two have the same port");
    assert_eq!(uplink.machine.tables.counted(Counter::DroppedPorts), 0);
    for port in ports.step_by(997).filter(|port| *port != NODE_PORT) {
        uplink.answer(port, client, port);
    }
}

#[test]
fn the_first_failure_is_when_the_ports_are_used_up_and_is_counted_5_11() {
    let mut uplink = Uplink::new(Family::V6);
    let [first, second] = OUTSIDERS;
    let spare = uplink.machine.tables.settings.spare_ports;
    // The first client keeps its ports, nine in ten of those that the node can give away.
    let kept = u32::from(spare.len()) * 9 / 10;
    let mut used: BTreeSet<u16> = (0..kept)
        .map(|place| spare.at(place))
        .map(|port| uplink.connect(first, port).unwrap())
        .collect();

    // The second asks from none that the first has not, and none that is free.
    let mut asking = used.clone().into_iter();
    let failed = asking.find(|port| {
        let found = (0..REPETITIONS).find_map(|_| uplink.connect(second, *port));
        let Some(found) = found else { return true };
        assert!(used.insert(found), "port {found} was given away twice");
        uplink.answer(found, second, *port);
        false
    });

    assert!(failed.is_some(), "more connections than ports");
    let all: BTreeSet<u16> = (0..spare.len()).map(|place| spare.at(place.into())).collect();
    assert_eq!(used, all, "a connection failed while a port was free");
    assert!(uplink.machine.tables.counted(Counter::DroppedPorts) >= u64::from(REPETITIONS));
}

//! The loaded programs of a pod's door, fragment by fragment.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use aya::programs::{TestRun as _, TestRunOptions};
use kproxy::dataplane::Dataplane;
use kproxy_common::Family;
use kproxy_tests::acceptance::kernel::network::NO_CONTEXT;
use kproxy_tests::acceptance::kernel::place::Place;
use kproxy_tests::acceptance::kernel::programs::Programs;
use kproxy_tests::acceptance::simulation::{Fate, Hook};
use kproxy_tests::acceptance::state::{PORT, State, WEB, web};
use kproxy_tests::acceptance::world::{CLIENT, FAMILIES, NODE, Pod, Vip, service};
use kproxy_tests::host::Programmer;

use super::datagram::{payload, read, udp};

const NODE_PORT: u16 = 30_080;
/// Longer than a fragment waits.
const TOO_LONG: Duration = Duration::from_millis(5);

/// A data plane with one service.
struct Machine {
    programs: Programs,
    _dataplane: Dataplane,
    // Last: removes what the others pinned.
    _place: Place,
}

impl Machine {
    fn new() -> Self {
        let place = Place::new().unwrap();
        let (mut dataplane, _) = Dataplane::open(&place.options).unwrap();
        let mut programmer = Programmer::new(NODE, place.options.sizes.capacity());
        let plan = programmer.plan(&State::of([web(&["web-1"]).node_port(NODE_PORT)]).manifests());
        dataplane.apply(&plan.unwrap()).unwrap();
        Self {
            programs: Programs::load(&place).unwrap(),
            _dataplane: dataplane,
            _place: place,
        }
    }

    /// What an uplink's program makes of a packet that is for this machine: the loopback device, which it seems to come by, has
    /// no address on the link.
    fn pass_uplink(&self, program: &str, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        bytes[..6].fill(0);
        let mut out = vec![0; 4_096];
        let options = TestRunOptions {
            data_in: Some(&bytes),
            data_out: Some(&mut out),
            repeat: 1,
            ..TestRunOptions::default()
        };
        let result = self.programs.named(program).unwrap().test_run(options).unwrap();
        assert_eq!(result.return_value, u32::MAX, "it goes on");
        out.truncate(usize::try_from(result.data_size_out).unwrap());
        out
    }

    fn pass(&self, hook: Hook, bytes: &[u8]) -> Vec<u8> {
        match self.programs.run(hook, bytes, &NO_CONTEXT).unwrap() {
            Fate::On(bytes) => bytes,
            other @ (Fate::Back(_) | Fate::Forwarded(_) | Fate::Gone) => unreachable!("{other:?}"),
        }
    }
}

fn of(name: &str, port: u16, family: Family) -> SocketAddr {
    (Pod::named(name).address(family), port).into()
}

#[test]
fn the_programs_translate_fragments_there_and_back() {
    let machine = Machine::new();
    for family in FAMILIES {
        let (client, to) = (of(CLIENT, 25_600, family), service(WEB, PORT, family));
        let pass = |hook, packets: &[Vec<u8>]| -> Vec<_> {
            packets.iter().map(|bytes| machine.pass(hook, bytes)).collect()
        };
        let there = pass(Hook::Ingress, &udp(client, to, 65_507, 7));
        let server = of("web-1", 8080, family);
        assert_eq!(read(&there), (client, server, payload(65_507)));
        let back = pass(Hook::Egress, &udp(server, client, 65_507, 8));
        assert_eq!(read(&back), (to, client, payload(65_507)));
    }
}

#[test]
fn the_programs_of_uplinks_translate_fragments_there_and_back() {
    let machine = Machine::new();
    for family in FAMILIES {
        let (client, to) = (of("web-3", 25_602, family), Vip::Node.port(NODE_PORT, family));
        let pass = |program, packets: &[Vec<u8>]| -> Vec<_> {
            packets
                .iter()
                .map(|bytes| machine.pass_uplink(program, bytes))
                .collect()
        };
        let there = pass("uplink_ingress", &udp(client, to, 65_507, 7));
        let server = of("web-1", 8080, family);
        assert_eq!(read(&there), (client, server, payload(65_507)));
        let back = pass("uplink_egress", &udp(server, client, 65_507, 8));
        assert_eq!(read(&back), (to, client, payload(65_507)));
    }
}

#[test]
fn the_programs_put_back_what_comes_too_early() {
    let machine = Machine::new();
    for family in FAMILIES {
        let (client, to) = (of(CLIENT, 25_601, family), service(WEB, PORT, family));
        let sent = udp(client, to, 4_000, 9);
        let early = machine
            .programs
            .run(Hook::Ingress, &sent[1], &NO_CONTEXT)
            .unwrap();
        // A redirect that leaves the packet as it was: to the ingress of its own device.
        assert_eq!(early, Fate::Forwarded(sent[1].clone()));
        let passed: Vec<_> = sent
            .iter()
            .map(|bytes| machine.pass(Hook::Ingress, bytes))
            .collect();
        assert_eq!(read(&passed), (client, of("web-1", 8080, family), payload(4_000)));

        // Once the wait is over, nothing is put back again.
        let orphan = &udp(client, to, 4_000, 10)[1];
        let early = machine.programs.run(Hook::Ingress, orphan, &NO_CONTEXT).unwrap();
        assert_eq!(early, Fate::Forwarded(orphan.clone()));
        thread::sleep(TOO_LONG);
        for _ in 0..10 {
            assert_eq!(
                machine.programs.run(Hook::Ingress, orphan, &NO_CONTEXT).unwrap(),
                Fate::Gone
            );
        }
    }
}

//! Echo requests to services.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kproxy::dataplane::Sizes;
use kproxy::plan::{Applied, WantedNode};
use kproxy_common::{Counter, Door};
use kproxy_ebpf::Verdict;
use kproxy_ebpf::parse::NoTuple;
use kproxy_tests::host::MemoryTables;
use kproxy_tests::host::frame::Transport;
use kproxy_tests::host::frame::verify_checksums;
use proptest::prelude::*;

use crate::report::{ETHERNET, message, set_hops};
use crate::scene::{Scene, Walk, pass, scene};

const DOORS: [Door; 2] = [Door::PodIngress, Door::UplinkIngress];

fn request(scene: &Scene, from: IpAddr, to: IpAddr, payload: &[u8]) -> Vec<u8> {
    let kind = if scene.is_v6() { 128 } else { 8 };
    message(from, to, (kind, 0, [1, 2, 0, 3]), payload)
}

proptest! {
    #[test]
    fn a_service_answers_an_echo_request_of_any_length(
        scene in scene(&[Walk::Pod]),
        payload in proptest::collection::vec(any::<u8>(), 0..2000),
        door in proptest::sample::select(&DOORS),
    ) {
        let tables = scene.tables();
        let asked = request(&scene, scene.client.ip(), scene.service.ip(), &payload);
        let kind = if scene.is_v6() { 129 } else { 0 };
        let mut wanted = message(scene.service.ip(), scene.client.ip(), (kind, 0, [1, 2, 0, 3]), &payload);
        set_hops(&mut wanted, ETHERNET, 64);

        let (verdict, seen) = pass(&tables, door, asked);

        prop_assert_eq!(verdict, Verdict::Echo);
        prop_assert!(verify_checksums(&seen).is_ok());
        prop_assert_eq!(seen, wanted);
        prop_assert_eq!(tables.counted(Counter::Echo), 1);
        prop_assert_eq!(tables.flow_counts(), (0, 0));
    }

    #[test]
    fn nobody_else_is_answered_for(scene in scene(&[Walk::Pod]), door in proptest::sample::select(&DOORS)) {
        let tables = scene.tables();
        let service = scene.service.ip();
        let loopback: IpAddr = if scene.is_v6() { [0, 0, 0, 0, 0, 0, 0, 1].into() } else { [127, 0, 0, 1].into() };
        let group: IpAddr = if scene.is_v6() { [0xff02, 0, 0, 0, 0, 0, 0, 1].into() } else { [224, 0, 0, 1].into() };
        let left_alone = Verdict::NoTuple(NoTuple::OtherProtocol);
        for (from, to, verdict) in [
            (scene.client.ip(), scene.node, Verdict::Bystander),
            (scene.client.ip(), scene.backend.ip(), Verdict::Bystander),
            (service, service, left_alone),
            (loopback, service, left_alone),
            (group, service, left_alone),
        ] {
            let asked = request(&scene, from, to, b"ping");
            prop_assert_eq!(pass(&tables, door, asked.clone()), (verdict, asked));
        }
    }
}

#[test]
fn the_node_answers_for_its_own_addresses_itself() {
    let mut scene = fixed();
    scene.service.set_ip(scene.node);
    let mut applied = Applied::new(Sizes::default().capacity());
    let mut tables = MemoryTables::default();
    for plan in scene.plans(&mut applied) {
        tables.apply(&plan);
    }
    let asked = request(&scene, scene.client.ip(), scene.node, b"ping");
    let passes = |tables: &MemoryTables| {
        for door in DOORS {
            let passed = (Verdict::Bystander, asked.clone());
            assert_eq!(pass(tables, door, asked.clone()), passed);
        }
    };
    passes(&tables);
    // Also where it serves no NodePorts.
    tables.apply(&applied.place(WantedNode {
        node_port_addresses: BTreeSet::new(),
        ..scene.here()
    }));
    passes(&tables);
}

#[test]
fn a_fragment_of_an_echo_request_passes() {
    let scene = fixed();
    let tables = scene.tables();
    let mut asked = request(&scene, scene.client.ip(), scene.service.ip(), &[7; 64]);
    asked[ETHERNET + 6] = 0x20;
    set_hops(&mut asked, ETHERNET, 63);
    for door in DOORS {
        let passed = (Verdict::NoTuple(NoTuple::OtherProtocol), asked.clone());
        assert_eq!(pass(&tables, door, asked.clone()), passed);
    }
}

#[test]
fn an_answer_is_nobodys_business() {
    let scene = fixed();
    let tables = scene.tables();
    let answer = message(scene.client.ip(), scene.service.ip(), (0, 0, [0; 4]), b"pong");
    for door in DOORS {
        let passed = (Verdict::NoTuple(NoTuple::OtherProtocol), answer.clone());
        assert_eq!(pass(&tables, door, answer.clone()), passed);
    }
    let asked = request(&scene, scene.client.ip(), scene.service.ip(), b"ping");
    for door in [Door::PodEgress, Door::UplinkEgress] {
        assert_eq!(
            pass(&tables, door, asked.clone()),
            (Verdict::Bystander, asked.clone())
        );
    }
}

fn fixed() -> Scene {
    let at = |network| crate::scene::address(false, network, 9);
    Scene {
        walk: Walk::Pod,
        client: (at(1), 40_000).into(),
        service: (at(2), 80).into(),
        backend: (at(3), 8080).into(),
        node: at(4),
        router: at(5),
        transport: Transport::Udp,
        payload: Vec::new(),
    }
}

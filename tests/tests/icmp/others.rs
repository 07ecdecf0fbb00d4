//! Errors that are not translated, and messages that are no errors.

use std::rc::Rc;
use std::time::Duration;

use kproxy::memory::{Route, Routes};
use kproxy::model::Cidr;
use kproxy_common::{Address, Counter, DeviceIndex, Door, Family};
use kproxy_ebpf::Verdict;
use kproxy_ebpf::verdict::Action;
use kproxy_tests::host::Buffer;
use kproxy_tests::host::frame::{Tcp, Transport};

use crate::errors::{played, sent, wanted};
use crate::report::{ETHERNET, kinds, message, set_hops};
use crate::scene::{Scene, Walk, address, pass, pass_packet, turned};

fn scene(v6: bool, walk: Walk, transport: Transport) -> Scene {
    let [client, service, backend, node, router] = [1, 2, 3, 4, 5].map(|network| address(v6, network, 7));
    Scene {
        walk,
        client: (client, 40_000).into(),
        service: (service, 80).into(),
        backend: (backend, 8080).into(),
        node,
        router,
        transport,
        payload: b"some payload".to_vec(),
    }
}

#[test]
fn an_error_about_a_flow_that_is_over_is_left_alone() {
    for v6 in [false, true] {
        let scene = scene(v6, Walk::Pod, Transport::Udp);
        let (tables, legs) = played(&scene);
        tables.wait(Duration::from_hours(24));
        for leg in &legs {
            let error = sent(&scene, leg, kinds(v6)[0], 48);
            let (verdict, seen) = pass(&tables, leg.errors, error.clone());
            assert_eq!(verdict.action(), Action::Continue, "{verdict:?}");
            assert_eq!(seen, error);
        }
        assert_eq!(tables.counted(Counter::IcmpError), 0);
    }
}

#[test]
fn an_error_about_a_closed_connection_is_left_alone() {
    let scene = scene(false, Walk::Pod, Transport::Tcp(Tcp::Syn));
    let (tables, [asked, answered]) = played(&scene);
    let mut reset = answered.before.clone();
    // RST and ACK; its checksum does not matter here.
    reset[ETHERNET + 20 + 13] = 0x14;
    assert_eq!(pass(&tables, Door::PodEgress, reset).0, Verdict::Reply);
    let error = sent(&scene, &asked, kinds(false)[1], 28);
    assert_eq!(
        pass(&tables, asked.errors, error.clone()),
        (Verdict::Bystander, error)
    );
}

#[test]
fn an_error_is_for_one_door_only() {
    let scene = scene(false, Walk::Here, Transport::Udp);
    let (tables, [asked, answered]) = played(&scene);
    for (leg, door) in [(&asked, Door::PodEgress), (&answered, Door::PodIngress)] {
        let error = sent(&scene, leg, kinds(false)[0], 28);
        let (verdict, seen) = pass(&tables, door, error.clone());
        assert_eq!((verdict.action(), seen), (Action::Continue, error), "{verdict:?}");
    }
}

#[test]
fn an_error_that_is_not_for_the_sender_is_left_alone() {
    let scene = scene(false, Walk::Here, Transport::Udp);
    let (tables, [_, leg]) = played(&scene);
    // About an answer of the service, and yet sent to the node's own address.
    let error = message(scene.router, scene.node, kinds(false)[1], &leg.after[ETHERNET..]);
    assert_eq!(
        pass(&tables, leg.errors, error.clone()),
        (Verdict::IcmpUnknown, error)
    );
}

#[test]
fn a_checksum_of_zero_is_never_written_where_it_means_none() {
    let mut scene = scene(false, Walk::Here, Transport::Udp);
    let checksum = ETHERNET + 20 + 6;
    let found = (0..=u16::MAX).find(|payload| {
        scene.payload = payload.to_be_bytes().to_vec();
        scene.request()[checksum..checksum + 2] == [0xff, 0xff]
    });
    assert!(found.is_some(), "one of all payloads has this sum");
    let (tables, [leg, _]) = played(&scene);
    let error = sent(&scene, &leg, kinds(false)[1], 30);
    let wanted = wanted(&scene, &leg, kinds(false)[1], 30);
    assert_eq!(pass(&tables, leg.errors, error), (Verdict::IcmpError, wanted));
}

#[test]
fn an_error_that_has_no_way_is_dropped_without_an_answer() {
    for v6 in [false, true] {
        let scene = scene(v6, Walk::Elsewhere, Transport::Tcp(Tcp::Syn));
        let (tables, [leg, _]) = played(&scene);
        let error = sent(&scene, &leg, kinds(v6)[1], 48);
        let everywhere = Cidr {
            address: Address::unspecified(if v6 { Family::V6 } else { Family::V4 }),
            length: 0,
        };
        let among = |mtu, device| {
            let route = Route {
                to: everywhere,
                device,
                source: None,
                mtu,
            };
            Buffer::new(error.clone()).among(Rc::new(Routes::Table(vec![route])))
        };
        let device = Some(DeviceIndex(2));
        let verdict = |packet| pass_packet(&tables, Door::UplinkIngress, packet).0;
        assert_eq!(verdict(among(1500, device)), Verdict::IcmpForward);
        assert_eq!(verdict(among(60, device)), Verdict::DropRoute);
        assert_eq!(verdict(among(1500, None)), Verdict::DropRoute);
        let off = Buffer::new(error.clone()).among(Rc::new(Routes::Off));
        assert_eq!(verdict(off), Verdict::DropForwarding);
        let mut last = error.clone();
        set_hops(&mut last, ETHERNET, 1);
        assert_eq!(verdict(Buffer::new(last)), Verdict::DropRoute);
    }
}

#[test]
fn first_fragments_are_quoted_as_well_and_others_have_no_ports() {
    let scene = scene(false, Walk::Here, Transport::Udp);
    let (tables, [leg, _]) = played(&scene);
    for (fragment, verdict) in [([0x20, 0], Verdict::IcmpError), ([0x20, 1], Verdict::Bystander)] {
        let mut leg = leg.clone();
        for bytes in [&mut leg.before, &mut leg.after] {
            bytes[ETHERNET + 6..ETHERNET + 8].copy_from_slice(&fragment);
            set_hops(bytes, ETHERNET, 63);
        }
        let error = sent(&scene, &leg, kinds(false)[1], 28);
        let wanted = if verdict == Verdict::IcmpError {
            wanted(&scene, &leg, kinds(false)[1], 28)
        } else {
            error.clone()
        };
        assert_eq!(pass(&tables, leg.errors, error), (verdict, wanted));
    }
}

#[test]
fn an_ipv6_fragment_header_is_stepped_over_in_a_quote() {
    let scene = scene(true, Walk::Here, Transport::Udp);
    let (tables, [leg, _]) = played(&scene);
    for (offset, verdict) in [(1, Verdict::IcmpError), (9, Verdict::Bystander)] {
        let mut leg = leg.clone();
        for bytes in [&mut leg.before, &mut leg.after] {
            bytes[ETHERNET + 6] = 44;
            let header = [17, 0, 0, offset, 1, 2, 3, 4];
            bytes.splice(ETHERNET + 40..ETHERNET + 40, header);
        }
        let error = sent(&scene, &leg, kinds(true)[1], 56);
        let wanted = if verdict == Verdict::IcmpError {
            wanted(&scene, &leg, kinds(true)[1], 56)
        } else {
            error.clone()
        };
        assert_eq!(pass(&tables, leg.errors, error), (verdict, wanted));
    }
}

#[test]
fn a_flood_of_errors_answers_nothing_and_other_messages_are_nobodys_business() {
    for v6 in [false, true] {
        let scene = scene(v6, Walk::Here, Transport::Udp);
        let (tables, legs) = played(&scene);
        let entries = tables.flow_counts();
        for kind in 0..=u8::MAX {
            let is_error = if v6 {
                (1..=4).contains(&kind)
            } else {
                [3, 11, 12].contains(&kind)
            };
            if is_error || kind == if v6 { 128 } else { 8 } {
                continue;
            }
            for leg in &legs {
                let packet = sent(&scene, leg, (kind, 0, [0; 4]), 48);
                let (verdict, seen) = pass(&tables, leg.errors, packet.clone());
                assert_eq!(
                    (verdict.action(), seen),
                    (Action::Continue, packet),
                    "type {kind}"
                );
            }
        }
        assert_eq!(
            tables.counted(Counter::IcmpError) + tables.counted(Counter::IcmpUnknown),
            0
        );
        // An error about an error.
        let [leg, _] = &legs;
        let about = sent(&scene, leg, kinds(v6)[0], 48);
        let error = message(scene.router, scene.node, kinds(v6)[0], &turned_icmp(about));
        let (verdict, seen) = pass(&tables, Door::UplinkIngress, error.clone());
        assert_eq!((verdict, seen), (Verdict::IcmpUnknown, error));
        assert_eq!(tables.flow_counts(), entries);
    }
}

/// What the one who gets an ICMP packet could quote of his own: only the addresses matter.
fn turned_icmp(bytes: Vec<u8>) -> Vec<u8> {
    turned(bytes)[ETHERNET..].to_vec()
}

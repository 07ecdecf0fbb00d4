//! Errors about both directions of every walk (semantics 3.09).

use kproxy_common::{Counter, Protocol};
use kproxy_ebpf::Verdict;
use kproxy_ebpf::verdict::Action;
use kproxy_tests::host::MemoryTables;
use kproxy_tests::host::frame::{Transport, addresses};
use proptest::prelude::*;

use crate::report::{ETHERNET, Kind, hops, kinds, message, set_hops};
use crate::scene::{Leg, Scene, Walk, pass, scene, talk};

const ALL: &[Walk] = &[Walk::Pod, Walk::Hairpin, Walk::Here, Walk::Elsewhere];

/// A conversation that has been through the library.
pub(crate) fn played(scene: &Scene) -> (MemoryTables, [Leg; 2]) {
    let tables = scene.tables();
    let legs = talk(scene, |door, bytes| {
        let (verdict, bytes) = pass(&tables, door, bytes);
        assert_eq!(verdict.action(), scene.walk.action(), "{verdict:?} at {door:?}");
        bytes
    });
    (tables, legs)
}

/// How much of a packet is quoted: at least the network header and eight bytes.
pub(crate) fn quote_length(leg: &Leg, kept: prop::sample::Index) -> usize {
    let least = if leg.after[ETHERNET] >> 4 == 6 { 48 } else { 28 };
    let whole = leg.after.len() - ETHERNET;
    least + kept.index(whole - least + 1)
}

/// The error as the router sends it, about what went on.
pub(crate) fn sent(scene: &Scene, leg: &Leg, kind: Kind, length: usize) -> Vec<u8> {
    let (from, _) = addresses(&leg.after).expect("an IP packet");
    let quote = &leg.after[ETHERNET..];
    message(scene.router, from, kind, &quote[..length.min(quote.len())])
}

/// The error that whoever sent the packet must see: written anew, with every checksum computed from nothing.
pub(crate) fn wanted(scene: &Scene, leg: &Leg, kind: Kind, length: usize) -> Vec<u8> {
    let (from, to) = addresses(&leg.before).expect("an IP packet");
    let (_, to_after) = addresses(&leg.after).expect("an IP packet");
    let mut quote = leg.before[ETHERNET..].to_vec();
    // The packet as it was, but for what routers on its way have written.
    set_hops(&mut quote, 0, hops(&leg.after, ETHERNET));
    if matches!(scene.transport, Transport::Sctp(_)) {
        // Nobody can correct a CRC over bytes that are not there.
        let crc = if scene.is_v6() { 40 } else { 20 } + 8;
        quote[crc..crc + 4].copy_from_slice(&leg.after[ETHERNET + crc..][..4]);
    }
    let tcp_checksum = if scene.is_v6() { 40 } else { 20 } + 16;
    if matches!(scene.transport, Transport::Tcp(_)) && length == tcp_checksum + 1 {
        // Half a checksum is as it came.
        quote[tcp_checksum] = leg.after[ETHERNET + tcp_checksum];
    }
    let reporter = if to == to_after { scene.router } else { to };
    let mut bytes = message(reporter, from, kind, &quote[..length]);
    if scene.walk == Walk::Elsewhere {
        set_hops(&mut bytes, ETHERNET, 62);
    }
    bytes
}

proptest! {
    #[test]
    fn an_error_reaches_the_sender_as_if_nothing_had_been_translated(
        scene in scene(ALL),
        leg in 0..2_usize,
        kind in 0..4_usize,
        kept: prop::sample::Index,
        padding in 0..8_usize,
    ) {
        let (tables, legs) = played(&scene);
        let leg = &legs[leg];
        let kind = kinds(scene.is_v6())[kind];
        let length = quote_length(leg, kept);
        let before = tables.flow_entries();

        let mut error = sent(&scene, leg, kind, length);
        error.extend(vec![0x5a; padding]);
        let (verdict, seen) = pass(&tables, leg.errors, error);

        let mut wanted = wanted(&scene, leg, kind, length);
        wanted.extend(vec![0x5a; padding]);
        prop_assert_eq!(verdict.action(), scene.walk.action(), "{:?}", verdict);
        prop_assert_eq!(seen, wanted);
        prop_assert_eq!(tables.counted(Counter::IcmpError), 1);
        prop_assert_eq!(sorted(before), sorted(tables.flow_entries()), "no error changes a flow");
    }

    #[test]
    fn an_error_that_no_flow_knows_passes_untouched(
        scene in scene(ALL),
        leg in 0..2_usize,
        change in 0..5_usize,
        kept: prop::sample::Index,
    ) {
        let (tables, legs) = played(&scene);
        let leg = &legs[leg];
        let v6 = scene.is_v6();
        let mut error = sent(&scene, leg, kinds(v6)[0], quote_length(leg, kept));
        let quote = ETHERNET + if v6 { 48 } else { 28 };
        let transport = quote + if v6 { 40 } else { 20 };
        match change {
            // A port of either end.
            0 => error[transport + 1] ^= 1,
            1 => error[transport + 3] ^= 1,
            // The quoted source is not whom the error is sent to, the quoted destination nobody's.
            2 => error[quote + if v6 { 23 } else { 15 }] ^= 1,
            3 => error[quote + if v6 { 39 } else { 19 }] ^= 1,
            // Another protocol.
            _ => error[quote + if v6 { 6 } else { 9 }] = Protocol::ICMP.number(),
        }
        let (verdict, seen) = pass(&tables, leg.errors, error.clone());
        prop_assert_eq!(verdict.action(), Action::Continue);
        prop_assert!(matches!(verdict, Verdict::IcmpUnknown | Verdict::Bystander), "{:?}", verdict);
        prop_assert_eq!(seen, error);
    }

    #[test]
    fn no_bytes_of_an_error_make_a_door_panic_or_change_what_it_does_not_translate(
        scene in scene(ALL),
        leg in 0..2_usize,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        kept: prop::sample::Index,
    ) {
        let (tables, legs) = played(&scene);
        let leg = &legs[leg];
        let mut bytes = sent(&scene, leg, kinds(scene.is_v6())[1], leg.after.len() - ETHERNET);
        for (place, value) in changes {
            let place = ETHERNET + place.index(bytes.len() - ETHERNET);
            bytes[place] = value;
        }
        bytes.truncate(kept.index(bytes.len() * 2));
        let before = tables.counted(Counter::IcmpError) + tables.counted(Counter::New) + tables.counted(Counter::Established);
        let (verdict, seen) = pass(&tables, leg.errors, bytes.clone());
        let after = tables.counted(Counter::IcmpError) + tables.counted(Counter::New) + tables.counted(Counter::Established);
        prop_assert_eq!(seen.len(), bytes.len());
        if verdict.action() == Action::Continue && before == after {
            prop_assert_eq!(seen, bytes, "{:?}", verdict);
        }
    }
}

fn sorted(
    mut entries: Vec<(kproxy_ebpf::Age, kproxy_common::Tuple, kproxy_common::Flow)>,
) -> Vec<(kproxy_common::Tuple, kproxy_common::Flow)> {
    entries.sort_by_key(|(_, tuple, _)| *tuple);
    entries
        .into_iter()
        .map(|(_, tuple, flow)| (tuple, flow))
        .collect()
}

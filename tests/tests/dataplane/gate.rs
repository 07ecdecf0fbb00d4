//! What programs read before they look anything up: `GATE`, and `ASKING`.

use std::net::Ipv4Addr;

use aya::maps::{Array, Map, MapData};
use kproxy::model::parse_cidr;
use kproxy::plan::WantedNode;
use kproxy_common::gate::{Place as Spot, Sign, WORDS};
use kproxy_common::{Address, Asking, Port, Protocol, Settings, maps};

use crate::place::{Place, services};

type Gate = Array<MapData, u64>;

fn gate(place: &Place) -> Gate {
    let map = Map::Array(MapData::from_pin(place.map(maps::GATE)).unwrap());
    Gate::try_from(map).unwrap()
}

fn sign(gate: &Gate, spot: Spot) -> Sign {
    let signs = gate.get(&spot.word(), 0).unwrap().to_ne_bytes();
    Sign::from_bits_retain(signs[spot.byte()])
}

fn of(address: [u8; 4]) -> Spot {
    Spot::of_address(&Address::from(Ipv4Addr::from(address)))
}

fn all(gate: &Gate) -> Vec<u64> {
    (0..WORDS).map(|word| gate.get(&word, 0).unwrap()).collect()
}

/// The node with an address of its own, a NodePort's and a range of ClusterIPs.
fn node() -> WantedNode {
    let own = Address::from(Ipv4Addr::new(172, 30, 0, 1));
    let range = parse_cidr("10.96.0.0/12").unwrap();
    WantedNode {
        node_port_addresses: [own].into(),
        bound: [own].into(),
        service_cidrs: [range].into(),
        ..WantedNode::default()
    }
}

#[test]
fn what_is_in_the_maps_is_announced() {
    let place = Place::new();
    let (mut dataplane, mut applied) = place.open();
    dataplane.apply(&applied.replace(services(3, 1))).unwrap();
    dataplane.apply(&applied.place(node())).unwrap();
    let gate = gate(&place);
    for service in 1..=3 {
        assert!(
            sign(&gate, of([10, 96, 0, service])).contains(Sign::SERVICE),
            "{service}"
        );
    }
    assert_eq!(sign(&gate, of([172, 30, 0, 1])), Sign::OWN);
    assert_eq!(sign(&gate, of([10, 1, 1, 1])), Sign::empty(), "a backend");
    for (inside, address) in [(true, [10, 111, 9, 9]), (false, [10, 112, 0, 0])] {
        let block = Spot::of_block(&Address::from(Ipv4Addr::from(address)));
        assert_eq!(
            sign(&gate, block).contains(Sign::CLUSTER_IPS),
            inside,
            "{address:?}"
        );
    }
    let port = Spot::of_port(Port::new(80), Protocol::TCP);
    assert!(
        !sign(&gate, port).contains(Sign::NODE_PORT),
        "a ClusterIP's port is none of the node's"
    );
}

/// Another version may have written the maps meanwhile that knows nothing of this one.
#[test]
fn a_restart_announces_what_is_there_and_nothing_else() {
    let place = Place::new();
    let (mut dataplane, mut applied) = place.open();
    dataplane.apply(&applied.replace(services(3, 1))).unwrap();
    dataplane.apply(&applied.place(node())).unwrap();
    let mut written = gate(&place);
    let before = all(&written);
    drop(dataplane);
    for word in 0..WORDS {
        // Nothing where something is, and something where nothing is.
        let wrong = if before[word as usize] == 0 { u64::MAX } else { 0 };
        written.set(word, wrong, 0).unwrap();
    }
    let (dataplane, _) = place.open();
    assert_eq!(all(&written), before);
    drop(dataplane);
}

fn asking(place: &Place) -> Array<MapData, Asking> {
    let map = Map::Array(MapData::from_pin(place.map(maps::ASKING)).unwrap());
    Array::try_from(map).unwrap()
}

/// Who is noted as asking by packet; each place has the same byte in these tests.
fn first_asking(place: &Place) -> u8 {
    let all = asking(place).get(&0, 0).unwrap();
    assert!(all.iter().all(|noted| *noted == all[0]));
    all[0]
}

#[test]
fn pods_that_ask_are_known_from_one_run_to_the_next() {
    let place = Place::new();
    drop(place.open());
    assert_eq!(first_asking(&place), 0, "nobody has asked yet");
    drop(place.open());
    assert_eq!(first_asking(&place), 0, "the run before would have noted it");
}

/// A former version has recorded flows, and nobody noted whose.
#[test]
fn after_a_version_that_notes_nobody_everybody_may_have_asked() {
    for is_pinned in [true, false] {
        let place = Place::new();
        drop(place.open());
        if is_pinned {
            // One that came between: the map is there, and was not written.
            let map = Map::Array(MapData::from_pin(place.map(maps::LOADED_SETTINGS)).unwrap());
            let mut loaded = Array::<_, [u8; size_of::<Settings>()]>::try_from(map).unwrap();
            let mut settings: Settings = bytemuck::cast(loaded.get(&0, 0).unwrap());
            settings.notes = 0;
            loaded
                .set(0, bytemuck::cast::<_, [u8; size_of::<Settings>()]>(settings), 0)
                .unwrap();
        } else {
            std::fs::remove_file(place.map(maps::ASKING)).unwrap();
        }
        drop(place.open());
        assert_eq!(first_asking(&place), 1, "pinned: {is_pinned}");
    }
}

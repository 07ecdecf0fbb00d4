//! Numbers for metrics, read beside the owner of the maps.

use aya::maps::{HashMap, Map, MapData, PerCpuArray, PerCpuValues};
use kproxy::dataplane::{Meter, Sizes};
use kproxy::plan::Fill;
use kproxy::serve::Gauges;
use kproxy_common::{Counter, Door, Flow, Tuple, counter, maps};

use super::place::{Place, SIZES};

type Flows = HashMap<MapData, [u8; size_of::<Tuple>()], [u8; size_of::<Flow>()]>;

fn flows(place: &Place) -> Flows {
    let map = MapData::from_pin(place.map(maps::FLOWS)).unwrap();
    Map::LruHashMap(map).try_into().unwrap()
}

fn put(flows: &mut Flows, number: u32) {
    let mut key = [0; size_of::<Tuple>()];
    key[..4].copy_from_slice(&number.to_ne_bytes());
    flows.insert(key, [0; size_of::<Flow>()], 0).unwrap();
}

#[test]
fn tables_of_programs_are_counted_entry_by_entry() {
    let mut place = Place::new();
    // Room for many more than are put, or the least recently used go; and more than one call lists.
    place.options.sizes = Sizes {
        flows: 65_536,
        ..SIZES
    };
    let (_dataplane, _) = place.open();
    let meter = Meter::open(&place.options.pin_dir).unwrap();
    let fill = |map, entries, capacity| Fill {
        map,
        entries,
        capacity,
    };
    let others = [
        fill(maps::FLOWS_NEW, 0, SIZES.flows_new.into()),
        fill(maps::SOCKET_FLOWS, 0, SIZES.socket_flows.into()),
        fill(maps::AFFINITY, 0, SIZES.affinity.into()),
    ];
    let expected = |entries| [vec![fill(maps::FLOWS, entries, 65_536)], others.to_vec()].concat();
    assert_eq!(meter.tables().unwrap(), expected(0));

    let mut flows = flows(&place);
    for number in 0..10_000 {
        put(&mut flows, number);
    }
    assert_eq!(meter.tables().unwrap(), expected(10_000));
}

#[test]
fn outcomes_are_summed_over_the_processors() {
    let place = Place::new();
    let (_dataplane, _) = place.open();
    let meter = Meter::open(&place.options.pin_dir).unwrap();
    let map = MapData::from_pin(place.map(maps::COUNTERS)).unwrap();
    let mut counters: PerCpuArray<_, u64> = Map::PerCpuArray(map).try_into().unwrap();
    let processors = aya::util::nr_cpus().unwrap();
    let values: Vec<u64> = (1..=processors as u64).collect();
    let sum = values.iter().sum();
    let index = counter::index(Door::PodEgress, Counter::Reply);
    counters
        .set(index, PerCpuValues::try_from(values).unwrap(), 0)
        .unwrap();

    let outcomes = meter.outcomes().unwrap();
    assert_eq!(outcomes.len(), counter::COUNTERS as usize);
    for (door, outcome, times) in outcomes {
        let expected = if (door, outcome) == (Door::PodEgress, Counter::Reply) {
            sum
        } else {
            0
        };
        assert_eq!(times, expected, "{door:?} {outcome:?}");
    }
}

#[test]
fn there_is_nothing_to_read_before_the_maps_are_there() {
    let place = Place::new();
    assert!(Meter::open(&place.options.pin_dir).is_err());
}

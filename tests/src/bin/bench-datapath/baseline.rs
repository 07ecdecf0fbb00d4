//! What everything is compared with: a program that does nothing, and one that does a single LRU lookup.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use anyhow::Context;
use aya::maps::{HashMap, Map, MapData};
use kproxy_common::{Address, Flow, Tuple, maps};
use kproxy_tests::acceptance::kernel::place::Place;
use kproxy_tests::bench::bpf;

const KEY: usize = size_of::<Tuple>();
const WORD: usize = size_of::<u64>();
/// Every word of the key that is looked up.
const FILL: u8 = 7;

/// A program that lets the packet go on.
pub(crate) fn empty() -> io::Result<OwnedFd> {
    bpf::load(bpf::Kind::Tc, &leave())
}

/// A program that looks up one key of a flow's size in `FLOWS`, where there is an entry for it, and lets the packet go
/// on.
pub(crate) fn lookup(place: &Place) -> anyhow::Result<OwnedFd> {
    let map = flows_with_key(place)?;
    let mut instructions = look_up(map.fd().as_fd(), KEY)?;
    instructions.extend(leave());
    bpf::load(bpf::Kind::Tc, &instructions).context("cannot load the program that looks up a key")
}

/// A program that looks up one key in `ADDRESSES`, where there is none, and lets the packet go on.
pub(crate) fn small_lookup(place: &Place) -> anyhow::Result<OwnedFd> {
    let map = MapData::from_pin(place.map(maps::ADDRESSES)).context("cannot open ADDRESSES")?;
    let mut instructions = look_up(map.fd().as_fd(), size_of::<Address>())?;
    instructions.extend(leave());
    bpf::load(bpf::Kind::Tc, &instructions).context("cannot load the program that looks up an address")
}

/// `FLOWS` with an entry under a key whose bytes are all the same.
pub(crate) fn flows_with_key(place: &Place) -> anyhow::Result<MapData> {
    let map = MapData::from_pin(place.map(maps::FLOWS)).context("cannot open FLOWS")?;
    let mut flows: HashMap<MapData, [u8; KEY], [u8; size_of::<Flow>()]> =
        HashMap::try_from(Map::LruHashMap(map))?;
    let mut key = [0; KEY];
    key.chunks_mut(WORD)
        .for_each(|word| word.copy_from_slice(&u64::from(FILL).to_ne_bytes()));
    flows.insert(key, [0; size_of::<Flow>()], 0)?;
    MapData::from_pin(place.map(maps::FLOWS)).context("cannot open FLOWS")
}

/// Looks up that key.
pub(crate) fn look_up_flow(map: BorrowedFd<'_>) -> anyhow::Result<Vec<u64>> {
    look_up(map, KEY)
}

fn look_up(map: BorrowedFd<'_>, key: usize) -> anyhow::Result<Vec<u64>> {
    let mut instructions = Vec::new();
    for word in 0..key / WORD {
        // *(u64 *)(r10 - key + word * 8) = FILL
        let offset = i16::try_from(word * WORD)? - i16::try_from(key)?;
        instructions.push(instruction(0x7a, 10, 0, offset, FILL.into()));
    }
    instructions.extend([
        // r2 = r10; r2 += -key
        instruction(0xbf, 2, 10, 0, 0),
        instruction(0x07, 2, 0, 0, -i32::try_from(key)?),
        // r1 = the map
        instruction(0x18, 1, 1, 0, map.as_raw_fd()),
        0,
        // call bpf_map_lookup_elem
        instruction(0x85, 0, 0, 0, 1),
    ]);
    Ok(instructions)
}

/// `return TC_ACT_UNSPEC`
fn leave() -> [u64; 2] {
    [instruction(0xb7, 0, 0, 0, -1), instruction(0x95, 0, 0, 0, 0)]
}

/// RFC 9669 section 3.
pub(crate) fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> u64 {
    let [o0, o1] = offset.to_le_bytes();
    let [i0, i1, i2, i3] = immediate.to_le_bytes();
    u64::from_le_bytes([code, source << 4 | destination, o0, o1, i0, i1, i2, i3])
}

//! `GATE`: what programs read before they look anything up.

use std::io;

use aya::maps::MapData;
use kproxy_common::gate::{self, Place, Sign};
use kproxy_common::{Address, AddressRange, AddressRole, FrontendKey};

use super::sys::array::Array;
use crate::plan::MapContents;

/// The map. Signs are set before what they announce is written, and taken back by the next run of the agent.
#[derive(Debug)]
pub(super) struct Gate(Array<u64>);

impl Gate {
    pub(super) fn new(map: &MapData) -> io::Result<Self> {
        Array::new(map).map(Self)
    }

    /// Announces addresses.
    pub(super) fn announce_addresses(&self, addresses: &[Address], roles: &[AddressRole]) -> io::Result<()> {
        let mut announced = addresses.iter().zip(roles);
        announced.try_for_each(|(address, role)| self.add(Place::of_address(address), Sign::of(*role)))
    }

    /// Announces the `NodePorts` among frontends.
    pub(super) fn announce_frontends(&self, keys: &[FrontendKey]) -> io::Result<()> {
        let mut ports = keys.iter().filter_map(gate::of_frontend);
        ports.try_for_each(|place| self.add(place, Sign::NODE_PORT))
    }

    /// Announces a range that ClusterIPs come from.
    pub(super) fn announce_range(&self, range: &AddressRange) -> io::Result<()> {
        gate::of_range(range).try_for_each(|place| self.add(place, Sign::CLUSTER_IPS))
    }

    /// Announces what maps hold, whoever has written them, and nothing else.
    pub(super) fn rebuild(&self, contents: &MapContents) -> io::Result<()> {
        let mut words = vec![[0; size_of::<u64>()]; gate::WORDS as usize];
        let mut add = |place: Place, sign: Sign| words[place.word() as usize][place.byte()] |= sign.bits();
        for (address, role) in &contents.addresses {
            add(Place::of_address(address), Sign::of(*role));
        }
        for place in contents.frontends.keys().filter_map(gate::of_frontend) {
            add(place, Sign::NODE_PORT);
        }
        for place in contents.service_cidrs.iter().flat_map(gate::of_range) {
            add(place, Sign::CLUSTER_IPS);
        }
        let mut words = (0..).zip(words);
        words.try_for_each(|(index, signs)| self.store(index, signs))
    }

    fn add(&self, place: Place, sign: Sign) -> io::Result<()> {
        let mut signs = self.0.load(place.word()).ok_or_else(unreadable)?.to_ne_bytes();
        let added = &mut signs[place.byte()];
        if Sign::from_bits_retain(*added).contains(sign) {
            return Ok(());
        }
        *added |= sign.bits();
        self.store(place.word(), signs)
    }

    fn store(&self, index: u32, signs: [u8; size_of::<u64>()]) -> io::Result<()> {
        let stored = self.0.store(index, u64::from_ne_bytes(signs));
        stored.then_some(()).ok_or_else(unreadable)
    }
}

fn unreadable() -> io::Error {
    io::Error::new(
        io::ErrorKind::OutOfMemory,
        "the kernel does not map it into memory",
    )
}

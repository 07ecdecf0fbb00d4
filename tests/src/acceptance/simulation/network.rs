//! The network between pods, nodes and clients outside: which doors of [`NODE`](crate::acceptance::world::NODE) a packet
//! meets on its way.
//!
//! Whatever goes to an address that is nobody's elsewhere enters by the node's uplink, as the addresses of services do
//! in a cluster.

use anyhow::{bail, ensure};
use etherparse::{NetSlice, SlicedPacket};

use super::{Fate, Hook, Machine, Simulation};
use crate::acceptance::world::{HOST, Pod};
use crate::host::frame::{HOST_MAC, POD_MAC};

/// Where a packet ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// At a pod, a node or a client outside.
    At(Pod, Vec<u8>),
    /// Routed to where nobody is.
    Nowhere(Vec<u8>),
    /// Dropped.
    Gone,
}

impl<M: Machine> Simulation<M> {
    /// Sends a packet: through the doors on its way.
    pub(super) fn travel(&mut self, from: Pod, bytes: Vec<u8>) -> anyhow::Result<Arrival> {
        if from.is_elsewhere() {
            return match destination(&bytes)? {
                Some(pod) if pod.is_elsewhere() => Ok(Arrival::At(pod, bytes)),
                Some(_) | None => self.come_in(bytes, 0),
            };
        }
        if from == HOST && destination(&bytes)?.is_none_or(Pod::is_elsewhere) {
            return self.leave(Hook::NodeEgress, bytes);
        }
        if !from.is_here() {
            return self.route(bytes);
        }
        match self.machine.run(Hook::Ingress, bytes, 0)? {
            Fate::On(bytes) => self.route(bytes),
            Fate::Back(bytes) => {
                check_turned_around(&bytes)?;
                self.enter(from, bytes)
            }
            Fate::Forwarded(bytes) => bail!("a pod's packet was forwarded past the stack: {bytes:02x?}"),
            Fate::Gone => Ok(Arrival::Gone),
        }
    }

    /// Lets a packet, or many in one, come in by the node's uplink.
    pub(super) fn come_in(&mut self, bytes: Vec<u8>, segment_size: u32) -> anyhow::Result<Arrival> {
        match self.machine.run(Hook::UplinkIngress, bytes, segment_size)? {
            Fate::On(bytes) => self.route(bytes),
            Fate::Forwarded(bytes) => self.leave(Hook::UplinkEgress, bytes),
            Fate::Back(bytes) => {
                check_turned_around(&bytes)?;
                self.leave(Hook::UplinkEgress, bytes)
            }
            Fate::Gone => Ok(Arrival::Gone),
        }
    }

    /// The node's own routes.
    fn route(&mut self, bytes: Vec<u8>) -> anyhow::Result<Arrival> {
        match destination(&bytes)? {
            Some(pod) if !pod.is_elsewhere() => self.enter(pod, bytes),
            Some(_) | None => self.leave(Hook::UplinkEgress, bytes),
        }
    }

    /// Out by the uplink. What a program has redirected meets the door there as well.
    fn leave(&mut self, hook: Hook, bytes: Vec<u8>) -> anyhow::Result<Arrival> {
        match self.machine.run(hook, bytes, 0)? {
            Fate::On(bytes) => Ok(match destination(&bytes)? {
                Some(pod) if pod.is_elsewhere() => Arrival::At(pod, bytes),
                Some(_) | None => Arrival::Nowhere(bytes),
            }),
            Fate::Gone => Ok(Arrival::Gone),
            Fate::Back(bytes) | Fate::Forwarded(bytes) => {
                bail!("a packet that leaves was sent elsewhere: {bytes:02x?}")
            }
        }
    }

    fn enter(&mut self, pod: Pod, bytes: Vec<u8>) -> anyhow::Result<Arrival> {
        if pod == HOST {
            return Ok(Arrival::At(pod, bytes));
        }
        match self.machine.run(Hook::Egress, bytes, 0)? {
            Fate::On(bytes) => Ok(Arrival::At(pod, bytes)),
            Fate::Gone => Ok(Arrival::Gone),
            Fate::Back(bytes) | Fate::Forwarded(bytes) => {
                bail!("a packet to {} turned around: {bytes:02x?}", pod.name)
            }
        }
    }
}

fn check_turned_around(bytes: &[u8]) -> anyhow::Result<()> {
    ensure!(
        bytes[..6] == POD_MAC && bytes[6..12] == HOST_MAC,
        "what turns around at the door keeps Ethernet addresses {:02x?}",
        &bytes[..12]
    );
    Ok(())
}

fn destination(bytes: &[u8]) -> anyhow::Result<Option<Pod>> {
    Ok(match SlicedPacket::from_ethernet(bytes)?.net {
        Some(NetSlice::Ipv4(ip)) => Pod::at(ip.header().destination_addr().into()),
        Some(NetSlice::Ipv6(ip)) => Pod::at(ip.header().destination_addr().into()),
        Some(NetSlice::Arp(_)) | None => None,
    })
}

//! The network between pods: which doors a packet meets on its way.

use anyhow::{bail, ensure};
use etherparse::{NetSlice, SlicedPacket};

use super::{Fate, Hook, Machine, Simulation};
use crate::acceptance::world::Pod;
use crate::host::frame::{HOST_MAC, POD_MAC};

/// Where a packet ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// At a pod or the node.
    At(Pod, Vec<u8>),
    /// Routed to where nobody is.
    Nowhere(Vec<u8>),
    /// Dropped.
    Gone,
}

impl<M: Machine> Simulation<M> {
    /// Sends a packet: through the sender's door if it has one here, then through the receiver's.
    pub(super) fn travel(&mut self, from: Pod, bytes: Vec<u8>) -> anyhow::Result<Arrival> {
        let bytes = if from.is_here() {
            match self.machine.run(Hook::Ingress, bytes)? {
                Fate::On(bytes) => bytes,
                Fate::Back(bytes) => {
                    ensure!(
                        bytes[..6] == POD_MAC && bytes[6..12] == HOST_MAC,
                        "what turns around at the door keeps Ethernet addresses {:02x?}",
                        &bytes[..12]
                    );
                    return self.enter(from, bytes);
                }
                Fate::Gone => return Ok(Arrival::Gone),
            }
        } else {
            bytes
        };
        match destination(&bytes)? {
            Some(pod) => self.enter(pod, bytes),
            None => Ok(Arrival::Nowhere(bytes)),
        }
    }

    fn enter(&mut self, pod: Pod, bytes: Vec<u8>) -> anyhow::Result<Arrival> {
        if !pod.is_here() {
            return Ok(Arrival::At(pod, bytes));
        }
        match self.machine.run(Hook::Egress, bytes)? {
            Fate::On(bytes) => Ok(Arrival::At(pod, bytes)),
            Fate::Gone => Ok(Arrival::Gone),
            Fate::Back(bytes) => bail!("a packet to {} turned around: {bytes:02x?}", pod.name),
        }
    }
}

fn destination(bytes: &[u8]) -> anyhow::Result<Option<Pod>> {
    Ok(match SlicedPacket::from_ethernet(bytes)?.net {
        Some(NetSlice::Ipv4(ip)) => Pod::at(ip.header().destination_addr().into()),
        Some(NetSlice::Ipv6(ip)) => Pod::at(ip.header().destination_addr().into()),
        Some(NetSlice::Arp(_)) | None => None,
    })
}

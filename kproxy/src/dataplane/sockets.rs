//! Connected sockets whose backend is gone, for a reader beside the task that owns the data plane.

use std::io;
use std::os::fd::AsFd;

use aya::maps::MapData;
use kproxy_common::{StalePeer, maps};

use super::error::OpenError;
use super::pins::Pins;
use super::programs::{Programs, STALE_PEERS};
use super::sys::iterator::MapIterator;

/// The UDP sockets of all network namespaces that the socket door has connected to a backend which is gone.
///
/// `sock_diag` could show what the socket door remembers beside each socket, but does so for TCP only (up to 6.18:
/// `inet_sk_diag_fill` ends early for sockets without connection state). An iterator sees every record of the map, and
/// decides with the code of the packet path.
#[derive(Debug)]
pub struct StalePeers {
    iterator: MapIterator<StalePeer>,
}

impl StalePeers {
    pub(super) fn open(programs: &mut Programs, pins: &Pins) -> Result<Self, OpenError> {
        let map = maps::SOCKET_PEERS;
        let peers = MapData::from_pin(pins.map(map)).map_err(|error| OpenError::Map {
            map,
            source: io::Error::other(error),
        })?;
        let program = programs.load_stale_peers()?;
        let iterator =
            MapIterator::new(program, peers.fd().as_fd()).map_err(|source| OpenError::Iterator {
                program: STALE_PEERS,
                source,
            })?;
        Ok(Self { iterator })
    }

    /// Those that are there now. One that connects, or whose backend goes, meanwhile may or may not be among them.
    ///
    /// # Errors
    ///
    /// When the kernel has no memory for it.
    pub fn read(&self) -> io::Result<Vec<StalePeer>> {
        self.iterator.read()
    }
}

//! Routes in memory.

use kproxy_common::{Address, DeviceIndex, Tuple};
use kproxy_ebpf::{NoWay, Way};

use crate::model::Cidr;

/// Where packets to a range of addresses go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The range.
    pub to: Cidr,
    /// By which device they leave; `None` for a range that is not forwarded to (`RTN_LOCAL`, `RTN_UNREACHABLE` …).
    pub device: Option<DeviceIndex>,
    /// The source address that the node prefers.
    pub source: Option<Address>,
    /// The longest packet that fits.
    pub mtu: u32,
}

/// A routing table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routes {
    /// Everything is reached by one device, of which nothing else is known.
    Anywhere,
    /// The longest range that contains an address counts.
    Table(Vec<Route>),
    /// The machine does not forward.
    Off,
}

impl Routes {
    const EVERYTHING: Way = Way {
        device: DeviceIndex(1),
        source: None,
        mtu: 1500,
    };

    /// The way of a packet with this tuple and of this length, with its length limit.
    pub(super) fn find(&self, tuple: &Tuple, length: u32) -> (Way, Result<(), NoWay>) {
        let nowhere = |reason| (Self::EVERYTHING, Err(reason));
        let way = match self {
            Self::Anywhere => Self::EVERYTHING,
            Self::Off => return nowhere(NoWay::NotForwarding),
            Self::Table(routes) => {
                let fitting = routes
                    .iter()
                    .filter(|route| route.to.contains(&tuple.destination));
                match fitting.max_by_key(|route| route.to.length) {
                    Some(Route {
                        device: Some(device),
                        source,
                        mtu,
                        ..
                    }) => Way {
                        device: *device,
                        source: source.filter(|_| tuple.source.is_unspecified()),
                        mtu: *mtu,
                    },
                    Some(Route { device: None, .. }) | None => return nowhere(NoWay::Unreachable),
                }
            }
        };
        let fits = if length > way.mtu {
            Err(NoWay::TooBig)
        } else {
            Ok(())
        };
        (way, fits)
    }
}

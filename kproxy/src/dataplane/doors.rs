//! Doors on devices: which programs make one.

use super::hooks::{Direction, Spot};

/// A door on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceDoor {
    /// The host end of a pod's interface.
    Pod,
    /// A device that leads to other nodes and to clients outside.
    Uplink,
    /// The same without Ethernet headers: tun, `WireGuard`, ipip.
    BareUplink,
}

/// A program and its hook.
type Program = (&'static str, Direction);

impl DeviceDoor {
    /// Every kind of door.
    pub(super) const ALL: [Self; 3] = [Self::Pod, Self::Uplink, Self::BareUplink];

    /// Its programs.
    pub(super) const fn programs(self) -> [Program; 2] {
        match self {
            Self::Pod => [
                ("pod_ingress", Direction::Ingress),
                ("pod_egress", Direction::Egress),
            ],
            Self::Uplink => [
                ("uplink_ingress", Direction::Ingress),
                ("uplink_egress", Direction::Egress),
            ],
            Self::BareUplink => [
                ("bare_ingress", Direction::Ingress),
                ("bare_egress", Direction::Egress),
            ],
        }
    }

    /// Where they belong on a device.
    pub(super) fn spots(self, index: u32) -> [Spot; 2] {
        self.programs().map(|(program, direction)| Spot {
            program,
            direction,
            index,
        })
    }
}

//! Doors on devices: which programs make one.

use aya_obj::generated::bpf_attach_type as hook;

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
type Program = (&'static str, hook);

impl DeviceDoor {
    /// Every kind of door.
    pub(super) const ALL: [Self; 3] = [Self::Pod, Self::Uplink, Self::BareUplink];

    /// Its programs.
    pub(super) const fn programs(self) -> [Program; 2] {
        match self {
            Self::Pod => [
                ("pod_ingress", hook::BPF_TCX_INGRESS),
                ("pod_egress", hook::BPF_TCX_EGRESS),
            ],
            Self::Uplink => [
                ("uplink_ingress", hook::BPF_TCX_INGRESS),
                ("uplink_egress", hook::BPF_TCX_EGRESS),
            ],
            Self::BareUplink => [
                ("bare_ingress", hook::BPF_TCX_INGRESS),
                ("bare_egress", hook::BPF_TCX_EGRESS),
            ],
        }
    }
}

/// The programs of all doors on devices.
pub(super) fn programs() -> impl Iterator<Item = Program> {
    DeviceDoor::ALL.into_iter().flat_map(DeviceDoor::programs)
}

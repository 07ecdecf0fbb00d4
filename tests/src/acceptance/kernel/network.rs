//! A network namespace with an uplink, for the thread that runs programs: the kernel asks the routes of the namespace that a
//! packet's device is in.

use std::fs;

use anyhow::Context;
use kproxy_common::Family;
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, unshare};

use super::programs::Tag;
use crate::acceptance::simulation::Hook;
use crate::acceptance::uplink::{self, NEIGHBOUR_MAC};
use crate::acceptance::world::{HOST, Pod};
use crate::cluster::ip;
use crate::host::frame::HOST_MAC;

/// The uplink's name.
pub const UPLINK: &str = "uplink";

/// The uplink's other end. In test runs it is also a device of which the uplink is a VLAN.
pub const TRUNK: &str = "trunk";
/// That VLAN's tag, with a priority.
pub const TAG: Tag = [0x81, 0x00, 0xa0, 0x07];
/// What the tag says.
pub const VLAN: u32 = 7;

/// Another device.
const SECOND: &str = "second";
/// The address of the other device on the link.
pub const SECOND_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x77];

/// Fields of `struct __sk_buff` (`include/uapi/linux/bpf.h`) that a test run may set (`convert___skb_to_skb` in
/// `net/bpf/test_run.c`).
const INGRESS_IFINDEX: usize = 36;
const IFINDEX: usize = 40;
const GSO_SIZE: usize = 176;
const LENGTH: usize = 192;

/// What a program is told beside the packet's bytes.
pub type SkbContext = [u8; LENGTH];
/// Nothing beside them.
pub const NO_CONTEXT: SkbContext = [0; LENGTH];

/// The namespace, which is gone when its thread is.
#[derive(Debug)]
pub struct Network {
    uplink: u32,
    trunk: u32,
}

impl Network {
    /// Moves this thread to a new namespace, and makes the uplink there.
    ///
    /// # Errors
    /// When this process is not root, or `ip` is missing.
    pub fn enter() -> anyhow::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET)
            .context("cannot make a network namespace; the kernel runner needs root (CAP_SYS_ADMIN)")?;
        for family in ["ipv4", "ipv6"] {
            let path = format!("/proc/sys/net/{family}/conf/all/forwarding");
            fs::write(&path, "1").with_context(|| format!("cannot write {path}"))?;
        }
        let address = HOST_MAC.map(|byte| format!("{byte:02x}")).join(":");
        let mut lines = vec![
            "link set lo up".to_owned(),
            format!("link add {UPLINK} address {address} type veth peer name {TRUNK}"),
            format!("link set {UPLINK} up"),
            format!("link set {TRUNK} up"),
        ];
        lines.extend(uplink::script(UPLINK));
        ip::batch(None, &lines)?;
        let index = |name| if_nametoindex(name).with_context(|| format!("{name} was just made and is gone"));
        Ok(Self {
            uplink: index(UPLINK)?,
            trunk: index(TRUNK)?,
        })
    }

    /// Makes another device, by which these pods are reached from here on, with longer packets than by the uplink. Answers its
    /// interface index.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn lead_by_another_device(&self, pods: &[Pod]) -> anyhow::Result<u32> {
        let hex = |address: [u8; 6]| address.map(|byte| format!("{byte:02x}")).join(":");
        let (own, neighbour) = (hex(SECOND_MAC), hex(NEIGHBOUR_MAC));
        let mut lines = vec![
            format!("link add {SECOND} mtu 9000 address {own} type veth peer name far mtu 9000"),
            format!("link set {SECOND} up"),
            "link set far up".to_owned(),
            format!("address add 172.31.9.1/24 dev {SECOND}"),
            format!("address add fd31:9::1/64 dev {SECOND} nodad"),
        ];
        for (family, via) in [(Family::V4, "172.31.9.2"), (Family::V6, "fd31:9::2")] {
            let own = HOST.address(family);
            lines.push(format!("neigh add {via} lladdr {neighbour} dev {SECOND}"));
            lines.extend(pods.iter().map(|pod| {
                let pod = pod.address(family);
                format!("route add {pod} via {via} dev {SECOND} src {own}")
            }));
        }
        ip::batch(None, &lines)?;
        if_nametoindex(SECOND).context("the device that was just made is gone")
    }

    /// The uplink's interface index.
    #[must_use]
    pub fn uplink(&self) -> u32 {
        self.uplink
    }

    /// The interface index of the device of which the uplink is a VLAN.
    #[must_use]
    pub fn trunk(&self) -> u32 {
        self.trunk
    }

    /// The context of a packet, or of many in one.
    #[must_use]
    pub fn context(&self, hook: Hook, segment_size: u32) -> SkbContext {
        let mut context = NO_CONTEXT;
        let mut set = |offset: usize, value: u32| {
            context[offset..offset + size_of::<u32>()].copy_from_slice(&value.to_ne_bytes());
        };
        set(GSO_SIZE, segment_size);
        match hook {
            Hook::Ingress | Hook::Egress => {}
            // From anywhere.
            Hook::UplinkIngress | Hook::UplinkEgress => {
                set(IFINDEX, self.uplink);
                set(INGRESS_IFINDEX, self.uplink);
            }
            Hook::NodeEgress => set(IFINDEX, self.uplink),
        }
        context
    }
}

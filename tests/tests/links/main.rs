//! Doors on devices that are no plain cables, and sockets that few kernels have: VLAN devices, bonds, `WireGuard`, SCTP.
//!
//! Not every kernel has those, so the test is left out unless asked for (`--ignored`); `cargo xtask test kernels` asks for
//! it, and then it fails where a device or a socket can not be made. Needs root, and `wg` of wireguard-tools.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod network;
mod stage;

use kproxy_tests::cluster::Via;

use network::Kind;
use stage::{PROTOCOLS, Stage};

/// One cluster for all, because on an emulated processor the start of an agent takes longer than its requests.
#[test]
#[ignore = "not every kernel has VLAN devices, bonds, WireGuard and SCTP: cargo xtask test kernels"]
fn every_kind_of_device_is_a_door() {
    let stage = Stage::new("links");
    let mut wrong = Vec::new();
    for kind in Kind::ALL {
        kind.lead(&stage.cluster);
        for protocol in PROTOCOLS {
            wrong.extend(stage.ask_from_outside(kind, protocol));
            // By SCTP past the socket door in any case, which leaves its sockets alone.
            for via in [Via::Socket, Via::Packet] {
                wrong.extend(stage.ask_from_a_pod(kind, protocol, via));
            }
        }
    }
    // The cable in use is cut, and the bond takes the other.
    Kind::Bond.lead(&stage.cluster);
    network::cut(&stage.cluster);
    wrong.extend(stage.ask_until_answered(Kind::Bond));
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), stage.remarks());
}

/// XDP sees tags before the VLAN's device does.
#[test]
#[ignore = "not every kernel has VLAN devices: cargo xtask test kernels"]
fn tags_are_read_by_xdp() {
    let stage = Stage::with_xdp("linkstags");
    Kind::Vlan.lead(&stage.cluster);
    let mut wrong = Vec::new();
    for protocol in PROTOCOLS {
        wrong.extend(stage.ask_from_outside(Kind::Vlan, protocol));
    }
    wrong.extend(stage.ask_by_tags());
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), stage.remarks());
}

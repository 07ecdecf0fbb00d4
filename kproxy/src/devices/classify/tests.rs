//! Doors by what devices are.

use super::*;

/// Rows are: what it is; name and properties of the device; its addresses; the door.
type Row = (&'static str, &'static str, &'static str, Door);

fn check(rules: &Rules, rows: &[Row]) {
    for (what, device, addresses, door) in rows {
        let words: Vec<_> = device.split_whitespace().collect();
        let link = link(&words);
        let addresses: Vec<_> = addresses.split_whitespace().map(prefix).collect();
        let facts = Facts {
            link: &link,
            addresses: &addresses,
            default_route: words.contains(&"default-route"),
            joins_pods: words.contains(&"joins-pods"),
            carries_uplink: words.contains(&"carries-uplink"),
        };
        assert_eq!(classify(rules, facts), *door, "{what}");
    }
}

fn link(words: &[&str]) -> Link {
    let kind = match words[1] {
        "veth" => Kind::Veth,
        "netkit" => Kind::Netkit,
        "tun" => Kind::Tun,
        "bridge" => Kind::Bridge,
        _ => Kind::Other,
    };
    let peer = if words.contains(&"elsewhere") {
        Peer::Elsewhere
    } else if words.contains(&"here") {
        Peer::Here(8)
    } else {
        Peer::Unknown
    };
    let master = words.contains(&"port").then_some(3);
    Link {
        index: 7,
        name: words[0].into(),
        kind,
        loopback: words[1] == "loopback",
        bare: words.contains(&"bare"),
        master,
        peer,
        ..Link::default()
    }
}

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').expect("a prefix length");
    let global = !address.starts_with("fe80") && !address.starts_with("127.");
    Prefix {
        address: address.parse().expect("an address"),
        length: length.parse().expect("a length"),
        global,
        preferred: true,
    }
}

#[test]
fn devices_speak_for_themselves() {
    check(
        &Rules::default(),
        &[
            ("loopback", "lo loopback", "127.0.0.1/8", Door::None),
            ("routed pod", "cali1 veth elsewhere", "fe80::1/64", Door::Pod),
            ("pod that is still down", "cali1 veth elsewhere", "", Door::Pod),
            (
                "pod behind a gateway address",
                "veth1 veth elsewhere",
                "10.1.2.1/32 fd00::1/128",
                Door::Pod,
            ),
            ("bridged pod", "veth1 veth elsewhere port", "", Door::Pod),
            ("netkit pod", "lxc1 netkit elsewhere", "fe80::1/64", Door::Pod),
            ("virtual machine on a bridge", "tap0 tun port", "", Door::Pod),
            ("VPN", "tun0 tun bare", "10.8.0.2/24", Door::BareUplink),
            ("VPN with Ethernet", "tap0 tun", "10.8.0.2/24", Door::Uplink),
            ("tap that nobody uses", "tap0 tun", "", Door::None),
            (
                "cable inside the node",
                "cilium_host veth here",
                "10.0.0.1/32",
                Door::Uplink,
            ),
            ("the same without address", "veth1 veth here port", "", Door::None),
            (
                "uplink of a node in a container",
                "eth0 veth elsewhere",
                "172.18.0.2/16",
                Door::Uplink,
            ),
            (
                "the same with IPv6 only",
                "eth0 veth elsewhere",
                "fe80::2/64 fc00:f853::2/64",
                Door::Uplink,
            ),
            (
                "the same with a /32",
                "eth0 veth elsewhere default-route",
                "192.0.2.2/32",
                Door::Uplink,
            ),
            ("NIC", "eth0 nic", "192.0.2.2/24", Door::Uplink),
            ("NIC in a bond", "eth0 nic port", "", Door::None),
            (
                "tunnel of an overlay",
                "flannel.1 vxlan",
                "10.244.1.0/32",
                Door::Uplink,
            ),
            ("bridge without pods", "br0 bridge", "192.0.2.2/24", Door::Uplink),
            (
                "bridge that joins pods",
                "cni0 bridge joins-pods",
                "10.244.1.1/24",
                Door::None,
            ),
            (
                "bridge of pods and the NIC",
                "br0 bridge joins-pods default-route",
                "192.0.2.2/24",
                Door::Uplink,
            ),
            ("NIC below a VLAN", "eth0 nic carries-uplink", "", Door::Uplink),
            (
                "NIC below a VLAN and in a bond",
                "eth0 nic port carries-uplink",
                "",
                Door::None,
            ),
            (
                "bridge below a VLAN",
                "br0 bridge carries-uplink",
                "",
                Door::Uplink,
            ),
            (
                "bridge of pods below a VLAN",
                "cni0 bridge joins-pods carries-uplink",
                "10.244.1.1/24",
                Door::None,
            ),
            (
                "pod below a VLAN",
                "veth1 veth elsewhere carries-uplink",
                "",
                Door::Pod,
            ),
            (
                "loopback below a VLAN",
                "lo loopback carries-uplink",
                "",
                Door::None,
            ),
        ],
    );
}

#[test]
fn the_operator_has_the_last_word() {
    check(
        &Rules::parse(&["pod*".into()], &[]).expect("rules"),
        &[
            ("named", "pod1 nic", "10.0.0.1/24", Door::Pod),
            ("a veth that is not named", "veth1 veth elsewhere", "", Door::None),
            (
                "the node's own veth",
                "eth0 veth elsewhere",
                "10.0.0.1/24",
                Door::Uplink,
            ),
        ],
    );
    check(
        &Rules::parse(&[], &["eth*".into()]).expect("rules"),
        &[
            ("named", "eth0 veth elsewhere port", "", Door::Uplink),
            ("named, without Ethernet", "eth1 nic bare", "", Door::BareUplink),
            ("pods are still found", "veth1 veth elsewhere", "", Door::Pod),
            ("a NIC that is not named", "ens3 nic", "10.0.0.1/24", Door::None),
            ("the same below a VLAN", "ens3 nic carries-uplink", "", Door::None),
            (
                "a port that is named, below a VLAN",
                "eth0 nic port carries-uplink",
                "",
                Door::Uplink,
            ),
        ],
    );
    check(
        &Rules::parse(&["*".into()], &["eth*".into()]).expect("rules"),
        &[
            ("never loopback", "lo loopback", "127.0.0.1/8", Door::None),
            ("named by both", "eth0 nic", "10.0.0.1/24", Door::Pod),
            ("the same below a VLAN", "eth0 nic carries-uplink", "", Door::Pod),
        ],
    );
}

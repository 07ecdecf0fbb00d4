//! Networks of several kinds of devices between the nodes and the client outside, beside their cables to the switch.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

use kproxy_tests::cluster::{Addresses, Cluster, Host, ip};

/// By what the client outside comes to the node, and the node to the other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The cable.
    Veth,
    /// A VLAN on the cable.
    Vlan,
    /// Two cables to a switch of their own, of which one is in use.
    Bond,
    /// Tunnels to the others; the device has no Ethernet headers.
    WireGuard,
}

/// Where `WireGuard` listens.
const PORT: u16 = 51_820;

/// Who is on each network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The node that is asked.
    Node,
    /// The other node.
    Other,
    /// The client outside.
    Client,
}

impl End {
    pub(crate) const ALL: [Self; 3] = [Self::Node, Self::Other, Self::Client];

    pub(crate) fn host(self, cluster: &Cluster) -> &Host {
        match self {
            Self::Node => cluster.node("a").host(),
            Self::Other => cluster.node("b").host(),
            Self::Client => cluster.client("ext"),
        }
    }
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Veth, Self::Vlan, Self::Bond, Self::WireGuard];

    /// The name of the device, the same at each end.
    const fn device(self) -> &'static str {
        match self {
            Self::Veth => "eth0",
            Self::Vlan => "vlan0",
            Self::Bond => "bond0",
            Self::WireGuard => "wg0",
        }
    }

    /// Where an end is on the network.
    pub(crate) fn addresses(self, end: End, cluster: &Cluster) -> Addresses {
        if self == Self::Veth {
            return end.host(cluster).addresses();
        }
        let (network, host) = (self as u8, end as u8 + 1);
        Addresses {
            v4: Ipv4Addr::new(172, 31, network, host),
            v6: Ipv6Addr::new(0xfd31, network.into(), 0, 0, 0, 0, 0, host.into()),
        }
    }

    /// Makes the devices.
    pub(crate) fn make(self, cluster: &Cluster) {
        let device = self.device();
        match self {
            Self::Veth => return,
            Self::Vlan => {
                for end in End::ALL {
                    let line = format!("link add link eth0 name {device} type vlan id 42");
                    run(end.host(cluster), [line]);
                }
            }
            Self::Bond => bond(device, cluster),
            Self::WireGuard => wireguard(device, cluster),
        }
        for end in End::ALL {
            let Addresses { v4, v6 } = self.addresses(end, cluster);
            run(
                end.host(cluster),
                [
                    format!("link set {device} up"),
                    format!("address add {v4}/24 dev {device}"),
                    format!("address add {v6}/64 dev {device} nodad"),
                ],
            );
        }
    }

    /// From now on the nodes reach each other's pods by this network.
    pub(crate) fn lead(self, cluster: &Cluster) {
        for (here, there) in [(End::Node, End::Other), (End::Other, End::Node)] {
            let ranges = pod_ranges(there, cluster).into_iter();
            let ways = ranges.zip(self.addresses(there, cluster).both());
            let device = self.device();
            let lines = ways.map(|(range, via)| format!("route replace {range} via {via} dev {device}"));
            run(here.host(cluster), lines);
        }
    }
}

/// The ranges of the pods behind an end, if it is a node.
fn pod_ranges(end: End, cluster: &Cluster) -> Vec<String> {
    let name = end.host(cluster).name();
    let node = cluster.nodes().iter().find(|node| node.name() == name);
    node.map_or(Vec::new(), |node| node.pod_ranges().to_vec())
}

fn bond(device: &str, cluster: &Cluster) {
    let mut lines = vec![
        "link add br1 type bridge mcast_snooping 0".to_owned(),
        "link set br1 up".to_owned(),
    ];
    for end in End::ALL {
        let namespace = end.host(cluster).namespace().name();
        for (port, nic) in ports(end).into_iter().zip(["nic0", "nic1"]) {
            lines.push(format!(
                "link add {port} type veth peer name {nic} netns {namespace}"
            ));
            lines.push(format!("link set {port} master br1 up"));
        }
    }
    ip::batch(Some(cluster.switch().name()), &lines).unwrap();
    for end in End::ALL {
        run(
            end.host(cluster),
            [
                format!("link add {device} type bond mode active-backup miimon 10"),
                format!("link set nic0 master {device}"),
                format!("link set nic1 master {device}"),
            ],
        );
    }
}

/// The other ends of the cables of a bond.
fn ports(end: End) -> [String; 2] {
    ["0", "1"].map(|cable| format!("bond{}-{cable}", end as u8))
}

/// Cuts the cable that the bond of the node that is asked uses.
pub(crate) fn cut(cluster: &Cluster) {
    let [first, _] = ports(End::Node);
    let lines = [format!("link set {first} down")];
    ip::batch(Some(cluster.switch().name()), &lines).unwrap();
}

fn wireguard(device: &str, cluster: &Cluster) {
    let keys = End::ALL.map(|end| {
        let private = wg(&["genkey"], "");
        let public = wg(&["pubkey"], &private);
        (end, private, public)
    });
    for (end, private, _) in &keys {
        let mut text = format!("[Interface]\nPrivateKey = {private}\nListenPort = {PORT}\n");
        for (other, _, public) in keys.iter().filter(|(other, ..)| other != end) {
            let Addresses { v4, v6 } = Kind::WireGuard.addresses(*other, cluster);
            let mut behind = vec![format!("{v4}/32"), format!("{v6}/128")];
            behind.extend(pod_ranges(*other, cluster));
            let endpoint = other.host(cluster).v4();
            write!(
                text,
                "[Peer]\nPublicKey = {public}\nEndpoint = {endpoint}:{PORT}\nAllowedIPs = {}\n",
                behind.join(", ")
            )
            .unwrap();
        }
        let host = end.host(cluster);
        run(host, [format!("link add {device} type wireguard")]);
        let set = || wg(&["setconf", device, "/proc/self/fd/0"], &text);
        host.namespace().run(set).unwrap();
    }
}

/// Runs `wg` with this input; answers what it says.
fn wg(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("wg");
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .expect("cannot run `wg`; install it: apt-get install wireguard-tools");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "wg {arguments:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn run(host: &Host, lines: impl IntoIterator<Item = String>) {
    let lines: Vec<_> = lines.into_iter().collect();
    ip::batch(Some(host.namespace().name()), &lines).unwrap();
}

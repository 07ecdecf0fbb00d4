//! Devices, addresses and routes that change while clients outside ask.

use std::net::IpAddr;
use std::time::Duration;

use kproxy_tests::cluster::{Cni, Load, Via, ip};
use kproxy_tests::echo::{Mode, Options};

use super::stage::{FAR, HOWS, NEAR, Service, Stage};

/// Runs lines of `ip` in a namespace.
fn run(namespace: &str, lines: &[&str]) {
    let lines: Vec<_> = lines.iter().map(ToString::to_string).collect();
    ip::batch(Some(namespace), &lines).unwrap();
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Requests without a pause, by TCP on new connections and by UDP from one port, in both families.
struct Loads(Vec<Load>);

impl Loads {
    fn start(stage: &Stage, service: Service) -> Self {
        let to = stage.cluster.node("a").host().sockets(service.node_port);
        let options = |to| {
            let mut datagrams = Options::to(to).udp(Mode::Sendto).keep();
            datagrams.interval = Duration::from_millis(5);
            let mut connections = Options::to(to);
            connections.interval = Duration::from_millis(5);
            [datagrams, connections]
        };
        let options = to.into_iter().flat_map(options);
        Self(
            options
                .map(|options| stage.client().load(Via::Packet, &options, 1).unwrap())
                .collect(),
        )
    }

    /// Stops them; every request must have been answered.
    fn assert_undisturbed(self) {
        for load in self.0 {
            let (totals, failures) = load.stop().unwrap();
            assert!(totals.requests > 10, "the load hardly ran: {totals:?}");
            assert!(
                failures.is_empty(),
                "of {} requests: {failures:?}",
                totals.requests
            );
        }
    }
}

/// Also for `NodePort`s (story K89).
#[test]
fn devices_and_addresses_count_as_soon_as_they_come_and_go() {
    let stage = Stage::new("changes", Cni::RoutedVeth, &[]);
    let (node, client) = (stage.cluster.node("a").host(), stage.client());
    let (on_node, on_client) = (node.namespace().name(), client.namespace().name());
    let elsewhere = client.addresses().both();
    let own = node.addresses().both();
    // Flows of their own make sure that what is seen is the change, and not the first packet.
    for (own, client) in own.into_iter().zip(elsewhere) {
        stage.until_answered(NEAR, own, None, client);
    }
    let loads = Loads::start(&stage, FAR);

    // An address comes and goes. A deprecated one is asked, and not sent from.
    let [v4, v6] = [address("172.30.0.50"), address("fd30::50")];
    run(
        on_node,
        &[
            "address add 172.30.0.50/24 dev eth0",
            "address add fd30::50/64 dev eth0 nodad preferred_lft 0",
        ],
    );
    for (to, (client, own)) in [v4, v6].into_iter().zip(elsewhere.into_iter().zip(own)) {
        for how in HOWS {
            stage.until_answered(NEAR, to, how, client);
            stage.until_answered(FAR, to, how, own);
        }
    }
    run(
        on_node,
        &[
            "address delete 172.30.0.50/24 dev eth0",
            "address delete fd30::50/64 dev eth0",
        ],
    );
    for to in [v4, v6] {
        stage.until_silent(NEAR, to, None);
    }

    // A NIC comes and goes.
    run(
        on_node,
        &[
            &format!("link add nic1 type veth peer name nic1 netns {on_client}"),
            "link set nic1 up",
            "address add 172.31.0.1/24 dev nic1",
            "address add fd31::1/64 dev nic1 nodad",
        ],
    );
    run(
        on_client,
        &[
            "link set nic1 up",
            "address add 172.31.0.2/24 dev nic1",
            "address add fd31::2/64 dev nic1 nodad",
        ],
    );
    let nic = ["172.31.0.1", "fd31::1"].map(address).into_iter();
    let clients = ["172.31.0.2", "fd31::2"].map(address).into_iter();
    for (to, (client, own)) in nic.zip(clients.zip(own)) {
        for how in HOWS {
            stage.until_answered(NEAR, to, how, client);
            stage.until_answered(FAR, to, how, own);
        }
    }
    run(on_node, &["link delete nic1"]);
    loads.assert_undisturbed();
}

#[test]
fn a_pod_s_device_that_is_made_anew_is_found_again() {
    let stage = Stage::new("anew", Cni::RoutedVeth, &[]);
    let (node, pod) = (stage.cluster.node("a").host(), stage.cluster.pod("near"));
    let addresses = node
        .addresses()
        .both()
        .into_iter()
        .zip(stage.client().addresses().both());
    for (to, client) in addresses.clone() {
        stage.until_answered(NEAR, to, None, client);
    }
    let loads = Loads::start(&stage, FAR);
    let device = pod.device();
    run(
        node.namespace().name(),
        &[
            &format!("link delete {device}"),
            &format!(
                "link add {device} type veth peer name eth0 netns {}",
                pod.namespace().name()
            ),
            &format!("link set {device} address ee:ee:ee:ee:ee:ee addrgenmode none"),
            &format!("link set {device} up"),
            &format!("address add fe80::1/64 dev {device} nodad"),
            &format!("route add {}/32 dev {device} scope link", pod.v4()),
            &format!("route add {}/128 dev {device}", pod.v6()),
        ],
    );
    let sysctls = [
        (format!("net/ipv4/conf/{device}/proxy_arp"), "1"),
        (format!("net/ipv4/neigh/{device}/proxy_delay"), "0"),
    ];
    node.namespace().set_sysctls(&sysctls).unwrap();
    run(
        pod.namespace().name(),
        &[
            "link set eth0 up",
            &format!("address add {}/32 dev eth0", pod.v4()),
            &format!("address add {}/128 dev eth0 nodad", pod.v6()),
            "route add 169.254.1.1 dev eth0 scope link",
            "route add default via 169.254.1.1 dev eth0",
            "route add default via fe80::1 dev eth0",
        ],
    );
    for (to, client) in addresses {
        for how in HOWS {
            stage.until_answered(NEAR, to, how, client);
        }
    }
    loads.assert_undisturbed();
}

/// The address is the route's choice, also when it changes (5.10): each uplink has its own (story B13).
#[test]
fn backends_see_the_address_that_the_route_towards_them_prefers() {
    let stage = Stage::new("routes", Cni::RoutedVeth, &[]);
    let (here, there) = (stage.cluster.node("a").host(), stage.cluster.node("b").host());
    let [v4, v6] = here.addresses().both();
    for how in HOWS {
        stage.until_answered(FAR, v4, how, v4);
        stage.until_answered(FAR, v6, how, v6);
    }
    let loads = Loads::start(&stage, NEAR);
    // A second cable between the nodes, and the way to the pods of the other one by it.
    run(
        here.namespace().name(),
        &[
            &format!(
                "link add back type veth peer name back netns {}",
                there.namespace().name()
            ),
            "link set back up",
            "address add 172.32.0.1/24 dev back",
            "address add fd32::1/64 dev back nodad",
        ],
    );
    run(
        there.namespace().name(),
        &[
            "link set back up",
            "address add 172.32.0.2/24 dev back",
            "address add fd32::2/64 dev back nodad",
        ],
    );
    let [range_v4, range_v6] = stage.cluster.node("b").pod_ranges();
    run(
        here.namespace().name(),
        &[
            &format!("route replace {range_v4} via 172.32.0.2"),
            &format!("route replace {range_v6} via fd32::2"),
        ],
    );
    for how in HOWS {
        stage.until_answered(FAR, v4, how, address("172.32.0.1"));
        stage.until_answered(FAR, v6, how, address("fd32::1"));
    }
    loads.assert_undisturbed();
}

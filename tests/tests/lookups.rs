//! What a packet costs, counted: how often something is looked for by hash until it is decided.

use std::net::SocketAddr;

use kproxy_tests::acceptance::host::{HostMachine, packet, run};
use kproxy_tests::acceptance::simulation::{Fate, Hook, Machine as _};
use kproxy_tests::host::frame::{Frame, Tcp, Transport};

const MANIFESTS: &str = "
apiVersion: v1
kind: Node
metadata: {name: a}
status: {addresses: [{type: InternalIP, address: 172.30.0.1}, {type: InternalIP, address: 'fd30::1'}]}
---
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata: {name: kubernetes}
spec: {cidrs: [10.96.0.0/12, 'fd96::/108']}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  type: NodePort
  clusterIP: 10.96.0.10
  clusterIPs: [10.96.0.10, 'fd96::a']
  ipFamilies: [IPv4, IPv6]
  ports: [{name: t, protocol: TCP, port: 80, nodePort: 30080}, {name: u, protocol: UDP, port: 80, nodePort: 30080}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-4, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: t, protocol: TCP, port: 8080}, {name: u, protocol: UDP, port: 8080}]
endpoints: [{addresses: [10.244.2.2], nodeName: b, conditions: {ready: true}}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-6, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv6
ports: [{name: t, protocol: TCP, port: 8080}, {name: u, protocol: UDP, port: 8080}]
endpoints: [{addresses: ['fd44::2:2'], nodeName: b, conditions: {ready: true}}]
";

const TRANSPORTS: [Transport; 2] = [Transport::Tcp(Tcp::Ack), Transport::Udp];

/// A node with the service, and how its packets fare there.
struct Node(HostMachine);

impl Node {
    fn new() -> Self {
        let mut machine = HostMachine::new(1);
        machine.program(MANIFESTS).expect("manifests as they should be");
        Self(machine)
    }

    /// How many lookups a packet costs, and what becomes of it.
    fn send(&self, hook: Hook, (from, to): (&str, &str), transport: Transport) -> (u32, Fate) {
        let [from, to]: [SocketAddr; 2] = [from, to].map(|it| it.parse().expect("an address and a port"));
        let bytes = Frame::new(from, to, transport).bytes().expect("one family");
        let _ = self.0.tables.take_lookups();
        let fate = run(&self.0.tables, hook, packet(hook, bytes, 0));
        (self.0.tables.take_lookups(), fate)
    }

    /// The same of one that goes on unchanged.
    fn pass(&self, hook: Hook, ends: (&str, &str), transport: Transport) -> u32 {
        let (lookups, fate) = self.send(hook, ends, transport);
        assert!(matches!(fate, Fate::On(_)), "{ends:?} at {hook:?}: {fate:?}");
        lookups
    }
}

#[test]
fn from_pod_to_pod_nothing_is_looked_up() {
    let node = Node::new();
    let pods = [
        ("10.244.1.2:40000", "10.244.1.3:8080"),
        ("[fd44::1:2]:40000", "[fd44::1:3]:8080"),
    ];
    for ends in pods {
        for transport in TRANSPORTS.into_iter().chain([Transport::Tcp(Tcp::Syn)]) {
            for hook in [
                Hook::Ingress,
                Hook::Egress,
                Hook::UplinkIngress,
                Hook::UplinkEgress,
            ] {
                assert_eq!(
                    node.pass(hook, ends, transport),
                    0,
                    "{ends:?}, {transport:?} at {hook:?}"
                );
            }
        }
    }
}

/// A backend that is asked by packet answers a pod that asks by its socket, and so sees nothing translated.
#[test]
fn to_a_pod_that_never_asks_by_packet_nothing_is_looked_up() {
    let node = Node::new();
    let (asking, other) = ("10.244.1.2:40000", "10.244.1.3:40000");
    let (service, pod) = ("10.96.0.10:80", "10.244.2.2:8080");
    let (_, fate) = node.send(Hook::Ingress, (asking, service), Transport::Udp);
    assert!(matches!(fate, Fate::On(_)));
    assert_eq!(node.pass(Hook::Egress, (pod, other), Transport::Udp), 0);
    let (lookups, fate) = node.send(Hook::Egress, (pod, asking), Transport::Udp);
    assert!(lookups > 0 && matches!(fate, Fate::On(_)));
}

#[test]
fn to_the_node_itself_nothing_is_looked_up() {
    let node = Node::new();
    // The kubelet, and the outer packets of an overlay.
    let clients = [
        ("172.30.0.100:40000", "172.30.0.1:10250"),
        ("172.30.0.2:40000", "172.30.0.1:8472"),
        ("[fd30::64]:40000", "[fd30::1]:10250"),
    ];
    for ends in clients {
        for transport in TRANSPORTS.into_iter().chain([Transport::Tcp(Tcp::Syn)]) {
            for hook in [Hook::Ingress, Hook::UplinkIngress] {
                assert_eq!(
                    node.pass(hook, ends, transport),
                    0,
                    "{ends:?}, {transport:?} at {hook:?}"
                );
            }
        }
        let (client, own) = ends;
        for hook in [Hook::UplinkEgress, Hook::NodeEgress] {
            assert_eq!(
                node.pass(hook, (own, client), TRANSPORTS[0]),
                0,
                "back to {client} at {hook:?}"
            );
        }
    }
}

#[test]
fn what_is_established_is_looked_up_once() {
    let node = Node::new();
    let talks = [
        (
            Hook::Ingress,
            Hook::Egress,
            "10.244.1.2:40000",
            "10.96.0.10:80",
            "10.244.2.2:8080",
        ),
        (
            Hook::Ingress,
            Hook::Egress,
            "[fd44::1:2]:40000",
            "[fd96::a]:80",
            "[fd44::2:2]:8080",
        ),
    ];
    for (hook, back, client, service, pod) in talks {
        for (first, transport) in [
            (Transport::Tcp(Tcp::Syn), Transport::Tcp(Tcp::Ack)),
            (Transport::Udp, Transport::Udp),
        ] {
            let (_, fate) = node.send(hook, (client, service), first);
            assert!(matches!(&fate, Fate::On(_)), "{fate:?}");
            // The first answer moves the flow to where the others find it at once.
            node.send(back, (pod, client), transport);
            for (hook, ends) in [(hook, (client, service)), (back, (pod, client))] {
                assert_eq!(
                    node.send(hook, ends, transport).0,
                    1,
                    "{ends:?}, {transport:?} at {hook:?}"
                );
            }
        }
    }
}

#[test]
fn what_stands_in_for_a_client_is_looked_up_once() {
    let node = Node::new();
    let talks = [
        (
            "172.30.0.100:40000",
            "172.30.0.1:30080",
            "10.244.2.2:8080",
            "172.30.0.1:40000",
        ),
        (
            "[fd30::64]:40000",
            "[fd30::1]:30080",
            "[fd44::2:2]:8080",
            "[fd30::1]:40000",
        ),
    ];
    for (client, service, pod, stand_in) in talks {
        for (first, transport) in [
            (Transport::Tcp(Tcp::Syn), Transport::Tcp(Tcp::Ack)),
            (Transport::Udp, Transport::Udp),
        ] {
            let hook = Hook::UplinkIngress;
            let (_, fate) = node.send(hook, (client, service), first);
            assert!(matches!(&fate, Fate::Forwarded(_)), "{fate:?}");
            node.send(hook, (pod, stand_in), transport);
            for ends in [(client, service), (pod, stand_in)] {
                let (lookups, fate) = node.send(hook, ends, transport);
                assert!(matches!(&fate, Fate::Forwarded(_)), "{ends:?}: {fate:?}");
                assert_eq!(lookups, 1, "{ends:?}, {transport:?}");
            }
        }
    }
}

//! The objects of a cluster as its API server has them: services whose endpoints are replaced one by one.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

/// How many nodes the pods are on.
const NODES: u32 = 100;

/// Services and their pods.
#[derive(Debug)]
pub struct Cluster {
    /// The numbers of each service's pods.
    pods: Vec<Vec<u32>>,
    next_pod: u32,
}

impl Cluster {
    /// A cluster with this many services, and this many endpoints of each.
    #[must_use]
    pub fn new(services: u32, endpoints: u32) -> Self {
        let pods = (0..services).map(|service| (service * endpoints..(service + 1) * endpoints).collect());
        Self {
            pods: pods.collect(),
            next_pod: services * endpoints,
        }
    }

    /// The node that a kproxy may be on.
    #[must_use]
    pub fn node() -> String {
        node_of(0)
    }

    /// Every service with its slice.
    pub fn objects(&self) -> impl Iterator<Item = [Value; 2]> {
        let services = self.pods.iter().enumerate();
        services.map(|(number, pods)| [service(number), slice(number, pods)])
    }

    /// Change number `number`: a service's slice whose oldest pod was replaced by a new one.
    #[must_use]
    pub fn change(&mut self, number: u32) -> Value {
        // A stride that is coprime to most sizes, so that neighbours in time are no neighbours in memory.
        let service = (number as usize * 7919) % self.pods.len();
        let pods = &mut self.pods[service];
        pods.remove(0);
        pods.push(self.next_pod);
        self.next_pod += 1;
        slice(service, pods)
    }
}

fn service(number: usize) -> Value {
    let [_, high, middle, low] = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
    let address = Ipv4Addr::new(10, 96 + high, middle, low).to_string();
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "default", "name": format!("service-{number}")},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
            "sessionAffinity": "None",
            "selector": {"app": format!("app-{number}")},
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}],
        },
    })
}

fn slice(number: usize, pods: &[u32]) -> Value {
    let endpoint = |pod: &u32| {
        json!({
            "addresses": [Ipv4Addr::from(0x6440_0000 + pod).to_string()],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "nodeName": node_of(pod % NODES),
            "targetRef": {"kind": "Pod", "namespace": "default", "name": format!("pod-{pod}")},
        })
    };
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "default",
            "name": format!("service-{number}-abcde"),
            "labels": {"kubernetes.io/service-name": format!("service-{number}")},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
        "endpoints": pods.iter().map(endpoint).collect::<Vec<_>>(),
    })
}

fn node_of(number: u32) -> String {
    format!("node-{number}")
}

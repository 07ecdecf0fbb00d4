//! A cluster's objects as the API server sends them.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kproxy::index::Index;
use kproxy::model::{Kind, Parsed};
use kproxy::source::{Change, Event, News};
use serde_json::json;

const NODE: &str = "node-0";

/// Services whose endpoints are replaced one by one.
pub(crate) struct Cluster {
    /// The numbers of each service's pods.
    pods: Vec<Vec<u32>>,
    next_pod: u32,
}

impl Cluster {
    pub(crate) fn new(services: u32, endpoints: u32) -> Self {
        let pods = (0..services).map(|service| (0..endpoints).map(|pod| service * endpoints + pod).collect());
        Self {
            pods: pods.collect(),
            next_pod: services * endpoints,
        }
    }

    /// The next change: one service's slice with its oldest pod replaced by a new one.
    pub(crate) fn next(&mut self, number: u32) -> Vec<u8> {
        // A stride that is coprime to most sizes, so that neighbours in time are no neighbours in memory.
        let service = (number as usize * 7919) % self.pods.len();
        self.pods[service].remove(0);
        self.pods[service].push(self.next_pod);
        self.next_pod += 1;
        slice(service, &self.pods[service])
    }

    /// An index that has just seen everything.
    pub(crate) fn index(&self) -> anyhow::Result<Index> {
        let mut index = Index::new(NODE);
        for kind in Kind::ALL {
            index.apply(Event::now(News::Listing(kind)));
        }
        for (number, pods) in self.pods.iter().enumerate() {
            index.apply(Event::now(parse_service(&service(number))?));
            index.apply(Event::now(parse_slice(&slice(number, pods))?));
        }
        for kind in Kind::ALL {
            index.apply(Event::now(News::Listed(kind)));
        }
        Ok(index)
    }
}

fn parse_service(bytes: &[u8]) -> anyhow::Result<News> {
    let service: Service = serde_json::from_slice(bytes)?;
    Ok(News::Service(Change::Applied(Parsed::try_from(service)?)))
}

/// Bytes from the API server to what the index understands.
pub(crate) fn parse_slice(bytes: &[u8]) -> anyhow::Result<News> {
    let slice: EndpointSlice = serde_json::from_slice(bytes)?;
    Ok(News::Slice(Change::Applied(Parsed::try_from(slice)?)))
}

fn service(number: usize) -> Vec<u8> {
    let address = ip([10, 96], number).to_string();
    let object = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"namespace": "default", "name": format!("service-{number}")},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}],
        },
    });
    object.to_string().into_bytes()
}

fn slice(number: usize, pods: &[u32]) -> Vec<u8> {
    let endpoints: Vec<_> = pods
        .iter()
        .map(|pod| {
            json!({
                "addresses": [Ipv4Addr::from(0x6440_0000 + pod).to_string()],
                "conditions": {"ready": true, "serving": true, "terminating": false},
                "nodeName": format!("node-{}", pod % 100),
                "targetRef": {"kind": "Pod", "namespace": "default", "name": format!("pod-{pod}")},
            })
        })
        .collect();
    let object = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": "default",
            "name": format!("service-{number}-abcde"),
            "labels": {"kubernetes.io/service-name": format!("service-{number}")},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
        "endpoints": endpoints,
    });
    object.to_string().into_bytes()
}

fn ip([a, b]: [u8; 2], number: usize) -> Ipv4Addr {
    let [_, _, c, d] = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

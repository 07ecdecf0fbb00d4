//! The services of a measurement, the same for every contender.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

/// The port of every service.
pub(crate) const PORT: u16 = 80;
/// Where every endpoint listens.
pub(crate) const TARGET: u16 = 8080;
/// Where the node serves the service whose pod is elsewhere.
pub(crate) const NODE_PORT: u16 = 30_080;
/// Endpoints that nobody has: they are there to be in the rules (100.64.0.0/10).
const FIRST_STRANGER: u32 = 0x6440_0000;
/// `ClusterIP`s count from here: 10.96.0.16.
const FIRST_ADDRESS: u32 = 0x0a60_0010;

/// One service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) number: u32,
    pub(crate) endpoints: Vec<Ipv4Addr>,
    pub(crate) target: u16,
    /// TCP, and where that is asked for UDP as well.
    pub(crate) protocols: &'static [&'static str],
    pub(crate) node_port: Option<u16>,
}

impl Service {
    pub(crate) fn address(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(FIRST_ADDRESS + self.number)
    }

    pub(crate) fn name(&self) -> String {
        format!("svc-{}", self.number)
    }

    /// One that nobody asks.
    pub(crate) fn stranger(number: u32, endpoints: u32) -> Self {
        let first = FIRST_STRANGER + number * endpoints;
        Self {
            number,
            endpoints: (first..first + endpoints).map(Ipv4Addr::from_bits).collect(),
            target: TARGET,
            protocols: &["tcp"],
            node_port: None,
        }
    }

    /// The endpoint of this number, for one that leaves.
    pub(crate) const fn new_endpoint(number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(FIRST_STRANGER + number)
    }

    /// The Service and its slice.
    pub(crate) fn objects(&self) -> [Value; 2] {
        let Self {
            number: _,
            endpoints,
            target,
            protocols,
            node_port,
        } = self;
        let (name, address) = (self.name(), self.address().to_string());
        let service_port = |protocol: &&str| {
            let mut port = json!({
                "name": protocol, "protocol": protocol.to_uppercase(), "port": PORT, "targetPort": target,
            });
            if let Some(node_port) = node_port {
                port["nodePort"] = json!(node_port);
            }
            port
        };
        let slice_port =
            |protocol: &&str| json!({"name": protocol, "protocol": protocol.to_uppercase(), "port": target});
        let endpoint = |address: &Ipv4Addr| {
            json!({
                "addresses": [address.to_string()],
                "conditions": {"ready": true, "serving": true, "terminating": false},
            })
        };
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "type": if node_port.is_some() { "NodePort" } else { "ClusterIP" },
                "clusterIP": address, "clusterIPs": [address],
                "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
                "ports": protocols.iter().map(service_port).collect::<Vec<_>>(),
            },
        });
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{name}-1"), "namespace": "default",
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "ports": protocols.iter().map(slice_port).collect::<Vec<_>>(),
            "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        });
        [service, slice]
    }
}

/// Services of which two are asked. The first of them stands in the middle: half of the others come before it where rules are
/// gone through one by one, as for a service that was picked at random.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    pub(crate) all: Vec<Service>,
    asked: usize,
}

impl Services {
    /// So many with a pod here behind one of them, and one more whose pod is elsewhere and which the node serves at
    /// [`NODE_PORT`].
    pub(crate) fn new(count: u32, here: Ipv4Addr, elsewhere: Ipv4Addr) -> Self {
        let asked = count / 2;
        let mut all: Vec<_> = (0..count).map(|number| Service::stranger(number, 1)).collect();
        all[asked as usize].endpoints = vec![here];
        all.push(Service {
            endpoints: vec![elsewhere],
            protocols: &["tcp", "udp"],
            node_port: Some(NODE_PORT),
            ..Service::stranger(count, 1)
        });
        Self {
            all,
            asked: asked as usize,
        }
    }

    /// The one with the pod here.
    pub(crate) fn asked(&self) -> &Service {
        &self.all[self.asked]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_asked_one_is_in_the_middle() {
        let [here, elsewhere] = [1, 2].map(|last| Ipv4Addr::new(10, 244, 1, last));
        for (count, middle) in [(1, 0), (2, 1), (1000, 500)] {
            let services = Services::new(count, here, elsewhere);
            assert_eq!(services.all.len(), count as usize + 1);
            assert_eq!(services.asked().number, middle);
            assert_eq!(services.asked().endpoints, [here]);
        }
    }
}

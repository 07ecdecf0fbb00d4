//! The objects in the API server.

use std::net::Ipv4Addr;

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kproxy_tests::apiserver::ApiServer;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

/// Services whose endpoints are replaced one by one.
pub(crate) struct Cluster {
    /// The numbers of each service's pods.
    pods: Vec<Vec<u32>>,
    next_pod: u32,
}

impl Cluster {
    /// Stores every object.
    pub(crate) fn fill(server: &ApiServer, services: u32, endpoints: u32) -> anyhow::Result<Self> {
        let mut pods = Vec::new();
        for number in 0..services {
            let own: Vec<u32> = (number * endpoints..(number + 1) * endpoints).collect();
            server.insert_unchecked(service(number))?;
            server.insert_unchecked(slice(number, &own))?;
            pods.push(own);
        }
        Ok(Self {
            pods,
            next_pod: services * endpoints,
        })
    }

    /// Replaces the oldest pod of one service by a new one.
    pub(crate) async fn change(&mut self, client: &kube::Client, number: u32) -> anyhow::Result<()> {
        // A stride that is coprime to most sizes, so that neighbours in time are no neighbours in memory.
        let service = (number as usize * 7919) % self.pods.len();
        let pods = &mut self.pods[service];
        pods.remove(0);
        pods.push(self.next_pod);
        self.next_pod += 1;
        let api: Api<EndpointSlice> = Api::namespaced(client.clone(), "default");
        let patch = json!({"endpoints": addresses(pods)});
        api.patch(
            &format!("service-{service}-abcde"),
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await?;
        Ok(())
    }
}

fn service(number: u32) -> Value {
    let [_, high, middle, low] = number.to_be_bytes();
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

fn slice(number: u32, pods: &[u32]) -> Value {
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
        "endpoints": addresses(pods),
    })
}

fn addresses(pods: &[u32]) -> Vec<Value> {
    let endpoint = |pod: &u32| {
        json!({
            "addresses": [Ipv4Addr::from(0x6440_0000 + pod).to_string()],
            "conditions": {"ready": true, "serving": true, "terminating": false},
            "nodeName": format!("node-{}", pod % 100),
            "targetRef": {"kind": "Pod", "namespace": "default", "name": format!("pod-{pod}")},
        })
    };
    pods.iter().map(endpoint).collect()
}

//! The manifests in `deploy/demo/`: Services as they are, pods as much of them as a network namespace can have.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::{Pod, Service};
use serde::de::DeserializeOwned;

/// Everything the demo starts with.
#[derive(Debug)]
pub struct Manifests {
    /// In the order of the file.
    pub services: Vec<Service>,
    /// In the order of the file.
    pub pods: Vec<PodManifest>,
}

/// A pod that somebody has scheduled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodManifest {
    /// Its name.
    pub name: String,
    /// Its node's name.
    pub node: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it asks for another runtime class than the node's own: its sockets are then not the node's.
    pub sandboxed: bool,
    /// Its container's ports.
    pub ports: Vec<PodPort>,
}

/// A port of a pod's container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodPort {
    /// Its name, which a Service can refer to.
    pub name: String,
    /// Its number.
    pub number: u16,
    /// `TCP` or `UDP`.
    pub protocol: String,
}

impl Manifests {
    /// Reads `services.yaml` and `pods.yaml` in a folder.
    ///
    /// # Errors
    /// The file and document that can not be read.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let pods: Vec<Pod> = documents(&folder.join("pods.yaml"))?;
        let pods = pods
            .into_iter()
            .map(PodManifest::try_from)
            .collect::<anyhow::Result<_>>();
        Ok(Self {
            services: documents(&folder.join("services.yaml"))?,
            pods: pods.with_context(|| format!("in {}", folder.join("pods.yaml").display()))?,
        })
    }

    /// The nodes that pods name, in that order.
    #[must_use]
    pub fn nodes(&self) -> Vec<&str> {
        let mut nodes = Vec::new();
        for pod in &self.pods {
            if !nodes.contains(&&*pod.node) {
                nodes.push(&*pod.node);
            }
        }
        nodes
    }

    /// The pod labelled `app: client`, in a sandbox or not.
    #[must_use]
    pub fn client(&self, sandboxed: bool) -> Option<&PodManifest> {
        let is_client = |pod: &&PodManifest| pod.labels.get("app").is_some_and(|app| app == "client");
        self.pods
            .iter()
            .filter(is_client)
            .find(|pod| pod.sandboxed == sandboxed)
    }

    /// A pod by name.
    #[must_use]
    pub fn pod(&self, name: &str) -> Option<&PodManifest> {
        self.pods.iter().find(|pod| pod.name == name)
    }
}

impl PodManifest {
    /// The numbers of its ports of one protocol.
    #[must_use]
    pub fn port_numbers(&self, protocol: &str) -> Vec<u16> {
        self.ports
            .iter()
            .filter(|port| port.protocol == protocol)
            .map(|port| port.number)
            .collect()
    }
}

impl TryFrom<Pod> for PodManifest {
    type Error = anyhow::Error;

    fn try_from(pod: Pod) -> anyhow::Result<Self> {
        let name = pod.metadata.name.context("a pod has no name")?;
        let specification = pod.spec.with_context(|| format!("pod {name} has no spec"))?;
        let mut ports = Vec::new();
        for port in specification
            .containers
            .into_iter()
            .flat_map(|container| container.ports.unwrap_or_default())
        {
            let number = u16::try_from(port.container_port)
                .ok()
                .filter(|&number| number > 0);
            ports.push(PodPort {
                name: port.name.unwrap_or_default(),
                number: number.with_context(|| format!("pod {name} has an impossible containerPort"))?,
                protocol: port.protocol.unwrap_or_else(|| "TCP".to_owned()),
            });
        }
        Ok(Self {
            node: specification
                .node_name
                .with_context(|| format!("pod {name} has no nodeName"))?,
            sandboxed: specification.runtime_class_name.is_some(),
            labels: pod.metadata.labels.unwrap_or_default(),
            ports,
            name,
        })
    }
}

fn documents<T: DeserializeOwned>(file: &Path) -> anyhow::Result<Vec<T>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let documents = serde_yaml_ng::Deserializer::from_str(&text)
        .enumerate()
        .map(|(number, document)| {
            T::deserialize(document).with_context(|| format!("{}, document {}", file.display(), number + 1))
        });
    let documents = documents.collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(!documents.is_empty(), "{} is empty", file.display());
    Ok(documents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_three_blue_pods_on_two_nodes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/demo");
        let manifests = Manifests::read(&folder).unwrap();
        assert_eq!(manifests.nodes(), ["a", "b"]);
        let blue = manifests
            .pods
            .iter()
            .filter(|pod| pod.labels.get("color").is_some_and(|color| color == "blue"));
        let blue: Vec<_> = blue
            .map(|pod| (&*pod.name, &*pod.node, pod.port_numbers("TCP")))
            .collect();
        let wanted = [("web-blue-1", "a"), ("web-blue-2", "b"), ("web-blue-3", "b")];
        assert_eq!(blue, wanted.map(|(name, node)| (name, node, vec![8080])));
        assert_eq!(manifests.services.len(), 3);
    }
}

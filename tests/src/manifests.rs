//! Manifests of a folder that an agent follows.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Context;

/// Where [`web`] is asked.
pub const WEB: &str = "10.96.0.10:80";

/// A service with one pod, which listens at port 8080.
#[must_use]
pub fn web(pod: Ipv4Addr) -> String {
    format!(
        "\
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: default}}
spec: {{clusterIP: 10.96.0.10, ports: [{{port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web-1, namespace: default, labels: {{kubernetes.io/service-name: web}}}}
addressType: IPv4
ports: [{{name: '', port: 8080, protocol: TCP}}]
endpoints: [{{addresses: [{pod}]}}]
"
    )
}

/// Puts a manifest into a folder in one step: nobody sees half a file.
///
/// # Errors
/// When it can not be written.
pub fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let new = folder.join(".new");
    fs::write(&new, text).context("write a manifest")?;
    fs::rename(&new, folder.join(name)).context("put a manifest in place")
}

//! Rules of the shape that kube-proxy gives them, generated for the same services.
//!
//! Taken from kube-proxy's own expectations (`pkg/proxy/iptables/proxier_test.go` and `pkg/proxy/nftables/proxier_test.go`,
//! Kubernetes 1.33), for one family and without what these services do not use.

pub(crate) mod iptables;
pub(crate) mod nftables;

/// Where pods' addresses come from: everybody else is masqueraded at a `ClusterIP`.
const PODS: &str = "10.244.0.0/16";

/// What stands for a service port's hash in names.
fn id(number: u32, protocol: &str) -> String {
    format!("{number:012X}{}", protocol.to_uppercase())
}

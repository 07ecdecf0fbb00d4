//! The node that this kproxy runs on.

use k8s_openapi::api::core::v1;
use kproxy_common::Address;

use super::{Cidr, Kind, Name, ObjectName, Parsed, Problem, Reason, parse_address, parse_cidr};

/// The label that says which zone a node is in (semantics 2.38).
const ZONE: &str = "topology.kubernetes.io/zone";
/// The taint of a node that the cluster's autoscaler is about to remove, whatever its value and effect.
const LEAVING: &str = "ToBeDeletedByClusterAutoscaler";

/// What kproxy needs to know of a Node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: Name,
    /// The zone it is in, if a label says so.
    pub zone: Option<Name>,
    /// Its addresses, internal ones first, then external ones (semantics 10.18).
    pub addresses: Vec<Address>,
    /// The ranges that its pods have their addresses from.
    pub pod_cidrs: Vec<Cidr>,
    /// Whether load balancers may send to it (semantics 9.09): it is neither being deleted nor about to be.
    pub eligible: bool,
}

impl TryFrom<v1::Node> for Parsed<Node> {
    type Error = Problem;

    fn try_from(node: v1::Node) -> Result<Self, Problem> {
        let name = ObjectName::of(Kind::Node, &node.metadata)?;
        let mut problems = Vec::new();
        let eligible = is_eligible(&node);
        let zone = node.metadata.labels.as_ref().and_then(|labels| labels.get(ZONE));
        let zone = zone
            .filter(|zone| !zone.is_empty())
            .map(|zone| zone.as_str().into());
        let mut report = |field, reason| problems.push(Problem::new(Kind::Node, &name, field, reason));
        let addresses = addresses(node.status.unwrap_or_default(), &mut report);
        let pod_cidrs = pod_cidrs(node.spec.unwrap_or_default(), &mut report);
        let object = Some(Node {
            name: name.name.clone(),
            zone,
            addresses,
            pod_cidrs,
            eligible,
        });
        Ok(Self {
            name,
            object,
            problems,
        })
    }
}

/// Other taints, being cordoned or not ready do not matter.
fn is_eligible(node: &v1::Node) -> bool {
    let mut taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    node.metadata.deletion_timestamp.is_none() && !taints.any(|taint| taint.key == LEAVING)
}

fn addresses(status: v1::NodeStatus, report: &mut impl FnMut(String, Reason)) -> Vec<Address> {
    let (mut internal, mut external) = (Vec::new(), Vec::new());
    for (position, entry) in status.addresses.into_iter().flatten().enumerate() {
        let list = match entry.type_.as_str() {
            "InternalIP" => &mut internal,
            "ExternalIP" => &mut external,
            // Host names and DNS names.
            _ => continue,
        };
        match parse_address(&entry.address) {
            Some(address) => list.push(address),
            None => report(
                format!("status.addresses[{position}].address"),
                Reason::Address(entry.address, "the address"),
            ),
        }
    }
    internal.append(&mut external);
    internal
}

fn pod_cidrs(spec: v1::NodeSpec, report: &mut impl FnMut(String, Reason)) -> Vec<Cidr> {
    // Before dual stack there was only `podCIDR`; API servers fill in both.
    let texts = match spec.pod_cidrs {
        Some(texts) if !texts.is_empty() => texts,
        Some(_) | None => spec
            .pod_cidr
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect(),
    };
    let mut cidrs = Vec::with_capacity(texts.len());
    for (position, text) in texts.into_iter().enumerate() {
        match parse_cidr(&text) {
            Some(cidr) => cidrs.push(cidr),
            None => report(
                format!("spec.podCIDRs[{position}]"),
                Reason::Cidr(text, "the range"),
            ),
        }
    }
    cidrs
}

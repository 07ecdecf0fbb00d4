//! What is told about a service that does not get a frontend.

use kproxy_common::{FrontendFlags, FrontendKey};

use crate::model::{Kind, ObjectName, Problem, Reason};

/// The service `name` asks for a frontend of this kind that `holder` has.
pub(super) fn conflict(
    name: &ObjectName,
    key: FrontendKey,
    kind: FrontendFlags,
    holder: &ObjectName,
) -> Problem {
    let FrontendKey {
        address,
        port,
        protocol,
        padding: _,
    } = key;
    let family = address.family();
    let (field, frontend) = if kind.contains(FrontendFlags::NODE_PORT) {
        (
            format!("spec.ports[nodePort={port},protocol={protocol}].nodePort"),
            format!("the {family} NodePort {port}/{protocol}"),
        )
    } else {
        (
            address_field(kind).to_owned(),
            format!("{address} port {port}/{protocol}"),
        )
    };
    let holder = Box::new(holder.clone());
    Problem::new(Kind::Service, name, field, Reason::Claimed { frontend, holder })
}

fn address_field(kind: FrontendFlags) -> &'static str {
    if kind.contains(FrontendFlags::LOAD_BALANCER) {
        "status.loadBalancer.ingress"
    } else if kind.contains(FrontendFlags::EXTERNAL_IP) {
        "spec.externalIPs"
    } else {
        "spec.clusterIPs"
    }
}

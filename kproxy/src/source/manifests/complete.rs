//! What an API server would have filled in before anybody reads an object.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::model::{Kind, ObjectName, Problem, Reason};

/// The namespace of objects that name none.
pub(super) fn namespace(metadata: &mut ObjectMeta) {
    metadata.namespace.get_or_insert_with(|| "default".into());
}

/// Brings `clusterIP`, `clusterIPs` and `ipFamilies` into line.
///
/// # Errors
/// There is no address at all: only an API server could give one.
pub(super) fn service(service: &mut Service) -> Result<(), Problem> {
    namespace(&mut service.metadata);
    let spec = service.spec.get_or_insert_default();
    if spec.type_.as_deref() == Some("ExternalName") {
        return Ok(());
    }
    let addresses = spec.cluster_ips.get_or_insert_default();
    addresses.retain(|address| !address.is_empty());
    let given = spec.cluster_ip.take().filter(|address| !address.is_empty());
    let Some(first) = given.or_else(|| addresses.first().cloned()) else {
        let name = ObjectName::of(Kind::Service, &service.metadata)?;
        return Err(Problem::new(
            Kind::Service,
            &name,
            "spec.clusterIP",
            Reason::NoClusterIp,
        ));
    };
    if addresses.is_empty() {
        addresses.push(first.clone());
    }
    spec.cluster_ip = Some(first);
    if spec.ip_families.as_ref().is_none_or(Vec::is_empty) {
        let family = |address: &String| if address.contains(':') { "IPv6" } else { "IPv4" };
        spec.ip_families = Some(addresses.iter().map(family).map(str::to_owned).collect());
    }
    Ok(())
}

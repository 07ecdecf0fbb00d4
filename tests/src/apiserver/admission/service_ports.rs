//! Node ports of a service: `nodePort` of each port and `healthCheckNodePort`.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ServiceSpec;

use super::super::object::Key;
use super::super::status::Cause;
use super::super::store::Contents;
use super::service::{has_node_ports, type_of};

/// The default of `--service-node-port-range`.
const FIRST: u16 = 30_000;
const LAST: u16 = 32_767;
/// Ports below are left to people who choose one (KEP-3668) and handed out last.
const FIRST_DYNAMIC: u16 = 30_086;

/// Completes and checks the node ports.
pub(super) fn allocate(spec: &mut ServiceSpec, key: &Key, contents: &Contents) -> Vec<Cause> {
    let mut allocator = Allocator {
        contents,
        key,
        taken: BTreeSet::new(),
    };
    let mut causes = Vec::new();
    if has_node_ports(spec) {
        let wanted = spec.allocate_load_balancer_node_ports != Some(false);
        // Chosen ports first, so that an allocated one does not take them.
        let mut ports: Vec<_> = spec.ports.iter_mut().flatten().enumerate().collect();
        ports.sort_by_key(|(index, port)| (port.node_port.is_none(), *index));
        for (index, port) in ports {
            let protocol = port.protocol.clone().unwrap_or_default();
            let field = format!("spec.ports[{index}].nodePort");
            match port.node_port {
                Some(number) => causes.extend(allocator.claim(number, &protocol, field).err()),
                None if wanted => match allocator.next(&protocol, field) {
                    Ok(number) => port.node_port = Some(number.into()),
                    Err(cause) => causes.push(cause),
                },
                None => {}
            }
        }
    }
    if needs_health_check(spec) && spec.health_check_node_port.is_none_or(|number| number == 0) {
        match allocator.next("TCP", "spec.healthCheckNodePort".to_owned()) {
            Ok(number) => spec.health_check_node_port = Some(number.into()),
            Err(cause) => causes.push(cause),
        }
    }
    causes
}

/// Whether load balancers ask nodes if they have local endpoints.
pub(super) fn needs_health_check(spec: &ServiceSpec) -> bool {
    type_of(spec) == "LoadBalancer" && spec.external_traffic_policy.as_deref() == Some("Local")
}

struct Allocator<'a> {
    contents: &'a Contents,
    key: &'a Key,
    taken: BTreeSet<(u16, String)>,
}

impl Allocator<'_> {
    fn claim(&mut self, number: i32, protocol: &str, field: String) -> Result<(), Cause> {
        let port = u16::try_from(number)
            .ok()
            .filter(|port| (FIRST..=LAST).contains(port));
        let Some(port) = port else {
            let detail = format!(
                "provided port is not in the valid range. The range of valid ports is {FIRST}-{LAST}"
            );
            return Err(Cause::invalid(field, &number, detail));
        };
        if !self.is_free(port, protocol) {
            return Err(Cause::invalid(
                field,
                &number,
                "provided port is already allocated",
            ));
        }
        self.taken.insert((port, protocol.to_owned()));
        Ok(())
    }

    fn next(&mut self, protocol: &str, field: String) -> Result<u16, Cause> {
        let free = (FIRST_DYNAMIC..=LAST)
            .chain(FIRST..FIRST_DYNAMIC)
            .find(|port| self.is_free(*port, protocol));
        let port =
            free.ok_or_else(|| Cause::invalid(field, &"", "failed to allocate a nodePort: range is full"))?;
        self.taken.insert((port, protocol.to_owned()));
        Ok(port)
    }

    fn is_free(&self, port: u16, protocol: &str) -> bool {
        let holder = self.contents.allocations.node_port_holder(port, protocol);
        holder.is_none_or(|holder| holder == self.key) && !self.taken.contains(&(port, protocol.to_owned()))
    }
}

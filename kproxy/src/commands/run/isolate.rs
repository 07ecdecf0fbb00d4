//! Keeping a failure to the service that it is about.

use std::collections::BTreeMap;

use crate::plan::{Action, Plan, Step};

/// A plan in parts that are safe to apply whether or not the others succeed: first one part for each service, then the
/// address gates and what is about the node. Writing again what was written before the failure changes nothing.
///
/// What belongs to no service is left out where it takes something away: a service that failed may still need it.
pub(super) fn isolate(plan: &Plan) -> Vec<Plan> {
    let mut node = Plan::default();
    let mut services: BTreeMap<_, Vec<Step>> = BTreeMap::new();
    for step in &plan.steps {
        match (&step.service, &step.action) {
            (Some(service), _) => services.entry(service).or_default().push(step.clone()),
            (
                None,
                Action::PutAddress { .. }
                | Action::WriteServiceCidr { .. }
                | Action::WriteNodeAddress { .. }
                | Action::WritePodRange { .. }
                | Action::PutDevice { .. },
            ) => node.steps.push(step.clone()),
            (None, _) => {}
        }
    }
    let services = services.into_values().map(|steps| Plan {
        steps,
        newly_served: plan.newly_served.clone(),
        ..Plan::default()
    });
    services
        .chain(std::iter::once(node))
        .filter(|part| !part.steps.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kproxy_common::{Address, AddressRole, Family, FrontendKey, Port, Protocol};

    use super::*;
    use crate::plan::ServicePortName;

    fn step(service: Option<&str>, action: Action) -> Step {
        let service = service.map(|name| {
            Arc::new(ServicePortName {
                namespace: "default".into(),
                name: name.into(),
                port: "".into(),
                protocol: Protocol::TCP,
                family: Family::V4,
            })
        });
        Step { action, service }
    }

    #[test]
    fn every_service_has_a_part_of_its_own_before_the_gates() {
        let address = Address::unspecified(Family::V4);
        let key = FrontendKey::new(address, Port::new(1), Protocol::TCP);
        let remove = || Action::RemoveFrontend { key };
        let plan = Plan {
            steps: vec![
                step(
                    Some("b"),
                    Action::WriteSlots {
                        base: 0,
                        slots: vec![],
                    },
                ),
                step(
                    None,
                    Action::PutAddress {
                        address,
                        role: AddressRole::SERVICE,
                    },
                ),
                step(Some("a"), remove()),
                step(Some("b"), remove()),
                step(None, remove()),
                step(None, Action::RemoveAddress { address }),
            ],
            ..Plan::default()
        };
        let parts: Vec<_> = isolate(&plan).iter().map(|part| part.steps.clone()).collect();
        let [gate, first, second, third] = [1, 2, 0, 3].map(|index| plan.steps[index].clone());
        assert_eq!(parts, [vec![first], vec![second, third], vec![gate]]);
    }
}

//! Keeping a failure to the service that it is about.

use std::collections::BTreeMap;

use crate::plan::{Action, Plan, Step};

/// A plan in parts that are safe to apply whether or not the others succeed: first the address gates, then one part for
/// each service. Writing again what was written before the failure changes nothing.
///
/// What belongs to no service is left out where it takes something away: a service that failed may still need it.
pub(super) fn isolate(plan: &Plan) -> Vec<Plan> {
    let mut gates = Plan::default();
    let mut services: BTreeMap<_, Vec<Step>> = BTreeMap::new();
    for step in &plan.steps {
        match (&step.service, &step.action) {
            (Some(service), _) => services.entry(service).or_default().push(step.clone()),
            (None, Action::PutAddress { .. }) => gates.steps.push(step.clone()),
            (None, _) => {}
        }
    }
    let services = services.into_values().map(|steps| Plan { steps, problems: Vec::new() });
    std::iter::once(gates).chain(services).filter(|part| !part.steps.is_empty()).collect()
}

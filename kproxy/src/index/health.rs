//! What load balancers are told that ask for endpoints of this node.

use std::collections::BTreeMap;

use kproxy_common::Family;

use crate::compile::HealthCheck;
use crate::model::ObjectName;

/// One for each service and family that a load balancer asks about.
pub type HealthChecks = BTreeMap<(ObjectName, Family), HealthCheck>;

/// Brings the entry of one service and family up to date.
pub(super) fn set(checks: &mut HealthChecks, name: &ObjectName, family: Family, check: Option<HealthCheck>) {
    match check {
        Some(check) => {
            checks.insert((name.clone(), family), check);
        }
        // Most services have none, and most clusters have few.
        None if checks.is_empty() => {}
        None => {
            checks.remove(&(name.clone(), family));
        }
    }
}

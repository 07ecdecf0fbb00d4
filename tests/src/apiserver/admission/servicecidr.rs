//! `ServiceCIDR`: ranges of cluster addresses, at most one per family, fixed once made.

use k8s_openapi::api::networking::v1::ServiceCIDR;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::super::status::Cause;
use super::super::store::Contents;
use super::Strategy;
use super::cidr::Cidr;

impl Strategy for ServiceCIDR {
    fn prepare(&mut self, old: Option<&Self>, _contents: &Contents) -> Vec<Cause> {
        let cidrs = self
            .spec
            .as_ref()
            .and_then(|spec| spec.cidrs.clone())
            .unwrap_or_default();
        if let Some(old) = old {
            let before = old
                .spec
                .as_ref()
                .and_then(|spec| spec.cidrs.clone())
                .unwrap_or_default();
            if before != cidrs {
                return vec![Cause::invalid("spec.cidrs", &cidrs, "field is immutable")];
            }
        }
        // The controller that would say so is not here, and every range is ready at once.
        self.status
            .get_or_insert_default()
            .conditions
            .get_or_insert_with(|| vec![ready()]);
        check(&cidrs)
    }
}

fn check(cidrs: &[String]) -> Vec<Cause> {
    if cidrs.is_empty() {
        return vec![Cause::required("spec.cidrs", "at least one CIDR required")];
    }
    if cidrs.len() > 2 {
        return vec![Cause::invalid(
            "spec.cidrs",
            &cidrs,
            "may only hold up to 2 values",
        )];
    }
    let parsed: Vec<_> = cidrs.iter().map(|cidr| Cidr::parse(cidr)).collect();
    let mut causes: Vec<_> = parsed
        .iter()
        .zip(cidrs)
        .enumerate()
        .filter(|(_, (parsed, _))| parsed.is_none())
        .map(|(index, (_, cidr))| {
            Cause::invalid(
                format!("spec.cidrs[{index}]"),
                cidr,
                "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
            )
        })
        .collect();
    if let [Some(first), Some(second)] = parsed[..]
        && first.is_ipv6() == second.is_ipv6()
    {
        causes.push(Cause::invalid(
            "spec.cidrs",
            &cidrs,
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        ));
    }
    causes
}

fn ready() -> Condition {
    Condition {
        last_transition_time: Time(Timestamp::now()),
        message: "Kubernetes Service CIDR is ready".to_owned(),
        observed_generation: None,
        reason: String::new(),
        status: "True".to_owned(),
        type_: "Ready".to_owned(),
    }
}

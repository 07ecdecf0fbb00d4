//! Ranges that ClusterIPs are given out from.

use k8s_openapi::api::networking::v1::ServiceCIDR;

use super::{Cidr, Kind, ObjectName, Parsed, Problem, Reason, parse_cidr};

/// The prefixes of one `ServiceCIDR` object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCidr {
    /// At most one of each family.
    pub cidrs: Vec<Cidr>,
}

impl TryFrom<ServiceCIDR> for Parsed<ServiceCidr> {
    type Error = Problem;

    fn try_from(object: ServiceCIDR) -> Result<Self, Problem> {
        let name = ObjectName::of(Kind::ServiceCidr, &object.metadata)?;
        let texts = object.spec.and_then(|spec| spec.cidrs).unwrap_or_default();
        let (mut cidrs, mut problems) = (Vec::with_capacity(texts.len()), Vec::new());
        for (position, text) in texts.into_iter().enumerate() {
            match parse_cidr(&text) {
                Some(cidr) => cidrs.push(cidr),
                None => problems.push(Problem::new(
                    Kind::ServiceCidr,
                    &name,
                    format!("spec.cidrs[{position}]"),
                    Reason::Cidr(text, "the range"),
                )),
            }
        }
        Ok(Self {
            name,
            object: Some(ServiceCidr { cidrs }),
            problems,
        })
    }
}

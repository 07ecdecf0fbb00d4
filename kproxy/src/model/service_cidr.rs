//! Ranges that ClusterIPs are given out from.

use k8s_openapi::api::networking::v1::ServiceCIDR;

use kproxy_common::{Address, Family};

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
            match range(text) {
                Ok(cidr) => cidrs.push(cidr),
                Err(reason) => {
                    let field = format!("spec.cidrs[{position}]");
                    problems.push(Problem::new(Kind::ServiceCidr, &name, field, reason));
                }
            }
        }
        Ok(Self {
            name,
            object: Some(ServiceCidr { cidrs }),
            problems,
        })
    }
}

/// What is unallocated in a range of ClusterIPs is dropped: a range that holds a whole family would cut off the node. The
/// data plane keeps IPv4 addresses as IPv4-mapped ones, so an IPv6 range must not hold those either.
fn range(text: String) -> Result<Cidr, Reason> {
    let Some(cidr) = parse_cidr(&text) else {
        return Err(Reason::Cidr(text, "the range"));
    };
    let any_v4 = Address::unspecified(Family::V4);
    if cidr.length == 0 || cidr.range().contains(&any_v4) && cidr.family() == Family::V6 {
        return Err(Reason::WholeFamily(cidr));
    }
    Ok(cidr)
}

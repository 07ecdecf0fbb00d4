//! Who may ask the load-balancer addresses of a service (semantics 3f).

use std::collections::BTreeSet;

use kproxy_common::{Address, Family};

use super::Place;
use crate::model::{Cidr, Service};

/// The ranges of a family; empty for everybody.
///
/// A node that has a load-balancer address on one of its own interfaces asks that address from itself. Where the node
/// may ask, such packets may as well (semantics 3.44).
pub(super) fn source_ranges(service: &Service, family: Family, place: &Place) -> BTreeSet<Cidr> {
    let of_family = |address: &&Address| address.family() == family;
    let addresses = || service.load_balancer_ips().iter().filter(of_family);
    let mut ranges = BTreeSet::new();
    if addresses().next().is_none() {
        return ranges;
    }
    ranges.extend(
        service
            .source_ranges()
            .iter()
            .filter(|range| range.family() == family),
    );
    let node = place.primary(family);
    if ranges.iter().any(|range| range.contains(&node)) {
        ranges.extend(addresses().copied().map(Cidr::host));
    }
    ranges
}

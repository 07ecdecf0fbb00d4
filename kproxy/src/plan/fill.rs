//! How full the maps are that plans write.

use kproxy_common::maps;

use super::applied::Applied;

/// Entries of one map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Its name.
    pub map: &'static str,
    /// Entries in use, or not free for reuse yet.
    pub entries: u64,
    /// Entries that there is room for.
    pub capacity: u64,
}

impl Applied {
    /// How full each map is once every plan given out so far is applied. Costs nothing, whatever the maps hold.
    #[must_use]
    pub fn fill(&self) -> [Fill; 5] {
        let capacity = self.capacity();
        let fill = |map, entries, capacity: u32| Fill {
            map,
            entries,
            capacity: capacity.into(),
        };
        // Index 0 is never used.
        let backends = capacity.backends.saturating_sub(1);
        [
            fill(maps::ADDRESSES, self.addresses.len() as u64, capacity.addresses),
            fill(maps::FRONTENDS, self.frontends.len() as u64, capacity.frontends),
            fill(
                maps::SLOTS,
                capacity.slots.saturating_sub(self.slots.free_numbers()).into(),
                capacity.slots,
            ),
            fill(
                maps::BACKENDS,
                backends.saturating_sub(self.records.free.free_numbers()).into(),
                backends,
            ),
            fill(
                maps::SOURCE_RANGES,
                self.ranges.len() as u64,
                capacity.source_ranges,
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Instant;

    use kproxy_common::{Address, BackendFlags, Family, FrontendFlags, FrontendKey, Port, Protocol};

    use super::super::{
        BackendSet, Capacity, Endpoint, GRACE, ServicePortName, WantedFrontend, WantedService,
    };
    use super::*;
    use crate::model::parse_cidr;

    const CAPACITY: Capacity = Capacity {
        addresses: 16,
        frontends: 8,
        slots: 32,
        backends: 24,
        source_ranges: 4,
    };

    fn service(endpoints: u16) -> BTreeMap<ServicePortName, Option<WantedService>> {
        let name = ServicePortName {
            namespace: "default".into(),
            name: "web".into(),
            port: "".into(),
            protocol: Protocol::TCP,
            family: Family::V4,
        };
        let address = |last| Address::from(std::net::Ipv4Addr::new(10, 0, 0, last));
        let endpoints: Vec<_> = (1..=endpoints)
            .map(|port| Endpoint {
                address: address(1),
                port: Port::new(port),
            })
            .collect();
        let frontend = WantedFrontend {
            flags: FrontendFlags::CLUSTER_IP,
            affinity_seconds: 0,
            inside: BackendSet::Cluster,
            outside: BackendSet::Cluster,
            restricted: true,
        };
        let key = FrontendKey::new(address(9), Port::new(80), Protocol::TCP);
        let wanted = WantedService {
            frontends: [(key, frontend)].into(),
            endpoints: endpoints
                .iter()
                .map(|endpoint| (*endpoint, BackendFlags::empty()))
                .collect(),
            cluster: endpoints,
            local: vec![],
            source_ranges: BTreeSet::from(
                [parse_cidr("192.0.2.0/24"), parse_cidr("198.51.100.0/24")]
                    .map(|cidr| cidr.expect("a range")),
            ),
            left_alone: None,
        };
        [(name, Some(wanted))].into()
    }

    fn used(applied: &Applied) -> [u64; 5] {
        applied.fill().map(|fill| fill.entries)
    }

    #[test]
    fn what_is_in_use_is_counted_until_it_can_be_used_again() {
        let mut applied = Applied::new(CAPACITY);
        assert_eq!(used(&applied), [0, 0, 0, 0, 0]);
        applied.change(service(3));
        assert_eq!(used(&applied), [1, 1, 3, 3, 2]);
        applied.change(service(5));
        assert_eq!(used(&applied), [1, 1, 8, 5, 2], "the old run waits");
        let now = Instant::now();
        applied.release(now);
        applied.release(now + 2 * GRACE);
        assert_eq!(used(&applied), [1, 1, 5, 5, 2]);
        let capacity = applied.fill().map(|fill| (fill.map, fill.capacity));
        let expected = [
            (maps::ADDRESSES, 16),
            (maps::FRONTENDS, 8),
            (maps::SLOTS, 32),
            (maps::BACKENDS, 23),
            (maps::SOURCE_RANGES, 4),
        ];
        assert_eq!(capacity, expected);
    }
}

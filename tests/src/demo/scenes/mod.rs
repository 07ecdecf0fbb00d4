//! The scenes of the demo, each with what it claims.

mod blue_green;
mod dns;
mod empty;
mod keep;
mod spread;
mod times;

pub use blue_green::blue_green;
pub use dns::dns;
pub use empty::empty;
pub use keep::keep;
pub use spread::spread;
pub use times::times;

use std::collections::BTreeMap;

use super::{
    screen::{bar, pod},
    world::World,
};
use crate::echo::Report;

/// Both families, in the order of addresses.
const FAMILIES: [&str; 2] = ["IPv4", "IPv6"];

/// How many requests each pod answered.
fn by_pod(reports: &[Report]) -> BTreeMap<String, u64> {
    let mut pods = BTreeMap::new();
    for name in reports.iter().filter_map(Report::pod) {
        *pods.entry(name.to_owned()).or_default() += 1;
    }
    pods
}

/// Shares as bars: `web-blue-1 on a ███▍ 101`.
fn shares(world: &World, pods: &BTreeMap<String, u64>) -> String {
    let total = pods.values().sum();
    let share = |(name, count): (&String, &u64)| {
        let node = world.manifests.pod(name).map_or("?", |pod| &pod.node);
        format!("{} ({node}) {} {count:>3}", pod(name), bar(*count, total))
    };
    pods.iter().map(share).collect::<Vec<_>>().join("   ")
}

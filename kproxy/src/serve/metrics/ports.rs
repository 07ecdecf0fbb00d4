//! Source ports of the node that clients outside share.

use kproxy_common::{Counter, Door, PortSearch};

use super::super::gauges::Gauges;
use super::page::number;
use super::pulled::Series;
use crate::causes::one_line;
use crate::plan::Endpoint;

/// How many destinations are shown.
const SHOWN: usize = 10;

/// The fullest destinations, after the highest fill of all.
pub(super) fn series(gauges: &dyn Gauges) -> Vec<Series> {
    let mut searches = match gauges.port_searches() {
        Ok(searches) => searches,
        Err(error) => {
            tracing::warn!(
                "read the searches for source ports for metrics: {}",
                one_line(error.as_ref())
            );
            return Vec::new();
        }
    };
    searches.sort_by_key(|(key, search)| (std::cmp::Reverse(search.fill), *key));
    let ratio = |search: &PortSearch| f64::from(search.fill) / f64::from(PortSearch::FULL);
    let highest = searches.first().map_or(0.0, |(_, search)| ratio(search));
    let shown = searches.iter().take(SHOWN).map(|(key, search)| {
        let destination = Endpoint {
            address: key.destination,
            port: key.port,
        };
        let labels = vec![
            key.source.to_string(),
            destination.to_string(),
            key.protocol.to_string(),
        ];
        (labels, ratio(search))
    });
    std::iter::once((Vec::new(), highest)).chain(shown).collect()
}

/// How many flows have found no port.
pub(super) fn exhausted(gauges: &dyn Gauges) -> Vec<Series> {
    match gauges.outcomes() {
        Ok(outcomes) => {
            let failed = outcomes.into_iter().filter(|(door, counter, _)| {
                *door == Door::UplinkIngress && *counter == Counter::DroppedPorts
            });
            vec![(Vec::new(), number(failed.map(|(.., count)| count).sum()))]
        }
        Err(error) => {
            tracing::warn!("read the counters for metrics: {}", one_line(error.as_ref()));
            Vec::new()
        }
    }
}

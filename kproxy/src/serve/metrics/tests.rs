//! Every line of `/metrics`, and its documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kproxy_common::{Counter, Door, Family, counter, maps};

use super::super::reporter::{Extent, Reporter};
use super::super::status::Status;
use super::super::tests::{Fixed, NEVER_LATE, status};
use super::DeviceDoor;
use crate::model::samples;
use crate::plan::Fill;
use crate::source::{Change, News};

const DOCUMENT: &str = include_str!("../../../../docs/metrics.md");

/// A page in the text format: types by name, and values by series.
#[derive(Debug, Default)]
struct Page {
    types: BTreeMap<String, String>,
    series: BTreeMap<String, f64>,
}

impl Page {
    fn of(status: &Status) -> Self {
        let page = super::page::Page::new(status, &(Arc::new(Fixed) as Arc<_>));
        Self::parse(&page.expect("metrics").text().expect("text"))
    }

    /// Panics at the first line that is not as the format wants it.
    fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let mut helped = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                assert!(!help.is_empty() && helped.insert(name), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a type");
                assert!(helped.contains(name), "{line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(page.types.insert(name.into(), kind.into()), None, "{line}");
            } else {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let name = series.split('{').next().expect("a name");
                assert!(page.types.contains_key(page.family(name)), "{line}");
                if let Some(labels) = series.strip_prefix(name).filter(|labels| !labels.is_empty()) {
                    check_labels(labels);
                }
                let value = value.parse().expect("a number");
                assert_eq!(page.series.insert(series.into(), value), None, "{line}");
            }
        }
        page
    }

    /// The metric that a series belongs to.
    fn family<'a>(&self, name: &'a str) -> &'a str {
        let histogram = |suffix| {
            let name = name.strip_suffix(suffix)?;
            self.types
                .get(name)
                .filter(|kind| *kind == "histogram")
                .map(|_| name)
        };
        ["_bucket", "_sum", "_count"]
            .into_iter()
            .find_map(histogram)
            .unwrap_or(name)
    }

    fn labels(&self, metric: &str) -> BTreeSet<String> {
        let series = self
            .series
            .keys()
            .filter(|series| self.family(series.split('{').next().expect("a name")) == metric);
        let labels = series.filter_map(|series| series.split('{').nth(1));
        labels
            .flat_map(|labels| labels.trim_end_matches('}').split(','))
            .filter_map(|label| label.split_once('='))
            .map(|(name, _)| name.to_owned())
            .filter(|name| name != "le")
            .collect()
    }
}

fn check_labels(labels: &str) {
    let inner = labels
        .strip_prefix('{')
        .and_then(|labels| labels.strip_suffix('}'));
    for label in inner.expect("braces").split(',') {
        let (name, value) = label.split_once('=').expect("a label");
        assert!(
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{label}"
        );
        assert!(
            value.len() > 2 && value.starts_with('"') && value.ends_with('"'),
            "{label}"
        );
    }
}

/// The table of the document: metric -> type and labels.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let name = cells[0].trim_end_matches('`').to_owned();
        let labels = cells[2].split(',').map(|label| label.trim().trim_matches('`'));
        let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned);
        (name, (cells[1].to_owned(), labels.collect()))
    })
    .collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_metric_is_there() {
    let status = status(NEVER_LATE);
    let page = Page::of(&status);
    let exposed: BTreeMap<_, _> = page
        .types
        .iter()
        .map(|(name, kind)| (name.clone(), (kind.clone(), page.labels(name))))
        .collect();
    let slis: BTreeMap<_, _> = documented()
        .into_iter()
        .filter(|(name, _)| name.starts_with("kubernetes_healthcheck"))
        .collect();
    assert_eq!(slis.len(), 2, "the other page");
    let mut documented = documented();
    documented.retain(|name, _| !slis.contains_key(name));
    assert_eq!(exposed, documented);
}

#[test]
fn metrics_of_other_modes_are_absent() {
    let page = Page::of(&status(NEVER_LATE));
    for name in page.types.keys() {
        assert!(!name.contains("iptables") && !name.contains("nftables"), "{name}");
    }
}

#[test]
fn what_happened_is_told() {
    let status = status(NEVER_LATE);
    let mut reporter = Reporter::new(status.clone());
    let service = samples::parse_service(serde_json::json!({})).expect("a service");
    let slice = samples::parse_slice(serde_json::json!({})).expect("a slice");
    reporter.saw(&News::Service(Change::Applied(service)));
    reporter.saw(&News::Slice(Change::Applied(slice)));
    let full = reporter.begin(Extent::Full, &BTreeMap::new(), Instant::now());
    let before = Page::of(&status);
    reporter.ended(full, true);
    reporter.wrote(7);
    reporter.programmed(Instant::now());
    let a_while_ago = Timestamp::now() - SignedDuration::from_millis(1_500);
    reporter.in_force([(Family::V6, a_while_ago)]);
    reporter.problems(3);
    reporter.devices(DeviceDoor::Pod, 5, 1);
    status.swept(Duration::from_millis(3), &[(Family::V4, 2)].into());
    reporter.fill([Fill {
        map: maps::FRONTENDS,
        entries: 9,
        capacity: 64,
    }]);
    let after = Page::of(&status);
    let rows: &[(&Page, &str, f64)] = &[
        (&before, "kubeproxy_sync_proxy_rules_service_changes_pending", 2.0),
        (
            &before,
            "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
            1.0,
        ),
        (&after, "kubeproxy_sync_proxy_rules_service_changes_pending", 0.0),
        (&after, "kubeproxy_sync_proxy_rules_endpoint_changes_pending", 0.0),
        (&after, "kubeproxy_sync_proxy_rules_service_changes_total", 2.0),
        (&after, "kubeproxy_sync_proxy_rules_endpoint_changes_total", 1.0),
        (
            &after,
            "kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"}",
            1.0,
        ),
        (
            &after,
            "kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family=\"IPv6\"}",
            1.0,
        ),
        (
            &after,
            "kubeproxy_sync_partial_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"}",
            0.0,
        ),
        (
            &after,
            "kubeproxy_network_programming_duration_seconds_bucket{ip_family=\"IPv6\",le=\"1\"}",
            0.0,
        ),
        (
            &after,
            "kubeproxy_network_programming_duration_seconds_bucket{ip_family=\"IPv6\",le=\"300\"}",
            1.0,
        ),
        (
            &after,
            "kubeproxy_network_programming_duration_seconds_count{ip_family=\"IPv4\"}",
            0.0,
        ),
        // 7.12
        (
            &after,
            "kubeproxy_conntrack_reconciler_sync_duration_seconds_count{ip_family=\"IPv4\"}",
            1.0,
        ),
        (
            &after,
            "kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family=\"IPv4\"}",
            2.0,
        ),
        (&after, "kproxy_programming_duration_seconds_count", 1.0),
        (&after, "kproxy_map_writes_total", 7.0),
        (&after, "kproxy_problems", 3.0),
        (&after, "kproxy_devices{door=\"pod\"}", 5.0),
        (&after, "kproxy_devices_failed{door=\"pod\"}", 1.0),
        (&after, "kproxy_devices{door=\"uplink\"}", 0.0),
        (&after, "kproxy_map_entries{map=\"FRONTENDS\"}", 9.0),
        (&after, "kproxy_map_capacity{map=\"FRONTENDS\"}", 64.0),
        (&after, "kproxy_map_entries{map=\"FLOWS\"}", 12.0),
        (&after, "kproxy_map_capacity{map=\"FLOWS\"}", 1024.0),
    ];
    for (page, series, value) in rows {
        assert_eq!(page.series.get(*series), Some(value), "{series}");
    }
    for family in ["IPv4", "IPv6"] {
        let at = |what| {
            let series =
                format!("kubeproxy_sync_proxy_rules_last_{what}timestamp_seconds{{ip_family=\"{family}\"}}");
            after.series[&series]
        };
        assert!(at("") >= at("queued_") && at("queued_") > 1.7e9, "{family}");
    }
}

#[test]
fn the_destinations_whose_source_ports_are_fullest_are_told() {
    let page = Page::of(&status(NEVER_LATE));
    let destinations = page.series.keys();
    let destinations = destinations.filter(|series| series.starts_with("kproxy_snat_port_fill_ratio{"));
    assert_eq!(destinations.count(), 10, "the fullest of twelve");
    let one =
        "kproxy_snat_port_fill_ratio{source=\"10.0.0.1\",destination=\"10.244.0.3:80\",protocol=\"TCP\"}";
    for (series, ratio) in [("kproxy_snat_port_fill_ratio", 0.75), (one, 0.1875)] {
        assert_eq!(page.series.get(series), Some(&ratio), "{series}");
    }
}

#[test]
fn every_outcome_at_every_door_has_its_series() {
    let page = Page::of(&status(NEVER_LATE));
    for door in Door::ALL {
        for outcome in Counter::ALL {
            let series = format!(
                "kproxy_outcomes_total{{door=\"{}\",outcome=\"{}\"}}",
                door.name(),
                outcome.name()
            );
            let expected = f64::from(counter::index(*door, *outcome));
            assert_eq!(page.series.get(&series), Some(&expected), "{series}");
        }
        let new = format!("kproxy_flows_new_total{{door=\"{}\"}}", door.name());
        let expected = f64::from(counter::index(*door, Counter::New));
        assert_eq!(page.series.get(&new), Some(&expected), "{new}");
    }
}

#[test]
fn buckets_are_kube_proxys_and_finer_ones_below() {
    let page = Page::of(&status(NEVER_LATE));
    let bounds = |metric: &str| -> Vec<f64> {
        let prefix = format!("{metric}_bucket{{ip_family=\"IPv4\",le=\"");
        let series = page
            .series
            .keys()
            .filter_map(|series| series.strip_prefix(&prefix));
        let mut bounds: Vec<f64> = series
            .map(|rest| rest.trim_end_matches("\"}").parse().expect("a bound"))
            .filter(|bound: &f64| bound.is_finite())
            .collect();
        bounds.sort_by(f64::total_cmp);
        bounds
    };
    let syncs = bounds("kubeproxy_sync_proxy_rules_duration_seconds");
    assert_eq!((syncs.len(), syncs[0], syncs[14]), (15, 0.001, 16.384));
    let programming = bounds("kubeproxy_network_programming_duration_seconds");
    let finer = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1];
    assert_eq!(programming[..7], finer);
    assert_eq!(programming[7..11], [0.25, 0.5, 1.0, 2.0]);
    assert_eq!(programming[66..70], [58.0, 59.0, 60.0, 65.0]);
    assert_eq!(programming[79..82], [115.0, 120.0, 150.0]);
    assert_eq!(programming.len(), 7 + 2 + 59 + 12 + 7);
    assert_eq!(programming.last(), Some(&300.0));
}

//! What is counted where it happens.

use std::time::Duration;

use kproxy_common::Family;
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::super::no_local::Policy;
use super::super::reporter::Extent;
use super::super::status::FAMILIES;
use super::define::{Definitions, FAMILY, network_programming_buckets, programming_buckets, sync_buckets};

/// A door at devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceDoor {
    /// Host ends of pods' interfaces.
    Pod,
    /// Devices that lead elsewhere.
    Uplink,
}

impl DeviceDoor {
    const ALL: [Self; 2] = [Self::Pod, Self::Uplink];

    fn name(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Uplink => "uplink",
        }
    }
}

/// Those of `/healthz` and `/livez`.
const CODES: [&str; 2] = ["200", "503"];

/// Handles on every metric that is pushed; all of them are atomics inside.
#[derive(Debug)]
pub(in super::super) struct Counted {
    page: Registry,
    sync: HistogramVec,
    full_sync: HistogramVec,
    partial_sync: HistogramVec,
    network_programming: HistogramVec,
    endpoint_changes: IntCounter,
    endpoint_changes_pending: IntGauge,
    service_changes: IntCounter,
    service_changes_pending: IntGauge,
    no_local: IntGaugeVec,
    healthz: IntCounterVec,
    livez: IntCounterVec,
    sweep: HistogramVec,
    sweep_ended: IntCounterVec,
    programming: Histogram,
    map_writes: IntCounter,
    problems: IntGauge,
    devices: IntGaugeVec,
    devices_failed: IntGaugeVec,
}

impl Counted {
    pub(in super::super) fn new() -> prometheus::Result<Self> {
        let define = Definitions::default();
        let counted = Self {
            sync: define.histograms(
                "kubeproxy_sync_proxy_rules_duration_seconds",
                "Every sync, in seconds",
                sync_buckets()?,
            )?,
            full_sync: define.histograms(
                "kubeproxy_sync_full_proxy_rules_duration_seconds",
                "Syncs that looked at everything, in seconds",
                sync_buckets()?,
            )?,
            partial_sync: define.histograms(
                "kubeproxy_sync_partial_proxy_rules_duration_seconds",
                "Syncs that looked at what had changed, in seconds",
                sync_buckets()?,
            )?,
            network_programming: define.histograms(
                "kubeproxy_network_programming_duration_seconds",
                "From the change that a slice's trigger annotation tells of until it is in force, in seconds",
                network_programming_buckets()?,
            )?,
            endpoint_changes: define.counter(
                "kubeproxy_sync_proxy_rules_endpoint_changes_total",
                "Changes of endpoint slices that have arrived",
            )?,
            endpoint_changes_pending: define.gauge(
                "kubeproxy_sync_proxy_rules_endpoint_changes_pending",
                "Changes of endpoint slices that are not in force yet",
            )?,
            service_changes: define.counter(
                "kubeproxy_sync_proxy_rules_service_changes_total",
                "Changes of Services that have arrived, once for each family",
            )?,
            service_changes_pending: define.gauge(
                "kubeproxy_sync_proxy_rules_service_changes_pending",
                "Changes of Services that are not in force yet, once for each family",
            )?,
            no_local: define.gauges(
                "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
                "Service ports with a Local traffic policy and endpoints, none of them on this node",
                &["traffic_policy", FAMILY],
            )?,
            healthz: define.counters("kubeproxy_proxy_healthz_total", "Answers of /healthz", &["code"])?,
            livez: define.counters("kubeproxy_proxy_livez_total", "Answers of /livez", &["code"])?,
            sweep: define.histograms(
                "kubeproxy_conntrack_reconciler_sync_duration_seconds",
                "Sweeps of sockets that held on to UDP backends that are gone, in seconds",
                sync_buckets()?,
            )?,
            sweep_ended: define.counters(
                "kubeproxy_conntrack_reconciler_deleted_entries_total",
                "Sockets that were taken off UDP backends that are gone",
                &[FAMILY],
            )?,
            programming: define.histogram(
                "kproxy_programming_duration_seconds",
                "From the arrival of an event's bytes to the last map write, in seconds",
                programming_buckets(),
            )?,
            map_writes: define.counter("kproxy_map_writes_total", "Entries of maps written or removed")?,
            problems: define.gauge(
                "kproxy_problems",
                "Problems with objects and with room for them, as told in the log",
            )?,
            devices: define.gauges("kproxy_devices", "Devices whose door is open", &["door"])?,
            devices_failed: define.gauges(
                "kproxy_devices_failed",
                "Devices whose door could not be opened yet",
                &["door"],
            )?,
            page: define.page(),
        };
        counted.begin_at_zero();
        Ok(counted)
    }

    /// A series that is absent until something happens can not be alerted on.
    fn begin_at_zero(&self) {
        for family in FAMILIES.map(|family| family.to_string()) {
            for histograms in [
                &self.sync,
                &self.full_sync,
                &self.partial_sync,
                &self.network_programming,
                &self.sweep,
            ] {
                histograms.with_label_values(&[&family]);
            }
            self.sweep_ended.with_label_values(&[&family]);
            for policy in Policy::ALL {
                self.no_local.with_label_values(&[policy.name(), &family]);
            }
        }
        for code in CODES {
            self.healthz.with_label_values(&[code]);
            self.livez.with_label_values(&[code]);
        }
        for door in DeviceDoor::ALL {
            self.devices(door, 0, 0);
        }
    }

    /// Everything that is counted here, as it is now.
    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.page.gather()
    }

    pub(in super::super) fn sync(&self, family: Family, extent: Extent, took: Duration) {
        let one = match extent {
            Extent::Full => &self.full_sync,
            Extent::Partial => &self.partial_sync,
        };
        for histograms in [&self.sync, one] {
            observe(histograms, family, took.as_secs_f64());
        }
    }

    pub(in super::super) fn network_programming(&self, family: Family, seconds: f64) {
        observe(&self.network_programming, family, seconds);
    }

    pub(in super::super) fn slice_change(&self) {
        self.endpoint_changes.inc();
        self.endpoint_changes_pending.inc();
    }

    /// kube-proxy sees every Service once for each family.
    pub(in super::super) fn service_change(&self) {
        for _ in FAMILIES {
            self.service_changes.inc();
            self.service_changes_pending.inc();
        }
    }

    pub(in super::super) fn nothing_pending(&self) {
        self.endpoint_changes_pending.set(0);
        self.service_changes_pending.set(0);
    }

    pub(in super::super) fn no_local(&self, policy: Policy, family: Family, count: usize) {
        let labels = [policy.name(), &family.to_string()];
        self.no_local.with_label_values(&labels).set(integer(count));
    }

    pub(in super::super) fn healthz(&self, code: u16) {
        self.healthz.with_label_values(&[&code.to_string()]).inc();
    }

    pub(in super::super) fn livez(&self, code: u16) {
        self.livez.with_label_values(&[&code.to_string()]).inc();
    }

    pub(in super::super) fn swept(&self, family: Family, took: Duration, ended: u64) {
        observe(&self.sweep, family, took.as_secs_f64());
        self.sweep_ended
            .with_label_values(&[&family.to_string()])
            .inc_by(ended);
    }

    pub(in super::super) fn programmed(&self, took: Duration) {
        self.programming.observe(took.as_secs_f64());
    }

    pub(in super::super) fn wrote(&self, writes: usize) {
        self.map_writes.inc_by(writes as u64);
    }

    pub(in super::super) fn problems(&self, count: usize) {
        self.problems.set(integer(count));
    }

    pub(in super::super) fn devices(&self, door: DeviceDoor, open: usize, failed: usize) {
        let door = [door.name()];
        self.devices.with_label_values(&door).set(integer(open));
        self.devices_failed.with_label_values(&door).set(integer(failed));
    }
}

fn observe(histograms: &HistogramVec, family: Family, seconds: f64) {
    histograms
        .with_label_values(&[&family.to_string()])
        .observe(seconds);
}

fn integer(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

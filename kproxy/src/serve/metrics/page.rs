//! Every metric of the main page.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kproxy_common::{Counter, Door, Family};
use prometheus::process_collector::ProcessCollector;
use prometheus::{Registry, TextEncoder};

use super::super::gauges::Gauges;
use super::super::health::Health;
use super::super::status::{FAMILIES, Status};
use super::ports;
use super::pulled::{Kind, Pulled, Series};
use crate::causes::one_line;
use crate::plan::Fill;

/// How long a count of the programs' tables stands for the next ones: counting visits every entry.
const COUNT_STANDS: Duration = Duration::from_secs(10);

/// The page: what was counted, and what is read for it.
pub(super) struct Page {
    status: Status,
    pulled: Registry,
}

impl Page {
    /// # Errors
    /// A metric's definition is wrong, which tests find.
    pub(super) fn new(status: &Status, gauges: &Arc<dyn Gauges>) -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;
        for metric in pulled(status, gauges)? {
            registry.register(Box::new(metric))?;
        }
        Ok(Self {
            status: status.clone(),
            pulled: registry,
        })
    }

    /// All of it as it is now. Takes a while: the kernel's tables are read.
    pub(super) fn text(&self) -> prometheus::Result<String> {
        let mut metrics = self.status.counted().gather();
        metrics.extend(self.pulled.gather());
        TextEncoder::new().encode_to_string(&metrics)
    }
}

fn pulled(status: &Status, gauges: &Arc<dyn Gauges>) -> prometheus::Result<Vec<Pulled>> {
    let health = |read: fn(&Health, Family) -> Option<Timestamp>| {
        let status = status.clone();
        move || {
            let health = status.locked_health();
            let seconds = |family| read(&health, family).map_or(0.0, |time| time.as_duration().as_secs_f64());
            FAMILIES
                .map(|family| (vec![family.to_string()], seconds(family)))
                .into()
        }
    };
    let tables = Tables::new(status, gauges);
    let capacities = Arc::clone(&tables);
    let (events, outcomes, new_flows) = (status.events().clone(), Arc::clone(gauges), Arc::clone(gauges));
    let (searches, exhausted) = (Arc::clone(gauges), Arc::clone(gauges));
    Ok(vec![
        Pulled::new(
            Kind::Gauge,
            "kubernetes_build_info",
            "What this is, always 1",
            &BUILD,
            build,
        )?,
        Pulled::new(
            Kind::Gauge,
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
            "When everything was in force last, in seconds since 1970",
            &["ip_family"],
            health(Health::last_updated),
        )?,
        Pulled::new(
            Kind::Gauge,
            "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
            "When a sync was queued last, in seconds since 1970",
            &["ip_family"],
            health(Health::last_queued),
        )?,
        Pulled::new(
            Kind::Counter,
            "kproxy_outcomes_total",
            "What the kernel programs have decided",
            &["door", "outcome"],
            move || {
                read_outcomes(
                    &*outcomes,
                    |_| true,
                    |door, outcome| vec![door.name().into(), outcome.name().into()],
                )
            },
        )?,
        Pulled::new(
            Kind::Counter,
            "kproxy_flows_new_total",
            "Flows that were given a backend",
            &["door"],
            move || {
                read_outcomes(
                    &*new_flows,
                    |outcome| outcome == Counter::New,
                    |door, _| vec![door.name().into()],
                )
            },
        )?,
        Pulled::new(
            Kind::Gauge,
            "kproxy_snat_port_fill_ratio",
            "How full the node's source ports towards a backend are; without labels, the fullest",
            &["source", "destination", "protocol"],
            move || ports::series(&*searches),
        )?,
        Pulled::new(
            Kind::Counter,
            "kproxy_snat_ports_exhausted_total",
            "Flows from outside that found no source port towards their backend",
            &[],
            move || ports::exhausted(&*exhausted),
        )?,
        Pulled::new(
            Kind::Gauge,
            "kproxy_map_entries",
            "Entries of a map in use",
            &["map"],
            move || by_map(&tables.read(), |fill| fill.entries),
        )?,
        Pulled::new(
            Kind::Gauge,
            "kproxy_map_capacity",
            "Entries that a map has room for",
            &["map"],
            move || by_map(&capacities.read(), |fill| fill.capacity),
        )?,
        Pulled::new(
            Kind::Counter,
            "kproxy_events_dropped_total",
            "Events for the cluster that were not written",
            &[],
            move || vec![(Vec::new(), number(events.lost()))],
        )?,
    ])
}

/// The labels of `kubernetes_build_info` that mean something for a Rust program.
const BUILD: [&str; 5] = ["major", "minor", "git_version", "compiler", "platform"];

fn build() -> Vec<Series> {
    // Platforms are named as in Go.
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let values = [
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        concat!("v", env!("CARGO_PKG_VERSION")),
        "rustc",
        &format!("linux/{machine}"),
    ];
    vec![(values.map(str::to_owned).into(), 1.0)]
}

fn read_outcomes(
    gauges: &dyn Gauges,
    counts: fn(Counter) -> bool,
    labels: fn(Door, Counter) -> Vec<String>,
) -> Vec<Series> {
    match gauges.outcomes() {
        Ok(outcomes) => outcomes
            .into_iter()
            .filter(|(_, outcome, _)| counts(*outcome))
            .map(|(door, outcome, times)| (labels(door, outcome), number(times)))
            .collect(),
        Err(error) => {
            tracing::warn!("read the counters for metrics: {}", one_line(error.as_ref()));
            Vec::new()
        }
    }
}

fn by_map(fills: &[Fill], read: fn(&Fill) -> u64) -> Vec<Series> {
    let series = fills
        .iter()
        .map(|fill| (vec![fill.map.to_owned()], number(read(fill))));
    series.collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the exposition format has no integers; Prometheus keeps 53 bits anyway"
)]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

/// The tables of the plan, and those of the programs, counted now and then.
struct Tables {
    status: Status,
    gauges: Arc<dyn Gauges>,
    /// Held while counting, so that two scrapes at a time count once. Both are in threads that may wait.
    counted: Mutex<Option<(Instant, Vec<Fill>)>>,
}

impl Tables {
    fn new(status: &Status, gauges: &Arc<dyn Gauges>) -> Arc<Self> {
        Arc::new(Self {
            status: status.clone(),
            gauges: Arc::clone(gauges),
            counted: Mutex::new(None),
        })
    }

    fn read(&self) -> Vec<Fill> {
        let mut fills = self.status.fill();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let stands = counted
            .as_ref()
            .is_some_and(|(at, _)| at.elapsed() < COUNT_STANDS);
        if !stands {
            match self.gauges.tables() {
                Ok(tables) => *counted = Some((Instant::now(), tables)),
                Err(error) => {
                    tracing::warn!("count the tables for metrics: {}", one_line(error.as_ref()));
                    *counted = None;
                }
            }
        }
        fills.extend(counted.iter().flat_map(|(_, tables)| tables));
        fills.sort_by_key(|fill| fill.map);
        fills
    }
}

//! How metrics are made and put on the page.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    Result, exponential_buckets, linear_buckets,
};

/// Makes metrics, each of which is on the page from then on.
#[derive(Debug, Default)]
pub(super) struct Definitions(Registry);

impl Definitions {
    /// The page.
    pub(super) fn page(self) -> Registry {
        self.0
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.add(IntCounter::new(name, help)?)
    }

    pub(super) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.add(IntGauge::new(name, help)?)
    }

    pub(super) fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
        self.add(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    pub(super) fn histogram(&self, name: &str, help: &str, buckets: Vec<f64>) -> Result<Histogram> {
        self.add(Histogram::with_opts(
            HistogramOpts::new(name, help).buckets(buckets),
        )?)
    }

    /// One for each family.
    pub(super) fn histograms(&self, name: &str, help: &str, buckets: Vec<f64>) -> Result<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(buckets);
        self.add(HistogramVec::new(options, &[FAMILY])?)
    }

    /// Clones of a metric share its numbers.
    fn add<M: Collector + Clone + 'static>(&self, metric: M) -> Result<M> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}

/// The label of a metric that each family has for itself.
pub(super) const FAMILY: &str = "ip_family";

/// kube-proxy's for syncs: 1 ms, doubled up to 16 s.
pub(super) fn sync_buckets() -> Result<Vec<f64>> {
    exponential_buckets(0.001, 2.0, 15)
}

/// kube-proxy's, which begin at a quarter of a second, and below them what kproxy needs.
pub(super) fn network_programming_buckets() -> Result<Vec<f64>> {
    let mut buckets = vec![0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5];
    buckets.extend(linear_buckets(1.0, 1.0, 59)?);
    buckets.extend(linear_buckets(60.0, 5.0, 12)?);
    buckets.extend(linear_buckets(120.0, 30.0, 7)?);
    Ok(buckets)
}

/// 50 µs to 10 s.
pub(super) fn programming_buckets() -> Vec<f64> {
    vec![
        0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
        2.5, 5.0, 10.0,
    ]
}

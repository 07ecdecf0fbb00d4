//! `/metrics/slis`: how health checks of this process went, as the Kubernetes components tell it.

use prometheus::{Error, GaugeVec, IntCounterVec, Opts, Registry, TextEncoder};

/// The two metrics of the page, empty until the first check (semantics 9.19).
#[derive(Debug)]
pub(super) struct Slis {
    registry: Registry,
    result: GaugeVec,
    results: IntCounterVec,
}

impl Slis {
    pub(super) fn new() -> Result<Self, Error> {
        let result = GaugeVec::new(
            Opts::new(
                "kubernetes_healthcheck",
                "Whether a health check went well, 0 or 1",
            ),
            &["name", "type"],
        )?;
        let results = IntCounterVec::new(
            Opts::new("kubernetes_healthchecks_total", "Results of health checks"),
            &["name", "type", "status"],
        )?;
        let registry = Registry::new();
        registry.register(Box::new(result.clone()))?;
        registry.register(Box::new(results.clone()))?;
        Ok(Self {
            registry,
            result,
            results,
        })
    }

    /// The check that always goes well: the process answers.
    pub(super) fn ping(&self) {
        self.result.with_label_values(&["ping", "healthz"]).set(1.0);
        self.results
            .with_label_values(&["ping", "healthz", "success"])
            .inc();
    }

    pub(super) fn text(&self) -> Result<String, Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

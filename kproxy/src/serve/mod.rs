//! What the agent says about itself: health, metrics and events (semantics 3.49 to 3.60, and 9).
//!
//! * [`reporter`](Reporter) writes and [`status`](Status) is read: between the agent's task and everything here
//! * `health`: the judgement, pure, and the server of `/healthz` and `/livez`
//! * `metrics`: the server of `/metrics`, `/configz` and the like
//! * [`service_health`]: health-check node ports
//! * [`events`](Events): what the cluster is told
//! * [`gauges`](Gauges): what the data plane is asked when somebody asks for metrics
//! * `listen`, `respond`: what the servers share
//!
//! Nothing here can hold up the agent: it tells, and never waits for an answer.

mod events;
mod gauges;
mod health;
mod listen;
mod metrics;
mod moment;
mod no_local;
mod reporter;
mod respond;
pub mod service_health;
mod status;

#[cfg(test)]
mod fetch;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::task::JoinSet;

pub use events::{Events, Notice};
pub use gauges::Gauges;
pub use health::{FamilyReport, Health, Report};
pub use metrics::DeviceDoor;
pub use moment::Moment;
pub use reporter::{Extent, Reporter, Sync};
pub use status::Status;

use listen::Server;
use service_health::{Addresses, ServiceHealth};

/// How long to wait before an address is tried again (9.12).
const PAUSE: Duration = Duration::from_secs(5);

/// What to serve, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where `/healthz` and `/livez` are; `None` for nowhere (9.13).
    pub healthz: Option<SocketAddr>,
    /// Where `/metrics` and its neighbours are.
    pub metrics: SocketAddr,
    /// Whether an address that can not be had ends the process.
    pub hard_fail: bool,
    /// Whether there is something at `/debug/pprof`.
    pub profiling: bool,
    /// What `/proxyMode` says.
    pub mode: String,
    /// The effective `KubeProxyConfiguration`, as `/configz` shows it.
    pub config_document: Value,
    /// The flags that were given, as `/flagz` shows them.
    pub flags: Vec<(String, String)>,
    /// The name of this node's object.
    pub node_name: String,
    /// Where health-check node ports are open.
    pub health_check_addresses: Addresses,
}

impl Options {
    /// kube-proxy's defaults.
    #[must_use]
    pub fn new(node_name: &str) -> Self {
        Self {
            healthz: Some(SocketAddr::from(([0, 0, 0, 0], 10_256))),
            metrics: SocketAddr::from(([127, 0, 0, 1], 10_249)),
            hard_fail: false,
            profiling: false,
            // What kproxy does is what kube-proxy does in this mode (9.17).
            mode: "nftables".into(),
            config_document: json!({
                "kind": "KubeProxyConfiguration",
                "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            }),
            flags: Vec::new(),
            node_name: node_name.to_owned(),
            health_check_addresses: Addresses::default(),
        }
    }
}

/// Running servers. Dropping it ends them.
#[derive(Debug)]
#[must_use]
pub struct Servers {
    /// Where `/healthz` is; `None` if nowhere, or not yet.
    pub healthz: Option<SocketAddr>,
    /// Where `/metrics` is; `None` if nowhere yet.
    pub metrics: Option<SocketAddr>,
    _tasks: JoinSet<()>,
}

/// Starts all servers, and tells the cluster that the proxy starts. An address that can not be had is tried again every
/// five seconds, unless that is to end the process.
///
/// # Errors
/// With `hard_fail`, an address can not be had; the cluster has been told.
pub async fn start(options: Options, status: &Status, gauges: Arc<dyn Gauges>) -> Result<Servers> {
    let events = status.events();
    let node = options.node_name.as_str();
    events.send(Notice::starting(node));
    let fatal = |reason| options.hard_fail.then(|| Notice::failed_to_start(node, reason));
    let mut tasks = JoinSet::new();
    let metrics = Server {
        what: "metrics",
        address: options.metrics,
        router: metrics::server::router(&options, status, &gauges)?,
        fatal: fatal("FailedToStartMetricServer"),
        pause: PAUSE,
    };
    let healthz = options.healthz.map(|address| Server {
        what: "health checks",
        address,
        router: health::server::router(status.clone()),
        fatal: fatal("FailedToStartProxierHealthcheck"),
        pause: PAUSE,
    });
    let metrics = listen::start(metrics, events, &mut tasks).await?;
    let healthz = match healthz {
        Some(server) => listen::start(server, events, &mut tasks).await?,
        None => None,
    };
    status.want_health_checks_at(options.health_check_addresses.clone());
    let service_health = ServiceHealth::new(options.health_check_addresses, node, status.clone());
    tasks.spawn(service_health.follow(status.health_checks()));
    Ok(Servers {
        healthz,
        metrics,
        _tasks: tasks,
    })
}
